"""Every log store keeps the same contract; SQLite's own promises beside it."""

import sqlite3
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from deploymark.errors import DataDirectoryError, LogBrokenError, LogBusyError
from deploymark.ports import Blob
from deploymark.storage.memory import MemoryLogStore
from deploymark.storage.sqlite import SqliteLogReader, SqliteLogStore
from deploymark.testing.log_store import empty_head, exercise_log_store, next_batch


def test_the_memory_store_keeps_the_contract() -> None:
    exercise_log_store(MemoryLogStore)


def test_the_sqlite_store_keeps_the_contract(tmp_path: Path) -> None:
    numbers = count()
    exercise_log_store(lambda: SqliteLogStore(tmp_path / f"{next(numbers)}.db"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteLogStore]:
    store = SqliteLogStore(tmp_path / "log.db")
    store.create(empty_head())
    yield store
    store.close()


def test_a_second_writer_is_refused_until_the_first_closes(store: SqliteLogStore) -> None:
    with pytest.raises(LogBusyError):
        SqliteLogStore(store.path)
    store.close()
    SqliteLogStore(store.path).close()


def test_a_reader_may_look_while_another_process_writes(store: SqliteLogStore) -> None:
    store.append(next_batch(store, 2))
    reader = SqliteLogReader(store.path)
    assert reader.head().size == 2
    store.append(next_batch(store, 2))
    assert reader.head().size == 4
    reader.close()


def test_reading_never_creates_a_log(tmp_path: Path) -> None:
    with pytest.raises(DataDirectoryError):
        SqliteLogReader(tmp_path / "none.db").head()
    assert list(tmp_path.iterdir()) == []


def test_a_log_of_another_schema_version_is_refused(store: SqliteLogStore) -> None:
    store.close()
    with sqlite3.connect(store.path) as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(DataDirectoryError, match="schema version 9"):
        SqliteLogReader(store.path).head()


def test_a_file_that_is_no_database_is_broken_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    path.write_bytes(b"not a database, but long enough to be read as one" * 40)
    with pytest.raises(LogBrokenError):
        SqliteLogReader(path).head()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM entry",
        "UPDATE entry SET leaf_hash = x'00'",
        "UPDATE entry SET dedupe = 'other'",
        "UPDATE entry SET idx = idx + 1",
        "UPDATE log SET origin = 'elsewhere'",
    ],
)
def test_a_slip_of_the_hand_is_stopped(store: SqliteLogStore, statement: str) -> None:
    store.append(next_batch(store, 2))
    connection = sqlite3.connect(store.path)
    with pytest.raises(sqlite3.IntegrityError, match="never"):
        connection.execute(statement)
    connection.close()


def test_erased_content_is_gone_from_every_file(store: SqliteLogStore) -> None:
    secret = b"the-name-of-a-person" * 50
    blob = Blob(b"g" * 32, b"salt", secret)
    store.append(next_batch(store, 1, blobs=[blob]))
    store.append(next_batch(store, 1, erasures=[(blob.digest, 1)]))
    for file in store.path.parent.iterdir():
        assert secret[:40] not in file.read_bytes(), file.name
