"""One look as rows of numbers: for each comparison x of a (canary) and y of b (control). Pure.

Events give one row, and a second one where it was learned that they come in clumps (`placebo`).
Latencies give a row for each bound: requests slower than it. So no percentile has to be
chosen before. A gauge gives one row without counts; its bets are on signs (`gauge`).
"""

from collections.abc import Sequence
from itertools import accumulate
from math import isfinite
from typing import Final, NamedTuple

from deploymark.errors import JudgeError
from deploymark.judge.counts import Events, Gauges, Latencies, Observation, Tally
from deploymark.judge.plan import Kind, Metric

Key = float | str
"""What names a row within its metric: a bound in seconds, or a word."""

ALL: Final = "all"
CLUMPS: Final = "clumps"

_KINDS: Final = {Kind.EVENTS: Events, Kind.LATENCY: Latencies, Kind.GAUGE: Gauges}


class Row(NamedTuple):
    """x bad ones of a in the canary, y bad ones of b in control."""

    x: float
    a: int
    y: float
    b: int


NOTHING: Final = Row(0, 0, 0, 0)


def check_kind(metric: Metric, seen: Observation) -> None:
    """Refuse an observation that is of another kind than the plan says.

    Raises:
        JudgeError: Names the metric.
    """
    if not isinstance(seen, _KINDS[metric.kind]):
        raise JudgeError(f"{metric.name} is planned as {metric.kind}, and was seen as another.")


def keys_of(seen: Observation, clump_cap: float | None) -> tuple[Key, ...]:
    """Return the names of the rows that an observation gives."""
    match seen:
        case Latencies():
            return tuple(map(float, seen.bounds))
        case Events():
            return (ALL,) if clump_cap is None else (ALL, CLUMPS)
        case Gauges():
            return (ALL,)


def rows_of(seen: Observation, clump_cap: float | None) -> list[Row]:
    """Return the rows of an observation, in the order of their keys."""
    match seen:
        case Latencies():
            return _slower(seen)
        case Events():
            canary, control = seen.canary, seen.control
            row = Row(canary.events, canary.trials, control.events, control.trials)
            return [row] if clump_cap is None else [row, clumps(canary, control, clump_cap)]
        case Gauges():
            return [NOTHING]


def arms_of(seen: Observation) -> tuple[int, int]:
    """Return how much was seen of canary and of control."""
    match seen:
        case Latencies():
            return sum(seen.canary), sum(seen.control)
        case Events():
            return seen.canary.trials, seen.control.trials
        case Gauges():
            ours = sum(one is not None and isfinite(one) for one, _ in seen.pairs)
            theirs = sum(other is not None and isfinite(other) for _, other in seen.pairs)
            return ours, theirs


def clumps(canary: Tally, control: Tally, cap: float) -> Row:
    """Return events of which each cell counts only a few, so that a clump is hardly more than one.

    A cap changes rates, and it changes them less where a cell has few requests. So that this never
    looks like a regression, the larger cells are allowed more where canary's cells are the
    smaller ones (a limit of the *rate*, which a small cell reaches sooner), and all are allowed the
    same otherwise (a limit of the *count*, which a large cell reaches sooner). For clumps that
    arrive in proportion to requests, the canary's capped rate is then at most control's when
    their rates are equal. Which of the two it is follows from the numbers of requests alone.
    """
    if not canary.cells or not control.cells:
        return NOTHING
    ours = canary.trials / max(1, sum(trials > 0 for trials, _ in canary.cells))
    theirs = control.trials / max(1, sum(trials > 0 for trials, _ in control.cells))
    by_rate = cap / theirs if 0 < ours < theirs else None
    return Row(
        _capped(canary.cells, cap, by_rate),
        canary.trials,
        _capped(control.cells, cap, by_rate),
        control.trials,
    )


def _capped(cells: Sequence[tuple[int, int]], cap: float, by_rate: float | None) -> float:
    if by_rate is None:
        return float(sum(min(events, cap) for _, events in cells))
    return float(sum(min(events, by_rate * trials) for trials, events in cells))


def _slower(seen: Latencies) -> list[Row]:
    a, b = sum(seen.canary), sum(seen.control)
    within = zip(accumulate(seen.canary), accumulate(seen.control), strict=True)
    # The last bucket has no bound that could be exceeded.
    found = [Row(a - ours, a, b - theirs, b) for ours, theirs in within]
    return found[:-1]
