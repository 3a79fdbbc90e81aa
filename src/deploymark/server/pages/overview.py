"""All services with what was deployed last, and one service with its history."""

from msgspec.structs import replace

from deploymark.errors import NotFoundError
from deploymark.projections.broker.marks_query import MarkQuery
from deploymark.projections.broker.shown_state import RANK, ShownState
from deploymark.projections.paging import DEFAULT_LIMIT, check_limit
from deploymark.server.pages.asked import Asked
from deploymark.server.pages.chips import Bench, rolling_of
from deploymark.server.pages.measures import measured, measures_of
from deploymark.server.pages.shapes import Chip, Range, StateCount
from deploymark.server.pages.shapes_overview import (
    ServiceLine,
    ServicePage,
    Services,
)

_SHOWN = 64


def services(asked: Asked) -> Services:
    """Return all services, by name.

    Raises:
        RequestError, QueryError: Filter, limit or cursor are none.
        StoreUnavailableError: The views are being built, or their medium refuses.
    """
    chosen = asked.filter()
    limit = asked.parameters.get("limit", DEFAULT_LIMIT)
    check_limit(limit)
    query = replace(chosen.query(0, asked.now_ms, limit), cursor=asked.parameters.get("cursor"))
    names, total, cursor = asked.sources.marks.services(query)
    newest = asked.sources.marks.newest(names, query.environment)
    bench = Bench(asked, rolling_of(asked))
    by: dict[str, list[Chip]] = {name: [] for name in names}
    for chip in bench.chips(newest):
        by[chip.service].append(chip)
    return Services(
        **asked.head(asked.parts.runner.position()),
        filter=chosen.shown(),
        items=[_line(asked, name, by[name]) for name in names],
        total=total,
        next_cursor=cursor,
        measures=[measured(item) for item in measures_of(asked)],
    )


def _line(asked: Asked, name: str, newest: list[Chip]) -> ServiceLine:
    worst = min((chip.state for chip in newest), key=lambda s: RANK[s], default=ShownState.UNKNOWN)
    return ServiceLine(name, worst, _owner(asked, name, newest), newest)


def _owner(asked: Asked, name: str, newest: list[Chip]) -> str | None:
    expected = asked.sources.expectations.services.get(name)
    if expected is not None and expected.owner:
        return expected.owner
    return next((chip.owner for chip in newest if chip.owner), None)


def service(asked: Asked) -> ServicePage:
    """Return one service and its history.

    Raises:
        NotFoundError: Nothing was ever deployed of it.
        RequestError, QueryError: Window, limit or cursor are none.
        StoreUnavailableError: The views are being built, or their medium refuses.
    """
    name = asked.parameters["service"]
    window = asked.window(Range.WEEK)
    limit = asked.parameters.get("limit", DEFAULT_LIMIT)
    check_limit(limit)
    query = MarkQuery(
        service=(name,), since_ms=window.since_ms, until_ms=asked.until_ms(window), limit=limit
    )
    newest = asked.sources.marks.newest([name])
    counts, _ = asked.sources.marks.counts(query)
    if not newest and not counts:
        raise NotFoundError(
            f"Nothing was ever deployed of a service {name[:_SHOWN]!r}.",
            hint="/services lists those that are known.",
        )
    found = asked.sources.marks.listed(replace(query, cursor=asked.parameters.get("cursor")))
    bench = Bench(asked, rolling_of(asked))
    bench.read([*newest, *found.rows])
    chips = [bench.chip(mark, deltas=True) for mark in newest]
    return ServicePage(
        **asked.head(found.as_of),
        service=name,
        window=window,
        owner=_owner(asked, name, chips),
        newest=chips,
        counts=[StateCount(s, counts[s]) for s in ShownState if counts.get(s)],
        items=bench.chips(found.rows),
        total=sum(counts.values()),
        next_cursor=found.next_cursor,
    )
