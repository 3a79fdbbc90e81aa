"""Starts the real proxies with the configurations of deploy/proxies, on ports that are free."""

import http.client
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import NamedTuple, Self

import pytest
from cohorts import Cohorts

SHIPPED = Path(__file__).parents[3] / "deploy" / "proxies"
SECONDS = 30
_ENVOY = Path(sys.executable).parent / "envoy"
_PORTS = {"edge": 8080, "inside": 8081, "outbound": 8082, "admin": 9901}
_BRIEFLY = ("--concurrency", "1", "--disable-hot-restart", "--file-flush-interval-msec", "100")
_TEMPORARY = ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")

Header = tuple[str, str]
Change = Callable[[str], str]


class Answer(NamedTuple):
    """What came back.

    Attributes:
        status: Of the response.
        headers: Of the response, names in lower case.
        asked: The headers with which the service was asked, names in lower case.
    """

    status: int
    headers: list[Header]
    asked: list[Header]

    def header(self, name: str) -> str:
        """Return the only value of a response header, "" without one."""
        values = [value for each, value in self.headers if each == name]
        assert len(values) <= 1, values
        return values[0] if values else ""

    @property
    def baggage(self) -> list[str]:
        """The lines of baggage that the service got."""
        return [value for name, value in self.asked if name == "baggage"]


class Proxy(NamedTuple):
    """A proxy that runs.

    Attributes:
        program: `nginx`, `haproxy` or `envoy`.
        place: Its folder, with the configuration and the access log.
        ports: Where it listens: `edge`, `inside` and `outbound`.
        process: Its (master) process.
    """

    program: str
    place: Path
    ports: dict[str, int]
    process: int

    @property
    def access_log(self) -> str:
        """What it has written of requests so far."""
        return (self.place / "access.log").read_text()

    def client(self, door: str) -> "Client":
        """Connect to one of its listeners."""
        return Client(self.ports[door])


class Client:
    """A connection that is kept.

    Args:
        port: Where to.
    """

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, path: str = "/", headers: Iterable[Header] = ()) -> Answer:
        """Ask, with the headers as they are given, also several of one name."""
        given = list(headers)
        try:
            response = self._asked(path, given)
        except http.client.RemoteDisconnected:
            # A process that took up other settings ends connections that are kept, and may do so
            # just when the next question is on its way (RFC 9110, 9.2.2): it is asked anew, once.
            self._connection.close()
            response = self._asked(path, given)
        body = response.read()
        asked = json.loads(body)["headers"] if response.headers["X-Answered-By"] else []
        return Answer(response.status, _lowered(response.getheaders()), _lowered(asked))

    def _asked(self, path: str, headers: Iterable[Header]) -> http.client.HTTPResponse:
        self._connection.putrequest("GET", path, skip_accept_encoding=True)
        for name, value in headers:
            self._connection.putheader(name, value)
        self._connection.endheaders()
        return self._connection.getresponse()


def _lowered(headers: Iterable[Iterable[str]]) -> list[Header]:
    return [(name.lower(), value) for name, value in headers]


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def program_of(name: str) -> str:
    """Return the path of a proxy; skips the test where it is not installed."""
    found = _ENVOY if name == "envoy" else shutil.which(name, path=f"{os.defpath}:/usr/sbin:/sbin")
    if not found or not Path(found).exists():
        pytest.skip(f"{name} is not installed")
    return str(found)


def nginx_joins_lines() -> bool:
    """Whether the installed nginx reads all lines of a header (from 1.23)."""
    said = subprocess.run([program_of("nginx"), "-v"], capture_output=True, text=True, check=True)
    version = re.search(r"nginx/(\d+)\.(\d+)", said.stderr)
    assert version is not None
    return (int(version[1]), int(version[2])) >= (1, 23)


def _nginx(place: Path) -> list[str]:
    file = place / "example.conf"
    folders = "".join(f"    {name}_temp_path {place}/{name};\n" for name in _TEMPORARY)
    file.write_text(file.read_text().replace("http {\n", f"http {{\n{folders}", 1))
    return _nginx_words(place, "daemon off;")


def _nginx_words(place: Path, own: str = "") -> list[str]:
    # Its workers must reach a folder that is the test's own.
    user = "user root;" if os.geteuid() == 0 else ""
    globally = f"{own} pid {place}/nginx.pid; {user}"
    return ["-p", str(place), "-c", "example.conf", "-e", "error.log", "-g", globally]


def command_for(proxy: Proxy) -> str:
    """Return a shell function by which a script reaches this proxy as people reach theirs."""
    words = _nginx_words(proxy.place) if proxy.program == "nginx" else []
    line = shlex.join([program_of(proxy.program), *words])
    return f'{proxy.program}() {{ {line} "$@"; }}\n'


def _haproxy(place: Path) -> list[str]:
    return ["-W", "-f", str(place / "example.cfg"), "-p", str(place / "haproxy.pid")]


def _envoy(place: Path) -> list[str]:
    return ["-c", str(place / "example.yaml"), *_BRIEFLY]


_WORDS: dict[str, Callable[[Path], list[str]]] = {
    "nginx": _nginx,
    "haproxy": _haproxy,
    "envoy": _envoy,
}


def _settle(place: Path, program: str, cohorts: Cohorts) -> dict[str, int]:
    """Copy what is shipped, with ports of our own; returns these."""
    shutil.copytree(SHIPPED / program, place)
    ports = {door: free_port() for door in _PORTS}
    moved = {_PORTS[door]: port for door, port in ports.items()}
    moved |= {9001: cohorts.stable, 9002: cohorts.canary}
    for file in (each for each in place.iterdir() if each.suffix in {".conf", ".cfg", ".yaml"}):
        text = file.read_text()
        for shipped, own in moved.items():
            text = re.sub(rf"(127\.0\.0\.1:|port_value: ){shipped}\b", rf"\g<1>{own}", text)
        file.write_text(text)
    return ports


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _await(process: Popen[bytes], ports: Iterable[int]) -> bool:
    """Wait until it listens; False when it ended, as it does when somebody took a port."""
    for port in ports:
        for _ in range(SECONDS * 50):
            if process.poll() is not None:
                return False
            if _listens(port):
                break
            time.sleep(0.02)
        else:
            return False
    return True


def _stop(process: Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(SECONDS)


@contextmanager
def running(
    program: str, place: Path, cohorts: Cohorts, *, change: Change | None = None
) -> Iterator[Proxy]:
    """Run a proxy with the shipped example until the block ends.

    Args:
        program: `nginx`, `haproxy` or `envoy`; the test skips where it is not installed.
        place: A folder that does not exist yet.
        cohorts: Whom to ask.
        change: Changes the example, given and returned as text.
    """
    path, there = program_of(program), place
    for attempt in range(3):
        there = place / str(attempt)
        ports = _settle(there, program, cohorts)
        if change is not None:
            (example,) = there.glob("example.*")
            example.write_text(change(example.read_text()))
        # What HAProxy writes to its standard output is its access log.
        with (there / "stderr").open("wb") as errors, (there / "access.log").open("ab") as log:
            process = Popen([path, *_WORDS[program](there)], cwd=there, stdout=log, stderr=errors)
        try:
            if _await(process, ports.values() if program == "envoy" else list(ports.values())[:3]):
                yield Proxy(program, there, ports, process.pid)
                return
        finally:
            _stop(process)
    pytest.fail((there / "stderr").read_text()[-4000:])
