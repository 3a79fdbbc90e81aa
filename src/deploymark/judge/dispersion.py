"""How much more two halves of the same fleet differ than counting alone explains. Pure.

Errors come in clumps, replicas differ a little, gauges change slowly: then evidence that takes
every request for independent finds regressions where there are none. So the stable fleet is split
in two halves that run the same release, a *placebo*, and they are compared in blocks. The ratio of
the squared differences to what independent counting would give is the dispersion. Log-evidence is
divided by it: with d >= 1, E[e^(1/d)] <= E[e]^(1/d) <= 1 (Jensen): what was valid stays so.

It is the largest ratio over several lengths of blocks, because slow drifts show in long ones only.
What exceeds 1 is multiplied by a safety factor: the noise of counting is known, only the excess was
learned. There are few long blocks, so the largest of several such ratios lies above the true one
even where all are equal: a ratio of longer blocks counts less its own standard error.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from deploymark.judge.evidence import Array

SAFETY: Final = 1.3
"""What the excess of the largest ratio over 1 is multiplied by."""

COLD: Final = 4.0
"""The dispersion that is taken where no placebo was ever seen."""

FEWEST_BLOCKS: Final = 8
"""A length of which there are fewer blocks with events says too little."""

Counts = npt.NDArray[np.int64] | Array


def of_counts(
    first: tuple[Counts, Counts], second: tuple[Counts, Counts], sizes: Sequence[int]
) -> Array:
    """Return the dispersion of each row of counts.

    Args:
        first: Trials and events of one half; by row and counting bucket, in the order of time.
        second: Of the other half.
        sizes: Lengths of the blocks, in buckets.

    Returns:
        By row; NaN where too little was seen for any length.
    """
    found = []
    for size in sizes:
        a, x = (_blocks(each, size) for each in first)
        b, y = (_blocks(each, size) for each in second)
        total, events = a + b, x + y
        safe = np.maximum(total, 2.0)
        # Given how many events a block has in both halves, those of the first are hypergeometric.
        variance = a * b / safe * (events / safe) * (total - events) / (safe - 1.0)
        found.append(_ratio((x - a * events / safe) ** 2, variance))
    return _largest(found)


def of_signs(wins: Counts, losses: Counts, sizes: Sequence[int]) -> float:
    """Return the dispersion of the signs of a gauge.

    Args:
        wins: How often one half was above the other, by counting bucket.
        losses: How often it was below.
        sizes: Lengths of the blocks, in buckets.

    Returns:
        NaN where too little was seen for any length.
    """
    found = []
    for size in sizes:
        won, lost = _blocks(wins, size), _blocks(losses, size)
        found.append(_ratio((won - lost) ** 2, won + lost))
    return float(_largest(found))


def of_series(trials: Counts, events: Counts) -> float:
    """Return how much more the share of events changes over time than counting alone explains.

    For what has no second half to be compared with: Pearson's statistic by its degrees of freedom.
    What changes slowly counts as clumped too, so it is rather too large than too small.

    Args:
        trials: By counting bucket, in the order of time.
        events: The same.

    Returns:
        NaN where fewer than `FEWEST_BLOCKS` buckets have trials, or where there are no events.
    """
    seen = trials > 0
    total, bad, buckets = trials[seen].sum(), events[seen].sum(), int(seen.sum())
    if buckets < FEWEST_BLOCKS or bad in (0, total):
        return float("nan")
    share = bad / total
    expected = trials[seen] * share
    squares = (events[seen] - expected) ** 2 / (expected * (1.0 - share))
    return float(squares.sum() / (buckets - 1))


def _ratio(squares: Array, variance: Array) -> tuple[Array, Array]:
    """Return squared differences over their variance, both summed over blocks; and its error.

    It is a ratio of sums, because a mean of ratios would be ruled by blocks with hardly an event.
    Where too few blocks tell anything it is NaN.
    """
    telling = variance > 0
    summed = variance.sum(axis=-1)
    safe = np.where(summed > 0, summed, 1.0)
    ratio = (squares * telling).sum(axis=-1) / safe
    rest = (squares - ratio[..., None] * variance) * telling
    error = np.sqrt((rest * rest).sum(axis=-1)) / safe
    enough = telling.sum(axis=-1) >= FEWEST_BLOCKS
    return np.where(enough, ratio, np.nan), error


def _largest(found: Sequence[tuple[Array, Array]]) -> Array:
    (shortest, _), *longer = found
    ratios = np.stack([shortest, *(ratio - error for ratio, error in longer)])
    known = ~np.isnan(ratios)
    most = np.max(np.where(known, ratios, -np.inf), axis=0)
    return np.where(known.any(axis=0), np.maximum(1.0 + SAFETY * (most - 1.0), 1.0), np.nan)


def _blocks(counts: Counts, size: int) -> Array:
    """Return sums of blocks along the last axis; an unfinished block is left out."""
    whole = counts.shape[-1] // size * size
    parted = counts[..., :whole].reshape(*counts.shape[:-1], -1, size)
    return np.asarray(parted.sum(axis=-1), dtype=np.float64)
