"""Entries get an index once, in order, and only those who are in the log are told so."""

import threading
from collections.abc import Iterator

import pytest

from deploymark.errors import (
    ConflictError,
    KeyUntrustedError,
    LogBrokenError,
    LogBusyError,
    MarkerError,
)
from deploymark.log.sequencer import (
    MAX_GROUP,
    MAX_QUEUED,
    Acknowledgement,
    Candidate,
    Outcome,
    Sequencer,
)
from deploymark.ports import StoredEntry
from deploymark.storage.memory import MemoryLogStore
from deploymark.testing.faulty_store import FaultyLogStore
from deploymark.testing.sequencing import PlainAdmission, identity_of, plain_candidate
from deploymark.testing.whole_log import (
    ORIGIN,
    faults_of,
    log_signers,
    policy_of,
    signed_empty_head,
)

SIGNER = log_signers()[0]
KEYS = [line.key for line in policy_of().logs]


@pytest.fixture
def store() -> FaultyLogStore:
    store = FaultyLogStore(MemoryLogStore())
    store.create(signed_empty_head(ORIGIN, SIGNER))
    return store


@pytest.fixture
def admission() -> PlainAdmission:
    return PlainAdmission()


@pytest.fixture
def sequencer(store: FaultyLogStore, admission: PlainAdmission) -> Iterator[Sequencer]:
    sequencer = Sequencer(store, SIGNER, admission)
    yield sequencer
    sequencer.close()
    assert faults_of(store.snapshot(), KEYS) == []


def _submit(sequencer: Sequencer, *identities: str) -> list[Outcome]:
    return sequencer.submit([plain_candidate(name) for name in identities]).result()


def _identities(store: FaultyLogStore) -> list[str]:
    return [identity_of(entry.leaf) for entry in store.entries(0, store.head().size)]


def _places(outcomes: list[Outcome]) -> list[tuple[int, bool] | str]:
    return [
        (outcome.index, outcome.duplicate)
        if isinstance(outcome, Acknowledgement)
        else type(outcome).__name__
        for outcome in outcomes
    ]


def test_entries_are_numbered_from_zero_in_the_order_of_submission(
    sequencer: Sequencer, store: FaultyLogStore
) -> None:
    assert _places(_submit(sequencer, "a", "b")) == [(0, False), (1, False)]
    assert _places(_submit(sequencer, "c")) == [(2, False)]
    assert _identities(store) == ["a", "b", "c"]


def test_an_acknowledgement_carries_a_signed_checkpoint_that_includes_the_entry(
    sequencer: Sequencer, store: FaultyLogStore
) -> None:
    for name in "abc":
        (outcome,) = _submit(sequencer, name)
        assert isinstance(outcome, Acknowledgement)
        checked = policy_of().check(outcome.note)
        assert checked.checkpoint.size == outcome.index + 1
        assert checked.checkpoint.root == store.head().root
        assert outcome.note == sequencer.head.note == store.head().note


def test_nothing_given_is_nothing_written(sequencer: Sequencer, store: FaultyLogStore) -> None:
    assert _submit(sequencer) == []
    assert store.batches == []


def test_a_repeated_entry_is_a_duplicate_of_the_first_across_batches(
    sequencer: Sequencer, store: FaultyLogStore
) -> None:
    _submit(sequencer, "a", "b")
    assert _places(_submit(sequencer, "b", "c", "a")) == [(1, True), (2, False), (0, True)]
    assert _identities(store) == ["a", "b", "c"]


def test_a_duplicate_is_acknowledged_with_a_checkpoint_that_includes_the_first(
    sequencer: Sequencer,
) -> None:
    _submit(sequencer, "a", "b", "c")
    (again,) = _submit(sequencer, "a")
    assert isinstance(again, Acknowledgement)
    assert policy_of().check(again.note).checkpoint.size == 3


def test_a_batch_of_duplicates_alone_commits_nothing(
    sequencer: Sequencer, store: FaultyLogStore
) -> None:
    _submit(sequencer, "a")
    _submit(sequencer, "a", "a")
    assert len(store.batches) == 1


def test_a_repeated_entry_is_a_duplicate_within_one_batch(
    sequencer: Sequencer, store: FaultyLogStore
) -> None:
    outcomes = _submit(sequencer, "a", "b", "a", "a", "c")
    assert _places(outcomes) == [(0, False), (1, False), (0, True), (0, True), (2, False)]
    assert _identities(store) == ["a", "b", "c"]


