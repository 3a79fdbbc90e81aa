"""Reads what is drawn: counts, marks merged by column, lanes, lists, what is newest where.

Nothing here reads a whole table. A window is a range of one index that has every column; what is
merged is merged in the database, so that a page costs as many rows as it has pixels.
"""

import threading
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import ColumnElement, Connection, cast, func, literal_column, select

from deploymark.model.vocabulary import Kind
from deploymark.projections.broker import marks_statements as statements
from deploymark.projections.broker.marks import KNOWN, MARK, MarkRow
from deploymark.projections.broker.marks_statements import BEYOND, KEY, Shape
from deploymark.projections.broker.questions import Values
from deploymark.projections.broker.shown_state import RANK, SHOWN, ShownState
from deploymark.projections.broker.view import NAME
from deploymark.projections.cursors import projected_size
from deploymark.projections.database import Views, rows_with
from deploymark.projections.paging import read_cursor, write_cursor

MAX_MARKS: Final = 4_000
"""Marks of one answer; the worst and newest come first."""

MAX_DRAWN_LANES: Final = 32
"""Lanes of one answer: those with the worst in them first, then the fullest."""

SAME_MS: Final = 1_000
"""A window that moved by less than this, and by less than a column, holds what it held."""

MAX_KEPT: Final = 16
"""Windows of which is remembered what they held."""

UNEASY_MS: Final = 86_400_000
"""How far back from the end of a window something that is neither well nor over is sought."""

# Written out, not bound: as in the statements.
_ONE: Final[ColumnElement[int]] = literal_column("1")


class MarkQuery(Struct, frozen=True, kw_only=True):
    """Which runs, by what is drawn of them; filters combine with AND, their values with OR.

    Attributes:
        since_ms, until_ms: Went live, or opened, then or later, and before.
        state: As they are shown.
        owner: Owner or author.
        cluster: Lanes.
        text: Each word begins service, version or id.
    """

    since_ms: int = 0
    until_ms: int = BEYOND
    service: Values = ()
    environment: Values = ()
    state: tuple[ShownState, ...] = ()
    owner: Values = ()
    cluster: Values = ()
    kind: Values = ()
    text: Values = ()
    limit: int = 50
    cursor: str | None = None


class CellRow(NamedTuple):
    """Runs that fall together: the newest of the worst of them, and how many they are."""

    runs: int
    lane: str
    lane_kind: int
    at_ms: int
    rank: int
    service: str
    id: str
    number: int
    version: str


class LaneRow(NamedTuple):
    """A lane, with the worst rank in it and how many runs."""

    name: str
    kind: int
    worst: int
    runs: int


class Overview(NamedTuple):
    """What a window holds.

    Attributes:
        counts: Runs by state.
        lanes: By name.
        lanes_total: How many there are.
        cells: In the order of time.
        marks_total: Marks in the window, of these lanes and others.
        total: Runs of the store.
        as_of: How many entries the view had seen.
    """

    counts: dict[ShownState, int]
    lanes: list[LaneRow]
    lanes_total: int
    cells: list[CellRow]
    marks_total: int
    total: int
    as_of: int


class Listed(NamedTuple):
    """A page of runs, each by the row of its first lane."""

    rows: list[MarkRow]
    next_cursor: str | None
    as_of: int


