"""Attacks on who may say what: replays, borrowed ids, lookalikes, and words of a second meaning."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from door_samples import ALL, Door, marker

from deploymark.crypto.dsse import sign_envelope
from deploymark.crypto.signer import Ed25519EnvelopeSigner
from deploymark.ingest.callers import LOCAL
from deploymark.ingest.key_entries import registration, revocation
from deploymark.ingest.tokens import Tokens
from deploymark.log.sequencer import Candidate, Outcome
from deploymark.model.entries import Scope
from deploymark.model.envelope import Envelope
from deploymark.model.ids import deployment_id
from deploymark.model.leaf import decode_leaf
from deploymark.model.vocabulary import IN_TOTO, KEY, MARKER, PREDICATE_TYPE, STATEMENT_TYPE, Role
from deploymark.testing.whole_log import producer

if TYPE_CHECKING:
    from concurrent.futures import Future

LONG_S = 3_600
SHOP = Scope(services=("shop-*",), environments=("prod",))
DIGEST = "a" * 64


@pytest.fixture
def shop(door: Door) -> Ed25519EnvelopeSigner:
    """A producer's key that may speak about the shop in production."""
    key = producer("shop")
    door.log.register(key, "shop", SHOP)
    return key


@pytest.fixture
def shop_door(door: Door) -> Door:
    """A door whose emitter's token may speak about the shop in production."""
    tokens = door.parts.tokens
    assert isinstance(tokens, Tokens)
    door.tokens[Role.EMITTER] = tokens.issue("shop", [Role.EMITTER], SHOP, None, LOCAL).text
    return door


def _said(**changes: object) -> dict[str, Any]:
    return {
        "service": "shop-web",
        "environment": "prod",
        "phase": "applied",
        "version": "1",
        **changes,
    }


def _json(envelope: Envelope) -> bytes:
    return json.dumps(
        {
            "payload": envelope.payload,
            "payloadType": envelope.payloadType,
            "signatures": [{"keyid": s.keyid, "sig": s.sig} for s in envelope.signatures],
        }
    ).encode()


def _sealed(
    key: Ed25519EnvelopeSigner, said: Mapping[str, Any] | bytes, kind: str = MARKER
) -> bytes:
    payload = said if isinstance(said, bytes) else json.dumps(said).encode()
    return _json(sign_envelope(kind, payload, [key]))


def _newest(door: Door) -> Envelope:
    size = door.log.store.head().size
    return decode_leaf(door.log.store.entry(size - 1).leaf or b"").dsse


# Replays -----------------------------------------------------------------------------------------


def test_what_the_platform_signed_for_a_caller_is_nobodys_signature_later(door: Door) -> None:
    # Who reads the log has the envelope. Handed in again it must not become the word of a
    # producer, of higher assurance than the token had, and without any token.
    assert door.post(_said()).status == 201
    stolen = _json(_newest(door))
    assert door.post(_said(phase="rolled_back")).status == 201
    size = door.log.store.head().size
    door.log.clock.advance(LONG_S)
    again = door.post(stolen, role=None)
    assert again.status in {200, 403}, again.json
    assert door.log.store.head().size == size


def test_a_signed_marker_that_anybody_hands_in_again_says_nothing_new(
    door: Door, shop: Ed25519EnvelopeSigner
) -> None:
    # A public log shows every envelope. One that states its time says one thing once; its replay
    # after a rollback must not look as if the release had come back.
    sealed = _sealed(shop, _said(timestamp="2026-11-18T11:06:40Z"))
    assert door.post(sealed, role=None).status == 201
    assert door.post(_sealed(shop, _said(phase="rolled_back")), role=None).status == 201
    size = door.log.store.head().size
    door.log.clock.advance(LONG_S)
    assert door.post(sealed, role=None).status == 200
    assert door.log.store.head().size == size


