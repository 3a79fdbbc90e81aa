"""What the spending of a budget gives people to know, minute by minute, and nothing of chance."""

from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from msgspec.structs import replace

from deploymark.act.alerts import AlertCode, Concern, alerts_of
from deploymark.act.plan import BurnPlan, Objective, RolloutPlan, check_rollout, pairs_of
from deploymark.act.spending import Counted, Rules, burning_pair, concerns_of
from deploymark.errors import UsageError
from deploymark.judge.budget import PAIRS, Burn, pages
from deploymark.projections.broker.gated import Arrival
from deploymark.projections.expectations import Expectations
from deploymark.runtime.config import parse_configuration

MINUTE, HOUR = 60_000, 3_600_000
OBJECTIVE = Objective(target=0.999)
RULES = Rules(0.001, pairs_of(OBJECTIVE), OBJECTIVE.blamed_seconds * 1_000)
CAME = 100 * HOUR
NEW = Arrival("d-new~1", CAME, CAME, None, replaces=True)

Share = Callable[[int], float]
"""The share of bad requests in the minute that begins so many minutes after the deployment came."""


def counted(share: Share, minutes: int, each: int = 1_000) -> Counted:
    """Count a service from six hours before the deployment to some minutes after it."""
    since_ms = CAME - 6 * HOUR
    parts = [(round(each * share(minute)), each) for minute in range(-360, minutes)]
    return Counted(since_ms, MINUTE, parts)


def from_minute(start: int, burn: float, end: int = 10**9) -> Share:
    """Burn so many times too fast for a while, and half as fast as allowed else."""
    return lambda minute: (burn if start <= minute < end else 0.5) * RULES.budget


def told(
    what: Counted, *arrivals: Arrival, rules: Rules = RULES
) -> list[tuple[str, str, int, int]]:
    """Return code, deployment, and the minutes of beginning and end (-1: it lasts)."""
    found = concerns_of(rules, "shop", "prod", what, arrivals or (NEW,))
    return [
        (each.code.value, each.deployment, minute(each.began_ms), minute(each.ended_ms))
        for each in found
    ]


def minute(at_ms: int | None) -> int:
    return -1 if at_ms is None else (at_ms - CAME) // MINUTE


def breaches(what: Counted, *arrivals: Arrival, rules: Rules = RULES) -> list[tuple[str, int, int]]:
    return [each[1:] for each in told(what, *arrivals, rules=rules) if each[0] == "budget_breached"]


def regressions(what: Counted, *arrivals: Arrival) -> list[tuple[str, int, int]]:
    return [each[1:] for each in told(what, *arrivals) if each[0] == "production_regressed"]


# Settings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("long", "short"), [(300, 300), (300, 600), (300, 5)])
def test_a_pair_of_windows_that_shows_nothing_is_refused(long: int, short: int) -> None:
    pages = (*OBJECTIVE.pages, BurnPlan(rate=2, long_seconds=long, short_seconds=short))
    plan = RolloutPlan(objective=replace(OBJECTIVE, pages=pages))
    with pytest.raises(UsageError) as caught:
        check_rollout(plan, "/rollouts/shop/prod")
    assert caught.value.field == "/rollouts/shop/prod/objective/pages/2"


def test_pairs_of_a_configuration_are_those_that_page() -> None:
    settings = {
        "target": 0.99,
        "pages": [{"rate": 3, "long_seconds": 600, "short_seconds": 60}],
        "blamed_seconds": 600,
    }
    content = {"rollouts": {"shop": {"prod": {"objective": settings}}}}
    objective = parse_configuration(content).plans["shop", "prod"].objective
    assert objective is not None
    assert pairs_of(objective) == (Burn(3, 600, 60),)
    assert objective.blamed_seconds == 600


# The budget breaks ------------------------------------------------------------------------------


def test_the_pairs_of_a_plan_are_those_of_the_judge_unless_it_says_otherwise() -> None:
    assert RULES.pairs == PAIRS


