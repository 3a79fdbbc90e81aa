"""Every ledger store keeps the same contract; SQLite's own promises beside it."""

from pathlib import Path

import pytest

from deploymark.errors import DataDirectoryError, StoreUnavailableError
from deploymark.ports import Position
from deploymark.storage.memory_ledger import MemoryLedgerStore
from deploymark.storage.sqlite.ledger import SqliteLedgerStore
from deploymark.storage.sqlite.state import StateFile
from deploymark.testing.ledger_store import exercise_ledger_store

_HERE = Position("log.example", 1, b"\x01" * 32)


def test_the_memory_store_keeps_the_contract() -> None:
    store = MemoryLedgerStore()
    exercise_ledger_store(lambda: store)


def test_the_sqlite_store_keeps_the_contract(tmp_path: Path) -> None:
    opened: list[StateFile] = []

    def reopened() -> SqliteLedgerStore:
        opened.append(StateFile(tmp_path / "state.db"))
        return SqliteLedgerStore(opened[-1])

    exercise_ledger_store(reopened)
    for state in opened:
        state.close()


def test_a_store_that_forgets_rows_to_drop_is_told() -> None:
    class Hoarder(MemoryLedgerStore):
        def save(self, changes: object, position: Position) -> None:
            assert isinstance(changes, dict)
            super().save({key: data for key, data in changes.items() if data}, position)

    store = Hoarder()
    with pytest.raises(AssertionError):
        exercise_ledger_store(lambda: store)


def test_a_save_onto_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    state = StateFile(tmp_path / "state.db")
    store = SqliteLedgerStore(state)
    store.save({"one": b"1"}, _HERE)
    with state.writing() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StoreUnavailableError):
        store.save({"one": b"2", "big": b"x" * 1_000_000}, Position("log.example", 2, b"\x02" * 32))
    assert store.load() == (_HERE, {"one": b"1"})
    state.close()


def test_a_closed_file_is_unavailable(tmp_path: Path) -> None:
    state = StateFile(tmp_path / "state.db")
    store = SqliteLedgerStore(state)
    state.close()
    with pytest.raises(StoreUnavailableError):
        store.load()


def test_tables_of_another_version_are_refused(tmp_path: Path) -> None:
    state = StateFile(tmp_path / "state.db")
    state.lay("ledger", 9, "")
    with pytest.raises(DataDirectoryError, match="version 9"):
        SqliteLedgerStore(state)
    state.close()