def test_an_envelope_of_another_log_is_no_word_here(door: Door) -> None:
    with Door() as elsewhere:
        stranger = producer("stranger")
        elsewhere.log.register(stranger, "stranger", ALL)
        sealed = _sealed(stranger, _said())
        assert elsewhere.post(sealed, role=None).status == 201
    assert door.post(sealed, role=None).status == 403


# Names of somebody else --------------------------------------------------------------------------


def test_nobody_can_occupy_the_deployment_that_another_service_will_have(door: Door) -> None:
    # Derived ids can be foretold by whoever knows the next run; its emitter would be refused for
    # good, and take it for its own mistake.
    foretold = deployment_id("pay", "prod", "version:9", "run-1")
    door.post({**_said(service="evil", phase="planned"), "deployment_id": foretold})
    answer = door.post(_said(service="pay", version="9", action="run-1"))
    assert answer.status == 201, answer.json


def test_a_given_deployment_of_another_service_is_refused(door: Door) -> None:
    first = door.post(_said(service="pay")).json["deployment_id"]
    answer = door.post(_said(service="evil", deployment_id=first))
    assert (answer.status, answer.json["code"]) == (409, "marker_conflict")


def test_a_marker_id_cannot_be_chosen(door: Door) -> None:
    other = door.post(_said()).json["marker_id"]
    answer = door.post(_said(version="2", marker_id=other))
    assert (answer.status, answer.json["code"]) == (422, "bad_id")


def test_an_emitter_does_not_read_what_another_one_wrote_by_repeating_it(door: Door) -> None:
    # GET /v1/markers/{index}/receipt answers 403 for the same entry.
    tokens = door.parts.tokens
    assert isinstance(tokens, Tokens)
    assert door.post(_said(reason="words for a few")).status == 201
    door.tokens[Role.EMITTER] = tokens.issue("other", [Role.EMITTER], ALL, None, LOCAL).text
    answer = door.post(_said(), prefer="receipt")
    assert answer.status == 200
    extra = answer.json.get("receipt", "").partition("extra ")[2].partition("\n")[0]
    leaf = base64.b64decode(extra)
    payload = base64.b64decode(json.loads(leaf)["dsse"]["payload"]) if leaf else b""
    assert b"words for" not in payload


# Scopes ------------------------------------------------------------------------------------------

_BEYOND: dict[str, dict[str, Any]] = {
    "another service": {"service": "pay"},
    "another case": {"service": "SHOP-web"},
    "a hyphen that only looks like one": {"service": "shop\u2010web"},
    "a letter that only looks like one": {"service": "\uff53hop-web"},
    "a letter that lower-cases to one": {"service": "\u017fhop-web"},
    "an invisible letter before it": {"service": "\u200bshop-web"},
    "a space before it": {"service": " shop-web"},
    "another environment": {"environment": "prod2"},
    "a line feed behind it": {"environment": "prod\n"},
}


@pytest.mark.parametrize("changes", _BEYOND.values(), ids=_BEYOND)
@pytest.mark.parametrize("form", ["flat", "statement", "signed", "signed with a wide token"])
def test_nothing_beyond_a_scope_is_admitted(
    door: Door, shop: Ed25519EnvelopeSigner, form: str, changes: dict[str, Any]
) -> None:
    said = _said(**changes, artifact={"digest": f"sha256:{DIGEST}"})
    size = door.log.store.head().size
    if form.startswith("signed"):
        wide = form != "signed"
        answer = door.post(_sealed(shop, said), role=Role.EMITTER if wide else None)
    else:
        tokens = door.parts.tokens
        assert isinstance(tokens, Tokens)
        door.tokens[Role.EMITTER] = tokens.issue("shop", [Role.EMITTER], SHOP, None, LOCAL).text
        answer = door.post(said if form == "flat" else _statement(said))
    assert answer.status == 403, answer.json
    assert door.log.store.head().size == size


def _statement(said: dict[str, Any], **changes: object) -> dict[str, Any]:
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"digest": {"sha256": DIGEST}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": said,
        **changes,
    }