def test_a_service_without_trouble_or_without_a_deployment_tells_nothing() -> None:
    assert told(counted(from_minute(0, 0.5), 600)) == []
    assert concerns_of(RULES, "shop", "prod", counted(from_minute(0, 99), 600), []) == []


def test_a_fast_burn_pages_when_the_hour_shows_it_and_ends_with_five_calm_minutes() -> None:
    # A hundred times too fast: the hour burns 14.4 times too fast after nine minutes of it.
    found = breaches(counted(from_minute(1, 100, end=12), 60))
    assert found == [("d-new~1", 10, 17)]


def test_a_slow_burn_pages_by_the_six_hours() -> None:
    (name, began, ended) = breaches(counted(from_minute(1, 8), 420))[0]
    assert (name, ended) == ("d-new~1", -1)
    assert 240 < began < 300
    assert burning_pair(RULES, counted(from_minute(1, 8), 420), CAME + began * MINUTE) == PAIRS[1]


def test_a_burn_below_the_rates_pages_nobody() -> None:
    assert breaches(counted(from_minute(-360, 5.9), 600)) == []


def test_what_is_told_says_what_burns_and_what_was_before() -> None:
    (found,) = concerns_of(RULES, "shop", "prod", counted(from_minute(1, 100), 12), [NEW])[:1]
    assert "14.4 times too fast over 1 h and over 5 min" in found.seen
    assert found.seen.endswith("it did not burn so before.")
    unseen = Counted(CAME, MINUTE, [(100, 1_000)] * 12)
    (found,) = concerns_of(RULES, "shop", "prod", unseen, [NEW])[:1]
    assert found.seen.endswith("nothing was counted before it.")


def test_what_broke_before_the_deployment_came_is_not_its_doing() -> None:
    assert breaches(counted(from_minute(-30, 100), 600)) == []


def test_what_broke_within_the_minute_in_which_it_came_is_older() -> None:
    later = NEW._replace(came_ms=CAME + 30_000)
    burnt = Counted(CAME - 6 * HOUR, MINUTE, [(0, 1_000)] * 340 + [(100, 1_000)] * 60)
    assert breaches(burnt, later) == []


def test_what_was_over_before_it_and_begins_again_is() -> None:
    def twice(minute: int) -> float:
        return 0.1 if -200 <= minute < -190 or minute >= 20 else 0.0

    assert breaches(counted(twice, 60)) == [("d-new~1", 29, -1)]


def test_what_breaks_long_after_it_came_is_not_its_doing() -> None:
    late = counted(from_minute(400, 100), 600)
    assert breaches(late) == []
    assert breaches(late, rules=replace(RULES, blamed_ms=12 * HOUR)) == [("d-new~1", 409, -1)]


def test_the_newest_deployment_at_that_moment_is_blamed() -> None:
    later = Arrival("d-later~1", CAME + 60 * MINUTE, CAME + 60 * MINUTE, None, replaces=True)
    both = (NEW, later)
    assert breaches(counted(from_minute(1, 100), 90), *both) == [("d-new~1", 10, -1)]
    assert breaches(counted(from_minute(61, 100), 90), *both) == [("d-later~1", 70, -1)]


def test_a_return_is_blamed_for_nothing() -> None:
    back = Arrival("d-back~1", CAME + 5 * MINUTE, CAME + 5 * MINUTE, None, replaces=True)
    assert breaches(counted(from_minute(1, 100), 90), NEW, back._replace(returns=True)) == [
        ("d-new~1", 10, -1)
    ]


def test_a_few_requests_wake_nobody() -> None:
    # One bad request of fifty in an hour is twenty times too fast, and chance.
    few = [(0, 1)] * 420
    few[-2] = (1, 1)
    one = Counted(CAME - 6 * HOUR, MINUTE, few)
    assert burning_pair(RULES, one, one.until_ms) is None
    few[-5:] = [(1, 1)] * 5
    five = Counted(CAME - 6 * HOUR, MINUTE, few)
    assert burning_pair(RULES, five, five.until_ms) == PAIRS[0]


