"""Gauges: at each scrape a bet on who has the higher value. Pure.

A gauge has no trials, and neither its values nor their spread can be trusted to follow a law. What
can be counted is how often canary's value lies above control's when both are read at the same
time. Under "no worse" that is at most every second time, whatever the values' distribution. A bet
that wins a share of the capital when it is above and loses it when it is below is then fair or
worse (sign betting; see G. Shafer and V. Vovk, "Game-Theoretic Foundations", 2019). Equal values
and pairs of which one is missing bet nothing.

Scrapes that follow each other closely are nearly one scrape: memory does not change in a second.
The dispersion learned from placebos, which the log-evidence is divided by, is what allows for that.
"""

from collections.abc import Iterable
from math import isfinite

import numpy as np

from deploymark.judge.evidence import EFFECTS, Array
from deploymark.judge.plan import Bad

_WIN = np.log(2.0 * EFFECTS / (1.0 + EFFECTS))
_LOSE = np.log(2.0 / (1.0 + EFFECTS))


def complete(pairs: Iterable[tuple[float | None, float | None]]) -> list[tuple[float, float]]:
    """Return the pairs of which both values are there and finite."""
    return [
        (one, other)
        for one, other in pairs
        if one is not None and other is not None and isfinite(one) and isfinite(other)
    ]


def signs_worse(pairs: Iterable[tuple[float, float]], bad: Bad) -> tuple[int, int]:
    """Return how often canary was on the bad side of control, and how often on the good one."""
    above = below = 0
    for canary, control in pairs:
        above += canary > control
        below += canary < control
    return (above, below) if bad is Bad.RISES else (below, above)


def signs_within(pairs: Iterable[tuple[float, float]], bad: Bad, margin: float) -> tuple[int, int]:
    """Return how often canary kept within the margin of control, and how often not.

    A pair that lies exactly at the margin counts as not within. A margin is a ratio, so a control
    at or below 0 shows nothing.
    """
    kept = lost = 0
    for canary, control in pairs:
        if control <= 0:
            continue
        within = canary < margin * control if bad is Bad.RISES else canary * margin > control
        kept += within
        lost += not within
    return kept, lost


def log_e_signs(wins: int, losses: int) -> Array:
    """Return, for each bet, the log e-value against "at most every second sign is a win"."""
    found: Array = wins * _WIN + losses * _LOSE
    return found
