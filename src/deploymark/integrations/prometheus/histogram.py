"""Reads histograms of Prometheus, classic and native, as `model.histogram` has them. Pure."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from deploymark.errors import QueryError
from deploymark.integrations.prometheus.answer import Native, Series
from deploymark.model.histogram import Histogram, from_exponential

_EXACT: Final = 2**53
_CLOSED_RIGHT: Final = 0
_LEAST_SCALE, _MOST_SCALE = -4, 8
_NEAR: Final = 1e-6


def whole(value: float, name: str) -> int:
    """Return the value of a counter as the whole number that it is.

    Raises:
        QueryError: It is none: what is selected does not count things.
    """
    if not 0 <= value <= _EXACT or value != math.floor(value):
        raise QueryError(
            f"{name} has the value {value}, which counts nothing.",
            hint="Select a counter of whole things, such as requests.",
            field="/metrics",
        )
    return int(value)


def classic(series: Sequence[Series], name: str) -> dict[int, Histogram]:
    """Return a classic histogram at each instant.

    An instant at which it has no infinite bucket, or at which a larger bucket holds less than a
    smaller one, is left out: that is no state of a histogram.

    Args:
        series: The `_bucket` series of one label set; `le` tells them apart.
        name: Of the metric, for messages.

    Raises:
        QueryError: A bucket has no bound, or counts nothing whole.
    """
    found: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for each in series:
        bound = _bound(each.labels.get("le", ""), name)
        for at_ms, value in each.values.items():
            found[at_ms].append((bound, whole(value, name)))
    states = {}
    for at_ms in sorted(found):
        buckets = sorted(found[at_ms])
        counts = [later - earlier for (_, earlier), (_, later) in pairwise([(0, 0), *buckets])]
        bounds = tuple(bound for bound, _ in buckets[:-1])
        if buckets[-1][0] == math.inf and min(counts) >= 0 and len(set(bounds)) == len(bounds):
            states[at_ms] = Histogram(bounds, tuple(counts))
    return states


def native(states: Iterable[tuple[int, Native]], name: str) -> dict[int, Histogram]:
    """Return a native histogram at each instant, on the common grid of the model.

    Raises:
        QueryError: Its buckets are not exponential, or count nothing whole.
    """
    return {at_ms: _native(state, name) for at_ms, state in sorted(states)}


def _native(state: Native, name: str) -> Histogram:
    at_most_zero, threshold = 0, 0.0
    positive: dict[int, int] = {}
    scale = _MOST_SCALE
    for rule, left_text, right_text, count_text in state.buckets:
        left, right = _float(left_text, name), _float(right_text, name)
        count = whole(_float(count_text, name), name)
        if rule != _CLOSED_RIGHT or left <= 0:
            # Zero lies between two ends that are both closed; what is below zero is no duration.
            at_most_zero, threshold = at_most_zero + count, max(threshold, right)
            continue
        scale = _scale(left, right, name)
        positive[round(math.log2(right) * 2.0**scale) - 1] = count
    first = min(positive, default=0)
    counts = [positive.get(index, 0) for index in range(first, max(positive, default=-1) + 1)]
    return from_exponential(scale, (first, counts), at_most_zero, 0.0, zero_threshold=threshold)


def _scale(left: float, right: float, name: str) -> int:
    """Return the scale of which a bucket has the width."""
    steps = -math.log2(math.log2(right / left)) if math.isfinite(right) and right > left else 0.5
    scale = round(steps)
    if abs(steps - scale) > _NEAR or not _LEAST_SCALE <= scale <= _MOST_SCALE:
        raise QueryError(
            f"The native histogram {name} has a bucket from {left} to {right}.",
            hint="Only exponential buckets are read; select its classic `_bucket` series.",
            field="/metrics",
        )
    return scale


def _bound(text: str, name: str) -> float:
    bound = _float(text, name)
    if math.isnan(bound):
        raise QueryError(f"A bucket of {name} has the bound {text!r}.", field="/metrics")
    return bound


def _float(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise QueryError(
            f"A bucket of {name} has {text!r} where a number should be.",
            hint="Select the series of a histogram; those of a classic one end in `_bucket`.",
            field="/metrics",
        ) from None