def test_where_nothing_is_seen_nothing_begins_and_nothing_ends() -> None:
    nothing = Counted(CAME - 6 * HOUR, MINUTE, [(0, 0)] * 600)
    assert told(nothing) == []
    parts = [(0, 1_000)] * 360 + [(100, 1_000)] * 15 + [(0, 0)] * 120
    unseen = Counted(CAME - 6 * HOUR, MINUTE, parts)
    assert breaches(unseen) == [("d-new~1", 9, -1)]
    assert [each[2] for each in regressions(unseen)] == [-1]


@pytest.mark.parametrize("moment", range(12, 60, 6))
def test_whoever_comes_back_at_any_moment_finds_the_same_beginning(moment: int) -> None:
    assert breaches(counted(from_minute(1, 100), moment)) == [("d-new~1", 10, -1)]


def test_a_burn_that_flaps_is_one_alert() -> None:
    # Three minutes of trouble in every nine: the five minutes show it again and again.
    rules = replace(RULES, pairs=PAIRS[:1])
    what = counted(lambda minute: 0.9 if minute >= 0 and minute % 9 < 3 else 0.0, 60)
    found = [
        each
        for each in concerns_of(rules, "shop", "prod", what, [NEW])
        if each.code is AlertCode.BUDGET_BREACHED
    ]
    assert len(found) > 2
    (alert,) = alerts_of(found, Expectations(), what.until_ms)
    assert (alert.began_ms, alert.ended_ms) == (found[0].began_ms, None)


def test_an_objective_that_allows_a_third_cannot_burn_so_fast() -> None:
    loose = replace(RULES, budget=1 / 3)
    assert told(Counted(CAME - 6 * HOUR, MINUTE, [(9, 10)] * 600), rules=loose) == []


# Production regresses ---------------------------------------------------------------------------


def test_what_has_all_of_the_traffic_and_burns_provably_too_fast_has_regressed() -> None:
    # Of fifteen bad requests a minute two are allowed, and evidence counts a quarter of itself.
    assert regressions(counted(from_minute(0, 15), 60)) == [("d-new~1", 2, -1)]
    assert regressions(counted(from_minute(0, 5), 60)) == [("d-new~1", 17, -1)]
    # Too slowly for any pair of windows so far.
    assert breaches(counted(from_minute(0, 5), 60)) == []


def test_a_regression_is_over_when_the_budget_burns_slowly_again() -> None:
    # Three minutes of trouble in the newest thirty are no more than twice the budget.
    assert regressions(counted(from_minute(0, 20, end=30), 120)) == [("d-new~1", 1, 57)]


def test_a_regression_is_over_when_another_takes_its_place() -> None:
    fixed = Arrival("d-fix~1", CAME + 50 * MINUTE, CAME + 55 * MINUTE, None, replaces=True)
    what = counted(from_minute(0, 20), 120)
    ((name, _, ended), *_) = regressions(what, NEW, fixed)
    assert (name, ended) == ("d-new~1", 55)
    gone = NEW._replace(ended_ms=CAME + 45 * MINUTE)
    assert regressions(what, gone)[0][2] == 45


def test_the_requests_of_the_next_one_are_no_evidence_against_it() -> None:
    canary = Arrival("d-next~1", CAME + 20 * MINUTE, None, None, replaces=True)
    assert regressions(counted(from_minute(20, 20), 120), NEW, canary) == []
    assert regressions(counted(from_minute(20, 20), 120)) != []


NOT_REGRESSED: dict[str, tuple[Share, Arrival]] = {
    "it has not all of the traffic": (from_minute(0, 20), NEW._replace(live_ms=None)),
    "nothing ran before it": (from_minute(0, 20), NEW._replace(replaces=False)),
    "it brought an older one back": (from_minute(0, 20), NEW._replace(returns=True)),
    "the one before was not well either": (from_minute(-60, 20), NEW),
    "it burns twice too fast, and no more": (from_minute(0, 2), NEW),
    "it began long after it came": (from_minute(400, 20), NEW),
}