def test_a_key_and_a_token_must_both_allow_it(shop_door: Door, shop: Ed25519EnvelopeSigner) -> None:
    pay = producer("pay")
    shop_door.log.register(pay, "pay", Scope(services=("pay",), environments=("*",)))
    own = {
        "the token does not": _sealed(pay, _said(service="pay")),
        "the key does not": _sealed(pay, _said()),
    }
    assert {why: shop_door.post(body).status for why, body in own.items()} == dict.fromkeys(
        own, 403
    )
    assert shop_door.post(_sealed(shop, _said())).status == 201


_DOUBLE = {
    "a field twice": b'{"service":"pay","environment":"prod","phase":"applied","version":"1",'
    b'"service":"shop-web"}',
    "a field twice, one of them escaped": b'{"service":"pay","environment":"prod",'
    b'"phase":"applied","version":"1","servic\\u0065":"shop-web"}',
    "an alias that says otherwise": json.dumps(
        _said(artifact={"digest": f"sha256:{DIGEST}"}, artifact_digest="sha256:" + "b" * 64)
    ).encode(),
    "a Statement about something else than its predicate": json.dumps(
        _statement(_said(artifact={"digest": "sha256:" + "b" * 64}))
    ).encode(),
    "a Statement whose predicate is elsewhere too": json.dumps(
        {**_statement(_said(artifact={"digest": f"sha256:{DIGEST}"})), **_said(service="pay")}
    ).encode(),
    "a Statement in a marker's field": json.dumps(_said(predicate=_said(service="pay"))).encode(),
}


@pytest.mark.parametrize("body", _DOUBLE.values(), ids=_DOUBLE)
def test_what_can_be_read_in_two_ways_is_refused(shop_door: Door, body: bytes) -> None:
    size = shop_door.log.store.head().size
    assert shop_door.post(body).status == 422
    assert shop_door.log.store.head().size == size


def test_a_batch_does_not_carry_one_item_in_on_the_right_of_another(shop_door: Door) -> None:
    items = [_said(), _said(service="pay"), _said(environment="dev"), 7, [_said()]]
    array = shop_door.post(items).json["results"]
    assert [each["status"] for each in array] == [201, 403, 403, 422, 422]
    lines = b"\r\n".join(json.dumps(each).encode() for each in items)
    again = shop_door.post(lines, content_type="application/x-ndjson").json["results"]
    assert [each["status"] for each in again] == [200, 403, 403, 422, 422]


# Keys --------------------------------------------------------------------------------------------


def _power_grabs(door: Door, shop: Ed25519EnvelopeSigner) -> dict[str, bytes]:
    evil, now_ms = producer("evil"), door.log.clock.now_ms()
    all_powerful = Scope(services=("*",), environments=("*",), entries=("*",))
    grab = registration(evil.public, "evil", all_powerful, now_ms)
    forged = sign_envelope(KEY, grab, [evil])
    as_admin = json.loads(_json(forged))
    as_admin["signatures"][0]["keyid"] = door.log.admin.key_id
    along = json.loads(_json(sign_envelope(KEY, grab, [shop, evil])))
    disguised = json.loads(_sealed(shop, grab, MARKER)) | {"payloadType": KEY}
    return {
        "a key that registers itself": _json(forged),
        "under the administrator's name": json.dumps(as_admin).encode(),
        "by a producer": _sealed(shop, grab, KEY),
        "by a producer, the new key along": json.dumps(along).encode(),
        "what was signed as another type": json.dumps(disguised).encode(),
        "the administrator's end": _sealed(shop, revocation(door.log.admin.key_id, now_ms), KEY),
    }


@pytest.mark.parametrize("path", ["/v1/markers", "/v1/entries"])
def test_only_an_administrators_key_says_who_may_sign(
    door: Door, shop: Ed25519EnvelopeSigner, path: str
) -> None:
    before, size = door.log.ring.export(), door.log.store.head().size
    for why, body in _power_grabs(door, shop).items():
        for role in (None, Role.EMITTER, Role.ADMIN):
            answer = door.ask("POST", path, role, body, {"content-type": "application/json"})
            assert answer.status == 403, (why, answer.json)
    assert (door.log.ring.export(), door.log.store.head().size) == (before, size)


