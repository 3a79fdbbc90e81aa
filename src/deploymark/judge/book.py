"""The rows of all metrics side by side, so that a look is a handful of operations on arrays. Pure.

Which rows there are follows from what was seen. When the bounds of a histogram change, rows that
are gone end and new ones begin: the metric's capital is divided anew, so that no evidence is made
of nothing. Each new row gets an equal part of it; what is left goes to the rows that stay, as it
was among them.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from deploymark.judge import evidence
from deploymark.judge.evidence import EFFECTS, Array, Rows
from deploymark.judge.plan import Bad, Kind, Metric
from deploymark.judge.proportion import LEAST_RATE, log_e_within, log_e_worse, shifted
from deploymark.judge.rows import CLUMPS, Key, Row

MEMORY: Final = 0.95
"""How much control's earlier looks weigh, from one look to the next, in the working rate."""

LEAST_RELEVANT: Final = 0.01
MOST_RELEVANT: Final = 0.3
"""Shares of control's earlier requests between which a bound is relevant for a pass."""

SEED_TRIALS: Final = 2_000.0
"""How many requests the rate that is known from before the first look counts for."""

_ROOM: Final = 0.9

Layout = tuple[tuple[Key, ...], ...]
Dispersion = Callable[[str, Key], float]
Rate = Callable[[str, Key], float | None]


