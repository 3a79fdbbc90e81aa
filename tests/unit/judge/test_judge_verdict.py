"""The rules, and the score that people see."""

from math import log

from hypothesis import given
from hypothesis import strategies as st

from deploymark.judge.verdict import Advice, Contribution, Result, Standing, judge, rounded, score

_log = st.floats(-50, 50)


def _standing(log_e_fail: float, log_e_pass: float, *, warm: bool = True) -> Standing:
    shown = Contribution(
        "errors",
        rounded(log_e_fail),
        rounded(log_e_pass),
        required=True,
        share=0,
        worst=None,
        dispersion=1.0,
    )
    return Standing(shown, 1.0, warm, present=True)


@given(_log, _log)
def test_the_score_stays_within_its_bounds_and_says_what_is_proven(fail: float, ok: float) -> None:
    found = score(fail, ok)
    assert 0 <= found <= 100
    if found == 100:
        assert ok > log(19.9)
    if found == 0:
        assert fail > log(99)


@given(_log, _log, st.floats(0, 20))
def test_the_score_never_rises_with_failure_nor_falls_with_a_pass(
    fail: float, ok: float, more: float
) -> None:
    assert score(fail + more, ok) <= score(fail, ok) <= score(fail, ok + more)


def test_a_score_of_fifty_knows_nothing() -> None:
    assert score(0, 0) == 50


def test_the_bounds_themselves_are_reached() -> None:
    def advice(fail: float, ok: float) -> tuple[Result, Advice]:
        found = judge(1, [_standing(log(fail), log(ok))], 60, shadow=False)
        return found.result, found.advice

    assert advice(99.9, 19.9) == (Result.INCONCLUSIVE, Advice.EXTEND)
    assert advice(1, 20) == (Result.PASS, Advice.PROMOTE)
    assert advice(100, 20) == (Result.FAIL, Advice.PAUSE)
    assert advice(999, 1) == (Result.FAIL, Advice.PAUSE)
    assert advice(1_000, 1) == (Result.FAIL, Advice.ROLL_BACK)


@given(_log, _log)
def test_in_the_shadow_nothing_is_rolled_back(fail: float, ok: float) -> None:
    assert judge(1, [_standing(fail, ok)], 60, shadow=True).advice is not Advice.ROLL_BACK
    cold = judge(1, [_standing(fail, ok, warm=False)], 60, shadow=False)
    assert cold.advice is not Advice.ROLL_BACK
