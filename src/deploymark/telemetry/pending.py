"""What has come and is not saved yet: the next commit, as it grows."""

from bisect import bisect_left
from collections import Counter
from typing import Final

from deploymark.model.histogram import Histogram, merge
from deploymark.ports import (
    Counted,
    CountKey,
    Excerpt,
    Gauged,
    GaugeKey,
    Marked,
    MarkedKey,
    Telemetry,
    TraceNote,
)
from deploymark.telemetry.requests import SPAN_BOUNDS

METRIC: Final = "metric"
SPAN: Final = "span"


class _Spans:
    """Requests that are counted one by one."""

    __slots__ = ("counts", "errors", "requests", "seconds", "seen")

    def __init__(self) -> None:
        self.requests: float = 0
        self.errors: float = 0
        self.seen = 0
        self.seconds = 0.0
        self.counts: list[float] = [0] * (len(SPAN_BOUNDS) + 1)


class Pending:
    """Collects one commit. Belongs to one thread."""

    def __init__(self) -> None:
        self._spans: dict[CountKey, _Spans] = {}
        self._counts: dict[CountKey, Counted] = {}
        self._gauges: dict[GaugeKey, Gauged] = {}
        self._all: Counter[MarkedKey] = Counter()
        self._marked: Counter[MarkedKey] = Counter()
        self.traces: list[TraceNote] = []
        self.excerpts: list[Excerpt] = []
        self.receipts: list[bytes] = []

    def add_span(self, key: CountKey, seconds: float, weight: float, *, failed: bool) -> None:
        """Count a request that a span stands for."""
        found = self._spans.get(key)
        if found is None:
            found = self._spans[key] = _Spans()
        if weight == 1.0:
            weight = 1  # whole numbers stay whole
        found.requests += weight
        found.seen += 1
        found.seconds += seconds * weight
        found.counts[bisect_left(SPAN_BOUNDS, seconds)] += weight
        if failed:
            found.errors += weight

    def add_counted(self, key: CountKey, counted: Counted) -> None:
        """Count requests that were counted elsewhere."""
        found = self._counts.get(key)
        self._counts[key] = counted if found is None else together(found, counted)

    def add_gauge(self, key: GaugeKey, value: float) -> None:
        """Keep one value of a gauge."""
        one = Gauged(value, value, value, 1)
        found = self._gauges.get(key)
        self._gauges[key] = one if found is None else widened(found, one)

    def add_marked(self, key: MarkedKey, spans: int, *, marked: bool) -> None:
        """Count spans of a resource with or without a deployment id."""
        self._all[key] += spans
        if marked:
            self._marked[key] += spans

    def finish(self, now_s: int, streams: dict[bytes, bytes | None]) -> Telemetry:
        """Return the commit."""
        counts = dict(self._counts)
        for key, found in self._spans.items():
            latency = Histogram(SPAN_BOUNDS, tuple(found.counts), found.seconds)
            counts[key] = Counted(found.requests, found.errors, found.seen, key.bucket_s, latency)
        return Telemetry(
            now_s=now_s,
            counts=counts,
            gauges=self._gauges,
            marked={key: Marked(spans, self._marked[key]) for key, spans in self._all.items()},
            traces=self.traces,
            excerpts=self.excerpts,
            streams=streams,
            receipts=self.receipts,
        )


def together(one: Counted, other: Counted) -> Counted:
    """Return the requests of both."""
    return Counted(
        one.requests + other.requests,
        one.errors + other.errors,
        one.seen + other.seen,
        min(one.since_s, other.since_s),
        merge(one.latency, other.latency),
    )


def widened(one: Gauged, other: Gauged) -> Gauged:
    """Return the values of both."""
    return Gauged(
        min(one.least, other.least),
        max(one.most, other.most),
        one.sum + other.sum,
        one.count + other.count,
    )
