"""Durations fall into the buckets of a histogram."""

from hypothesis import given
from hypothesis import strategies as st

from deploymark.model.distribution import BOUNDS, Distribution


@given(st.lists(st.floats(0, 1e6, allow_nan=False)))
def test_each_bucket_counts_what_does_not_exceed_its_bound(durations: list[float]) -> None:
    distribution = Distribution()
    for seconds in durations:
        distribution.add(seconds)
    *steps, (last, total) = distribution.cumulative()
    assert (last, total) == ("+Inf", len(durations))
    assert [float(bound) for bound, _ in steps] == list(BOUNDS)
    for bound, count in steps:
        assert count == sum(seconds <= float(bound) for seconds in durations)


def test_a_copy_stands_for_itself() -> None:
    first = Distribution()
    first.add(1.5)
    second = first.copy()
    first.add(2.0)
    assert (second.sum, second.cumulative()[-1]) == (1.5, ("+Inf", 1))
