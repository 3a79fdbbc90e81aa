"""The difference of two shares, and how far it can be trusted."""

import pytest

from deploymark.model.difference import Difference, Tally


def tally(errors: float, requests: float, seen: int | None = None) -> Tally:
    return Tally(errors, requests, round(requests) if seen is None else seen)


def test_the_interval_is_the_one_that_newcombe_prints() -> None:
    # R. G. Newcombe (1998), table II: 56/70 - 48/80 and 9/10 - 3/10, method 10.
    two = Difference(tally(48, 80), tally(56, 70))
    assert two.value == pytest.approx(0.2)
    assert two.interval() == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert Difference(tally(3, 10), tally(9, 10)).interval() == pytest.approx(
        (0.1705, 0.8090), abs=5e-5
    )


def test_without_any_error_it_is_still_not_certain() -> None:
    found = Difference(tally(0, 100), tally(0, 100))
    assert found.value == 0
    low, high = found.interval() or (0, 0)
    assert low < 0 < high


@pytest.mark.parametrize("empty", [Tally(), Tally(0, 5, 0)])
def test_of_nothing_there_is_no_difference(empty: Tally) -> None:
    for found in (Difference(empty, tally(1, 2)), Difference(tally(1, 2), empty)):
        assert (found.value, found.interval()) == (None, None)


def test_requests_that_stand_for_others_make_it_no_surer() -> None:
    whole = Difference(tally(10, 1_000), tally(20, 1_000)).interval() or (0, 0)
    sampled = Difference(tally(10, 1_000, 100), tally(20, 1_000, 100)).interval() or (0, 0)
    assert sampled[1] - sampled[0] > 3 * (whole[1] - whole[0])


def test_differences_add_up_by_their_requests() -> None:
    one, two = Difference(tally(1, 10), tally(2, 10)), Difference(tally(0, 90), tally(0, 90))
    assert one.plus(two) == Difference(tally(1, 100), tally(2, 100))
