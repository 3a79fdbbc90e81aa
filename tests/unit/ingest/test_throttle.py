"""Whoever does too much is told when to come back; whoever does not is never stopped."""

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploymark.errors import RateLimitedError
from deploymark.ingest.throttle import Throttle
from deploymark.testing.clock import ManualClock


class _Buckets:
    """Token buckets as one would explain them: filled steadily, never above the brim."""

    def __init__(self, clock: ManualClock, per_second: int, burst: int) -> None:
        self._clock, self._rate, self._burst = clock, Fraction(per_second, 1000), burst
        self._level: dict[str, tuple[Fraction, int]] = {}

    def take(self, key: str, amount: int) -> int:
        now = self._clock.now_ms()
        level, at = self._level.get(key, (Fraction(self._burst), now))
        level = min(Fraction(self._burst), level + self._rate * (now - at))
        wanted = min(amount, self._burst)
        missing = wanted - level
        self._level[key] = (level if missing > 0 else level - wanted, now)
        return -(-missing // self._rate) if missing > 0 else 0


@given(
    st.sampled_from([1, 2, 5, 10, 100]),
    st.integers(1, 20),
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 30), st.integers(0, 3_000)), max_size=40
    ),
)
def test_it_does_what_buckets_do(
    per_second: int, burst: int, steps: list[tuple[str, int, int]]
) -> None:
    clock = ManualClock()
    throttle, buckets = Throttle(clock, per_second, burst), _Buckets(clock, per_second, burst)
    for key, amount, pause_ms in steps:
        assert throttle.take(key, amount) == buckets.take(key, amount)
        clock.advance(pause_ms / 1000)


@given(st.floats(0.01, 1000), st.integers(1, 50), st.integers(1, 60))
def test_coming_back_when_told_is_always_in_time(
    per_second: float, burst: int, amount: int
) -> None:
    clock = ManualClock()
    throttle = Throttle(clock, per_second, burst)
    assert throttle.take("a", burst) == 0
    wait_ms = throttle.take("a", amount)
    assert wait_ms > 0
    later = ManualClock(clock.now_ms() + wait_ms)
    throttle._clock = later
    assert throttle.take("a", amount) == 0


def test_keys_do_not_share_a_bucket() -> None:
    throttle = Throttle(ManualClock(), 1, 1)
    assert [throttle.take(key) for key in "aabb"] == [0, 1000, 0, 1000]


def test_what_is_refused_takes_nothing() -> None:
    clock = ManualClock()
    throttle = Throttle(clock, 1, 2)
    assert throttle.take("a", 2) == 0
    assert [throttle.take("a") for _ in range(5)] == [1000] * 5
    clock.advance(1)
    assert throttle.take("a") == 0


def test_a_clock_that_is_set_back_locks_nobody_out() -> None:
    clock = ManualClock()
    throttle = Throttle(clock, 1, 3)
    assert throttle.take("a", 3) == 0
    clock.advance(-86_400)
    assert throttle.take("a") == 1000


def test_only_so_many_keys_are_remembered_and_the_longest_unused_goes_first() -> None:
    throttle = Throttle(ManualClock(), 1, 1, keys=3)
    for key in ("a", "b", "c", "a", "d"):
        throttle.take(key)
    assert len(throttle) == 3
    assert throttle.take("a") > 0  # refused a moment ago, so in use
    assert throttle.take("b") == 0  # forgotten, so it starts afresh
    for number in range(1000):
        throttle.take(f"network {number}")
    assert len(throttle) == 3


DEMANDS: dict[str, tuple[Callable[[Throttle], None], int]] = {
    "a little too much": (lambda throttle: throttle.demand("a", "requests"), 1),
    "a whole bucket": (lambda throttle: throttle.demand("a", "requests", 10), 5),
    "more than a bucket": (lambda throttle: throttle.demand("a", "requests", 10_000), 5),
}


@pytest.mark.parametrize("case", DEMANDS)
def test_a_refusal_says_of_what_and_when_to_come_back(case: str) -> None:
    demand, seconds = DEMANDS[case]
    throttle = Throttle(ManualClock(), 2, 10)
    throttle.demand("a", "requests", 10)
    with pytest.raises(RateLimitedError, match=f"Too many requests.* {seconds} s") as caught:
        demand(throttle)
    assert caught.value.retry_after_s == seconds
    assert caught.value.retryable
