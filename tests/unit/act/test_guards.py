"""Each guard holds on what is known to be well, and on nothing else."""

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
    OLD,
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
    Request,
    Shadow,
    Stage,
    Wanted,
)
from deploymark.act.guards import BIND_A_PERSON, GUARDS, against, check_guards, guard_target
from deploymark.act.plan import RollBackPlan, RolloutPlan, WithoutControl
from deploymark.judge.verdict import Judgement
from deploymark.model.entries import GuardResult
from deploymark.model.vocabulary import Assurance
from deploymark.ports import Deed

BACK, ON, DONE = Deed.ROLL_BACK, Deed.SHIFT, Deed.PROMOTE
NAMES = (
    "replay",
    "authority",
    "binding",
    "target",
    "no_loops",
    "blast_radius",
    "exposure",
    "once",
    "recovery",
    "shadow",
)
ALONE = Binding(started=None, observed=0, other=0, control=False, target_observed=True)


def _said(name: str, given: Facts, deed: Deed = BACK) -> GuardResult:
    return {each.name: each for each in check_guards(given, deed)}[name]


@pytest.mark.parametrize(("said", "deed"), [(FAIL, BACK), (PASS, ON), (PASS, DONE)])
def test_all_ten_hold_when_all_is_well(said: Judgement, deed: Deed) -> None:
    results = check_guards(facts(said), deed)
    assert tuple(each.name for each in results) == NAMES
    assert against(results) == ()
    assert all(each.reason for each in results)


def _plan(**changes: object) -> RolloutPlan:
    return replace(PLAN, roll_back=replace(RollBackPlan(), **changes))


SIGNED, ATTRIBUTED, NOBODY = Assurance.SIGNED, Assurance.ATTRIBUTED, Assurance.ANONYMOUS
OTHER = act(BACK, service="cart", outcome="", at_ms=NOW - MINUTE)
TOGETHER = tuple(Failure(name, "prod", NOW - MINUTE) for name in ("cart", "pay", "shop"))

