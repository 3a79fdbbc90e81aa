"""Shares and their intervals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploymark.model.proportion import Proportion

# Computed with statsmodels' proportion_confint(count, total, method="wilson").
_KNOWN = {
    (0, 10): (0.0, 0.27753279),
    (8, 10): (0.49016247, 0.94331783),
    (99, 100): (0.94551434, 0.99823263),
    (10, 10): (0.72246721, 1.0),
}


@pytest.mark.parametrize("counts", _KNOWN, ids=lambda counts: f"{counts[0]} of {counts[1]}")
def test_the_interval_is_that_of_wilson(counts: tuple[int, int]) -> None:
    assert Proportion(*counts).interval() == pytest.approx(_KNOWN[counts], abs=1e-6)


def test_nothing_of_nothing_is_no_share() -> None:
    assert Proportion(0, 0).value is None
    assert Proportion(0, 0).interval() is None


@given(st.integers(1, 10**9).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_share_lies_in_its_interval_and_that_between_0_and_1(counts: tuple[int, int]) -> None:
    share = Proportion(*counts)
    interval, value = share.interval(), share.value
    assert interval is not None
    assert value is not None
    assert 0 <= interval[0] <= value <= interval[1] <= 1


@given(st.integers(0, 100))
def test_more_of_the_same_says_more(count: int) -> None:
    few, many = Proportion(count, 100).interval(), Proportion(100 * count, 10_000).interval()
    assert few is not None
    assert many is not None
    assert many[1] - many[0] < few[1] - few[0]
