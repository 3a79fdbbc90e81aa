"""What the judge says of rollouts, look by look."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rollouts import (
    BOUNDS,
    ERRORS,
    LATENCY,
    MEMORY,
    MINUTE_MS,
    PLAN,
    WARM,
    error_looks,
    events,
    gauges,
    latencies,
    look,
)

from deploymark.errors import JudgeError
from deploymark.judge.assessment import Assessment
from deploymark.judge.counts import Events, Gauges, Latencies, Look, Observation
from deploymark.judge.placebo import COLD_START, Placebo
from deploymark.judge.plan import Bad, Metric, Plan
from deploymark.judge.verdict import Advice, Judgement, Reason, Result


def _all(plan: Plan, looks: list[Look], placebo: Placebo = WARM) -> list[Judgement]:
    assessment = Assessment(plan, placebo)
    return [assessment.take(each) for each in looks]


def _last(plan: Plan, looks: list[Look], placebo: Placebo = WARM) -> Judgement:
    return _all(plan, looks, placebo)[-1]


def test_the_same_machine_passes() -> None:
    verdicts = _all(PLAN, list(error_looks((0.02, 0.02), (500, 500), 20)))
    assert verdicts[-1].result is Result.PASS
    assert verdicts[-1].advice is Advice.PROMOTE
    assert verdicts[-1].reasons == ()
    assert Result.FAIL not in [each.result for each in verdicts]


def test_four_times_the_errors_roll_back_and_were_paused_before() -> None:
    verdicts = _all(PLAN, list(error_looks((0.02, 0.005), (300, 300), 30)))
    advice = [each.advice for each in verdicts]
    assert Advice.ROLL_BACK in advice
    assert Advice.PROMOTE not in advice
    assert advice.index(Advice.PAUSE) < advice.index(Advice.ROLL_BACK)
    failing = verdicts[advice.index(Advice.ROLL_BACK)]
    assert (failing.result, failing.score) == (Result.FAIL, 0.0)


def test_a_regression_that_begins_late_is_found_too() -> None:
    healthy = list(error_looks((0.005, 0.005), (2_000, 2_000), 30))
    later = list(error_looks((0.02, 0.005), (2_000, 2_000), 40, seed=2))[30:]
    assert _last(PLAN, healthy + later).advice is Advice.ROLL_BACK


def test_a_metric_that_falls_is_a_failure_where_falling_hurts() -> None:
    plan = Plan((Metric("orders", bad=Bad.FALLS),))
    chance = np.random.default_rng(3)

    def verdict(rate: float) -> Judgement:
        looks = [
            look(n, orders=events(chance.binomial(500, rate), 500, chance.binomial(500, 0.3), 500))
            for n in range(15)
        ]
        return _last(plan, looks)

    assert verdict(0.1).result is Result.FAIL
    assert verdict(0.3).result is Result.PASS
    # And rising does not hurt.
    assert verdict(0.5).result is Result.PASS


def test_two_percent_one_second_slower_are_found_and_the_bound_is_named() -> None:
    chance = np.random.default_rng(4)
    fast = (0.5, 0.3, 0.15, 0.04, 0.0095, 0.0005)
    slow = (0.49, 0.294, 0.147, 0.0392, 0.00931, 0.02049)
    looks = [
        look(
            n,
            latency=Latencies(
                BOUNDS, *(tuple(chance.multinomial(200, p).tolist()) for p in (slow, fast))
            ),
        )
        for n in range(30)
    ]
    verdict = _last(Plan((LATENCY,)), looks)
    assert verdict.result is Result.FAIL
    assert verdict.metrics[0].worst == 1.0


def test_the_same_latencies_pass_though_nobody_exceeds_the_last_bound() -> None:
    same = (500, 300, 150, 40, 10, 0)
    looks = [look(n, latency=latencies(same, same)) for n in range(15)]
    assert _last(Plan((LATENCY,)), looks).result is Result.PASS


def test_latencies_at_bounds_that_control_hardly_exceeds_prove_no_pass() -> None:
    same = (1_000, 0, 0, 0, 0, 0)
    looks = [look(n, latency=latencies(same, same)) for n in range(15)]
    verdict = _last(Plan((LATENCY,)), looks)
    assert (verdict.result, verdict.reasons) == (Result.INCONCLUSIVE, (Reason.LOW_TRAFFIC,))


def test_a_rate_that_the_margin_would_lift_above_one_proves_no_pass() -> None:
    looks = list(error_looks((0.6, 0.6), (500, 500), 20))
    assert _last(Plan((Metric("errors", margin=1.5),)), looks).result is Result.PASS
    verdict = _last(PLAN, looks)
    assert (verdict.result, verdict.log_e_pass) == (Result.INCONCLUSIVE, 0.0)


def test_a_gauge_that_is_always_higher_fails_and_an_equal_one_passes() -> None:
    plan = Plan((MEMORY,))
    higher = [look(n, memory=gauges(*[(120.0, 100.0)] * 4)) for n in range(8)]
    assert _last(plan, higher).result is Result.FAIL
    equal = [look(n, memory=gauges((100.0, 101.0), (101.0, 100.0))) for n in range(10)]
    assert _last(plan, equal).result is Result.PASS


def test_values_that_are_missing_or_no_numbers_say_nothing() -> None:
    nothing = gauges((float("nan"), 1.0), (None, 2.0), (3.0, float("inf")), (4.0, None))
    verdict = _last(Plan((MEMORY,)), [look(0, memory=nothing), look(1, memory=nothing)])
    assert (verdict.log_e_fail, verdict.log_e_pass) == (0.0, 0.0)
    assert verdict.result is Result.INCONCLUSIVE


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ({}, Reason.NO_DATA),
        ({"errors": events(0, 0, 0, 0)}, Reason.NO_DATA),
        ({"errors": events(0, 0, 5, 1_000)}, Reason.NO_DATA),
        ({"errors": events(5, 1_000, 0, 0)}, Reason.NO_CONTROL),
        ({"errors": events(0, 3, 0, 3)}, Reason.LOW_TRAFFIC),
        ({"errors": events(0, 10**9, 0, 10**9)}, Reason.LOW_TRAFFIC),
    ],
)
def test_what_was_not_seen_waits_and_then_asks_a_person(
    seen: dict[str, Observation], reason: Reason
) -> None:
    verdicts = _all(PLAN, [look(n, **seen) for n in range(61)])
    assert {each.result for each in verdicts} == {Result.INCONCLUSIVE}
    assert {each.reasons for each in verdicts} == {(reason,)}
    assert [each.advice for each in verdicts[58:]] == [Advice.EXTEND, Advice.HOLD, Advice.HOLD]
    assert {each.score for each in verdicts} == {50.0}


def test_a_canary_that_fell_silent_does_not_pass_on_what_it_was() -> None:
    healthy = list(error_looks((0.02, 0.02), (500, 500), 20))
    for silence in ({}, {"errors": events(0, 0, 9, 500)}):
        verdict = _last(PLAN, [*healthy, look(20, **silence)])
        assert (verdict.result, verdict.reasons) == (Result.INCONCLUSIVE, (Reason.NO_DATA,))


def test_every_required_metric_must_pass_and_no_advisory_one() -> None:
    looks = list(error_looks((0.02, 0.02), (500, 500), 20))
    other = Metric("orders")
    assert _last(Plan((ERRORS, other)), looks).result is Result.INCONCLUSIVE
    advisory = Metric("orders", required=False)
    assert _last(Plan((ERRORS, advisory)), looks).result is Result.PASS
    nothing_required = Plan((Metric("errors", required=False),))
    assert _last(nothing_required, looks).result is Result.INCONCLUSIVE


def test_an_advisory_metric_still_speaks_against_a_release() -> None:
    plan = Plan((Metric("errors", required=False), Metric("orders")))
    assert _last(plan, list(error_looks((0.05, 0.005), (500, 500), 10))).result is Result.FAIL


def test_without_placebos_nothing_more_than_a_pause_is_advised() -> None:
    looks = list(error_looks((0.2, 0.005), (1_000, 1_000), 10))
    assert _last(PLAN, looks).advice is Advice.ROLL_BACK
    for placebo, wait in (
        (COLD_START, "a second stable replica"),
        (Placebo(WARM.spreads, WARM.watch, 1), "a second stable replica"),
        (Placebo({}, WARM.watch, 4), "placebo history"),
    ):
        verdict = _last(PLAN, looks, placebo)
        assert verdict.log_e_fail > np.log(1_000)
        assert (verdict.result, verdict.advice) == (Result.FAIL, Advice.PAUSE)
        assert verdict.reasons == (Reason.NO_PLACEBO,)
        assert verdict.metrics[0].waits_for == (wait,)
        assert verdict.metrics[0].dispersion == 4.0


def test_placebos_that_were_watched_too_short_are_trusted_no_more_than_none() -> None:
    short = Placebo(WARM.spreads, WARM.watch.after(0, 10.0), 4)
    verdict = _last(PLAN, list(error_looks((0.2, 0.005), (1_000, 1_000), 10)), short)
    assert (verdict.advice, verdict.reasons) == (Advice.PAUSE, (Reason.NO_PLACEBO,))
    assert verdict.metrics[0].dispersion == 6.0
    assert verdict.metrics[0].waits_for == ("placebos watched for 86400 s more",)


def test_a_metric_without_placebo_cannot_roll_back_among_others_that_have_one() -> None:
    plan = Plan((ERRORS, Metric("crashes")))
    looks = [
        look(n, errors=events(5, 1_000, 5, 1_000), crashes=events(200, 1_000, 5, 1_000))
        for n in range(10)
    ]
    verdict = _last(plan, looks)
    assert verdict.log_e_fail > np.log(1_000)
    assert verdict.advice is Advice.PAUSE


def test_a_look_comes_once_in_order_and_overlaps_no_other() -> None:
    assessment = Assessment(PLAN, WARM)
    first, second, *_ = error_looks((0.02, 0.02), (500, 500), 2)
    assessment.take(first)
    kept = assessment.take(second)
    overlapping = Look(second.until_ms - 1, second.until_ms + MINUTE_MS, {})
    for refused in (first, second, overlapping, Look(9 * MINUTE_MS, 9 * MINUTE_MS, {})):
        with pytest.raises(JudgeError):
            assessment.take(refused)
    # Nothing of them was taken in, and a gap is no harm.
    after = assessment.take(look(9))
    assert after.look == 3
    assert after.log_e_fail == pytest.approx(kept.log_e_fail, abs=1e-6)


@pytest.mark.parametrize(
    "seen",
    [
        {"orders": events(1, 2, 1, 2)},
        {"errors": gauges((1.0, 2.0))},
        {"errors": events(3, 2, 1, 2)},
        {"errors": events(-1, 2, 1, 2)},
        {"errors": events(0, 2**53, 1, 2)},
    ],
)
def test_what_cannot_be_is_refused(seen: dict[str, Observation]) -> None:
    with pytest.raises(JudgeError):
        Assessment(PLAN, WARM).take(look(0, **seen))


def test_bounds_that_change_begin_anew_and_the_evidence_on_the_others_stays() -> None:
    plan = Plan((LATENCY,))
    bad, good = (50, 30, 15, 4, 1, 40), (50, 30, 15, 4, 1, 0)
    assessment = Assessment(plan, WARM)
    looks = [look(number, latency=latencies(bad, good)) for number in range(4)]
    before = [assessment.take(each) for each in looks][-1]
    moved = Latencies((0.05, 0.1, 0.25, 0.5, 2.0), good, good)
    after = assessment.take(look(4, latency=moved))
    assert Reason.CHANGED_BOUNDS in after.reasons
    assert after.metrics[0].log_e_fail < before.metrics[0].log_e_fail
    assert after.metrics[0].log_e_pass <= 0.0  # of the new bound nothing is known yet
    assert "evidence on bounds that changed" in after.metrics[0].waits_for


@given(st.lists(st.sets(st.sampled_from([0.1, 0.2, 0.5, 1.0, 2.0]), min_size=1), min_size=1))
def test_no_change_of_bounds_makes_evidence_of_nothing(every: list[set[float]]) -> None:
    assessment = Assessment(Plan((LATENCY,)), WARM)
    for number, bounds in enumerate(every):
        late = (*(0 for _ in bounds), 9)
        seen = Latencies(tuple(sorted(bounds)), late, late)
        # All requests exceed every bound, in both arms: no bound tells them apart.
        verdict = assessment.take(look(number, latency=seen))
        assert verdict.log_e_fail <= 1e-6


def test_shares_say_where_the_evidence_comes_from() -> None:
    plan = Plan((ERRORS, Metric("orders", weight=3.0), Metric("shown", weight=0.0), MEMORY))
    looks = [
        look(n, errors=events(90, 1_000, 10, 1_000), orders=events(9, 1_000, 10, 1_000))
        for n in range(6)
    ]
    verdict = _last(plan, looks)
    shares = {each.name: each.share for each in verdict.metrics}
    assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
    assert shares["errors"] > 0.99
    assert shares["shown"] == 0


_count = st.integers(0, 10**9)


@given(
    st.lists(
        st.tuples(_count, _count, st.floats(0, 1), st.floats(0, 1), st.booleans()), max_size=12
    )
)
@settings(max_examples=60)
def test_no_counts_whatever_bring_the_judge_down(
    every: list[tuple[int, int, float, float, bool]],
) -> None:
    plan = Plan((ERRORS, LATENCY, MEMORY))
    verdicts = []
    assessment = Assessment(plan, WARM)
    for number, (a, b, one, other, some) in enumerate(every):
        x, y = int(a * one), int(b * other)
        seen: dict[str, Events | Latencies | Gauges] = {"errors": events(x, a, y, b)}
        if some:
            seen["latency"] = latencies((a - x, 0, 0, x, 0, 0), (b - y, 0, y, 0, 0, 0))
            seen["memory"] = gauges((one, other), (other, one), (0.0, -1.0))
        verdicts.append(assessment.take(look(number, **seen)))
    for verdict in verdicts:
        assert 0 <= verdict.score <= 100
        assert np.isfinite([verdict.log_e_fail, verdict.log_e_pass]).all()
        assert sum(each.share for each in verdict.metrics) == pytest.approx(1, abs=1e-5)
    assert [each.look for each in verdicts] == list(range(1, len(every) + 1))
    assert all(one.look < other.look for one, other in pairwise(verdicts))


def test_identical_arms_hardly_ever_fail_whatever_the_split_does() -> None:
    chance = np.random.default_rng(5)
    failed = 0
    for _ in range(60):
        assessment = Assessment(PLAN, WARM)
        for number in range(30):
            a, b = (int(each) for each in chance.integers(0, 2_000, 2))
            x, y = (int(chance.binomial(n, 0.01)) for n in (a, b))
            verdict = assessment.take(look(number, errors=events(x, a, y, b)))
            failed += verdict.result is Result.FAIL
    assert failed == 0
