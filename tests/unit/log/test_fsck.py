"""An audit reports seven steps, names places, and ends whatever it is shown.

That it finds every change is shown by tests/mutation; here is how it says so.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from time_limit import ends_within

from deploymark.errors import DataDirectoryError, LogBrokenError
from deploymark.log.fsck import Audit
from deploymark.log.steps import Result, Step, verdict
from deploymark.log.tree import leaf_hash
from deploymark.ports import Blob, Head, StoredEntry
from deploymark.storage.memory import MemoryLogStore
from deploymark.testing.history import HISTORY_SIZE, write_history
from deploymark.testing.whole_log import ORIGIN, log_signers, policy_of, signed_empty_head

KEYS = [line.key for line in policy_of().logs]


@pytest.fixture(scope="module")
def history() -> MemoryLogStore:
    store = MemoryLogStore()
    write_history(store)
    return store


@pytest.fixture
def store(history: MemoryLogStore) -> MemoryLogStore:
    """A copy to be damaged."""
    return history.snapshot()


def _steps(store: MemoryLogStore) -> list[Step]:
    return list(Audit(store, KEYS).steps())


def _faults(store: MemoryLogStore) -> dict[int, tuple[str, ...]]:
    return {step.number: step.faults for step in _steps(store) if step.faults}


def test_a_whole_log_holds_in_seven_steps(store: MemoryLogStore) -> None:
    steps = _steps(store)
    assert [step.number for step in steps] == [1, 2, 3, 4, 5, 6, 7]
    assert verdict(steps) is Result.HOLDS
    assert f"{HISTORY_SIZE} entries" in steps[2].detail


def test_progress_is_told_in_entries(store: MemoryLogStore) -> None:
    done: list[int] = []
    for _ in Audit(store, KEYS, progress=done.append).steps():
        pass
    assert done == sorted(done)
    assert done[-1] == HISTORY_SIZE


def test_an_empty_log_holds_and_no_log_is_none() -> None:
    store = MemoryLogStore()
    with pytest.raises(DataDirectoryError):
        Audit(store, KEYS)
    store.create(signed_empty_head(ORIGIN, log_signers()[0]))
    assert verdict(_steps(store)) is Result.HOLDS


def _entry(store: MemoryLogStore, index: int, **changes: object) -> None:
    kept = store.entry(index)
    names = ("index", "leaf_hash", "received_at_ms", "key_id", "dedupe", "leaf")
    values = {name: getattr(kept, name) for name in names}
    store._entries[index] = StoredEntry(**{**values, **changes})


def _head(store: MemoryLogStore, **changes: object) -> None:
    store._head = replace(store.head(), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("damage", "step", "said"),
    [
        pytest.param(
            lambda s: _entry(s, 7, leaf=b"other"), 3, "Entry 7 does not hash", id="another body"
        ),
        pytest.param(lambda s: _entry(s, 7, leaf=None), 3, "body of entry 7 is gone", id="no body"),
        pytest.param(lambda s: _entry(s, 7, key_id="k"), 3, "entry 7", id="another key"),
        pytest.param(
            lambda s: _entry(s, 7, leaf=b"{}", leaf_hash=leaf_hash(b"{}")),
            3,
            "Entry 7 cannot be read",
            id="no leaf",
        ),
        pytest.param(lambda s: s._entries.pop(7), 3, "Entry 7 is missing", id="a hole"),
        pytest.param(
            lambda s: s._entries.pop(), 3, f"Entry {HISTORY_SIZE - 1} is missing", id="no last"
        ),
        pytest.param(lambda s: s._nodes.pop((1, 1)), 4, "level 1", id="no node"),
        pytest.param(lambda s: _head(s, root=bytes(32)), 5, "root", id="another root"),
        pytest.param(lambda s: _head(s, frontier=b""), 5, "frontier", id="no frontier"),
        pytest.param(lambda s: _head(s, origin="o"), 5, "origin", id="another origin"),
        pytest.param(lambda s: _head(s, note="words"), 5, "not signed", id="no note"),
        pytest.param(lambda s: s._published.pop(257), 2, "follows size 257", id="no checkpoint"),
        pytest.param(lambda s: s._blobs.clear(), 7, "not stored", id="no content"),
        pytest.param(
            lambda s: s._blobs.update({b"x": Blob(b"x", b"", b"y")}), 7, "no entry", id="content"
        ),
    ],
)
def test_a_fault_stands_in_its_step_and_names_its_place(
    store: MemoryLogStore, damage: Callable[[MemoryLogStore], object], step: int, said: str
) -> None:
    damage(store)
    faults = _faults(store)
    assert min(faults) == step
    assert any(said in fault for fault in faults[step]), faults[step]


@pytest.mark.parametrize("size", [-1, 0, 1, HISTORY_SIZE + 1, 2**40, 2**62, -(2**62)])
def test_a_head_that_claims_any_size_ends_the_audit_with_a_fault(
    store: MemoryLogStore, size: int
) -> None:
    _head(store, size=size)
    with ends_within(seconds=20):
        assert _faults(store)


def test_the_faults_of_one_step_are_counted_and_not_all_told(store: MemoryLogStore) -> None:
    for index in range(300):
        _entry(store, index, key_id="another")
    faults = _faults(store)[3]
    assert len(faults) == 101
    assert faults[-1] == "… and 200 more."


class _Failing(MemoryLogStore):
    """Fails when it is asked for a thing."""

    error: Exception = LogBrokenError("A page is gone.")

    def blobs(self) -> Iterator[Blob]:
        raise self.error


@pytest.mark.parametrize(
    "error", [LogBrokenError("A page is gone."), TypeError("None has no length.")]
)
def test_a_step_that_cannot_be_run_is_a_fault_of_it(
    store: MemoryLogStore, error: Exception
) -> None:
    failing = _Failing()
    failing.__dict__.update(store.__dict__)
    failing.error = error
    steps = list(Audit(failing, KEYS).steps())
    assert [step.number for step in steps if step.faults] == [7]
    assert str(error) in steps[6].faults[0]


def test_the_head_is_all_that_is_needed_to_begin() -> None:
    class Headless(MemoryLogStore):
        def head(self) -> Head:
            raise LogBrokenError("The head is gone.")

    with pytest.raises(LogBrokenError):
        Audit(Headless(), KEYS)
