"""What is handed in over HTTP: forms, batches, limits, receipts."""

import base64
import gzip
import hashlib
import json
import zlib

import pytest
from door_samples import ALL, BREAKS_OFF, Door, marker

from deploymark.crypto.dsse import sign_envelope
from deploymark.crypto.note import parse_note
from deploymark.log.checkpoint import parse_checkpoint
from deploymark.log.proof import verify_inclusion
from deploymark.log.receipt import parse_receipt
from deploymark.log.tree import leaf_hash
from deploymark.model.canonical import encode
from deploymark.model.vocabulary import AMENDMENT, Role
from deploymark.server.admission import batch_status, sent_at
from deploymark.server.settings import Settings
from deploymark.testing.whole_log import envelope_json, producer, sign

NDJSON = "application/x-ndjson"


def test_a_marker_is_new_once_and_known_after(door: Door) -> None:
    first, second = door.post(marker(1)), door.post(marker(1, owner="team-b"))
    assert (first.status, second.status) == (201, 200)
    assert first.json["duplicate"] is False
    assert second.json == {**first.json, "duplicate": True, "ignored": ["owner"]}
    assert set(first.json) == {
        "index",
        "marker_id",
        "deployment_id",
        "occurrence",
        "received_at",
        "duplicate",
        "ignored",
    }


def test_a_conflict_is_a_409(door: Door) -> None:
    given = {"deployment_id": "release-7"}
    assert door.post(marker(1, **given)).status == 201
    refused = door.post(marker(2, service="service-1", **given))
    assert (refused.status, refused.json["code"]) == (409, "marker_conflict")


def test_statement_and_envelope_are_taken_too(door: Door) -> None:
    key = producer("shop")
    door.log.register(key, "shop", ALL)
    signed = envelope_json(sign(marker(1), key))
    admitted = door.post(signed)
    assert admitted.status == 201, admitted.body
    shown = door.ask("GET", f"/v1/markers/{admitted.json['index']}", Role.READER).json
    assert (shown["assurance"], shown["principal"]) == ("signed", "token:emitter")


def test_a_forged_envelope_is_a_403(door: Door) -> None:
    key = producer("shop")
    door.log.register(key, "shop", ALL)
    envelope, other = sign(marker(1), key), sign(marker(2), key)
    forged = {**json.loads(envelope_json(envelope)), "payload": other.payload}
    assert (door.post(forged).status, door.post(forged).json["code"]) == (403, "bad_signature")
    stranger = envelope_json(sign(marker(1), producer("stranger")))
    assert (door.post(stranger).status, door.post(stranger).json["code"]) == (403, "key_untrusted")


def test_other_entries_go_in_signed(door: Door) -> None:
    door.post(marker(1))
    said = {
        "entry_index": 1,
        "fields": {"owner": "team-c"},
        "reason": "It moved.",
        "timestamp": "2026-11-18T11:06:40.000Z",
    }
    envelope = envelope_json(sign_envelope(AMENDMENT, encode(said), [door.log.admin]))
    headers = {"content-type": "application/json"}
    reply = door.ask("POST", "/v1/entries", Role.EMITTER, envelope, headers)
    assert reply.status in {201, 422}, reply.body
    assert "marker_id" not in reply.json


# Batches -----------------------------------------------------------------------------------------


def test_a_batch_is_answered_item_by_item_in_its_order(door: Door) -> None:
    door.post(marker(1))
    reply = door.post([marker(2), {"service": "x"}, marker(1), 7, marker(3)])
    assert reply.status == 207
    assert [result["status"] for result in reply.json["results"]] == [201, 422, 200, 422, 201]
    assert [result.get("index") for result in reply.json["results"]] == [2, None, 1, None, 3]
    assert reply.json["results"][1]["type"] == "/problems/bad_marker"


_BATCHES = {
    "all new": ([201, 201], 201),
    "all known": ([200, 200], 200),
    "new and known": ([201, 200], 207),
    "new and refused": ([201, 422], 207),
    "known and refused": ([200, 403], 207),
    "all refused for one reason": ([403, 403], 403),
    "all refused for several": ([403, 422], 422),
    "one": ([201], 201),
}


@pytest.mark.parametrize(("statuses", "status"), _BATCHES.values(), ids=_BATCHES)
def test_the_status_of_a_batch_follows_from_its_items(statuses: list[int], status: int) -> None:
    assert batch_status(statuses) == status


