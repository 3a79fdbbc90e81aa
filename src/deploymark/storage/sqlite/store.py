"""Writes a log in SQLite; every statement that writes stands in this file."""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from deploymark.durable import sync
from deploymark.errors import (
    DataDirectoryError,
    DeploymarkError,
    LogBrokenError,
    StoreUnavailableError,
)
from deploymark.ports import Batch, Head, LogReader, PublishedCheckpoint, StoredEntry
from deploymark.storage.sqlite.medium import explained, take_lock
from deploymark.storage.sqlite.reader import (
    BUSY_MS,
    SCHEMA_VERSION,
    SqliteLogReader,
    schema_sql,
)

LOCK_SUFFIX = ".lock"
# A leaf is 1 to 2 KB. On small pages two or three fit and the rest is lost: 530 bytes an entry
# with 8 KB pages, 213 with 32 KB, and appending in batches gets quicker; see benchmarks/log.py.
_PAGE_BYTES = 32_768
# 32 MB of WAL between checkpoints: a fraction of the checkpoint stalls of the default.
_AUTOCHECKPOINT_PAGES = 1_024

_ENTRY_ROW = "(?, ?, ?, ?, ?, ?)"
_ROWS_PER_INSERT = 128
_INSERT_HEAD = "INSERT INTO log VALUES (1, ?, ?, ?, ?, ?, ?)"
_MOVE_HEAD = "UPDATE log SET size = ?, root = ?, frontier = ?, note = ? WHERE one = 1 AND size = ?"
_DROP_CHECKPOINT = (
    "DELETE FROM checkpoint WHERE size = ? AND size <> (SELECT published_size FROM log)"
)
_WRITER_PRAGMAS = (
    "PRAGMA synchronous=FULL",
    "PRAGMA secure_delete=ON",  # erased means gone from the file, not only unlinked
    f"PRAGMA wal_autocheckpoint={_AUTOCHECKPOINT_PAGES}",
)


