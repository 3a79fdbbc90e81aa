"""What people are told of rollouts follows from the log, and from what is waited for now."""

from typing import Any

import pytest
from msgspec.structs import replace

from deploymark.act.alerts import HORIZON_MS, AlertCode, Concern
from deploymark.act.concerns import Lately, Wanted, of_orders, of_rollout, of_wanted
from deploymark.act.intent import Intent, Move
from deploymark.model.entries import Decision, GuardResult, Verdict
from deploymark.model.instants import format_instant
from deploymark.ports import Urgency
from deploymark.projections.broker.rolling import Ruled

NAME = "d-2qt6kgmx6zhgaswpzzkpfq22gp~1"
AT = "2026-11-23T00:00:00.000Z"
SECOND = 1_000


def verdict(advice: str) -> Verdict:
    return Verdict(
        deployment_id=NAME,
        service="shop",
        environment="prod",
        result="fail" if advice in {"pause", "roll_back"} else "inconclusive",
        advice=advice,  # type: ignore[arg-type]  # one of its words
        look=3,
        score=10,
        inputs_digest="sha256:" + "0" * 64,
        judge="deploymark/1",
        timestamp=AT,
    )


def decision(action: str, stage: str = "decided", **more: Any) -> Decision:  # noqa: ANN401 - fields
    fields = {"actor": "policy", "environment": "prod", "timestamp": AT, **more}
    return Decision(action=action, stage=stage, **fields)  # type: ignore[arg-type]  # its words


def told(*said: Verdict | Decision) -> list[Ruled]:
    """Return entries, a second apart; their indexes are their seconds."""
    return [Ruled(at, format_instant(at * SECOND), each) for at, each in enumerate(said)]


