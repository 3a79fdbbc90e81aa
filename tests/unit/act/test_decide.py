"""What follows from a rollout's facts: always one intent, with its reason, and the same again."""

from math import log
from typing import Any

import pytest
from msgspec.structs import replace
from rollout_facts import (
    FAIL,
    HELD,
    HOUR,
    MINUTE,
    NEW,
    NOW,
    OPEN,
    PASS,
    PAUSE,
    PLAN,
    WRITTEN,
    act,
    burn,
    facts,
    rollout,
    target,
    verdict,
)

from deploymark.act.decide import decide
from deploymark.act.facts import (
    Approval,
    Authority,
    Binding,
    Exposure,
    Facts,
    Failure,
    Freeze,
    Lease,
    Recovered,
    Recovery,
    Stage,
)
from deploymark.act.intent import Move
from deploymark.act.plan import RollBackPlan
from deploymark.model.vocabulary import Assurance
from deploymark.ports import Deed, Urgency

ALONE = Binding(started=None, observed=0, other=0, control=False, target_observed=True)
TOGETHER = tuple(Failure(name, "prod", NOW - MINUTE) for name in ("cart", "pay", "shop"))
EVERYTHING = Freeze("*", "*", None, "policy", "shared cause")
LATE = rollout(step_since_ms=NOW - 2 * HOUR)
LAST = rollout(step=2, step_since_ms=NOW - HOUR)
PAUSED = rollout(stage=Stage.PAUSED, paused_by="policy")
PERSON = replace(PLAN, promotion="person")
ASKS = replace(PLAN, steps=(replace(PLAN.steps[0], approval=True), PLAN.steps[1]))
BLUE_GREEN = replace(WRITTEN, strategy="blue_green", steps=())
BACKED = rollout(stage=Stage.ROLLED_BACK)


def _recovery(state: Recovered, minutes: int = 5) -> Recovery:
    return Recovery(state, NOW - minutes * MINUTE, verifiable=True)


def _step(number: int, **changes: object) -> dict[str, Any]:
    return {
        "rollout": rollout(step=number, step_since_ms=NOW - HOUR),
        "verdict": verdict(PASS, step=number),
        "exposure": Exposure(25.0),
        **changes,
    }


