"""A set of numbers as the intervals that it consists of: small where numbers come in runs.

The emitter ledger keeps which numbers of an emitter it has seen (spec: identity, "Sequence
accounting"). Standard library only; knows nothing of emitters or of time.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise

MAX_GAPS = 1_024
SHOWN_GAPS = 5

Interval = tuple[int, int]
"""First and last number, both in it."""


class IntervalSet:
    """A set of non-negative integers, bounded however they come.

    When it has more than `max_gaps` gaps, the lowest are forgotten: `horizon` moves up over them,
    and of the numbers below it only is known how many were missing. Those stay missing: a number
    that comes later from below the horizon is not taken back out of the count, because it cannot
    be told from one that was there before. So what is missing may be overstated, never understated.

    Args:
        intervals: What is in it from the start: ascending, and neither touching nor overlapping.
        horizon: The lowest number of which is known whether it is in the set.
        forgotten: How many numbers below the horizon were missing.
        forgotten_gaps: In how many gaps they lay.
        max_gaps: How many gaps are kept apart.

    Raises:
        ValueError: The arguments describe no such set.
    """

    __slots__ = (
        "_ends",
        "_max_gaps",
        "_size",
        "_starts",
        "forgotten",
        "forgotten_gaps",
        "horizon",
    )

    def __init__(
        self,
        intervals: Iterable[Sequence[int]] = (),
        *,
        horizon: int = 0,
        forgotten: int = 0,
        forgotten_gaps: int = 0,
        max_gaps: int = MAX_GAPS,
    ) -> None:
        pairs = [(start, end) for start, end in intervals]
        if not 0 <= forgotten_gaps <= forgotten <= horizon or max_gaps < 1:
            raise ValueError(f"{forgotten} of {horizon} numbers in {forgotten_gaps} gaps")
        if any(start > end for start, end in pairs) or (pairs and pairs[0][0] < horizon):
            raise ValueError("an interval ends before it starts, or starts below the horizon")
        if any(start <= end + 1 for (_, end), (start, _) in pairwise(pairs)):
            raise ValueError("the intervals are not ascending, or not apart")
        self._starts = [start for start, _ in pairs]
        self._ends = [end for _, end in pairs]
        self._max_gaps = max_gaps
        self.horizon, self.forgotten, self.forgotten_gaps = horizon, forgotten, forgotten_gaps
        self._size = horizon - forgotten + sum(end - start + 1 for start, end in pairs)
        self._forget()

    def __len__(self) -> int:
        """Return how many numbers are in it, those below the horizon included."""
        return self._size

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IntervalSet):
            return NotImplemented
        return (self.intervals(), self.horizon, self.forgotten, self.forgotten_gaps) == (
            other.intervals(),
            other.horizon,
            other.forgotten,
            other.forgotten_gaps,
        )

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"IntervalSet({self.intervals()}, horizon={self.horizon}, missed={self.forgotten})"

    @property
    def highest(self) -> int:
        """The highest number in it, -1 when it is empty."""
        return self._ends[-1] if self._ends else -1

    def intervals(self) -> list[Interval]:
        """Return what is in it from the horizon on, ascending; the constructor takes it back."""
        return list(zip(self._starts, self._ends, strict=True))

    def contains(self, number: int) -> bool:
        """Tell whether a number is known to be in it; below the horizon none is."""
        at = bisect_right(self._starts, number)
        return at > 0 and number <= self._ends[at - 1]

    def add(self, number: int) -> bool:
        """Put a number in.

        Returns:
            Whether that changed the set; below the horizon nothing does.

        Raises:
            ValueError: The number is negative.
        """
        if number < 0:
            raise ValueError(f"{number} is negative")
        at = bisect_right(self._starts, number)
        if number < self.horizon or (at > 0 and number <= self._ends[at - 1]):
            return False
        follows = at > 0 and self._ends[at - 1] == number - 1
        precedes = at < len(self._starts) and self._starts[at] == number + 1
        if follows and precedes:
            self._ends[at - 1] = self._ends.pop(at)
            del self._starts[at]
        elif follows:
            self._ends[at - 1] = number
        elif precedes:
            self._starts[at] = number
        else:
            self._starts.insert(at, number)
            self._ends.insert(at, number)
        self._size += 1
        self._forget()
        return True

    def gaps_below(self, number: int) -> Iterator[Interval]:
        """Yield the gaps from the horizon up to a number, which itself does not count."""
        missing = self.horizon
        for start, end in zip(self._starts, self._ends, strict=True):
            if start >= number:
                break
            if start > missing:
                yield missing, start - 1
            missing = end + 1
        if missing < number:
            yield missing, number - 1

    def missing_below(self, number: int, show: int = SHOWN_GAPS) -> tuple[int, list[Interval]]:
        """Return how many numbers below `number` are missing, and the first gaps of them.

        Of a number below the horizon only a bound is known: as many as were forgotten.
        """
        count = min(self.forgotten, max(number, 0)) + sum(
            end - start + 1 for start, end in self.gaps_below(number)
        )
        return count, list(islice(self.gaps_below(number), show))

    def _forget(self) -> None:
        """Move the horizon over the lowest gaps until the others are few enough."""
        while len(self._starts) - self._begins_at_horizon() > self._max_gaps:
            if self._begins_at_horizon():  # so the lowest gap lies behind the first interval
                last = self._ends.pop(0)
                del self._starts[0]
            else:
                last = self.horizon - 1
            self.horizon = self._starts[0]
            self.forgotten += self.horizon - last - 1
            self.forgotten_gaps += 1

    def _begins_at_horizon(self) -> bool:
        return bool(self._starts) and self._starts[0] == self.horizon
