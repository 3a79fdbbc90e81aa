"""What is told to whom, when it is over, and that a restart loses nothing of it."""

from itertools import pairwise, permutations
from random import Random
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from deploymark.act.alerts import (
    PLATFORM,
    TELLINGS,
    AlertCode,
    Concern,
    Patience,
    alerts_of,
    key_of,
)
from deploymark.ports import Alert, Urgency
from deploymark.projections.expectations import Expectations, ExpectedService

NOW = 1_795_000_000_000
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
QUIET, LEAST, KEPT = Patience()
OWNERS = Expectations(
    {"checkout": ExpectedService(owner="team:payments"), "search": ExpectedService()}
)
FAILED = Concern(
    AlertCode.CANARY_FAILED, "checkout", "prod", "d-1~1", "Errors tripled.", NOW, indexes=(7,)
)


def told(*concerns: Concern, at: int) -> tuple[Alert, ...]:
    return alerts_of(concerns, OWNERS, at)


def one(*concerns: Concern, at: int) -> Alert:
    (alert,) = told(*concerns, at=at)
    return alert


def lasted(began: int, ended: int | None, concern: Concern = FAILED) -> Concern:
    return replace(concern, began_ms=NOW + began, ended_ms=None if ended is None else NOW + ended)


# What is said -------------------------------------------------------------------------------------


def test_an_alert_says_what_where_whom_and_what_to_do() -> None:
    assert one(FAILED, at=NOW) == Alert(
        key="canary_failed/checkout/prod/d-1~1",
        code="canary_failed",
        urgency=Urgency.PAGE,
        service="checkout",
        environment="prod",
        deployment="d-1~1",
        owner="team:payments",
        summary="The canary d-1~1 of checkout in prod does worse than what runs beside it.",
        detail=f"Errors tripled. {TELLINGS[AlertCode.CANARY_FAILED].remedy}",
        began_ms=NOW,
        indexes=(7,),
    )


@pytest.mark.parametrize("code", AlertCode)
def test_every_kind_is_told_with_its_urgency_and_remedy(code: AlertCode) -> None:
    telling = TELLINGS[code]
    assert {name for _, name, _, _ in Formatter().parse(telling.says) if name} == {"about"}
    alert = one(replace(FAILED, code=code), at=NOW)
    assert alert.urgency is telling.urgency
    assert telling.remedy in alert.detail
    assert "{" not in alert.summary + alert.detail


PAGES = {
    "budget_burning",
    "canary_failed",
    "production_regressed",
    "budget_breached",
    "guard_held",
    "recovery_failed",
    "outcome_unknown",
    "automation_frozen",
    "glass_broken",
    "left_behind",
}


def test_nobody_is_woken_for_anything_else() -> None:
    assert {code for code in AlertCode if TELLINGS[code].urgency is Urgency.PAGE} == PAGES


OWNER: dict[str, tuple[str, str]] = {
    "a service whose owner is known": ("checkout", "team:payments"),
    "a service whose owner nobody said": ("search", PLATFORM),
    "a service that nobody expects": ("unheard-of", PLATFORM),
    "no service": ("", PLATFORM),
}


@pytest.mark.parametrize("case", OWNER)
def test_whom_to_tell_about(case: str) -> None:
    service, owner = OWNER[case]
    assert one(replace(FAILED, service=service), at=NOW).owner == owner


def test_what_is_about_everything_says_so() -> None:
    frozen = Concern(AlertCode.AUTOMATION_FROZEN, "", "prod", "", "Three failed.", NOW)
    assert "at once in prod:" in one(frozen, at=NOW).summary
    assert "at once in the whole platform:" in one(replace(frozen, environment=""), at=NOW).summary


# One alert for each -------------------------------------------------------------------------------


def test_the_same_kind_about_the_same_deployment_is_one_alert() -> None:
    again = replace(FAILED, began_ms=NOW + MINUTE, seen="Errors rose again.", indexes=(9, 7))
    for concerns in permutations([FAILED, again, FAILED]):
        alert = one(*concerns, at=NOW + MINUTE)
        assert alert.began_ms == NOW
        assert alert.indexes == (7, 9)
        assert alert.detail.startswith("Errors rose again.")


@pytest.mark.parametrize(
    "other",
    [
        replace(FAILED, code=AlertCode.RECOVERY_FAILED),
        replace(FAILED, service="search"),
        replace(FAILED, environment="staging"),
        replace(FAILED, deployment="d-1~2"),
        replace(FAILED, service="checkout/prod", environment="d-1~1", deployment=""),
    ],
)
def test_anything_else_is_another_alert(other: Concern) -> None:
    assert len({each.key for each in told(FAILED, other, at=NOW)}) == 2


def test_no_slash_in_a_name_makes_two_alerts_one() -> None:
    names = ["a/b", "a%2Fb", "a%252Fb", "a"]
    assert len({key_of(replace(FAILED, service=name)) for name in names}) == len(names)


