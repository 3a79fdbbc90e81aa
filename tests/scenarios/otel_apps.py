"""Real services that report through OpenTelemetry, and are told everything by OTEL_* variables."""

import http.client
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

from npm_packages import NODE, packages_of

APPS = Path(__file__).parent / "otel"
BIN = Path(sys.executable).parent
SECONDS = 60


def _python(*server: str) -> list[str | Path]:
    return [BIN / "opentelemetry-instrument", *server]


def _uvicorn() -> tuple[list[str | Path], Path]:
    return _python("uvicorn", "--port", "0", "otel_python_app:asgi"), APPS


def _gunicorn(workers: int = 1) -> tuple[list[str | Path], Path]:
    words = ("--bind", "127.0.0.1:0", f"--workers={workers}", "otel_python_app:wsgi")
    return _python("gunicorn", *words), APPS


def _node() -> tuple[list[str | Path], Path]:
    loaded = "@opentelemetry/auto-instrumentations-node/register"
    return [NODE, "--require", loaded, APPS / "app.cjs"], packages_of(APPS)


_LAUNCHERS: dict[str, Callable[[], tuple[list[str | Path], Path]]] = {
    "uvicorn": _uvicorn,
    "gunicorn": _gunicorn,
    "gunicorn with two workers": lambda: _gunicorn(workers=2),
    "node": _node,
}


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
