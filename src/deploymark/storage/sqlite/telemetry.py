"""`telemetry.db`: counts, latencies, traces and log excerpts in SQLite, bounded and disposable.

A file of another version, and one that turns out to be damaged when it is opened, is replaced by
an empty one: the evidence refills. A commit survives the death of the process, not always the loss
of power. What is deleted leaves free pages that new rows take; the file is never compacted, and
`max_page_count` keeps it from growing beyond its bound even when nobody trims.
"""

# ruff: noqa: S608 - only names of our own tables and columns become a part of a statement

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from struct import pack, unpack
from typing import Any, Final

from deploymark.errors import StoreUnavailableError
from deploymark.model.histogram import Histogram, merge
from deploymark.ports import (
    Counted,
    CountKey,
    Excerpt,
    Gauged,
    GaugeKey,
    Marked,
    MarkedKey,
    Measured,
    Place,
    Telemetry,
    TelemetryQuery,
    TraceNote,
)
from deploymark.storage.sqlite import telemetry_sql as sql

VERSION: Final = 1

_PAGE_BYTES: Final = 4_096
_ROOM: Final = 1.25
"""The hard bound of the file, as a multiple of what trimming aims at."""

_PRAGMAS: Final = (
    f"page_size={_PAGE_BYTES}",
    "journal_mode=WAL",
    "synchronous=NORMAL",
    "busy_timeout=5000",
    "cache_size=-16384",  # KiB
    "temp_store=MEMORY",
    "wal_autocheckpoint=4096",  # pages
    "journal_size_limit=67108864",
)

_MOST: Final = 2**62  # SQLite's integers end soon after
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_BY_TIME: Final = (("marked", "bucket_s"), ("trace", "window_s"), ("excerpt", "window_s"))
_BY_PLACE: Final = ("count", "gauge")


