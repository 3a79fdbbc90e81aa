"""When the store fails nobody is told half a truth, and the writer goes on from the whole one."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from deploymark.errors import (
    DeploymarkError,
    LogBrokenError,
    MarkerError,
    StoreUnavailableError,
    UnavailableError,
)
from deploymark.log.checkpoint import Checkpoint
from deploymark.log.sequencer import Acknowledgement, Outcome, Sequencer
from deploymark.log.tree import Frontier, leaf_hash
from deploymark.ports import Batch, StoredEntry
from deploymark.storage.memory import MemoryLogStore
from deploymark.testing.faulty_store import At, FaultyLogStore
from deploymark.testing.sequencing import (
    BrokenCounter,
    PlainAdmission,
    identity_of,
    plain_candidate,
)
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
def broken() -> BrokenCounter:
    return BrokenCounter()


@pytest.fixture
def sequencer(
    store: FaultyLogStore, admission: PlainAdmission, broken: BrokenCounter
) -> Iterator[Sequencer]:
    sequencer = Sequencer(store, SIGNER, admission, broken)
    yield sequencer
    sequencer.close()


def _submit(sequencer: Sequencer, *identities: str) -> list[Outcome]:
    return sequencer.submit([plain_candidate(name) for name in identities]).result()


def _indexes(outcomes: list[Outcome]) -> list[tuple[int, bool]]:
    return [(o.index, o.duplicate) for o in outcomes if isinstance(o, Acknowledgement)]


def _check(store: FaultyLogStore, admission: PlainAdmission, *identities: str) -> None:
    """Nothing is lost, doubled or out of order, and the admission was told of all of it."""
    store.heal()
    entries = list(store.entries(0, store.head().size))
    assert [identity_of(entry.leaf) for entry in entries] == list(identities)
    assert admission.seen == list(enumerate(identities))
    assert faults_of(store.snapshot(), KEYS) == []


# The store fails ----------------------------------------------------------------------------------


def test_a_failure_before_the_commit_loses_nothing_that_was_promised(
    sequencer: Sequencer, store: FaultyLogStore, admission: PlainAdmission
) -> None:
    _submit(sequencer, "a")
    store.fail(At.BEFORE_APPEND)
    with pytest.raises(UnavailableError):
        _submit(sequencer, "b", "c")
    assert _indexes(_submit(sequencer, "c", "b")) == [(1, False), (2, False)]
    _check(store, admission, "a", "c", "b")


def test_a_failure_after_the_commit_doubles_nothing(
    sequencer: Sequencer, store: FaultyLogStore, admission: PlainAdmission
) -> None:
    _submit(sequencer, "a")
    store.fail(At.AFTER_APPEND)
    with pytest.raises(UnavailableError):
        _submit(sequencer, "b", "c")
    assert _indexes(_submit(sequencer, "c", "d", "b")) == [(2, True), (3, False), (1, True)]
    _check(store, admission, "a", "b", "c", "d")


@pytest.mark.parametrize("at", [At.BEFORE_APPEND, At.AFTER_APPEND])
def test_a_failed_group_is_unavailable_to_all_of_it_and_to_nobody_else(
    sequencer: Sequencer, store: FaultyLogStore, admission: PlainAdmission, at: At
) -> None:
    with store.held():
        before = sequencer.submit([plain_candidate("before")])
        store.wait_until_appending()
        # Duplicates of what is safely there are in the same boat: a submission is one promise.
        group = [
            sequencer.submit([plain_candidate("before"), plain_candidate(name)]) for name in "abc"
        ]
        alone = sequencer.submit([plain_candidate("key", alone=True)])
        store.fail(at, skip=1)
    assert _indexes(before.result()) == [(0, False)]
    for future in group:
        with pytest.raises(StoreUnavailableError):
            future.result()
    committed = ["a", "b", "c"] if at is At.AFTER_APPEND else []
    assert _indexes(alone.result()) == [(1 + len(committed), False)]
    _check(store, admission, "before", *committed, "key")


@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize("then", [At.REOPEN, At.HEAD, At.FIND])
@pytest.mark.parametrize("first", [At.BEFORE_APPEND, At.AFTER_APPEND])
def test_a_store_that_stays_away_is_asked_again_each_time(
    store: FaultyLogStore, first: At, then: At, times: int
) -> None:
    admission = PlainAdmission()
    sequencer = Sequencer(store, SIGNER, admission)
    _submit(sequencer, "a")
    store.fail(first)
    with pytest.raises(UnavailableError):
        _submit(sequencer, "b")
    store.fail(then, times=times)
    for _ in range(times):
        with pytest.raises(UnavailableError):
            _submit(sequencer, "b")
    assert _indexes(_submit(sequencer, "b")) == [(1, first is At.AFTER_APPEND)]
    sequencer.close()
    _check(store, admission, "a", "b")


def test_a_store_that_cannot_be_read_while_comparing_refuses_the_whole_submission(
    sequencer: Sequencer, store: FaultyLogStore, admission: PlainAdmission
) -> None:
    _submit(sequencer, "a")
    store.fail(At.ENTRY)
    with pytest.raises(UnavailableError):
        _submit(sequencer, "b", "a")
    assert _indexes(_submit(sequencer, "b", "a")) == [(1, False), (0, True)]
    _check(store, admission, "a", "b")


def test_the_first_commit_may_fail_as_well(
    sequencer: Sequencer, store: FaultyLogStore, admission: PlainAdmission
) -> None:
    store.fail(At.AFTER_APPEND)
    with pytest.raises(UnavailableError):
        _submit(sequencer, "a")
    assert _indexes(_submit(sequencer, "b", "a")) == [(1, False), (0, True)]
    _check(store, admission, "a", "b")


def test_a_restart_after_a_failure_finds_the_truth(
    sequencer: Sequencer, store: FaultyLogStore
) -> None:
    _submit(sequencer, "a")
    store.fail(At.AFTER_APPEND)
    with pytest.raises(UnavailableError):
        _submit(sequencer, "b")
    sequencer.close()
    again = Sequencer(store, SIGNER, PlainAdmission())
    assert _indexes(_submit(again, "b", "c")) == [(1, True), (2, False)]
    again.close()


# The log does not add up --------------------------------------------------------------------------


def _append_foreign(store: FaultyLogStore, *identities: str) -> None:
    """Let another program append to the log, correctly signed."""
    head = store.inner.head()
    frontier = Frontier.unpack(head.size, head.frontier)
    candidates = [plain_candidate(name) for name in identities]
    nodes = frontier.extend([leaf_hash(candidate.leaf) for candidate in candidates])
    text = Checkpoint(ORIGIN, frontier.size, frontier.root()).text()
    note = f"{text}\n{SIGNER.sign_note(text, now_seconds=0)}"
    moved = replace(
        head,
        size=frontier.size,
        root=frontier.root(),
        frontier=frontier.pack(),
        note=note,
    )
    plan = [
        StoredEntry(head.size + n, c.leaf_hash, c.received_at_ms, "", c.dedupe, c.leaf)
        for n, c in enumerate(candidates)
    ]
    store.inner.append(Batch(head.size, plan, nodes, moved))


def _is_stopped(sequencer: Sequencer, broken: BrokenCounter) -> bool:
    """Later submits are refused with the error that stopped the log, told once."""
    for _ in range(3):
        with pytest.raises(LogBrokenError) as refused:
            sequencer.submit([plain_candidate("later")])
        assert refused.value is broken.errors[0]
    sequencer.close()
    return len(broken.errors) == 1


@pytest.mark.parametrize("at", [At.BEFORE_APPEND, At.AFTER_APPEND])
@pytest.mark.parametrize("foreign", [1, 3])
def test_a_head_that_is_neither_before_nor_after_stops_the_log(
    sequencer: Sequencer, store: FaultyLogStore, broken: BrokenCounter, at: At, foreign: int
) -> None:
    _submit(sequencer, "a")
    store.fail(at)
    with pytest.raises(UnavailableError):
        _submit(sequencer, "b")
    _append_foreign(store, *(f"foreign {n}" for n in range(foreign)))
    with pytest.raises(LogBrokenError, match="neither"):
        _submit(sequencer, "c")
    assert _is_stopped(sequencer, broken)


def test_another_writer_stops_the_log_at_the_next_commit(
    sequencer: Sequencer, store: FaultyLogStore, broken: BrokenCounter
) -> None:
    _submit(sequencer, "a")
    _append_foreign(store, "foreign")
    with pytest.raises(LogBrokenError):
        _submit(sequencer, "b")
    assert _is_stopped(sequencer, broken)
    assert store.inner.head().size == 2


def test_whoever_waits_when_the_log_breaks_is_told_so(
    sequencer: Sequencer, store: FaultyLogStore, broken: BrokenCounter
) -> None:
    with store.held():
        sequencer.submit([plain_candidate("a")])
        store.wait_until_appending()
        futures = [sequencer.submit([plain_candidate(f"key {n}", alone=True)]) for n in range(5)]
        store.fail(At.BEFORE_APPEND, LogBrokenError("A page is gone."))
    for future in futures:
        with pytest.raises(LogBrokenError, match="A page is gone"):
            future.result()
    assert _is_stopped(sequencer, broken)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("root", {"root": b"\x01" * 32}),
        ("frontier", {"frontier": b"\x01" * 32}),
        ("length of the frontier", {"frontier": b"\x01" * 31}),
        ("size", {"size": 2}),
        ("note", {"note": "another\n1\n\n"}),
        ("origin", {"origin": "log.example/other"}),
    ],
)
def test_a_stored_head_that_contradicts_itself_is_not_written_to(
    sequencer: Sequencer, store: FaultyLogStore, name: str, spoil: dict[str, object]
) -> None:
    _submit(sequencer, "a")
    inner = store.inner
    assert isinstance(inner, MemoryLogStore)
    inner._head = replace(inner.head(), **spoil)  # type: ignore[arg-type]
    with pytest.raises(LogBrokenError):
        Sequencer(store, SIGNER, PlainAdmission())
    assert name


# What is not ours fails ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [MarkerError("No."), StoreUnavailableError("Away."), ValueError("Oh."), LogBrokenError("Ah.")],
    ids=lambda error: type(error).__name__,
)
def test_an_admission_that_cannot_take_note_hangs_nobody(
    sequencer: Sequencer,
    store: FaultyLogStore,
    admission: PlainAdmission,
    error: Exception,
) -> None:
    admission.failing = {"b": error}
    with pytest.raises((UnavailableError, LogBrokenError)):
        _submit(sequencer, "a", "b", "c")
    store.heal()
    assert faults_of(store.snapshot(), KEYS) == []
    assert store.head().size == 3


def test_an_admission_that_missed_an_entry_stops_the_log(
    sequencer: Sequencer, admission: PlainAdmission, broken: BrokenCounter
) -> None:
    # It would judge later entries by keys that the log has already changed.
    admission.failing = {"key": MarkerError("No such key.")}
    with pytest.raises(LogBrokenError):
        _submit(sequencer, "key")
    assert _is_stopped(sequencer, broken)


def test_a_fault_of_the_admission_itself_stops_the_log(
    sequencer: Sequencer, store: FaultyLogStore, admission: PlainAdmission, broken: BrokenCounter
) -> None:
    admission.refused = {"b": ZeroDivisionError("A mistake in our code.")}
    with pytest.raises(LogBrokenError, match="A mistake in our code"):
        _submit(sequencer, "a", "b")
    assert _is_stopped(sequencer, broken)
    assert store.inner.head().size == 0


def test_an_unavailable_admission_makes_the_whole_submission_unavailable(
    sequencer: Sequencer, store: FaultyLogStore, admission: PlainAdmission
) -> None:
    admission.refused = {"b": StoreUnavailableError("The keys cannot be read.")}
    with pytest.raises(UnavailableError):
        _submit(sequencer, "a", "b")
    admission.refused = {}
    assert _indexes(_submit(sequencer, "a", "b")) == [(0, False), (1, False)]
    _check(store, admission, "a", "b")


class _ForgetfulSigner:
    """A key in a store that is sometimes away."""

    vkey = SIGNER.vkey

    def __init__(self) -> None:
        self.errors: list[DeploymarkError] = []

    def sign_note(self, text: str, *, now_seconds: int) -> str:
        if self.errors:
            raise self.errors.pop()
        return SIGNER.sign_note(text, now_seconds=now_seconds)


def test_a_key_store_that_is_away_makes_the_log_unavailable_and_nothing_is_written(
    store: FaultyLogStore,
) -> None:
    signer, admission = _ForgetfulSigner(), PlainAdmission()
    sequencer = Sequencer(store, signer, admission)
    signer.errors = [UnavailableError("The key store is away.")]
    with pytest.raises(UnavailableError):
        _submit(sequencer, "a")
    assert store.inner.head().size == 0
    assert _indexes(_submit(sequencer, "b", "a")) == [(0, False), (1, False)]
    sequencer.close()
    _check(store, admission, "b", "a")


def _raising(_: DeploymarkError) -> None:
    raise RuntimeError("The pager is out of order.")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_pager_that_is_out_of_order_hangs_nobody(store: FaultyLogStore) -> None:
    sequencer = Sequencer(store, SIGNER, PlainAdmission(), _raising)
    store.fail(At.BEFORE_APPEND, LogBrokenError("A page is gone."))
    future = sequencer.submit([plain_candidate("a")])
    with pytest.raises(LogBrokenError, match="A page is gone"):
        future.result(timeout=30)
    sequencer.close()
    with pytest.raises(LogBrokenError):
        sequencer.submit([plain_candidate("b")])


def test_a_submission_cannot_be_called_back(
    sequencer: Sequencer, store: FaultyLogStore, admission: PlainAdmission
) -> None:
    with store.held():
        futures = [sequencer.submit([plain_candidate(name)]) for name in "ab"]
        assert not any(future.cancel() for future in futures)
    assert [_indexes(future.result()) for future in futures] == [[(0, False)], [(1, False)]]
    _check(store, admission, "a", "b")
