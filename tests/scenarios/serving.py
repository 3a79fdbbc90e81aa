"""A release of the shop that serves HTTP with deploymark in it, under the servers people use."""

import hashlib
import http.client
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import STDOUT, Popen

from team import BIN, ENVIRONMENT, SECONDS, SERVICE, Json, Team, free_port

DEPLOYMENT = "d-the-one-that-runs"
RELEASE = {"deploymark.json": '{"version": "7.1"}', "templates/page.html": "<p>Shop</p>"}

WSGI = """
import os
import deploymark

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]

app = deploymark.WsgiMiddleware(application)
"""

ASGI = """
import os
import deploymark

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        for said in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{said}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})

app = deploymark.AsgiMiddleware(application)
"""


def release(place: Path, program: str) -> Path:
    """Write a release whose module `app` is a program."""
    directory = place / "running-release"
    for name, content in {**RELEASE, "app.py": program}.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return directory


def executable_digest(file: Path) -> str:
    """Return the digest of one file, computed without deploymark."""
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


class Serving:
    """A server program that runs a release."""

    def __init__(self, process: Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    def ask(self) -> tuple[int, str]:
        """Return which process answered, and the deployment in the header."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            return int(answer.read()), answer.headers["x-deployment-id"]
        finally:
            connection.close()

    def stop(self) -> None:
        """End it as a service manager does."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(SECONDS)


def run_environment(team: Team, **more: str) -> dict[str, str]:
    """Return the environment of a running service."""
    return team._environment("ci") | {
        "DEPLOYMARK_SERVICE": SERVICE,
        "DEPLOYMARK_ENVIRONMENT": ENVIRONMENT,
        "DEPLOYMARK_DEPLOYMENT_ID": DEPLOYMENT,
        **more,
    }


@contextmanager
def serving(team: Team, directory: Path, *words: str, **more: str) -> Iterator[Serving]:
    """Run a server in a release; `{port}` in its words becomes a free port."""
    port = free_port()
    log = directory.parent / "serving.log"
    with log.open("a") as out:
        process = Popen(
            [BIN / words[0], *(word.format(port=port) for word in words[1:])],
            cwd=directory,
            env=run_environment(team, **more),
            stdout=out,
            stderr=STDOUT,
            encoding="utf-8",
        )
    try:
        running = Serving(process, port)
        for _ in range(SECONDS * 10):
            with suppress(OSError):
                running.ask()
                break
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield running
    finally:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
        process.wait(SECONDS)
    assert "Traceback" not in log.read_text(), log.read_text()


def instance_markers(team: Team) -> list[Json]:
    """Return the markers about instances, the oldest first."""
    found = team._items("/v1/markers?order=oldest&limit=200")
    markers = [each["marker"] for each in found]
    return [each for each in markers if (each.get("target") or {}).get("instance_uid")]


def await_instances(team: Team, enough: Callable[[Counter[str]], bool]) -> list[Json]:
    """Wait until the log says enough about instances, by phase; returns those markers."""
    for _ in range(SECONDS * 10):
        markers = instance_markers(team)
        if enough(Counter(each["phase"] for each in markers)):
            return markers
        time.sleep(0.1)
    raise AssertionError(json.dumps(instance_markers(team), indent=1))


def uids(markers: list[Json], phase: str) -> list[str]:
    """Return the instances that markers of a phase speak of."""
    return [each["target"]["instance_uid"] for each in markers if each["phase"] == phase]
