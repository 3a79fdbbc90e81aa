"""The contract of `ports.SeriesSource`, as a suite that any implementation can be put through.

The suite writes a past, the caller brings it about in whatever the source asks, and the suite looks
at what would be drawn. Charts are for people, so values are compared as a person would.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from deploymark.ports import Sampled, SeriesQuery, SeriesSource
from deploymark.ports.series import ERRORS, LATENCY_P95, REQUESTS, SATURATION

SECONDS: Final = 10
"""How long each part of the past lasts."""

FAST_SECONDS, SLOW_SECONDS = 0.03, 0.7
BOUNDS: Final = (0.1, 0.5, 1.0)
"""Bounds that every histogram of the past has."""

NAMES: Final = (ERRORS, LATENCY_P95, REQUESTS, SATURATION)

_CALM, _BAD = 40, 20
_NEAR: Final = 0.2


class Load(NamedTuple):
    """What a service did in one part of the past.

    Attributes:
        requests: How many it answered; `errors` failed, `slow` took `SLOW_SECONDS`.
        saturation: Share of what there is at most.
    """

    requests: int
    errors: int
    slow: int
    saturation: float


@dataclass(frozen=True, slots=True)
class SeriesWorld:
    """A source that knows the past.

    Attributes:
        source: Under test.
        start_ms: When the past began.
        service, environment: Whose past it is.
    """

    source: SeriesSource
    start_ms: int
    service: str
    environment: str


def exercise_series_source(make: Callable[[Sequence[Load]], SeriesWorld]) -> None:
    """Put a source through the contract.

    Args:
        make: Brings a past about: one `Load` for each ten seconds.

    Raises:
        AssertionError: It does not keep the contract.
    """
    past = [Load(100, 0, 0, 0.2)] * _CALM + [Load(100, 50, 50, 0.8)] * _BAD
    world = make(past)
    end_ms = world.start_ms + len(past) * SECONDS * 1_000
    query = SeriesQuery(world.start_ms, end_ms, SECONDS * 1_000, world.service, world.environment)
    found = world.source.sampled(query, NAMES)
    assert set(found) == set(NAMES)
    _check_order(found, query)
    _check_values(found, world.start_ms)
    assert set(world.source.sampled(query, (REQUESTS,))) == {REQUESTS}
    _check_nothing(world, query._replace(service="nobody"))
    day_ms = 86_400_000
    earlier = query._replace(since_ms=query.since_ms - day_ms, until_ms=end_ms - day_ms)
    _check_nothing(world, earlier)
    assert world.source.name


def _check_order(found: dict[str, Sampled], query: SeriesQuery) -> None:
    for name, sampled in found.items():
        times = [at_ms for at_ms, _ in sampled.samples]
        assert times == sorted(set(times)), f"{name} is not in order"
        assert all(query.since_ms <= at_ms <= query.until_ms for at_ms in times), name
        assert len(times) > _BAD, f"{name} has too few values"


def _check_values(found: dict[str, Sampled], start_ms: int) -> None:
    bad_ms = start_ms + _CALM * SECONDS * 1_000
    calm = {name: _values(each, start_ms + 60_000, bad_ms) for name, each in found.items()}
    # Rates look back, so the change is slow to show.
    bad = {name: _values(each, bad_ms + 120_000, bad_ms * 2) for name, each in found.items()}
    assert max(calm[ERRORS]) <= _NEAR / 10
    assert abs(max(bad[ERRORS]) - 0.5) <= _NEAR
    rates = (*calm[REQUESTS], *bad[REQUESTS])
    assert abs(max(rates) - 10) <= 10 * _NEAR
    assert max(calm[LATENCY_P95]) <= BOUNDS[0]
    assert max(bad[LATENCY_P95]) >= BOUNDS[1]
    assert abs(max(bad[SATURATION]) - 0.8) <= _NEAR / 10
    assert abs(max(calm[SATURATION]) - 0.2) <= _NEAR / 10


def _values(sampled: Sampled, since_ms: int, until_ms: int) -> list[float]:
    return [value for at_ms, value in sampled.samples if since_ms <= at_ms < until_ms]


def _check_nothing(world: SeriesWorld, query: SeriesQuery) -> None:
    for name, sampled in world.source.sampled(query, NAMES).items():
        assert sampled.samples == [], f"{name} is made up"
        assert sampled.missing, f"{name} does not say what is missing"
