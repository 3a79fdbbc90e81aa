"""Evidence that grows look by look and may be acted on at any of them. Pure.

A row is one comparison: the errors of a service, its requests slower than one bound, a gauge. Of
every row eight bets are kept, one for each effect size, and of each bet all that began at an
earlier look: with e_t the e-value of look t and pi_s the share set aside for a beginning at s,

    M_t = sum over s <= t of pi_s e_s ... e_t  +  what is set aside for later,

which is 1 on average under the null hypothesis, whenever one looks and stops (J. Ville, 1939). The
sum needs no memory of the looks: log M = logaddexp(log M, log pi_t) + log e_t. Half is bet from
the first look on; the rest waits, so that a regression that begins late finds fresh capital.

The functions take arrays of which the last two axes are rows and bets, so that all bounds of all
metrics, and in simulations all episodes, are one operation.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

EFFECTS: Final = np.geomspace(1.15, 30.0, 8)
"""Ratios of odds that are bet on; a true one between two is found little later."""

AT_START: Final = 0.5
"""The share that is bet from the first look."""

WITHIN_PLAN: Final = 0.375
"""The share that is spread evenly over the later looks of the plan; the rest over all beyond."""


class Rows(NamedTuple):
    """What is known of each row after some looks.

    Attributes:
        worse: By row and bet, the log of the capital that was ever bet against "no worse".
        within: By row and bet, the log evidence against "at least the margin worse".
        ages: By row, how many looks it has seen.
    """

    worse: Array
    within: Array
    ages: npt.NDArray[np.int64]


def new_rows(*shape: int) -> Rows:
    """Return rows that have seen nothing."""
    return Rows(
        np.full((*shape, EFFECTS.size), -np.inf),
        np.zeros((*shape, EFFECTS.size)),
        np.zeros(shape, dtype=np.int64),
    )


def advance(rows: Rows, log_e_worse: Array, log_e_within: Array, horizon: int) -> Rows:
    """Return the rows after one more look.

    Args:
        rows: Before it.
        log_e_worse: By row and bet, already divided by the dispersion.
        log_e_within: The same.
        horizon: How many looks the plan has.
    """
    ages = rows.ages + 1
    begun = np.logaddexp(rows.worse, _log_start(ages, horizon)[..., None])
    return Rows(begun + log_e_worse, rows.within + log_e_within, ages)


def log_worse(rows: Rows, horizon: int) -> Array:
    """Return the log e-value of each row against "no worse"."""
    return np.logaddexp(_log_mean(rows.worse), _log_unspent(rows.ages, horizon))


def log_within(rows: Rows) -> Array:
    """Return the log e-value of each row against "at least the margin worse"."""
    return _log_mean(rows.within)


def log_sum(logs: Array) -> Array:
    """Return the logarithm of the sum of exponentials along the last axis."""
    most = np.max(logs, axis=-1, keepdims=True)
    safe = np.where(np.isfinite(most), most, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.sum(np.exp(logs - safe), axis=-1)) + safe[..., 0])


def _log_mean(bets: Array) -> Array:
    return np.asarray(log_sum(bets) - np.log(EFFECTS.size))


def _log_start(ages: npt.NDArray[np.int64], horizon: int) -> Array:
    """Return the log of the share that begins at look number `ages`, from 1."""
    later = max(horizon - 1, 1)
    end = later + 1
    # The last part is end / (s (s - 1)) for s > end, which sums to 1.
    far = (1.0 - AT_START - WITHIN_PLAN) * end / (ages * np.maximum(ages - 1.0, 1.0))
    share = np.where(ages <= end, WITHIN_PLAN / later, far)
    return np.asarray(np.log(np.where(ages == 1, AT_START, share)))


def _log_unspent(ages: npt.NDArray[np.int64], horizon: int) -> Array:
    """Return the log of what is still set aside after look number `ages`."""
    later = max(horizon - 1, 1)
    end = later + 1
    last = 1.0 - AT_START - WITHIN_PLAN
    near = last + WITHIN_PLAN * (end - ages) / later
    left = np.where(ages <= end, near, last * end / np.maximum(ages, 1))
    return np.asarray(np.log(np.where(ages == 0, 1.0, left)))
