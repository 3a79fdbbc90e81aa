"""Counts what runs and what is wrong, for the metrics: few numbers, whatever the fleet's size.

Beside `query`, which answers people. One statement for each kind of number, all of one commit.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct
from sqlalchemy import JSON, Connection, and_, func, or_, select, type_coerce

from deploymark.model.environment import is_production
from deploymark.model.proportion import Proportion
from deploymark.projections.broker.moments import Moment, moments_of
from deploymark.projections.broker.questions import STATUSES
from deploymark.projections.broker.running import JOINED, MAIN, RUNNING, STATUS
from deploymark.projections.broker.tables import CLOCK, FINDING, INSTANCE, RUN
from deploymark.projections.broker.view import NAME
from deploymark.projections.cursors import projected_size
from deploymark.projections.database import Views
from deploymark.projections.expectations import Expectations, ExpectedEnvironment

MAX_RUNNING: Final = 10_000
"""Instances that are listed one by one, the newest."""

_MISMATCHED: Final = "mismatched"
_Area = tuple[str, str, str | None]


class Running(NamedTuple):
    """One instance that runs, as metrics of others are joined with it; "" for what is unknown.

    Attributes:
        deployment_id: Without its occurrence.
        occurrence: Its number, in digits.
        pod: The name of the instance, its unique id when it has none.
    """

    deployment_id: str
    occurrence: str
    service: str
    environment: str
    track: str
    cluster: str
    namespace: str
    pod: str


class Census(Struct, frozen=True):
    """What was counted.

    Attributes:
        as_of: How many entries of the log the broker had seen.
        findings: Open ones, by code, severity and whether they are of production.
        instances: Those that run, by status; every status is there.
        running: One for each place (cluster, namespace, name), the newest first.
        beyond: Instances that are not in `running` because there are too many.
        shadowed: Those that are not, because a newer one has the same place.
        covered: Instances in production under a marker, of all that are there or expected (M10).
        moments: What happened to the latest deployments, the latest first.
        unlisted: Deployments as late that are not in `moments` because there are too many.
    """

    as_of: int
    findings: dict[tuple[str, str, bool], int]
    instances: dict[str, int]
    running: list[Running]
    beyond: int
    shadowed: int
    covered: Proportion
    moments: list[Moment]
    unlisted: int


class BrokerCensus:
    """Counts from the views.

    Args:
        views: Their database.
        expectations: What is expected to run.
        most: Instances that are listed one by one.
    """

    def __init__(self, views: Views, expectations: Expectations, most: int = MAX_RUNNING) -> None:
        self._views = views
        self._expectations = expectations
        self._most = most

    def take(self) -> Census:
        """Count.

        Raises:
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        with self._views.reading() as connection:
            as_of = projected_size(connection, NAME)
            findings = _findings(connection)
            counted = _instances(connection)
            listed = _listed(connection, self._most)
            moments, unlisted = moments_of(connection)
        statuses = dict.fromkeys(STATUSES, 0)
        for row in counted:
            statuses[row.status] += row.amount
        running = _placed(listed)
        return Census(
            as_of=as_of,
            findings=findings,
            instances=statuses,
            running=running,
            beyond=sum(statuses.values()) - len(listed),
            shadowed=len(listed) - len(running),
            covered=self._covered(counted),
            moments=moments,
            unlisted=unlisted,
        )

    def _covered(self, counted: Sequence[Any]) -> Proportion:
        run, marked = _by_area(counted)
        total = sum(
            _present(expected, [(a[2], n) for a, n in run.items() if a[:2] == scope])
            for scope, expected in self._scopes(run)
            if is_production(scope[1])
        )
        return Proportion(sum(n for area, n in marked.items() if is_production(area[1])), total)

    def _scopes(
        self, run: Iterable[_Area]
    ) -> list[tuple[tuple[str, str], ExpectedEnvironment | None]]:
        expected: dict[tuple[str, str], ExpectedEnvironment | None] = {
            (service, environment): place
            for service, each in self._expectations.services.items()
            for environment, place in each.environments.items()
        }
        for area in run:
            expected.setdefault(area[:2], None)
        return list(expected.items())


