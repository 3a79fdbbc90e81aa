"""Histograms add up and come apart exactly; what they cannot know they do not say."""

import math
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploymark.model.histogram import (
    EMPTY,
    Histogram,
    coarsen,
    difference,
    from_explicit,
    from_exponential,
    merge,
)

_LADDER = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_latencies = st.lists(st.floats(0.000_01, 2_000, allow_nan=False), max_size=40)
_ladders = st.sets(st.sampled_from(_LADDER)).map(lambda each: tuple(sorted(each)))


def counted(latencies: list[float], bounds: tuple[float, ...]) -> Histogram:
    """Count latencies the plain way."""
    counts = [0] * (len(bounds) + 1)
    for each in latencies:
        counts[bisect_left(bounds, each)] += 1
    return Histogram(bounds, tuple(counts), float(len(latencies)))


def exponential(latencies: list[float], scale: int) -> tuple[int, list[int]]:
    """Return offset and counts of an exponential histogram, as OpenTelemetry defines it."""
    indexes = [math.ceil(math.log2(each) * 2.0**scale) - 1 for each in latencies]
    if not indexes:
        return 0, []
    offset = min(indexes)
    return offset, [indexes.count(each) for each in range(offset, max(indexes) + 1)]


@given(_latencies, _latencies, _ladders, _ladders)
def test_a_merged_histogram_is_that_of_all_latencies_on_the_common_bounds(
    one: list[float], other: list[float], left: tuple[float, ...], right: tuple[float, ...]
) -> None:
    common = tuple(sorted(set(left) & set(right)))
    merged = merge(counted(one, left), counted(other, right))
    assert merged == counted([*one, *other], common)
    assert merged == merge(counted(other, right), counted(one, left))


@given(_latencies, _latencies, _latencies, _ladders, _ladders, _ladders)
def test_the_order_of_merging_changes_nothing(
    a: list[float],
    b: list[float],
    c: list[float],
    left: tuple[float, ...],
    middle: tuple[float, ...],
    right: tuple[float, ...],
) -> None:
    one, two, three = counted(a, left), counted(b, middle), counted(c, right)
    assert merge(merge(one, two), three) == merge(one, merge(two, three))


@given(_latencies, _latencies, _ladders, _ladders)
def test_what_was_added_can_be_taken_away(
    one: list[float], more: list[float], before: tuple[float, ...], after: tuple[float, ...]
) -> None:
    earlier, later = counted(one, before), counted([*one, *more], after)
    common = tuple(sorted(set(before) & set(after)))
    assert difference(later, earlier) == counted(more, common)


def test_a_histogram_that_has_shrunk_continues_nothing() -> None:
    assert difference(counted([1.0], _LADDER), counted([1.0, 1.0], _LADDER)) is None
    assert difference(counted([0.02, 0.02], _LADDER), counted([1.0], _LADDER)) is None


@given(_latencies, st.integers(-3, 8))
def test_an_exponential_histogram_keeps_every_count_at_each_of_its_bounds(
    latencies: list[float], scale: int
) -> None:
    made = from_exponential(scale, exponential(latencies, scale), 2, 7.0)
    assert made.total == len(latencies) + 2
    assert list(made.bounds) == sorted(set(made.bounds))
    # A latency beside a bound may be put on its other side by the sender's own logarithm.
    near = 1e-9
    for place, bound in enumerate(made.bounds):
        below = sum(made.counts[: place + 1]) - 2
        least = sum(each <= bound * (1 - near) for each in latencies)
        most = sum(each <= bound * (1 + near) for each in latencies)
        assert least <= below <= most


@given(_latencies, st.integers(0, 6), st.integers(0, 6))
def test_exponential_histograms_of_any_scales_add_up(
    latencies: list[float], one: int, other: int
) -> None:
    first = from_exponential(one, exponential(latencies, one), 0, 1.0)
    second = from_exponential(other, exponential(latencies, other), 0, 1.0)
    assert merge(first, second).total == 2 * len(latencies)
    assert set(merge(first, second).bounds) == set(first.bounds) & set(second.bounds)


def test_milliseconds_have_the_bounds_of_seconds() -> None:
    bounds = [5, 10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000]
    found = from_explicit(bounds, [1] * 15, 15, 1_234.0, 1_000)
    assert found.bounds == (
        *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    )
    assert found.seconds == pytest.approx(1.234)


def test_exponential_milliseconds_lie_where_they_belong() -> None:
    found = from_exponential(0, (6, [3]), 0, 300.0, divisor=1_000)  # above 64, at most 128 ms
    place = found.counts.index(3)
    assert (found.bounds[place - 1], found.bounds[place]) == (0.064, 0.128)


def test_what_lies_below_a_zero_threshold_is_claimed_by_no_bound_below_it() -> None:
    found = from_exponential(0, (-2, [4]), 5, 1.0, zero_threshold=0.2)
    assert found.bounds[0] == 0.25
    assert found.counts[:2] == (5, 4)


def test_values_outside_the_grid_are_counted_at_its_ends() -> None:
    found = from_exponential(0, (-40, [1]), 0, 0.0)
    assert found.counts[0] == 1
    found = from_exponential(0, (40, [1]), 0, 0.0)
    assert found.counts[-1] == 1
    found = from_exponential(-10, (-1, [1, 1]), 0, 0.0)
    assert (found.bounds, found.counts) == ((1.0,), (1, 1))


@pytest.mark.parametrize(
    ("bounds", "counts"),
    [([1.0], [1]), ([2.0, 1.0], [1, 1, 1]), ([1.0, 1.0], [1, 1, 1]), ([math.nan], [1, 1])],
    ids=["counts missing", "bounds fall", "bounds repeat", "a bound is no number"],
)
def test_a_histogram_that_makes_no_sense_is_refused(bounds: list[float], counts: list[int]) -> None:
    with pytest.raises(ValueError, match=r"bound|counts"):
        from_explicit(bounds, counts, sum(counts), 0.0)


def test_a_total_without_buckets_is_a_histogram_without_bounds() -> None:
    assert from_explicit([], [], 7, 3.5) == Histogram((), (7,), 3.5)
    assert merge(EMPTY, counted([1.0], _LADDER)).bounds == ()


def test_an_infinite_bound_is_no_bound() -> None:
    assert from_explicit([1.0, math.inf], [1, 2, 0], 3, 0.0) == Histogram((1.0,), (1, 2), 0.0)


def test_bounds_that_are_dropped_give_their_counts_to_the_next() -> None:
    found = coarsen(Histogram((1.0, 2.0, 3.0), (1, 2, 3, 4), 0.0), (2.0,))
    assert found == Histogram((2.0,), (3, 7), 0.0)
