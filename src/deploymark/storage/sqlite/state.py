"""`state.db`, the file of operational state: tokens, sessions, and what others keep beside them.

Each adapter brings its own tables (`StateFile.lay`) and its own statements; this module only
opens the file, runs transactions and says SQLite's errors in our words. Nothing here is the truth
about deployments: that is the log.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deploymark.durable import sync
from deploymark.errors import (
    DataDirectoryError,
    DeploymarkError,
    StateBrokenError,
    StoreUnavailableError,
)
from deploymark.storage.sqlite.medium import explain

_APPLICATION_ID = 0x646D7374  # "dmst"
_BUSY_SECONDS = 5.0
_OWNER_ONLY = 0o600
_ADAPTERS = """
CREATE TABLE IF NOT EXISTS adapter (
  name    TEXT PRIMARY KEY,
  version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""
_VERSION = "SELECT version FROM adapter WHERE name = ?"


class StateFile:
    """One SQLite file that several adapters, threads and processes share.

    One connection writes and one reads, each behind a lock, so the number of handles is fixed and
    a read never waits for a commit to reach the disk. The file is created when it is missing,
    readable by its owner only: what it holds can be issued again.

    Args:
        path: The file; its parent directory must exist.

    Raises:
        DataDirectoryError: The file is something else.
        StateBrokenError: The file is damaged.
        StoreUnavailableError: The medium refuses.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._write_lock = threading.RLock()
        self._read_lock = threading.RLock()
        self._closed = False
        _create(path)
        with self._explained():
            self._writer = self._open()
            try:
                self._prepare()
                self._reader = self._open()
            except BaseException:
                self._writer.close()
                raise

    def lay(self, adapter: str, version: int, schema: str) -> None:
        """Lay the tables of one adapter down, unless they are there in this version.

        Args:
            adapter: Its name, a word; also the beginning of the names of its tables, by custom.
            version: Of its tables, from 1.
            schema: Statements that may run twice (`IF NOT EXISTS`), without a transaction.

        Raises:
            DataDirectoryError: The tables are there in another version.
            StateBrokenError, StoreUnavailableError: As every method of an adapter.
        """
        with self._write_lock, self._explained():
            found = self._version(adapter)
            if found is None:
                try:
                    # If we stop before COMMIT, nothing was laid down; after it, all of it was.
                    self._writer.executescript(
                        f"BEGIN IMMEDIATE;\n{schema}\n"
                        f"INSERT OR IGNORE INTO adapter VALUES ('{adapter}', {version});\nCOMMIT;"
                    )
                finally:
                    self._roll_back()
                found = self._version(adapter)  # another process may have been first
        if found != version:
            raise DataDirectoryError(
                f"The tables of {adapter} in {self.path} have version {found}; this release "
                f"knows version {version}.",
                hint="Use the release of deploymark that wrote this file last, or a newer one.",
            )

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection that reads, for statements that change nothing.

        Fetch every row before leaving. Each statement sees the newest commit; a transaction, if
        the statements must agree, is up to the borrower.

        Raises:
            StateBrokenError: The file is damaged.
            StoreUnavailableError: The medium refuses, or the file is closed.
        """
        with self._read_lock, self._explained():
            yield self._reader

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Run one write transaction; it commits when the block ends, or leaves nothing behind.

        Transactions do not nest. What they read is current: no other process writes meanwhile.

        Args:
            durable: Whether the commit is on the disk before this returns. When not, a loss of
                power may take it back, alone or with the like commits before it; the file stays
                whole.

        Raises:
            StateBrokenError: The file is damaged.
            StoreUnavailableError: The medium refuses, or the file is closed.
        """
        with self._write_lock, self._explained():
            self._writer.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                # If we stop before COMMIT, nothing was written; after it, all of it was.
                self._writer.execute("COMMIT")
            finally:
                self._roll_back()

    def close(self) -> None:
        """Release every handle; idempotent."""
        with self._write_lock, self._read_lock:
            self._closed = True
            self._reader.close()
            self._writer.close()

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=rw",
            uri=True,
            isolation_level=None,
            timeout=_BUSY_SECONDS,
            check_same_thread=False,
        )

    def _prepare(self) -> None:
        found = self._writer.execute("PRAGMA application_id").fetchone()[0]
        tables = self._writer.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        # A file without tables and number is one that was created a moment ago.
        if found != _APPLICATION_ID and (found or tables):
            raise DataDirectoryError(
                f"{self.path} is not a state file of deploymark.",
                hint="Move it away; a new state file is created in its place.",
            )
        self._writer.execute("PRAGMA journal_mode=WAL")
        self._writer.execute("PRAGMA synchronous=FULL")
        if found != _APPLICATION_ID:
            self._writer.execute(f"PRAGMA application_id={_APPLICATION_ID}")
        self._writer.executescript(_ADAPTERS)

    def _version(self, adapter: str) -> int | None:
        row = self._writer.execute(_VERSION, (adapter,)).fetchone()
        return None if row is None else int(row[0])

    def _roll_back(self) -> None:
        if self._writer.in_transaction:
            with suppress(sqlite3.Error):
                self._writer.execute("ROLLBACK")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say SQLite's errors in the words of our tree."""
        if self._closed:
            raise StoreUnavailableError(f"The state file {self.path} is closed.")
        try:
            yield
        except sqlite3.Error as error:
            raise _explain(error, self.path) from error
        except UnicodeDecodeError as error:  # damaged text, even in SQLite's own message
            raise StateBrokenError(f"The state file {self.path} is damaged: {error}.") from error


def _create(path: Path) -> None:
    """Create an empty file, which SQLite takes for an empty database."""
    try:
        # Closing a handle would drop the locks that SQLite holds on the file in this process, so
        # the file is opened only when it is not there yet.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _OWNER_ONLY))
        sync(path.absolute().parent)
    except FileExistsError:
        return
    except OSError as error:
        raise StoreUnavailableError(
            f"The state file {path} cannot be created: {error.strerror}."
        ) from error


def _explain(error: sqlite3.Error, path: Path) -> DeploymarkError:
    name = getattr(error, "sqlite_errorname", "")
    if isinstance(explain(error, path), StoreUnavailableError):
        return StoreUnavailableError(f"The state file {path} refused: {error} ({name}).")
    return StateBrokenError(f"The state file {path} is damaged: {error} ({name}).")
