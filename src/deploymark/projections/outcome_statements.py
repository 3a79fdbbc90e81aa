"""The statements that find what is counted: deployments, canaries, actions, and a page of any.

A deployment has settled when its markers say what came of it. One that only verdicts and decisions
speak of, a canary that never went live and was rolled back, is found by these.

A measure is asked dozens of times for a page of a dashboard, once for each part of its window.
SQLAlchemy spends several times as long on putting a statement together as SQLite does on answering
it, so each is put together once, and given its values when it is asked.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Integer,
    Select,
    Table,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
    tuple_,
    union_all,
)

from deploymark.projections.broker.tables import ALIAS, RUN
from deploymark.projections.outcomes import ACTION, JUDGED, PROMOTE, ROLL_BACK

RUN_COLUMNS: Final = tuple(
    RUN.c[name]
    for name in (
        *("service", "environment", "id", "number", "opened_ms"),
        *("settled_ms", "settled_index", "failed_index", "undone_ms", "undone_index"),
    )
)

_SINCE: Final = bindparam("since_ms", type_=BigInteger)
_BEFORE: Final = bindparam("before_ms", type_=BigInteger)
_SOME: Final[BindParameter[Any]] = bindparam("some", expanding=True)

There = Callable[[Table], ColumnElement[bool]]
"""Returns what holds for the rows of a table that are of the environments of a window."""

Told = Callable[[There], Select[Any]]
"""Returns a statement with `at_ms` and `at_index`, of a window (`since_ms`, `before_ms`)."""


# Of one window ------------------------------------------------------------------------------------


def settled(there: There) -> Select[Any]:
    """Return the deployments of which the markers say what came of them."""
    return select(
        *RUN_COLUMNS, RUN.c.settled_ms.label("at_ms"), RUN.c.settled_index.label("at_index")
    ).where(_within(RUN.c.settled_ms), RUN.c.returns.is_(None), there(RUN))


def _unsettled(there: There, *what: str) -> Select[Any]:
    """Return those of which no marker does, but a verdict or a decision.

    Args:
        there: In which environments.
        what: `undone`, `breached`; the first of them counts.
    """
    times = [(JUDGED.c[f"{each}_ms"], JUDGED.c[f"{each}_index"]) for each in what]
    at_ms: ColumnElement[Any] = times[0][0]
    at_index: ColumnElement[Any] = times[0][1]
    for ms, index in times[1:]:
        sooner = or_(at_index.is_(None), index < at_index)
        at_ms, at_index = (
            case((sooner, ms), else_=at_ms),
            case((sooner, index), else_=at_index),
        )
    key = (JUDGED.c.service, JUDGED.c.environment, JUDGED.c.occurrence)
    told = (at_ms.label("at_ms"), at_index.label("at_index"))
    wanted = (or_(*[_within(ms) for ms, _ in times]), _within(at_ms), there(JUDGED))
    aliased = and_(
        ALIAS.c.alias == JUDGED.c.deployment, ALIAS.c.environment == JUDGED.c.environment
    )
    names = union_all(
        select(*key, JUDGED.c.deployment.label("id"), *told).where(*wanted),
        select(*key, ALIAS.c.id, *told).select_from(JUDGED.join(ALIAS, aliased)).where(*wanted),
    ).subquery()
    later = RUN.alias("later")
    latest = (
        select(func.max(later.c.number))
        .where(
            *[
                later.c[name] == RUN.c[name]
                for name in ("service", "environment", "id", "kind_key")
            ],
            later.c.opened_ms <= names.c.at_ms,
        )
        .scalar_subquery()
    )
    meant = and_(
        RUN.c.id == names.c.id,
        RUN.c.environment == names.c.environment,
        RUN.c.kind_key == "",
        or_(names.c.service == "", names.c.service == RUN.c.service),
        RUN.c.number == case((names.c.occurrence == 0, latest), else_=names.c.occurrence),
    )
    return (
        select(
            *RUN_COLUMNS,
            func.min(names.c.at_ms).label("at_ms"),
            func.min(names.c.at_index).label("at_index"),
        )
        .select_from(names.join(RUN, meant))
        .where(RUN.c.settled_ms.is_(None), RUN.c.returns.is_(None))
        .group_by(*RUN_COLUMNS)
    )


def _known(*what: str) -> Told:
    """Return what finds deployments of which markers, or else these, say what came of them."""

    def told(there: There) -> Select[Any]:
        return select(union_all(settled(there), _unsettled(there, *what)).subquery())

    return told


def _only(*what: str) -> Told:
    """Return what finds those of which only these say it."""

    def told(there: There) -> Select[Any]:
        return _unsettled(there, *what)

    return told


def live(there: There) -> Select[Any]:
    """Return deployments that went live, with `RUN_COLUMNS`."""
    other = [
        or_(column.is_(None), column != RUN.c.settled_index)
        for column in (RUN.c.failed_index, RUN.c.undone_index)
    ]
    return settled(there).where(*other)


UNDONE: Final[Told] = _known("undone")
"""Deployments that markers settle or a decision rolled back, with `RUN_COLUMNS`."""

UNDONE_OR_BREACHED: Final[Told] = _known("undone", "breached")
"""The same, and those that burnt an error budget."""

ONLY_UNDONE: Final[Told] = _only("undone")
"""Those of `UNDONE` that are not `settled`."""

ONLY_UNDONE_OR_BREACHED: Final[Told] = _only("undone", "breached")
"""Those of `UNDONE_OR_BREACHED` that are not `settled`."""


def canaries(there: There) -> Select[Any]:
    """Return what was judged, with the columns of `outcomes_judged`."""
    return select(
        JUDGED, JUDGED.c.judged_ms.label("at_ms"), JUDGED.c.judged_index.label("at_index")
    ).where(_within(JUDGED.c.judged_ms), there(JUDGED))


def _actions(action: str, there: There) -> Select[Any]:
    return select(
        ACTION, ACTION.c.ended_ms.label("at_ms"), ACTION.c.ended_index.label("at_index")
    ).where(ACTION.c.action == action, _within(ACTION.c.ended_ms), there(ACTION))


ROLLBACKS: Final[Told] = partial(_actions, ROLL_BACK)
"""Rollbacks that ended, with the columns of `outcomes_action`."""

PROMOTIONS: Final[Told] = partial(_actions, PROMOTE)
"""The same of promotions."""


def _within(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Hold for a time that lies in the window."""
    return and_(column >= _SINCE, column < _BEFORE)


