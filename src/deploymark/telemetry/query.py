"""What can be asked: raw counts for the judge, and the same for people, a page at a time.

A request is counted once: while the metrics of an instance cover a protocol, what its spans say
about the same time is left out (`requests_of`). Protocols are never added up.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from deploymark.errors import QueryError
from deploymark.model.instants import format_instant
from deploymark.ports import (
    Counted,
    CountKey,
    Excerpt,
    Gauged,
    GaugeKey,
    Marked,
    MarkedKey,
    Measured,
    Place,
    TelemetryQuery,
    TelemetryStore,
    TraceNote,
)
from deploymark.telemetry.limits import BUCKET_SECONDS, MEASURED_SECONDS, PAGE_ROWS
from deploymark.telemetry.pending import SPAN, together

_MS: Final = 1_000
_ITEMS: Final = 200
_US_PER_MS: Final = 1_000


class Page(NamedTuple):
    """Some of what was asked for.

    Attributes:
        items: In order.
        next_since_s: Ask again with this `since_s` for what follows; None when it is complete.
    """

    items: list[dict[str, Any]]
    next_since_s: int | None = None


def requests_of(
    rows: Iterable[tuple[CountKey, Counted]],
    measured: Iterable[Measured],
    bucket_seconds: int = BUCKET_SECONDS,
) -> list[tuple[CountKey, Counted]]:
    """Return counts without those of spans that metrics count as well."""
    covered = {(each.place, each.protocol): each for each in measured}
    found = []
    for key, counted in rows:
        if key.origin == SPAN:
            cover = covered.get((key.place, key.protocol))
            until_s = 0 if cover is None else cover.until_s + MEASURED_SECONDS
            if (
                cover is not None
                and cover.since_s <= key.bucket_s + bucket_seconds - 1
                and (key.bucket_s <= until_s)
            ):
                continue
        found.append((key, counted))
    return found


def combined(
    rows: Iterable[tuple[CountKey, Counted]], step_s: int, *, by_instance: bool
) -> list[tuple[CountKey, Counted]]:
    """Return counts of longer buckets, or of whole deployments; exact, on common bounds.

    Args:
        rows: What to add up, ordered by bucket.
        step_s: Length of the new buckets, a multiple of the old ones'.
        by_instance: Keep instances apart; otherwise the instance is "".
    """
    found: dict[CountKey, Counted] = {}
    for key, counted in rows:
        place = key.place if by_instance else key.place._replace(instance="")
        bucket_s = key.bucket_s - key.bucket_s % step_s
        joined = CountKey(place, bucket_s, key.protocol, key.origin)
        known = found.get(joined)
        found[joined] = counted if known is None else together(known, counted)
    return sorted(found.items())


class TelemetryReader:
    """Answers questions; every method waits for the disk.

    Args:
        store: What is kept.
        page_rows: Rows of counts that one answer reads at most.
        bucket_seconds: What is counted together.
    """

    def __init__(
        self,
        store: TelemetryStore,
        page_rows: int = PAGE_ROWS,
        bucket_seconds: int = BUCKET_SECONDS,
    ) -> None:
        self._store = store
        self._page_rows = page_rows
        self._bucket_seconds = bucket_seconds

    def requests(self, query: TelemetryQuery) -> tuple[list[tuple[CountKey, Counted]], int | None]:
        """Return requests by bucket and instance, whole buckets only.

        Returns:
            The counts, by bucket, and the beginning of the first bucket that is left out.

        Raises:
            StoreUnavailableError: The store refuses.
            QueryError: One bucket alone has more rows than one answer may read.
        """
        rows = self._store.counts(query, self._page_rows + 1)
        rows, next_s = _whole_buckets(rows, self._page_rows)
        return requests_of(rows, self._store.measured(query), self._bucket_seconds), next_s

    def gauges(self, query: TelemetryQuery) -> tuple[list[tuple[GaugeKey, Gauged]], int | None]:
        """Return gauges by bucket and instance; as `requests`."""
        return _whole_buckets(self._store.gauges(query, self._page_rows + 1), self._page_rows)

    def first_seen(self, query: TelemetryQuery) -> list[tuple[Place, int]]:
        """Return of each instance the earliest bucket in which it was heard, whenever that was."""
        return self._store.first_seen(query)

    def red(self, query: TelemetryQuery, step_s: int, *, by_instance: bool) -> Page:
        """Return requests, errors and latencies, as plain values."""
        query = query._replace(since_s=query.since_s - query.since_s % step_s)
        rows, next_s = _whole_steps(*self.requests(query), step_s)
        found = combined(rows, step_s, by_instance=by_instance)
        return Page([_red_item(key, counted, step_s) for key, counted in found], next_s)

    def marked(self, query: TelemetryQuery, step_s: int) -> Page:
        """Return how many spans carried a deployment id (M8), as plain values."""
        query = query._replace(since_s=query.since_s - query.since_s % step_s)
        rows = self._store.marked(query, step_s, self._page_rows + 1)
        rows, next_s = _whole_buckets(rows, self._page_rows)
        return Page([_marked_item(key, counted, step_s) for key, counted in rows], next_s)

    def traces(self, query: TelemetryQuery, limit: int = _ITEMS) -> Page:
        """Return slow and failing traces, newest minute first, as plain values."""
        return Page([_trace_item(each) for each in self._store.traces(query, limit)])

    def logs(self, query: TelemetryQuery, limit: int = _ITEMS) -> Page:
        """Return log excerpts, newest minute first, as plain values."""
        return Page([_log_item(each) for each in self._store.excerpts(query, limit)])


def _whole_buckets(rows: list[Any], limit: int) -> tuple[list[Any], int | None]:
    if len(rows) <= limit:
        return rows, None
    last_s = rows[-1][0].bucket_s
    whole = [row for row in rows if row[0].bucket_s < last_s]
    if not whole:
        raise QueryError(
            f"The bucket of {_instant(last_s)} has more than {limit} rows.",
            hint="Ask for one service or deployment.",
        )
    return whole, last_s


def _whole_steps(rows: list[Any], next_s: int | None, step_s: int) -> tuple[list[Any], int | None]:
    """End a page at the edge of a step, so that no step is told in two pieces."""
    if next_s is None:
        return rows, None
    edge_s = next_s - next_s % step_s
    whole = [row for row in rows if row[0].bucket_s < edge_s]
    if not whole:
        raise QueryError(
            f"One step of {step_s} seconds has more rows than one answer may read.",
            hint="Ask for one service or deployment, or for a shorter step.",
            field="/step",
        )
    return whole, edge_s


def _instant(seconds: int) -> str:
    return format_instant(seconds * _MS)


def _place(place: Place) -> dict[str, Any]:
    return {
        "service": place.service,
        "environment": place.environment,
        "deployment_id": place.deployment or None,
        "instance_uid": place.instance or None,
    }


def _red_item(key: CountKey, counted: Counted, step_s: int) -> dict[str, Any]:
    latency = counted.latency
    return {
        "at": _instant(key.bucket_s),
        "seconds": step_s,
        **_place(key.place),
        "protocol": key.protocol,
        "from": key.origin,
        "since": _instant(counted.since_s),
        "requests": counted.requests,
        "errors": counted.errors,
        "seen": counted.seen,
        "latency": {
            "bounds": latency.bounds,
            "counts": latency.counts,
            "seconds": latency.seconds,
        },
    }


def _marked_item(key: MarkedKey, counted: Marked, step_s: int) -> dict[str, Any]:
    return {
        "at": _instant(key.bucket_s),
        "seconds": step_s,
        "service": key.service,
        "environment": key.environment,
        "numerator": counted.marked,
        "denominator": counted.spans,
    }


def _trace_item(note: TraceNote) -> dict[str, Any]:
    return {
        "at": format_instant(note.at_ms),
        **_place(note.place),
        "why": "failing" if note.failing else "slow",
        "trace_id": note.trace_id,
        "span_id": note.span_id,
        "name": note.name,
        "route": note.route or None,
        "duration_ms": note.duration_us / _US_PER_MS,
    }


def _log_item(excerpt: Excerpt) -> dict[str, Any]:
    return {
        "at": format_instant(excerpt.at_ms),
        **_place(excerpt.place),
        "severity": excerpt.severity,
        "text": excerpt.text,
        "event": excerpt.event or None,
        "trace_id": excerpt.trace_id or None,
    }