@pytest.mark.parametrize(("share", "arrival"), NOT_REGRESSED.values(), ids=NOT_REGRESSED)
def test_nothing_has_regressed_where(share: Share, arrival: Arrival) -> None:
    assert regressions(counted(share, 600), arrival) == []


def test_what_was_before_and_is_not_known_is_no_comparison() -> None:
    parts = [(0, 0)] * 360 + [(20, 1_000)] * 60
    assert regressions(Counted(CAME - 6 * HOUR, MINUTE, parts)) == []


def test_chance_at_twice_the_budget_seldom_makes_a_regression() -> None:
    draw = Random(5)

    def chance() -> Counted:
        calm = [(0, 1_000)] * 360
        return Counted(
            CAME - 6 * HOUR,
            MINUTE,
            calm + [(sum(draw.random() < 0.02 for _ in range(50)), 50) for _ in range(60)],
        )

    rules = replace(RULES, budget=0.01)
    found = [each for _ in range(60) for each in told(chance(), rules=rules)]
    assert [each for each in found if each[0] == "production_regressed"] == []


# How often chance alone wakes somebody ----------------------------------------------------------

DEPLOYMENTS = 100


def by_chance(each: int, minutes_of_errors: float = 1.0) -> list[Counted]:
    """Count services that spend their budget in time, six hours before and after a deployment.

    Args:
        each: Requests a minute.
        minutes_of_errors: The share of minutes in which all of the errors come.
    """
    draw, counts = np.random.default_rng(3), []
    for _ in range(DEPLOYMENTS):
        requests = draw.poisson(each, 720)
        hit = draw.random(720) < minutes_of_errors
        bad = draw.binomial(requests, np.where(hit, RULES.budget / minutes_of_errors, 0.0))
        parts = list(zip(bad.tolist(), requests.tolist(), strict=True))
        counts.append(Counted(CAME - 6 * HOUR, MINUTE, parts))
    return counts


def test_the_windows_alone_would_wake_somebody_after_many_deployments() -> None:
    few = by_chance(1)
    assert [each for each in few if told(each)] == []

    def alone(what: Counted) -> bool:
        return any(
            pages(
                RULES.budget,
                {
                    seconds: what.within(at_ms - seconds * 1_000, at_ms)
                    for pair in PAIRS
                    for seconds in pair[1:]
                },
            )
            for at_ms in what.times(CAME)
        )

    assert sum(map(alone, few)) >= DEPLOYMENTS // 7


def test_errors_in_bursts_seldom_wake_somebody() -> None:
    bursts = [told(each) for each in by_chance(2_000, minutes_of_errors=0.1)]
    assert sum(map(bool, bursts)) <= DEPLOYMENTS // 100


# Counting ---------------------------------------------------------------------------------------


def test_windows_are_cut_to_what_was_counted_and_consist_of_whole_parts() -> None:
    what = Counted(600, 10, [(1, 10), (2, 20), (3, 30)])
    assert what.until_ms == 630
    assert what.within(600, 630) == (6, 60)
    assert what.within(0, 10_000) == (6, 60)
    assert what.within(610, 629) == (2, 20)
    assert what.within(620, 620) == what.within(630, 610) == (0, 0)
    assert list(what.times(605)) == [610, 620, 630]
    assert list(what.times(610)) == [610, 620, 630]


def test_concerns_are_about_the_service_that_was_counted() -> None:
    found = concerns_of(RULES, "shop", "prod", counted(from_minute(0, 100), 60), [NEW])
    assert {(each.service, each.environment) for each in found} == {("shop", "prod")}
    assert all(isinstance(each, Concern) for each in found)
    assert {each.code.value for each in found} == {"budget_breached", "production_regressed"}
