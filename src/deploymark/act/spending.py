"""What the spending of an error budget gives people to know of the deployments that came. Pure.

Two questions, of counts alone, so that whoever is killed and comes back finds the same answers:

1. *Does the budget break since a deployment came?* (`budget_breached`) By the pairs of windows that
   page. The deployment is the newest one at the moment at which the pair began to hold, if that
   was soon after it came. What held already when it came is not its doing, as far as anybody can
   tell, and a burn long after is neither: alerts on the objective itself, which are not ours, tell
   of these.
2. *Has what has all of the traffic regressed?* (`production_regressed`) By the test "at most twice
   the budget" over everything that it has served alone, which may be looked at at any time; and
   what ran before lay below that line. The evidence is divided by how clumped its errors were in
   the hours before, at least by what is taken where nothing is known. A comparison of before and
   after alone would raise false alarms too often to wake anybody: it only takes alarms away here.

Windows without requests say nothing: nothing begins because something was not seen, and nothing
ends because of it.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from math import isnan, log
from typing import Final

import numpy as np
from msgspec import Struct

from deploymark.act.alerts import AlertCode, Concern
from deploymark.judge.budget import FACTOR, BudgetTest, Burn, burn, pages
from deploymark.judge.dispersion import COLD, of_series
from deploymark.judge.plan import PAUSE_AT
from deploymark.judge.verdict import rounded
from deploymark.model.instants import format_instant
from deploymark.projections.broker.gated import Arrival

BEFORE_MS: Final = 3_600_000
"""How long before a deployment came is looked at, to know how the one before it did."""

_MS: Final = 1_000
_MINUTE: Final = 60


class Counted:
    """Requests of a service in a stretch of time, by a grain.

    Args:
        since_ms: Its beginning, a multiple of the grain.
        grain_ms: The length of each part.
        parts: (bad, requests) of each, in order.

    Attributes:
        since_ms, until_ms, grain_ms: The stretch.
    """

    def __init__(self, since_ms: int, grain_ms: int, parts: Sequence[tuple[int, int]]) -> None:
        self.since_ms = since_ms
        self.grain_ms = grain_ms
        self.until_ms = since_ms + len(parts) * grain_ms
        self._bad = [0, *accumulate(bad for bad, _ in parts)]
        self._requests = [0, *accumulate(requests for _, requests in parts)]

    def within(self, since_ms: int, until_ms: int) -> tuple[int, int]:
        """Return (bad, requests) between two times, whole parts only."""
        start, end = self._place(since_ms), self._place(until_ms)
        if start >= end:
            return 0, 0
        return self._bad[end] - self._bad[start], self._requests[end] - self._requests[start]

    def clumped(self, since_ms: int, until_ms: int) -> float:
        """Return by how much evidence about a stretch is divided, at least `COLD`."""
        start, end = self._place(since_ms), self._place(until_ms)
        bad, requests = (
            np.diff(np.asarray(sums[start : end + 1])) for sums in (self._bad, self._requests)
        )
        found = of_series(requests, bad)
        return COLD if isnan(found) else max(COLD, found)

    def times(self, since_ms: int) -> range:
        """Return the ends of parts from the first at or after some time."""
        first = self.since_ms + self._place(since_ms + self.grain_ms - 1) * self.grain_ms
        return range(first, self.until_ms + 1, self.grain_ms)

    def _place(self, at_ms: int) -> int:
        place = (at_ms - self.since_ms) // self.grain_ms
        return max(0, min(place, len(self._bad) - 1))


class Rules(Struct, frozen=True):
    """By what the spending of one service is judged.

    Attributes:
        budget: The share of requests that may be bad.
        pairs: The burns that page.
        blamed_ms: How soon after it came a burn must begin to be put down to a deployment.
    """

    budget: float
    pairs: tuple[Burn, ...]
    blamed_ms: int

    @property
    def longest_ms(self) -> int:
        """How far the windows reach back."""
        return max(BEFORE_MS, *(pair.long_seconds * _MS for pair in self.pairs))

    @property
    def quiet_ms(self) -> int:
        """How long it must burn slowly again until a regression is over."""
        return max(pair.short_seconds for pair in self.pairs) * _MS


def concerns_of(
    rules: Rules, service: str, environment: str, counted: Counted, arrivals: Sequence[Arrival]
) -> list[Concern]:
    """Return what people should know of the deployments that came, lasting and over.

    Args:
        rules: By which it is judged.
        service: Whose requests were counted.
        environment: Where.
        counted: All requests of the service, from `rules.longest_ms` before the first deployment.
        arrivals: In the order in which they came.

    Raises:
        JudgeError: The counts or the budget cannot be.
    """
    if not arrivals:
        return []
    about = (service, environment)
    found = _breached(rules, about, counted, arrivals)
    for place, arrival in enumerate(arrivals):
        found += _regressed(rules, about, counted, arrival, arrivals[place + 1 :])
    return found


def _breached(
    rules: Rules, about: tuple[str, str], counted: Counted, arrivals: Sequence[Arrival]
) -> list[Concern]:
    # From the last moment of which nothing is the doing of any of them.
    times = counted.times(arrivals[0].came_ms - counted.grain_ms + 1)
    found = []
    for begin_ms, end_ms in _runs(times, lambda at_ms: _breaks(rules, counted, at_ms)):
        # What burns when an older release came back is the doing of the one that had to go.
        came = [each for each in arrivals if each.came_ms < begin_ms and not each.returns]
        pair = burning_pair(rules, counted, begin_ms)
        if not came or pair is None:
            continue  # it is older than all of them
        blamed = came[-1]
        if begin_ms - blamed.came_ms > rules.blamed_ms:
            continue
        before = counted.within(blamed.came_ms - rules.longest_ms, blamed.came_ms)
        said = (
            f"The budget of {rules.budget:.4g} burns more than {pair.rate:g} times too fast over "
            f"{_shown(pair.long_seconds)} and over {_shown(pair.short_seconds)}; the deployment "
            f"came at {format_instant(blamed.came_ms)}, and "
            + ("it did not burn so before." if before[1] else "nothing was counted before it.")
        )
        found.append(
            Concern(AlertCode.BUDGET_BREACHED, *about, blamed.name, said, begin_ms, end_ms)
        )
    return found


def _breaks(rules: Rules, counted: Counted, at_ms: int) -> bool | None:
    if burning_pair(rules, counted, at_ms) is not None:
        return True
    shortest_ms = min(pair.short_seconds for pair in rules.pairs) * _MS
    return False if counted.within(at_ms - shortest_ms, at_ms)[1] else None


def burning_pair(rules: Rules, counted: Counted, at_ms: int) -> Burn | None:
    """Return the pair of windows that pages at a moment, None when none does.

    As much as a pause of a rollout needs must be proven by its long window: where there are few
    requests a single bad one fills both.

    Raises:
        JudgeError: The counts or the budget cannot be.
    """
    # One after the other: that the first is not proven says nothing of the second.
    for pair in rules.pairs:
        short = counted.within(at_ms - pair.short_seconds * _MS, at_ms)
        if burn(rules.budget, *short) <= pair.rate:
            continue  # nearly every moment ends here
        long = counted.within(at_ms - pair.long_seconds * _MS, at_ms)
        windows = {pair.long_seconds: long, pair.short_seconds: short}
        if pages(rules.budget, windows, [pair]) and is_proven(
            BudgetTest(rules.budget).after(*long)
        ):
            return pair
    return None


def is_proven(test: BudgetTest) -> bool:
    """Tell whether a budget provably burns more than `FACTOR` times too fast."""
    return rounded(test.log_e) >= rounded(log(PAUSE_AT))


def _regressed(
    rules: Rules,
    about: tuple[str, str],
    counted: Counted,
    arrival: Arrival,
    later: Sequence[Arrival],
) -> list[Concern]:
    live_ms, before = arrival.live_ms, counted.within(arrival.came_ms - BEFORE_MS, arrival.came_ms)
    if live_ms is None or not arrival.replaces or arrival.returns or not before[1]:
        return []  # nothing ran before it that it could be worse than
    if burn(rules.budget, *before) > FACTOR:
        return []  # it was not well before either
    ends = [arrival.ended_ms, *(each.live_ms for each in later)]
    over_ms = min((each for each in ends if each is not None), default=None)
    last_ms = counted.until_ms if over_ms is None else min(over_ms, counted.until_ms)
    # Behind the next one that comes, requests are no more its own alone.
    alone_ms = min((each.came_ms for each in later), default=last_ms)
    clumped = counted.clumped(arrival.came_ms - rules.longest_ms, arrival.came_ms)
    until_ms = min(alone_ms, last_ms, live_ms + rules.blamed_ms)
    proven_ms = _proven_ms(rules.budget, counted, live_ms, until_ms, clumped)
    if proven_ms is None:
        return []

    def burns(at_ms: int) -> bool | None:
        lately = counted.within(max(live_ms, at_ms - rules.quiet_ms), at_ms)
        return burn(rules.budget, *lately) > FACTOR if lately[1] else None

    said = (
        f"Since {format_instant(live_ms)} it has all of the traffic, and the budget of "
        f"{rules.budget:.4g} provably burns more than {FACTOR:g} times too fast; in the hour "
        f"before it came it did not. Nothing runs beside it, so a cause that came at the same "
        f"time looks the same."
    )
    times = [at_ms for at_ms in counted.times(proven_ms) if at_ms <= last_ms]
    code = AlertCode.PRODUCTION_REGRESSED
    return [
        Concern(code, *about, arrival.name, said, begin_ms, over_ms if end_ms is None else end_ms)
        for begin_ms, end_ms in _runs(times, burns)
    ]


def _proven_ms(
    budget: float, counted: Counted, live_ms: int, until_ms: int, clumped: float
) -> int | None:
    """Return when a regression was proven first; None: it was not, or too late to be blamed on it.

    Nobody compared halves of what has all of the traffic. How clumped its errors were before says
    something, and that it is no less than where nothing is known.
    """
    for at_ms in counted.times(live_ms):
        if at_ms > until_ms:
            return None
        served = counted.within(live_ms, at_ms)
        if burn(budget, *served) <= FACTOR:
            continue  # no bet is won below what is tolerated
        if is_proven(BudgetTest(budget).after(*served, clumped)):
            return at_ms
    return None


def _runs(
    times: Iterable[int], holds: Callable[[int], bool | None]
) -> list[tuple[int, int | None]]:
    """Return from when until when something holds; an end of None: it holds at the last time.

    Where it is not known whether it holds, that stays as it was.
    """
    found: list[tuple[int, int | None]] = []
    begin_ms = None
    for at_ms in times:
        so = holds(at_ms)
        if so and begin_ms is None:
            begin_ms = at_ms
        elif so is False and begin_ms is not None:
            found.append((begin_ms, at_ms))
            begin_ms = None
    if begin_ms is not None:
        found.append((begin_ms, None))
    return found


def _shown(seconds: int) -> str:
    hours, minutes = divmod(seconds, 60 * _MINUTE)
    if not minutes:
        return f"{hours} h"
    return f"{seconds // _MINUTE} min" if seconds % _MINUTE == 0 else f"{seconds} s"
