"""What a witness remembers: in memory for tests, in one SQLite file for operation.

The file is tiny and precious. A witness that forgets can be shown a fork and will cosign it, so
the file is laid down once, by `create`, and never because it is missing.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from deploymark.durable import sync
from deploymark.errors import (
    DataDirectoryError,
    DeploymarkError,
    LogBrokenError,
    StoreUnavailableError,
)
from deploymark.ports import Witnessed

SCHEMA_VERSION = 1
_APPLICATION_ID = 0x646D7773  # "dmws"
_BUSY_SECONDS = 5.0
_CREATE = """
CREATE TABLE witnessed (
  origin TEXT PRIMARY KEY CHECK (origin <> ''),
  size INTEGER NOT NULL CHECK (size >= 0),
  root BLOB NOT NULL CHECK (length(root) = 32)
) STRICT, WITHOUT ROWID
"""
_SELECT = "SELECT size, root FROM witnessed WHERE origin = ?"
_RECORD = "INSERT OR REPLACE INTO witnessed VALUES (?, ?, ?)"


class MemoryWitnessState:
    """A `WitnessState` that lives as long as its process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._witnessed: dict[str, Witnessed] = {}

    def read(self, origin: str) -> Witnessed | None:
        """See `WitnessState.read`."""
        return self._witnessed.get(origin)

    def compare_and_swap(self, origin: str, expected: Witnessed | None, new: Witnessed) -> bool:
        """See `WitnessState.compare_and_swap`."""
        with self._lock:
            if self._witnessed.get(origin) != expected:
                return False
            self._witnessed[origin] = new
            return True


class SqliteWitnessState:
    """A `WitnessState` in one SQLite file, shared by threads and processes.

    Write-ahead log with synchronous=FULL: what is recorded is on the disk before
    `compare_and_swap` returns, and survives the death of the process.

    Args:
        path: The file, as `create` left it.

    Raises:
        DataDirectoryError: There is no such file, or it is something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        if not path.is_file():
            raise DataDirectoryError(
                f"There is no witness state {path}.",
                hint="Bring the file back. A new one is right only for a witness with new keys: "
                "one that forgot what it saw may cosign a fork.",
            )
        with self._explained():
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=rw",
                uri=True,
                isolation_level=None,
                timeout=_BUSY_SECONDS,
                check_same_thread=False,
            )
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    @classmethod
    def create(cls, path: Path) -> "SqliteWitnessState":
        """Lay down the state of a witness that has seen nothing yet, and open it.

        Raises:
            DataDirectoryError: There is a file of that name.
            StoreUnavailableError: The medium refuses.
        """
        # Built under another name and linked: it exists whole or not at all, and only once.
        draft = path.with_name(f"{path.name}.{os.getpid()}.new")
        try:
            draft.unlink(missing_ok=True)
            with _explained(path), contextlib.closing(sqlite3.connect(draft)) as connection:
                connection.execute(_CREATE)
                connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
                connection.commit()
                connection.execute("PRAGMA journal_mode=WAL")
            sync(draft)
            path.hardlink_to(draft)
            draft.unlink()
            sync(path.parent)
        except FileExistsError as error:
            draft.unlink()
            raise DataDirectoryError(
                f"The witness state {path} exists already.", hint="Open it as it is."
            ) from error
        except OSError as error:
            raise StoreUnavailableError(
                f"The witness state {path} cannot be created: {error}."
            ) from error
        return cls(path)

    def read(self, origin: str) -> Witnessed | None:
        """See `WitnessState.read`."""
        with self._lock, self._explained():
            return self._select(origin)

    def compare_and_swap(self, origin: str, expected: Witnessed | None, new: Witnessed) -> bool:
        """See `WitnessState.compare_and_swap`."""
        with self._lock, self._explained():
            # IMMEDIATE: from here on no other process can record anything.
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                fits = self._select(origin) == expected
                if fits and new != expected:
                    self._connection.execute(_RECORD, (origin, new.size, new.root))
                # If we stop before COMMIT, nothing was recorded; after it, all of it was.
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise
            return fits

    def close(self) -> None:
        """Release the file; idempotent."""
        with self._lock:
            self._connection.close()

    def _select(self, origin: str) -> Witnessed | None:
        row = self._connection.execute(_SELECT, (origin,)).fetchone()
        return None if row is None else Witnessed(*row)

    def _prepare(self) -> None:
        with self._explained():
            self._connection.execute("PRAGMA synchronous=FULL")
            found = [
                self._connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("application_id", "user_version", "journal_mode")
            ]
        if found != [_APPLICATION_ID, SCHEMA_VERSION, "wal"]:
            raise DataDirectoryError(
                f"{self.path} is not a witness state of this release.",
                hint="Name the file that was created for this witness, or upgrade deploymark.",
            )

    def _explained(self) -> contextlib.AbstractContextManager[None]:
        return _explained(self.path)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say SQLite's errors in the words of our tree."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explain(error, path) from error


def _explain(error: sqlite3.Error, path: Path) -> DeploymarkError:
    # OperationalError is what refuses now (full, locked, I/O); the others say "damaged".
    if isinstance(error, sqlite3.OperationalError | sqlite3.ProgrammingError):
        return StoreUnavailableError(f"The witness state {path} refused: {error}.")
    return LogBrokenError(
        f"The witness state {path} is damaged: {error}.",
        hint="Stop this witness and restore its newest state; it must not sign without it.",
    )