def test_a_service_and_environment_stand_together_with_pages_first() -> None:
    concerns = [
        replace(FAILED, service=service, environment=environment, code=code)
        for code in (AlertCode.VERDICT_OPEN, AlertCode.GUARD_HELD)
        for environment in ("prod", "eu")
        for service in ("b", "a")
    ]
    places = [
        (each.service, each.environment, each.urgency.value) for each in told(*concerns, at=NOW)
    ]
    assert places == sorted(places)


# When it is over ----------------------------------------------------------------------------------


def test_what_lasts_is_told_for_as_long_as_it_lasts() -> None:
    for later in (0, QUIET, HOUR, 24 * HOUR):
        assert one(FAILED, at=NOW + later).ended_ms is None


def test_an_end_is_told_when_it_was_quiet_for_long_enough_and_then_for_a_day() -> None:
    over = lasted(0, HOUR)
    assert one(over, at=NOW + HOUR + QUIET - 1).ended_ms is None
    assert one(over, at=NOW + HOUR + QUIET).ended_ms == NOW + HOUR
    assert one(over, at=NOW + HOUR + QUIET + KEPT - 1).ended_ms == NOW + HOUR
    assert told(over, at=NOW + HOUR + QUIET + KEPT) == ()


def test_what_was_short_is_not_told_to_be_over_at_once() -> None:
    blink = lasted(0, 10 * SECOND)
    assert one(blink, at=NOW + LEAST - 1).ended_ms is None
    assert one(blink, at=NOW + LEAST).ended_ms == NOW + 10 * SECOND


def test_what_comes_back_soon_is_the_same_alert() -> None:
    first, second = lasted(0, HOUR), lasted(HOUR + QUIET, None)
    assert one(first, second, at=NOW + HOUR + QUIET).began_ms == NOW
    over = replace(second, ended_ms=NOW + 2 * HOUR)
    assert one(first, over, at=NOW + 2 * HOUR + QUIET).ended_ms == NOW + 2 * HOUR


def test_what_comes_back_late_is_a_new_alert_under_the_same_key() -> None:
    first, second = lasted(0, HOUR), lasted(HOUR + QUIET + 1, None)
    alert = one(first, second, at=NOW + HOUR + QUIET + 1)
    assert alert.began_ms == second.began_ms
    assert alert.key == one(first, at=NOW).key


def test_a_short_one_within_a_long_one_ends_nothing() -> None:
    assert one(lasted(0, None), lasted(1, 2), at=NOW + 10 * HOUR).ended_ms is None
    over = one(lasted(0, HOUR), lasted(1, 2), at=NOW + HOUR + QUIET)
    assert over.ended_ms == NOW + HOUR


def test_what_flaps_wakes_people_once() -> None:
    flapping = [lasted(at, at + MINUTE) for at in range(0, HOUR, 4 * MINUTE)]
    seen = {
        one(*(each for each in flapping if each.began_ms <= now), at=now)
        for now in range(NOW, NOW + HOUR, 10 * SECOND)
    }
    assert {(each.began_ms, each.ended_ms) for each in seen} == {(NOW, None)}


# A restart ----------------------------------------------------------------------------------------

moments = st.lists(st.integers(0, HOUR), min_size=2, max_size=12, unique=True).map(sorted)


@given(moments, st.randoms(use_true_random=False))
def test_what_is_told_depends_on_no_order_and_nothing_goes_untold(
    times: list[int], chance: Random
) -> None:
    concerns = [lasted(*pair) for pair in list(pairwise(times))[::2]]
    shuffled = list(concerns)
    chance.shuffle(shuffled)
    for concern in concerns:
        # Whenever the process comes back within the quiet time, it tells what happened as lasting.
        assert concern.ended_ms is not None
        at = concern.ended_ms + QUIET - 1
        known = [each for each in shuffled if each.began_ms <= at]
        alert = one(*known, at=at)
        assert alert == one(*sorted(known, key=lambda each: each.began_ms), at=at)
        assert alert.key == key_of(concern)
        assert alert.ended_ms is None


def test_who_was_killed_between_deciding_and_sending_tells_the_same_again() -> None:
    concerns = [FAILED, replace(FAILED, code=AlertCode.OUTCOME_UNKNOWN, indexes=(8,))]
    decided = told(*concerns, at=NOW)
    # Killed here: nothing was sent, and nothing is remembered but the log.
    again = told(*concerns, at=NOW + 3 * MINUTE)
    assert again == decided
    # The canary was rolled back meanwhile: that it had failed is told all the same.
    assert told(lasted(0, 10 * SECOND), concerns[1], at=NOW + 3 * MINUTE) == decided


def test_what_a_person_asked_for_is_not_said_to_be_the_machines_wish() -> None:
    held = TELLINGS[AlertCode.GUARD_HELD]
    assert "machine" not in held.says
    assert "who wanted it" in held.remedy
