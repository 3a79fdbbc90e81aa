"""The writer's last word: keys count from the entry after their registration, and never before."""

import base64

import pytest
from msgspec.structs import replace

from deploymark.crypto.dsse import sign_envelope
from deploymark.crypto.keyring import KeyRing
from deploymark.errors import KeyUntrustedError, LogBrokenError, SignatureError, UnavailableError
from deploymark.ingest.authority import EntryAuthority, differing_leaves
from deploymark.ingest.callers import LOCAL
from deploymark.ingest.key_entries import registration, revocation, rotation
from deploymark.ingest.registry import Registry
from deploymark.ingest.submission import open_submission
from deploymark.log.sequencer import Candidate, candidate_of
from deploymark.model.entries import KeyEntry, Scope, decode_entry
from deploymark.model.envelope import Signature
from deploymark.model.instants import format_instant
from deploymark.model.leaf import decode_leaf
from deploymark.model.vocabulary import KEY
from deploymark.ports import LogStore
from deploymark.runtime.compose import replay_keys
from deploymark.storage.memory import MemoryLogStore
from deploymark.storage.memory_registry import MemoryRegistryStore
from deploymark.testing.clock import START_MS
from deploymark.testing.faulty_store import At, FaultyLogStore
from deploymark.testing.whole_log import (
    MARKERS,
    WholeLog,
    producer,
    refusals,
    sample_marker,
    sign,
)

CI = producer("ci")


def _authority(store: LogStore) -> EntryAuthority:
    return EntryAuthority(KeyRing(), Registry(MemoryRegistryStore()), store)


def test_a_candidate_without_its_claim_stops_the_log() -> None:
    # Nothing but a receiver may hand in candidates; one that does not is a mistake of ours.
    with WholeLog(MemoryLogStore()) as log:
        authority = _authority(log.store)
        with pytest.raises(LogBrokenError, match="without its claim"):
            authority.admit(0, Candidate(b"", b"", "m-1~1", "", 0))


def test_entries_found_in_the_store_are_replayed_into_the_ring() -> None:
    store = MemoryLogStore()
    with WholeLog(store) as log:
        log.register(CI, "ci")
        log.append_markers(3, CI)
        log.append_key(revocation(CI.key_id, START_MS))
    authority = _authority(store)
    for entry in store.entries(0, store.head().size):
        authority.appended(entry.index, candidate_of(entry))
    assert authority.ring.export() == replay_keys(store).export() == log.ring.export()


def test_a_signature_of_a_key_registered_meanwhile_is_verified_after_all() -> None:
    with WholeLog(MemoryLogStore()) as log:
        envelope = sign(sample_marker(1), log.admin)
        junk = Signature(CI.key_id, base64.b64encode(b"x" * 64).decode())
        spoiled = replace(envelope, signatures=[*envelope.signatures, junk])
        opened = open_submission(spoiled)
        read = log.receiver._read(opened, LOCAL, START_MS, None)
        assert [check.key_id for check in read.checks] == [log.admin.key_id]
        candidate = log.receiver._candidate(read, format_instant(START_MS))
        log.register(CI, "ci")
        authority = EntryAuthority(log.ring, log.registry, log.store)
        with pytest.raises(SignatureError):
            authority.admit(log.store.head().size, candidate)


def test_a_refused_key_entry_leaves_the_ring_as_it_was() -> None:
    with WholeLog(MemoryLogStore()) as log:
        before = log.ring.export()
        payload = registration(CI.public, "ci", MARKERS, START_MS)
        assert refusals(log.receive(sign_envelope(KEY, payload, [CI]))) == ["key_untrusted"]
        assert log.ring.export() == before


def test_the_ring_moves_only_when_the_key_entry_is_on_the_disk() -> None:
    store = FaultyLogStore(MemoryLogStore())
    with WholeLog(store) as log:
        before = log.ring.export()
        payload = registration(CI.public, "ci", MARKERS, START_MS)
        store.fail(At.BEFORE_APPEND)
        with pytest.raises(UnavailableError):
            log.append_key(payload)
        assert log.ring.export() == before
        assert refusals(log.receive(sign(sample_marker(1), CI))) == ["key_untrusted"]
        assert log.append_key(payload) == 1
        assert refusals(log.receive(sign(sample_marker(1), CI))) == [""]


def test_two_markers_of_one_identity_are_compared_by_what_is_significant() -> None:
    with WholeLog(MemoryLogStore()) as log:
        first = sample_marker(1)
        log.append(sign(first, log.admin))
        log.append_markers(1)
        leaf = log.store.entry(1).leaf or b""
        assert differing_leaves(leaf, leaf) == []
        other = log.store.entry(2).leaf or b""
        assert "artifact.digest" in differing_leaves(leaf, other)


def test_other_entries_of_one_identity_never_differ() -> None:
    with WholeLog(MemoryLogStore()) as log:
        leaf = log.store.entry(0).leaf or b""
        assert differing_leaves(leaf, leaf) == []


# Payloads of key entries --------------------------------------------------------------------------


def _entry(payload: bytes) -> KeyEntry:
    entry = decode_entry(payload, KEY)
    assert isinstance(entry, KeyEntry)
    return entry


def test_a_registration_says_all_it_was_told() -> None:
    scope = Scope(services=("shop-*",), environments=("prod",), entries=("marker", "finding"))
    entry = _entry(registration(CI.public, "ci", scope, START_MS, "a new pipeline"))
    assert (entry.action, entry.key_id, entry.name) == ("registered", CI.key_id, "ci")
    assert (entry.scope, entry.reason, entry.successor_of) == (scope, "a new pipeline", None)


def test_a_rotation_without_a_scope_inherits_one() -> None:
    entry = _entry(rotation("k-" + "0" * 26, CI.public, "ci", START_MS))
    assert (entry.action, entry.successor_of, entry.scope) == ("rotated", "k-" + "0" * 26, None)
    assert (
        _entry(rotation("k-" + "0" * 26, CI.public, "ci", START_MS, scope=MARKERS)).scope == MARKERS
    )


@pytest.mark.parametrize("distrust_from", [None, 0, 7])
def test_a_revocation_names_the_key_and_from_where(distrust_from: int | None) -> None:
    entry = _entry(revocation(CI.key_id, START_MS, distrust_from=distrust_from, reason="lost"))
    assert (entry.action, entry.key_id, entry.distrust_from) == (
        "revoked",
        CI.key_id,
        distrust_from,
    )
    assert entry.reason == "lost"


def test_no_reason_is_not_an_empty_one() -> None:
    assert _entry(revocation(CI.key_id, START_MS)).reason is None


def test_distrust_reaches_back_for_receipts_and_new_entries_alike() -> None:
    with WholeLog(MemoryLogStore()) as log:
        log.register(CI, "ci")
        log.append_markers(4, CI)
        log.append_key(revocation(CI.key_id, START_MS, distrust_from=4))
        leaves = [decode_leaf(log.store.entry(index).leaf or b"") for index in range(2, 6)]
        for index, leaf in enumerate(leaves, 2):
            if index < 4:
                log.ring.check(index, leaf)
            else:
                with pytest.raises(KeyUntrustedError, match="ended at 4"):
                    log.ring.check(index, leaf)
