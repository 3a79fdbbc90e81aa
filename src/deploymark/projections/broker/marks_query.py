"""Reads what is drawn: counts, marks merged by column, lanes, lists, what is newest where.

Nothing here reads a whole table. A window is a range of one index that has every column; what is
merged is merged in the database, so that a page costs as many rows as it has pixels.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    case,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.types import BigInteger

from deploymark.model.vocabulary import Kind
from deploymark.projections.broker.marks import KNOWN, MARK, TALLY, MarkRow
from deploymark.projections.broker.questions import Values
from deploymark.projections.broker.shown_state import CALM, RANK, SHOWN, ShownState
from deploymark.projections.broker.view import NAME
from deploymark.projections.cursors import projected_size
from deploymark.projections.database import Views, rows_with
from deploymark.projections.paging import read_cursor, write_cursor

MAX_MARKS: Final = 4_000
"""Marks of one answer; the worst and newest come first."""

MAX_DRAWN_LANES: Final = 32
"""Lanes of one answer: those with the worst in them first, then the fullest."""

CALM_PIXELS: Final = 4
"""Columns that are merged where nobody needs to look."""

UNEASY_MS: Final = 86_400_000
"""How far back from the end of a window something that is neither well nor over is sought."""

MAX_UNEASY: Final = 64

_KEY = (
    MARK.c.at_ms,
    MARK.c.service,
    MARK.c.environment,
    MARK.c.id,
    MARK.c.kind_key,
    MARK.c.number,
)
# Greater than every time in milliseconds, so that rank and time make one number.
_BEYOND: Final = 1 << 43
_WHOLE = tuple(MARK.columns)
# Written out, not bound: SQLite uses a partial index only for what it can read in the statement.
_ONE: Final[ColumnElement[int]] = literal_column("1")
_FIRST: Final = MARK.c.first == _ONE
_UNEASY: Final = MARK.c.rank < literal_column(str(CALM))


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
    until_ms: int = _BEYOND
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

    def overview(self, query: MarkQuery, width: int) -> Overview:
        """Return what a window holds, merged for so many columns.

        Raises:
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        with self._views.reading() as connection:
            counts, total = _counts(connection, query), _total(connection)
            cells = _cells(connection, query, width)
            as_of = projected_size(connection, NAME)
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
        tied = replace(query, since_ms=0, until_ms=_BEYOND)  # a window that ends now moves on
        behind = read_cursor(tied, query.cursor, len(_KEY))
        wanted = _wanted(query, once=True)
        if behind is not None:
            wanted.append(tuple_(*_KEY) < tuple_(*map(literal, behind)))
        order = [column.desc() for column in _KEY]
        statement = select(*_WHOLE).where(*wanted).order_by(*order)
        if query.cluster:  # a run may be in several of these lanes
            statement = statement.group_by(*_KEY)
        with self._views.reading() as connection:
            found = connection.execute(statement.limit(query.limit + 1)).all()
            as_of = projected_size(connection, NAME)
        rows = [MarkRow._make(row) for row in found[: query.limit]]
        more = len(found) > query.limit
        key = [getattr(rows[-1], column.name) for column in _KEY] if more else None
        return Listed(rows, None if key is None else write_cursor(tied, key), as_of)

    def uneasy(self, query: MarkQuery, now_ms: int) -> tuple[list[MarkRow], int]:
        """Return runs that are neither well nor over, the worst first, then the newest.

        Of those that failed only what nothing has replaced since: the others are decided. Sought in
        the day before the window ends, however wide it is. Planned ones are not among them.

        Returns:
            At most `MAX_UNEASY`, and how many entries the view had seen.
        """
        since_ms = min(query.until_ms, now_ms) - UNEASY_MS
        later = MARK.alias("later")
        replaced = (
            select(later.c.id)
            .where(
                later.c.service == MARK.c.service,
                later.c.environment == MARK.c.environment,
                later.c.first == _ONE,
                later.c.at_ms > MARK.c.at_ms,
                later.c.rank.in_((CALM, RANK[ShownState.COMPLETE])),
                later.c.kind == Kind.DEPLOYMENT,
            )
            .exists()
        )
        wanted = [
            *_filters(query),
            _FIRST,
            _UNEASY,
            MARK.c.rank.in_(range(RANK[ShownState.PLANNED])),
            MARK.c.at_ms >= since_ms,
            MARK.c.at_ms < query.until_ms,
            ~and_(MARK.c.rank == RANK[ShownState.FAILED], replaced),
        ]
        order = (MARK.c.rank, MARK.c.at_ms.desc(), *_KEY[1:])
        statement = select(*_WHOLE).where(*wanted).order_by(*order).limit(MAX_UNEASY)
        with self._views.reading() as connection:
            rows = connection.execute(statement).all()
            return [MarkRow._make(row) for row in rows], projected_size(connection, NAME)

    def services(self, query: MarkQuery) -> tuple[list[str], int, str | None]:
        """Return names of services behind the cursor, how many there are, and the next cursor.

        Of the filters only service, environment and free words choose services.
        """
        tied = replace(query, since_ms=0, until_ms=_BEYOND)
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
        with self._views.reading() as connection:
            statement = select(*_WHOLE).where(
                MARK.c.service.in_({name[0] for name in names}),
                MARK.c.environment.in_({name[1] for name in names}),
                MARK.c.id.in_({name[2] for name in names}),
                *_wanted(query, once=False),
            )
            rows = [MarkRow._make(row) for row in connection.execute(statement)]
        wanted = set(names)
        return [row for row in rows if (*row[:3], row.number) in wanted and row.kind_key == ""]


