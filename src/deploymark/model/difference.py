"""How much more often requests fail after than before, and how far that can be trusted. Pure."""

from math import sqrt
from typing import NamedTuple

from deploymark.model.proportion import wilson


class Tally(NamedTuple):
    """Requests of one window.

    Attributes:
        errors: Those that failed; no whole number where sampled requests stand for others.
        requests: All of them; likewise.
        seen: How many were really looked at.
    """

    errors: float = 0.0
    requests: float = 0.0
    seen: int = 0

    @property
    def share(self) -> float | None:
        """The share of errors, from 0 to 1; None of nothing."""
        return min(1.0, self.errors / self.requests) if self.requests > 0 and self.seen else None

    def plus(self, other: "Tally") -> "Tally":
        """Return the requests of both."""
        return Tally(
            self.errors + other.errors, self.requests + other.requests, self.seen + other.seen
        )


class Difference(NamedTuple):
    """The requests before and after a change."""

    before: Tally = Tally()
    after: Tally = Tally()

    @property
    def value(self) -> float | None:
        """The share of errors after minus the one before, from -1 to 1; None of nothing."""
        before, after = self.before.share, self.after.share
        return None if before is None or after is None else after - before

    def interval(self) -> tuple[float, float] | None:
        """Return the interval of the difference at 95 %; None of nothing.

        R. G. Newcombe, "Interval estimation for the difference between independent proportions"
        (1998), method 10: made of the Wilson intervals of both shares, so it holds near 0 too. It
        takes requests as independent; errors that come in clumps make it too narrow.
        """
        before, after = self.before.share, self.after.share
        if before is None or after is None:
            return None
        low_before, high_before = wilson(before, self.before.seen)
        low_after, high_after = wilson(after, self.after.seen)
        value = after - before
        return (
            value - sqrt((after - low_after) ** 2 + (high_before - before) ** 2),
            value + sqrt((high_after - after) ** 2 + (before - low_before) ** 2),
        )

    def plus(self, other: "Difference") -> "Difference":
        """Return the requests of both, before and after."""
        return Difference(self.before.plus(other.before), self.after.plus(other.after))
