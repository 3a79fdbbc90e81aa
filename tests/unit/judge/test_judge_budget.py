"""When an error budget is spent too fast."""

from math import comb, exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploymark.errors import JudgeError
from deploymark.judge.budget import PAIRS, BudgetTest, burn, pages


@given(budget=st.floats(1e-4, 0.6), below=st.floats(0, 1), size=st.integers(0, 12))
def test_a_rate_within_twice_the_budget_wins_nothing_on_average(
    budget: float, below: float, size: int
) -> None:
    rate = min(1.0, 2 * budget) * below
    total = sum(
        comb(size, bad)
        * rate**bad
        * (1 - rate) ** (size - bad)
        * exp(BudgetTest(budget).after(bad, size).log_e)
        for bad in range(size + 1)
    )
    assert total <= 1 + 1e-9


def test_a_burn_of_ten_pauses_and_a_burn_of_one_does_not() -> None:
    chance = np.random.default_rng(1)
    fast = slow = BudgetTest(0.001)
    for _ in range(30):
        fast = fast.after(int(chance.binomial(1_000, 0.01)), 1_000)
        slow = slow.after(int(chance.binomial(1_000, 0.001)), 1_000)
    assert fast.log_e > log(100) > 0 > slow.log_e


def test_huge_counts_and_none_are_borne() -> None:
    assert np.isfinite(BudgetTest(0.001).after(10**9, 10**9).log_e)
    assert np.isfinite(BudgetTest(0.001).after(0, 10**9).log_e)
    assert BudgetTest(0.001).after(0, 0).log_e == pytest.approx(0)


def test_dispersion_makes_the_evidence_weaker() -> None:
    plain, careful = (BudgetTest(0.001).after(20, 1_000, each).log_e for each in (1.0, 4.0))
    assert 0 < careful < plain


def test_both_windows_must_burn() -> None:
    budget = 0.001
    hot, cool = (20, 1_000), (1, 1_000)
    warm = (7, 1_000)
    for windows, expected in (
        ({3_600: hot, 300: hot}, PAIRS[0]),
        ({3_600: hot, 300: cool}, None),
        ({3_600: cool, 300: hot}, None),
        ({3_600: hot}, None),
        ({3_600: cool, 300: cool, 21_600: warm, 1_800: warm}, PAIRS[1]),
        ({21_600: warm, 1_800: (0, 0)}, None),
        ({}, None),
    ):
        assert pages(budget, windows) == expected


def test_a_burn_of_nothing_is_none() -> None:
    assert burn(0.01, 0, 0) == 0
    assert burn(0.01, 2, 100) == pytest.approx(2)


@pytest.mark.parametrize(
    ("budget", "bad", "requests", "dispersion"),
    [(0.0, 1, 2, 1.0), (1.0, 1, 2, 1.0), (0.1, 3, 2, 1.0), (0.1, -1, 2, 1.0), (0.1, 1, 2, 0.5)],
)
def test_what_cannot_be_is_refused_by_the_budget(
    budget: float, bad: int, requests: int, dispersion: float
) -> None:
    with pytest.raises(JudgeError):
        BudgetTest(budget).after(bad, requests, dispersion)
