"""Two deployments side by side."""

from deploymark.errors import NotFoundError
from deploymark.projections.broker.marks import MarkRow
from deploymark.projections.broker.marks_query import MarkQuery
from deploymark.server.pages.asked import Asked
from deploymark.server.pages.chips import Bench, mark_id, rolling_of
from deploymark.server.pages.comparing import differing
from deploymark.server.pages.evidence import counts_of
from deploymark.server.pages.measuring import red_of
from deploymark.server.pages.selection import run_of, selection
from deploymark.server.pages.shapes import Chip
from deploymark.server.pages.shapes_deployment import Compare

BETWEEN = 20


def compare(asked: Asked) -> Compare:
    """Return the page.

    Raises:
        NotFoundError: The address does not name two deployments that are known.
        QueryError: One of them is no id.
        StoreUnavailableError: The views are being built, or a medium refuses.
    """
    first, dots, second = asked.parameters["pair"].partition("..")
    if not dots or not first or not second:
        raise NotFoundError(
            "The address names no two deployments.", hint="Write /compare/d-…~1..d-…~1."
        )
    (item_a, mark_a), (item_b, mark_b) = run_of(asked, first), run_of(asked, second)
    bench = Bench(asked, rolling_of(asked))
    a, b = (
        selection(asked, bench, item_a, mark_a),
        selection(asked, bench, item_b, mark_b),
    )
    red_a, red_b = red_of(asked, item_a), red_of(asked, item_b)
    if red_a is None or red_b is None:
        asked.miss(
            "red",
            "No requests of its own instances are kept for one of them: send OpenTelemetry whose"
            " resources carry `deployment.id` to this server.",
        )
    between, total = _between(asked, bench, mark_a, mark_b)
    return Compare(
        **asked.head(min(item_a["as_of"], item_b["as_of"])),
        a=a,
        b=b,
        same_service=mark_a[:2] == mark_b[:2],
        fields=differing(item_a, item_b),
        red_a=red_a,
        red_b=red_b,
        delta_a=a.chip.delta,
        delta_b=b.chip.delta,
        instances_a=counts_of(item_a["coverage"]),
        instances_b=counts_of(item_b["coverage"]),
        between=between,
        between_total=total,
    )


def _between(asked: Asked, bench: Bench, a: MarkRow, b: MarkRow) -> tuple[list[Chip], int]:
    """Return what was deployed of the same service between two deployments of it."""
    if a[:2] != b[:2]:
        return [], 0
    since_ms, until_ms = sorted((a.at_ms, b.at_ms))
    query = MarkQuery(
        service=(a.service,),
        environment=(a.environment,),
        since_ms=since_ms,
        until_ms=until_ms + 1,
        limit=BETWEEN + 2,
    )
    ends = {mark_id(a), mark_id(b)}
    found = asked.sources.marks.listed(query)
    rows = [mark for mark in found.rows if mark_id(mark) not in ends]
    counts, _ = asked.sources.marks.counts(query)
    return bench.chips(rows[:BETWEEN]), max(0, sum(counts.values()) - len(ends))
