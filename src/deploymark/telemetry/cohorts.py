"""Counts for verdicts from what was reported over OTLP: `ports.CountsSource` over the store.

`errors` are requests of which some failed, `latency` is how long they took, and any other name is
a gauge. It chooses and adds up, and judges nothing. What that means for a verdict:

* **One protocol.** Protocols are never added up, because some frameworks count one gRPC call as an
  HTTP request as well. Counted is the one that the whole service, so both arms, had most requests
  of in the window; or the one that `MetricQuery.trials` names.
* **Sampled spans count once each.** One that stands for a hundred others is evidence of one
  request: shares stay, numbers shrink to what was `seen`. Where rates of sampling differ within a
  bucket, events are rounded down.
* **An increase stands in the bucket in which its interval ended**, whole. An exporter that speaks
  once a minute fills one bucket of ten seconds in six, and a window may begin with requests from
  before it. Nothing is lost or counted twice over several windows. Warm-up is safe: an instance is
  born with the bucket of its *first* interval, so what counts later began later.
* **Tracks are not known here**: a baseline group is named by its instances.
* **Instances beyond the limit of the room** share one place (`~other`) and are left out: nobody
  knows which of them are young.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from math import floor
from typing import Any, Final

from deploymark.errors import CountsUnavailableError, QueryError, StoreUnavailableError
from deploymark.model.histogram import Histogram, merge
from deploymark.ports import (
    Cell,
    Cohort,
    CohortCounts,
    Counted,
    CountKey,
    GaugeKey,
    MetricQuery,
    Place,
    TelemetryQuery,
)
from deploymark.telemetry.limits import BUCKET_SECONDS, GAUGES, LAG_SECONDS, OTHER
from deploymark.telemetry.query import TelemetryReader
from deploymark.telemetry.requests import HTTP, MESSAGING, RPC
from deploymark.telemetry.requests import OTHER as ANY_OTHER

ERRORS: Final = "errors"
LATENCY: Final = "latency"
NAME: Final = "telemetry"

_MS: Final = 1_000
_PROTOCOLS: Final = (HTTP, RPC, MESSAGING, ANY_OTHER)
_ROUNDING: Final = 1e-6  # of numbers that are whole but for the last bits

_Rows = list[tuple[CountKey, Counted]]
_Slot = tuple[int, str]  # the beginning of a bucket in ms, and a replica


class EmbeddedCounts:
    """Counts requests of cohorts in the telemetry store; see `ports.CountsSource`.

    Args:
        reader: Answers from the store.
        bucket_seconds: What is counted together there; every grain is a multiple of it.
        lag_seconds: How long after the end of a bucket everything about it has come. What comes
            later is in no verdict whose look was taken before.
        gauges: Names of the gauges that are kept; others cannot be seen.
    """

    def __init__(
        self,
        reader: TelemetryReader,
        *,
        bucket_seconds: int = BUCKET_SECONDS,
        lag_seconds: int = LAG_SECONDS,
        gauges: Collection[str] = GAUGES,
    ) -> None:
        self._reader = reader
        self._bucket_ms = bucket_seconds * _MS
        self._lag_ms = lag_seconds * _MS
        self._gauges = frozenset(gauges)

    @property
    def name(self) -> str:
        """See `CountsSource.name`."""
        return NAME

    @property
    def lag_ms(self) -> int:
        """See `CountsSource.lag_ms`."""
        return self._lag_ms

    def count(
        self,
        cohort: Cohort,
        metrics: Sequence[MetricQuery],
        since_ms: int,
        until_ms: int,
        bucket_ms: int,
    ) -> CohortCounts:
        """See `CountsSource.count`."""
        self._check(metrics, since_ms, until_ms, bucket_ms)
        window = TelemetryQuery(
            since_ms // _MS, until_ms // _MS, cohort.service, cohort.environment
        )
        try:
            found = self._cells(cohort, metrics, window, bucket_ms)
            replicas = {cell.replica for cells in found.values() for cell in cells}
            return CohortCounts(found, self._born_ms(cohort, window, replicas))
        except StoreUnavailableError as error:
            raise CountsUnavailableError(error.message) from error

    def _check(
        self, metrics: Sequence[MetricQuery], since_ms: int, until_ms: int, bucket_ms: int
    ) -> None:
        if bucket_ms <= 0 or bucket_ms % self._bucket_ms:
            raise QueryError(
                f"Telemetry is kept by {self._bucket_ms} ms, and cannot be counted by {bucket_ms}.",
                hint="Choose a bucket that is a multiple of telemetry.bucket_seconds.",
                field="/bucket_seconds",
            )
        if since_ms % bucket_ms or until_ms % bucket_ms or until_ms < since_ms:
            raise QueryError(f"{since_ms} to {until_ms} are no whole buckets of {bucket_ms} ms.")
        for metric in metrics:
            _check_metric(metric)

    def _cells(
        self,
        cohort: Cohort,
        metrics: Sequence[MetricQuery],
        window: TelemetryQuery,
        bucket_ms: int,
    ) -> dict[str, tuple[Cell, ...]]:
        kinds = {metric.kind for metric in metrics}
        requests: _Rows = []
        if kinds - {"gauge"}:
            requests = list(_pages(self._reader.requests, window))
        busiest = _busiest(requests)
        counted = [row for row in requests if _belongs(row[0].place, cohort)]
        found = {}
        for metric in metrics:
            if metric.kind == "gauge":
                if metric.name in self._gauges:
                    found[metric.name] = self._gauge(metric.name, cohort, window, bucket_ms)
                continue
            protocol = metric.trials or busiest
            rows = [row for row in counted if row[0].protocol == protocol]
            make = _events if metric.kind == "events" else _latencies
            found[metric.name] = make(rows, bucket_ms)
        return found

    def _gauge(
        self, name: str, cohort: Cohort, window: TelemetryQuery, bucket_ms: int
    ) -> tuple[Cell, ...]:
        """Return the mean of a gauge; of several attribute sets the mean of their means."""
        values: dict[_Slot, dict[str, tuple[float, int]]] = defaultdict(dict)
        for deployment in cohort.deployments:
            asked = window._replace(deployment=deployment)
            for key, gauged in _pages(self._reader.gauges, asked):
                if key.name == name and _belongs(key.place, cohort):
                    labels = values[_slot(key, bucket_ms)]
                    total, count = labels.get(key.label, (0.0, 0))
                    labels[key.label] = (total + gauged.sum, count + gauged.count)
        return tuple(
            Cell(replica, at_ms, value=_mean(total / count for total, count in labels.values()))
            for (at_ms, replica), labels in sorted(values.items())
        )

    def _born_ms(
        self, cohort: Cohort, window: TelemetryQuery, replicas: set[str]
    ) -> dict[str, int]:
        found: dict[str, int] = {}
        for deployment in cohort.deployments if replicas else ():
            for place, first_s in self._reader.first_seen(window._replace(deployment=deployment)):
                if place.instance in replicas:
                    first_ms = first_s * _MS
                    found[place.instance] = min(first_ms, found.get(place.instance, first_ms))
        return dict(sorted(found.items()))


def _check_metric(metric: MetricQuery) -> None:
    known = {"events": ERRORS, "latency": LATENCY, "gauge": metric.name}
    if known.get(metric.kind) != metric.name:
        raise QueryError(
            f"Telemetry counts no {metric.kind} by the name of {metric.name}.",
            hint=f"It counts the events `{ERRORS}`, the latency `{LATENCY}`, and gauges.",
            field="/metrics",
        )
    protocols = ("",) if metric.kind == "gauge" else ("", *_PROTOCOLS)
    if metric.trials not in protocols or metric.events:
        raise QueryError(
            f"{metric.name} has a selector, which telemetry does not know.",
            hint=f"Leave it out, or name a protocol in `trials`: {', '.join(_PROTOCOLS)}.",
            field="/metrics",
        )


def _pages(
    ask: Callable[[TelemetryQuery], tuple[list[Any], int | None]], query: TelemetryQuery
) -> Iterator[Any]:
    """Yield all rows, however many pages they are."""
    since_s: int | None = query.since_s
    while since_s is not None:
        rows, since_s = ask(query._replace(since_s=since_s))
        yield from rows


def _busiest(rows: Iterable[tuple[CountKey, Counted]]) -> str:
    """Return the protocol with most requests; of several, the first as they are listed."""
    requests: Counter[str] = Counter()
    for key, counted in rows:
        requests[key.protocol] += counted.requests  # type: ignore[assignment]  # not whole
    return max(_PROTOCOLS, key=lambda protocol: requests[protocol])


def _belongs(place: Place, cohort: Cohort) -> bool:
    return (
        place.deployment in cohort.deployments
        and place.instance != OTHER
        and (cohort.instances is None or place.instance in cohort.instances)
    )


def _slot(key: CountKey | GaugeKey, bucket_ms: int) -> _Slot:
    at_ms = key.bucket_s * _MS
    return at_ms - at_ms % bucket_ms, key.place.instance


def _events(rows: _Rows, bucket_ms: int) -> tuple[Cell, ...]:
    found: dict[_Slot, tuple[int, int]] = {}
    for key, counted in rows:
        slot = _slot(key, bucket_ms)
        trials, events = found.get(slot, (0, 0))
        seen = _seen(counted)
        failed = _whole(counted.errors * seen / counted.requests) if seen else 0
        found[slot] = (trials + seen, events + failed)
    return tuple(
        Cell(replica, at_ms, trials, events)
        for (at_ms, replica), (trials, events) in sorted(found.items())
    )


def _latencies(rows: _Rows, bucket_ms: int) -> tuple[Cell, ...]:
    found: dict[_Slot, Histogram] = {}
    for key, counted in rows:
        if counted.latency.bounds:  # else it says how many there were, and not how long they took
            slot, shrunk = _slot(key, bucket_ms), _shrunk(counted)
            known = found.get(slot)
            found[slot] = shrunk if known is None else merge(known, shrunk)
    return tuple(
        Cell(replica, at_ms, bounds=latency.bounds, counts=tuple(map(int, latency.counts)))
        for (at_ms, replica), latency in sorted(found.items())
        if latency.bounds
    )


def _seen(counted: Counted) -> int:
    """Return how many requests were really looked at."""
    return min(counted.seen, _whole(counted.requests))


def _shrunk(counted: Counted) -> Histogram:
    """Return the latencies of the requests that were looked at, rounded towards the fast ones."""
    counts, seen = counted.latency.counts, _seen(counted)
    total = counted.latency.total
    share = seen / total if total else 0.0
    slower = [_whole(each * share) for each in accumulate(reversed(counts))]
    slower[-1] = seen if total else 0
    shrunk = [later - earlier for earlier, later in pairwise((0, *slower))]
    return Histogram(counted.latency.bounds, tuple(reversed(shrunk)))


def _whole(number: float) -> int:
    return floor(number + _ROUNDING)


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
