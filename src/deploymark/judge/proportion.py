"""How much two counted proportions speak against "the canary is no worse". Pure.

The e-values of R. Turner, A. Ly and P. Grünwald, "Generic E-variables for exact sequential
k-sample tests that allow for optional stopping" (2021): the likelihood of a chosen alternative
(pc, pb), divided by that of the point of the null hypothesis nearest to it (in relative entropy,
with the sizes of this block). It is an e-value for a null hypothesis that is convex, because then

    log E[e] <=   a (qc - pc*) (pc - pc*) / (pc* (1 - pc*))
                + b (qb - pb*) (pb - pb*) / (pb* (1 - pb*))

which, as (pc*, pb*) is the nearest point, is at most 0 at every (qc, qb) of the null hypothesis.
The alternative may depend on everything that was seen *before* the block, and on nothing in it.
All arguments are arrays, or numbers, that broadcast.
"""

from typing import Final

import numpy as np

from deploymark.judge.evidence import Array

LEAST_RATE: Final = 1e-9
"""Working rates keep this distance from 0 and 1, where a logarithm would end."""


def log_e_worse(x: Array, a: Array, y: Array, b: Array, rates: tuple[Array, Array]) -> Array:
    """Return the log e-value of x of a (canary) and y of b (control) against equal rates.

    Args:
        x: Bad ones of the canary.
        a: All of the canary.
        y: Bad ones of the control.
        b: All of the control.
        rates: The alternative (pc, pb). With pc > pb the null hypothesis is "canary's rate is at
            most control's", with pc < pb it is "at least".
    """
    pc, pb = rates
    total = np.maximum(a + b, 1.0)
    # Where nothing was counted any point will do: all factors are 0.
    p0 = np.where(a + b > 0, (a * pc + b * pb) / total, pb)
    return np.asarray(_log_ratio(x, a, pc, p0) + _log_ratio(y, b, pb, p0))


def shifted(rate: Array, odds_ratio: Array) -> Array:
    """Return the rate whose odds are those of `rate` times a ratio."""
    return rate * odds_ratio / (1.0 + rate * (odds_ratio - 1.0))


def nearest_at_margin(a: Array, b: Array, rates: tuple[Array, Array], margin: Array) -> Array:
    """Return pb of the point with pc = margin x pb that is nearest to (pc, pb).

    It is the smaller root of m(a+b)p^2 - Bp + A = 0 with A = a pc + b pb and
    B = A(m+1) + a m (1 - pc) + b (1 - pb); m = 1 gives the pooled rate.
    """
    pc, pb = rates
    good = a * pc + b * pb
    linear = good * (margin + 1.0) + a * margin * (1.0 - pc) + b * (1.0 - pb)
    square = np.maximum(linear * linear - 4.0 * margin * (a + b) * good, 0.0)
    bottom = linear + np.sqrt(square)
    # Written so that nothing cancels; where nothing was counted any point will do.
    return np.where(bottom > 0, 2.0 * good / np.maximum(bottom, LEAST_RATE), pb)


def log_e_within(x: Array, a: Array, y: Array, b: Array, *, rate: Array, margin: Array) -> Array:
    """Return the log e-value of x of a and y of b against "rate of a >= margin x rate of b".

    The alternative is the same machine: both at `rate`. Where that itself lies in the null
    hypothesis' impossible corner (margin x rate >= 1), nothing is bet.
    """
    possible = margin * rate < 1.0 - LEAST_RATE
    rate = np.where(possible, rate, 0.5 / margin)
    pb = np.clip(nearest_at_margin(a, b, (rate, rate), margin), LEAST_RATE / margin, None)
    pc = np.minimum(margin * pb, 1.0 - LEAST_RATE)
    found = _log_ratio(x, a, rate, pc) + _log_ratio(y, b, rate, pb)
    return np.asarray(np.where(possible & (a > 0) & (b > 0), found, 0.0))


def _log_ratio(events: Array, trials: Array, p: Array, p0: Array) -> Array:
    """Return the logarithm of the ratio of the likelihoods of p and p0."""
    hit = np.log(p) - np.log(p0)
    miss = np.log1p(-p) - np.log1p(-p0)
    return np.asarray(events * hit + (trials - events) * miss)
