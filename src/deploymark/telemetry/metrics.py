"""Counts points of metrics: requests with their latencies, and gauges.

An increase stands in the bucket in which its interval ended, whole: an export every minute gives
one bucket in six, whose `since_s` says how far back it reaches. Spreading it over the minute would
invent what nobody measured.
"""

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from deploymark.errors import RequestError
from deploymark.model.histogram import Histogram, from_explicit, from_exponential
from deploymark.ports import Counted, CountKey, GaugeKey, Measured, Place
from deploymark.telemetry.limits import (
    GAUGE_LABELS,
    ITEMS,
    MEASURED_SECONDS,
    NAME_CHARACTERS,
    PLACES,
)
from deploymark.telemetry.pending import METRIC
from deploymark.telemetry.requests import MEASURES, Measure, divisor_of, is_error
from deploymark.telemetry.signals import Form, Metric, Point, Raw
from deploymark.telemetry.streams import Family, Increase, Silence, Streams
from deploymark.telemetry.tally import NANO, Sender, Tally
from deploymark.telemetry.text import clip, shown

MOST_COUNTED: Final = 2**53
"""More than one histogram can have counted: up to here a float is exact."""

LEAST_SCALE, MOST_SCALE = -10, 20
"""Of exponential histograms, as the SDKs of OpenTelemetry choose them."""

_HISTOGRAMS: Final = frozenset({Form.HISTOGRAM, Form.EXPONENTIAL})
_REMEMBERED: Final = 2 * PLACES


