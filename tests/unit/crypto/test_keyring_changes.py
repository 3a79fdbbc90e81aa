"""A key entry that its signers may not say is refused and leaves the ring as it was."""

import pytest
from ring_samples import (
    ADMIN,
    ADMIN_SCOPE,
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
    with_bad_signature,
)

from deploymark.crypto.signer import Ed25519EnvelopeSigner
from deploymark.errors import DeploymarkError, KeyUntrustedError, SchemaVersionError, SignatureError
from deploymark.model.leaf import Leaf
from deploymark.model.vocabulary import KEY

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
    for attempt in (ring.judge, ring.apply):
        with pytest.raises(error, match=message):
            attempt(9, leaf)
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


def test_to_judge_a_key_entry_is_to_know_which_keys_it_would_change() -> None:
    ring = usual_ring()
    before, leaf = ring.export(), key_leaf(rotated(PRODUCER, NEXT), ADMIN)
    changed = ring.judge(20, leaf)
    assert [key.key_id for key in changed] == [PRODUCER.key_id, NEXT.key_id]
    assert ring.export() == before
    ring.apply(20, leaf)
    assert [ring.key(key.key_id) for key in changed] == changed


PLANNED = {
    "a registration": (key_leaf(registered(NEXT), ADMIN), [ADMIN]),
    "a registration that the new key signs along": (
        key_leaf(registered(NEXT), ADMIN, NEXT),
        [ADMIN, NEXT],
    ),
    "a rotation by the old key": (key_leaf(rotated(PRODUCER, NEXT), PRODUCER), [PRODUCER]),
    "a revocation": (key_leaf(revoked(PRODUCER), ADMIN), [ADMIN]),
}


@pytest.mark.parametrize(("leaf", "signers"), PLANNED.values(), ids=PLANNED)
def test_signatures_of_a_key_entry_can_be_planned(
    leaf: Leaf, signers: list[Ed25519EnvelopeSigner]
) -> None:
    checks = usual_ring().plan(leaf)
    assert [check.key_id for check in checks] == [signer.key_id for signer in signers]
    for check in checks:
        check.verify()


UNPLANNED = {
    "of a stranger": key_leaf(registered(NEXT), STRANGER),
    "of a key that may never sign it": key_leaf(registered(NEXT), PRODUCER),
    "of a key that ends another": key_leaf(rotated(ADMIN, NEXT), PRODUCER),
}


@pytest.mark.parametrize("leaf", UNPLANNED.values(), ids=UNPLANNED)
def test_a_key_entry_that_nobody_may_sign_is_not_even_verified(leaf: Leaf) -> None:
    with pytest.raises(KeyUntrustedError):
        usual_ring().plan(leaf)
