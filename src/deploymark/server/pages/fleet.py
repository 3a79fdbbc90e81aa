"""Which service runs what in which cluster."""

from deploymark.projections.broker.fleet_query import CellKey, FleetPage, FleetQuery, Running
from deploymark.projections.broker.marks import MarkRow
from deploymark.projections.broker.whole_runs import no_instances
from deploymark.projections.paging import DEFAULT_LIMIT, check_limit
from deploymark.server.pages.asked import Asked
from deploymark.server.pages.chips import Rolling, mark_id, rolling_of, standing_of
from deploymark.server.pages.events import HEARD, Silence, silent_places
from deploymark.server.pages.filtering import TEXT
from deploymark.server.pages.shapes_overview import Cell, Fleet, FleetCluster, FleetRow


def fleet(asked: Asked) -> Fleet:
    """Return the page.

    Raises:
        RequestError, QueryError: Filter, limit or cursor are none.
        StoreUnavailableError: The views are being built, or their medium refuses.
    """
    chosen = asked.filter()
    limit = asked.parameters.get("limit", DEFAULT_LIMIT)
    check_limit(limit)
    query = FleetQuery(
        service=chosen.values("service"),
        environment=chosen.values("environment"),
        text=chosen.values(TEXT),
        cluster=chosen.values("cluster"),
        limit=limit,
        cursor=asked.parameters.get("cursor"),
    )
    found = asked.sources.fleet.page(query)
    clusters = _clusters(asked, found, chosen.values("cluster"))
    known = _named(asked, found)
    rolling = rolling_of(asked)
    rows = [
        FleetRow(*scope, _cells(asked, found, scope, clusters, known, rolling))
        for scope in found.scopes
    ]
    silent = silent_places(asked.sources.book.findings().items)
    sums = no_instances()
    for row in rows:
        for cell in row.cells:
            sums["confirmed"] += cell.confirmed
            sums["unproven"] += cell.unproven
            sums["mismatched"] += cell.mismatched
    if not any(sums.values()):
        asked.miss(
            "rows",
            "No instance was seen: let an observer look (`deploymark observe`), or let instances"
            " confirm themselves.",
        )
    return Fleet(
        **asked.head(found.as_of),
        filter=chosen.shown(),
        clusters=[_column(name, silent.get(name, HEARD)) for name in clusters],
        rows=rows,
        total=found.total,
        next_cursor=found.next_cursor,
        confirmed=sums["confirmed"],
        unproven=sums["unproven"],
        mismatched=sums["mismatched"],
    )


def _clusters(asked: Asked, found: FleetPage, wanted: tuple[str, ...]) -> list[str]:
    names = {key.cluster for key in (*found.running, *found.standing)}
    for service, environment in found.scopes:
        expected = asked.sources.expectations.environment(service, environment)
        names |= set() if expected is None else set(expected.clusters)
    return sorted(name for name in names if not wanted or name in wanted)


_Known = dict[tuple[str, str, str, int], MarkRow]


def _named(asked: Asked, found: FleetPage) -> _Known:
    """Return how the deployments that run are drawn."""
    names = {
        (key.service, key.environment, *run)
        for key, cell in found.running.items()
        for run in cell.runs
    }
    marks = asked.sources.marks.named(sorted(names))
    return {(mark.service, mark.environment, mark.id, mark.number): mark for mark in marks}


def _cells(
    asked: Asked,
    found: FleetPage,
    scope: tuple[str, str],
    clusters: list[str],
    known: _Known,
    rolling: Rolling,
) -> list[Cell]:
    cells = []
    expected = asked.sources.expectations.environment(*scope)
    for place, cluster in enumerate(clusters):
        key = CellKey(*scope, cluster)
        running = found.running.get(key, Running(no_instances(), {}))
        standing = found.standing.get(key, [])
        should = expected is not None and cluster in expected.clusters
        if not (any(running.statuses.values()) or standing or should):
            continue
        most = max(running.runs, key=lambda run: (running.runs[run], run), default=None)
        mark = None if most is None else known.get((*scope, *most))
        mark = mark or next(iter(standing), None)
        cells.append(
            Cell(
                cluster=place,
                id=None if mark is None else mark_id(mark),
                version=None if mark is None else mark.version,
                state=None if mark is None else standing_of(mark, rolling)[0],
                versions=len(running.runs) or min(1, len(standing)),
                expected=None if expected is None else expected.of_cluster(cluster),
                confirmed=running.statuses["confirmed"],
                unproven=running.statuses["unproven"],
                mismatched=running.statuses["mismatched"],
            )
        )
    return cells


def _column(name: str, silence: Silence) -> FleetCluster:
    return FleetCluster(name, silence.since_at, list(silence.services))
