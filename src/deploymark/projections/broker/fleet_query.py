"""Reads what runs where, and what came of deployments day by day: the pages about many services.

Each answer is a page of services or a window of days, summed up in the database.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec import Struct
from sqlalchemy import ColumnElement, and_, case, func, literal, select, tuple_

from deploymark.model.vocabulary import Kind
from deploymark.projections.broker.marks import CLUSTER, KNOWN, MARK, MarkRow
from deploymark.projections.broker.questions import Values
from deploymark.projections.broker.running import MAIN
from deploymark.projections.broker.shown_state import RANK, ShownState
from deploymark.projections.broker.tables import INSTANCE, RUN
from deploymark.projections.broker.view import NAME
from deploymark.projections.broker.whole_runs import count_instances, no_instances
from deploymark.projections.cursors import projected_size
from deploymark.projections.database import Views
from deploymark.projections.paging import read_cursor, write_cursor

DAY_MS: Final = 86_400_000

_RUN: Final = ("service", "environment", "id", "kind_key", "number")


class FleetQuery(Struct, frozen=True, kw_only=True):
    """Which services in which environments, by name.

    Attributes:
        text: Each word begins the service's name.
        cluster: Only what runs, or stands, in one of these.
    """

    service: Values = ()
    environment: Values = ()
    text: Values = ()
    cluster: Values = ()
    limit: int = 50
    cursor: str | None = None


class CellKey(NamedTuple):
    """A service in an environment, in one cluster; "" where none is named."""

    service: str
    environment: str
    cluster: str


class Running(NamedTuple):
    """What runs in a cell.

    Attributes:
        statuses: Instances by what is known of them.
        runs: Instances by deployment (id, occurrence); those of none are left out.
    """

    statuses: dict[str, int]
    runs: dict[tuple[str, int], int]


class FleetPage(NamedTuple):
    """A page of the fleet.

    Attributes:
        scopes: Services and environments, in order.
        running: By cell.
        standing: Deployments that stand, by cell, the newest first.
        total: How many scopes there are.
    """

    scopes: list[tuple[str, str]]
    running: dict[CellKey, Running]
    standing: dict[CellKey, list[MarkRow]]
    total: int
    next_cursor: str | None
    as_of: int


class DayRow(NamedTuple):
    """Deployments of one day, owner and rank."""

    day: int
    owner: str
    rank: int
    runs: int


class FleetBook:
    """Answers about many services; safe on any thread, and waits for the disk.

    Args:
        views: The database of the broker.
    """

    def __init__(self, views: Views) -> None:
        self._views = views

    def page(self, query: FleetQuery) -> FleetPage:
        """Return which services run what where.

        Raises:
            QueryError: The cursor is not what it may be.
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        behind = read_cursor(query, query.cursor, 2)
        wanted = _scopes(query)
        scope = (KNOWN.c.service, KNOWN.c.environment)
        page = select(*scope).where(*wanted).order_by(*scope).limit(query.limit + 1)
        if behind is not None:
            page = page.where(tuple_(*scope) > tuple_(*map(literal, behind)))
        with self._views.reading() as connection:
            counted = select(func.count()).select_from(KNOWN).where(*wanted)
            total = connection.scalar(counted) or 0
            found = [(row.service, row.environment) for row in connection.execute(page)]
            more = len(found) > query.limit
            found = found[: query.limit]
            here = tuple_(INSTANCE.c.service, INSTANCE.c.environment).in_(found)
            rows = count_instances(connection, [here], (MAIN.c.id, MAIN.c.number)) if found else ()
            same = and_(*[RUN.c[name] == MARK.c[name] for name in _RUN])
            stands = (
                select(MARK)
                .select_from(RUN.join(MARK, same))
                .where(RUN.c.watch == 1, tuple_(RUN.c.service, RUN.c.environment).in_(found))
                .where(RUN.c.kind_key == "")
                .order_by(MARK.c.at_ms.desc())
            )
            marks = [MarkRow._make(row) for row in connection.execute(stands)] if found else []
            as_of = projected_size(connection, NAME)
        running: dict[CellKey, Running] = {}
        for row in rows:
            key = CellKey(row.service, row.environment, row.cluster or "")
            cell = running.setdefault(key, Running(no_instances(), {}))
            cell.statuses[row.status] += row.count
            if row.id is not None:
                run = (row.id, row.number)
                cell.runs[run] = cell.runs.get(run, 0) + row.count
        standing: dict[CellKey, list[MarkRow]] = {}
        for mark in marks:
            cluster = mark.lane if mark.lane_kind == CLUSTER else ""
            key = CellKey(mark.service, mark.environment, cluster)
            standing.setdefault(key, []).append(mark)
        cursor = write_cursor(query, list(found[-1])) if more else None
        return FleetPage(found, running, standing, total, cursor, as_of)

    def environments(self) -> list[str]:
        """Return the names of all environments; raises as `page`."""
        statement = select(KNOWN.c.environment).distinct().order_by(KNOWN.c.environment)
        with self._views.reading() as connection:
            return list(connection.scalars(statement))

    def days(self, since_ms: int, until_ms: int, environments: Sequence[str]) -> list[DayRow]:
        """Return the deployments of a window by day, owner and how they are shown now.

        Those that never went live and did not fail, because another took their place, are left
        out, as are changes that are no deployments. Raises as `page`.
        """
        day = (MARK.c.at_ms - since_ms) // literal(DAY_MS)
        owner = func.coalesce(MARK.c.owner, "")
        statement = (
            select(day, owner, MARK.c.rank, func.count())
            .where(*_counted(since_ms, until_ms), MARK.c.environment.in_(environments))
            .group_by(day, owner, MARK.c.rank)
        )
        with self._views.reading() as connection:
            return [DayRow._make(row) for row in connection.execute(statement)]

    def places(self, since_ms: int, until_ms: int) -> list[tuple[str, int]]:
        """Return environments with how many deployments `days` counts there, most first.

        Raises as `page`.
        """
        runs = func.count()
        statement = (
            select(MARK.c.environment, runs)
            .where(*_counted(since_ms, until_ms))
            .group_by(MARK.c.environment)
            .order_by(runs.desc(), MARK.c.environment)
        )
        with self._views.reading() as connection:
            return [(environment, many) for environment, many in connection.execute(statement)]


_UNDONE: Final = [
    RANK[state] for state in (ShownState.FAILED, ShownState.ROLLING_BACK, ShownState.ROLLED_BACK)
]


def _counted(since_ms: int, until_ms: int) -> list[ColumnElement[bool]]:
    return [
        MARK.c.at_ms >= since_ms,
        MARK.c.at_ms < until_ms,
        MARK.c.first == 1,
        MARK.c.kind == Kind.DEPLOYMENT,
        case((MARK.c.live == 1, 1), (MARK.c.rank.in_(_UNDONE), 1), else_=0) == 1,
    ]


def _scopes(query: FleetQuery) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = [
        column.in_(values)
        for column, values in (
            (KNOWN.c.service, query.service),
            (KNOWN.c.environment, query.environment),
        )
        if values
    ]
    wanted += [func.instr(KNOWN.c.service, word) == 1 for word in query.text]
    if query.cluster:
        drawn = select(MARK.c.id).where(
            MARK.c.service == KNOWN.c.service,
            MARK.c.environment == KNOWN.c.environment,
            MARK.c.lane.in_(query.cluster),
        )
        wanted.append(drawn.exists())
    return wanted
