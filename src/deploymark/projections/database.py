"""The file that views live in: opened, shared between threads, and replaced when it is damaged.

`views.db` is disposable, so nothing here is careful for the data's sake. It is careful about two
things: that damage never reaches a caller as an answer, and that a file is only replaced while
nobody has it open. (SQLite removes a write-ahead log by its name: a connection that still held
the old file would take the new file's log with it.)
"""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, Table, create_engine, event, insert
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from deploymark.errors import StoreUnavailableError, ViewsBuildingError

# The log is never touched from here, so the file may lose its newest commits: rows and cursor
# go together, and the runner repeats them. It must not keep a part of a commit, though, because
# SQLite has no checksums and would answer from it: hence NORMAL, which syncs at checkpoints
# (write-ahead log first), and not OFF, which lets a power cut tear the file unnoticed.
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=NORMAL",
    "busy_timeout=5000",
    "cache_size=-32768",  # KiB
    "temp_store=MEMORY",
    "wal_autocheckpoint=8192",  # pages; a rebuild rewrites many of them again and again
    "journal_size_limit=67108864",
    "cell_size_check=ON",  # notice a damaged page before it is believed
)
# SQLite's primary result codes that say "the medium refuses now". Whatever else it says, the
# file is not as we wrote it.
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
_KEYS_AT_ONCE = 256


class Views:
    """The database of all views; one process owns it.

    Readers are let in once the runner has laid the tables down (`admit_readers`), and kept out
    while the file is replaced.

    Args:
        path: The file; created when it is not there.

    Attributes:
        path: The file.
        engine: Connections to it. Views go through `reading`, the runner through `writing`.
        when_damaged: Called, on any thread, when the file turned out to be damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.engine = _engine(path)
        self.when_damaged: Callable[[], None] = lambda: None
        self._gate = threading.Condition()
        self._users = 0
        self._lent = threading.local()
        self._ready = False
        self._damaged = False

    @property
    def damaged(self) -> bool:
        """Whether the file must be replaced before it can be used again."""
        return self._damaged

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Lend a connection that sees one commit until the end of the block.

        Inside of `one_commit` it is the connection of that.

        Raises:
            StoreUnavailableError: The views are not built yet, damaged, or the medium refuses.
        """
        lent: Connection | None = getattr(self._lent, "connection", None)
        if lent is not None:
            with self._explained():
                yield lent
            return
        with self._gate:
            if not self._ready or self._damaged:
                raise ViewsBuildingError("The views are being built from the log.")
            self._users += 1
        try:
            with self._explained(), self.engine.begin() as connection:
                yield connection
        finally:
            with self._gate:
                self._users -= 1
                self._gate.notify_all()

    @contextmanager
    def one_commit(self) -> Iterator[None]:
        """Let this thread see one commit until the end of the block, whatever it asks.

        Each question would else pay for a transaction of its own, and might see another commit.

        Raises:
            StoreUnavailableError: As `reading`.
        """
        with self.reading() as connection:
            self._lent.connection = connection
            try:
                yield
            finally:
                self._lent.connection = None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Lend the runner a connection; all that is written is committed at the end, or nothing.

        Raises:
            StoreUnavailableError: The file is damaged, or the medium refuses.
        """
        with self._explained(), self.engine.begin() as connection:
            yield connection

    def admit_readers(self) -> None:
        """Let readers in: the tables are there."""
        with self._gate:
            self._ready = True
            self._gate.notify_all()

    def wait_for_tables(self, timeout_seconds: float) -> bool:
        """Wait until readers are let in for the first time, and tell whether they are."""
        with self._gate:
            return self._gate.wait_for(lambda: self._ready, timeout_seconds)

    def replace(self) -> None:
        """Throw the file away and begin an empty one; for the runner, outside `writing`.

        Raises:
            StoreUnavailableError: The old file cannot be removed.
        """
        with self._gate:
            self._ready = False
            self._gate.wait_for(lambda: self._users == 0)
            # Here nobody holds a connection, and dispose closes those that wait in the pool.
            self.engine.dispose()
            try:
                # The main file goes first: a write-ahead log without it is never replayed.
                for suffix in ("", "-wal", "-shm"):
                    self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            except OSError as error:
                raise StoreUnavailableError(f"{self.path} cannot be replaced: {error}.") from error
            self._damaged = False

    def close(self) -> None:
        """Let no reader in any more, and close every connection; idempotent."""
        with self._gate:
            self._ready = False
            self._gate.wait_for(lambda: self._users == 0)
            self.engine.dispose()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say the database's errors in the words of our tree."""
        try:
            yield
        except DBAPIError as error:
            code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
            if code in _MEDIUM_CODES:
                raise StoreUnavailableError(f"{self.path} refused: {error.orig}.") from error
            raise self._damage(error.orig) from error
        except UnicodeDecodeError as error:  # damaged text, even in SQLite's own message
            raise self._damage(error) from error

    def _damage(self, why: object) -> StoreUnavailableError:
        self._damaged = True
        self.when_damaged()
        return StoreUnavailableError(
            f"The views in {self.path} are damaged ({why}); they are built again from the log.",
            hint="Try again in a moment; the log itself is not touched.",
        )


def open_views(path: Path) -> Views:
    """Open the database of views, which need not exist yet.

    Nothing is read here: what is wrong with the file shows when it is used, and is mended then.
    """
    return Views(path)


def insert_rows(connection: Connection, table: Table, rows: Sequence[tuple[object, ...]]) -> None:
    """Insert rows whose values stand in the order of the table's columns.

    The statement is SQLAlchemy's, the rows go to the driver as they are: naming each value of
    each row would take four times as long as inserting it.
    """
    connection.exec_driver_sql(_inserting(table), list(rows))


def replace_rows(connection: Connection, table: Table, rows: Sequence[tuple[object, ...]]) -> None:
    """Insert rows as `insert_rows` does, in place of those with the same primary key."""
    if rows:
        connection.exec_driver_sql(_inserting(table, "OR REPLACE"), list(rows))


@cache
def _inserting(table: Table, *prefixes: str) -> str:
    """Return the statement of a table, compiled once: few rows cost less than compiling it."""
    return str(insert(table).prefix_with(*prefixes).compile(dialect=sqlite.dialect()))


def rows_with(
    connection: Connection, table: Table, names: Sequence[str], keys: Iterable[tuple[object, ...]]
) -> Iterator[Row[Any]]:
    """Return the rows whose columns of these names have one of the values, many in one question.

    A statement for each key would spend thirty times as long in the library as in the database.
    The join has the keys outside: asked with IN, SQLite would go through the whole table.
    """
    same = " AND ".join(f'"{table.name}"."{name}" = "wanted"."{name}"' for name in names)
    columns = ", ".join(f'"{name}"' for name in names)
    one = f"({', '.join('?' * len(names))})"
    left = iter(keys)
    while some := list(islice(left, _KEYS_AT_ONCE)):
        statement = (
            f"WITH wanted ({columns}) AS (VALUES {', '.join([one] * len(some))}) "  # noqa: S608
            f'SELECT "{table.name}".* FROM wanted CROSS JOIN "{table.name}" WHERE {same}'
        )
        values = tuple(value for key in some for value in key)
        yield from connection.exec_driver_sql(statement, values).all()


def _engine(path: Path) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        pool_size=8,
        max_overflow=-1,  # the server bounds how many threads read at once
        connect_args={"isolation_level": None},  # the events below begin transactions
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # Left to itself the driver begins only before writes; several reads must see one commit.
        connection.exec_driver_sql("BEGIN")

    return engine
