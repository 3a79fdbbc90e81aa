"""Reads a log in SQLite; every statement that reads stands in this file."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from deploymark.errors import DataDirectoryError, LogBrokenError, NotFoundError
from deploymark.ports import Blob, Head, PublishedCheckpoint, StoredEntry
from deploymark.storage.sqlite.medium import explained

SCHEMA_VERSION = 1
_CHUNK_ROWS = 4096
_FIND_CHUNK = 512
BUSY_MS = 5_000
_CACHE_KIB = 16_384

_HEAD = "SELECT origin, size, root, frontier, note, published_size FROM log"
_ENTRY = "SELECT idx, leaf_hash, received_at, key_id, dedupe, body FROM entry"
_CHECKPOINT = "SELECT size, previous_size, published_at, note, cosignatures FROM checkpoint"
_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_schema"
_ORPHANS = (
    ("SELECT count(*) FROM log HAVING count(*) <> 1", "The table log has {0} rows, not one."),
    (
        "SELECT idx FROM entry WHERE idx < 0 OR idx >= (SELECT size FROM log) LIMIT 20",
        "The entry row {0} lies outside the log.",
    ),
    (
        """SELECT level, idx FROM node WHERE level < 1 OR level > 7 OR idx < 0
           OR idx >= (SELECT size FROM log) >> (8 * level) LIMIT 20""",
        "The node row {0}/{1} belongs to no completed subtree.",
    ),
    (
        "SELECT level, idx FROM node WHERE length(hash) <> 32 LIMIT 20",
        "The node row {0}/{1} holds no hash.",
    ),
    (
        "SELECT size FROM cosignature WHERE size NOT IN (SELECT size FROM checkpoint) LIMIT 20",
        "A cosignature row belongs to size {0}, which is not published.",
    ),
)


def schema_sql() -> str:
    """Return the statements that lay the tables of a log down."""
    return files("deploymark.storage.sqlite").joinpath("schema.sql").read_text(encoding="utf-8")


@cache
def _own_schema() -> frozenset[tuple[Any, ...]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(schema_sql())
        return frozenset(connection.execute(_SCHEMA).fetchall())


class SqliteLogReader:
    """Reads a log in SQLite from any thread, each with its own connection.

    Args:
        path: The database file; it must exist.
        pinned: Stay at the commit that is newest now, on one connection, until closed.
    """

    def __init__(self, path: Path, *, pinned: bool = False) -> None:
        self.path = path
        self._local = threading.local()
        self._lock = threading.Lock()
        self._opened: list[sqlite3.Connection] = []
        self._generation = 0
        self._pinned: sqlite3.Connection | None = None
        if pinned:
            self._pinned = self._open("ro")
            self._rows("BEGIN")
            self._rows("SELECT size FROM log")  # the first read is what fixes the snapshot

    def _open(self, mode: str) -> sqlite3.Connection:
        if not self.path.exists():
            raise DataDirectoryError(
                f"There is no log at {self.path}.", hint="Create one with `deploymark log init`."
            )
        with explained(self.path):
            connection = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode={mode}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
            )
            with self._lock:
                self._opened.append(connection)
            connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
            connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != SCHEMA_VERSION:
            raise DataDirectoryError(
                f"{self.path} has schema version {version}; this release reads {SCHEMA_VERSION}.",
                hint="Use the release that wrote it, or a newer one.",
            )
        return connection

    def _connection(self) -> sqlite3.Connection:
        if self._pinned is not None:
            return self._pinned
        held: tuple[int, sqlite3.Connection] | None = getattr(self._local, "held", None)
        if held is None or held[0] != self._generation:
            held = (self._generation, self._open("ro"))
            self._local.held = held
        return held[1]

    def _rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        connection = self._connection()
        with explained(self.path):
            return connection.execute(sql, parameters).fetchall()

    def close(self) -> None:
        """See `LogReader.close`: closes the connections of every thread."""
        self._close_all(last=None)

    def _close_all(self, last: sqlite3.Connection | None) -> None:
        # SQLite empties the write-ahead log when the last connection goes, if that one may write.
        with self._lock:
            self._generation += 1
            self._pinned = None
            opened, self._opened = self._opened, []
        for connection in sorted(opened, key=lambda each: each is last):
            with suppress(sqlite3.Error):
                connection.close()

    def head(self) -> Head:
        """See `LogReader.head`."""
        rows = self._rows(f"{_HEAD} WHERE one = 1")
        if not rows:
            raise DataDirectoryError(f"{self.path} holds no log: its head row is gone.")
        return Head(*rows[0])

    def find(self, dedupes: Sequence[str]) -> dict[str, int]:
        """See `LogReader.find`."""
        found: dict[str, int] = {}
        for start in range(0, len(dedupes), _FIND_CHUNK):
            chunk = dedupes[start : start + _FIND_CHUNK]
            marks = ",".join("?" * len(chunk))
            sql = f"SELECT dedupe, idx FROM entry WHERE dedupe IN ({marks})"  # noqa: S608
            found.update(self._rows(sql, chunk))
        return found

    def indexes(self, prefix: str) -> list[int]:
        """See `LogReader.indexes`; a range of the unique index, so nothing else is read."""
        sql = "SELECT idx FROM entry WHERE dedupe >= ? AND dedupe < ? ORDER BY idx"
        return [index for (index,) in self._rows(sql, (prefix, prefix + "\U0010ffff"))]

    def entry(self, index: int) -> StoredEntry:
        """See `LogReader.entry`."""
        rows = self._rows(f"{_ENTRY} WHERE idx = ?", (index,))
        if not rows:
            raise NotFoundError(f"The log has no entry {index}.")
        return StoredEntry(*rows[0])

    def entries(self, start: int, end: int) -> Iterator[StoredEntry]:
        """See `LogReader.entries`; reads a few thousand rows at a time."""
        for first in range(start, end, _CHUNK_ROWS):
            last = min(first + _CHUNK_ROWS, end)
            rows = self._rows(f"{_ENTRY} WHERE idx >= ? AND idx < ? ORDER BY idx", (first, last))
            for row in rows:
                yield StoredEntry(*row)
            if len(rows) < last - first:
                return  # nothing stands behind a gap, however far the caller asked

    def leaf_hashes(self, start: int, end: int) -> bytes:
        """See `LogReader.leaf_hashes`."""
        sql = "SELECT leaf_hash FROM entry WHERE idx >= ? AND idx < ? ORDER BY idx"
        return b"".join(value for (value,) in self._rows(sql, (start, end)))

    def nodes(self, level: int, start: int, end: int) -> bytes:
        """See `LogReader.nodes`."""
        sql = "SELECT hash FROM node WHERE level = ? AND idx >= ? AND idx < ? ORDER BY idx"
        return b"".join(value for (value,) in self._rows(sql, (level, start, end)))

    def blob(self, digest: bytes) -> Blob:
        """See `LogReader.blob`."""
        sql = "SELECT digest, salt, blob, erased_at FROM detail WHERE digest = ?"
        rows = self._rows(sql, (digest,))
        if not rows:
            raise NotFoundError(f"No content with the digest sha256:{digest.hex()} is stored.")
        return Blob(*rows[0])

    def blobs(self) -> Iterator[Blob]:
        """See `LogReader.blobs`; reads the digests first, then one row at a time."""
        for (digest,) in self._rows("SELECT digest FROM detail ORDER BY digest"):
            yield self.blob(digest)

    def checkpoint(self, size: int) -> PublishedCheckpoint:
        """See `LogReader.checkpoint`."""
        rows = self._rows(f"{_CHECKPOINT} WHERE size >= ? ORDER BY size LIMIT 1", (size,))
        if not rows:
            raise NotFoundError(
                f"No checkpoint of size {size} or more is published yet.",
                hint="Publish one with `deploymark log checkpoint --publish`.",
            )
        return self._with_cosignatures(rows[0])

    def checkpoints(self) -> Iterator[PublishedCheckpoint]:
        """See `LogReader.checkpoints`."""
        for row in self._rows(f"{_CHECKPOINT} ORDER BY size"):
            yield self._with_cosignatures(row)

    def _with_cosignatures(self, row: tuple[Any, ...]) -> PublishedCheckpoint:
        size, previous_size, published_at_s, note, expected = row
        sql = "SELECT vkey, line FROM cosignature WHERE size = ? ORDER BY vkey"
        lines: dict[str, str] = dict(self._rows(sql, (size,)))
        if len(lines) != expected:
            raise LogBrokenError(
                f"The checkpoint of size {size} has {len(lines)} cosignatures stored "
                f"where {expected} were written."
            )
        return PublishedCheckpoint(size, previous_size, published_at_s, note, lines)

    def self_check(self) -> Iterator[str]:
        """See `LogReader.self_check`."""
        for (verdict,) in self._rows("PRAGMA integrity_check"):
            if verdict != "ok":
                yield f"SQLite: {verdict}."
        found, own = set(self._rows(_SCHEMA)), _own_schema()
        for kind, name, _, _ in sorted(found - own, key=str):
            yield f"The {kind} {name!r} in the database is not as deploymark made it."
        for kind, name, _, _ in sorted(own - found, key=str):
            yield f"The {kind} {name!r} of deploymark is missing or changed."
        for sql, sentence in _ORPHANS:
            for row in self._rows(sql):
                yield sentence.format(*row)
