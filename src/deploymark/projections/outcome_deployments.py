"""The statements that find what is counted: deployments, and a page of any of them.

A deployment has settled when its markers say what came of it. One that only verdicts and decisions
speak of, a canary that never went live and was rolled back, is found by these.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    case,
    func,
    literal,
    or_,
    select,
    tuple_,
    union_all,
)

from deploymark.projections.broker.tables import ALIAS, RUN
from deploymark.projections.outcome_facts import RUN_COLUMNS, Fact, Facts
from deploymark.projections.outcome_questions import At, Window
from deploymark.projections.outcomes import JUDGED


def live_deployments(
    connection: Connection, window: Window, behind: At | None, limit: int
) -> list[Any]:
    """Return rows of deployments that went live, with `RUN_COLUMNS`, the latest first."""
    other = [
        or_(column.is_(None), column != RUN.c.settled_index)
        for column in (RUN.c.failed_index, RUN.c.undone_index)
    ]
    return page_of(connection, _settled(window).where(*other), behind, limit)


def _settled(window: Window) -> Select[Any]:
    """Return the deployments of which the markers say what came of them."""
    return select(
        *RUN_COLUMNS, RUN.c.settled_ms.label("at_ms"), RUN.c.settled_index.label("at_index")
    ).where(
        within(RUN.c.settled_ms, window),
        RUN.c.returns.is_(None),
        there(RUN, window),
    )


def _unsettled(window: Window, *what: str) -> Select[Any]:
    """Return those of which no marker does, but a verdict or a decision.

    Args:
        window: When the first of them was said.
        what: `undone`, `breached`.
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
    wanted = (
        or_(*[within(ms, window) for ms, _ in times]),
        within(at_ms, window),
        there(JUDGED, window),
    )
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


Deployments = Callable[[Connection, Window, At | None, int], list[tuple[Any, Fact]]]


def deployments(*what: str) -> Deployments:
    """Return what reads a page of deployments of which is known what came of them.

    Args:
        what: What else than markers makes them so: `undone`, `breached`.
    """

    def read(
        connection: Connection, window: Window, behind: At | None, limit: int
    ) -> list[tuple[Any, Fact]]:
        both = union_all(_settled(window), _unsettled(window, *what)).subquery()
        rows = page_of(connection, select(both), behind, limit)
        facts = Facts(connection, rows)
        return [(row, facts.of(row)) for row in rows]

    return read


def within(column: ColumnElement[Any], window: Window) -> ColumnElement[bool]:
    """Hold for a time that lies in a window."""
    return and_(column >= window.since_ms, column < window.before_ms)


def there(table: Table, window: Window) -> ColumnElement[bool]:
    """Hold for rows of the environments of a window."""
    if window.environments:
        return table.c.environment.in_(window.environments)
    return table.c.production == 1


def page_of(
    connection: Connection, statement: Select[Any], behind: At | None, limit: int
) -> list[Any]:
    """Return rows of a statement with `at_ms` and `at_index`, the latest first, behind a place."""
    found = statement.subquery()
    key = (found.c.at_ms, found.c.at_index)
    asked = select(found).order_by(*[column.desc() for column in key]).limit(limit)
    if behind is not None:
        asked = asked.where(tuple_(*key) < tuple_(*map(literal, behind)))
    return list(connection.execute(asked).all())
