"""The e-values of two counted proportions are what they promise, on every small block."""

from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploymark.judge.evidence import EFFECTS, Array
from deploymark.judge.proportion import (
    log_e_within,
    log_e_worse,
    nearest_at_margin,
    shifted,
)

RATES = np.array([0.0, 1e-6, 0.003, 0.05, 0.2, 0.5, 0.8, 0.97, 1.0])
SIZES = [(1, 1), (3, 2), (2, 7), (1, 9), (6, 6)]
SLACK = 1 + 1e-9

_rate = st.floats(1e-6, 1 - 1e-6)
_size = st.integers(0, 8)


def _binomial(n: int, p: float) -> Array:
    return np.array([comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)])


def _mean(log_e: Array, a: int, b: int, rates: tuple[float, float]) -> float:
    """Return E[e], over all outcomes."""
    return float(_binomial(a, rates[0]) @ np.exp(log_e) @ _binomial(b, rates[1]))


def _outcomes(a: int, b: int) -> tuple[Array, Array, Array, Array]:
    x, y = np.meshgrid(np.arange(a + 1.0), np.arange(b + 1.0), indexing="ij")
    return x, np.array(float(a)), y, np.array(float(b))


def _arrays(x: int, a: int, y: int, b: int) -> tuple[Array, Array, Array, Array]:
    return (np.array(float(x)), np.array(float(a)), np.array(float(y)), np.array(float(b)))


@pytest.mark.parametrize(("a", "b"), SIZES)
@pytest.mark.parametrize("q", [0.001, 0.04, 0.5, 0.9])
def test_no_worse_canary_wins_nothing_on_average(a: int, b: int, q: float) -> None:
    for effect in (*EFFECTS, *(1 / EFFECTS)):
        pc = shifted(np.array(q), effect)
        log_e = log_e_worse(*_outcomes(a, b), (pc, np.array(q)))
        for one, other in product(RATES, RATES):
            if one <= other if effect > 1 else one >= other:
                assert _mean(log_e, a, b, (one, other)) <= SLACK


@pytest.mark.parametrize(("a", "b"), SIZES)
@pytest.mark.parametrize("q", [0.001, 0.04, 0.3, 0.9])
@pytest.mark.parametrize("margin", [1.1, 2.0, 5.0])
def test_a_canary_beyond_the_margin_gains_no_pass_evidence(
    a: int, b: int, q: float, margin: float
) -> None:
    log_e = log_e_within(*_outcomes(a, b), rate=np.array(q), margin=np.array(margin))
    for other in RATES:
        for ratio in (1.0, 1.3, 4.0):
            if other * margin * ratio <= 1:
                assert _mean(log_e, a, b, (other * margin * ratio, other)) <= SLACK


@given(a=_size, b=_size, q=_rate, w=st.floats(1.0, 50.0), rates=st.tuples(_rate, _rate))
def test_no_baseline_and_no_split_makes_evidence_of_nothing(
    a: int, b: int, q: float, w: float, rates: tuple[float, float]
) -> None:
    pc = shifted(np.array(q), np.array(w))
    log_e = log_e_worse(*_outcomes(a, b), (pc, np.array(q)))
    assert _mean(log_e, a, b, (min(rates), max(rates))) <= SLACK
    # Divided by a dispersion it stays so.
    assert _mean(log_e / 1.7, a, b, (min(rates), max(rates))) <= SLACK


@given(a=_size, b=_size, q=_rate, margin=st.floats(1.01, 20.0), other=_rate, more=st.floats(0, 1))
def test_no_baseline_and_no_margin_passes_what_is_beyond(
    a: int, b: int, q: float, margin: float, other: float, more: float
) -> None:
    pb = other / margin
    pc = min(1.0, margin * pb)
    log_e = log_e_within(*_outcomes(a, b), rate=np.array(q), margin=np.array(margin))
    assert _mean(log_e, a, b, (pc + more * (1 - pc), pb)) <= SLACK


@given(
    a=st.integers(1, 10**6),
    b=st.integers(1, 10**6),
    q=st.floats(1e-4, 0.9),
    margin=st.floats(1.0, 5.0),
)
def test_the_nearest_point_is_the_nearest(a: int, b: int, q: float, margin: float) -> None:
    rates = (np.array(q), np.array(q))
    pb = float(nearest_at_margin(np.array(float(a)), np.array(float(b)), rates, np.array(margin)))
    assert 0 < margin * pb < 1 + 1e-9

    def entropy(p: float) -> float:
        ours = q * np.log(q / (margin * p)) + (1 - q) * np.log((1 - q) / (1 - margin * p))
        theirs = q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p))
        return float(a * ours + b * theirs)

    if margin * pb < 1 - 1e-6:
        near = [pb * 0.999, pb * 1.001]
        assert all(entropy(pb) <= entropy(p) + 1e-6 * (a + b) for p in near if margin * p < 1)


def test_a_margin_of_one_is_the_pooled_rate() -> None:
    rates = (np.array(0.02), np.array(0.05))
    found = nearest_at_margin(np.array(300.0), np.array(700.0), rates, np.array(1.0))
    assert float(found) == pytest.approx(0.3 * 0.02 + 0.7 * 0.05)


@pytest.mark.parametrize(
    ("x", "a", "y", "b"),
    [
        (0, 0, 0, 0),
        (0, 0, 5, 10),
        (5, 5, 0, 0),
        (5, 5, 9, 9),
        (0, 10**9, 0, 10**9),
        (10**9, 10**9, 10**9, 10**9),
    ],
)
def test_no_counts_whatever_end_in_no_number(x: int, a: int, y: int, b: int) -> None:
    counts = _arrays(x, a, y, b)
    for q in (1e-9, 0.5, 1 - 1e-9):
        rate = np.array(q)
        assert np.isfinite(log_e_worse(*counts, (shifted(rate, EFFECTS), rate))).all()
        assert np.isfinite(log_e_within(*counts, rate=rate, margin=np.array(2.0))).all()


def test_an_arm_without_requests_says_nothing() -> None:
    rate = np.array(0.1)
    for counts in (_arrays(5, 5, 0, 0), _arrays(0, 0, 5, 5)):
        found = log_e_worse(*counts, (shifted(rate, EFFECTS), rate))
        assert found == pytest.approx(0, abs=1e-12)
