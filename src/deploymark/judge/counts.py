"""What is seen in one look: counts of canary and control, never averages. Pure.

Whoever counts (an adapter) sees to restarts, resets, warm-up and cohorts. Here counts are only
checked for what cannot be: more events than trials, negative numbers, bounds that do not rise.
"""

from itertools import pairwise
from math import isfinite

from msgspec import Struct

from deploymark.errors import JudgeError

MOST_COUNT = 2**53 - 1
"""Counts beyond are no longer exact in JSON or in double precision."""


class Tally(Struct, frozen=True):
    """So many events among so many trials, of one arm.

    Attributes:
        trials: Requests, mostly.
        events: How many of them were, for example, errors.
        cells: The same, apart for each replica and counting bucket, as (trials, events); empty
            where only the sums are known. They show whether events come in clumps.
    """

    trials: int = 0
    events: int = 0
    cells: tuple[tuple[int, int], ...] = ()


class Events(Struct, frozen=True, tag="events"):
    """Events of both arms."""

    canary: Tally = Tally()
    control: Tally = Tally()


class Latencies(Struct, frozen=True, tag="latency"):
    """Durations of both arms, in one set of buckets.

    Attributes:
        bounds: Upper bounds (`le`) in seconds, inclusive, rising, without the infinite one.
        canary, control: How many fell into each bucket, not cumulative; one more than bounds, the
            last for what exceeds them all.
    """

    bounds: tuple[float, ...]
    canary: tuple[int, ...]
    control: tuple[int, ...]


class Gauges(Struct, frozen=True, tag="gauge"):
    """Values that were scraped at the same times, as (canary, control).

    A pair of which a value is missing, None or not finite, says nothing.
    """

    pairs: tuple[tuple[float | None, float | None], ...] = ()


Observation = Events | Latencies | Gauges


class Look(Struct, frozen=True):
    """Everything that was seen in one window of time.

    Attributes:
        since_ms: When the window began. No two windows overlap: a request counts once.
        until_ms: When it ended.
        seen: By name of the metric; one that is absent was not seen.
    """

    since_ms: int
    until_ms: int
    seen: dict[str, Observation]


def check_observation(seen: Observation, name: str) -> None:
    """Refuse counts that cannot be.

    Raises:
        JudgeError: Names the metric and what is wrong.
    """
    match seen:
        case Events():
            _check_tally(seen.canary, f"canary of {name}")
            _check_tally(seen.control, f"control of {name}")
        case Latencies():
            if not seen.bounds:
                raise JudgeError(f"{name} has no bounds.")
            if any(not later > earlier for earlier, later in pairwise(seen.bounds)):
                raise JudgeError(f"The bounds of {name} do not rise.")
            if not all(map(isfinite, seen.bounds)):
                raise JudgeError(f"A bound of {name} is not finite.")
            for counts in (seen.canary, seen.control):
                if len(counts) != len(seen.bounds) + 1:
                    raise JudgeError(f"{len(counts)} buckets do not fit the bounds of {name}.")
                if min(counts) < 0 or sum(counts) > MOST_COUNT:
                    raise JudgeError(f"A bucket of {name} holds a count that cannot be.")
        case Gauges():
            pass


def _check_tally(tally: Tally, whose: str) -> None:
    if not 0 <= tally.events <= tally.trials <= MOST_COUNT:
        raise JudgeError(f"The {whose} has {tally.events} events in {tally.trials} trials.")
    if tally.cells:
        if any(not 0 <= events <= trials for trials, events in tally.cells):
            raise JudgeError(f"A cell of the {whose} has more events than trials.")
        sums = (sum(cell[0] for cell in tally.cells), sum(cell[1] for cell in tally.cells))
        if sums != (tally.trials, tally.events):
            raise JudgeError(f"The cells of the {whose} do not add up.")
