"""Reads the timeline as a stream: what was added last, or lately, with how its deployment stands.

`timeline_query` tells the story of deployments, page after page. This tells what is new to whoever
looks on, in the order of time or of the log, and never more than a screen of it.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Integer, Select, bindparam, func, or_, select
from sqlalchemy.types import BigInteger

from deploymark.model.instants import format_instant
from deploymark.projections.broker.corrected import (
    NONE,
    Corrections,
    corrections_about,
    marks_as_amended,
)
from deploymark.projections.broker.marks import MARK, MarkRow
from deploymark.projections.broker.marks_query import MarkQuery, shape_of, values_of
from deploymark.projections.broker.marks_statements import Shape, among, of_runs
from deploymark.projections.broker.tables import ALIAS
from deploymark.projections.broker.view import NAME as BROKER
from deploymark.projections.cursors import projected_size
from deploymark.projections.database import Views, rows_with
from deploymark.projections.timeline import EVENT, NAME
from deploymark.projections.timeline_query import Owner, as_filed, owners_of

COUNTED_TO: Final = 10_000
"""Events of a window are counted up to here; that many means as many or more."""

_KEPT: Final = 128
_LIMIT: Final = bindparam("limit", type_=Integer)
_LATEST: Final = (EVENT.c.at_ms.desc(), EVENT.c.idx.desc())


class Seen(NamedTuple):
    """One event.

    Attributes:
        row: As the timeline has it.
        owner: The deployment that it belongs to.
        mark: How that stands; None for what is about none, or none that is known.
        corrected: What was amended of it, or that it was taken back.
    """

    row: Any
    owner: Owner
    mark: MarkRow | None
    corrected: Corrections = NONE

    @property
    def at(self) -> str:
        """When it happened (RFC 3339)."""
        return format_instant(self.row.at_ms)


class Streamed(NamedTuple):
    """Some events, the newest first; how many there are; how many entries the views had seen."""

    items: list[Seen]
    total: int
    as_of: int


class Stream:
    """Answers what is new; safe on any thread, and waits for the disk.

    Args:
        views: The database of the timeline and the broker.
    """

    def __init__(self, views: Views) -> None:
        self._views = views

    def window(self, query: MarkQuery, limit: int) -> Streamed:
        """Return what happened in a window, the last first, counted up to `COUNTED_TO`.

        Raises:
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        listed, counted = _in_window(shape_of(query))
        values = {**values_of(query), "since_ms": query.since_ms, "until_ms": query.until_ms}
        with self._views.reading() as connection:
            rows = connection.execute(listed, {**values, "limit": limit}).all()
            total = len(rows)
            if total == limit:
                total = connection.scalar(counted, values) or 0
            return Streamed(_seen(connection, rows), total, _as_of(connection))

    def behind(self, index: int, query: MarkQuery, limit: int) -> Streamed:
        """Return what was added behind an entry, the newest first; its total is at most one more.

        Raises:
            StoreUnavailableError: As `window`.
        """
        values = {**values_of(query), "index": index, "limit": limit + 1}
        with self._views.reading() as connection:
            rows = connection.execute(_behind(shape_of(query)), values).all()
            return Streamed(_seen(connection, rows[:limit]), len(rows), _as_of(connection))

    def of(self, names: Sequence[str], limit: int) -> Streamed:
        """Return the events that were filed under these ids, the last first."""
        wanted = [EVENT.c.deployment.in_(names)]
        with self._views.reading() as connection:
            statement = select(EVENT).where(*wanted).order_by(*_LATEST).limit(limit)
            rows = connection.execute(statement).all()
            total = connection.scalar(select(func.count()).select_from(EVENT).where(*wanted)) or 0
            return Streamed(_seen(connection, rows), total, _as_of(connection))


def _as_of(connection: Connection) -> int:
    return min(projected_size(connection, name) for name in (NAME, BROKER))


