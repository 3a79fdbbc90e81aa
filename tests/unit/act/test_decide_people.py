"""What follows when people ask, approve and overrule."""

from msgspec.structs import replace
from rollout_facts import (
    FAIL,
    MINUTE,
    NEW,
    NOW,
    OPEN,
    PASS,
    PLAN,
    act,
    facts,
    rollout,
    target,
)

from deploymark.act.decide import decide
from deploymark.act.facts import (
    Approval,
    Exposure,
    Freeze,
    Request,
    Stage,
    Wanted,
)
from deploymark.act.intent import Intent, Move
from deploymark.ports import Deed, Urgency

EVERYTHING = Freeze("*", "*", None, "policy", "shared cause")
PAUSED = rollout(stage=Stage.PAUSED, paused_by="policy")
ASKS = replace(PLAN, steps=(replace(PLAN.steps[0], approval=True), PLAN.steps[1]))


def _asking(wanted: Wanted, *, glass: bool = False, **changes: object) -> Intent:
    request = Request(wanted, "ann", "because", 77, break_glass=glass)
    return decide(facts(OPEN, request=request, **changes))


def test_a_person_is_obeyed_where_a_machine_would_wait() -> None:
    for wanted, move in ((Wanted.PROMOTE, Move.PROMOTE), (Wanted.ROLL_BACK, Move.ROLL_BACK)):
        intent = _asking(wanted, kill_switch=True, freezes=(EVERYTHING,), shadow=None)
        assert (intent.move, intent.by, intent.request_index) == (move, "ann", 77)
        assert not intent.break_glass
        assert not intent.automatic
        assert intent.key == f"d-new~1:{move}:1:77"
        assert len(intent.guards) == 10


def test_a_person_pauses_and_resumes() -> None:
    assert _asking(Wanted.PAUSE).move is Move.PAUSE
    assert _asking(Wanted.RESUME, rollout=PAUSED).move is Move.RESUME
    assert _asking(Wanted.RESUME).move is Move.REFUSE
    assert _asking(Wanted.PAUSE, rollout=PAUSED).move is Move.PAUSE
    assert _asking(Wanted.PAUSE, rollout=rollout(stage=Stage.PROMOTED)).move is Move.REFUSE


def test_a_person_returns_what_was_promoted_but_not_what_is_over() -> None:
    promoted = rollout(stage=Stage.PROMOTED, step=2)
    assert _asking(Wanted.ROLL_BACK, rollout=promoted).move is Move.ROLL_BACK
    over = rollout(stage=Stage.OVER)
    gone, left = Exposure(0.0, 0, 3), Exposure(10.0, 1, 4)
    assert _asking(Wanted.ROLL_BACK, rollout=over, exposure=gone).code == "request_refused"
    assert _asking(Wanted.ROLL_BACK, rollout=over, exposure=left).move is Move.ROLL_BACK


def test_a_person_needs_to_break_the_glass_to_return_to_what_cannot_be_trusted() -> None:
    bad = target(irreversible=True)
    refused = _asking(Wanted.ROLL_BACK, target=bad)
    assert (refused.move, refused.request_index) == (Move.REFUSE, 77)
    assert "cannot be undone" in refused.reason
    broken = _asking(Wanted.ROLL_BACK, target=bad, glass=True)
    assert (broken.move, broken.break_glass, broken.urgency) == (
        Move.ROLL_BACK,
        True,
        Urgency.PAGE,
    )


def test_the_glass_is_not_broken_where_nothing_stands_against_it_or_without_a_reason() -> None:
    assert not _asking(Wanted.ROLL_BACK, glass=True).break_glass
    silent = Request(Wanted.ROLL_BACK, "ann", " ", 77, break_glass=True)
    assert decide(facts(OPEN, target=None, request=silent)).move is Move.REFUSE


def test_no_broken_glass_does_a_deed_twice() -> None:
    done = (act(Deed.PROMOTE, deployment="d-new~1", index=80),)
    assert _asking(Wanted.PROMOTE, history=done, glass=True).move is Move.REFUSE


def test_what_was_put_away_is_promoted_only_by_breaking_the_glass() -> None:
    away = frozenset({NEW})
    assert _asking(Wanted.PROMOTE, quarantine=away).move is Move.REFUSE
    assert _asking(Wanted.PROMOTE, quarantine=away, glass=True).break_glass


def test_a_person_who_asks_is_not_kept_by_an_outcome_that_nobody_knows() -> None:
    lost = (act(deployment="d-new~1", outcome="unknown"),)
    assert _asking(Wanted.ROLL_BACK, history=lost).move is Move.ROLL_BACK
    busy = (act(deployment="d-new~1", outcome="", at_ms=NOW - MINUTE),)
    assert _asking(Wanted.ROLL_BACK, history=busy).move is Move.WAIT


def test_an_approval_lets_a_failing_canary_with_much_traffic_return() -> None:
    given = facts(FAIL, exposure=Exposure(80.0, 30, 40))
    assert decide(given).move is Move.PAUSE
    agreed = replace(given, approvals=(Approval(1, Deed.ROLL_BACK, "ann", NOW),))
    assert decide(agreed).move is Move.ROLL_BACK
    assert decide(replace(agreed, shadow=None)).move is Move.PAUSE


def test_an_approval_goes_on_where_the_verdict_does_not() -> None:
    given = facts(OPEN, approvals=(Approval(1, Deed.SHIFT, "ann", NOW),))
    intent = decide(given)
    assert (intent.move, intent.by, intent.code) == (Move.SHIFT, "ann", "approved")
    away = decide(replace(given, quarantine=frozenset({NEW})))
    assert (away.move, away.urgency) == (Move.HOLD, Urgency.TICKET)


def test_an_approval_of_a_failing_canary_is_worth_nothing() -> None:
    assert (
        decide(facts(FAIL, approvals=(Approval(1, Deed.SHIFT, "ann", NOW),))).deed is Deed.ROLL_BACK
    )


def test_only_an_approver_of_the_plan_approves() -> None:
    given = facts(PASS, plan=replace(ASKS, approvers=("bob",)))
    ann = replace(given, approvals=(Approval(1, Deed.SHIFT, "ann", NOW),))
    assert decide(ann).move is Move.HOLD
    bob = replace(given, approvals=(Approval(1, Deed.SHIFT, "bob", NOW),))
    assert decide(bob).move is Move.SHIFT
    before = replace(given, approvals=(Approval(0, Deed.SHIFT, "bob", NOW),))
    assert decide(before).move is Move.HOLD


def test_an_approval_from_before_a_failure_does_not_go_on_after_it_was_overruled() -> None:
    approvals = (Approval(1, Deed.SHIFT, "ann", NOW - MINUTE),)
    given = facts(FAIL, rollout=rollout(overruled="roll_back"), approvals=approvals)
    assert decide(given).move is Move.WAIT
    asked = Request(Wanted.PROMOTE, "ann", "we know why", 77)
    assert decide(replace(given, request=asked)).move is Move.PROMOTE


def test_a_person_who_returns_a_release_that_did_not_fail_puts_nothing_away() -> None:
    assert _asking(Wanted.ROLL_BACK).quarantine is None
    request = Request(Wanted.ROLL_BACK, "ann", "it fails", 77)
    assert decide(facts(FAIL, request=request)).quarantine == NEW
