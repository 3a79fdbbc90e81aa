"""The list of deployments: a window, a filter, a page of it."""

from msgspec.structs import replace

from deploymark.projections.broker.shown_state import ShownState
from deploymark.projections.paging import DEFAULT_LIMIT, check_limit
from deploymark.server.pages.asked import Asked
from deploymark.server.pages.chips import Bench, rolling_of
from deploymark.server.pages.shapes import Range, StateCount
from deploymark.server.pages.shapes_deployment import Deployments


def deployments(asked: Asked) -> Deployments:
    """Return the page.

    Raises:
        RequestError, QueryError: Window, filter, limit or cursor are none.
        StoreUnavailableError: The views are being built, or a medium refuses.
    """
    window, chosen = asked.window(Range.WEEK), asked.filter()
    limit = asked.parameters.get("limit", DEFAULT_LIMIT)
    check_limit(limit)
    query = chosen.query(window.since_ms, asked.until_ms(window), limit)
    counts, store_total = asked.sources.marks.counts(query)
    # The window moves with the time; a cursor belongs to the filter, and stays where it was.
    paged = replace(query, cursor=asked.parameters.get("cursor"))
    found = asked.sources.marks.listed(paged)
    bench = Bench(asked, rolling_of(asked))
    return Deployments(
        **asked.head(found.as_of),
        window=window,
        filter=chosen.shown(),
        items=bench.chips(found.rows),
        total=sum(counts.values()),
        store_total=store_total,
        counts=[StateCount(s, counts[s]) for s in ShownState if counts.get(s)],
        next_cursor=found.next_cursor,
    )
