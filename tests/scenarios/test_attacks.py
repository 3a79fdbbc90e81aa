"""Somebody means harm: malformed words, kills, cut connections, and a search for secrets.

A real server is attacked from outside. Whatever happens, it answers no 5xx, writes no traceback,
keeps everything that it has acknowledged exactly once, and its log adds up.
"""

import base64
import http.client
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from attacked import ADMIN, SECONDS, Json, Server

from deploymark.model.vocabulary import IN_TOTO, MARKER, PREDICATE_TYPE, STATEMENT_TYPE


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
