"""Plans and looks for the tests of the judge."""

from collections.abc import Iterator

import numpy as np

from deploymark.judge.counts import Events, Gauges, Latencies, Look, Observation, Tally
from deploymark.judge.placebo import Placebo, Spread, Watch
from deploymark.judge.plan import Kind, Metric, Plan

MINUTE_MS = 60_000
BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0)

ERRORS = Metric("errors")
LATENCY = Metric("latency", Kind.LATENCY)
MEMORY = Metric("memory", Kind.GAUGE, margin=1.5)
PLAN = Plan((ERRORS,))


def spread(*keys: float | str, dispersion: float = 1.0) -> Spread:
    return Spread(keys or ("all",), (dispersion,) * max(1, len(keys)))


WARM = Placebo(
    {"errors": spread(), "latency": spread(*BOUNDS), "memory": spread(), "orders": spread()},
    Watch(86_400),
    4,
)


def look(number: int, **seen: Observation) -> Look:
    return Look(number * MINUTE_MS, (number + 1) * MINUTE_MS, seen)


def events(x: int, a: int, y: int, b: int) -> Events:
    return Events(Tally(a, x), Tally(b, y))


def error_looks(
    rates: tuple[float, float], requests: tuple[int, int], looks: int, seed: int = 1
) -> Iterator[Look]:
    chance = np.random.default_rng(seed)
    for number in range(looks):
        x, y = (int(chance.binomial(n, p)) for n, p in zip(requests, rates, strict=True))
        yield look(number, errors=events(x, requests[0], y, requests[1]))


def latencies(canary: tuple[int, ...], control: tuple[int, ...]) -> Latencies:
    return Latencies(BOUNDS, canary, control)


def gauges(*pairs: tuple[float | None, float | None]) -> Gauges:
    return Gauges(pairs)
