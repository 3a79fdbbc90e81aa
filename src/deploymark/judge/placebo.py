"""What placebos teach: comparisons of two halves of the stable fleet, which run the same. Pure.

Each placebo is a look like any other, a counting bucket long, with one half in the place of the
canary. From all of them follows how far the evidence on each row is to be trusted, and whether
errors come in clumps. `Watch` counts how long no placebo reached the bound of a rollback.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct, structs

from deploymark.errors import JudgeError
from deploymark.judge.counts import Events, Gauges, Look, check_observation
from deploymark.judge.dispersion import COLD, of_counts, of_signs
from deploymark.judge.evidence import Array
from deploymark.judge.gauge import complete, signs_worse
from deploymark.judge.plan import ROLL_BACK_AT, Kind, Metric, Plan
from deploymark.judge.rows import ALL, CLUMPS, Key, check_kind, clumps, keys_of, rows_of

CLUMP_CAP: Final = 1.0
"""How many events of a cell count on the row of clumps."""

CLUMPED: Final = 2.0
"""The dispersion of single buckets from which a row of clumps is kept beside all events."""

RAISED_BY: Final = 1.5
"""What a placebo that reaches the bound of a rollback multiplies all dispersions by."""

_DIGITS: Final = 9


class Spread(Struct, frozen=True):
    """The dispersion of one metric's rows.

    Attributes:
        keys: Names of the rows of which it was learned.
        dispersions: Of each, at least 1.
        rates: Of each, the rate that the fleet had; what the first look bets with.
        clump_cap: How many events of a cell count on the row of clumps; None without that row.
    """

    keys: tuple[Key, ...] = ()
    dispersions: tuple[float, ...] = ()
    rates: tuple[float, ...] = ()
    clump_cap: float | None = None

    def of(self, key: Key) -> float:
        """Return the dispersion of a row; of one that was never seen, the largest."""
        if key in self.keys:
            return self.dispersions[self.keys.index(key)]
        return max(self.dispersions)


class Watch(Struct, frozen=True):
    """How long placebos have been watched without one that would have rolled back.

    Attributes:
        seconds: Since the count began, or began again.
        factor: What dispersions are multiplied by.
    """

    seconds: int = 0
    factor: float = 1.0

    def after(self, seconds: int, log_e_fail: float) -> "Watch":
        """Return the count after one more placebo comparison.

        Args:
            seconds: How long it was.
            log_e_fail: The highest that its evidence of failure reached.
        """
        if log_e_fail >= np.log(ROLL_BACK_AT):
            return Watch(0, self.factor * RAISED_BY)
        return Watch(self.seconds + seconds, self.factor)


class Placebo(Struct, frozen=True):
    """All that placebos taught; without any, the judge is cold.

    Attributes:
        spreads: By name of the metric.
        watch: How long placebos were watched.
        replicas: Of the stable fleet; one alone has no halves.
    """

    spreads: dict[str, Spread] = {}
    watch: Watch = Watch()
    replicas: int = 0

    def dispersion(self, metric: str, key: Key, wanted_seconds: int) -> float:
        """Return what the log-evidence of a row is divided by."""
        if not self.knows(metric):
            return COLD * self.watch.factor
        learned = self.spreads[metric].of(key)
        # What was learned in too short a time may be too low.
        least = COLD if self.watch.seconds < wanted_seconds else 1.0
        return max(learned, least) * self.watch.factor

    def rate(self, metric: str, key: Key) -> float | None:
        """Return the rate that a row had in the placebos, None where it is not known."""
        spread = self.spreads.get(metric, Spread())
        known = dict(zip(spread.keys, spread.rates, strict=False))
        return known.get(key)

    def clump_cap(self, metric: str) -> float | None:
        """Return the cap of a metric's row of clumps, None without such a row."""
        return self.spreads[metric].clump_cap if self.knows(metric) else None

    @property
    def has_halves(self) -> bool:
        """Whether the stable fleet can be split: one replica alone has nothing to compare with."""
        return self.replicas > 1

    def knows(self, metric: str) -> bool:
        """Tell whether a metric's dispersion was learned."""
        return self.has_halves and metric in self.spreads

    def is_watched(self, wanted_seconds: int) -> bool:
        """Tell whether placebos were watched long enough to advise more than a pause."""
        return self.has_halves and self.watch.seconds >= wanted_seconds


