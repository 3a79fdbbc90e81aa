"""A log that lacks what was published, or has something else in its place, is not opened."""

import pytest

from deploymark.errors import DataDirectoryError, DeploymarkError, RolledBackError
from deploymark.log.guard import check_guard
from deploymark.log.reader import LogView
from deploymark.storage.memory import MemoryLogStore
from deploymark.storage.memory_guard import MemoryRollbackGuard
from deploymark.testing.rollback_guard import FullGuard
from deploymark.testing.whole_log import ORIGIN, WholeLog

ROOT = bytes(range(32))


@pytest.fixture
def store() -> MemoryLogStore:
    """Six entries, the first four of them published."""
    store = MemoryLogStore()
    with WholeLog(store) as log:
        log.append_markers(3)
        log.publish()
        log.append_markers(2)
    return store


def _root(store: MemoryLogStore, size: int) -> bytes:
    with WholeLog(MemoryLogStore()) as other:
        other.append_markers(size - 1)
        root = other.store.head().root
    assert size != store.head().size or root == store.head().root
    return root


def _check(store: MemoryLogStore, remembered: tuple[str, int, bytes] | None) -> None:
    check_guard(LogView(store), FullGuard(remembered))


@pytest.mark.parametrize("size", range(1, 7))
def test_a_log_that_contains_what_was_published_is_opened(store: MemoryLogStore, size: int) -> None:
    # A guard may know of more than the store says was published: it is written first.
    _check(store, (ORIGIN, size, _root(store, size)))


def test_an_empty_log_of_which_nothing_was_published_is_opened() -> None:
    store = MemoryLogStore()
    with WholeLog(store, guard := MemoryRollbackGuard()):
        check_guard(LogView(store), guard)


def test_a_log_that_is_shorter_is_an_old_copy(store: MemoryLogStore) -> None:
    with pytest.raises(RolledBackError, match="2 acknowledged entries are missing") as caught:
        _check(store, (ORIGIN, 8, ROOT))
    assert "log recover --from EXPORT" in caught.value.hint


@pytest.mark.parametrize("size", range(1, 7))
def test_a_log_with_another_root_has_forked(store: MemoryLogStore, size: int) -> None:
    with pytest.raises(RolledBackError, match="forked") as caught:
        _check(store, (ORIGIN, size, ROOT))
    assert "evidence" in caught.value.hint


def test_a_lost_guard_is_not_taken_for_a_new_log(store: MemoryLogStore) -> None:
    with pytest.raises(DataDirectoryError, match="up to size 4 were published") as caught:
        _check(store, None)
    assert "log recover --accept" in caught.value.hint


def test_the_guard_of_another_log_is_refused(store: MemoryLogStore) -> None:
    with pytest.raises(DataDirectoryError, match=r"belongs to the log log\.example/other"):
        _check(store, ("log.example/other", 4, _root(store, 4)))


@pytest.mark.parametrize("size", [-1, -(2**63)])
def test_a_guard_that_remembers_nonsense_is_refused(store: MemoryLogStore, size: int) -> None:
    with pytest.raises(DeploymarkError):
        _check(store, (ORIGIN, size, ROOT))