@lru_cache(_KEPT)
def _in_window(shape: Shape) -> tuple[Select[Any], Select[Any]]:
    """Return what lists the events of a window, and what counts them."""
    since_ms, until_ms = (bindparam(name, type_=BigInteger) for name in ("since_ms", "until_ms"))
    wanted = [EVENT.c.at_ms >= since_ms, EVENT.c.at_ms < until_ms, *_chosen(shape)]
    some = select(EVENT.c.idx).where(*wanted).limit(COUNTED_TO).subquery()
    return (
        select(EVENT).where(*wanted).order_by(*_LATEST).limit(_LIMIT),
        select(func.count()).select_from(some),
    )


@lru_cache(_KEPT)
def _behind(shape: Shape) -> Select[Any]:
    """Return what lists the events behind an entry (`index`)."""
    wanted = [EVENT.c.idx > bindparam("index", type_=BigInteger), *_chosen(shape)]
    return select(EVENT).where(*wanted).order_by(EVENT.c.idx.desc()).limit(_LIMIT)


def _chosen(shape: Shape) -> list[ColumnElement[bool]]:
    """Return the filters of a query as far as they speak of events.

    State, owner and words choose deployments, and so the events that were filed under them or an
    alias of theirs.
    """
    columns = (EVENT.c.service, EVENT.c.environment, EVENT.c.kind)
    wanted = [among(column, column.name) for column in columns if getattr(shape, column.name)]
    if shape.cluster:
        wanted.append(or_(among(EVENT.c.cluster, "cluster"), among(EVENT.c.region, "cluster")))
    marks = of_runs(shape)
    if marks:
        here = (MARK.c.service == EVENT.c.service, MARK.c.environment == EVENT.c.environment)
        direct = select(MARK.c.id).where(*here, MARK.c.id == EVENT.c.deployment, *marks)
        # Nested, so that it goes from the few aliases of a name to their marks.
        meant = [MARK.c[name] == ALIAS.c[name] for name in ("service", "environment", "id")]
        aliased = select(ALIAS.c.id).where(
            ALIAS.c.alias == EVENT.c.deployment,
            ALIAS.c.service == EVENT.c.service,
            ALIAS.c.environment == EVENT.c.environment,
            select(MARK.c.id).where(*meant, *marks).exists(),
        )
        wanted.append(or_(direct.exists(), aliased.exists()))
    return wanted


def _seen(connection: Connection, rows: Sequence[Any]) -> list[Seen]:
    # What names its deployment itself is of that; only evidence was joined by the broker, which is
    # looked up scope by scope.
    owners = as_filed(connection, [row for row in rows if not row.evidence])
    owners |= owners_of(connection, [row for row in rows if row.evidence])
    keys = {
        (row.service, row.environment, owners[row.idx].deployment_id)
        for row in rows
        if row.service and row.environment and owners[row.idx].deployment_id
    }
    known: dict[tuple[str, str, str], list[MarkRow]] = {}
    names = ("service", "environment", "id")
    for found in rows_with(connection, MARK, names, sorted(keys)):
        mark = MarkRow._make(found)
        if mark.first:
            known.setdefault((mark.service, mark.environment, mark.id), []).append(mark)
    marks = {row.idx: _mark(known, row, owners[row.idx]) for row in rows}
    newer = marks_as_amended(connection, {each for each in marks.values() if each is not None})
    corrected = corrections_about(connection, [row.idx for row in rows])
    seen = []
    for row in rows:
        drawn = marks[row.idx]
        newest = None if drawn is None else newer.get(drawn, drawn)
        seen.append(Seen(row, owners[row.idx], newest, corrected.get(row.idx, NONE)))
    return seen


def _mark(
    known: dict[tuple[str, str, str], list[MarkRow]],
    row: Any,  # noqa: ANN401 - of the timeline
    owner: Owner,
) -> MarkRow | None:
    """Return the occurrence that an event is of, else the newest of its kind."""
    marks = known.get((row.service, row.environment, owner.deployment_id or ""), ())
    same = [mark for mark in marks if row.kind in (None, mark.kind)]
    exact = [mark for mark in same if mark.number == owner.occurrence]
    return max(exact or same, key=lambda mark: mark.at_ms, default=None)