class SqliteLogStore(SqliteLogReader):
    """The one writer of a log in SQLite.

    Args:
        path: The database file. Its parent directory must exist. A lock file beside it keeps
            a second writer out; the kernel drops the lock when this process dies.

    Raises:
        LogBusyError: Another process writes this log.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._write_lock = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        # Whether erased content may still stand in the write-ahead log, for a reader was there.
        self._unscrubbed = False
        self._lock_file = take_lock(path.with_name(path.name + LOCK_SUFFIX))

    def create(self, head: Head) -> None:
        """See `LogStore.create`."""
        if self.path.exists():
            raise DataDirectoryError(f"{self.path} exists already.")
        # Built under another name and renamed: a log exists whole or not at all.
        draft = self.path.with_name(self.path.name + ".new")
        draft.unlink(missing_ok=True)
        with explained(self.path):
            connection = sqlite3.connect(draft, isolation_level=None)
            try:
                connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")
                connection.executescript(f"BEGIN;\n{schema_sql()}\nCOMMIT;")
                connection.execute(_INSERT_HEAD, _head_values(head))
                connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
                connection.execute("PRAGMA journal_mode=WAL")
            finally:
                connection.close()
        try:
            sync(draft)
            draft.rename(self.path)
            sync(self.path.parent)
        except OSError as error:
            raise StoreUnavailableError(f"{self.path} cannot be created: {error}.") from error

    def _writing(self) -> sqlite3.Connection:
        if self._writer is None:
            connection = self._open("rw")
            with explained(self.path):
                for pragma in _WRITER_PRAGMAS:
                    connection.execute(pragma)
            self._writer = connection
        return self._writer

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Run one write transaction: all of it is on the disk afterwards, or none of it."""
        with self._write_lock, explained(self.path):
            connection = self._writing()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    def append(self, batch: Batch) -> None:
        """See `LogStore.append`."""
        with self._transaction() as connection:
            # If we stop before COMMIT, SQLite's recovery drops everything of this batch; if we
            # stop after it, all of it is there, unacknowledged, and a retry finds it by dedupe.
            moved = connection.execute(
                _MOVE_HEAD,
                (
                    *(batch.head.size, batch.head.root, batch.head.frontier, batch.head.note),
                    batch.expected_size,
                ),
            )
            if moved.rowcount != 1:
                raise LogBrokenError(
                    f"{self.path} has not the {batch.expected_size} entries this writer left.",
                    hint="Another program changed the log. Stop, keep the file, run log fsck.",
                )
            _insert_entries(connection, batch.entries)
            connection.executemany(
                "INSERT INTO node VALUES (?, ?, ?)",
                ((node.level, node.index, node.hash) for node in batch.nodes),
            )
            connection.executemany(
                "INSERT OR IGNORE INTO detail VALUES (?, ?, ?, NULL)",
                ((blob.digest, blob.salt, blob.content) for blob in batch.blobs),
            )
            connection.executemany(
                "UPDATE detail SET salt = NULL, blob = NULL, erased_at = ? WHERE digest = ?",
                ((erased_at_ms, digest) for digest, erased_at_ms in batch.erasures),
            )
        self._unscrubbed |= bool(batch.erasures)
        if self._unscrubbed:
            with self._write_lock:
                self._settle()  # erased content goes from the write-ahead log as well

    def _settle(self) -> None:
        """Empty the write-ahead log into the database, and see that all of it is on the disk.

        A process that died, or a commit that failed, between writing and syncing leaves a batch
        that SQLite finds again in the page cache. Nobody has synced it, so it must be before
        anything of it is acknowledged, be it as a duplicate.
        """
        with explained(self.path):
            connection = self._writing()
            # A reader beside keeps the write-ahead log from being emptied; it is not waited for.
            connection.execute("PRAGMA busy_timeout=0")
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        wal = self.path.with_name(self.path.name + "-wal")
        try:
            sync(wal)  # what the reader held back; and that it is empty, when it is
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StoreUnavailableError(f"{wal} cannot be synced: {error}.") from error
        self._unscrubbed &= bool(busy)

    def publish(self, checkpoint: PublishedCheckpoint) -> None:
        """See `LogStore.publish`."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO checkpoint VALUES (?, ?, ?, ?, ?)",
                (
                    *(checkpoint.size, checkpoint.previous_size, checkpoint.published_at_s),
                    *(checkpoint.note, len(checkpoint.cosignatures)),
                ),
            )
            connection.execute("DELETE FROM cosignature WHERE size = ?", (checkpoint.size,))
            connection.executemany(
                "INSERT INTO cosignature VALUES (?, ?, ?)",
                ((checkpoint.size, *item) for item in checkpoint.cosignatures.items()),
            )
            connection.execute("UPDATE log SET published_size = ?", (checkpoint.size,))

    def cosign(self, size: int, vkey: str, line: str) -> None:
        """See `LogStore.cosign`."""
        with self._transaction() as connection:
            known = connection.execute("SELECT 1 FROM checkpoint WHERE size = ?", (size,))
            if known.fetchone() is None:
                return  # thinned meanwhile: there is nothing left to cosign
            connection.execute(
                "INSERT OR REPLACE INTO cosignature VALUES (?, ?, ?)", (size, vkey, line)
            )
            connection.execute(
                "UPDATE checkpoint SET cosignatures ="
                " (SELECT count(*) FROM cosignature WHERE size = ?1) WHERE size = ?1",
                (size,),
            )

    def thin(self, sizes: Sequence[int]) -> None:
        """See `LogStore.thin`."""
        with self._transaction() as connection:
            connection.executemany(_DROP_CHECKPOINT, ((size,) for size in sizes))
            connection.execute(
                "DELETE FROM cosignature WHERE size NOT IN (SELECT size FROM checkpoint)"
            )
            connection.execute(
                "UPDATE checkpoint AS later SET previous_size = coalesce("
                "(SELECT max(size) FROM checkpoint AS c WHERE c.size < later.size), 0)"
            )

    def reopen(self) -> None:
        """See `LogStore.reopen`."""
        self._forget()
        with self._write_lock:
            self._settle()

    def _forget(self) -> None:
        with self._write_lock:
            writer, self._writer = self._writer, None
        self._close_all(last=writer)

    def snapshot(self) -> LogReader:
        """See `LogStore.snapshot`."""
        return SqliteLogReader(self.path, pinned=True)

    def close(self) -> None:
        """See `LogReader.close`; also lets the next writer in."""
        if self._unscrubbed:
            with self._write_lock, suppress(DeploymarkError):
                self._settle()
        self._forget()
        if self._lock_file >= 0:
            os.close(self._lock_file)
        self._lock_file = -1


def _insert_entries(connection: sqlite3.Connection, entries: Sequence[StoredEntry]) -> None:
    """Insert rows, many to a statement.

    sqlite3 gives the interpreter lock away at each statement and must win it back from the
    verifying threads; a statement a row would make the writer wait thousands of times a batch.
    """
    for start in range(0, len(entries), _ROWS_PER_INSERT):
        rows = entries[start : start + _ROWS_PER_INSERT]
        values: list[object] = []
        for e in rows:
            values += (e.index, e.leaf_hash, e.received_at_ms, e.key_id, e.dedupe, e.leaf)
        places = ",".join([_ENTRY_ROW] * len(rows))
        connection.execute(f"INSERT INTO entry VALUES {places}", values)  # noqa: S608 - no text


def _head_values(head: Head) -> tuple[object, ...]:
    return (
        *(head.origin, head.size, head.root, head.frontier, head.note),
        head.published_size,
    )
