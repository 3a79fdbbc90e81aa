"""Reads what the broker found out: deployments, instances, findings, coverage.

Above the tables, below the server. Each answer sees one commit of the views, and says which.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    and_,
    func,
    literal,
    or_,
    select,
    tuple_,
)

from deploymark.errors import NotFoundError
from deploymark.model.ids import deployment_id
from deploymark.model.vocabulary import FindingCode, Kind
from deploymark.projections.broker.documents import STATES, instant
from deploymark.projections.broker.findings import FindingRow, shown
from deploymark.projections.broker.questions import (
    AREAS,
    FINDING_STATES,
    STATUSES,
    CoverageQuery,
    DeploymentQuery,
    FindingQuery,
    InstanceQuery,
    Item,
    Items,
    check_words,
    instant_of,
    named,
)
from deploymark.projections.broker.running import JOINED, MAIN, RUNNING, STATUS
from deploymark.projections.broker.tables import ALIAS, CLOCK, FINDING, INSTANCE, RUN
from deploymark.projections.broker.view import NAME
from deploymark.projections.cursors import projected_size
from deploymark.projections.database import Views
from deploymark.projections.expectations import Expectations
from deploymark.projections.paging import check_limit, read_cursor, write_cursor

MAX_OCCURRENCES: Final = 64
"""Occurrences that are listed with a deployment."""

MAX_FINDINGS: Final = 64
"""Findings that are listed with a deployment, open ones first."""

_LATER = RUN.alias("later")
_RUN_KEY = (
    RUN.c.opened_ms,
    RUN.c.service,
    RUN.c.environment,
    RUN.c.id,
    RUN.c.kind_key,
    RUN.c.number,
)
_INSTANCE_KEY = (INSTANCE.c.service, INSTANCE.c.environment, INSTANCE.c.uid)


class BrokerQuery:
    """Answers questions from the views.

    Args:
        views: Their database.
        expectations: What is expected to run.
    """

    def __init__(self, views: Views, expectations: Expectations | None = None) -> None:
        self._views = views
        self._expectations = expectations or Expectations()

    def deployments(self, query: DeploymentQuery) -> Items:
        """Return deployments, the one that opened last first.

        Raises:
            QueryError: A filter, the limit or the cursor is not what it may be.
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        check_limit(query.limit)
        check_words("state", query.state, STATES)
        check_words("kind", query.kind, tuple(Kind))
        behind = read_cursor(query, query.cursor, len(_RUN_KEY))
        wanted: list[ColumnElement[bool]] = [~_has_later()]
        wanted += _among(query, (RUN.c.service, RUN.c.environment, RUN.c.kind, RUN.c.state))
        if (since_ms := instant_of("since", query.since)) is not None:
            wanted.append(RUN.c.opened_ms >= since_ms)
        if (until_ms := instant_of("until", query.until)) is not None:
            wanted.append(RUN.c.opened_ms < until_ms)
        if behind is not None:
            wanted.append(tuple_(*_RUN_KEY) < tuple_(*map(literal, behind)))
        order = [column.desc() for column in _RUN_KEY]
        statement = select(RUN).where(*wanted).order_by(*order).limit(query.limit + 1)
        with self._views.reading() as connection:
            rows = connection.execute(statement).all()
            more = len(rows) > query.limit
            rows = rows[: query.limit]
            items = self._items(connection, rows)
            as_of = projected_size(connection, NAME)
        key = [getattr(rows[-1], column.name) for column in _RUN_KEY] if more else None
        return Items(items, None if key is None else write_cursor(query, key), as_of)

    def deployment(self, name: str) -> Item:
        """Return one deployment, named by an id, an alias, or one occurrence of it (`id~2`).

        When several changes are known under the id, the one from which it follows comes first, then
        code; the others stand under `changes`.

        Raises:
            QueryError: The name is no id.
            NotFoundError: There is no such deployment or occurrence.
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        identity, number = named(name, "/id")
        with self._views.reading() as connection:
            wanted = RUN.c.id == identity
            rows = connection.execute(select(RUN).where(wanted).order_by(*_RUN_KEY)).all()
            if not rows:
                aliased = select(ALIAS.c.id).where(ALIAS.c.alias == identity)
                rows = connection.execute(
                    select(RUN).where(RUN.c.id.in_(aliased)).order_by(*_RUN_KEY)
                ).all()
            if not rows:
                raise NotFoundError(
                    f"No deployment {identity!r} is known.",
                    hint="`deploymark ls` lists the newest deployments.",
                )
            if number is not None:
                rows = [row for row in rows if row.number == number]
                if not rows:
                    raise NotFoundError(f"The deployment {identity} has no occurrence {number}.")
            latest: dict[tuple[str, str, str], Any] = {}
            for row in rows:
                line = (row.service, row.environment, row.kind_key)
                if line not in latest or latest[line].number < row.number:
                    latest[line] = row
            items = self._items(connection, list(latest.values()))
            items.sort(key=lambda item: (not _follows(item), item["kind"] != Kind.DEPLOYMENT))
            as_of = projected_size(connection, NAME)
        if len(items) > 1:
            items[0]["changes"] = items[1:]
        return items[0] | {"as_of": as_of}

    def findings(self, query: FindingQuery) -> Items:
        """Return findings, the one that opened last first; raises as `deployments` does."""
        check_limit(query.limit)
        check_words("state", (query.state,), FINDING_STATES)
        check_words("code", query.code, tuple(FindingCode))
        check_words("severity", query.severity, ("info", "warning", "critical"))
        columns = (FINDING.c.opened_ms, FINDING.c.id)
        behind = read_cursor(query, query.cursor, len(columns))
        wanted = _among(
            query, (FINDING.c.code, FINDING.c.severity, FINDING.c.service, FINDING.c.environment)
        )
        if behind is not None:
            wanted.append(tuple_(*columns) < tuple_(*map(literal, behind)))
        with self._views.reading() as connection:
            if query.deployment_id:
                names = self._names(connection, query.deployment_id)
                wanted.append(_about(names))
            now_ms = _now(connection)
            if query.state != "all":
                is_open = or_(FINDING.c.closed_ms.is_(None), FINDING.c.closed_ms > now_ms)
                wanted.append(is_open if query.state == "open" else ~is_open)
            order = [column.desc() for column in columns]
            statement = select(FINDING).where(*wanted).order_by(*order).limit(query.limit + 1)
            rows = [_finding(row) for row in connection.execute(statement)]
            as_of = projected_size(connection, NAME)
        more = len(rows) > query.limit
        rows = rows[: query.limit]
        cursor = write_cursor(query, [rows[-1].opened_ms, rows[-1].id]) if more else None
        return Items([shown(row, now_ms) for row in rows], cursor, as_of)

    def instances(self, query: InstanceQuery) -> Items:
        """Return instances that run, by service, environment and uid; raises as `deployments`."""
        check_limit(query.limit)
        check_words("status", query.status, STATUSES)
        behind = read_cursor(query, query.cursor, len(_INSTANCE_KEY))
        areas = ("service", "environment", "cluster", "region", "zone")
        wanted = [RUNNING, *_among(query, [INSTANCE.c[name] for name in areas])]
        if query.status:
            wanted.append(STATUS.in_(query.status))
        if behind is not None:
            wanted.append(tuple_(*_INSTANCE_KEY) > tuple_(*map(literal, behind)))
        columns = (
            *INSTANCE.columns,
            MAIN.c.id.label("deployment_id"),
            MAIN.c.number.label("occurrence"),
            MAIN.c.rule,
            STATUS.label("status"),
        )
        with self._views.reading() as connection:
            if query.deployment_id:
                names = self._names(connection, query.deployment_id)
                wanted.append(
                    or_(*[_of_run(MAIN, *each) for each in names]) if names else literal(0) == 1
                )
            statement = select(*columns).select_from(JOINED).where(*wanted)
            statement = statement.order_by(*_INSTANCE_KEY).limit(query.limit + 1)
            rows = connection.execute(statement).all()
            as_of = projected_size(connection, NAME)
        more = len(rows) > query.limit
        rows = rows[: query.limit]
        key = [rows[-1].service, rows[-1].environment, rows[-1].uid] if more else None
        cursor = None if key is None else write_cursor(query, key)
        return Items([_instance(row) for row in rows], cursor, as_of)

    def coverage(self, query: CoverageQuery) -> Items:
        """Return how many instances run what they should, by service, environment and area.

        One item for each area that is expected or has instances; it is not paged.

        Raises:
            QueryError: A filter is not what it may be.
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        check_words("by", (query.by,), AREAS)
        wanted = _among(query, (INSTANCE.c.service, INSTANCE.c.environment))
        with self._views.reading() as connection:
            counted = _count(connection, wanted)
            as_of = projected_size(connection, NAME)
        areas: dict[tuple[str, str, str | None], dict[str, int]] = {}
        for row in counted:
            area = None if query.by == "environment" else getattr(row, query.by)
            sums = areas.setdefault((row.service, row.environment, area), _nothing())
            sums[row.status] += row.count
        for service, expected in self._expectations.services.items():
            for environment, place in expected.environments.items():
                if (query.service and service not in query.service) or (
                    query.environment and environment not in query.environment
                ):
                    continue
                clusters = place.clusters if query.by == "cluster" else (None,)
                for cluster in clusters or (None,):
                    if query.by in ("cluster", "environment") and not (
                        query.by == "cluster" and cluster is None
                    ):
                        areas.setdefault((service, environment, cluster), _nothing())
        items = [
            {
                "service": service,
                "environment": environment,
                query.by: environment if query.by == "environment" else area,
                "expected": self._expected(service, environment, query.by, area),
                **sums,
            }
            for (service, environment, area), sums in sorted(
                areas.items(), key=lambda each: [part or "" for part in each[0]]
            )
        ]
        return Items(items, None, as_of)

    # Parts --------------------------------------------------------------------------------

    def _expected(self, service: str, environment: str, by: str, area: str | None) -> int | None:
        expected = self._expectations.environment(service, environment)
        if expected is None:
            return None
        if by == "cluster":
            return expected.of_cluster(area)
        return expected.total if by == "environment" else None

    def _items(self, connection: Connection, rows: Sequence[Any]) -> list[Item]:
        """Return runs with all that belongs to them: as many questions for a page as for one."""
        occurrences = _occurrences_of(connection, rows)
        findings = _findings_of(connection, rows)
        counted = _counted_of(connection, rows)
        items = []
        for row in rows:
            item: Item = json.loads(row.document)
            item["occurrences"] = occurrences[_change_of(row)]
            item["findings"] = findings[row.id, row.number]
            item["coverage"] = self._coverage_of(
                row, counted[_run_of(row)] if row.kind_key == "" else []
            )
            items.append(item | {"verdicts": [], "decisions": []})
        return items

    def _coverage_of(self, row: Any, counted: Sequence[Any]) -> Item:  # noqa: ANN401 - a row
        expected = self._expectations.environment(row.service, row.environment)
        standing = expected is not None and row.ended_ms is None
        by: dict[tuple[str | None, str | None, str | None], dict[str, int]] = {}
        for each in counted:
            sums = by.setdefault((each.cluster, each.region, each.zone), _nothing())
            sums[each.status] += each.count
        if standing and expected is not None:
            for cluster in expected.clusters:
                if not any(area[0] == cluster for area in by):
                    by[cluster, None, None] = _nothing()
        total = _nothing()
        for sums in by.values():
            for status, count in sums.items():
                total[status] += count
        return {
            "expected": expected.total if standing and expected is not None else None,
            **total,
            "by": [
                {
                    "cluster": area[0],
                    "region": area[1],
                    "zone": area[2],
                    "expected": expected.of_cluster(area[0]) if standing and expected else None,
                    **sums,
                }
                for area, sums in sorted(by.items(), key=lambda e: [part or "" for part in e[0]])
            ],
        }

    def _names(self, connection: Connection, texts: Sequence[str]) -> list[tuple[str, int | None]]:
        """Return the ids that a query means, aliases resolved."""
        found: list[tuple[str, int | None]] = []
        for text in texts:
            identity, number = named(text)
            rows = connection.scalars(select(ALIAS.c.id).where(ALIAS.c.alias == identity)).all()
            found += [(each, number) for each in (identity, *rows)]
        return found


