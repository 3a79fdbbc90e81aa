"""The key ring: who may say what, at which index, as a replay of the log's key entries."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from deploymark.crypto.base64text import encode_base64
from deploymark.crypto.dsse import sign_envelope
from deploymark.crypto.keyring import KeyRing
from deploymark.crypto.signer import Ed25519EnvelopeSigner
from deploymark.errors import (
    DeploymarkError,
    EnvelopeError,
    KeyFileError,
    KeyUntrustedError,
    SchemaVersionError,
    SignatureError,
)
from deploymark.model.canonical import encode
from deploymark.model.envelope import Signature
from deploymark.model.leaf import Leaf
from deploymark.model.statement import statement_of
from deploymark.model.vocabulary import FINDING, IN_TOTO, KEY, MARKER, Assurance

Fields = dict[str, Any]

WHEN = "2026-11-23T00:00:00.000Z"
ADMIN, PRODUCER, OTHER, NEXT, STRANGER = [
    Ed25519EnvelopeSigner(Ed25519PrivateKey.from_private_bytes(bytes((n,)) * 32))
    for n in range(1, 6)
]
ADMIN_SCOPE = {"services": ["*"], "environments": ["*"], "entries": ["marker", "key"]}
PRODUCER_SCOPE = {"services": ["checkout", "shop-*"], "environments": ["prod"]}
MARKER_FIELDS = {
    "service": "checkout",
    "environment": "prod",
    "phase": "applied",
    "version": "1.2.3",
    "timestamp": WHEN,
    "emitter": {"kind": "ci", "id": "ci"},
}
DIGEST = "sha256:" + "ab" * 32


def leaf_of(kind: str, payload: bytes, *signers: Ed25519EnvelopeSigner) -> Leaf:
    return Leaf(
        assurance=Assurance.SIGNED,
        dsse=sign_envelope(kind, payload, signers),
        ids={"entry_id": "e-x"},
        occurrence=0,
        principal="ci",
        received_at=WHEN,
    )


def key_leaf(fields: Fields, *signers: Ed25519EnvelopeSigner) -> Leaf:
    return leaf_of(KEY, encode({"timestamp": WHEN, **fields}), *signers)


def marker_leaf(*signers: Ed25519EnvelopeSigner, **changes: str) -> Leaf:
    return leaf_of(MARKER, encode({**MARKER_FIELDS, **changes}), *signers)


def registered(key: Ed25519EnvelopeSigner, scope: Fields = PRODUCER_SCOPE, **more: Any) -> Fields:  # noqa: ANN401
    public = encode_base64(key.public)
    return {
        "action": "registered",
        "key_id": key.key_id,
        "public_key": public,
        "name": "label",
        "scope": scope,
        **more,
    }


def rotated(
    old: Ed25519EnvelopeSigner, new: Ed25519EnvelopeSigner, scope: Fields | None = None
) -> Fields:
    fields = registered(new, scope or {}, action="rotated", successor_of=old.key_id)
    del fields["name"]
    if scope is None:
        del fields["scope"]
    return fields


def revoked(key: Ed25519EnvelopeSigner, distrust_from: int | None = None) -> Fields:
    fields = {"action": "revoked", "key_id": key.key_id}
    return fields if distrust_from is None else {**fields, "distrust_from": distrust_from}


def ring_of(*entries: tuple[int, Leaf]) -> KeyRing:
    ring = KeyRing()
    ring.apply(0, key_leaf(registered(ADMIN, ADMIN_SCOPE), ADMIN))
    for index, leaf in entries:
        ring.apply(index, leaf)
    return ring


def usual_ring() -> KeyRing:
    return ring_of((5, key_leaf(registered(PRODUCER), ADMIN)))


def valid_indexes(ring: KeyRing, key: Ed25519EnvelopeSigner, end: int = 20) -> list[int]:
    leaf = marker_leaf(key)
    return [index for index in range(end) if is_trusted(ring, index, leaf)]


def is_trusted(ring: KeyRing, index: int, leaf: Leaf) -> bool:
    try:
        ring.check(index, leaf)
    except KeyUntrustedError:
        return False
    return True


def with_bad_signature(leaf: Leaf, place: int = 0) -> Leaf:
    signatures = list(leaf.dsse.signatures)
    signatures[place] = Signature(signatures[place].keyid, encode_base64(bytes(64)))
    return replace(leaf, dsse=replace(leaf.dsse, signatures=signatures))


# The first key -----------------------------------------------------------------------------------


def test_entry_0_registers_the_first_key_with_its_own_signature() -> None:
    (key,) = ring_of().keys()
    assert (key.key_id, key.registered_by) == (ADMIN.key_id, ADMIN.key_id)
    assert (key.from_index, key.end_index, key.name) == (0, None, "label")


BAD_BEGINNINGS = {
    "at a later index": (1, key_leaf(registered(ADMIN, ADMIN_SCOPE), ADMIN), "entry 0"),
    "signed by another key": (
        0,
        key_leaf(registered(ADMIN, ADMIN_SCOPE), STRANGER),
        "registers itself",
    ),
    "signed first by another key": (
        0,
        key_leaf(registered(ADMIN, ADMIN_SCOPE), STRANGER, ADMIN),
        "registers itself",
    ),
    "without authority over keys": (0, key_leaf(registered(ADMIN), ADMIN), "allowed"),
    "a revocation": (0, key_leaf(revoked(ADMIN), ADMIN), "registers the first"),
    "another entry": (0, marker_leaf(ADMIN), "Only"),
    "a key id of another key": (
        0,
        key_leaf({**registered(ADMIN, ADMIN_SCOPE), "public_key": encode_base64(b"k" * 32)}, ADMIN),
        "does not belong",
    ),
}


@pytest.mark.parametrize(("index", "leaf", "message"), BAD_BEGINNINGS.values(), ids=BAD_BEGINNINGS)
def test_a_ring_begins_in_no_other_way(index: int, leaf: Leaf, message: str) -> None:
    ring = KeyRing()
    with pytest.raises(KeyUntrustedError, match=message):
        ring.apply(index, leaf)
    assert ring.keys() == []
    assert ring.applied_index is None


def test_the_first_signature_must_verify() -> None:
    ring = KeyRing()
    with pytest.raises(SignatureError):
        ring.apply(0, with_bad_signature(key_leaf(registered(ADMIN, ADMIN_SCOPE), ADMIN)))
    assert ring.keys() == []


def test_a_star_over_entries_is_authority_too() -> None:
    ring = KeyRing()
    ring.apply(0, key_leaf(registered(ADMIN, {**ADMIN_SCOPE, "entries": ["*"]}), ADMIN))
    ring.apply(1, key_leaf(registered(PRODUCER), ADMIN))
    assert len(ring.keys()) == 2


# Validity at an index ----------------------------------------------------------------------------


def test_a_key_may_sign_after_its_registration() -> None:
    assert valid_indexes(usual_ring(), PRODUCER, 9) == [6, 7, 8]


def test_a_revoked_key_may_sign_nothing_from_its_revocation_on() -> None:
    ring = usual_ring()
    ring.apply(8, key_leaf(revoked(PRODUCER), ADMIN))
    assert valid_indexes(ring, PRODUCER) == [6, 7]


def test_distrust_reaches_back() -> None:
    ring = usual_ring()
    ring.apply(12, key_leaf(revoked(PRODUCER, distrust_from=7), ADMIN))
    assert valid_indexes(ring, PRODUCER) == [6]


def test_distrust_from_before_the_registration_takes_everything() -> None:
    ring = usual_ring()
    ring.apply(12, key_leaf(revoked(PRODUCER, distrust_from=0), ADMIN))
    assert valid_indexes(ring, PRODUCER) == []


def test_distrust_from_a_later_index_does_not_prolong_a_key() -> None:
    ring = usual_ring()
    ring.apply(8, key_leaf(revoked(PRODUCER, distrust_from=15), ADMIN))
    assert valid_indexes(ring, PRODUCER) == [6, 7]


def test_an_ended_key_can_still_be_distrusted_earlier_but_not_later() -> None:
    ring = usual_ring()
    ring.apply(12, key_leaf(revoked(PRODUCER, distrust_from=9), ADMIN))
    ring.apply(13, key_leaf(revoked(PRODUCER, distrust_from=7), ADMIN))
    ring.apply(14, key_leaf(revoked(PRODUCER), ADMIN))
    assert valid_indexes(ring, PRODUCER) == [6]


def test_a_rotated_key_hands_over_at_the_index_of_the_rotation() -> None:
    ring = usual_ring()
    ring.apply(9, key_leaf(rotated(PRODUCER, NEXT), PRODUCER))
    assert valid_indexes(ring, PRODUCER, 12) == [6, 7, 8]
    assert valid_indexes(ring, NEXT, 12) == [10, 11]
    new = ring.key(NEXT.key_id)
    assert (new.successor_of, new.name) == (PRODUCER.key_id, "label")
    assert new.scope == ring.key(PRODUCER.key_id).scope


def test_what_a_distrusted_administrator_registered_stands_and_is_named() -> None:
    ring = ring_of(
        (2, key_leaf(registered(OTHER, ADMIN_SCOPE), ADMIN)),
        (5, key_leaf(registered(PRODUCER), OTHER)),
        (8, key_leaf(revoked(OTHER, distrust_from=3), ADMIN)),
    )
    assert valid_indexes(ring, PRODUCER, 8) == [6, 7]
    all_keys = ring.keys()
    brought_in_by = {key.key_id: key.registered_by for key in all_keys}
    assert brought_in_by[PRODUCER.key_id] == OTHER.key_id


# Refused key entries -----------------------------------------------------------------------------

REFUSED_ENTRIES: dict[str, tuple[Leaf, type[DeploymarkError], str]] = {
    "registered by an unknown key": (
        key_leaf(registered(NEXT), STRANGER),
        KeyUntrustedError,
        "not registered",
    ),
    "registered by itself": (
        key_leaf(registered(NEXT), NEXT),
        KeyUntrustedError,
        "not registered",
    ),
    "registered by a key without authority": (
        key_leaf(registered(NEXT), PRODUCER),
        KeyUntrustedError,
        "may not sign key",
    ),
    "registered with authority only in the second signature": (
        key_leaf(registered(NEXT), PRODUCER, ADMIN),
        KeyUntrustedError,
        "may not sign key",
    ),
    "registered again": (
        key_leaf(registered(PRODUCER), ADMIN),
        KeyUntrustedError,
        "registered already",
    ),
    "registered again after its revocation": (
        key_leaf(registered(OTHER), ADMIN),
        KeyUntrustedError,
        "registered already",
    ),
    "registered with a bad signature": (
        with_bad_signature(key_leaf(registered(NEXT), ADMIN)),
        SignatureError,
        "does not verify",
    ),
    "a bad second signature of a known key": (
        with_bad_signature(key_leaf(registered(NEXT), ADMIN, PRODUCER), 1),
        SignatureError,
        "does not verify",
    ),
    "a bad second signature of the new key": (
        with_bad_signature(key_leaf(registered(NEXT), ADMIN, NEXT), 1),
        SignatureError,
        "does not verify",
    ),
    "registered under another id": (
        key_leaf({**registered(NEXT), "key_id": STRANGER.key_id}, ADMIN),
        KeyUntrustedError,
        "does not belong",
    ),
    "rotated to a known key": (
        key_leaf(rotated(PRODUCER, ADMIN), ADMIN),
        KeyUntrustedError,
        "registered already",
    ),
    "rotated from an unknown key": (
        key_leaf(rotated(STRANGER, NEXT), ADMIN),
        KeyUntrustedError,
        "not registered",
    ),
    "rotated from an ended key": (
        key_leaf(rotated(OTHER, NEXT), ADMIN),
        KeyUntrustedError,
        "ended at 7",
    ),
    "rotated by an ended key": (
        key_leaf(rotated(OTHER, NEXT), OTHER),
        KeyUntrustedError,
        "ended at 7",
    ),
    "rotated by the new key": (
        key_leaf(rotated(PRODUCER, NEXT), NEXT),
        KeyUntrustedError,
        "not registered",
    ),
    "rotated by a third key": (
        key_leaf(rotated(ADMIN, NEXT), PRODUCER),
        KeyUntrustedError,
        "may not sign key",
    ),
    "rotated by the old key to a wider scope": (
        key_leaf(rotated(PRODUCER, NEXT, ADMIN_SCOPE), PRODUCER),
        KeyUntrustedError,
        "another scope",
    ),
    "rotated with a bad signature": (
        with_bad_signature(key_leaf(rotated(PRODUCER, NEXT), PRODUCER)),
        SignatureError,
        "does not verify",
    ),
    "revoked though unknown": (
        key_leaf(revoked(STRANGER), ADMIN),
        KeyUntrustedError,
        "not registered",
    ),
    "revoked by a key without authority": (
        key_leaf(revoked(PRODUCER), PRODUCER),
        KeyUntrustedError,
        "may not sign key",
    ),
    "revoked by a revoked administrator": (
        key_leaf(revoked(ADMIN), OTHER),
        KeyUntrustedError,
        "ended at 7",
    ),
    "no key entry": (marker_leaf(ADMIN), KeyUntrustedError, "Only"),
    "a key entry of a later version": (
        leaf_of(KEY.replace("v1", "v2"), b"{}", ADMIN),
        SchemaVersionError,
        "key/2",
    ),
}


@pytest.mark.parametrize(
    ("leaf", "error", "message"), REFUSED_ENTRIES.values(), ids=REFUSED_ENTRIES
)
def test_a_refused_key_entry_changes_nothing(
    leaf: Leaf, error: type[DeploymarkError], message: str
) -> None:
    ring = usual_ring()
    ring.apply(6, key_leaf(registered(OTHER, ADMIN_SCOPE), ADMIN))
    ring.apply(7, key_leaf(revoked(OTHER), ADMIN))
    before = ring.export()
    with pytest.raises(error, match=message):
        ring.apply(9, leaf)
    assert ring.export() == before


@pytest.mark.parametrize("index", [5, 4, 0])
def test_key_entries_are_applied_in_order(index: int) -> None:
    ring = usual_ring()
    with pytest.raises(KeyUntrustedError, match="in order"):
        ring.apply(index, key_leaf(registered(NEXT), ADMIN))


def test_an_administrator_may_give_a_successor_another_scope() -> None:
    ring = usual_ring()
    ring.apply(9, key_leaf(rotated(PRODUCER, NEXT, ADMIN_SCOPE), ADMIN, NEXT))
    assert ring.key(NEXT.key_id).scope.services == ("*",)
    assert ring.key(NEXT.key_id).registered_by == ADMIN.key_id


def test_the_old_key_may_repeat_its_own_scope() -> None:
    ring = usual_ring()
    ring.apply(9, key_leaf(rotated(PRODUCER, NEXT, PRODUCER_SCOPE), PRODUCER))
    assert ring.key(NEXT.key_id).is_valid_at(10)


def test_an_administrator_may_rotate_its_own_key() -> None:
    ring = ring_of((3, key_leaf(rotated(ADMIN, NEXT), ADMIN)))
    ring.apply(4, key_leaf(registered(PRODUCER), NEXT))
    with pytest.raises(KeyUntrustedError, match="ended at 3"):
        ring.apply(5, key_leaf(registered(OTHER), ADMIN))


# Checking entries --------------------------------------------------------------------------------


def test_a_marker_within_the_scope_is_attributed_to_its_key() -> None:
    assert usual_ring().check(6, marker_leaf(PRODUCER)).key_id == PRODUCER.key_id


def test_a_statement_is_a_marker() -> None:
    fields = {**MARKER_FIELDS, "artifact": {"digest": DIGEST}}
    leaf = leaf_of(IN_TOTO, statement_of(fields), PRODUCER)
    assert usual_ring().check(6, leaf).key_id == PRODUCER.key_id
    outside = leaf_of(IN_TOTO, statement_of({**fields, "environment": "staging"}), PRODUCER)
    with pytest.raises(KeyUntrustedError, match="environment 'staging'"):
        usual_ring().check(6, outside)


def test_fields_that_the_caller_decoded_are_used() -> None:
    ring, leaf = usual_ring(), marker_leaf(PRODUCER)
    signer = ring.check(6, leaf, marker_fields=MARKER_FIELDS)
    assert signer.key_id == PRODUCER.key_id
    with pytest.raises(KeyUntrustedError, match="service 'billing'"):
        ring.check(6, leaf, marker_fields={**MARKER_FIELDS, "service": "billing"})


UNSIGNED = replace(marker_leaf(PRODUCER), dsse=replace(marker_leaf(PRODUCER).dsse, signatures=[]))
STRAY = replace(marker_leaf(PRODUCER), dsse=replace(marker_leaf(PRODUCER).dsse, payload="AB=="))
REFUSED_LEAVES: dict[str, tuple[Leaf, type[DeploymarkError], str]] = {
    "unsigned": (UNSIGNED, KeyUntrustedError, "not registered"),
    "an unknown key": (marker_leaf(STRANGER), KeyUntrustedError, "not registered"),
    "an unknown key first": (
        marker_leaf(STRANGER, PRODUCER),
        KeyUntrustedError,
        "not registered",
    ),
    "a bad signature": (
        with_bad_signature(marker_leaf(PRODUCER)),
        SignatureError,
        "does not verify",
    ),
    "a bad second signature of a known key": (
        with_bad_signature(marker_leaf(PRODUCER, ADMIN), 1),
        SignatureError,
        ADMIN.key_id,
    ),
    "a payload in a second spelling": (STRAY, EnvelopeError, "canonical"),
    "a service outside the scope": (
        marker_leaf(PRODUCER, service="billing"),
        KeyUntrustedError,
        "service 'billing'",
    ),
    "an environment outside the scope": (
        marker_leaf(PRODUCER, environment="staging"),
        KeyUntrustedError,
        "environment 'staging'",
    ),
    "a key entry": (key_leaf(registered(NEXT), PRODUCER), KeyUntrustedError, "may not sign key"),
    "a finding": (leaf_of(FINDING, b"{}", PRODUCER), KeyUntrustedError, "may not sign finding"),
    "a payload type that is not ours": (
        leaf_of("text/plain", b"", PRODUCER),
        SchemaVersionError,
        "text/plain",
    ),
}


@pytest.mark.parametrize(("leaf", "error", "message"), REFUSED_LEAVES.values(), ids=REFUSED_LEAVES)
def test_a_leaf_that_cannot_be_trusted_is_refused(
    leaf: Leaf, error: type[DeploymarkError], message: str
) -> None:
    with pytest.raises(error, match=message):
        usual_ring().check(6, leaf)


def test_a_further_signature_of_an_unknown_key_is_ignored() -> None:
    leaf = with_bad_signature(marker_leaf(PRODUCER, STRANGER), 1)
    assert usual_ring().check(6, leaf).key_id == PRODUCER.key_id


def test_a_key_with_other_entries_in_scope_may_sign_them() -> None:
    scope = {**PRODUCER_SCOPE, "entries": ["f*"]}
    ring = ring_of((1, key_leaf(registered(PRODUCER, scope), ADMIN)))
    assert ring.check(2, leaf_of(FINDING, b"{}", PRODUCER)).key_id == PRODUCER.key_id
    with pytest.raises(KeyUntrustedError, match="may not sign marker"):
        ring.check(2, marker_leaf(PRODUCER))


def test_planned_signatures_are_verified_on_threads() -> None:
    ring = usual_ring()
    good = [marker_leaf(PRODUCER, ADMIN, version=str(n)) for n in range(8)]
    with ThreadPoolExecutor(2) as pool:
        for leaf in good:
            checks = ring.plan(leaf)
            assert [check.key_id for check in checks] == [PRODUCER.key_id, ADMIN.key_id]
            list(pool.map(lambda check: check.verify(), checks))
            assert ring.authorise(6, leaf).key_id == PRODUCER.key_id
        bad = with_bad_signature(marker_leaf(PRODUCER))
        with pytest.raises(SignatureError):
            list(pool.map(lambda check: check.verify(), ring.plan(bad)))


@given(place=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_no_byte_of_a_signed_payload_can_change(place: int, flip: int) -> None:
    leaf = marker_leaf(PRODUCER)
    payload = bytearray(leaf.dsse.payload_bytes())
    payload[place % len(payload)] ^= flip
    changed = replace(leaf, dsse=replace(leaf.dsse, payload=encode_base64(bytes(payload))))
    with pytest.raises(SignatureError):
        usual_ring().check(6, changed)


# Exports -----------------------------------------------------------------------------------------


def full_ring() -> KeyRing:
    ring = usual_ring()
    ring.apply(9, key_leaf(rotated(PRODUCER, NEXT), PRODUCER))
    ring.apply(12, key_leaf(registered(OTHER, {**ADMIN_SCOPE, "kinds": ["config"]}), ADMIN))
    ring.apply(15, key_leaf(revoked(NEXT, distrust_from=11), ADMIN))
    return ring


def test_an_export_gives_the_same_ring() -> None:
    ring = full_ring()
    again = KeyRing.load(ring.export())
    assert again.keys() == ring.keys()
    assert again.applied_index == 15
    assert again.export() == ring.export()
    for key in (ADMIN, PRODUCER, NEXT, OTHER, STRANGER):
        assert valid_indexes(again, key) == valid_indexes(ring, key)
    again.apply(16, key_leaf(revoked(OTHER), ADMIN))


def test_an_export_is_canonical_and_spells_scopes_out() -> None:
    exported = full_ring().export()
    assert encode(json.loads(exported)) == exported
    producer = json.loads(exported)["keys"][1]
    assert producer == {
        "algorithm": "ed25519",
        "end_index": 9,
        "from_index": 5,
        "key_id": PRODUCER.key_id,
        "name": "label",
        "public_key": encode_base64(PRODUCER.public),
        "registered_by": ADMIN.key_id,
        "scope": {**PRODUCER_SCOPE, "kinds": ["*"], "phases": ["*"], "entries": ["marker"]},
        "successor_of": None,
    }


def test_an_empty_ring_is_exported_too() -> None:
    assert KeyRing.load(KeyRing().export()).keys() == []


def changed_export(change: Callable[[Any], object]) -> bytes:
    content = json.loads(full_ring().export())
    change(content)
    return json.dumps(content).encode()


BAD_EXPORTS = {
    "nothing": b"",
    "no JSON": b"keys",
    "not UTF-8": b'{"v":1,"keys":[],"applied_index":"\xff"}',
    "another version": changed_export(lambda content: content.update(v=2)),
    "an unknown field": changed_export(lambda content: content.update(w=2)),
    "an unknown field of a key": changed_export(lambda content: content["keys"][0].update(w=2)),
    "a missing scope": changed_export(lambda content: content["keys"][0].pop("scope")),
    "a key under another id": changed_export(
        lambda content: content["keys"][0].update(public_key=encode_base64(b"k" * 32))
    ),
    "a key twice": changed_export(lambda content: content["keys"].append(content["keys"][0])),
    "a key that is not base64": changed_export(
        lambda content: content["keys"][0].update(public_key="!")
    ),
    "another algorithm": changed_export(lambda content: content["keys"][0].update(algorithm="x")),
}


@pytest.mark.parametrize("content", BAD_EXPORTS.values(), ids=BAD_EXPORTS)
def test_a_broken_export_is_refused(content: bytes) -> None:
    with pytest.raises(KeyFileError) as caught:
        KeyRing.load(content)
    assert caught.value.hint