def test_another_content_under_a_taken_identity_is_a_conflict_that_names_the_fields(
    sequencer: Sequencer, store: FaultyLogStore
) -> None:
    given = [plain_candidate(*pair) for pair in (("a", "one"), ("a", "two"), ("b", ""))]
    for expected in ([(0, False), "ConflictError", (1, False)], [(0, True), "ConflictError"]):
        outcomes = sequencer.submit(given[: len(expected)]).result()
        assert _places(outcomes) == expected
        conflict = outcomes[1]
        assert isinstance(conflict, ConflictError)
        assert conflict.field == "/content"
        assert "Entry 0 already stands as a~0 with another content" in conflict.message
    assert _identities(store) == ["a", "b"]


def test_a_refusal_leaves_no_gap(
    sequencer: Sequencer, store: FaultyLogStore, admission: PlainAdmission
) -> None:
    admission.refused = {"no": KeyUntrustedError("Not this one."), "nor": MarkerError("Nor this.")}
    outcomes = _submit(sequencer, "a", "no", "b", "nor", "c")
    assert _places(outcomes) == [
        (0, False),
        "KeyUntrustedError",
        (1, False),
        "MarkerError",
        (2, False),
    ]
    assert _identities(store) == ["a", "b", "c"]
    assert admission.seen == [(0, "a"), (1, "b"), (2, "c")]


def test_a_refused_identity_is_not_taken(sequencer: Sequencer, admission: PlainAdmission) -> None:
    admission.refused = {"a": KeyUntrustedError("Not yet.")}
    assert _places(_submit(sequencer, "a", "a")) == ["KeyUntrustedError"] * 2
    admission.refused = {}
    assert _places(_submit(sequencer, "a")) == [(0, False)]


def test_admission_is_asked_with_the_index_an_entry_would_get(
    sequencer: Sequencer, admission: PlainAdmission
) -> None:
    _submit(sequencer, "a", "b", "a", "c")
    assert admission.admitted == [(0, "a"), (1, "b"), (2, "c")]


def test_what_was_appended_is_told_before_it_is_acknowledged(
    sequencer: Sequencer, admission: PlainAdmission
) -> None:
    for name in "abc":
        _submit(sequencer, name)
        assert admission.seen[-1][1] == name