# What stands against a rollback: by guard, what is so, and what differs from all being well.
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "no verdict": ("replay", {"verdict": None}),
    "a verdict that was not judged again": ("replay", {"verdict": verdict(FAIL, replayed=None)}),
    "a verdict that came out otherwise": ("replay", {"verdict": verdict(FAIL, replayed=False)}),
    "a verdict that only pauses": ("replay", {"verdict": verdict(PAUSE)}),
    "a verdict that knows nothing": ("replay", {"verdict": verdict(OPEN)}),
    "a verdict that waited in vain": ("replay", {"verdict": verdict(HELD)}),
    "a verdict that passes": ("replay", {"verdict": verdict(PASS)}),
    "a verdict about another step": ("replay", {"verdict": verdict(FAIL, step=2)}),
    "a verdict about another release": ("replay", {"verdict": verdict(FAIL, deployment="d-x~1")}),
    "a verdict of an hour ago": ("replay", {"verdict": verdict(FAIL, until_ms=NOW - HOUR)}),
    "a verdict of the future": ("replay", {"verdict": verdict(FAIL, until_ms=NOW + HOUR)}),
    "markers of nobody": ("authority", {"authority": Authority(None, ATTRIBUTED, in_scope=True)}),
    "anonymous markers": ("authority", {"authority": Authority(NOBODY, ATTRIBUTED, in_scope=True)}),
    "anonymous markers that would do": (
        "authority",
        {"authority": Authority(NOBODY, NOBODY, in_scope=True)},
    ),
    "attributed where signed is asked for": (
        "authority",
        {"authority": Authority(ATTRIBUTED, SIGNED, in_scope=True)},
    ),
    "a scope that is not known": (
        "authority",
        {"authority": Authority(SIGNED, ATTRIBUTED, in_scope=None)},
    ),
    "an emitter without the scope": (
        "authority",
        {"authority": Authority(SIGNED, ATTRIBUTED, in_scope=False)},
    ),
    "94 of 100 observed": ("binding", {"binding": Binding(100, 94, 0, control=True)}),
    "one instance with another digest": ("binding", {"binding": Binding(100, 99, 1, control=True)}),
    "no instance": ("binding", {"binding": Binding(0, 0, 0, control=True)}),
    "instances that are not counted": ("binding", {"binding": Binding(None, 9, 0, control=True)}),
    "a control that is not known": ("binding", {"binding": Binding(9, 9, 0, control=None)}),
    "no control and nothing observed": (
        "binding",
        {"binding": replace(ALONE, target_observed=None), "plan": WRITTEN},
    ),
    "no control and another digest": (
        "binding",
        {"binding": replace(ALONE, other=1), "plan": WRITTEN},
    ),
    "a digest that is not known": ("binding", {"rollout": rollout(pair=None)}),
    "no release to return to": ("target", {"target": None}),
    "a return to itself": ("target", {"target": target(deployment="d-new~1")}),
    "a target that does not run": ("target", {"target": target(concurrent=False)}),
    "a target that may not run": ("target", {"target": target(concurrent=None)}),
    "a target without a digest": ("target", {"target": target(pair=None)}),
    "a target that is not signed": ("target", {"target": target(signed=False)}),
    "a target that is gone": ("target", {"target": target(present=None)}),
    "a target that nobody trusts": ("target", {"target": target(trust=None)}),
    "a migration that cannot be undone": ("target", {"target": target(irreversible=True)}),
    "a migration that nobody knows of": ("target", {"target": target(irreversible=None)}),
    "a clock that nobody compared": ("no_loops", {"clock_off_ms": None}),
    "a clock a day ahead": ("no_loops", {"clock_off_ms": 24 * HOUR}),
    "a clock a day behind": ("no_loops", {"clock_off_ms": -24 * HOUR}),
    "a history that cannot be read": ("no_loops", {"history": None}),
    "a quarantine that cannot be read": ("no_loops", {"quarantine": None}),
    "a rollback": ("no_loops", {"rollout": rollout(returns=True)}),
    "what may be a rollback": ("no_loops", {"rollout": rollout(returns=None)}),
    "a rollback 23 hours ago": ("no_loops", {"history": (act(at_ms=NOW - 23 * HOUR),)}),
    "a rollback in the future": ("no_loops", {"history": (act(at_ms=NOW + 30 * HOUR),)}),
    "a person's rollback 29 minutes ago": (
        "no_loops",
        {"history": (act(automatic=False, at_ms=NOW - 29 * MINUTE),)},
    ),
    "a target that failed before": ("no_loops", {"quarantine": frozenset({OLD})}),
    "a kill switch": ("blast_radius", {"kill_switch": True}),
    "a kill switch that is not known": ("blast_radius", {"kill_switch": None}),
    "freezes that cannot be read": ("blast_radius", {"freezes": None}),
    "failures that cannot be read": ("blast_radius", {"failures": None}),
    "a freeze of everything": ("blast_radius", {"freezes": (Freeze("*", "*", None, "ann"),)}),
    "a freeze that lasts": ("blast_radius", {"freezes": (Freeze("sh*", "prod", NOW + 1, "ann"),)}),
    "three services that fail": ("blast_radius", {"failures": TOGETHER}),
    "another service that is changed": ("blast_radius", {"history": (OTHER,)}),
    "another service of which nobody knows": (
        "blast_radius",
        {"history": (replace(OTHER, outcome="unknown"),)},
    ),
    "another service that has yet to recover": (
        "blast_radius",
        {"history": (replace(OTHER, outcome="succeeded", recovered=None),)},
    ),
    "26 % of the traffic": ("exposure", {"exposure": Exposure(26.0, 10, 40)}),
    "traffic that is not known": ("exposure", {"exposure": Exposure(None, 1, 40)}),
    "two instances of three": ("exposure", {"exposure": Exposure(66.0, 2, 3)}),
    "one instance of four": ("exposure", {"exposure": Exposure(26.0, 1, 4)}),
    "a fleet that is not known": ("exposure", {"exposure": Exposure(33.0, 1, None)}),
    "a lower limit": ("exposure", {"plan": _plan(max_traffic=4)}),
    "a lower limit in a small fleet": (
        "exposure",
        {"plan": _plan(max_traffic=10), "exposure": Exposure(33.0, 1, 3)},
    ),
    "a plan that leaves it to a person": ("exposure", {"plan": _plan(automatic=False)}),
    "no control and no rule": ("exposure", {"binding": ALONE}),
    "no control and more than the rule": (
        "exposure",
        {"binding": ALONE, "plan": _plan(without_control=WithoutControl(max_traffic=4))},
    ),
    "no lease": ("once", {"lease": Lease(None, 3, 3)}),
    "a lease that has ended": ("once", {"lease": Lease(NOW, 3, 3)}),
    "a later holder": ("once", {"lease": Lease(NOW + MINUTE, 3, 4)}),
    "a lease without a fence": ("once", {"lease": Lease(NOW + MINUTE, 0, 0)}),
    "a deed that was done": ("once", {"history": (act(deployment="d-new~1"),)}),
    "a deed that was refused": (
        "once",
        {"history": (act(deployment="d-new~1", outcome="failed"),)},
    ),
    "a deed nobody knows of": (
        "once",
        {"history": (act(deployment="d-new~1", outcome="unknown"),)},
    ),
    "a rollback that waits to help": (
        "recovery",
        {"recovery": Recovery(Recovered.WAITING, NOW, verifiable=True)},
    ),
    "a rollback that did not help": (
        "recovery",
        {"recovery": Recovery(Recovered.NO, NOW, verifiable=True)},
    ),
    "nothing that would show it": (
        "recovery",
        {"recovery": Recovery(Recovered.YES, NOW, verifiable=None)},
    ),
    "no placebo": ("shadow", {"shadow": None}),
    "a placebo that alarms": ("shadow", {"shadow": Shadow(90_000, reached=True)}),
    "a placebo one second short": ("shadow", {"shadow": Shadow(86_399, reached=False)}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_rollback_is_held_back_by(case: str) -> None:
    name, changes = REFUSED[case]
    result = _said(name, facts(**changes))
    assert not result.held
    assert result.reason


HELD_BY: dict[str, tuple[str, dict[str, Any]]] = {
    "95 of 100 observed": ("binding", {"binding": Binding(100, 95, 0, control=True)}),
    "no control and the target observed": ("binding", {"binding": ALONE}),
    "a rollback 25 hours ago": ("no_loops", {"history": (act(at_ms=NOW - 25 * HOUR),)}),
    "a rollback that was refused": ("no_loops", {"history": (act(outcome="failed"),)}),
    "a person's rollback an hour ago": ("no_loops", {"history": (act(automatic=False),)}),
    "a rollback elsewhere": ("no_loops", {"history": (act(environment="dev"),)}),
    "a return to a colour of the same digest": (
        "no_loops",
        {
            "plan": replace(PLAN, strategy="blue_green"),
            "target": target(pair=NEW),
            "quarantine": frozenset({NEW}),
        },
    ),
    "a freeze that has ended": ("blast_radius", {"freezes": (Freeze("*", "*", NOW, "ann"),)}),
    "a freeze of another service": ("blast_radius", {"freezes": (Freeze("c*", "*", None, "a"),)}),
    "two services that fail": ("blast_radius", {"failures": TOGETHER[:2]}),
    "three that failed before the thaw": (
        "blast_radius",
        {"failures": TOGETHER, "thawed_ms": NOW - MINUTE},
    ),
    "three that failed elsewhere": (
        "blast_radius",
        {"failures": tuple(each._replace(environment="dev") for each in TOGETHER)},
    ),
    "another service that is well again": (
        "blast_radius",
        {"history": (replace(OTHER, outcome="succeeded", recovered=True),)},
    ),
    "another environment": ("blast_radius", {"history": (replace(OTHER, environment="dev"),)}),
    "25 % of the traffic": ("exposure", {"exposure": Exposure(25.0, 10, 40)}),
    "one instance of three": ("exposure", {"exposure": Exposure(33.3, 1, 3)}),
    "more, as the plan says": (
        "exposure",
        {"plan": _plan(max_traffic=60), "exposure": Exposure(60.0, 9, 20)},
    ),
    "more, as a person agreed": (
        "exposure",
        {
            "exposure": Exposure(100.0, 20, 20),
            "approvals": (Approval(1, BACK, "ann", NOW),),
        },
    ),
    "everything, as the rule without a control says": (
        "exposure",
        {"binding": ALONE, "plan": WRITTEN, "exposure": Exposure(100.0)},
    ),
    "a deed of another step": ("once", {"history": (act(deployment="d-new~1", step=2),)}),
    "a placebo that is long enough": ("shadow", {"shadow": Shadow(86_400, reached=False)}),
}


@pytest.mark.parametrize("case", HELD_BY)
def test_a_rollback_is_let_through_with(case: str) -> None:
    name, changes = HELD_BY[case]
    result = _said(name, facts(**changes))
    assert result.held, result.reason


def test_going_on_needs_a_pass() -> None:
    for said in (FAIL, PAUSE, OPEN, HELD):
        assert not _said("replay", facts(said), ON).held
        assert not _said("replay", facts(said), DONE).held


def test_what_failed_before_does_not_go_on() -> None:
    assert not _said("no_loops", facts(PASS, quarantine=frozenset({NEW})), ON).held
    other_config = frozenset({NEW._replace(config="sha256:" + "2" * 64)})
    assert _said("no_loops", facts(PASS, quarantine=other_config), ON).held


def test_nothing_goes_on_by_itself_within_half_an_hour_of_a_rollback() -> None:
    assert not _said("no_loops", facts(PASS, history=(act(at_ms=NOW - 29 * MINUTE),)), ON).held
    assert _said("no_loops", facts(PASS, history=(act(at_ms=NOW - 31 * MINUTE),)), ON).held


def test_traffic_that_ran_ahead_of_the_plan_goes_no_further() -> None:
    assert not _said("exposure", facts(PASS, exposure=Exposure(6.0)), ON).held
    assert not _said("exposure", facts(PASS, exposure=Exposure(None)), ON).held


def test_the_first_traffic_needs_neither_verdict_nor_placebo_but_all_else() -> None:
    given = facts(None, rollout=rollout(step=0), shadow=None, exposure=Exposure(0.0))
    assert against(check_guards(given, ON)) == ()
    unseen = replace(given, binding=Binding(4, 0, 0, control=True))
    assert [each.name for each in against(check_guards(unseen, ON))] == ["binding"]


def _burning(**changes: object) -> Facts:
    given: dict[str, Any] = {
        "burn": burn(),
        "binding": ALONE,
        "plan": WRITTEN,
        "exposure": Exposure(100.0),
        "shadow": None,
    }
    return facts(None, **given | changes)


def test_the_written_rule_without_a_control_needs_neither_verdict_nor_placebo() -> None:
    assert against(check_guards(_burning(), BACK)) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"burn": None},
        {"burn": burn(log_e=log(999))},
        {"burn": burn(factor=1.9)},
        {"burn": burn(replayed=None)},
        {"burn": burn(replayed=False)},
        {"burn": burn(index=None)},
        {"burn": burn(since_ms=NOW - 11 * MINUTE)},
        {"rollout": rollout(step_since_ms=NOW - 16 * MINUTE)},
        {"rollout": rollout(step=0)},
        {"binding": replace(ALONE, control=None)},
        {"plan": PLAN},
    ],
    ids=str,
)
def test_the_written_rule_is_no_ground_when(changes: dict[str, Any]) -> None:
    assert not _said("replay", _burning(**changes)).held