def test_ndjson_is_a_batch_even_of_one(door: Door) -> None:
    lines = [json.dumps(marker(1)), "", '{"broken', json.dumps(marker(2)), "\r"]
    reply = door.post("\n".join(lines).encode(), content_type=NDJSON)
    assert [result["status"] for result in reply.json["results"]] == [201, 422, 201]
    one = door.post(json.dumps(marker(3)).encode(), content_type=NDJSON)
    assert (one.status, len(one.json["results"])) == (201, 1)


def test_what_is_wrong_with_an_item_is_the_items_problem(door: Door) -> None:
    deep = b"[" * 5_000 + b"]" * 5_000
    items = [
        b'{"service": "\xff"}',
        b'{"service": ' + b'{"a":' * 200 + b"1" + b"}" * 200 + b"}",
        b'{"service": "a", "service": "b"}',
        b'{"service": "' + b"x" * 70_000 + b'"}',
        json.dumps(marker(1)).encode(),
    ]
    reply = door.post(b"[" + b",".join(items) + b"]")
    assert [result["status"] for result in reply.json["results"]] == [422, 422, 422, 413, 201]
    for body in (deep, b'{"a":' * 5_000 + b"1" + b"}" * 5_000):
        assert 400 <= door.post(body).status < 500
        assert 400 <= door.post(body, content_type=NDJSON).status < 500


_MALFORMED = {
    "nothing": b"",
    "blanks": b" \n ",
    "no JSON": b"service=x",
    "a number": b"7",
    "a text": b'"x"',
    "an empty batch": b"[]",
    "an open batch": b'[{"a":1},',
    "a batch with a tail": b"[] []",
    "a byte order mark": b"\xef\xbb\xbf{}",
}


@pytest.mark.parametrize("body", _MALFORMED.values(), ids=_MALFORMED)
def test_a_body_that_is_no_item_and_no_batch_is_a_400(door: Door, body: bytes) -> None:
    refused = door.post(body)
    assert (refused.status, refused.json["code"]) == (400, "bad_request")


def test_a_batch_has_a_thousand_items_at_most(door: Door) -> None:
    refused = door.post([0] * 1_001)
    assert (refused.status, refused.json["code"]) == (413, "too_large")
    assert "1001 items; the limit is 1000" in refused.json["detail"]


# Sizes and types ---------------------------------------------------------------------------------


def test_a_marker_has_64_kilobytes_at_most(door: Door) -> None:
    refused = door.post({**marker(1), "labels": {"x": "x" * 66_000}})
    assert (refused.status, refused.json["code"]) == (413, "too_large")


def test_a_batch_has_4_megabytes_at_most_and_is_read_no_further(door: Door) -> None:
    headers = {"content-type": "application/json"}
    declared = {**headers, "content-length": str(10 << 20)}
    for said in (headers, declared):
        body = [b"[", *[b" " * 1_048_576] * 4, b"unread"]
        refused = door.ask("POST", "/v1/markers", Role.EMITTER, body, said)
        assert (refused.status, refused.json["code"]) == (413, "too_large")


def test_gzip_is_unpacked(door: Door) -> None:
    body = gzip.compress(json.dumps([marker(n) for n in range(60)]).encode())
    assert door.post(body, content_encoding="gzip").status == 201
    large = gzip.compress(json.dumps([marker(99)]).encode() + b" " * 400_000, 0)
    assert door.post(large, content_encoding="gzip").status == 201


def test_a_bomb_is_unpacked_no_further_than_the_limit(door: Door) -> None:
    packer = zlib.compressobj(9, wbits=31)
    zeros = b" " * 1_048_576
    bomb = b"".join(packer.compress(zeros) for _ in range(100)) + packer.flush()
    assert len(bomb) < 200_000
    refused = door.post(bomb, content_encoding="gzip")
    assert (refused.status, refused.json["code"]) == (413, "too_large")


_PACKED = gzip.compress(b"{}")


@pytest.mark.parametrize(
    "body",
    [b"{}", _PACKED[:-1], _PACKED + b"x", _PACKED * 2, _PACKED[:-8] + b"\0" * 8, b""],
    ids=["plain", "cut off", "with a tail", "two members", "of another sum", "empty"],
)
def test_what_is_no_gzip_is_a_400(door: Door, body: bytes) -> None:
    refused = door.post(body, content_encoding="gzip")
    assert (refused.status, refused.json["code"]) == (400, "bad_request")


_TYPES = {
    "application/json": True,
    "Application/JSON; charset=UTF-8": True,
    'application/json; charset="utf-8"': True,
    "application/vnd.in-toto+json": True,
    "application/json; charset=latin-1": False,
    "text/plain": False,
    "application/x-www-form-urlencoded": False,
    "multipart/form-data; boundary=x": False,
    "": False,
}


