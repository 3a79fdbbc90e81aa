"""A distribution of durations in fixed buckets: what a histogram metric is made of. Pure."""

from bisect import bisect_left
from typing import Final

BOUNDS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 21_600.0),
)
"""Upper bounds in seconds: from a request to a spool that waited for hours."""


class Distribution:
    """How many durations fell into each bucket, and their sum. Not safe on several threads."""

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds

    def copy(self) -> "Distribution":
        """Return one of its own with the same content."""
        other = Distribution()
        other.buckets, other.sum = list(self.buckets), self.sum
        return other

    def cumulative(self) -> list[tuple[str, int]]:
        """Return (upper bound, durations up to it) of each bucket, as Prometheus wants them."""
        found, total = [], 0
        for bound, count in zip([*map(str, BOUNDS), "+Inf"], self.buckets, strict=True):
            total += count
            found.append((bound, total))
        return found
