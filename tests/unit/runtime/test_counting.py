"""What takes long to count is counted seldom, and told as it was counted last."""

from collections.abc import Iterator

import pytest

from deploymark.runtime.counting import REST, Counting
from deploymark.testing.clock import ManualClock

PATIENCE_SECONDS = 10


class Counter:
    """Counts 1, 2, 3, …; each takes so long."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.takes_seconds = 0.0
        self.counted = 0

    def __call__(self) -> int:
        self._clock.advance(self.takes_seconds)
        self.counted += 1
        return self.counted


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def counter(clock: ManualClock) -> Counter:
    return Counter(clock)


@pytest.fixture
def counting(clock: ManualClock, counter: Counter) -> Iterator[Counting[int]]:
    opened = Counting(counter, clock, 15, lambda: clock.now_ms() / 1_000)
    yield opened
    opened.close()


def read(counting: Counting[int]) -> int | None:
    return counting.read(PATIENCE_SECONDS, PATIENCE_SECONDS)


def test_what_was_counted_quickly_is_counted_again_when_it_is_old(
    counting: Counting[int], clock: ManualClock
) -> None:
    assert read(counting) == 1
    clock.advance(14.9)
    assert read(counting) == 1
    clock.advance(0.1)
    assert read(counting) == 2


def test_what_took_long_to_count_rests_for_many_times_as_long(
    counting: Counting[int], counter: Counter, clock: ManualClock
) -> None:
    counter.takes_seconds = 10
    assert read(counting) == 1
    clock.advance(10 * REST - 0.1)
    assert read(counting) == 1
    clock.advance(0.1)
    assert read(counting) == 2


def test_a_clock_that_was_set_back_keeps_nothing_for_hours(
    counting: Counting[int], counter: Counter, clock: ManualClock
) -> None:
    counter.takes_seconds = 10
    read(counting)
    clock.advance(-3_600)
    assert read(counting) == 2