class MetricCounter:
    """Counts points.

    Args:
        streams: The last state of every stream.
        gauges: Names of metrics of which the values are kept.
        retention_seconds: Older points are not counted.
        measured: What was measured before.
    """

    def __init__(
        self,
        streams: Streams,
        gauges: Iterable[str],
        retention_seconds: int,
        measured: Iterable[Measured] = (),
    ) -> None:
        self._streams = streams
        self._retention_seconds = retention_seconds
        self._wanted: dict[str, Measure | None] = {**dict.fromkeys(gauges), **MEASURES}
        self._covered: OrderedDict[tuple[Place, str], tuple[int, int]] = OrderedDict(
            ((each.place, each.protocol), (each.since_s, each.until_s)) for each in measured
        )
        while len(self._covered) > _REMEMBERED:
            self._covered.popitem(last=False)
        self._better: OrderedDict[tuple[Place, str], None] = OrderedDict()
        self._labels: OrderedDict[tuple[Place, str], set[str]] = OrderedDict()

    def is_measured(self, place: Place, protocol: str, bucket_s: int) -> bool:
        """Tell whether metrics count these requests."""
        found = self._covered.get((place, protocol))
        return found is not None and found[0] <= bucket_s <= found[1] + MEASURED_SECONDS

    def count(self, sender: Sender, scopes: Sequence[tuple[bytes, Sequence[Raw]]]) -> Tally:
        """Count the points of one resource."""
        tally = Tally()
        metrics: list[tuple[bytes, Metric]] = []
        for scope, items in scopes:
            for raw in items:
                try:
                    metric = sender.codec.metric(raw, self._wanted)
                except RequestError as error:
                    tally.refuse(error.message)
                    continue
                if isinstance(metric, Metric):
                    metrics.append((scope, metric))
                    if metric.name in MEASURES:
                        _remember(self._better, (sender.identity, metric.name), None)
                else:
                    tally.items += metric
        for scope, metric in metrics:
            self._points(sender, scope, metric, tally)
        return tally

    def _points(self, sender: Sender, scope: bytes, metric: Metric, tally: Tally) -> None:
        measure = self._wanted[metric.name]
        is_replaced = measure is not None and (sender.identity, measure.replaced_by) in self._better
        room = max(0, ITEMS - tally.items - tally.refused)
        if len(metric.points) > room:
            tally.refuse(f"The request has more than {ITEMS} points.", len(metric.points) - room)
        for raw in metric.points[:room]:
            try:
                point = sender.codec.point(raw, metric.form)
                if point is not None and not is_replaced:
                    self._point(sender, (scope, metric, measure), point, tally)
            except RequestError as error:
                tally.refuse(error.message)
            else:
                tally.items += 1

    def _point(
        self,
        sender: Sender,
        said: tuple[bytes, Metric, Measure | None],
        point: Point,
        tally: Tally,
    ) -> None:
        scope, metric, measure = said
        second = sender.second_of(point.time_ns, self._retention_seconds)
        if second is None:
            tally.drop("old")
        elif measure is None:
            self._gauge(sender, metric, point, second, tally)
        elif metric.form in _HISTOGRAMS:
            found = self._increase(sender, (scope, metric, measure), point)
            if isinstance(found, Increase):
                self._requests(sender, measure, point, found, second)
            else:
                tally.drop(found.value)

    def _increase(
        self, sender: Sender, said: tuple[bytes, Metric, Measure], point: Point
    ) -> Increase | Silence:
        scope, metric, measure = said
        latency = _latency(metric, point, divisor_of(metric.unit, measure))
        family = Family(tuple(sender.identity), scope, metric.name)
        times_ns = (point.start_ns, point.time_ns)
        if metric.cumulative:
            return self._streams.cumulative(
                family,
                point.attributes,
                times_ns,
                latency,
                request=sender.request,
                now_s=sender.now_s,
            )
        new = self._streams.delta(family, point.attributes, times_ns, now_s=sender.now_s)
        return new if isinstance(new, Silence) else Increase(latency, point.start_ns)

    def _requests(
        self, sender: Sender, measure: Measure, point: Point, found: Increase, second: int
    ) -> None:
        requests = found.latency.total
        bucket_s = sender.bucket_of(second)
        since_s = min(found.since_ns // NANO or bucket_s, bucket_s)
        since_s = max(since_s, bucket_s - self._retention_seconds)
        self._cover(sender.place, measure.protocol, since_s, second)
        if not requests:
            return
        failed = is_error(measure.protocol, point.attributes)
        sender.pending.add_counted(
            CountKey(sender.place, bucket_s, measure.protocol, METRIC),
            Counted(
                requests,
                requests if failed else 0,
                math.ceil(requests),
                since_s,
                found.latency,
            ),
        )

    def _cover(self, place: Place, protocol: str, since_s: int, until_s: int) -> None:
        known = self._covered.get((place, protocol), (since_s, until_s))
        if since_s > known[1] + MEASURED_SECONDS:
            known = (since_s, until_s)  # metrics had stopped; what came meanwhile was spans
        span = (min(known[0], since_s), max(known[1], until_s))
        _remember(self._covered, (place, protocol), span)

    def _gauge(
        self, sender: Sender, metric: Metric, point: Point, second: int, tally: Tally
    ) -> None:
        is_level = metric.form is Form.GAUGE or (
            metric.form is Form.SUM and metric.cumulative and not metric.monotonic
        )
        if not is_level or point.value is None or not math.isfinite(point.value):
            return
        label = _label(point.attributes)
        labels = self._labels.get((sender.place, metric.name), set())
        if label not in labels:
            if len(labels) >= GAUGE_LABELS:
                tally.drop("gauge_labels")
                return
            labels.add(label)
        _remember(self._labels, (sender.place, metric.name), labels)
        key = GaugeKey(sender.place, sender.bucket_of(second), metric.name, label)
        sender.pending.add_gauge(key, point.value)


def _latency(metric: Metric, point: Point, divisor: int) -> Histogram:
    seconds = point.sum if math.isfinite(point.sum) and point.sum > 0 else 0.0
    if sum(point.counts) + point.count + point.at_most_zero > MOST_COUNTED:
        raise RequestError(f"A histogram of {metric.name[:64]} counts more than is believed.")
    if metric.form is Form.EXPONENTIAL:
        if not LEAST_SCALE <= point.scale <= MOST_SCALE:
            raise RequestError(f"A histogram of {metric.name[:64]} has the scale {point.scale}.")
        return from_exponential(
            point.scale,
            (point.offset, point.counts),
            point.at_most_zero,
            seconds,
            zero_threshold=point.zero_threshold,
            divisor=divisor,
        )
    try:
        return from_explicit(point.bounds, point.counts, point.count, seconds, divisor)
    except ValueError as error:
        raise RequestError(f"A histogram of {metric.name[:64]} makes no sense: {error}.") from None


def _label(attributes: Mapping[str, Any]) -> str:
    said = ",".join(f"{name}={shown(value)}" for name, value in sorted(attributes.items()))
    return clip(said, NAME_CHARACTERS)


def _remember(memory: OrderedDict[Any, Any], key: object, value: object) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)
