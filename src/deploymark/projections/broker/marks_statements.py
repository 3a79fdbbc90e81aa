"""The statements that `marks_query` asks with, each put together once for a shape of filter.

SQLAlchemy spends longer on putting a statement together than SQLite does on answering it. Which
filters are set decides how a statement reads; what they are set to is given when it is asked. What
the answers mean is said in `marks_query`.
"""

from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.types import BigInteger

from deploymark.model.vocabulary import Kind
from deploymark.projections.broker.marks import MARK, TALLY
from deploymark.projections.broker.shown_state import CALM, RANK, ShownState

CALM_PIXELS: Final = 4
"""Columns that are merged where nobody needs to look."""

MAX_UNEASY: Final = 64

BEYOND: Final = 1 << 43
"""Greater than every time in milliseconds, so that rank and time make one number."""

KEY: Final = (
    MARK.c.at_ms,
    MARK.c.service,
    MARK.c.environment,
    MARK.c.id,
    MARK.c.kind_key,
    MARK.c.number,
)
"""Tells runs apart, and puts them in the order of time."""

CELL: Final = ("lane", "lane_kind", "at_ms", "rank", "service", "id", "number", "version")
"""What is told of the run that stands for a cell."""

_KEPT: Final = 128
_WHOLE = tuple(MARK.columns)
# Written out, not bound: SQLite uses a partial index only for what it can read in the statement.
_ONE: Final[ColumnElement[int]] = literal_column("1")
_FIRST: Final = MARK.c.first == _ONE
_UNEASY: Final = MARK.c.rank < literal_column(str(CALM))
_SINCE_MS: Final = bindparam("since_ms", type_=BigInteger)
_UNTIL_MS: Final = bindparam("until_ms", type_=BigInteger)
_SPAN_MS: Final = bindparam("span_ms", type_=BigInteger)
_WIDTH: Final = bindparam("width", type_=Integer)
_LIMIT: Final = bindparam("limit", type_=Integer)
_TEXTS: Final = (MARK.c.service, MARK.c.version, MARK.c.id)


class Shape(NamedTuple):
    """Which filters are set, by the names of their values; of free words how many there are."""

    service: bool = False
    environment: bool = False
    kind: bool = False
    cluster: bool = False
    state: bool = False
    owner: bool = False
    words: int = 0


def among(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Hold for the values that are given under a name."""
    return column.in_(bindparam(name, expanding=True))


def of_runs(shape: Shape) -> list[ColumnElement[bool]]:
    """Return the filters that speak of runs, not of where they are: state, owner, words."""
    wanted = []
    if shape.state:
        wanted.append(among(MARK.c.rank, "state"))
    if shape.owner:
        wanted.append(or_(among(MARK.c.owner, "owner"), among(MARK.c.author, "owner")))
    for number in range(shape.words):
        word = bindparam(f"word_{number}", type_=Text)
        wanted.append(or_(*[func.instr(column, word) == 1 for column in _TEXTS]))
    return wanted


def _filters(shape: Shape) -> list[ColumnElement[bool]]:
    columns = (MARK.c.service, MARK.c.environment, MARK.c.kind)
    wanted = [among(column, column.name) for column in columns if getattr(shape, column.name)]
    if shape.cluster:
        wanted.append(among(MARK.c.lane, "cluster"))
    return wanted + of_runs(shape)


def _wanted(shape: Shape, *, once: bool) -> list[ColumnElement[bool]]:
    wanted = [*_filters(shape), MARK.c.at_ms >= _SINCE_MS, MARK.c.at_ms < _UNTIL_MS]
    if once and not shape.cluster:
        wanted.append(_FIRST)
    return wanted


TOTAL: Final = select(func.coalesce(func.sum(TALLY.c.count), 0))
"""How many runs there are."""


@lru_cache(_KEPT)
def counts(shape: Shape) -> Select[Any]:
    """Return how many runs of a window (`since_ms`, `until_ms`) have which rank."""
    wanted = _wanted(shape, once=True)
    if not shape.cluster:
        return select(MARK.c.rank, func.count()).where(*wanted).group_by(MARK.c.rank)
    runs = select(MARK.c.rank).where(*wanted).distinct().add_columns(*KEY[1:]).subquery()
    return select(runs.c.rank, func.count()).group_by(runs.c.rank)


@lru_cache(_KEPT)
def cells(shape: Shape) -> Select[Any]:
    """Return the marks of a window merged by lane and column (`span_ms`, `width`).

    The first column is how many they are, the last is worked with only.
    """
    column = cast((MARK.c.at_ms - _SINCE_MS) * _WIDTH // _SPAN_MS, BigInteger)
    is_calm = MARK.c.rank >= CALM
    place = case((is_calm, column // CALM_PIXELS), else_=column)
    # One minimum, so that the other columns are those of the row that has it: worst, then newest.
    worst = func.min(MARK.c.rank * BEYOND + (BEYOND - MARK.c.at_ms))
    told = [MARK.c[name] for name in CELL]
    return (
        select(func.count().label("runs"), *told, worst)
        .where(*_wanted(shape, once=False))
        .group_by(MARK.c.lane, is_calm, place)
    )


@lru_cache(_KEPT)
def listed(shape: Shape, *, behind: bool) -> Select[Any]:
    """Return the newest runs of a window (`limit`), behind a place (`behind_0` …) or from its end.

    Each by the row of its first lane; where lanes are chosen, by one that is among them.
    """
    wanted = _wanted(shape, once=True)
    if behind:
        place = [bindparam(f"behind_{n}", type_=column.type) for n, column in enumerate(KEY)]
        wanted.append(tuple_(*KEY) < tuple_(*place))
    statement = select(*_WHOLE).where(*wanted).order_by(*[column.desc() for column in KEY])
    if shape.cluster:  # a run may be in several of these lanes
        statement = statement.group_by(*KEY)
    return statement.limit(_LIMIT)


@lru_cache(_KEPT)
def uneasy(shape: Shape) -> Select[Any]:
    """Return what is neither well nor over in a window, the worst first, then the newest."""
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
        *_filters(shape),
        _FIRST,
        _UNEASY,
        MARK.c.rank.in_(range(RANK[ShownState.PLANNED])),
        MARK.c.at_ms >= _SINCE_MS,
        MARK.c.at_ms < _UNTIL_MS,
        ~and_(MARK.c.rank == RANK[ShownState.FAILED], replaced),
    ]
    order = (MARK.c.rank, MARK.c.at_ms.desc(), *KEY[1:])
    return select(*_WHOLE).where(*wanted).order_by(*order).limit(MAX_UNEASY)


@lru_cache(_KEPT)
def chosen(shape: Shape) -> Select[Any]:
    """Return the rows of runs (`services`, `environments`, `ids`) in a window, of every lane."""
    named = (
        among(MARK.c.service, "services"),
        among(MARK.c.environment, "environments"),
        among(MARK.c.id, "ids"),
    )
    return select(*_WHOLE).where(*named, *_wanted(shape, once=False))
