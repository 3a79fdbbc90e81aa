"""What the telemetry of a deployment's own instances says: requests, traces, logs.

Read from the embedded store, bounded by its pages; a deployment of which nothing is kept has no
numbers, never zeros.
"""

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any, Final

from deploymark.errors import DeploymarkError
from deploymark.model.histogram import Histogram
from deploymark.model.instants import parse_instant
from deploymark.ports import Counted, CountKey, TelemetryQuery
from deploymark.server.pages.asked import Asked
from deploymark.server.pages.shapes_deployment import Aligned, LogLine, Red, SlowSpan, TraceLine
from deploymark.telemetry.pending import together
from deploymark.telemetry.series import quantile, rates_of

LONGEST_S: Final = 6 * 3_600
"""So much of a deployment's time is counted at most, from when it went live."""

ALIGNED_S: Final = 1_800
ALIGNED_STEP_S: Final = 30
TRACES: Final = 20
LOGS: Final = 30
SPANS: Final = 10

_MS: Final = 1_000
_MINUTE: Final = 60

Item = Mapping[str, Any]


def quantile_ms(latency: Histogram, share: float) -> float | None:
    """Return how long so large a share took at most, in milliseconds."""
    seconds = quantile(latency, share)
    return None if seconds is None else seconds * _MS


def of_deployment(item: Item, now_ms: int) -> TelemetryQuery | None:
    """Return what to ask of the instances of a deployment, None before it opened anything."""
    since_ms = parse_instant(item["live_at"] or item["opened_at"])
    until_ms = parse_instant(item["ended_at"]) if item["ended_at"] else now_ms
    since_s, until_s = since_ms // _MS, max(until_ms // _MS + 1, since_ms // _MS + 1)
    return TelemetryQuery(
        since_s,
        min(until_s, since_s + LONGEST_S),
        item["service"],
        item["environment"],
        item["deployment_id"],
    )


def red_of(asked: Asked, item: Item) -> Red | None:
    """Return the requests that a deployment's own instances answered; None of nothing."""
    rows = _requests(asked, of_deployment(item, asked.now_ms))
    counted = _main_protocol(rows)
    if counted is None:
        return None
    keys = [key.bucket_s for key, _ in rows]
    step_s = _bucket_s(asked)
    seconds = max(keys) - min(keys) + step_s
    return Red(
        minutes=seconds / _MINUTE,
        requests=counted.requests,
        requests_per_second=counted.requests / seconds,
        error_share=counted.errors / counted.requests if counted.requests else None,
        latency_p50_ms=quantile_ms(counted.latency, 0.5),
        latency_p95_ms=quantile_ms(counted.latency, 0.95),
    )


def aligned_of(asked: Asked, item: Item, version: str, name: str) -> Aligned | None:
    """Return the first half hour of a deployment in steps from the moment it went live."""
    query = of_deployment(item, asked.now_ms)
    if query is None:
        return None
    begin_s = query.since_s
    rows = _requests(asked, query._replace(until_s=min(query.until_s, begin_s + ALIGNED_S)))
    steps: dict[int, Counted] = {}
    buckets: dict[int, float] = {}
    for key, counted in rows:
        step = _step(key.bucket_s, begin_s)
        known = steps.get(step)
        steps[step] = counted if known is None else together(known, counted)
        buckets[key.bucket_s] = buckets.get(key.bucket_s, 0.0) + counted.requests
    if not steps:
        return None
    rates: dict[int, list[float]] = {}
    for at_ms, rate in rates_of(sorted(buckets.items()), _bucket_s(asked)):
        rates.setdefault(_step(at_ms // _MS, begin_s), []).append(rate)
    order = sorted(steps)
    told = [steps[step] for step in order]
    return Aligned(
        id=name,
        version=version,
        seconds=[step * ALIGNED_STEP_S for step in order],
        requests_per_second=[fmean(rates[step]) for step in order],
        error_share=[each.errors / each.requests if each.requests else None for each in told],
        latency_p95_ms=[quantile_ms(each.latency, 0.95) for each in told],
    )


def _step(at_s: int, begin_s: int) -> int:
    return max(0, at_s - begin_s) // ALIGNED_STEP_S


def _requests(asked: Asked, query: TelemetryQuery | None) -> list[tuple[CountKey, Counted]]:
    room = asked.parts.telemetry
    if room is None or query is None:
        return []
    try:
        rows, _ = room.reader.requests(query)
    except DeploymarkError:  # one bucket too many, or a medium that refuses: there is no number
        return []
    main = _most({key.protocol: 0.0 for key, _ in rows}, rows)
    return [(key, counted) for key, counted in rows if key.protocol == main]


def _most(sums: dict[str, float], rows: Iterable[tuple[CountKey, Counted]]) -> str | None:
    """Return the protocol with the most requests: one request may be counted under several."""
    for key, counted in rows:
        sums[key.protocol] += counted.requests
    return max(sums, key=lambda name: (sums[name], name), default=None)


def _main_protocol(rows: Iterable[tuple[CountKey, Counted]]) -> Counted | None:
    total: Counted | None = None
    for _, counted in rows:
        total = counted if total is None else together(total, counted)
    return total


def _bucket_s(asked: Asked) -> int:
    room = asked.parts.telemetry
    return 10 if room is None else room.settings.bucket_seconds


def traces_of(asked: Asked, item: Item, name: str) -> list[TraceLine]:
    """Return slow and failing traces of a deployment, the newest minute first."""
    room = asked.parts.telemetry
    query = of_deployment(item, asked.now_ms)
    if room is None or query is None:
        return []
    found = room.reader.traces(query._replace(until_s=asked.now_ms // _MS + 1), TRACES).items
    return [
        TraceLine(
            at=each["at"],
            trace_id=each["trace_id"],
            span_id=each["span_id"],
            name=each["name"],
            route=each["route"],
            duration_ms=each["duration_ms"],
            failing=each["why"] == "failing",
            id=name,
        )
        for each in found
    ]


def logs_of(asked: Asked, item: Item, name: str) -> list[LogLine]:
    """Return excerpts of a deployment's logs, the newest minute first, errors before others."""
    room = asked.parts.telemetry
    query = of_deployment(item, asked.now_ms)
    if room is None or query is None:
        return []
    found = room.reader.logs(query._replace(until_s=asked.now_ms // _MS + 1), LOGS).items
    return [
        LogLine(
            at=each["at"],
            severity=each["severity"],
            text=each["text"],
            event=each["event"],
            trace_id=each["trace_id"],
            id=name,
        )
        for each in found
    ]


def slow_spans(new: Iterable[TraceLine], before: Iterable[TraceLine]) -> list[SlowSpan]:
    """Return the slowest operations of a deployment beside the same of the one before."""
    baseline: dict[tuple[str, str | None], float] = {}
    for trace in before:
        key = (trace.name, trace.route)
        baseline[key] = max(baseline.get(key, 0.0), trace.duration_ms)
    slowest: dict[tuple[str, str | None], TraceLine] = {}
    for trace in new:
        key = (trace.name, trace.route)
        if key not in slowest or slowest[key].duration_ms < trace.duration_ms:
            slowest[key] = trace
    found = [
        SlowSpan(name, route, trace.duration_ms, baseline.get((name, route)), trace.trace_id)
        for (name, route), trace in slowest.items()
    ]
    return sorted(found, key=lambda each: -each.new_ms)