class Book:
    """The evidence on every row of every metric.

    Args:
        metrics: Of the plan.
        horizon: How many looks the plan has.
        dispersion: Of a row, by metric and key.
        rate: Of a row before the first look, by metric and key; None where nothing is known.
    """

    def __init__(
        self, metrics: Sequence[Metric], horizon: int, dispersion: Dispersion, rate: Rate
    ) -> None:
        self._metrics = metrics
        self._horizon = horizon
        self._dispersion = dispersion
        self._rate = rate
        self.layout: Layout = ((),) * len(metrics)
        self._rows = evidence.new_rows(0)
        self._shares: Array = np.zeros(0)
        self._known: Array = np.zeros((0, 2))
        self._relevant: npt.NDArray[np.bool_] = np.zeros(0, dtype=bool)
        self._settle()

    def arrange(self, layout: Layout) -> None:
        """Make room for these rows; what is known of rows that stay is kept."""
        if layout == self.layout:
            return
        value = self._shares + evidence.log_worse(self._rows, self._horizon)
        old = {place: number for number, place in enumerate(_places(self.layout))}
        shares: list[float] = []
        for number, (before, keys) in enumerate(zip(self.layout, layout, strict=True)):
            shares += _shared(
                {key: (value[old[number, key]], self._shares[old[number, key]]) for key in before},
                keys,
            )
        self.layout = layout
        places = _places(layout)
        origin = np.array([old.get(place, len(old)) for place in places], dtype=np.int64)
        fresh = evidence.new_rows(1)
        self._rows = Rows(
            *(np.concatenate(both)[origin] for both in zip(self._rows, fresh, strict=True))
        )
        known = [
            self._known[old[place]] if place in old else self._seed(*place) for place in places
        ]
        self._known = np.array(known, dtype=np.float64).reshape(-1, 2)
        self._shares = np.array(shares)
        self._settle()

    def _seed(self, number: int, key: Key) -> tuple[float, float]:
        """Return trials and events that stand for what was known before the first look."""
        rate = self._rate(self._metrics[number].name, key)
        return (0.0, 0.0) if rate is None else (SEED_TRIALS, SEED_TRIALS * rate)

    def _settle(self) -> None:
        places = _places(self.layout)
        metrics = [self._metrics[number] for number, _ in places]
        self._divisor = np.array(
            [
                [self._dispersion(metric.name, key)]
                for metric, (_, key) in zip(metrics, places, strict=True)
            ]
        ).reshape(-1, 1)
        self._margin = np.array([metric.margin for metric in metrics])
        self._falls = np.array([metric.bad is Bad.FALLS for metric in metrics], dtype=bool)
        self._odds = np.where(self._falls[:, None], 1.0 / EFFECTS, EFFECTS)
        self._is_bound = np.array([metric.kind is Kind.LATENCY for metric in metrics], dtype=bool)
        self._is_shown = np.array([key != CLUMPS for _, key in places], dtype=bool)
        sizes = [len(keys) for keys in self.layout]
        ends = np.cumsum([0, *sizes])
        self._filled = [number for number, size in enumerate(sizes) if size]
        self._starts = np.array([ends[number] for number in self._filled], dtype=np.int64)
        self.first = {number: int(ends[number]) for number in self._filled}

    def take(self, rows: Sequence[Row], signs: dict[int, tuple[Array, Array]]) -> None:
        """Bet on one look.

        Args:
            rows: In the order of the layout.
            signs: Log e-values of gauges against "no worse" and "the margin worse", by the number
                of the metric; their rows hold no counts.
        """
        table: Array = np.array(rows, dtype=np.float64).reshape(-1, 4)
        x, a, y, b = table.T
        trials, events = self._known.T
        known = (trials > 0)[:, None]
        rate = np.clip((events + 0.5) / (trials + 1.0), LEAST_RATE, 1.0 - LEAST_RATE)
        q = rate[:, None]
        x1, a1, y1, b1 = (each[:, None] for each in (x, a, y, b))
        worse = log_e_worse(x1, a1, y1, b1, (shifted(q, self._odds), q))
        within = self._within(table, rate)[:, None]
        worse, within = np.where(known, worse, 0.0), np.where(known, within, 0.0)
        within = np.repeat(within, EFFECTS.size, axis=1)
        for number, (log_worse, log_within) in signs.items():
            worse[self.first[number]] = log_worse
            within[self.first[number]] = log_within
        self._relevant = self._is_relevant(rate) & self._is_shown
        self._rows = evidence.advance(
            self._rows, worse / self._divisor, within / self._divisor, self._horizon
        )
        self._known = self._known * MEMORY + np.stack([b, y], axis=1)

    def log_fail(self) -> tuple[list[float], list[int]]:
        """Return each metric's log evidence of failure, and the place of its strongest row."""
        value = self._shares + evidence.log_worse(self._rows, self._horizon)
        found, worst = [0.0] * len(self._metrics), [0] * len(self._metrics)
        if self._filled:
            sums = np.logaddexp.reduceat(value, self._starts).tolist()
            for number, log_e in zip(self._filled, sums, strict=True):
                found[number] = log_e
                first = self.first[number]
                worst[number] = int(value[first : first + len(self.layout[number])].argmax())
        return found, worst

    def log_pass(self) -> list[float]:
        """Return each metric's log pass evidence, of the worst relevant row; 0 without one."""
        found = [0.0] * len(self._metrics)
        if self._filled:
            value = np.where(self._relevant, evidence.log_within(self._rows), np.inf)
            least = np.minimum.reduceat(value, self._starts).tolist()
            for number, log_e in zip(self._filled, least, strict=True):
                found[number] = log_e if np.isfinite(log_e) else 0.0
        return found

    def dispersion(self, number: int) -> float:
        """Return the largest dispersion of a metric's rows, 1 without any."""
        if number not in self.first:
            return 1.0
        first = self.first[number]
        return float(self._divisor[first : first + len(self.layout[number])].max())

    def _within(self, table: Array, rate: Array) -> Array:
        # What may not fall is what control may not exceed: the arms change their places.
        swapped = np.where(self._falls[:, None], table[:, [2, 3, 0, 1]], table)
        x, a, y, b = swapped.T
        return log_e_within(x, a, y, b, rate=rate, margin=self._margin)

    def _is_relevant(self, rate: Array) -> npt.NDArray[np.bool_]:
        most = np.minimum(MOST_RELEVANT, _ROOM / self._margin)
        # A bound of which nothing is known yet is not known to be irrelevant: it holds a pass up.
        unknown = self._known[:, 0] == 0
        within = (rate >= LEAST_RELEVANT) & (rate <= most)
        return np.asarray(~self._is_bound | unknown | within)


def _places(layout: Layout) -> list[tuple[int, Key]]:
    return [(number, key) for number, keys in enumerate(layout) for key in keys]


def _shared(old: dict[Key, tuple[float, float]], keys: Sequence[Key]) -> list[float]:
    """Return log shares of a metric's rows after a change; `old` has value and share of each."""
    if tuple(old) == tuple(keys):
        return [share for _, share in old.values()]
    if not old:
        return [float(-np.log(len(keys)))] * len(keys)
    whole = np.logaddexp.reduce([value for value, _ in old.values()])
    fresh = float(whole - np.log(len(keys)))
    stay = [key for key in keys if key in old]
    if not stay:
        return [fresh] * len(keys)
    left = np.logaddexp.reduce([old[key][0] for key in stay])
    scale = whole + np.log(len(stay) / len(keys)) - left
    return [float(old[key][1] + scale) if key in old else fresh for key in keys]
