"""Reads what the broker found out: deployments, instances, findings, coverage.

Above the tables, below the server. Each answer sees one commit of the views, and says which.
"""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    and_,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
)

from deploymark.errors import NotFoundError
from deploymark.model.ids import deployment_id, format_occurrence
from deploymark.model.vocabulary import FindingCode, Kind
from deploymark.projections.broker.corrected import (
    Corrections,
    corrections_about,
    first_said,
)
from deploymark.projections.broker.documents import STATES, instant
from deploymark.projections.broker.findings import finding_of, shown
from deploymark.projections.broker.proving import in_states
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
from deploymark.projections.broker.tables import ALIAS, FINDING, INSTANCE, RUN
from deploymark.projections.broker.view import NAME
from deploymark.projections.broker.whole_runs import (
    count_instances,
    no_instances,
    now_of,
    whole_runs,
)
from deploymark.projections.cursors import projected_size
from deploymark.projections.database import Views
from deploymark.projections.expectations import Expectations
from deploymark.projections.paging import check_limit, read_cursor, write_cursor

MAX_CHANGES: Final = 64
"""Further changes that are shown under an id that several were given, the newest."""

_LATER = RUN.alias("later")
_RUN_KEY = (
    RUN.c.opened_ms,
    RUN.c.service,
    RUN.c.environment,
    RUN.c.id,
    RUN.c.kind_key,
    RUN.c.number,
)
_Area = tuple[str, str, str | None]
_AREA_KEY = ("service", "environment", "area")
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
        wanted += _among(query, (RUN.c.service, RUN.c.environment, RUN.c.kind))
        if query.state:
            wanted.append(in_states(query.state))
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
            items = whole_runs(connection, self._expectations, rows)
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
            runs = sorted(latest.values(), key=lambda row: (row.kind_key != "", -row.opened_ms))
            items = whole_runs(connection, self._expectations, runs[: MAX_CHANGES + 1])
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
            now_ms = now_of(connection)
            if query.state != "all":
                is_open = or_(FINDING.c.closed_ms.is_(None), FINDING.c.closed_ms > now_ms)
                wanted.append(is_open if query.state == "open" else ~is_open)
            # The few that are open are found by that: in the order of time, all would be read.
            unordered = FINDING.c.opened_ms + literal_column("0")
            time = unordered if query.state == "open" else FINDING.c.opened_ms
            order = (time.desc(), FINDING.c.id.desc())
            statement = select(FINDING).where(*wanted).order_by(*order).limit(query.limit + 1)
            rows = [finding_of(row) for row in connection.execute(statement)]
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

        One item for each area that is expected or has instances.

        Raises:
            QueryError: A filter, the limit or the cursor is not what it may be.
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        check_limit(query.limit)
        check_words("by", (query.by,), AREAS)
        behind = read_cursor(query, query.cursor, len(_AREA_KEY))
        wanted = _among(query, (INSTANCE.c.service, INSTANCE.c.environment))
        with self._views.reading() as connection:
            counted = count_instances(connection, wanted)
            as_of = projected_size(connection, NAME)
        areas: dict[_Area, dict[str, int]] = {}
        for row in counted:
            area = None if query.by == "environment" else getattr(row, query.by)
            sums = areas.setdefault((row.service, row.environment, area), no_instances())
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
                        areas.setdefault((service, environment, cluster), no_instances())
        page = [
            each
            for each in sorted(areas.items(), key=_place_of)
            if behind is None or _place_of(each) > behind
        ]
        items = [
            {
                "service": service,
                "environment": environment,
                query.by: environment if query.by == "environment" else area,
                "expected": self._expected(service, environment, query.by, area),
                **sums,
            }
            for (service, environment, area), sums in page[: query.limit]
        ]
        more = len(page) > query.limit
        key = _place_of(page[query.limit - 1]) if more else None
        return Items(items, None if key is None else write_cursor(query, key), as_of)

    def corrections(self, indexes: Sequence[int]) -> dict[int, Corrections]:
        """Return what was corrected of these entries, by index; the others are left out.

        Raises:
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        with self._views.reading() as connection:
            return corrections_about(connection, indexes)

    # Parts --------------------------------------------------------------------------------

    def _expected(self, service: str, environment: str, by: str, area: str | None) -> int | None:
        expected = self._expectations.environment(service, environment)
        if expected is None:
            return None
        if by == "cluster":
            return expected.of_cluster(area)
        return expected.total if by == "environment" else None

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
    commit, version = first_said(item, "commit_hash"), first_said(item, "version")
    subjects = (item["digest"], commit and f"commit:{commit}", version and f"version:{version}")
    scope = (item["service"], item["environment"])
    own = {deployment_id(*scope, each, item["action"] or "") for each in subjects if each}
    return item["deployment_id"] in own


def _has_later() -> ColumnElement[bool]:
    same = [RUN.c[name] == _LATER.c[name] for name in ("service", "environment", "id", "kind_key")]
    return select(_LATER.c.number).where(*same, _LATER.c.number > RUN.c.number).exists()


def _of_run(group: Any, identity: str, number: int | None) -> ColumnElement[bool]:  # noqa: ANN401
    same: ColumnElement[bool] = group.c.id == identity
    return same if number is None else and_(same, group.c.number == number)


def _about(names: Sequence[tuple[str, int | None]]) -> ColumnElement[bool]:
    wanted: list[ColumnElement[bool]] = []
    for identity, number in names:
        if number is not None:
            wanted.append(FINDING.c.deployment_id == format_occurrence(identity, number))
        else:
            low, high = f"{identity}~", f"{identity}\x7f"
            wanted.append(FINDING.c.deployment_id.between(low, high))
            wanted.append(FINDING.c.deployment_id == identity)
    return or_(*wanted)


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


def _place_of(area: tuple[_Area, dict[str, int]]) -> list[str]:
    """Return where an area stands in the order of coverage; what names none stands first."""
    return [part or "" for part in area[0]]