def _findings(connection: Connection) -> dict[tuple[str, str, bool], int]:
    now_ms = select(CLOCK.c.now_ms).scalar_subquery()
    columns = (FINDING.c.code, FINDING.c.severity, FINDING.c.environment)
    statement = (
        select(*columns, func.count().label("amount"))
        .where(or_(FINDING.c.closed_ms.is_(None), FINDING.c.closed_ms > now_ms))
        .group_by(*columns)
    )
    found: dict[tuple[str, str, bool], int] = {}
    for row in connection.execute(statement):
        key = (row.code, row.severity, is_production(row.environment or ""))
        found[key] = found.get(key, 0) + row.amount
    return found


def _instances(connection: Connection) -> Sequence[Any]:
    """Count instances by scope, cluster, run and status; with whether the run was announced."""
    columns = (INSTANCE.c.service, INSTANCE.c.environment, INSTANCE.c.cluster)
    status = STATUS.label("status")
    groups = (
        select(*columns, MAIN.c.id, MAIN.c.number, status, func.count().label("amount"))
        .select_from(JOINED)
        .where(RUNNING)
        .group_by(*columns, MAIN.c.id, MAIN.c.number, status)
        .subquery()
    )
    same = and_(
        RUN.c.service == groups.c.service,
        RUN.c.environment == groups.c.environment,
        RUN.c.id == groups.c.id,
        RUN.c.kind_key == "",
        RUN.c.number == groups.c.number,
    )
    unplanned = type_coerce(RUN.c.document, JSON)["unplanned"].as_boolean().label("unplanned")
    return connection.execute(
        select(groups, unplanned).select_from(groups.outerjoin(RUN, same))
    ).all()


def _listed(connection: Connection, most: int) -> Sequence[Any]:
    """Return the newest instances, with the deployments that they are of."""
    place = ("cluster", "namespace", "instance", "uid")
    columns = [INSTANCE.c[name] for name in ("service", "environment", "track", *place, "first_ms")]
    statement = (
        select(*columns, MAIN.c.id, MAIN.c.number)
        .select_from(INSTANCE.outerjoin(MAIN, INSTANCE.c.main == MAIN.c.idx))
        .where(RUNNING)
        .order_by(INSTANCE.c.idx.desc(), INSTANCE.c.uid)
        .limit(most)
    )
    return connection.execute(statement).all()


def _placed(rows: Sequence[Any]) -> list[Running]:
    """Return one instance for each place: a join with two of one place would be refused."""
    newest: dict[tuple[str, str, str], Any] = {}
    for row in rows:
        place = (row.cluster or "", row.namespace or "", row.instance or row.uid)
        known = newest.get(place)
        if known is None or _age(known) < _age(row):
            newest[place] = row
    return [
        Running(
            row.id or "",
            "" if row.number is None else str(row.number),
            row.service,
            row.environment,
            row.track or "",
            *place,
        )
        for place, row in newest.items()
    ]


def _age(row: Any) -> tuple[int, str]:  # noqa: ANN401 - a row of `_listed`
    return row.first_ms or 0, row.uid


def _by_area(counted: Sequence[Any]) -> tuple[dict[_Area, int], dict[_Area, int]]:
    """Return how many instances run in each area, and how many of them under a marker."""
    run: dict[_Area, int] = {}
    marked: dict[_Area, int] = {}
    for row in counted:
        area = (row.service, row.environment, row.cluster)
        run[area] = run.get(area, 0) + row.amount
        # None: the instance belongs to no run, or to one that the view does not know.
        if row.status != _MISMATCHED and row.unplanned is not None and not row.unplanned:
            marked[area] = marked.get(area, 0) + row.amount
    return run, marked


def _present(expected: ExpectedEnvironment | None, run: Sequence[tuple[str | None, int]]) -> int:
    """Return how many instances run or are expected; by cluster where that is how it is said."""
    if expected is None or not isinstance(expected.instances, dict):
        return max(sum(count for _, count in run), (expected and expected.total) or 0)
    by_cluster: dict[str, int] = {}
    for cluster, count in run:
        by_cluster[cluster or ""] = count
    names = {*by_cluster, *expected.instances}
    return sum(max(by_cluster.get(n, 0), expected.instances.get(n, 0)) for n in names)