@pytest.mark.parametrize(("kind", "taken"), _TYPES.items())
def test_only_json_is_taken(door: Door, kind: str, *, taken: bool) -> None:
    reply = door.post(marker(1), content_type=kind)
    assert reply.status == (201 if taken else 415)


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd"])
def test_only_gzip_is_unpacked(door: Door, encoding: str) -> None:
    assert door.post(marker(1), content_encoding=encoding).status == 415


def test_a_body_that_breaks_off_is_not_admitted(door: Door) -> None:
    headers = {"content-type": "application/json"}
    body = [json.dumps(marker(1)).encode(), BREAKS_OFF]
    assert door.ask("POST", "/v1/markers", Role.EMITTER, body, headers).status == 0
    assert door.log.store.head().size == 1
    metrics = door.ask("GET", "/metrics", Role.READER).body.decode()
    assert 'operation="admit_markers",status="499"} 1' in metrics


# Receipts ----------------------------------------------------------------------------------------


def test_a_receipt_is_given_to_those_who_prefer_one(door: Door) -> None:
    reply = door.post([marker(1), {}, marker(2)], prefer="respond-async, Receipt")
    assert reply.headers["preference-applied"] == "receipt"
    first, refused, second = reply.json["results"]
    assert "receipt" not in refused
    for result in (first, second):
        receipt = parse_receipt(result["receipt"])
        assert receipt.index == result["index"]
        signed = parse_checkpoint(parse_note(receipt.note).text)
        hashed = leaf_hash(receipt.extra or b"")
        verify_inclusion(receipt.index, signed.size, hashed, list(receipt.proof), signed.root)
    again = door.post(marker(1), prefer="receipt")
    assert parse_receipt(again.json["receipt"]).index == first["index"]
    assert "receipt" not in door.post(marker(3)).json


def test_limits_follow_the_settings() -> None:
    with Door(Settings(max_batch_items=1, max_marker_bytes=100)) as door:
        assert door.post([marker(1), marker(2)]).status == 413
        assert door.post(marker(1)).status == 413
        assert door.post([marker(1)]).status == 201


# Details -----------------------------------------------------------------------------------------


def test_details_are_kept_shown_and_erased(door: Door) -> None:
    headers = {"content-type": "text/plain; charset=utf-8"}
    kept = door.ask("POST", "/v1/details", Role.EMITTER, b"Ada rang.", headers)
    assert (kept.status, kept.json["size"]) == (201, 9)
    path = f"/v1/details/{kept.json['digest']}"
    shown = door.ask("GET", path, Role.READER)
    assert (shown.status, shown.body) == (200, b"Ada rang.")
    assert shown.headers["content-disposition"] == "attachment"
    salted = base64.b64decode(shown.headers["deploymark-salt"]) + shown.body
    assert kept.json["digest"] == f"sha256:{hashlib.sha256(salted).hexdigest()}"
    assert door.ask("DELETE", path, Role.ADMIN).status == 400
    erased = door.ask("DELETE", f"{path}?reason=She%20asked", Role.ADMIN)
    assert (erased.status, erased.json["index"]) == (200, kept.json["index"] + 1)
    gone = door.ask("GET", path, Role.READER)
    assert (gone.status, "was erased" in gone.json["detail"]) == (404, True)


def test_details_may_hold_what_is_personal_and_no_secret(door: Door) -> None:
    headers = {"content-type": "text/plain"}
    rang = b"Ada (ada@example.com) rang."
    assert door.ask("POST", "/v1/details", Role.EMITTER, rang, headers).status == 201
    secret = b"the token is " + b"ghp_" + b"a1B2" * 9
    refused = door.ask("POST", "/v1/details", Role.EMITTER, secret, headers)
    assert (refused.status, refused.json["code"]) == (422, "secret_refused")


def test_details_have_a_megabyte_at_most(door: Door) -> None:
    body = [b"x" * 1_048_576, b"x"]
    headers = {"content-type": "application/octet-stream"}
    assert door.ask("POST", "/v1/details", Role.EMITTER, body, headers).status == 413


@pytest.mark.parametrize(
    ("said", "time_ms"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777_000),
        ("Mon, 23 Nov 2026 10:00:00 GMT", 1_795_428_000_000),
        ("yesterday", None),
        ("Mon, 99 Nov 2026 10:00:00 GMT", None),
        ("", None),
    ],
)
def test_the_date_of_a_request_tells_the_clock_of_its_emitter(
    said: str, time_ms: int | None
) -> None:
    assert sent_at(said) == time_ms
