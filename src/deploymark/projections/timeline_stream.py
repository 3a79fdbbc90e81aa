"""Reads the timeline as a stream: what was added last, or lately, with how its deployment stands.

`timeline_query` tells the story of deployments, page after page. This tells what is new to whoever
looks on, in the order of time or of the log, and never more than a screen of it.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, func, or_, select

from deploymark.model.instants import format_instant
from deploymark.projections.broker.corrected import (
    NONE,
    Corrections,
    corrections_about,
    marks_as_amended,
)
from deploymark.projections.broker.marks import MARK, MarkRow
from deploymark.projections.broker.marks_query import MarkQuery
from deploymark.projections.broker.shown_state import RANK
from deploymark.projections.broker.tables import ALIAS
from deploymark.projections.broker.view import NAME as BROKER
from deploymark.projections.cursors import projected_size
from deploymark.projections.database import Views, rows_with
from deploymark.projections.timeline import EVENT, NAME
from deploymark.projections.timeline_query import Owner, as_filed, owners_of

COUNTED_TO: Final = 10_000
"""Events of a window are counted up to here; that many means as many or more."""


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
        wanted = [EVENT.c.at_ms >= query.since_ms, EVENT.c.at_ms < query.until_ms, *_chosen(query)]
        with self._views.reading() as connection:
            order = (EVENT.c.at_ms.desc(), EVENT.c.idx.desc())
            statement = select(EVENT).where(*wanted).order_by(*order).limit(limit)
            rows = connection.execute(statement).all()
            total = len(rows)
            if total == limit:
                some = select(EVENT.c.idx).where(*wanted).limit(COUNTED_TO).subquery()
                total = connection.scalar(select(func.count()).select_from(some)) or 0
            return Streamed(_seen(connection, rows), total, _as_of(connection))

    def behind(self, index: int, query: MarkQuery, limit: int) -> Streamed:
        """Return what was added behind an entry, the newest first; its total is at most one more.

        Raises:
            StoreUnavailableError: As `window`.
        """
        wanted = [EVENT.c.idx > index, *_chosen(query)]
        with self._views.reading() as connection:
            statement = select(EVENT).where(*wanted).order_by(EVENT.c.idx.desc()).limit(limit + 1)
            rows = connection.execute(statement).all()
            return Streamed(_seen(connection, rows[:limit]), len(rows), _as_of(connection))

    def of(self, names: Sequence[str], limit: int) -> Streamed:
        """Return the events that were filed under these ids, the last first."""
        wanted = [EVENT.c.deployment.in_(names)]
        with self._views.reading() as connection:
            order = (EVENT.c.at_ms.desc(), EVENT.c.idx.desc())
            statement = select(EVENT).where(*wanted).order_by(*order).limit(limit)
            rows = connection.execute(statement).all()
            total = connection.scalar(select(func.count()).select_from(EVENT).where(*wanted)) or 0
            return Streamed(_seen(connection, rows), total, _as_of(connection))


def _as_of(connection: Connection) -> int:
    return min(projected_size(connection, name) for name in (NAME, BROKER))


def _chosen(query: MarkQuery) -> list[ColumnElement[bool]]:
    """Return the filters of a query as far as they speak of events.

    State, owner and words choose deployments, and so the events that were filed under them or an
    alias of theirs.
    """
    wanted: list[ColumnElement[bool]] = []
    for column, values in (
        (EVENT.c.service, query.service),
        (EVENT.c.environment, query.environment),
        (EVENT.c.kind, query.kind),
    ):
        if values:
            wanted.append(column.in_(values))
    if query.cluster:
        wanted.append(or_(EVENT.c.cluster.in_(query.cluster), EVENT.c.region.in_(query.cluster)))
    marks: list[ColumnElement[bool]] = []
    if query.state:
        marks.append(MARK.c.rank.in_([RANK[state] for state in query.state]))
    if query.owner:
        marks.append(or_(MARK.c.owner.in_(query.owner), MARK.c.author.in_(query.owner)))
    for word in query.text:
        columns = (MARK.c.service, MARK.c.version, MARK.c.id)
        marks.append(or_(*[func.instr(column, word) == 1 for column in columns]))
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
