"""The file under the log: SQLite's errors in our words, durable renames, the writer's lock."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploymark.errors import (
    DeploymarkError,
    LogBrokenError,
    LogBusyError,
    StoreUnavailableError,
)

# SQLite's primary result codes that say "the medium refuses now", not "the data is wrong".
_MEDIUM_CODES = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)


def explain(error: sqlite3.Error, path: Path) -> DeploymarkError:
    """Return the error of our tree that says the same as SQLite's."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    name = getattr(error, "sqlite_errorname", "")
    if code in _MEDIUM_CODES:
        return StoreUnavailableError(f"The log store {path} refused: {error} ({name}).")
    return LogBrokenError(f"The log store {path} is damaged: {error} ({name}).")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say SQLite's errors in the words of our tree."""
    try:
        yield
    except sqlite3.Error as error:
        raise explain(error, path) from error
    except UnicodeDecodeError as error:  # damaged text, even in SQLite's own message
        raise LogBrokenError(f"The log store {path} is damaged: {error}.") from error


def take_lock(path: Path) -> int:
    """Return the handle of a lock that only this process holds; the kernel frees it at its end.

    Raises:
        LogBusyError: Another process holds it.
        StoreUnavailableError: The lock file cannot be opened.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnavailableError(f"The lock {path} cannot be opened: {error}.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise LogBusyError(
            f"Another process writes this log; it holds {path}.",
            hint="Stop it, or send to it; reading commands work beside it.",
        ) from error
    return handle
