"""Somebody means harm: malformed words, kills, cut connections, and a search for secrets.

A real server is attacked from outside. Whatever happens, it answers no 5xx, writes no traceback,
keeps everything that it has acknowledged exactly once, and its log adds up.
"""

import base64
import contextlib
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from deploymark.emit.emitter import Emitter, State
from deploymark.emit.settings import Settings
from deploymark.model.vocabulary import IN_TOTO, MARKER, PREDICATE_TYPE, STATEMENT_TYPE

BIN = Path(sys.executable).parent
SECONDS = 60
ADMIN = "an-administrator-brings-this-text-of-43-chars"
JSON = {"Content-Type": "application/json"}
Json = dict[str, Any]


class Server:
    """One server and its data, which survive each other."""

    def __init__(self, place: Path) -> None:
        self.data = place / "data"
        self.errors = place / "stderr"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, always on the same port."""
        words = ["up", "--json", "--data", str(self.data), "--listen", f"127.0.0.1:{self.port}"]
        with self.errors.open("ab") as errors:
            self._process = subprocess.Popen(
                [BIN / "deploymark", *words],
                env={"PATH": os.defpath, "DEPLOYMARK_ADMIN_TOKEN": ADMIN},
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.errors.read_text()
        self.port = int(json.loads(line)["url"].rsplit(":", 1)[1])

    def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        """End it, by its process id."""
        if self._process is None:
            return
        self._process.send_signal(by)
        code = self._process.wait(SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None
        assert code == (0 if by is signal.SIGTERM else -by)

    def ask(self, method: str, path: str, body: bytes = b"", token: str = ADMIN) -> tuple[int, Any]:
        """Ask over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        with contextlib.closing(connection):
            connection.request(
                method,
                path,
                body,
                {**JSON, **({"Authorization": f"Bearer {token}"} if token else {})},
            )
            answer = connection.getresponse()
            content = answer.read()
            return answer.status, json.loads(content) if content else None

    def token(self, *roles: str) -> str:
        """Make a token."""
        scope = {"services": ["*"], "environments": ["*"]} if "emitter" in roles else None
        said = {"name": "-".join(roles), "roles": roles, "scope": scope}
        status, made = self.ask("POST", "/v1/tokens", json.dumps(said).encode())
        assert status == 201, made
        return str(made["token"])

    def size(self) -> int:
        """Return how many entries the log has, by its metrics."""
        with urlopen(f"http://127.0.0.1:{self.port}/metrics") as answer:
            found = re.search(rb"^deploymark_log_size (\d+)", answer.read(), re.MULTILINE)
        assert found is not None
        return int(found[1])

    def entries(self) -> list[Json]:
        """Read the whole log, as the views show it once they have seen all of it."""
        items: list[Json] = []
        cursor = f"&after={self.size() - 1}"
        while cursor:
            _, page = self.ask("GET", f"/v1/entries?order=oldest&limit=1000{cursor}")
            items += page["items"]
            cursor = page["next_cursor"] and f"&cursor={quote(page['next_cursor'])}"
        return items

    def check(self) -> None:
        """Stop; the log must add up, and nothing unforeseen have happened."""
        self.stop()
        done = subprocess.run(
            [BIN / "deploymark", "log", "fsck", "--data", self.data],
            capture_output=True,
            encoding="utf-8",
            env={},
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said = self.errors.read_text()
        assert "Traceback" not in said
        assert '"level": "error"' not in said, said

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.stop(signal.SIGKILL)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server on an empty folder."""
    with Server(tmp_path) as running:
        yield running


# Malformed words ---------------------------------------------------------------------------------


def _nested(depth: int, *, as_list: bool) -> object:
    value: object = "x"
    for _ in range(depth):
        value = [value] if as_list else {"a": value}
    return value


INSTANTS = (
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999999Z",
    "9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00Z", "1969-12-31T23:59:59Z",
    "2016-12-31T23:59:60Z", "2026-02-30T00:00:00Z", "2026-11-23T24:00:00Z",
    "2026-11-23T00:00:00+24:00", "2026-11-23t01:02:03.1234567890123456789z", "2026-11-23T00:00:00",
    "2026-11-23T00:00:00Z\n", "\u0662\u0660\u0662\u0666-11-23T00:00:00Z",
)  # fmt: skip
WORDS = (
    "", " ", "a", "x" * 256, "x" * 257, "x" * 2_049, "x" * 40_000, "\u0000", "\u00e9" * 128,
    "\u00e9" * 129, "\ud800", "\udfff x", "\U0010ffff", "\ufffe\uffff", "\u202e", "a\nb", "\x7f",
    "<script>", "'; DROP TABLE entry;--", "%s%n", "../../etc/passwd", "a~2", "~", "*", "1e5",
    "sha256:" + "a" * 64, "sha256:" + "A" * 64, "sha256:" + "a" * 64 + "\n", "d-" + "0" * 26,
    "m-" + "z" * 26, "K\u212a", "\u0130", "\u00df", "NaN",
)  # fmt: skip
NUMBERS = (
    0, -1, 1, 2**31, 2**53 - 1, 2**53, -(2**53), 2**63, 2**64, 10**400, 1.5, -0.0, 1e308, 5e-324,
    float("nan"), float("inf"),
)  # fmt: skip
SHAPES: tuple[object, ...] = (
    None, True, [], {}, [1], [[]], ["a"] * 65, {"a": 1}, {"": ""}, {"a" * 65: "b"},
    {str(number): "b" for number in range(17)}, _nested(31, as_list=True),
    _nested(33, as_list=True), _nested(100, as_list=True), _nested(40, as_list=False),
)  # fmt: skip
PLAIN = (
    "service", "environment", "phase", "deployment_id", "marker_id", "kind", "action",
    "version", "commit_hash", "repository", "ref", "build_id", "build_url", "release_id",
    "correlation_id", "owner", "change_tickets", "author", "approvers", "deployer",
    "change_type", "reason", "risk_flags", "flags", "key", "revision", "value", "direction",
    "attempt", "resources", "timestamp", "changes", "links", "labels", "details_digest",
    "artifact_digest", "change_ticket", "rollout_strategy", "_type", "payloadType", "__proto__",
)  # fmt: skip
FIELDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        PLAIN,
        (),
    ),
    "artifact": ("name", "digest", "tag", "platforms"),
    "target": ("cluster", "namespace", "workload", "instance", "instance_uid", "colour"),
    "rollout": ("strategy", "steps", "track", "weight", "previous_deployment_id", "rollback_of"),
    "schema": ("requires", "provides", "step"),
    "evidence": ("basis", "digest", "observer", "at"),
    "emitter": ("kind", "id", "epoch", "sequence"),
}
PHASES = (
    "planned",
    "applying",
    "applied",
    "running",
    "cutover",
    "promoted",
    "rolled_back",
    "failed",
)
FILTERS = (
    "service", "environment", "digest", "commit", "phase", "kind", "since", "until", "cursor",
    "after", "limit", "order", "type", "code", "deployment_id", "unknown",
)  # fmt: skip
ADDRESSES = (
    "/v1/markers", "/v1/entries", "/v1/deployments", "/v1/emitters", "/v1/markers/{}",
    "/v1/entries/{}", "/v1/deployments/{}", "/v1/details/{}", "/v1/markers/{}/receipt",
    "/log/tile/0/{}", "/log/tile/entries/{}", "/v1/schema/marker/{}", "/problems/{}",
)  # fmt: skip
TYPES = (
    IN_TOTO, MARKER, MARKER.replace("v1", "v2"), "text/plain", "",
    *(MARKER.replace("marker.", f"{name}.") for name in ("key", "finding", "detail", "verdict")),
)  # fmt: skip


class Fuzzer:
    """Hands in what nobody should, and keeps account of what was acknowledged."""

    def __init__(self, server: Server, seed: int) -> None:
        self._chance = random.Random(seed)
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
        self.acknowledged: dict[int, str] = {}
        self.statuses = Counter[int]()

    def run(self, requests: int) -> None:
        """Send so many requests."""
        kinds: list[Callable[[], None]] = [
            self._one,
            self._one,
            self._batch,
            self._look,
            self._make,
        ]
        for _ in range(requests):
            self._chance.choice(kinds)()
        self._connection.close()

    def _send(
        self, method: str, path: str, body: bytes = b"", kind: str = "application/json"
    ) -> Any:  # noqa: ANN401 - JSON
        headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": kind}
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        assert answer.status < 500, (path, body[:2_000], content)
        self.statuses[answer.status] += 1
        is_json = "json" in (answer.getheader("content-type") or "")
        return json.loads(content) if is_json else None

    def _junk(self) -> object:
        return self._chance.choice(self._chance.choice((INSTANTS, WORDS, NUMBERS, SHAPES)))

    def _said(self) -> Json:
        chance = self._chance
        said: Json = {
            "service": chance.choice(("shop", "pay")),
            "environment": "prod",
            "phase": chance.choice(PHASES),
            "version": str(chance.randrange(1_000)),
        }
        if chance.random() < 0.5:
            said["timestamp"] = chance.choice(INSTANTS)
        if chance.random() < 0.5:
            number = chance.randrange(500)
            said["emitter"] = {"id": "ci", "epoch": "e", "sequence": number}
        for _ in range(chance.choice((0, 0, 1, 2))):
            name = chance.choice(tuple(FIELDS))
            if FIELDS[name] and chance.random() < 0.8:
                said[name] = {chance.choice((*FIELDS[name], "zzz")): self._junk()}
            else:
                said[name] = self._junk()
        return said

    def _form(self) -> object:
        said, form = self._said(), self._chance.random()
        if form < 0.7:
            return said
        if form < 0.85:
            subject = [{"digest": {"sha256": "a" * 64}}]
            whole: Json = {"_type": STATEMENT_TYPE, "subject": subject, "predicate": said}
            whole["predicateType"] = PREDICATE_TYPE
        else:
            payload = base64.b64encode(self._bytes(said)).decode()
            sig = base64.b64encode(self._chance.randbytes(64)).decode()
            signatures = [{"keyid": "k-" + "0" * 26, "sig": sig}]
            whole = {"payload": payload, "signatures": signatures}
            whole["payloadType"] = self._chance.choice(TYPES)
        if self._chance.random() < 0.4:
            whole[self._chance.choice(tuple(whole))] = self._junk()
        return whole

    def _bytes(self, value: object) -> bytes:
        text = json.dumps(value, ensure_ascii=self._chance.random() < 0.5)
        body, how = text.encode("utf-8", "surrogatepass"), self._chance.random()
        at = self._chance.randrange(len(body))
        if how < 0.03:
            return body[:at]
        if how < 0.06:
            return body[:at] + bytes([self._chance.randrange(256)]) + body[at + 1 :]
        if how < 0.08:
            return body[:-1] + b',"service":"other"}'
        if how < 0.10:
            return self._chance.choice((b"[", b'{"a":')) * self._chance.choice((9, 999, 9_999))
        return b"\xef\xbb\xbf" + body if how < 0.11 else body

    def _one(self) -> None:
        path = self._chance.choice(("/v1/markers", "/v1/entries"))
        self._count(self._send("POST", path, self._bytes(self._form())))

    def _batch(self) -> None:
        items = [self._bytes(self._form()) for _ in range(self._chance.choice((0, 1, 2, 20)))]
        if self._chance.random() < 0.5:
            answer = self._send("POST", "/v1/markers", b"\n".join(items), "application/x-ndjson")
        else:
            answer = self._send("POST", "/v1/markers", b"[" + b",".join(items) + b"]")
        for each in answer.get("results", ()):
            assert each["status"] < 500, each
            self._count(each)

    def _count(self, answer: Json) -> None:
        if answer.get("duplicate") is False:
            assert answer["index"] not in self.acknowledged
            self.acknowledged[answer["index"]] = answer.get("marker_id", "")

    def _look(self) -> None:
        def word() -> str:
            value = self._junk() if self._chance.random() < 0.8 else self._chance.choice(PHASES)
            text = value if isinstance(value, str) else json.dumps(value)
            return quote(text.encode("utf-8", "surrogatepass")[:300], safe="")

        asked = [
            f"{self._chance.choice(FILTERS)}={word()}" for _ in range(self._chance.randrange(3))
        ]
        address = self._chance.choice(ADDRESSES).format(word())
        self._send("GET", f"{address}?{'&'.join(asked)}")

    def _make(self) -> None:
        scope = {"services": self._junk(), "environments": ["*"], "entries": self._junk()}
        said = self._chance.choice(
            (
                {"name": self._junk(), "roles": self._junk()},
                {"name": "n", "roles": ["emitter"], "scope": scope, "lifetime_s": self._junk()},
                {"name": "k", "public_key": self._junk(), "scope": scope},
                self._junk(),
            )
        )
        path = self._chance.choice(("/v1/tokens", "/v1/keys", "/v1/session"))
        self._send("POST", path, self._bytes(said))


@pytest.mark.parametrize(
    ("seed", "requests"),
    [(1, 500), (2, 500), pytest.param(3, 20_000, marks=pytest.mark.soak)],
)
def test_no_word_breaks_the_server_and_what_it_takes_stands_once(
    server: Server, seed: int, requests: int
) -> None:
    fuzzer = Fuzzer(server, seed)
    fuzzer.run(requests)
    assert {200, 201, 400, 422} <= set(fuzzer.statuses)
    stands = {each["index"]: each["ids"].get("marker_id", "") for each in server.entries()}
    assert list(stands) == list(range(len(stands)))
    assert {index: stands.get(index) for index in fuzzer.acknowledged} == fuzzer.acknowledged
    server.check()


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