class SqliteTelemetryStore:
    """Keeps telemetry in one file; see `ports.TelemetryStore`.

    Args:
        path: The file; created when it is missing.
        max_bytes: How large trimming keeps it; the file never grows beyond a quarter more.

    Raises:
        StoreUnavailableError: The medium refuses.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._write_lock = threading.RLock()
        self._read_lock = threading.RLock()
        self._closed = False
        self._damaged = False
        self._bounds: dict[tuple[float, ...], int] = {}
        try:
            self._open()
        except OSError as error:
            raise StoreUnavailableError(f"{path} cannot be created: {error.strerror}.") from error
        except sqlite3.Error:
            # Damaged, or not ours: it is only evidence, and refills.
            self._replace()

    # The writer ----------------------------------------------------------------------------------

    def save(self, telemetry: Telemetry) -> None:
        """See `TelemetryStore.save`."""
        with self._writing() as writer:
            places = _PlaceIds(writer, telemetry.now_s)
            for key, counted in telemetry.counts.items():
                self._add_count(writer, places.of(key.place), key, counted)
            writer.executemany(
                sql.ADD_GAUGE,
                [
                    (
                        *(places.of(key.place), key.bucket_s, key.name, key.label),
                        *(each.least, each.most, each.sum, each.count),
                    )
                    for key, each in telemetry.gauges.items()
                ],
            )
            writer.executemany(
                sql.ADD_MARKED,
                [(*key, each.spans, each.marked) for key, each in telemetry.marked.items()],
            )
            _compete(writer, telemetry)
            kept = [(key, state, telemetry.now_s) for key, state in telemetry.streams.items()]
            writer.executemany(sql.DROP_STREAM, [(key,) for key, state, _ in kept if state is None])
            writer.executemany(sql.KEEP_STREAM, [each for each in kept if each[1] is not None])
            writer.executemany(sql.ADD_RECEIPT, [(each,) for each in telemetry.receipts])
            writer.execute(sql.DROP_RECEIPTS)

    def trim(self, before_s: int) -> None:
        """See `TelemetryStore.trim`."""
        with self._writing() as writer:
            for table, column in _BY_TIME:
                writer.execute(f"DELETE FROM {table} WHERE {column} < ?", (before_s,))
            for (place,) in writer.execute("SELECT id FROM place").fetchall():
                for table in _BY_PLACE:
                    writer.execute(
                        f"DELETE FROM {table} WHERE place = ? AND bucket_s < ?", (place, before_s)
                    )
            writer.execute(
                """DELETE FROM place WHERE heard_s < ?
                  AND NOT EXISTS (SELECT 1 FROM count WHERE place = place.id)
                  AND NOT EXISTS (SELECT 1 FROM gauge WHERE place = place.id)""",
                (before_s,),
            )
            writer.execute("DELETE FROM measured WHERE place NOT IN (SELECT id FROM place)")
            writer.execute("DELETE FROM stream WHERE heard_s < ?", (before_s,))

    def close(self) -> None:
        """See `TelemetryStore.close`."""
        with self._write_lock, self._read_lock:
            if not self._closed:
                self._closed = True
                self._reader.close()
                self._writer.close()

    # Readers -------------------------------------------------------------------------------------

    def load(self) -> tuple[dict[bytes, bytes], list[bytes]]:
        """See `TelemetryStore.load`."""
        self._mend()
        streams = dict(self._read("SELECT key, state FROM stream ORDER BY heard_s", {}))
        receipts = self._read("SELECT digest FROM receipt ORDER BY number", {})
        return streams, [digest for (digest,) in receipts]

    def counts(self, query: TelemetryQuery, limit: int) -> list[tuple[CountKey, Counted]]:
        """See `TelemetryStore.counts`."""
        return [
            (
                CountKey(Place(*row[:4]), *row[4:7]),
                Counted(_plain(row[7]), _plain(row[8]), row[9], row[10], _latency(*row[11:])),
            )
            for row in self._ask(sql.COUNTS, query, limit)
        ]

    def gauges(self, query: TelemetryQuery, limit: int) -> list[tuple[GaugeKey, Gauged]]:
        """See `TelemetryStore.gauges`."""
        return [
            (GaugeKey(Place(*row[:4]), *row[4:7]), Gauged(*row[7:]))
            for row in self._ask(sql.GAUGES, query, limit)
        ]

    def marked(
        self, query: TelemetryQuery, step_s: int, limit: int
    ) -> list[tuple[MarkedKey, Marked]]:
        """See `TelemetryStore.marked`."""
        asked = query._replace(deployment=None, instance=None)
        rows = self._ask(sql.MARKED, asked, limit, step=step_s)
        return [(MarkedKey(*row[:3]), Marked(*row[3:])) for row in rows]

    def measured(self, query: TelemetryQuery) -> list[Measured]:
        """See `TelemetryStore.measured`."""
        return [Measured(Place(*row[:4]), *row[4:]) for row in self._ask(sql.MEASURED, query, -1)]

    def first_seen(self, query: TelemetryQuery) -> list[tuple[Place, int]]:
        """See `TelemetryStore.first_seen`."""
        return [(Place(*row[:4]), row[4]) for row in self._ask(sql.FIRST_SEEN, query, -1)]

    def traces(self, query: TelemetryQuery, limit: int) -> list[TraceNote]:
        """See `TelemetryStore.traces`."""
        return [
            TraceNote(Place(*row[:4]), row[4], bool(row[5]), *row[6:])
            for row in self._ask(sql.TRACES, query, limit)
        ]

    def excerpts(self, query: TelemetryQuery, limit: int) -> list[Excerpt]:
        """See `TelemetryStore.excerpts`."""
        return [Excerpt(Place(*row[:4]), *row[4:]) for row in self._ask(sql.EXCERPTS, query, limit)]

    def oldest_s(self) -> int | None:
        """See `TelemetryStore.oldest_s`."""
        asked = [f"SELECT min({column}) FROM {table}" for table, column in _BY_TIME]
        # Place by place along the primary key; the least of a whole table would be a scan.
        asked += [
            f"SELECT min((SELECT min(bucket_s) FROM {table} t WHERE t.place = p.id)) FROM place p"
            for table in _BY_PLACE
        ]
        found = [self._read(each, {})[0][0] for each in asked]
        return min((each for each in found if each is not None), default=None)

    def size_bytes(self) -> int:
        """See `TelemetryStore.size_bytes`."""
        pages = int(self._read("PRAGMA page_count", {})[0][0])
        free = int(self._read("PRAGMA freelist_count", {})[0][0])
        return (pages - free) * _PAGE_BYTES

    # Parts ---------------------------------------------------------------------------------------

    def _add_count(
        self, writer: sqlite3.Connection, place: int, key: CountKey, counted: Counted
    ) -> None:
        named = (place, *key[1:])
        row = writer.execute(sql.SELECT_COUNT, named).fetchone()
        latency = counted.latency
        requests, errors, seen, since_s = (
            *(counted.requests, counted.errors, counted.seen, counted.since_s),
        )
        if row is not None:
            latency = merge(_latency(*row[4:]), latency)
            requests, errors, seen = requests + row[0], errors + row[1], seen + row[2]
            since_s = min(since_s, row[3])
        writer.execute(
            sql.REPLACE_COUNT,
            (
                *(*named, *(min(each, _MOST) for each in (requests, errors, seen))),
                *(since_s, latency.seconds),
                self._bounds_id(writer, latency.bounds),
                _packed(latency.counts),
            ),
        )
        if key.origin == "metric":
            writer.execute(sql.MEASURE, (place, key.protocol, since_s, key.bucket_s + 10))

    def _bounds_id(self, writer: sqlite3.Connection, bounds: tuple[float, ...]) -> int:
        found = self._bounds.get(bounds)
        if found is None:
            packed = _packed(bounds)
            row = writer.execute(sql.SELECT_BOUNDS, (packed,)).fetchone()
            made = row[0] if row else writer.execute(sql.INSERT_BOUNDS, (packed,)).lastrowid
            found = int(made or 0)
            if len(self._bounds) >= 1_024:  # noqa: PLR2004 - a memory of what is in the table
                self._bounds.clear()
            self._bounds[bounds] = found
        return found

    def _ask(self, statement: str, query: TelemetryQuery, limit: int, **more: int) -> list[Any]:
        """Run a question; only the names of its filters become a part of the statement."""
        names = ("service", "environment", "deployment", "instance")
        asked = {name: getattr(query, name) for name in names if getattr(query, name) is not None}
        where = " AND ".join(f"{name} = :{name}" for name in asked) or "1"
        given = {**asked, "since": query.since_s, "until": query.until_s, "limit": limit, **more}
        return self._read(statement.format(where=where), given)

    def _read(self, statement: str, given: dict[str, Any]) -> list[Any]:
        with self._read_lock, self._explained():
            return self._reader.execute(statement, given).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        self._mend()
        with self._write_lock, self._explained():
            writer = self._writer
            writer.execute("BEGIN IMMEDIATE")
            try:
                yield writer
                writer.execute("COMMIT")
            except BaseException:
                self._bounds.clear()  # some of them may have been made just now
                raise
            finally:
                if writer.in_transaction:
                    with suppress(sqlite3.Error):
                        writer.execute("ROLLBACK")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        if self._closed:
            raise StoreUnavailableError(f"The telemetry store {self._path} is closed.")
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "")
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            self._damaged |= code in _DAMAGED
            raise StoreUnavailableError(
                f"The telemetry store {self._path} refused: {error} ({name}).",
                hint="It is disposable: when it is damaged an empty one takes its place.",
            ) from error

    def _mend(self) -> None:
        """Put an empty file in the place of a damaged one; for the writer, outside a block."""
        if not self._damaged:
            return
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._writer.close()
            self._bounds.clear()
            self._replace()
            self._damaged = False

    def _open(self) -> None:
        self._writer = self._connection()
        try:
            version = self._writer.execute("PRAGMA user_version").fetchone()[0]
            if version not in {0, VERSION}:
                raise sqlite3.DatabaseError(f"the file has version {version}")  # noqa: TRY301 - as damage
            if version == 0:
                schema = files("deploymark.storage.sqlite").joinpath("telemetry.sql")
                self._writer.executescript(
                    f"BEGIN IMMEDIATE;\n{schema.read_text(encoding='utf-8')}\n"
                    f"PRAGMA user_version={VERSION};\nCOMMIT;"
                )
            pages = max(64, int(self._max_bytes * _ROOM) // _PAGE_BYTES)
            self._writer.execute(f"PRAGMA max_page_count={pages}")
            self._reader = self._connection()
        except BaseException:
            self._writer.close()
            raise

    def _replace(self) -> None:
        try:
            # The main file goes first: a write-ahead log without it is never replayed.
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            self._open()
        except (OSError, sqlite3.Error) as error:
            raise StoreUnavailableError(
                f"The telemetry store {self._path} cannot be created: {error}."
            ) from error

    def _connection(self) -> sqlite3.Connection:
        # Readable by its owner only: excerpts of logs are nobody else's.
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        made = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            for pragma in _PRAGMAS:
                made.execute(f"PRAGMA {pragma}")
        except BaseException:
            made.close()
            raise
        return made


class _PlaceIds:
    """Numbers of places, made where they are missing; for one transaction."""

    def __init__(self, writer: sqlite3.Connection, now_s: int) -> None:
        self._writer = writer
        self._now_s = now_s
        self._known: dict[Place, int] = {}

    def of(self, place: Place) -> int:
        found = self._known.get(place)
        if found is None:
            row = self._writer.execute(sql.SELECT_PLACE, place).fetchone()
            if row is None:
                made = self._writer.execute(sql.INSERT_PLACE, (*place, self._now_s)).lastrowid
                found = int(made or 0)
            else:
                found = int(row[0])
                self._writer.execute(sql.HEAR_PLACE, (self._now_s, found))
            self._known[place] = found
        return found


def _compete(writer: sqlite3.Connection, telemetry: Telemetry) -> None:
    """Add traces and excerpts, and drop what lost its place."""
    traces = [
        (
            *(each.window_s, *each.place[:3], int(each.failing), each.trace_id, each.span_id),
            *(each.place.instance, each.name, each.route, each.at_ms, each.duration_us),
        )
        for each in telemetry.traces
    ]
    writer.executemany(sql.ADD_TRACE, traces)
    writer.executemany(sql.DROP_TRACES, list({row[:5] for row in traces}))
    excerpts = [
        (
            *(each.window_s, *each.place[:3], each.severity, each.at_ms, each.place.instance),
            *(each.text, each.event, each.trace_id),
        )
        for each in telemetry.excerpts
    ]
    writer.executemany(sql.ADD_EXCERPT, excerpts)
    writer.executemany(sql.DROP_EXCERPTS, list({row[:4] for row in excerpts}))


def _packed(numbers: Sequence[float]) -> bytes:
    return pack(f"<{len(numbers)}d", *numbers)


def _latency(seconds: float, bounds: bytes, counts: bytes) -> Histogram:
    return Histogram(
        unpack(f"<{len(bounds) // 8}d", bounds),
        tuple(_plain(each) for each in unpack(f"<{len(counts) // 8}d", counts)),
        seconds,
    )


def _plain(number: float) -> float:
    """Return whole numbers as such: most counts are, and read better."""
    return int(number) if number.is_integer() else number