def _among(query: Struct, columns: Sequence[Column[Any]]) -> list[ColumnElement[bool]]:
    """Return the filters of a query that name values of these columns."""
    return [column.in_(values) for column in columns if (values := getattr(query, column.name))]


def _follows(item: Item) -> bool:
    """Tell whether a deployment's id follows from what is known of it, and was not only given."""
    subjects = (
        item["digest"],
        item["commit_hash"] and f"commit:{item['commit_hash']}",
        item["version"] and f"version:{item['version']}",
    )
    scope = (item["service"], item["environment"])
    own = {deployment_id(*scope, each, item["action"] or "") for each in subjects if each}
    return item["deployment_id"] in own


def _has_later() -> ColumnElement[bool]:
    same = [RUN.c[name] == _LATER.c[name] for name in ("service", "environment", "id", "kind_key")]
    return select(_LATER.c.number).where(*same, _LATER.c.number > RUN.c.number).exists()


def _change_of(row: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a row of RUN
    return (row.service, row.environment, row.id, row.kind_key)


def _run_of(row: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a row that names a run
    return (row.service, row.environment, row.id, row.number)


def _occurrences_of(
    connection: Connection, rows: Sequence[Any]
) -> dict[tuple[Any, ...], list[Item]]:
    """Return the newest occurrences of each change, the oldest of them first."""
    change = (RUN.c.service, RUN.c.environment, RUN.c.id, RUN.c.kind_key)
    place = func.row_number().over(partition_by=change, order_by=RUN.c.number.desc())
    columns = (*change, RUN.c.number, RUN.c.state, RUN.c.opened_ms, RUN.c.live_ms, RUN.c.ended_ms)
    wanted = RUN.c.id.in_({row.id for row in rows})
    every = select(*columns, place.label("place")).where(wanted).subquery()
    newest = select(every).where(every.c.place <= MAX_OCCURRENCES).order_by(every.c.number)
    found: dict[tuple[Any, ...], list[Item]] = {_change_of(row): [] for row in rows}
    for each in connection.execute(newest):
        if (change_of := _change_of(each)) in found:
            occurrence = {
                "occurrence": each.number,
                "state": each.state,
                "opened_at": instant(each.opened_ms),
                "live_at": instant(each.live_ms),
                "ended_at": instant(each.ended_ms),
            }
            found[change_of].append(occurrence)
    return found


def _findings_of(connection: Connection, rows: Sequence[Any]) -> dict[tuple[str, int], list[Item]]:
    """Return the findings of each occurrence, by its id and number: open ones first, then new."""
    names = {(row.id, row.number): (row.id, f"{row.id}~{row.number}") for row in rows}
    order = (FINDING.c.closed_ms.is_not(None), FINDING.c.opened_ms.desc(), FINDING.c.id)
    place = func.row_number().over(partition_by=FINDING.c.deployment_id, order_by=order)
    wanted = FINDING.c.deployment_id.in_({name for pair in names.values() for name in pair})
    every = select(FINDING, place.label("place")).where(wanted).subquery()
    first = select(*[every.c[column.name] for column in FINDING.columns])
    by_name: dict[str | None, list[FindingRow]] = {}
    for row in map(_finding, connection.execute(first.where(every.c.place <= MAX_FINDINGS))):
        by_name.setdefault(row.deployment_id, []).append(row)
    now_ms = _now(connection)
    found = {}
    for key, pair in names.items():
        mine = [row for name in pair for row in by_name.get(name, ())]
        mine.sort(key=lambda row: (row.closed_ms is not None, -row.opened_ms, row.id))
        found[key] = [shown(row, now_ms) for row in mine[:MAX_FINDINGS]]
    return found


def _counted_of(connection: Connection, rows: Sequence[Any]) -> dict[tuple[Any, ...], list[Any]]:
    """Count the instances of each run of code."""
    found: dict[tuple[Any, ...], list[Any]] = {_run_of(row): [] for row in rows}
    run = (MAIN.c.id, MAIN.c.number)
    for each in _count(connection, [MAIN.c.id.in_({row.id for row in rows})], run):
        if (run_of := _run_of(each)) in found:
            found[run_of].append(each)
    return found


def _of_run(group: Any, identity: str, number: int | None) -> ColumnElement[bool]:  # noqa: ANN401
    same: ColumnElement[bool] = group.c.id == identity
    return same if number is None else and_(same, group.c.number == number)


def _about(names: Sequence[tuple[str, int | None]]) -> ColumnElement[bool]:
    wanted: list[ColumnElement[bool]] = []
    for identity, number in names:
        if number is not None:
            wanted.append(FINDING.c.deployment_id == f"{identity}~{number}")
        else:
            low, high = f"{identity}~", f"{identity}\x7f"
            wanted.append(FINDING.c.deployment_id.between(low, high))
            wanted.append(FINDING.c.deployment_id == identity)
    return or_(*wanted)


def _count(
    connection: Connection,
    wanted: Sequence[ColumnElement[bool]],
    apart: Sequence[Column[Any]] = (),
) -> Sequence[Any]:
    """Count instances by where they are and what is known of them: groups first, joins after."""
    status = STATUS.label("status")
    areas = (INSTANCE.c.service, INSTANCE.c.environment, INSTANCE.c.cluster, INSTANCE.c.region)
    columns = (*areas, INSTANCE.c.zone, *apart, status)
    statement = (
        select(*columns, func.count().label("count"))
        .select_from(JOINED)
        .where(RUNNING, *wanted)
        .group_by(*columns)
    )
    return connection.execute(statement).all()


def _nothing() -> dict[str, int]:
    return dict.fromkeys(STATUSES, 0)


def _now(connection: Connection) -> int:
    return connection.scalar(select(CLOCK.c.now_ms)) or 0


def _finding(row: Any) -> FindingRow:  # noqa: ANN401 - a row of FINDING
    return FindingRow._make([*row[:-1], json.loads(row.document)])


def _instance(row: Any) -> Item:  # noqa: ANN401 - a row of the statement
    names = ("service", "environment", "instance", "cluster", "region", "zone", "node")
    return {
        "instance_uid": row.uid,
        **{name: getattr(row, name) for name in (*names, "namespace", "workload", "track")},
        "deployment_id": row.deployment_id,
        "occurrence": row.occurrence,
        "rule": row.rule,
        "status": row.status,
        "digest": row.digest,
        "basis": row.basis,
        "first_at": instant(row.first_ms),
        "last_at": instant(row.last_ms),
        "index": row.idx,
    }
