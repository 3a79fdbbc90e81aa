"""Every lease store keeps the same contract; SQLite's own promises beside it."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploymark.errors import DataDirectoryError, StoreUnavailableError
from deploymark.storage.memory_leases import MemoryLeaseStore
from deploymark.storage.sqlite.leases import SqliteLeaseStore
from deploymark.storage.sqlite.state import StateFile
from deploymark.testing.lease_store import exercise_lease_store

_PROCESSES, _TURNS = 3, 40
_SECONDS = 60

# A process that takes the lease as often as it gets it, and prints its fences.
_HOLDER = """
import sys
from pathlib import Path
from deploymark.storage.sqlite.leases import SqliteLeaseStore
from deploymark.storage.sqlite.state import StateFile

state = StateFile(Path(sys.argv[1]))
store = SqliteLeaseStore(state)
turns = int(sys.argv[3])
while turns:
    fence = store.take("raced", sys.argv[2], 1_000, 2_000)
    if fence is not None:
        assert store.take("raced", sys.argv[2], 1_000, 2_000) == fence
        print(fence)
        store.drop("raced", sys.argv[2])
        turns -= 1
state.close()
"""


def test_the_memory_store_keeps_the_contract() -> None:
    store = MemoryLeaseStore()
    exercise_lease_store(lambda: store)


def test_the_sqlite_store_keeps_the_contract(tmp_path: Path) -> None:
    opened: list[StateFile] = []

    def reopened() -> SqliteLeaseStore:
        opened.append(StateFile(tmp_path / "state.db"))
        return SqliteLeaseStore(opened[-1])

    exercise_lease_store(reopened)
    for state in opened:
        state.close()


def test_processes_never_share_a_fence(tmp_path: Path) -> None:
    holders = [
        subprocess.Popen(
            [sys.executable, "-c", _HOLDER, tmp_path / "state.db", f"holder {number}", str(_TURNS)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(_PROCESSES)
    ]
    fences = []
    for holder in holders:
        printed, _ = holder.communicate(timeout=_SECONDS)
        assert holder.returncode == 0
        own = [int(line) for line in printed.split()]
        assert own == sorted(own)
        fences += own
    assert sorted(fences) == list(range(1, _PROCESSES * _TURNS + 1))


class _Forgetful(MemoryLeaseStore):
    """Begins to count again when a lease is dropped."""

    def drop(self, name: str, holder: str) -> None:
        super().drop(name, holder)
        if name in self._leases and self._leases[name].holder is None:
            del self._leases[name]


class _Generous(MemoryLeaseStore):
    """Gives a lease to whoever asks."""

    def take(self, name: str, holder: str, now_ms: int, until_ms: int) -> int | None:
        self._leases.pop(name, None)
        return super().take(name, holder, now_ms, until_ms)


class _Stubborn(MemoryLeaseStore):
    """Never lets a lease end sooner than it was once said to."""

    def take(self, name: str, holder: str, now_ms: int, until_ms: int) -> int | None:
        lease = self._leases.get(name)
        if lease is not None and lease.holder is not None:
            lease.taken_ms = 0
            until_ms = max(until_ms, lease.until_ms)
        return super().take(name, holder, now_ms, until_ms)


@pytest.mark.parametrize("broken", [_Forgetful, _Generous, _Stubborn])
def test_a_store_that_breaks_the_contract_is_told(broken: type[MemoryLeaseStore]) -> None:
    store = broken()
    with pytest.raises(AssertionError):
        exercise_lease_store(lambda: store)


def test_a_take_onto_a_full_disk_gives_no_lease(tmp_path: Path) -> None:
    state = StateFile(tmp_path / "state.db")
    store = SqliteLeaseStore(state)
    first = store.take("small", "a", 0, 10)
    with state.writing() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StoreUnavailableError):
        store.take("x" * 1_000_000, "a", 0, 10)
    assert store.take("small", "a", 5, 15) == first
    state.close()


def test_a_closed_file_is_unavailable(tmp_path: Path) -> None:
    state = StateFile(tmp_path / "state.db")
    store = SqliteLeaseStore(state)
    state.close()
    with pytest.raises(StoreUnavailableError):
        store.take("one", "a", 0, 10)


def test_tables_of_another_version_are_refused(tmp_path: Path) -> None:
    state = StateFile(tmp_path / "state.db")
    state.lay("leases", 9, "")
    with pytest.raises(DataDirectoryError, match="version 9"):
        SqliteLeaseStore(state)
    state.close()


def test_who_has_the_directory_alone_need_not_wait_for_a_holder_that_ended(tmp_path: Path) -> None:
    state = StateFile(tmp_path / "state.db")
    store = SqliteLeaseStore(state)
    first = store.take("rollouts", "killed", 1_000, 121_000)
    assert first is not None
    assert store.take("rollouts", "started again", 2_000, 122_000) is None
    store.free_all()
    assert store.take("rollouts", "started again", 2_000, 122_000) == first + 1
    state.close()