ANSWERS: dict[str, tuple[Facts, Move, str, Urgency | None]] = {
    "a pass goes on": (facts(PASS), Move.SHIFT, "canary_passed", None),
    "a pass at the last step promotes": (
        facts(PASS, **_step(2)),
        Move.PROMOTE,
        "canary_passed",
        None,
    ),
    "a pass waits for the bake time": (
        facts(PASS, rollout=rollout(step_since_ms=NOW - 4 * MINUTE)),
        Move.WAIT,
        "bakes",
        None,
    ),
    "a clock that was set back bakes on": (
        facts(PASS, rollout=rollout(step_since_ms=NOW + HOUR)),
        Move.WAIT,
        "bakes",
        None,
    ),
    "a step that wants a person": (
        facts(PASS, plan=ASKS),
        Move.HOLD,
        "awaits_approval",
        Urgency.TICKET,
    ),
    "a promotion that wants a person": (
        facts(PASS, **_step(2, plan=PERSON)),
        Move.HOLD,
        "awaits_approval",
        Urgency.TICKET,
    ),
    "a pass that guards hold back": (
        facts(PASS, kill_switch=True),
        Move.HOLD,
        "guarded",
        None,
    ),
    "a pass that guards hold back for long": (
        facts(PASS, kill_switch=True, rollout=LATE),
        Move.HOLD,
        "guarded",
        Urgency.TICKET,
    ),
    "a pass of an hour ago": (
        facts(PASS, verdict=verdict(PASS, until_ms=NOW - HOUR)),
        Move.HOLD,
        "guarded",
        None,
    ),
    "no verdict": (facts(None), Move.WAIT, "undecided", None),
    "no verdict for long": (facts(None, rollout=LATE), Move.HOLD, "undecided", Urgency.TICKET),
    "nothing proven": (facts(OPEN), Move.WAIT, "undecided", None),
    "nothing proven for long": (
        facts(OPEN, rollout=LATE),
        Move.HOLD,
        "undecided",
        Urgency.TICKET,
    ),
    "a judge that gives up": (facts(HELD), Move.HOLD, "undecided", Urgency.TICKET),
    "a pass of the step before": (
        facts(PASS, rollout=LAST),
        Move.WAIT,
        "undecided",
        None,
    ),
    "a failure returns": (facts(FAIL), Move.ROLL_BACK, "canary_failed", Urgency.PAGE),
    "a likely failure pauses": (facts(PAUSE), Move.PAUSE, "canary_failed", Urgency.PAGE),
    "a failure that guards hold back pauses": (
        facts(FAIL, target=None),
        Move.PAUSE,
        "canary_failed",
        Urgency.PAGE,
    ),
    "a failure of what is paused returns": (
        facts(FAIL, rollout=PAUSED),
        Move.ROLL_BACK,
        "canary_failed",
        Urgency.PAGE,
    ),
    "a failure of what is paused, held back": (
        facts(FAIL, rollout=PAUSED, target=None),
        Move.HOLD,
        "canary_failed",
        Urgency.PAGE,
    ),
    "a likely failure of what is paused": (
        facts(PAUSE, rollout=PAUSED),
        Move.HOLD,
        "canary_failed",
        Urgency.PAGE,
    ),
    "a likely failure that a person overruled": (
        facts(PAUSE, rollout=rollout(overruled="pause")),
        Move.WAIT,
        "undecided",
        None,
    ),
    "more than a person overruled": (
        facts(FAIL, rollout=rollout(overruled="pause")),
        Move.ROLL_BACK,
        "canary_failed",
        Urgency.PAGE,
    ),
    "a failure that a person overruled": (
        facts(FAIL, rollout=rollout(overruled="roll_back")),
        Move.WAIT,
        "undecided",
        None,
    ),
    "what a machine paused": (facts(PASS, rollout=PAUSED), Move.HOLD, "paused", None),
    "what was paused for long": (
        facts(PASS, rollout=replace(LATE, stage=Stage.PAUSED)),
        Move.HOLD,
        "paused",
        Urgency.TICKET,
    ),
    "a budget that burns pauses": (
        facts(PASS, burn=burn()),
        Move.PAUSE,
        "budget_burns",
        Urgency.TICKET,
    ),
    "a budget that hardly burns": (
        facts(PASS, burn=burn(log_e=log(99))),
        Move.SHIFT,
        "canary_passed",
        None,
    ),
    "a budget that burned an hour ago": (
        facts(PASS, burn=burn(until_ms=NOW - HOUR)),
        Move.SHIFT,
        "canary_passed",
        None,
    ),
    "a budget that burns, overruled": (
        facts(PASS, burn=burn(), rollout=rollout(overruled="pause")),
        Move.SHIFT,
        "canary_passed",
        None,
    ),
    "a budget that burns without a control and a rule": (
        facts(None, burn=burn(), binding=ALONE),
        Move.PAUSE,
        "budget_burns",
        Urgency.TICKET,
    ),
    "a budget that burns by the written rule": (
        facts(None, burn=burn(), binding=ALONE, plan=WRITTEN, exposure=Exposure(100.0)),
        Move.ROLL_BACK,
        "budget_burns",
        Urgency.PAGE,
    ),
    "the written rule, held back": (
        facts(None, burn=burn(), binding=ALONE, plan=WRITTEN, exposure=Exposure(None)),
        Move.PAUSE,
        "budget_burns",
        Urgency.PAGE,
    ),
    "no control and no proof": (
        facts(None, binding=ALONE, plan=WRITTEN, rollout=LATE),
        Move.HOLD,
        "undecided",
        Urgency.TICKET,
    ),
    "the first traffic": (
        facts(None, rollout=rollout(step=0), exposure=Exposure(0.0)),
        Move.SHIFT,
        "begins",
        None,
    ),
    "the first traffic for what nobody observed": (
        facts(None, rollout=rollout(step=0), binding=Binding(3, 0, 0, control=True)),
        Move.HOLD,
        "guarded",
        None,
    ),
    "a cutover asks": (
        facts(None, plan=BLUE_GREEN, rollout=rollout(step=0)),
        Move.HOLD,
        "awaits_approval",
        Urgency.TICKET,
    ),
    "an approved cutover": (
        facts(
            None,
            plan=BLUE_GREEN,
            rollout=rollout(step=0),
            approvals=(Approval(0, Deed.SHIFT, "ann", NOW),),
        ),
        Move.SHIFT,
        "approved",
        None,
    ),
    "cutting back to the colour of the same digest": (
        facts(
            None,
            plan=BLUE_GREEN,
            binding=ALONE,
            burn=burn(),
            target=target(pair=NEW),
            quarantine=frozenset({NEW}),
            exposure=Exposure(100.0),
        ),
        Move.ROLL_BACK,
        "budget_burns",
        Urgency.PAGE,
    ),
    "another controller": (facts(FAIL, lease=Lease(None, 1, 3)), Move.WAIT, "not_ours", None),
    "a lease that a later one has": (
        facts(FAIL, lease=Lease(NOW + 1, 2, 3)),
        Move.WAIT,
        "not_ours",
        None,
    ),
    "an order that is carried out": (
        facts(FAIL, history=(act(deployment="d-new~1", outcome="", at_ms=NOW - MINUTE),)),
        Move.WAIT,
        "under_way",
        None,
    ),
    "an order that is not carried out": (
        facts(FAIL, history=(act(deployment="d-new~1", outcome="", at_ms=NOW - HOUR),)),
        Move.PAGE,
        "not_carried_out",
        Urgency.PAGE,
    ),
    "an order of which nobody knows": (
        facts(FAIL, history=(act(deployment="d-new~1", outcome="unknown"),)),
        Move.PAGE,
        "outcome_unknown",
        Urgency.PAGE,
    ),
    "an order that was refused": (
        facts(FAIL, history=(act(deployment="d-new~1", outcome="failed"),)),
        Move.PAUSE,
        "canary_failed",
        Urgency.PAGE,
    ),
    "three services that fail": (
        facts(FAIL, failures=TOGETHER),
        Move.FREEZE,
        "shared_cause",
        Urgency.PAGE,
    ),
    "three services that fail, frozen already": (
        facts(FAIL, failures=TOGETHER, freezes=(EVERYTHING,)),
        Move.PAUSE,
        "canary_failed",
        Urgency.PAGE,
    ),
    "a rollback is watched": (
        facts(FAIL, rollout=BACKED, recovery=_recovery(Recovered.WAITING)),
        Move.WAIT,
        "recovering",
        None,
    ),
    "a rollback that helps too late": (
        facts(FAIL, rollout=BACKED, recovery=_recovery(Recovered.WAITING, 11)),
        Move.PAGE,
        "recovery_failed",
        Urgency.PAGE,
    ),
    "a rollback that does not help": (
        facts(FAIL, rollout=BACKED, recovery=_recovery(Recovered.NO)),
        Move.PAGE,
        "recovery_failed",
        Urgency.PAGE,
    ),
    "a rollback that helped": (
        facts(FAIL, rollout=BACKED, recovery=_recovery(Recovered.YES)),
        Move.WAIT,
        "over",
        None,
    ),
    "what is promoted": (
        facts(FAIL, rollout=rollout(stage=Stage.PROMOTED)),
        Move.WAIT,
        "over",
        None,
    ),
    "what ended without us": (
        facts(FAIL, rollout=rollout(stage=Stage.OVER)),
        Move.WAIT,
        "over",
        None,
    ),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_what_follows_from(case: str) -> None:
    given, move, code, urgency = ANSWERS[case]
    intent = decide(given)
    assert (intent.move, intent.code, intent.urgency) == (move, code, urgency), intent.reason
    assert intent.reason
    assert decide(given) == intent
    assert intent.automatic == (code != "approved")


def test_a_step_goes_to_the_next_weight_and_a_promotion_to_all() -> None:
    on = decide(facts(PASS))
    assert (on.weight, on.step, on.key, on.deed) == (25.0, 1, "d-new~1:shift:1", Deed.SHIFT)
    assert decide(facts(PASS, **_step(2))).weight == 100.0
    assert decide(facts(None, rollout=rollout(step=0), exposure=Exposure(0.0))).weight == 5.0
    cutover = ANSWERS["an approved cutover"][0]
    assert (decide(cutover).weight, decide(cutover).by) == (100.0, "ann")


def test_a_rollback_puts_away_what_failed_and_names_all_guards_and_its_verdict() -> None:
    intent = decide(facts(FAIL))
    assert (intent.weight, intent.quarantine, intent.verdict_index) == (0.0, NEW, 90)
    assert len(intent.guards) == 10
    assert intent.key == "d-new~1:roll_back:1"
    assert "2,000 to one" in intent.reason


def test_a_pause_instead_of_a_rollback_says_which_guards_stood_against_it() -> None:
    intent = decide(facts(FAIL, target=None, kill_switch=True))
    assert "Guard target: " in intent.reason
    assert "Guard blast_radius: " in intent.reason
    assert len(intent.guards) == 10


def test_cutting_back_to_the_same_digest_puts_nothing_away() -> None:
    given = ANSWERS["cutting back to the colour of the same digest"][0]
    assert decide(given).quarantine is None


def test_a_freeze_after_a_thaw_is_another_freeze() -> None:
    first = decide(facts(FAIL, failures=TOGETHER))
    again = decide(facts(FAIL, failures=TOGETHER, thawed_ms=NOW - HOUR))
    assert (first.move, again.move) == (Move.FREEZE, Move.FREEZE)
    assert first.key != again.key


def test_a_plan_that_forbids_automatic_rollbacks_pauses() -> None:
    plan = replace(PLAN, roll_back=RollBackPlan(automatic=False))
    assert decide(facts(FAIL, plan=plan)).move is Move.PAUSE


@pytest.mark.parametrize("step", [3, 9])
def test_a_plan_that_became_shorter_promotes_after_its_last_step(step: int) -> None:
    assert decide(facts(PASS, **_step(step))).move is Move.PROMOTE


UNKNOWN: dict[str, dict[str, Any]] = {
    "the clock": {"clock_off_ms": None},
    "the verdict": {"verdict": None},
    "whether it replays": {"verdict": verdict(FAIL, replayed=None)},
    "the assurance": {"authority": Authority(None, Assurance.ATTRIBUTED, in_scope=True)},
    "the scope": {"authority": Authority(Assurance.SIGNED, Assurance.SIGNED, in_scope=None)},
    "what started": {"binding": Binding(None, 9, 0, control=True)},
    "what is beside it": {"binding": Binding(9, 9, 0, control=None)},
    "its digest": {"rollout": rollout(pair=None)},
    "the history": {"history": None},
    "the failures": {"failures": None},
    "the quarantine": {"quarantine": None},
    "the freezes": {"freezes": None},
    "the kill switch": {"kill_switch": None},
    "the traffic": {"exposure": Exposure(None)},
    "the placebos": {"shadow": None},
    "the effect": {"recovery": Recovery(Recovered.NOTHING_TO, verifiable=None)},
}


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_one_thing_unknown_is_enough_to_change_nothing(unknown: str) -> None:
    back = decide(facts(FAIL, **UNKNOWN[unknown]))
    assert back.move in (Move.PAUSE, Move.WAIT), back
    changes = UNKNOWN[unknown]
    if changes.get("verdict") is not None:
        changes = {"verdict": verdict(PASS, replayed=None)}
    on = decide(facts(PASS, **changes))
    assert on.move in (Move.HOLD, Move.WAIT), on