def check_placebo(placebo: Placebo) -> None:
    """Refuse what no placebo can have taught, as a head that somebody changed may hold.

    Raises:
        JudgeError: Says of which metric.
    """
    if placebo.watch.seconds < 0 or placebo.watch.factor < 1.0:
        raise JudgeError("Placebos were watched as they cannot be.", field="/placebo/watch")
    for name, spread in placebo.spreads.items():
        known = len(spread.keys)
        if (
            not known
            or len(spread.dispersions) != known
            or len(spread.rates) not in (0, known)
            or min(spread.dispersions) < 1.0
            or not all(0.0 <= rate <= 1.0 for rate in spread.rates)
            or (spread.clump_cap is not None and spread.clump_cap <= 0.0)
        ):
            raise JudgeError(
                f"What placebos taught of {name} cannot be.", field=f"/placebo/spreads/{name}"
            )


COLD_START: Final = Placebo()
"""No placebo was ever seen."""


def learn(plan: Plan, halves: Sequence[Look], watch: Watch, replicas: int) -> Placebo:
    """Return what placebos teach.

    Args:
        plan: Of the rollouts to come.
        halves: One look for each counting bucket, in the order of time, with one half of the stable
            fleet as canary and the other as control.
        watch: How long placebos were watched.
        replicas: Of the stable fleet.

    Raises:
        JudgeError: A look holds what cannot be.
    """
    sizes = [block // plan.bucket_seconds for block in plan.block_seconds]
    spreads = {}
    for metric in plan.metrics:
        learned = _spread(metric, halves, sizes)
        if learned is not None:
            spreads[metric.name] = learned
    return Placebo(spreads, watch, replicas)


def _spread(metric: Metric, halves: Sequence[Look], sizes: Sequence[int]) -> Spread | None:
    seen = [look.seen[metric.name] for look in halves if metric.name in look.seen]
    for each in seen:
        check_kind(metric, each)
        check_observation(each, metric.name)
    if not seen:
        return None
    if metric.kind is Kind.GAUGE:
        return _spread_of_gauge([each for each in seen if isinstance(each, Gauges)], metric, sizes)
    # The newest bounds are those that a rollout will be judged by.
    keys = keys_of(seen[-1], None)
    table = np.array([rows_of(each, None) for each in seen if keys_of(each, None) == keys])
    x, a, y, b = (table[..., place].T for place in range(4))
    found = of_counts((a, x), (b, y), sizes)
    if np.isnan(found).all():
        return None
    # A bound that hardly anything exceeded is trusted like the nearest one of which more is known.
    known = np.flatnonzero(~np.isnan(found))
    nearest = np.abs(np.arange(found.size)[:, None] - known).argmin(axis=1)
    found = found[known[nearest]]
    rates = (x + y).sum(axis=-1) / np.maximum((a + b).sum(axis=-1), 1)
    spread = Spread(keys, _rounded(found), _rounded(rates))
    events = [each for each in seen if isinstance(each, Events)]
    # Clumps show in single buckets; what shows in longer blocks only is a lasting difference.
    clumped = bool(of_counts((a, x), (b, y), (1,))[0] >= CLUMPED)
    return _with_clumps(spread, events, sizes) if events and clumped else spread


def _with_clumps(spread: Spread, events: Sequence[Events], sizes: Sequence[int]) -> Spread:
    """Add a row of clumps where more is learned from it."""
    table = np.array([clumps(each.canary, each.control, CLUMP_CAP) for each in events])
    x, a, y, b = (table[:, place][None, :] for place in range(4))
    found = of_counts((a, x), (b, y), sizes)
    if not found[0] < spread.dispersions[0]:
        return spread
    return structs.replace(
        spread,
        keys=(ALL, CLUMPS),
        dispersions=(*spread.dispersions, *_rounded(found)),
        rates=(*spread.rates, *_rounded((x + y).sum(axis=-1) / np.maximum((a + b).sum(), 1))),
        clump_cap=CLUMP_CAP,
    )


def _spread_of_gauge(seen: Sequence[Gauges], metric: Metric, sizes: Sequence[int]) -> Spread | None:
    signs = np.array([signs_worse(complete(each.pairs), metric.bad) for each in seen])
    found = of_signs(signs[:, 0], signs[:, 1], sizes)
    return None if np.isnan(found) else Spread((ALL,), (round(found, _DIGITS),))


def _rounded(numbers: Array) -> tuple[float, ...]:
    return tuple(round(float(each), _DIGITS) for each in numbers)
