"""`ports.CountsSource` over a Prometheus: asks, subtracts and adds up by replica and bucket.

A value at an instant is that of the last scrape before it, so a request counts in the bucket in
which the scrape lies that saw it first: up to one interval late, the same for both arms. Two
intervals after the end of a bucket its last scrape has come (`lag_ms`). A replica is named by the
labels of the join, such as `shop/checkout-7d9f-x2x`; its containers are added up.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from deploymark.errors import QueryError, UsageError
from deploymark.integrations.prometheus.answer import Series
from deploymark.integrations.prometheus.client import PrometheusClient, PrometheusSettings
from deploymark.integrations.prometheus.histogram import classic, native, whole
from deploymark.integrations.prometheus.question import Selector, anywhere, in_cohort
from deploymark.integrations.prometheus.rising import (
    Labels,
    Rules,
    Target,
    Track,
    Value,
    increases,
)
from deploymark.model.histogram import Histogram, difference, merge
from deploymark.ports import Cell, Cohort, CohortCounts, MetricQuery

MOST_STEPS: Final = 2_000
"""Instants of one question; a longer window is asked in parts."""

LAG_SCRAPES: Final = 2
"""So many intervals after the end of a bucket its last scrape has come."""

_MS: Final = 1_000
_BUCKET: Final = "_bucket"
_ADDRESS: Final = ("job", "instance")
_NOT_OF_A_TRACK: Final = frozenset({"__name__", "le"})

_Slot = tuple[int, str]  # the beginning of a bucket in ms, and a replica


@dataclass(frozen=True, slots=True)
class _Window:
    """One question's part of the time.

    Attributes:
        cohort: Whose counts.
        look_from_ms: The first instant that is asked for.
        since_ms, until_ms: What is counted.
        bucket_ms: The grain.
    """

    cohort: Cohort
    look_from_ms: int
    since_ms: int
    until_ms: int
    bucket_ms: int

    def bucket_of(self, at_ms: int, step_ms: int) -> int:
        """Return the bucket that ends at this instant or holds it: (b, b + bucket]."""
        return (at_ms - step_ms) // self.bucket_ms * self.bucket_ms


class PrometheusCounts:
    """Counts requests of cohorts in a Prometheus; see `ports.CountsSource`.

    `Cohort.instances` is left out of account: a Prometheus knows pods, not uids. A track is.

    Args:
        name: Which one, for people.
        settings: Where it is, how often it scrapes, and what is joined on.

    Raises:
        UsageError: The settings make no sense.
    """

    def __init__(self, name: str, settings: PrometheusSettings) -> None:
        self._name = name
        self._settings = settings
        self._client = PrometheusClient(name, settings)
        self._step_ms = settings.scrape_seconds * _MS
        # Whole steps, at least two: a value to subtract, and one more for a scrape that is late.
        steps = max(2, -(-settings.look_back_seconds // settings.scrape_seconds))
        self._look_back_ms = steps * self._step_ms
        if steps >= MOST_STEPS:
            raise UsageError(
                f"The Prometheus {name} shall look back by {steps} scrapes.",
                hint=f"Fewer than {MOST_STEPS} fit into a question: choose a shorter "
                "look_back_seconds.",
            )

    @property
    def name(self) -> str:
        """See `CountsSource.name`."""
        return self._name

    @property
    def lag_ms(self) -> int:
        """See `CountsSource.lag_ms`."""
        return LAG_SCRAPES * self._step_ms

    def count(
        self,
        cohort: Cohort,
        metrics: Sequence[MetricQuery],
        since_ms: int,
        until_ms: int,
        bucket_ms: int,
    ) -> CohortCounts:
        """See `CountsSource.count`."""
        if bucket_ms <= 0 or bucket_ms % self._step_ms:
            raise QueryError(
                f"The Prometheus {self._name} is scraped every {self._step_ms} ms, and cannot be "
                f"counted by {bucket_ms}.",
                hint="Choose bucket_seconds as a multiple of its scrape_seconds.",
                field="/bucket_seconds",
            )
        if since_ms % bucket_ms or until_ms % bucket_ms or until_ms < since_ms:
            raise QueryError(f"{since_ms} to {until_ms} are no whole buckets of {bucket_ms} ms.")
        for metric in metrics:
            _check(metric)
        seen = _Seen()
        cells: dict[str, list[Cell]] = {metric.name: [] for metric in metrics}
        if cohort.deployments and since_ms < until_ms:
            for window in self._windows(cohort, since_ms, until_ms, bucket_ms):
                for metric in metrics:
                    cells[metric.name] += self._cells(metric, window, seen)
        visible = {
            metric.name: tuple(cells[metric.name])
            for metric in metrics
            if cells[metric.name] or self._is_visible(metric, cohort, since_ms, until_ms)
        }
        replicas = {cell.replica for found in visible.values() for cell in found}
        return CohortCounts(visible, seen.born_ms(replicas))

    def _windows(
        self, cohort: Cohort, since_ms: int, until_ms: int, bucket_ms: int
    ) -> Iterator[_Window]:
        room_ms = MOST_STEPS * self._step_ms - self._look_back_ms
        part_ms = max(bucket_ms, room_ms // bucket_ms * bucket_ms)
        for begin_ms in range(since_ms, until_ms, part_ms):
            end_ms = min(begin_ms + part_ms, until_ms)
            yield _Window(cohort, begin_ms - self._look_back_ms, begin_ms, end_ms, bucket_ms)

    # What is asked -------------------------------------------------------------------------------

    def _ask(self, expression: str, window: _Window) -> list[Series]:
        settings = self._settings
        joined = in_cohort(expression, window.cohort, settings.info, settings.join)
        return self._client.ask(joined, window.look_from_ms, window.until_ms, self._step_ms)

    def _is_visible(
        self, metric: MetricQuery, cohort: Cohort, since_ms: int, until_ms: int
    ) -> bool:
        """Tell whether anything of a metric is seen, of whomever."""
        selector = Selector(metric.trials)
        names = [selector.name]
        if metric.kind == "latency" and not selector.name.endswith(_BUCKET):
            names.append(selector.name + _BUCKET)
        return any(
            self._client.ask(
                anywhere(selector.named(name), cohort, self._settings.info),
                since_ms,
                until_ms,
                self._step_ms,
            )
            for name in names
        )

    def _scraped(
        self, selectors: Iterable[Selector], window: _Window
    ) -> dict[Labels, dict[int, float]]:
        """Return when the samples of tracks were scraped."""
        return {
            _labels(each, selector.name): each.values
            for selector in selectors
            for each in self._ask(f"timestamp({selector})", window)
        }

    # What is made of it --------------------------------------------------------------------------

    def _cells(self, metric: MetricQuery, window: _Window, seen: "_Seen") -> list[Cell]:
        match metric.kind:
            case "events":
                return self._events(metric, window, seen)
            case "latency":
                return self._latencies(metric, window, seen)
            case _:
                return self._gauges(metric, window, seen)

    def _events(self, metric: MetricQuery, window: _Window, seen: "_Seen") -> list[Cell]:
        """Count events among trials; what exceeds the trials of a cell is cut."""
        selectors = (Selector(metric.trials), Selector(metric.events))
        parts: list[list[Track[int]]] = []
        for selector in selectors:
            tracks = []
            for each in self._ask(str(selector), window):
                points = {
                    at_ms: whole(value, selector.name) for at_ms, value in each.values.items()
                }
                tracks.append(Track(self._target(each), _labels(each, selector.name), points))
            seen.add(tracks, window)
            parts.append(tracks)
        trials, events = parts
        known = {track.labels for track in trials}
        # What counts events is often a part of what counts trials; together they tell what is new.
        together = trials + [track for track in events if track.labels not in known]
        rules = Rules(_rise, self._look_back_ms, lambda: self._scraped(selectors, window))
        failing = {track.labels for track in events}
        sums: dict[_Slot, list[int]] = defaultdict(lambda: [0, 0])
        for came in increases(together, rules, window.since_ms):
            slot = sums[window.bucket_of(came.at_ms, self._step_ms), came.replica]
            slot[0] += came.value if came.labels in known else 0
            slot[1] += came.value if came.labels in failing else 0
        return [
            Cell(replica, at_ms, trials=many, events=min(many, bad))
            for (at_ms, replica), (many, bad) in sorted(sums.items())
            if many
        ]

    def _latencies(self, metric: MetricQuery, window: _Window, seen: "_Seen") -> list[Cell]:
        selector = Selector(metric.trials)
        tracks: list[Track[Histogram]] = []
        scraped = selector
        if not selector.name.endswith(_BUCKET):
            tracks = self._natives(selector, window)
        if not tracks:
            if not selector.name.endswith(_BUCKET):
                selector = selector.named(selector.name + _BUCKET)
            tracks = self._classics(selector, window)
            scraped = selector.narrowed('le="+Inf"')
        seen.add(tracks, window)
        rules = Rules(difference, self._look_back_ms, lambda: self._scraped((scraped,), window))
        sums: dict[_Slot, Histogram] = {}
        for came in increases(tracks, rules, window.since_ms):
            slot = window.bucket_of(came.at_ms, self._step_ms), came.replica
            sums[slot] = merge(sums[slot], came.value) if slot in sums else came.value
        return [
            Cell(replica, at_ms, bounds=latency.bounds, counts=tuple(map(int, latency.counts)))
            for (at_ms, replica), latency in sorted(sums.items())
            if latency.bounds and latency.total
        ]

    def _natives(self, selector: Selector, window: _Window) -> list[Track[Histogram]]:
        tracks = []
        for each in self._ask(str(selector), window):
            if each.values:
                raise QueryError(
                    f"{selector.name} is no histogram.",
                    hint="Select the `_bucket` series of a classic histogram.",
                    field="/metrics",
                )
            points = native(each.natives.items(), selector.name)
            tracks.append(Track(self._target(each), _labels(each, selector.name), points))
        return tracks

    def _classics(self, selector: Selector, window: _Window) -> list[Track[Histogram]]:
        together: dict[Labels, list[Series]] = defaultdict(list)
        for each in self._ask(str(selector), window):
            together[_labels(each, selector.name)].append(each)
        return [
            Track(self._target(parts[0]), labels, classic(parts, selector.name))
            for labels, parts in together.items()
        ]

    def _gauges(self, metric: MetricQuery, window: _Window, seen: "_Seen") -> list[Cell]:
        """Return the mean over a bucket's scrapes; of several series the mean of their means."""
        selector = Selector(metric.trials)
        tracks = [
            Track(self._target(each), _labels(each, selector.name), each.values)
            for each in self._ask(str(selector), window)
        ]
        seen.add(tracks, window)
        values: dict[_Slot, dict[Labels, list[float]]] = defaultdict(lambda: defaultdict(list))
        for track in tracks:
            for at_ms, value in track.points.items():
                if at_ms > window.since_ms:
                    slot = window.bucket_of(at_ms, self._step_ms), track.target.replica
                    values[slot][track.labels].append(value)
        return [
            Cell(replica, at_ms, value=_mean(map(_mean, apart.values())))
            for (at_ms, replica), apart in sorted(values.items())
        ]

    def _target(self, series: Series) -> Target:
        labels = series.labels
        replica = "/".join(labels.get(name, "") for name in self._settings.join).strip("/")
        return Target(replica, tuple(labels.get(name, "") for name in _ADDRESS))