def test_a_forged_key_entry_never_reaches_the_writer(
    door: Door, shop: Ed25519EnvelopeSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each one stops the writer for a copy of all keys, and is committed alone: with a few hundred
    # keys, one anonymous batch of a thousand held everybody up for seconds.
    reached: list[object] = []
    submit = door.log.sequencer.submit

    def submitted(candidates: Sequence[Candidate]) -> "Future[list[Outcome]]":
        reached.extend(candidates)
        return submit(candidates)

    monkeypatch.setattr(door.log.sequencer, "submit", submitted)
    grabs = _power_grabs(door, shop)
    forged = [json.loads(grabs[why]) for why in list(grabs)[:2]]
    assert door.post([*forged, *forged], role=None).status == 403
    assert not reached


_EXTRA = {
    "of a key that nobody knows": producer("unknown").key_id,
    "of a key that is known": producer("other").key_id,
}


def test_every_signature_of_a_known_key_must_verify(
    door: Door, shop: Ed25519EnvelopeSigner
) -> None:
    door.log.register(producer("other"), "other", ALL)
    answers = {}
    for number, (why, key_id) in enumerate(_EXTRA.items()):
        envelope = json.loads(_sealed(shop, _said(version=str(number))))
        sig = base64.b64encode(b"x" * 64).decode()
        envelope["signatures"].append({"keyid": key_id, "sig": sig})
        answers[why] = door.post(json.dumps(envelope).encode(), role=None).status
    assert answers == dict(zip(_EXTRA, (201, 403), strict=True))
    door.log.register(producer("unknown"), "unknown", ALL)  # a key may come later; the log stands
    assert not door.log.faults()


def test_the_first_signature_counts_and_a_second_one_lends_it_no_scope(
    door: Door, shop: Ed25519EnvelopeSigner
) -> None:
    pay = producer("pay")
    door.log.register(pay, "pay", Scope(services=("pay",), environments=("*",)))
    payload = json.dumps(_said(service="pay")).encode()
    answer = door.post(_json(sign_envelope(MARKER, payload, [shop, pay])), role=None)
    assert answer.status == 403


_WEAK = {
    "zero": bytes(32),
    "the neutral element": b"\x01" + bytes(31),
    "a point of order two": bytes.fromhex("ec" + "ff" * 30 + "7f"),
    "a point of order eight": bytes.fromhex(
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"
    ),
}


@pytest.mark.parametrize("point", _WEAK.values(), ids=_WEAK)
def test_a_key_of_small_order_verifies_nothing(door: Door, point: bytes) -> None:
    said = registration(point, "weak", ALL, door.log.clock.now_ms())
    registered = door.log.receive(sign_envelope(KEY, said, [door.log.admin]))
    assert len(registered) == 1
    key_id = json.loads(said)["key_id"]
    payload = base64.b64encode(json.dumps(_said()).encode()).decode()
    for other in _WEAK.values():
        sig = base64.b64encode(other + bytes(32)).decode()
        signatures = [{"keyid": key_id, "sig": sig}]
        body = {"payload": payload, "payloadType": MARKER, "signatures": signatures}
        assert door.post(body, role=None).status == 403


_TYPES = ("application/json", "", IN_TOTO.upper(), f"{MARKER} ", MARKER.replace("v1", "v01"))


@pytest.mark.parametrize("kind", _TYPES)
def test_a_payload_type_has_one_spelling(
    door: Door, shop: Ed25519EnvelopeSigner, kind: str
) -> None:
    assert door.post(_sealed(shop, _said(), kind), role=None).status == 422


def test_a_thousand_refusals_of_one_caller_are_not_in_the_log(door: Door) -> None:
    size = door.log.store.head().size
    answer = door.post([marker(number) for number in range(1_000)], role=None)
    assert answer.status == 403
    assert door.log.store.head().size == size
