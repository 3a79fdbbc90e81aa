"""An interval set says what a plain set would say, and forgets only on the safe side."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploymark.model.intervals import MAX_GAPS, IntervalSet

_LAST = 2**53 - 1
_NUMBERS = st.lists(st.integers(0, 60) | st.integers(0, _LAST), max_size=60)
_SMALL = st.lists(st.integers(0, 40), max_size=60)


def filled(numbers: list[int], max_gaps: int = MAX_GAPS) -> IntervalSet:
    result = IntervalSet(max_gaps=max_gaps)
    for number in numbers:
        result.add(number)
    return result


def again(numbers: IntervalSet, max_gaps: int = MAX_GAPS) -> IntervalSet:
    return IntervalSet(
        numbers.intervals(),
        horizon=numbers.horizon,
        forgotten=numbers.forgotten,
        forgotten_gaps=numbers.forgotten_gaps,
        max_gaps=max_gaps,
    )


@given(_NUMBERS)
def test_it_holds_what_a_set_would_hold(numbers: list[int]) -> None:
    plain: set[int] = set()
    intervals = IntervalSet()
    for number in numbers:
        assert intervals.add(number) == (number not in plain)
        plain.add(number)
    near = {each + step for each in plain for step in (-1, 0, 1)}
    assert {number for number in near if intervals.contains(number)} == plain
    assert len(intervals) == len(plain)
    assert intervals.highest == max(plain, default=-1)


@given(_SMALL, st.integers(0, 50))
def test_it_misses_what_a_set_would_miss(numbers: list[int], below: int) -> None:
    missing = [number for number in range(below) if number not in set(numbers)]
    count, gaps = filled(numbers).missing_below(below, show=100)
    assert count == len(missing)
    assert [number for start, end in gaps for number in range(start, end + 1)] == missing


@given(_NUMBERS)
def test_no_order_makes_a_difference(numbers: list[int]) -> None:
    assert filled(numbers) == filled(sorted(numbers)) == filled(numbers[::-1])


@given(_SMALL, st.integers(1, 4))
def test_it_comes_back_as_it_was_written(numbers: list[int], max_gaps: int) -> None:
    before = filled(numbers, max_gaps)
    after = again(before, max_gaps)
    assert after == before
    assert len(after) == len(before)


@given(_SMALL, st.integers(1, 4))
def test_what_is_forgotten_is_never_taken_for_received(numbers: list[int], max_gaps: int) -> None:
    intervals = filled(numbers, max_gaps)
    plain = set(numbers)
    top = intervals.highest
    truly_missing = top + 1 - len(plain) if plain else 0
    assert len(list(intervals.gaps_below(top))) <= max_gaps
    assert intervals.missing_below(top)[0] >= truly_missing
    assert len(intervals) <= len(plain)
    assert len(intervals) + intervals.missing_below(top)[0] == top + 1
    assert not any(intervals.contains(number) for number in range(60) if number not in plain)


@given(_SMALL, st.integers(1, 4))
def test_below_the_horizon_nothing_moves_any_more(numbers: list[int], max_gaps: int) -> None:
    intervals = filled(numbers, max_gaps)
    before = again(intervals, max_gaps)
    assert not any(intervals.add(number) for number in range(intervals.horizon))
    assert intervals == before


@given(_SMALL)
def test_in_ascending_order_forgetting_counts_exactly(numbers: list[int]) -> None:
    exact, bounded = filled(sorted(numbers)), filled(sorted(numbers), max_gaps=2)
    top = exact.highest
    assert bounded.missing_below(top)[0] == exact.missing_below(top)[0]
    assert len(bounded) == len(exact)
    gaps = sum(1 for _ in exact.gaps_below(top))
    assert bounded.forgotten_gaps + sum(1 for _ in bounded.gaps_below(top)) == gaps


def test_a_hundred_thousand_gaps_take_no_more_room_than_a_thousand() -> None:
    intervals = filled(list(range(1, 200_001, 2)))
    assert len(intervals.intervals()) <= MAX_GAPS + 1
    assert intervals.missing_below(intervals.highest)[0] == 100_000
    assert intervals.forgotten_gaps == 100_000 - MAX_GAPS


def test_a_number_from_far_away_costs_one_interval() -> None:
    intervals = filled([0, _LAST])
    assert intervals.intervals() == [(0, 0), (_LAST, _LAST)]
    assert intervals.missing_below(_LAST) == (_LAST - 1, [(1, _LAST - 1)])
    assert sys.getsizeof(intervals) < 1_000


def test_only_the_first_gaps_are_shown() -> None:
    count, gaps = filled([1, 3, 5, 7]).missing_below(7, show=2)
    assert (count, gaps) == (4, [(0, 0), (2, 2)])


def test_an_empty_set_misses_all_that_it_is_asked_for() -> None:
    assert IntervalSet().missing_below(-1) == IntervalSet().missing_below(0) == (0, [])
    assert IntervalSet().missing_below(3) == (3, [(0, 2)])


@pytest.mark.parametrize(
    ("intervals", "more"),
    [
        pytest.param([(3, 2)], {}, id="an interval that ends before it starts"),
        pytest.param([(0, 2), (3, 4)], {}, id="two that touch"),
        pytest.param([(5, 6), (0, 2)], {}, id="two in the wrong order"),
        pytest.param([(-1, 2)], {}, id="a negative number"),
        pytest.param([(0, 2)], {"horizon": 1}, id="one below the horizon"),
        pytest.param([], {"forgotten": 1}, id="more forgotten than there were"),
        pytest.param([], {"horizon": 9, "forgotten": 1, "forgotten_gaps": 2}, id="empty gaps"),
        pytest.param([], {"max_gaps": 0}, id="no room for a gap"),
    ],
)
def test_what_is_no_set_is_refused(intervals: list[tuple[int, int]], more: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        IntervalSet(intervals, **more)


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        IntervalSet().add(-1)


def test_it_equals_nothing_else() -> None:
    assert IntervalSet() != set()
    assert repr(filled([1])) == "IntervalSet([(1, 1)], horizon=0, missed=0)"
