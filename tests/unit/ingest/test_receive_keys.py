"""A key entry counts for what comes after it, in its own batch too, and commits alone."""

import pytest
from receive_samples import ADMIN, CI, STRANGER, faulty_store, sound_log

from deploymark.crypto.dsse import sign_envelope
from deploymark.errors import UnavailableError
from deploymark.ingest.key_entries import registration, revocation, rotation
from deploymark.log.sequencer import Acknowledgement
from deploymark.model.vocabulary import KEY
from deploymark.testing.clock import START_MS
from deploymark.testing.faulty_store import At, FaultyLogStore
from deploymark.testing.whole_log import (
    MARKERS,
    WholeLog,
    key_names,
    producer,
    refusals,
    sample_marker,
    sign,
)

store = pytest.fixture(faulty_store)
log = pytest.fixture(sound_log)


def test_a_key_counts_for_what_comes_after_it_in_the_batch(log: WholeLog) -> None:
    new = producer("new")
    register = sign_envelope(KEY, registration(new.public, "new", MARKERS, START_MS), [ADMIN])
    revoke = sign_envelope(KEY, revocation(new.key_id, START_MS), [ADMIN])
    outcomes = log.receive(
        sign(sample_marker(1), new),
        sign(sample_marker(2), CI),
        register,
        sign(sample_marker(3), new),
        sign(sample_marker(4), CI),
        revoke,
        sign(sample_marker(5), new),
        sign(sample_marker(6), CI),
    )
    untrusted = "key_untrusted"
    assert refusals(outcomes) == [untrusted, "", "", "", "", "", untrusted, ""]
    assert [o.index for o in outcomes if isinstance(o, Acknowledgement)] == [2, 3, 4, 5, 6, 7]


def test_a_rotated_key_hands_on_what_it_may_say(log: WholeLog) -> None:
    new = producer("new")
    rotate = sign_envelope(KEY, rotation(CI.key_id, new.public, "ci", START_MS), [CI])
    outcomes = log.receive(
        sign(sample_marker(1), CI), rotate, sign(sample_marker(2), new), sign(sample_marker(3), CI)
    )
    assert refusals(outcomes) == ["", "", "", "key_untrusted"]


def test_a_key_entry_commits_alone(log: WholeLog, store: FaultyLogStore) -> None:
    before = len(store.batches)
    register = sign_envelope(KEY, registration(STRANGER.public, "s", MARKERS, START_MS), [ADMIN])
    log.append(sign(sample_marker(1), CI), sign(sample_marker(2), CI), register)
    assert [len(batch.entries) for batch in store.batches[before:]] == [2, 1]


def test_a_refused_key_entry_changes_nothing(log: WholeLog) -> None:
    new = producer("new")
    register = sign_envelope(KEY, registration(new.public, "new", MARKERS, START_MS), [CI])
    outcomes = log.receive(register, sign(sample_marker(1), new), sign(sample_marker(2), CI))
    assert refusals(outcomes) == ["key_untrusted", "key_untrusted", ""]
    assert key_names(log.ring) == ["admin", "ci"]


def test_the_keys_are_the_same_after_a_restart(log: WholeLog, store: FaultyLogStore) -> None:
    log.append_key(revocation(CI.key_id, START_MS))
    with WholeLog(store) as again:
        assert again.ring.export() == log.ring.export()
        assert refusals(again.receive(sign(sample_marker(1), CI))) == ["key_untrusted"]


def test_a_key_entry_whose_commit_was_uncertain_counts_once(
    log: WholeLog, store: FaultyLogStore
) -> None:
    register = sign_envelope(KEY, registration(STRANGER.public, "s", MARKERS, START_MS), [ADMIN])
    store.fail(At.AFTER_APPEND)
    with pytest.raises(UnavailableError):
        log.receive(register)
    # The writer learns of it with its next commit; until then nobody may rely on the key.
    log.append_markers(1)
    outcomes = log.receive(register, sign(sample_marker(50), STRANGER))
    assert refusals(outcomes) == ["", ""]
    assert isinstance(outcomes[0], Acknowledgement)
    assert outcomes[0].duplicate
    assert key_names(log.ring) == ["admin", "ci", "s"]