def test_nothing_known_lets_nothing_through() -> None:
    unknown = Facts(
        now_ms=NOW,
        clock_off_ms=None,
        plan=PLAN,
        rollout=rollout(pair=None, returns=None),
        verdict=None,
        burn=None,
        authority=Authority(None, ATTRIBUTED, None),
        binding=Binding(None, 0, 0, None),
        target=None,
        history=None,
        failures=None,
        quarantine=None,
        freezes=None,
        kill_switch=None,
        exposure=Exposure(None),
        lease=Lease(None, 0, 0),
        shadow=None,
        recovery=Recovery(Recovered.NOTHING_TO),
    )
    assert {each.name for each in against(check_guards(unknown, BACK))} == set(NAMES)


def test_every_guard_says_all_that_stands_against_it() -> None:
    given = facts(binding=Binding(10, 2, 3, control=True))
    reason = _said("binding", given).reason or ""
    assert "3 instances run" in reason
    assert "2 of 10" in reason


def test_a_reason_fits_into_an_entry_however_much_there_is_to_say() -> None:
    many = tuple(replace(OTHER, service=f"ü{number:0>200}") for number in range(60))
    reason = _said("blast_radius", facts(history=many)).reason or ""
    assert len(reason.encode()) <= 2_048


def test_a_person_is_bound_by_the_target_and_by_being_the_only_one() -> None:
    results = check_guards(facts(None, target=None, kill_switch=True), BACK)
    assert {each.name for each in against(results, person=True)} == {"target"}
    assert set(NAMES) >= BIND_A_PERSON
    assert len(GUARDS) == 10


def test_what_a_person_asks_for_again_is_a_deed_of_its_own() -> None:
    before = (act(deployment="d-new~1", outcome="failed", index=50),)
    again = Request(Wanted.ROLL_BACK, "ann", "the actuator is repaired", 60)
    assert _said("once", facts(history=before, request=again)).held
    earlier = replace(again, index=40)
    assert not _said("once", facts(history=before, request=earlier)).held


def test_only_a_person_returns_what_was_promoted_to_what_it_replaced() -> None:
    replaced = target(concurrent=False, replaced=True)
    request = Request(Wanted.ROLL_BACK, "ann", "it is slow", 77)
    promoted = rollout(stage=Stage.PROMOTED, step=2)
    asked = facts(target=replaced, rollout=promoted, request=request)
    assert guard_target(asked, Deed.ROLL_BACK).held
    for other in (
        replace(asked, request=None),
        replace(asked, rollout=rollout()),
        replace(asked, target=target(concurrent=False)),
        replace(asked, target=replace(replaced, trust=None)),
        replace(asked, target=replace(replaced, signed=False)),
        replace(asked, target=replace(replaced, irreversible=True)),
    ):
        assert not guard_target(other, Deed.ROLL_BACK).held
