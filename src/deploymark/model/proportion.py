"""A share of things that were counted, and how far it can be trusted. Pure."""

from math import sqrt
from typing import Final, NamedTuple

CONFIDENCE: Final = 0.95
_Z: Final = 1.959963984540054  # the 97.5 % quantile of the standard normal distribution


class Proportion(NamedTuple):
    """So many of so many.

    Attributes:
        numerator: Those that count, from 0.
        denominator: All of them.
    """

    numerator: int
    denominator: int

    @property
    def value(self) -> float | None:
        """The share, from 0 to 1; None of nothing, which is no perfect share."""
        return self.numerator / self.denominator if self.denominator else None

    def interval(self) -> tuple[float, float] | None:
        """Return the interval of `wilson` at 95 %; None of nothing."""
        if not self.denominator:
            return None
        low, high = wilson(self.numerator / self.denominator, self.denominator)
        # Exact at the ends, where rounding would leave a trace.
        return (
            0.0 if self.numerator == 0 else low,
            1.0 if self.numerator == self.denominator else high,
        )


def wilson(share: float, total: float) -> tuple[float, float]:
    """Return the Wilson score interval (E. B. Wilson, 1927) at 95 %.

    It holds what it promises also near 0 and 1 and for few things, where the usual plus-or-minus
    does not.

    Args:
        share: That was found, from 0 to 1.
        total: Of how many, more than 0.
    """
    square = _Z * _Z / total
    middle = share + square / 2
    spread = _Z * sqrt(share * (1 - share) / total + square / (4 * total))
    return (middle - spread) / (1 + square), (middle + spread) / (1 + square)