def _named(connection: Connection, names: Iterable[tuple[str, str, str, int]]) -> list[MarkRow]:
    columns = ("service", "environment", "id", "number")
    rows = map(MarkRow._make, rows_with(connection, MARK, columns, sorted(set(names))))
    return [row for row in rows if row.first and row.kind_key == ""]


# What a query means ------------------------------------------------------------------------------


def _filters(query: MarkQuery) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    for column, values in (
        (MARK.c.service, query.service),
        (MARK.c.environment, query.environment),
        (MARK.c.kind, query.kind),
        (MARK.c.lane, query.cluster),
    ):
        if values:
            wanted.append(column.in_(values))
    if query.state:
        wanted.append(MARK.c.rank.in_([RANK[state] for state in query.state]))
    if query.owner:
        wanted.append(or_(MARK.c.owner.in_(query.owner), MARK.c.author.in_(query.owner)))
    for word in query.text:
        begins = [func.instr(column, word) == 1 for column in _TEXTS]
        wanted.append(or_(*begins))
    return wanted


_TEXTS = (MARK.c.service, MARK.c.version, MARK.c.id)


def _wanted(query: MarkQuery, *, once: bool) -> list[ColumnElement[bool]]:
    wanted = [*_filters(query), MARK.c.at_ms >= query.since_ms, MARK.c.at_ms < query.until_ms]
    if once and not query.cluster:
        wanted.append(_FIRST)
    return wanted


def _counts(connection: Connection, query: MarkQuery) -> dict[ShownState, int]:
    wanted = _wanted(query, once=True)
    if query.cluster:
        runs = select(MARK.c.rank).where(*wanted).distinct().add_columns(*_KEY[1:]).subquery()
        statement = select(runs.c.rank, func.count()).group_by(runs.c.rank)
    else:
        statement = select(MARK.c.rank, func.count()).where(*wanted).group_by(MARK.c.rank)
    return {SHOWN[rank]: count for rank, count in sorted(map(tuple, connection.execute(statement)))}


def _total(connection: Connection) -> int:
    return int(connection.scalar(select(func.coalesce(func.sum(TALLY.c.count), 0))) or 0)


def _cells(connection: Connection, query: MarkQuery, width: int) -> list[CellRow]:
    """Return the marks of a window, merged by lane and column."""
    span_ms = max(1, query.until_ms - query.since_ms)
    column = cast((MARK.c.at_ms - query.since_ms) * width // span_ms, BigInteger)
    is_calm = MARK.c.rank >= CALM
    place = case((is_calm, column // CALM_PIXELS), else_=column)
    # One minimum, so that the other columns are those of the row that has it: worst, then newest.
    worst = func.min(MARK.c.rank * _BEYOND + (_BEYOND - MARK.c.at_ms))
    told = [MARK.c[name] for name in CellRow._fields if name != "runs"]
    statement = (
        select(func.count().label("runs"), *told, worst)
        .where(*_wanted(query, once=False))
        .group_by(MARK.c.lane, is_calm, place)
    )
    return [CellRow._make(row[:-1]) for row in connection.execute(statement)]


def _lanes_of(cells: Iterable[CellRow]) -> list[LaneRow]:
    """Return lanes, those with the worst in them first, then the fullest."""
    found: dict[str, LaneRow] = {}
    for cell in cells:
        known = found.get(cell.lane, LaneRow(cell.lane, cell.lane_kind, cell.rank, 0))
        worst = min(known.worst, cell.rank)
        found[cell.lane] = known._replace(worst=worst, runs=known.runs + cell.runs)
    return sorted(found.values(), key=lambda lane: (lane.worst, -lane.runs, lane.name))
