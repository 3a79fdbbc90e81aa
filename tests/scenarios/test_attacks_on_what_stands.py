"""Kills, cut connections and a search for secrets, against a real server."""

import contextlib
import http.client
import json
import random
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from attacked import ADMIN, JSON, SECONDS, Json, Server

from deploymark.emit.emitter import Emitter, State
from deploymark.emit.settings import Settings


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server on an empty folder."""
    with Server(tmp_path) as running:
        yield running


# Kills -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("markers", "kills"), [(400, 3), pytest.param(2_000, 12, marks=pytest.mark.soak)]
)
def test_a_server_that_is_killed_again_and_again_loses_and_doubles_nothing(
    server: Server, tmp_path: Path, markers: int, kills: int
) -> None:
    token = server.token("emitter")
    settings = Settings(
        url=f"http://127.0.0.1:{server.port}", token=token, spool=str(tmp_path / "spool")
    )
    emitter = Emitter(settings, kind="ci", emitter_id="chaos", facts={})
    others = Steady(server, token)
    for number in range(markers):
        said = emitter.mark("applied", service="shop", environment="prod", version=str(number))
        assert said.state is State.SPOOLED
        if number % (markers // kills) == markers // kills - 1:
            time.sleep(0.2)  # so that deliveries are under way
            server.stop(signal.SIGKILL)
            for file in server.data.glob("views.db*"):  # derived; it is built again
                file.unlink()
            server.start()
    done = emitter.flush(SECONDS)
    emitter.close()
    others.stop()
    assert (done.refused, done.problem, emitter.counts().waiting) == (0, "", 0)
    said_by = Counter(
        (each["marker"]["emitter"]["id"], each["marker"]["emitter"]["sequence"])
        for each in server.entries()
        if "marker" in each
    )
    assert set(said_by.values()) == {1}
    assert {number for who, number in said_by if who == "chaos"} == set(range(markers))
    assert others.acknowledged <= {number for who, number in said_by if who == "steady"}
    server.stop()  # which closes the books
    server.start()
    books = {each["id"]: each for each in server.ask("GET", "/v1/emitters")[1]["items"]}
    assert (books["chaos"]["accepted"], books["chaos"]["missing"]["count"]) == (markers, 0)
    server.check()


class Steady:
    """Sends numbered markers without a spool, and remembers what was acknowledged."""

    def __init__(self, server: Server, token: str) -> None:
        self.acknowledged: set[int] = set()
        self._server, self._token = server, token
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._is_over.is_set():
            emitter = {"kind": "ci", "id": "steady", "epoch": "e", "sequence": number}
            said = {"service": "other", "environment": "prod", "phase": "applied"}
            body = json.dumps({**said, "version": str(number), "emitter": emitter}).encode()
            try:
                status, _ = self._server.ask("POST", "/v1/markers", body, self._token)
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
                continue
            if status in {200, 201}:
                self.acknowledged.add(number)
                number += 1

    def stop(self) -> None:
        """Stop sending."""
        self._is_over.set()
        self._thread.join()


# Cut connections ---------------------------------------------------------------------------------


class Follower:
    """Follows the stream, and is cut off all the time, in the middle of whatever it reads."""

    def __init__(self, port: int, query: str, token: str) -> None:
        self.seen: list[int] = []
        self.events = Counter[str]()
        self._port, self._query, self._token = port, query, token
        self._last = 0

    def follow(self, chance: random.Random) -> None:
        """Connect, read for a moment, and leave without a word."""
        head = (
            f"GET /v1/stream{self._query} HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {self._token}\r\nLast-Event-ID: {self._last}\r\n\r\n"
        )
        raw = b""
        until = time.monotonic() + chance.choice((0.005, 0.02, 0.05))
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self._port), 5) as peer,
        ):
            peer.sendall(head.encode())
            peer.settimeout(0.02)
            while time.monotonic() < until:
                with contextlib.suppress(TimeoutError):
                    part = peer.recv(chance.choice((16, 999, 65_536)))
                    raw += part
                    if not part:
                        break
        self._read(raw)

    def _read(self, raw: bytes) -> None:
        status, _, rest = raw.partition(b"\r\n\r\n")
        if not status.startswith(b"HTTP/1.1 200"):
            return
        text = b""
        while (chunk := rest.partition(b"\r\n"))[1] and len(chunk[2]) >= int(chunk[0], 16) + 2:
            size = int(chunk[0], 16)
            text, rest = text + chunk[2][:size], chunk[2][size + 2 :]
        for event in text.split(b"\n\n")[:-1]:
            fields = dict(
                line.split(b": ", 1) for line in event.split(b"\n") if not line.startswith(b":")
            )
            self.events[fields.get(b"event", b"message").decode()] += b"data" in fields
            if b"data" in fields and b"event" not in fields:
                self.seen.append(json.loads(fields[b"data"])["index"])
                assert self.seen[-1] == int(fields[b"id"])
            if b"id" in fields:
                self._last = int(fields[b"id"])


def test_a_client_that_is_cut_off_a_hundred_times_misses_and_repeats_nothing(
    server: Server,
) -> None:
    chance = random.Random(7)
    reader, emitter = server.token("reader"), server.token("emitter")
    everything = Follower(server.port, "", reader)
    chosen = Follower(server.port, "?service=pay&phase=applied", reader)
    is_over = threading.Event()

    def append() -> None:
        number = 0
        while not is_over.is_set():
            items = [
                {"service": service, "environment": "prod", "phase": phase, "version": str(number)}
                for service in ("pay", "shop")
                for phase in ("planned", "applied")
            ]
            with contextlib.suppress(OSError, http.client.HTTPException):
                server.ask("POST", "/v1/markers", json.dumps(items).encode(), emitter)
                number += 1

    writer = threading.Thread(target=append)
    writer.start()
    for cut in range(100):
        if cut == 50:
            server.stop(signal.SIGKILL)
            server.start()
        everything.follow(chance)
        chosen.follow(chance)
    is_over.set()
    writer.join()
    log = server.entries()
    for follower in (everything, chosen):
        while follower.seen[-1:] < [len(log) - 4]:  # the newest that both want
            follower.follow(chance)
        assert set(follower.events) == {"message"}
    assert len(log) > 200
    assert everything.seen[: len(log) - 4] == list(range(1, len(log) - 3))
    wanted = [
        each["index"]
        for each in log
        if (said := each.get("marker", {})).get("service") == "pay" and said["phase"] == "applied"
    ]
    assert chosen.seen == wanted[: len(chosen.seen)]
    assert len(chosen.seen) >= len(wanted) - 1
    server.check()


# Secrets -----------------------------------------------------------------------------------------


def test_no_secret_is_written_anywhere(server: Server, tmp_path: Path) -> None:
    emitter, reader = server.token("emitter"), server.token("reader")
    session = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
    session.request("POST", "/v1/session", json.dumps({"token": reader}), JSON)
    opened = session.getresponse()
    cookie = str(opened.getheader("set-cookie")).partition("=")[2].partition(";")[0]
    csrf = json.loads(opened.read())["csrf_token"]
    session.close()
    said = {"service": "shop", "environment": "prod", "phase": "applied", "version": "1"}
    misplaced: list[Json] = [
        {**said, "reason": emitter},
        {**said, "labels": {"token": emitter}},
        {**said, "service": reader},
        {**said, "correlation_id": ADMIN},
        {**said, emitter: "1"},
        {**said, "emitter": {"id": reader, "epoch": "e", "sequence": 1}},
    ]
    for body in misplaced:
        for token in (emitter, ""):
            server.ask("POST", "/v1/markers", json.dumps(body).encode(), token)
    for path in (f"/v1/markers?token={reader}", f"/{reader}", f"/v1/deployments/{reader}"):
        server.ask("GET", path, token=reader)
    for wrong in (emitter[:-1] + "x", f"{reader} "):
        server.ask("GET", "/v1/tokens", token=wrong)
    server.check()
    secrets = {emitter, reader, emitter[17:], reader[17:], cookie, csrf}
    for file in (each for each in tmp_path.rglob("*") if each.is_file()):
        content = file.read_bytes()
        assert [each for each in secrets if each.encode() in content] == [], file