class Marks:
    """Answers what is drawn; safe on any thread, and waits for the disk.

    Args:
        views: Their database.
    """

    def __init__(self, views: Views) -> None:
        self._views = views
        self._keeping = threading.Lock()
        self._kept: dict[tuple[MarkQuery, int], _Kept] = {}

    def overview(self, query: MarkQuery, width: int) -> Overview:
        """Return what a window holds, merged for so many columns; only to be read.

        What a window of the same length held a moment before, as of the same entry, is told again
        (`SAME_MS`): many look at once when something is wrong, and the runs are merged for one.

        Raises:
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        moving = replace(query, since_ms=0, until_ms=query.until_ms - query.since_ms)
        with self._views.reading() as connection:
            as_of = projected_size(connection, NAME)
            known = self._kept.get((moving, width))
            if known is not None and _is_same(known, query, width, as_of):
                return known.overview
            found = _overview(connection, query, width, as_of)
        self._keep((moving, width), _Kept(query.since_ms, found))
        return found

    def _keep(self, key: tuple[MarkQuery, int], found: "_Kept") -> None:
        with self._keeping:
            self._kept.pop(key, None)
            self._kept[key] = found
            if len(self._kept) > MAX_KEPT:
                del self._kept[next(iter(self._kept))]

    def counts(self, query: MarkQuery) -> tuple[dict[ShownState, int], int]:
        """Return the runs of a window by state, and how many the store has; raises as above."""
        with self._views.reading() as connection:
            return _counts(connection, query), _total(connection)

    def listed(self, query: MarkQuery) -> Listed:
        """Return runs, the newest first.

        Raises:
            QueryError: The cursor is not what it may be.
            StoreUnavailableError: As `overview`.
        """
        tied = replace(query, since_ms=0, until_ms=BEYOND)  # a window that ends now moves on
        behind = read_cursor(tied, query.cursor, len(KEY))
        statement = statements.listed(shape_of(query), behind=behind is not None)
        values = {**_values(query), "limit": query.limit + 1}
        values |= {f"behind_{place}": value for place, value in enumerate(behind or ())}
        with self._views.reading() as connection:
            found = connection.execute(statement, values).all()
            as_of = projected_size(connection, NAME)
        rows = [MarkRow._make(row) for row in found[: query.limit]]
        more = len(found) > query.limit
        key = [getattr(rows[-1], column.name) for column in KEY] if more else None
        return Listed(rows, None if key is None else write_cursor(tied, key), as_of)

    def uneasy(self, query: MarkQuery, now_ms: int) -> tuple[list[MarkRow], int]:
        """Return runs that are neither well nor over, the worst first, then the newest.

        Of those that failed only what nothing has replaced since: the others are decided. Sought in
        the day before the window ends, however wide it is. Planned ones are not among them.

        Returns:
            At most `marks_statements.MAX_UNEASY`, and how many entries the view had seen.
        """
        since_ms = min(query.until_ms, now_ms) - UNEASY_MS
        statement = statements.uneasy(shape_of(query))
        values = {**_values(query), "since_ms": since_ms}
        with self._views.reading() as connection:
            rows = connection.execute(statement, values).all()
            return [MarkRow._make(row) for row in rows], projected_size(connection, NAME)

    def services(self, query: MarkQuery) -> tuple[list[str], int, str | None]:
        """Return names of services behind the cursor, how many there are, and the next cursor.

        Of the filters only service, environment and free words choose services.
        """
        tied = replace(query, since_ms=0, until_ms=BEYOND)
        behind = read_cursor(tied, query.cursor, 1)
        wanted: list[ColumnElement[bool]] = [
            column.in_(values)
            for column, values in (
                (KNOWN.c.service, query.service),
                (KNOWN.c.environment, query.environment),
            )
            if values
        ]
        wanted += [func.instr(KNOWN.c.service, word) == 1 for word in query.text]
        names = select(KNOWN.c.service).distinct().where(*wanted)
        page = names.order_by(KNOWN.c.service).limit(query.limit + 1)
        if behind is not None:
            page = page.where(KNOWN.c.service > behind[0])
        with self._views.reading() as connection:
            total = connection.scalar(select(func.count()).select_from(names.subquery())) or 0
            found = list(connection.scalars(page))
        more = len(found) > query.limit
        found = found[: query.limit]
        return found, total, write_cursor(tied, [found[-1]]) if more else None

    def newest(self, services: Sequence[str], environments: Values = ()) -> list[MarkRow]:
        """Return the newest deployment of each of these services in each of its environments."""
        inner = MARK.alias("inner")
        name = inner.c.id + "\x1f" + cast(inner.c.number, MARK.c.id.type)
        newest = (
            select(name)
            .where(
                inner.c.service == KNOWN.c.service,
                inner.c.environment == KNOWN.c.environment,
                inner.c.first == _ONE,
                inner.c.kind == Kind.DEPLOYMENT,
                inner.c.rank != RANK[ShownState.PLANNED],
            )
            .order_by(inner.c.at_ms.desc())
            .limit(1)
            .scalar_subquery()
        )
        wanted = [KNOWN.c.service.in_(services)]
        if environments:
            wanted.append(KNOWN.c.environment.in_(environments))
        known = select(KNOWN.c.service, KNOWN.c.environment, newest.label("name")).where(*wanted)
        with self._views.reading() as connection:
            keys = [
                (row.service, row.environment, *row.name.split("\x1f"))
                for row in connection.execute(known)
                if row.name is not None
            ]
            found = _named(connection, [(*key[:3], int(key[3])) for key in keys])
        return sorted(found)

    def named(self, names: Sequence[tuple[str, str, str, int]]) -> list[MarkRow]:
        """Return runs of code by service, environment, id and occurrence; none for unknown ones."""
        with self._views.reading() as connection:
            return _named(connection, names)

    def chosen(self, query: MarkQuery, names: Sequence[tuple[str, str, str, int]]) -> list[MarkRow]:
        """Return the rows of these runs, of every lane, that a window and filter let through."""
        statement = statements.chosen(shape_of(query))
        named = {
            "services": sorted({name[0] for name in names}),
            "environments": sorted({name[1] for name in names}),
            "ids": sorted({name[2] for name in names}),
        }
        with self._views.reading() as connection:
            found = connection.execute(statement, {**_values(query), **named}).all()
            rows = [MarkRow._make(row) for row in found]
        wanted = set(names)
        return [row for row in rows if (*row[:3], row.number) in wanted and row.kind_key == ""]


def _named(connection: Connection, names: Iterable[tuple[str, str, str, int]]) -> list[MarkRow]:
    columns = ("service", "environment", "id", "number")
    rows = map(MarkRow._make, rows_with(connection, MARK, columns, sorted(set(names))))
    return [row for row in rows if row.first and row.kind_key == ""]


class _Kept(NamedTuple):
    """What a window held, and when it began."""

    since_ms: int
    overview: Overview


def _is_same(known: _Kept, query: MarkQuery, width: int, as_of: int) -> bool:
    """Tell whether a window of the same length is near enough, and nothing was added since."""
    column_ms = (query.until_ms - query.since_ms) // max(1, width)
    moved_ms = query.since_ms - known.since_ms
    return known.overview.as_of == as_of and 0 <= moved_ms <= min(SAME_MS, column_ms)


def _overview(connection: Connection, query: MarkQuery, width: int, as_of: int) -> Overview:
    counts, total = _counts(connection, query), _total(connection)
    cells = _cells(connection, query, width)
    lanes = _lanes_of(cells)
    drawn = {lane.name for lane in lanes[:MAX_DRAWN_LANES]}
    kept = [cell for cell in cells if cell.lane in drawn]
    if len(kept) > MAX_MARKS:
        kept.sort(key=lambda cell: (cell.rank, -cell.at_ms))
        del kept[MAX_MARKS:]
    kept.sort(key=lambda cell: (cell.at_ms, cell.lane))
    shown = sorted(lanes[:MAX_DRAWN_LANES])
    marks = sum(lane.runs for lane in lanes)
    return Overview(counts, shown, len(lanes), kept, marks, total, as_of)


# What a query means ------------------------------------------------------------------------------


def shape_of(query: MarkQuery) -> Shape:
    """Return which filters of a query are set."""
    return Shape(
        service=bool(query.service),
        environment=bool(query.environment),
        kind=bool(query.kind),
        cluster=bool(query.cluster),
        state=bool(query.state),
        owner=bool(query.owner),
        words=len(query.text),
    )


def values_of(query: MarkQuery) -> dict[str, Any]:
    """Return what the filters of a query are set to, as a statement of their shape is asked."""
    found: dict[str, Any] = {
        name: values
        for name in ("service", "environment", "kind", "cluster", "owner")
        if (values := getattr(query, name))
    }
    if query.state:
        found["state"] = [RANK[state] for state in query.state]
    return found | {f"word_{place}": word for place, word in enumerate(query.text)}


def _values(query: MarkQuery) -> dict[str, Any]:
    return {**values_of(query), "since_ms": query.since_ms, "until_ms": query.until_ms}


def _counts(connection: Connection, query: MarkQuery) -> dict[ShownState, int]:
    found = connection.execute(statements.counts(shape_of(query)), _values(query)).all()
    return {SHOWN[rank]: count for rank, count in sorted(map(tuple, found))}


def _total(connection: Connection) -> int:
    return int(connection.scalar(statements.TOTAL) or 0)


def _cells(connection: Connection, query: MarkQuery, width: int) -> list[CellRow]:
    """Return the marks of a window, merged by lane and column."""
    span_ms = max(1, query.until_ms - query.since_ms)
    values = {**_values(query), "span_ms": span_ms, "width": width}
    found = connection.execute(statements.cells(shape_of(query)), values).all()
    return [CellRow._make(row[:-1]) for row in found]


def _lanes_of(cells: Iterable[CellRow]) -> list[LaneRow]:
    """Return lanes, those with the worst in them first, then the fullest."""
    found: dict[str, list[int]] = {}
    for cell in cells:
        known = found.setdefault(cell.lane, [cell.lane_kind, cell.rank, 0])
        known[1] = min(known[1], cell.rank)
        known[2] += cell.runs
    lanes = [LaneRow(name, *told) for name, told in found.items()]
    return sorted(lanes, key=lambda lane: (lane.worst, -lane.runs, lane.name))
