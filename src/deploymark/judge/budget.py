"""Whether an error budget is being spent too fast, without a control to compare with. Pure.

The budget is the share of bad requests that the objective allows: 0.001 for 99.9 %. Burn is the
rate of bad requests divided by it. `BudgetTest` may be looked at any number of times and pauses a
rollout; `pages` is the rule of several windows and burn rates that pages people (B. Beyer and
others, "The Site Reliability Workbook", 2018, chapter 5).
"""

from collections.abc import Mapping, Sequence
from math import exp, log, log1p
from typing import Final, NamedTuple

from deploymark.errors import JudgeError
from deploymark.judge.counts import MOST_COUNT

FACTOR: Final = 2.0
"""The burn that is tolerated: beyond it a rollout pauses."""

_BETS: Final = (1.5, 2.0, 4.0, 8.0, 16.0)


class Burn(NamedTuple):
    """A burn rate that pages when both of its windows exceed it."""

    rate: float
    long_seconds: int
    short_seconds: int


PAIRS: Final = (Burn(14.4, 3_600, 300), Burn(6.0, 21_600, 1_800))
"""The two that page; the short window ends the page soon after the trouble has ended."""


class BudgetTest(NamedTuple):
    """The evidence that the rate of bad requests is above `FACTOR` times the budget.

    Attributes:
        budget: The share of requests that may be bad, above 0 and below 1.
        logs: For each bet, the log of its e-value.
    """

    budget: float
    logs: tuple[float, ...] = (0.0,) * len(_BETS)

    def after(self, bad: int, requests: int, dispersion: float = 1.0) -> "BudgetTest":
        """Return the evidence after more requests, counted once.

        Raises:
            JudgeError: The counts or the budget cannot be.
        """
        _check(self.budget, bad, requests)
        if dispersion < 1.0:
            raise JudgeError(f"A dispersion of {dispersion} would invent evidence.")
        tolerated = self.budget * FACTOR
        if tolerated >= 1.0:
            return self
        rates = [min(tolerated * bet, (1.0 + tolerated) / 2.0) for bet in _BETS]
        good = requests - bad
        steps = [
            bad * log(rate / tolerated) + good * (log1p(-rate) - log1p(-tolerated))
            for rate in rates
        ]
        logs = zip(self.logs, steps, strict=True)
        return self._replace(logs=tuple(known + step / dispersion for known, step in logs))

    @property
    def log_e(self) -> float:
        """The log e-value against "at most `FACTOR` times the budget"; pause at ln 100."""
        most = max(self.logs)
        return most + log(sum(exp(each - most) for each in self.logs) / len(self.logs))


def burn(budget: float, bad: int, requests: int) -> float:
    """Return how many times faster than allowed the budget is spent; 0 without requests.

    Raises:
        JudgeError: The counts or the budget cannot be.
    """
    _check(budget, bad, requests)
    return bad / requests / budget if requests else 0.0


def pages(
    budget: float, windows: Mapping[int, tuple[int, int]], pairs: Sequence[Burn] = PAIRS
) -> Burn | None:
    """Return the first pair of which both windows burn too fast, None when nobody is to be paged.

    Args:
        budget: The share of requests that may be bad.
        windows: By length in seconds, (bad, requests); a window that is absent pages nobody.
        pairs: Those that page.

    Raises:
        JudgeError: The counts or the budget cannot be.
    """
    for pair in pairs:
        both = [windows.get(seconds, (0, 0)) for seconds in (pair.long_seconds, pair.short_seconds)]
        if all(burn(budget, *counts) > pair.rate for counts in both):
            return pair
    return None


def _check(budget: float, bad: int, requests: int) -> None:
    if not 0.0 < budget < 1.0:
        raise JudgeError(f"A budget of {budget} is none.", hint="99.9 % leaves 0.001.")
    if not 0 <= bad <= requests <= MOST_COUNT:
        raise JudgeError(f"{bad} bad of {requests} requests cannot be.")
