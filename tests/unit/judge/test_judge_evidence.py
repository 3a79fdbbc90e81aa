"""Evidence over many looks: a fair game, whenever it began and whenever one stops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploymark.judge.evidence import (
    EFFECTS,
    advance,
    log_sum,
    log_within,
    log_worse,
    new_rows,
)

NO_EVIDENCE = np.zeros((1, EFFECTS.size))


@given(horizon=st.integers(1, 200), looks=st.integers(0, 400))
def test_looks_that_say_nothing_leave_the_evidence_at_one(horizon: int, looks: int) -> None:
    rows = new_rows(1)
    for _ in range(looks):
        rows = advance(rows, NO_EVIDENCE, NO_EVIDENCE, horizon)
    assert log_worse(rows, horizon) == pytest.approx(0, abs=1e-9)
    assert log_within(rows) == pytest.approx(0, abs=1e-12)


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=40), st.integers(1, 30))
def test_the_recursion_is_the_sum_over_all_beginnings(steps: list[float], horizon: int) -> None:
    rows = new_rows(1)
    for step in steps:
        rows = advance(rows, NO_EVIDENCE + step, NO_EVIDENCE + step, horizon)
    shares = [_share(begin, horizon) for begin in range(1, len(steps) + 1)]
    begun = [share * np.exp(sum(steps[place:])) for place, share in enumerate(shares)]
    whole = sum(begun) + 1 - sum(shares)
    assert log_worse(rows, horizon) == pytest.approx(np.log(whole), abs=1e-6)
    assert log_within(rows) == pytest.approx(sum(steps), abs=1e-9)


def _share(begin: int, horizon: int) -> float:
    end = max(horizon, 2)
    if begin == 1:
        return 0.5
    return 0.375 / (end - 1) if begin <= end else 0.125 * end / (begin * (begin - 1))


def test_a_fair_game_stays_fair_over_looks() -> None:
    # Every look doubles the capital of each bet or loses it, with equal chance: all sixteen paths.
    total = 0.0
    for path in range(16):
        rows = new_rows(1)
        for look in range(4):
            step = np.log(1.9) if path >> look & 1 else np.log(0.1)
            rows = advance(rows, NO_EVIDENCE + step, NO_EVIDENCE, 3)
        total += float(np.exp(log_worse(rows, 3))[0])
    assert total / 16 == pytest.approx(1)


def test_what_begins_late_is_found_almost_as_if_it_had_just_begun() -> None:
    rows = new_rows(1)
    for _ in range(30):
        rows = advance(rows, NO_EVIDENCE - 1, NO_EVIDENCE, 60)
    for _ in range(10):
        rows = advance(rows, NO_EVIDENCE + 1, NO_EVIDENCE, 60)
    assert log_worse(rows, 60)[0] > 10 + np.log(0.375 / 59)


def test_sums_of_logs_hold_at_the_ends() -> None:
    assert log_sum(np.array([-np.inf, -np.inf])) == -np.inf
    assert log_sum(np.array([5_000.0, 5_000.0])) == pytest.approx(5_000 + np.log(2))