def _named(table: Table) -> ColumnElement[bool]:
    return table.c.environment.in_(bindparam("environments", expanding=True))


def _production(table: Table) -> ColumnElement[bool]:
    return table.c.production == 1


@cache
def page(told: Told, *, named: bool, follows: bool) -> Select[Any]:
    """Return the statement of a page of `limit` rows, the latest first.

    Args:
        told: What finds them all.
        named: In `environments`; otherwise in those that are production.
        follows: Behind `behind_ms` and `behind_index`.
    """
    found = told(_named if named else _production).subquery()
    key = (found.c.at_ms, found.c.at_index)
    asked = select(found).order_by(*[column.desc() for column in key])
    if follows:
        behind = [bindparam(name, type_=BigInteger) for name in ("behind_ms", "behind_index")]
        asked = asked.where(tuple_(*key) < tuple_(*behind))
    return asked.limit(bindparam("limit", type_=Integer))


# Of some deployments ------------------------------------------------------------------------------

NAMED: Final = select(*RUN_COLUMNS).where(RUN.c.id.in_(_SOME), RUN.c.kind_key == "")
"""Occurrences of deployments by their ids (`some`)."""

OPENINGS: Final = select(
    RUN.c.service, RUN.c.environment, RUN.c.id, RUN.c.number, RUN.c.opened_ms
).where(RUN.c.id.in_(_SOME), RUN.c.kind_key == "")
"""When each of them was opened."""

RETURNS: Final = select(
    RUN.c.returns, RUN.c.service, RUN.c.environment, RUN.c.settled_ms, RUN.c.settled_index
).where(
    RUN.c.returns.is_not(None),  # so that its index, which has no others, is used
    RUN.c.returns.in_(_SOME),
    RUN.c.settled_ms.is_not(None),
    # A return that failed, or was rolled back itself, before it went live took nothing back.
    *[
        or_(column.is_(None), column != RUN.c.settled_index)
        for column in (RUN.c.failed_index, RUN.c.undone_index)
    ],
)
"""What was deployed again in place of deployments of these names (`some`), and went live."""
