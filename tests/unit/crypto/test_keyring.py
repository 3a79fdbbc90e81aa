"""The key ring: who may say what, at which index, as a replay of the log's key entries."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from ring_samples import (
    ADMIN,
    ADMIN_SCOPE,
    DIGEST,
    MARKER_FIELDS,
    NEXT,
    OTHER,
    PRODUCER,
    PRODUCER_SCOPE,
    STRANGER,
    key_leaf,
    leaf_of,
    marker_leaf,
    registered,
    revoked,
    ring_of,
    rotated,
    usual_ring,
    valid_indexes,
    with_bad_signature,
)

from deploymark.crypto.base64text import encode_base64
from deploymark.crypto.keyring import KeyRing
from deploymark.errors import (
    DeploymarkError,
    EnvelopeError,
    KeyUntrustedError,
    SchemaVersionError,
    SignatureError,
)
from deploymark.model.envelope import Signature
from deploymark.model.leaf import Leaf
from deploymark.model.statement import statement_of
from deploymark.model.vocabulary import FINDING, IN_TOTO

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
    for later in (revoked(PRODUCER), revoked(PRODUCER, distrust_from=8)):
        with pytest.raises(KeyUntrustedError, match="ended at 7 already"):
            ring.apply(14, key_leaf(later, ADMIN))
    assert valid_indexes(ring, PRODUCER) == [6]


def test_a_key_registered_later_cannot_make_an_old_entry_fail() -> None:
    ring = usual_ring()
    junk = Signature(keyid=NEXT.key_id, sig=encode_base64(b"x" * 64))
    leaf = marker_leaf(PRODUCER)
    spoiled = replace(leaf, dsse=replace(leaf.dsse, signatures=[*leaf.dsse.signatures, junk]))
    ring.check(7, spoiled)
    ring.apply(9, key_leaf(registered(NEXT), ADMIN))
    assert ring.check(7, spoiled).key_id == PRODUCER.key_id
    with pytest.raises(SignatureError):
        ring.check(10, spoiled)


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
