"""A histogram of latencies that can be added and subtracted without inventing anything. Pure.

One form for every source: upper bounds in seconds and a count for each bucket, the last one
without a bound. A bucket holds what is above the bound before it and at most its own bound, as in
OpenTelemetry and Prometheus. Two histograms with the same bounds add up exactly. With different
bounds only those that both have are kept (`merge`): the result says less, and nothing wrong.

Exponential histograms (OpenTelemetry data model, "ExponentialHistogram") are brought to one grid:
powers of two to the quarter (`FINEST_SCALE`), coarser where the sender was coarser. Scaling down
joins whole buckets, so it is exact too. What lies outside the grid is counted in its first and in
its unbounded last bucket.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from operator import add, sub
from typing import Final

from msgspec import Struct

FINEST_SCALE: Final = 2
"""Bounds are at least 2**(1/4) apart, 19 percent: 97 of them from 61 us to 17 minutes."""

_LEAST_EXPONENT, _MOST_EXPONENT = -14, 10
# In a unit of which `divisor` make a second, the same range begins at other powers of two.
_SHIFTS: Final = {1: 0, 1_000: 10, 1_000_000: 20, 1_000_000_000: 30}


class Histogram(Struct, frozen=True):
    """How many latencies fell into each bucket.

    Attributes:
        bounds: Upper bounds in seconds, inclusive, rising; may be empty.
        counts: One more than bounds; the last is what exceeds all of them. Not whole where
            sampled requests stand for others.
        seconds: The sum of all latencies, as far as it was sent.
    """

    bounds: tuple[float, ...] = ()
    counts: tuple[float, ...] = (0,)
    seconds: float = 0.0

    @property
    def total(self) -> float:
        """How many latencies there are."""
        return sum(self.counts)


EMPTY: Final = Histogram()
"""No bounds and no counts; adding it to another leaves only that one's total."""


def merge(one: Histogram, other: Histogram) -> Histogram:
    """Return both together, with the bounds that both have."""
    one, other = _aligned(one, other)
    counts = tuple(map(add, one.counts, other.counts))
    return Histogram(one.bounds, counts, one.seconds + other.seconds)


def difference(later: Histogram, earlier: Histogram) -> Histogram | None:
    """Return what came between two states of one growing histogram.

    Returns:
        None when any bucket has shrunk: the later state does not continue the earlier one.
    """
    later, earlier = _aligned(later, earlier)
    counts = tuple(map(sub, later.counts, earlier.counts))
    if min(counts) < 0:
        return None
    return Histogram(later.bounds, counts, max(0.0, later.seconds - earlier.seconds))


def coarsen(histogram: Histogram, bounds: Sequence[float]) -> Histogram:
    """Return a histogram with some of its bounds only; each count joins the next bound kept."""
    kept = set(bounds)
    counts: list[float] = []
    waiting: float = 0
    for bound, count in zip(histogram.bounds, histogram.counts, strict=False):
        waiting += count
        if bound in kept:
            counts.append(waiting)
            waiting = 0
    left = tuple(bound for bound in histogram.bounds if bound in kept)
    return Histogram(left, (*counts, waiting + histogram.counts[-1]), histogram.seconds)


def from_explicit(
    bounds: Sequence[float], counts: Sequence[int], total: int, seconds: float, divisor: int = 1
) -> Histogram:
    """Return an explicit histogram of OpenTelemetry.

    Args:
        bounds: In units of which `divisor` make a second.
        counts: One more than bounds; none when the sender keeps only the total.
        total: How many; used when there are no counts.
        seconds: The sum, in the same unit as the bounds.
        divisor: 1 for seconds, 1,000 for milliseconds.

    Raises:
        ValueError: The bounds do not rise, or the counts do not fit them.
    """
    if not counts:
        return Histogram((), (total,), seconds / divisor)
    if len(counts) != len(bounds) + 1:
        raise ValueError(f"{len(counts)} counts do not fit {len(bounds)} bounds")
    # The last bucket has no bound, also where the sender wrote one that is infinite.
    if bounds and bounds[-1] == math.inf:
        bounds, counts = bounds[:-1], [*counts[:-2], counts[-2] + counts[-1]]
    return Histogram(_checked(tuple(bounds), divisor), tuple(counts), seconds / divisor)


def from_exponential(
    scale: int,
    positive: tuple[int, Sequence[int]],
    at_most_zero: int,
    seconds: float,
    *,
    zero_threshold: float = 0.0,
    divisor: int = 1,
) -> Histogram:
    """Return an exponential histogram of OpenTelemetry, on the common grid.

    Args:
        scale: Of the sender: bucket i holds what is above base**i and at most base**(i+1), with
            base = 2**(2**-scale).
        positive: The first bucket's i, and the counts from there.
        at_most_zero: The zero count, and everything negative: clocks were moved.
        seconds: The sum, in the sender's unit.
        zero_threshold: What the zero count holds is at most this.
        divisor: Units in a second: 1, 1,000, 1,000,000 or 1,000,000,000.
    """
    target = min(scale, FINEST_SCALE)
    offset, found = positive
    first, bounds = _grid(target, divisor)
    counts = [0] * (len(bounds) + 1)
    counts[0] = at_most_zero
    for index, count in enumerate(found, offset):
        if count:
            place = (index >> (scale - target)) + 1 - first
            counts[min(max(place, 0), len(bounds))] += count
    made = Histogram(bounds, tuple(counts), seconds / divisor)
    if at_most_zero and zero_threshold / divisor > bounds[0]:
        # Nobody knows where below its threshold the zero count lies.
        made = coarsen(made, [bound for bound in bounds if bound >= zero_threshold / divisor])
    return made


@lru_cache(maxsize=1_024)
def _checked(bounds: tuple[float, ...], divisor: int) -> tuple[float, ...]:
    """Return bounds in seconds; the same ones come with every point of a metric."""
    if any(math.isnan(bound) for bound in bounds):
        raise ValueError("a bound is no number")
    if any(not later > earlier for earlier, later in pairwise(bounds)):
        raise ValueError("the bounds do not rise")
    return tuple(bound / divisor for bound in bounds)


@lru_cache(maxsize=128)
def _grid(scale: int, divisor: int) -> tuple[int, tuple[float, ...]]:
    """Return the number of the first bound of a scale, and all bounds in seconds."""
    step = 2.0**-scale
    shift = _SHIFTS[divisor]
    first = math.ceil((_LEAST_EXPONENT + shift) / step)
    last = max(first, math.floor((_MOST_EXPONENT + shift) / step))
    exponents = [min(number * step, 64.0) for number in range(first, last + 1)]
    return first, tuple(2.0**exponent / divisor for exponent in exponents)


def _aligned(one: Histogram, other: Histogram) -> tuple[Histogram, Histogram]:
    if one.bounds == other.bounds:
        return one, other
    common = set(one.bounds).intersection(other.bounds)
    return coarsen(one, tuple(common)), coarsen(other, tuple(common))