def short(concerns: list[Concern]) -> list[tuple[str, int, int | None]]:
    """Return codes with the seconds at which they began and ended."""
    return [
        (each.code, each.began_ms // SECOND, each.ended_ms and each.ended_ms // SECOND)
        for each in concerns
    ]


HELD = (GuardResult(name="exposure", held=False, reason="It gets too much."),)
STORIES: dict[str, tuple[list[Verdict | Decision], list[tuple[str, int, int | None]]]] = {
    "nothing is told of what is open": ([verdict("extend"), verdict("hold")], []),
    "a canary fails until it is back": (
        [
            verdict("pause"),
            verdict("roll_back"),
            decision("roll_back"),
            decision("roll_back", "executed", decision_index=2),
            decision("roll_back", "outcome", decision_index=2, outcome="succeeded"),
        ],
        [("canary_failed", 0, 4)],
    ),
    "a person lets it go on": (
        [verdict("pause"), decision("pause"), decision("resume", actor="ada")],
        [("canary_failed", 0, 2)],
    ),
    "a guard holds the machine back": (
        [verdict("roll_back"), decision("pause", guards=HELD)],
        [("canary_failed", 0, None), ("guard_held", 1, None)],
    ),
    "a pause without a guard against it wakes nobody twice": ([decision("pause")], []),
    "an outcome is unknown until somebody acts again": (
        [
            decision("shift"),
            decision("shift", "outcome", decision_index=0, outcome="unknown"),
            decision("roll_back", actor="ada"),
        ],
        [("outcome_unknown", 1, 2)],
    ),
    "a return that was carried out and did not help": (
        [
            decision("roll_back"),
            decision("roll_back", "executed", decision_index=0),
            decision("roll_back", "outcome", decision_index=0, outcome="failed"),
        ],
        [("recovery_failed", 2, None)],
    ),
    "a return that was never carried out": (
        [
            decision("roll_back"),
            decision("roll_back", "outcome", decision_index=0, outcome="failed"),
        ],
        [("guard_held", 1, None)],
    ),
    "a step that is refused waits for a person": (
        [decision("shift"), decision("shift", "outcome", decision_index=0, outcome="failed")],
        [("rollout_held", 1, None)],
    ),
    "a budget stops a rollout whose verdict is not bad": (
        [verdict("extend"), decision("pause", verdict_index=0)],
        [("budget_burning", 1, None)],
    ),
    "a budget returns a rollout": (
        [
            verdict("hold"),
            decision("roll_back", verdict_index=0),
            decision("roll_back", "executed", decision_index=1),
            decision("roll_back", "outcome", decision_index=1, outcome="succeeded"),
        ],
        [("budget_burning", 1, 3)],
    ),
    "a person lets it burn": (
        [
            verdict("extend"),
            decision("pause", verdict_index=0),
            decision("resume", actor="ada"),
        ],
        [("budget_burning", 1, 2)],
    ),
    "a person who pauses says nothing of a budget": (
        [verdict("extend"), decision("pause", actor="ada", verdict_index=0)],
        [],
    ),
    "a pause for a verdict says nothing of a budget": (
        [verdict("pause"), decision("pause", verdict_index=0)],
        [("canary_failed", 0, None)],
    ),
    "broken glass is told once": (
        [decision("promote", actor="ada", break_glass=True, reason="a sale")],
        [("glass_broken", 0, 0)],
    ),
}


@pytest.mark.parametrize(("said", "expected"), STORIES.values(), ids=STORIES)
def test_what_was_ruled_tells(
    said: list[Verdict | Decision], expected: list[tuple[str, int, int | None]]
) -> None:
    assert short(of_rollout("shop", "prod", NAME, told(*said))) == expected


def wanted(move: Move, code: str, urgency: Urgency | None) -> Wanted:
    return Wanted(Intent(move=move, code=code, reason="r", key="k", step=1, urgency=urgency), 5)


WAITS: dict[str, tuple[Wanted, list[str]]] = {
    "a page": (wanted(Move.PAGE, "recovery_failed", Urgency.PAGE), ["recovery_failed"]),
    "an open verdict": (wanted(Move.HOLD, "undecided", Urgency.TICKET), ["verdict_open"]),
    "an approval": (wanted(Move.HOLD, "awaits_approval", Urgency.TICKET), ["rollout_held"]),
    "an actuator that does not answer": (
        wanted(Move.HOLD, "actuator_away", Urgency.TICKET),
        ["actuator_away"],
    ),
    "a return that nothing carries out": (
        wanted(Move.ROLL_BACK, "budget_burns", Urgency.PAGE),
        ["budget_burning"],
    ),
    "a return that a person asked for": (
        Wanted(
            Intent(
                move=Move.ROLL_BACK,
                code="requested",
                reason="r",
                key="k",
                step=1,
                urgency=Urgency.PAGE,
                by="ada",
            ),
            5,
        ),
        [],
    ),
    "what nobody need hear of yet": (wanted(Move.HOLD, "guarded", None), []),
    "what is done by itself": (wanted(Move.SHIFT, "begins", Urgency.TICKET), []),
}


@pytest.mark.parametrize(("what", "codes"), WAITS.values(), ids=WAITS)
def test_what_is_waited_for_tells(what: Wanted, codes: list[str]) -> None:
    found = of_wanted(what, "shop", "prod", NAME)
    assert [each.code for each in found] == codes
    assert all(each.began_ms == 5 and each.ended_ms is None for each in found)


def test_a_freeze_of_the_machine_is_told_until_a_person_thaws_it() -> None:
    orders = told(
        decision("freeze", service=None),
        decision("freeze", service="shop", actor="ada"),
        decision("unfreeze", service="shop", actor="ada"),
    )
    assert short(list(of_orders(orders))) == [(AlertCode.AUTOMATION_FROZEN, 0, None)]
    thawed = [*orders, Ruled(3, format_instant(3 * SECOND), decision("unfreeze", environment="*"))]
    assert short(list(of_orders(thawed))) == [(AlertCode.AUTOMATION_FROZEN, 0, 3)]


# What is so now alone ------------------------------------------------------------------------

HELD_UP = Concern(AlertCode.ROLLOUT_HELD, "shop", "prod", NAME, "It waits.", 5)


def test_what_is_no_more_so_is_told_to_be_over() -> None:
    lately = Lately()
    assert lately.after([HELD_UP], 10) == [HELD_UP]
    over = replace(HELD_UP, ended_ms=20)
    assert lately.after([], 20) == [over]
    assert lately.after([], 20 + HORIZON_MS) == [over]
    assert lately.after([], 21 + HORIZON_MS) == []


def test_what_comes_back_is_not_over_and_what_ended_by_itself_keeps_its_end() -> None:
    lately = Lately()
    lately.after([HELD_UP], 10)
    lately.after([], 20)
    assert lately.after([HELD_UP], 30) == [HELD_UP]
    ended = replace(HELD_UP, ended_ms=35)
    assert lately.after([ended], 40) == [ended]
    assert lately.after([], 50) == [ended]


def test_another_beginning_is_another_concern() -> None:
    lately, later = Lately(), replace(HELD_UP, began_ms=15)
    lately.after([HELD_UP], 10)
    assert lately.after([later], 20) == [later, replace(HELD_UP, ended_ms=20)]


def test_a_pause_that_was_refused_waits_for_nobody() -> None:
    refused = decision("resume", "outcome", outcome="failed", reason="ada asked to resume: no.")
    assert of_rollout("shop", "prod", NAME, told(refused)) == []


@pytest.mark.parametrize(
    ("reason", "seen"),
    [("a sale", "ada: a sale."), ("ada asked: a sale", "ada asked: a sale."), ("It!", "ada: It!")],
)
def test_who_broke_the_glass_is_named_once_in_a_whole_sentence(reason: str, seen: str) -> None:
    broken = decision("promote", actor="ada", break_glass=True, reason=reason)
    (found,) = of_rollout("shop", "prod", NAME, told(broken))
    assert found.seen == seen
