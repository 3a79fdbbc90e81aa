"""Draws what was reported to this server: requests, errors, latencies and saturation over time.

Rows are read an hour at a time, the newest hour first, and summed up to one value for each bucket;
hours that are over are remembered, so that a chart that is looked at again costs its newest hour.
One answer reads so many rows at most: what is left is said to be missing, and comes with the next
look. A request is counted once, of the protocol of which most were answered.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from deploymark.errors import QueryError
from deploymark.model.histogram import Histogram
from deploymark.ports import Counted, Sampled, SeriesQuery, TelemetryQuery
from deploymark.ports.series import ERRORS, LATENCY_P95, REQUESTS, SATURATION
from deploymark.telemetry.pending import together
from deploymark.telemetry.query import TelemetryReader

NAME: Final = "telemetry"
MAX_ROWS: Final = 100_000
"""Rows that one answer reads at most, beside its newest hour; an hour is read whole."""

KEPT_HOURS: Final = 2_048
"""Hours that are remembered, of all charts together."""

LATE_SECONDS: Final = 120
"""How long after its end an hour may still change."""

SATURATIONS: Final = ("utilization", "saturation")
"""How names of gauges end that are shares of what there is at most."""

LONGEST_REPORT_SECONDS: Final = 300
"""Requests that come after a longer silence are taken for those of one bucket."""

_HOUR_S: Final = 3_600
_MS: Final = 1_000
_NOTHING: Final = (
    "Nothing reported requests in this window: send OpenTelemetry to this server, or name a"
    " Prometheus in the rollout plan."
)
_NO_GAUGE: Final = (
    "No gauge of saturation was reported: send one that is a share, such as"
    " `process.cpu.utilization` (`telemetry.gauges` in the configuration)."
)
_MORE: Final = "Older times are still being counted; look again in a moment."

_Place = tuple[str | None, str | None, str | None]


class _Bucket(NamedTuple):
    """Requests of one bucket, summed up."""

    requests: float
    errors: float
    p95_s: float | None


class _Hour(NamedTuple):
    """What is kept of an hour.

    Attributes:
        protocols: Buckets by their beginning, by protocol.
        gauges: The greatest share of any instance, by the beginning of the bucket.
        rows: How many rows that took to read.
    """

    protocols: dict[str, dict[int, _Bucket]]
    gauges: dict[int, float]
    rows: int


class EmbeddedSeries:
    """Draws from the embedded store; see `ports.SeriesSource`. Safe on any thread.

    Args:
        reader: Asks the store.
        bucket_seconds: What is counted together.
    """

    def __init__(self, reader: TelemetryReader, bucket_seconds: int) -> None:
        self._reader = reader
        self._bucket_seconds = bucket_seconds
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[_Place, int], _Hour] = OrderedDict()

    @property
    def name(self) -> str:
        """See `SeriesSource.name`."""
        return NAME

    def sampled(self, query: SeriesQuery, names: tuple[str, ...]) -> dict[str, Sampled]:
        """See `SeriesSource.sampled`."""
        hours, is_whole = self._hours(query)
        since_s, until_s = query.since_ms // _MS, query.until_ms // _MS
        sums: dict[str, float] = {}
        for hour in hours:
            for protocol, buckets in hour.protocols.items():
                more = sum(bucket.requests for bucket in buckets.values())
                sums[protocol] = sums.get(protocol, 0.0) + more
        main = max(sums, key=lambda name: (sums[name], name), default="")
        counted = [
            (at_s, bucket)
            for hour in hours
            for at_s, bucket in hour.protocols.get(main, {}).items()
            if since_s <= at_s < until_s
        ]
        counted.sort()
        gauged = sorted(
            pair for hour in hours for pair in hour.gauges.items() if since_s <= pair[0] < until_s
        )
        return {name: self._sampled(name, counted, gauged, is_whole=is_whole) for name in names}

    def _sampled(
        self,
        name: str,
        counted: Iterable[tuple[int, _Bucket]],
        gauged: Iterable[tuple[int, float]],
        *,
        is_whole: bool,
    ) -> Sampled:
        seconds = self._bucket_seconds
        values: list[tuple[int, float]] = []
        if name == SATURATION:
            values = [(at_s * _MS, value) for at_s, value in gauged]
        elif name == ERRORS:
            whole = [(at_s, each) for at_s, each in counted if each.requests > 0]
            values = [(at_s * _MS, min(1.0, each.errors / each.requests)) for at_s, each in whole]
        elif name == REQUESTS:
            values = rates_of([(at_s, each.requests) for at_s, each in counted], seconds)
        elif name == LATENCY_P95:
            values = [(at_s * _MS, x.p95_s) for at_s, x in counted if x.p95_s is not None]
        if not is_whole:
            return Sampled(values, _MORE)
        if values:
            return Sampled(values)
        return Sampled(values, _NO_GAUGE if name == SATURATION else _NOTHING)

    def _hours(self, query: SeriesQuery) -> tuple[list[_Hour], bool]:
        """Return the hours of a window, the newest first, and whether that is all of it."""
        place = (query.service, query.environment, query.deployment)
        first = query.since_ms // _MS // _HOUR_S
        last = (query.until_ms - 1) // _MS // _HOUR_S
        until_s = query.until_ms // _MS
        found: list[_Hour] = []
        rows = 0
        for hour in range(last, first - 1, -1):
            with self._lock:
                known = self._kept.get((place, hour))
            if known is None:
                if rows >= MAX_ROWS:
                    return found, False
                known = self._read(place, hour)
                # What is not over is read with every look: it must not use up what the others need.
                if (hour + 1) * _HOUR_S + LATE_SECONDS <= until_s:
                    rows += known.rows
                    self._keep((place, hour), known)
            found.append(known)
        return found, True

    def _keep(self, key: tuple[_Place, int], hour: _Hour) -> None:
        with self._lock:
            self._kept[key] = hour
            while len(self._kept) > KEPT_HOURS:
                self._kept.popitem(last=False)

    def _read(self, place: _Place, hour: int) -> _Hour:
        begin_s = hour * _HOUR_S
        query = TelemetryQuery(begin_s, begin_s + _HOUR_S, *place)
        sums: dict[str, dict[int, Counted]] = {}
        rows = 0
        since_s: int | None = query.since_s
        while since_s is not None:
            page, since_s = self._reader.requests(query._replace(since_s=since_s))
            rows += len(page)
            for key, counted in page:
                buckets = sums.setdefault(key.protocol, {})
                at_s = key.bucket_s - key.bucket_s % self._bucket_seconds
                known = buckets.get(at_s)
                buckets[at_s] = counted if known is None else together(known, counted)
        protocols = {
            protocol: {
                at_s: _Bucket(each.requests, each.errors, quantile(each.latency, 0.95))
                for at_s, each in buckets.items()
            }
            for protocol, buckets in sums.items()
        }
        gauges, more = self._gauges(query)
        return _Hour(protocols, gauges, rows + more)

    def _gauges(self, query: TelemetryQuery) -> tuple[dict[int, float], int]:
        found: dict[int, float] = {}
        try:
            rows, _ = self._reader.gauges(query)
        except QueryError:  # one bucket alone has too many
            return {}, 0
        for key, gauged in rows:
            if key.name.endswith(SATURATIONS):
                found[key.bucket_s] = max(found.get(key.bucket_s, 0.0), gauged.most)
        return found, len(rows)


def quantile(latency: Histogram, share: float) -> float | None:
    """Return the upper bound in seconds of the bucket that holds a share of the latencies.

    What lies above the last bound is said as that bound; None of nothing.
    """
    left = share * latency.total
    if left <= 0 or not latency.bounds:
        return None
    for bound, count in zip(latency.bounds, latency.counts, strict=False):
        left -= count
        if left <= 0:
            return bound
    return latency.bounds[-1]


def rates_of(counted: Sequence[tuple[int, float]], bucket_seconds: int) -> list[tuple[int, float]]:
    """Return requests a second by the beginning of each bucket, in milliseconds.

    Whoever reports more seldom than a bucket is long reports at once what came since its last
    report, so a count is one of the time since the bucket before it.
    """
    rates = []
    before_s: int | None = None
    for place, (at_s, requests) in enumerate(counted):
        gap_s = None if before_s is None else at_s - before_s
        if gap_s is None and place + 1 < len(counted):
            gap_s = counted[place + 1][0] - at_s  # as often as the next one
        if gap_s is None or gap_s > LONGEST_REPORT_SECONDS:
            gap_s = bucket_seconds
        rates.append((at_s * _MS, requests / max(gap_s, bucket_seconds)))
        before_s = at_s
    return rates