def test_fifty_threads_with_one_marker_give_one_entry(
    sequencer: Sequencer, store: FaultyLogStore
) -> None:
    start = threading.Barrier(50)
    outcomes: list[Outcome] = []

    def race() -> None:
        start.wait()
        outcomes.extend(_submit(sequencer, "one"))

    racers = [threading.Thread(target=race) for _ in range(50)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert sorted(_places(outcomes)) == [(0, False), *[(0, True)] * 49]
    assert _identities(store) == ["one"]


def test_what_waits_is_committed_together_in_the_order_of_submission(
    sequencer: Sequencer, store: FaultyLogStore
) -> None:
    with store.held():
        first = sequencer.submit([plain_candidate("first")])
        store.wait_until_appending()
        names = [f"n{number}" for number in range(100)]
        futures = [
            sequencer.submit([plain_candidate(name), plain_candidate(f"{name} too")])
            for name in names
        ]
    first.result()
    for number, future in enumerate(futures):
        base = 1 + 2 * number
        assert _places(future.result()) == [(base, False), (base + 1, False)]
    assert [len(batch.entries) for batch in store.batches] == [1, 200]
    assert _identities(store)[1:] == [name for n in names for name in (n, f"{n} too")]


def test_a_group_has_a_limit_and_a_submission_is_never_divided(
    sequencer: Sequencer, store: FaultyLogStore
) -> None:
    large = MAX_GROUP - 10
    with store.held():
        sequencer.submit([plain_candidate("first")])
        store.wait_until_appending()
        futures = [
            sequencer.submit([plain_candidate(f"{count}-{n}") for n in range(count)])
            for count in (large, 10, 1, MAX_GROUP + 1, 3)
        ]
    assert all(isinstance(outcome, Acknowledgement) for f in futures for outcome in f.result())
    sizes = [len(batch.entries) for batch in store.batches]
    assert sizes == [1, MAX_GROUP, 1, MAX_GROUP + 1, 3]


def test_who_wants_to_be_alone_commits_alone(sequencer: Sequencer, store: FaultyLogStore) -> None:
    with store.held():
        sequencer.submit([plain_candidate("first")])
        store.wait_until_appending()
        futures = [
            sequencer.submit([plain_candidate(name, alone=name.startswith("key"))])
            for name in ("a", "b", "key 1", "key 2", "c", "d")
        ]
    for future in futures:
        future.result()
    grouped = [[identity_of(e.leaf) for e in batch.entries] for batch in store.batches]
    assert grouped == [["first"], ["a", "b"], ["key 1"], ["key 2"], ["c", "d"]]


class _LockedAdmission(PlainAdmission):
    """Refuses `after` until the entry `key` is in the log."""

    def admit(self, index: int, candidate: Candidate) -> None:
        if candidate.claim == "after" and "key" not in [name for _, name in self.seen]:
            raise KeyUntrustedError("Not before the key.")
        super().admit(index, candidate)


def test_later_submissions_see_what_an_alone_entry_changed(store: FaultyLogStore) -> None:
    sequencer = Sequencer(store, SIGNER, _LockedAdmission())
    with store.held():
        sequencer.submit([plain_candidate("first")])
        store.wait_until_appending()
        futures = [
            sequencer.submit([plain_candidate(name, alone=name == "key")])
            for name in ("after", "key", "after")
        ]
    outcomes = [_places(future.result()) for future in futures]
    sequencer.close()
    assert outcomes == [["KeyUntrustedError"], [(1, False)], [(2, False)]]


def test_a_full_queue_is_busy_and_takes_more_once_there_is_room(
    sequencer: Sequencer, store: FaultyLogStore
) -> None:
    one = plain_candidate("one")
    with store.held():
        first = sequencer.submit([plain_candidate("first")])
        store.wait_until_appending()
        whole = sequencer.submit([one] * (MAX_QUEUED - 1))
        last = sequencer.submit([one])
        with pytest.raises(LogBusyError, match="65536 entries wait") as caught:
            sequencer.submit([one])
        assert caught.value.retryable
    assert _places(first.result()) == [(0, False)]
    assert len(whole.result()) == MAX_QUEUED - 1
    assert _places(last.result()) == [(1, True)]
    assert _places(_submit(sequencer, "one")) == [(1, True)]


def test_a_submission_larger_than_the_queue_is_taken_when_nothing_waits(
    sequencer: Sequencer,
) -> None:
    outcomes = sequencer.submit([plain_candidate("one")] * (MAX_QUEUED + 1)).result()
    assert len(outcomes) == MAX_QUEUED + 1


def test_closing_writes_what_waits_and_takes_nothing_more(
    sequencer: Sequencer, store: FaultyLogStore
) -> None:
    with store.held():
        sequencer.submit([plain_candidate("first")])
        store.wait_until_appending()
        futures = [sequencer.submit([plain_candidate(f"n{n}")]) for n in range(20)]
        closing = threading.Thread(target=sequencer.close)
        closing.start()
        refused = None
        while refused is None:
            closing.join(0.001)  # it comes to close before the queue is full
            try:
                futures.append(sequencer.submit([plain_candidate("n0")]))
            except LogBusyError as error:
                refused = error
    closing.join()
    assert all(isinstance(o, Acknowledgement) for f in futures for o in f.result())
    assert _identities(store) == ["first", *(f"n{n}" for n in range(20))]
    assert "shutting down" in refused.message
    sequencer.close()


def test_a_new_sequencer_goes_on_where_the_last_one_closed(
    sequencer: Sequencer, store: FaultyLogStore
) -> None:
    _submit(sequencer, "a", "b")
    sequencer.close()
    again = Sequencer(store, SIGNER, PlainAdmission())
    try:
        assert _places(_submit(again, "b", "c")) == [(1, True), (2, False)]
    finally:
        again.close()


def test_an_archived_entry_asked_for_by_its_identity_stops_the_log(store: FaultyLogStore) -> None:
    # Bodies that retries may still need are never archived; one that is shows a mistake.
    broken: list[Exception] = []
    sequencer = Sequencer(store, SIGNER, PlainAdmission(), broken.append)
    _submit(sequencer, "a")
    inner = store.inner
    assert isinstance(inner, MemoryLogStore)
    kept = inner.entry(0)
    inner._entries[0] = StoredEntry(0, kept.leaf_hash, 0, "", kept.dedupe, None)
    with pytest.raises(LogBrokenError, match="archived"):
        _submit(sequencer, "a")
    sequencer.close()
    assert len(broken) == 1