class _Seen:
    """When replicas were first seen."""

    def __init__(self) -> None:
        self._first_ms: dict[str, int] = {}
        self._from_ms: int | None = None

    def add(self, tracks: Iterable[Track[Value]], window: _Window) -> None:
        """Take in who was there in one part of the time."""
        if self._from_ms is None:
            self._from_ms = window.look_from_ms
        for track in tracks:
            for at_ms in track.points:
                replica = track.target.replica
                self._first_ms[replica] = min(at_ms, self._first_ms.get(replica, at_ms))

    def born_ms(self, replicas: Iterable[str]) -> dict[str, int]:
        """Return when they were born, of those that were not there when looking began."""
        return {
            replica: self._first_ms[replica]
            for replica in sorted(replicas)
            if self._first_ms[replica] != self._from_ms
        }


def _check(metric: MetricQuery) -> None:
    if metric.kind not in {"events", "latency", "gauge"}:
        raise QueryError(f"{metric.name} is of no kind that can be counted.", field="/metrics")
    if bool(metric.events) != (metric.kind == "events") or not metric.trials:
        raise QueryError(
            f"{metric.name} does not say what counts it.",
            hint="Events have selectors `trials` and `events`; others have `trials` only.",
            field="/metrics",
        )
    Selector(metric.trials)
    if metric.events:
        Selector(metric.events)


def _labels(series: Series, name: str) -> Labels:
    """Return what tells a track from others; a name only where there are several."""
    kept = {item for item in series.labels.items() if item[0] not in _NOT_OF_A_TRACK}
    return frozenset({*kept, ("__name__", name)})


def _rise(later: int, earlier: int) -> int | None:
    return later - earlier if later >= earlier else None


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
