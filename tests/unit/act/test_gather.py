"""Facts for guards, made from what was read; what cannot be told stays unknown."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from rollout_world import PLAN

from deploymark.act.course import POLICY, Course, Pending
from deploymark.act.facts import Act, Freeze, Recovered, Stage, Trust
from deploymark.act.gather import (
    Backing,
    binding_of,
    controlled,
    course_of,
    exposure_of,
    failures_of,
    freezes_of,
    history_of,
    is_irreversible,
    pair_of,
    quarantined,
    reaches,
    recovery_of,
    request_of,
    rollout_of,
    target_of,
)
from deploymark.act.plan import RollBackPlan, RolloutPlan, WithoutControl
from deploymark.act.showing import freezes_since
from deploymark.model.entries import Decision, Verdict
from deploymark.model.instants import format_instant
from deploymark.model.vocabulary import Assurance
from deploymark.ports import Deed
from deploymark.projections.broker.rolling import Bound, Rolling, Ruled, Side

NOW = 1_795_000_000_000
DAY, MINUTE = 86_400_000, 60_000
NAME = "d-2~1"
DIGEST = "sha256:" + "2" * 64
RULED_PLAN = replace(PLAN, roll_back=RollBackPlan(without_control=WithoutControl()))


def _said(index: int, action: str, stage: str = "decided", **more: Any) -> Ruled:  # noqa: ANN401 - fields of a decision
    ago_ms = more.pop("ago_ms", 0)
    fields = {
        "environment": "prod",
        "service": "checkout",
        "deployment_id": NAME,
        "actor": POLICY,
        "timestamp": format_instant(NOW),
        "action": action,
        "stage": stage,
        **more,
    }
    stated = {name: value for name, value in fields.items() if value is not None}
    return Ruled(index, format_instant(NOW - ago_ms), msgspec.convert(stated, Decision))


def _ended(index: int, action: str, of: int, outcome: str = "succeeded", **more: Any) -> Ruled:  # noqa: ANN401 - as above
    return _said(index, action, "outcome", outcome=outcome, decision_index=of, **more)


def _side(name: str = NAME, bound: Bound | None = None, **more: Any) -> Side:  # noqa: ANN401 - of a document
    document = {
        "digest": DIGEST,
        "live_at": None,
        "opened_at": format_instant(NOW),
        "rollback_of": None,
        "state": "running",
        **more,
    }
    ids = (name.partition("~")[0],)
    return Side(name, ids, document, is_over=False, bound=bound or Bound(4, 4, 4, 0))


STABLE = _side("d-1~1", live_at=format_instant(NOW - DAY))
ROLLING = Rolling("checkout", "prod", _side(), STABLE, frozenset(), ())
COURSE = Course(NAME, "checkout", "prod", step=1, weight=10.0, since_ms=NOW)


def _history(*said: Ruled, environment: str = "prod", deployment: str = NAME) -> tuple[Act, ...]:
    return history_of(said, environment, deployment, NOW)


def test_a_deed_is_known_by_its_outcome_and_the_step_it_was_decided_at() -> None:
    (act,) = _history(_said(7, "shift", step=2, fence=3), _ended(8, "shift", 7, step=2))
    assert (act.deed, act.step, act.outcome, act.fence) == (Deed.SHIFT, 1, "succeeded", 3)
    assert act.automatic


def test_what_a_person_ordered_is_not_automatic_and_what_waits_has_no_outcome() -> None:
    (act,) = _history(_said(7, "promote", step=2, actor="ada"))
    assert (act.automatic, act.outcome, act.step) == (False, "", 2)


@pytest.mark.parametrize(
    ("executed", "outcome", "expected"),
    [
        (True, "succeeded", ("succeeded", True)),
        (True, "failed", ("succeeded", False)),
        (False, "failed", ("failed", None)),
        (True, "unknown", ("unknown", None)),
    ],
)
def test_a_return_that_was_carried_out_changed_what_runs_whether_it_helped_or_not(
    executed: bool,  # noqa: FBT001 - a case
    outcome: str,
    expected: tuple[str, bool | None],
) -> None:
    said = [_said(7, "roll_back")]
    if executed:
        said.append(_said(8, "roll_back", "executed", decision_index=7))
    (act,) = _history(*said, _ended(9, "roll_back", 7, outcome))
    assert (act.outcome, act.recovered) == expected


@pytest.mark.parametrize("outcome", ["failed", "unknown"])
def test_who_resumes_lets_what_did_not_succeed_be_tried_again(outcome: str) -> None:
    said = (_said(7, "shift"), _ended(8, "shift", 7, outcome))
    assert len(_history(*said)) == 1
    assert _history(*said, _said(9, "resume", actor="ada")) == ()
    assert len(_history(*said, _said(9, "resume", "approved", actor="ada"))) == 1
    assert len(_history(*said, _said(9, "resume", actor="ada", deployment_id="d-9~1"))) == 1


def test_what_nobody_knew_is_known_when_the_next_deed_succeeds() -> None:
    said = (_said(7, "shift"), _ended(8, "shift", 7, "unknown"))
    (act,) = _history(*said, _said(9, "roll_back", actor="ada"), _ended(10, "roll_back", 9))
    assert act.deed is Deed.ROLL_BACK


def test_what_is_over_since_a_day_is_forgotten_but_not_of_this_rollout() -> None:
    said = (_said(7, "shift", ago_ms=2 * DAY), _ended(8, "shift", 7, ago_ms=2 * DAY))
    assert len(_history(*said)) == 1
    assert _history(*said, deployment="d-9~1") == ()
    open_deed = _said(9, "shift", ago_ms=2 * DAY)
    assert [act.index for act in _history(*said, open_deed, deployment="d-9~1")] == [9]
    assert _history(*said, environment="test") == ()


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ((), Recovered.NOTHING_TO),
        (("succeeded",), Recovered.YES),
        (("failed",), Recovered.NO),
        (("unknown",), Recovered.WAITING),
        (("",), Recovered.WAITING),
    ],
)
def test_the_last_return_that_changed_anything_says_whether_things_are_well(
    outcomes: tuple[str, ...], expected: Recovered
) -> None:
    said: list[Ruled] = []
    for outcome in outcomes:
        said += [_said(7, "roll_back"), _said(8, "roll_back", "executed", decision_index=7)]
        if outcome:
            said.append(_ended(9, "roll_back", 7, outcome))
    # One that was refused changed nothing.
    said += [_said(20, "roll_back"), _ended(21, "roll_back", 20, "failed")]
    recovery = recovery_of(_history(*said), "checkout", verifiable=True)
    assert recovery.state is expected
    assert recovery_of(_history(*said), "cart", verifiable=None).state is Recovered.NOTHING_TO


def test_a_freeze_holds_until_it_is_lifted() -> None:
    freeze = _said(1, "freeze", service=None, deployment_id=None, actor="ada", reason="A sale.")
    standing, thawed = freezes_of([freeze])
    assert standing == (Freeze("*", "prod", None, "ada", "A sale."),)
    assert thawed == {}
    unfreeze = _said(2, "unfreeze", service=None, deployment_id=None)
    assert freezes_of([freeze, unfreeze]) == ((), {"prod": NOW})


def test_who_thaws_everything_thaws_each_and_who_thaws_one_thaws_one() -> None:
    whole = _said(1, "freeze", service=None, deployment_id=None)
    one = _said(2, "freeze", deployment_id=None)
    thaw_one = _said(3, "unfreeze", deployment_id=None)
    thaw_all = _said(3, "unfreeze", service=None, environment="*", deployment_id=None)
    standing, thawed = freezes_of([whole, one, thaw_one])
    assert [(each.service, each.environment) for each in standing] == [("*", "prod")]
    assert thawed == {}  # the cause that services share may still be there
    assert freezes_of([whole, one, thaw_all]) == ((), {"*": NOW})


def test_what_was_put_away_stays_away_until_it_is_released() -> None:
    away, release = _said(1, "quarantine"), _said(2, "release")
    assert quarantined([away]) == [("checkout", "prod", NAME)]
    assert quarantined([away, release]) == []
    assert quarantined([away, release, _said(3, "quarantine")]) == [("checkout", "prod", NAME)]


def test_a_release_fails_once_however_often_it_is_said() -> None:
    verdict = Verdict(
        deployment_id=NAME,
        service="checkout",
        environment="prod",
        result="fail",
        advice="pause",
        look=1,
        score=0,
        inputs_digest=DIGEST,
        judge="deploymark/1",
        timestamp=format_instant(NOW),
    )
    failed = [Ruled(index, format_instant(NOW + index), verdict) for index in (1, 2)]
    assert [(each.service, each.at_ms) for each in failures_of(failed)] == [("checkout", NOW + 1)]


@pytest.mark.parametrize(
    ("course", "state", "expected"),
    [
        (COURSE, "running", Stage.GOING),
        (replace(COURSE, paused=4), "running", Stage.PAUSED),
        (replace(COURSE, failed=4), "running", Stage.PAUSED),
        (replace(COURSE, unknown=4), "running", Stage.PAUSED),
        (replace(COURSE, ended="promoted", paused=4), "running", Stage.PROMOTED),
        (COURSE, "removed", Stage.OVER),
        (COURSE, "rolled_back", Stage.ROLLED_BACK),
    ],
)
def test_the_stage_of_a_rollout_follows_from_its_course_and_its_state(
    course: Course, state: str, expected: Stage
) -> None:
    rolling = ROLLING._replace(canary=_side(state=state))
    assert rollout_of(course, rolling, PLAN).stage is expected


@pytest.mark.parametrize(
    ("action", "expected"),
    [("shift", Stage.GOING), ("promote", Stage.PROMOTING), ("roll_back", Stage.ROLLING_BACK)],
)
def test_a_deed_that_is_under_way_is_the_stage(action: str, expected: Stage) -> None:
    decision = _said(1, action).said
    assert isinstance(decision, Decision)
    course = replace(COURSE, pending=Pending(1, decision, NOW))
    assert rollout_of(course, ROLLING, PLAN).stage is expected


def test_what_has_all_of_the_traffic_is_behind_the_last_switch() -> None:
    live = ROLLING._replace(canary=_side(live_at=format_instant(NOW)), stable=None)
    course = replace(COURSE, step=0, weight=0.0)
    assert rollout_of(course, live, PLAN).step == len(PLAN.steps)
    assert exposure_of(course, live).weight == 100
    assert rollout_of(course, ROLLING, PLAN).step == 0
    assert exposure_of(COURSE, ROLLING).weight == 10


@pytest.mark.parametrize(
    ("rolling", "weight", "expected"),
    [
        (ROLLING, 10.0, True),
        (ROLLING, 100.0, False),
        (ROLLING._replace(stable=None), 10.0, False),
        (ROLLING._replace(stable=_side("d-1~1", Bound(4, 0, 4, 0))), 10.0, False),
        (ROLLING._replace(stable=_side("d-2~2")), 10.0, False),
    ],
)
def test_a_control_runs_beside_it_gets_traffic_and_can_be_told_apart(
    rolling: Rolling,
    weight: float,
    expected: bool,  # noqa: FBT001 - a case
) -> None:
    assert controlled(PLAN, rolling, weight) is expected


def test_a_baseline_is_a_control_only_when_it_runs() -> None:
    plan = replace(PLAN, control="baseline")
    assert not controlled(plan, ROLLING, 10.0)
    assert controlled(plan, ROLLING._replace(baseline=frozenset({"one"})), 10.0)


def test_without_a_control_what_the_traffic_goes_to_must_be_observed() -> None:
    alone = ROLLING._replace(stable=None)
    assert binding_of(COURSE, alone, PLAN).target_observed
    strange = alone._replace(canary=_side(bound=Bound(4, 4, 4, 1)))
    assert binding_of(COURSE, strange, PLAN).target_observed is False
    assert binding_of(COURSE, ROLLING, PLAN).target_observed is None


def _target(
    rolling: Rolling = ROLLING,
    backing: Backing = Backing(Assurance.SIGNED, in_scope=True),  # noqa: B008 - a frozen value
    plan: RolloutPlan = PLAN,
) -> dict[str, Any]:
    target = target_of(rolling, backing, Assurance.ATTRIBUTED, plan, irreversible=False)
    assert target is not None
    return msgspec.structs.asdict(target)


@pytest.mark.parametrize(
    ("backing", "expected"),
    [
        (Backing(Assurance.SIGNED, in_scope=True), True),
        (Backing(Assurance.ANONYMOUS, in_scope=True), False),
        (Backing(Assurance.SIGNED, in_scope=False), False),
        (Backing(Assurance.SIGNED, None), None),
        (Backing(None, None), None),
    ],
)
def test_a_target_is_signed_by_somebody_who_might(
    backing: Backing,
    expected: bool | None,  # noqa: FBT001 - a case
) -> None:
    assert _target(backing=backing)["signed"] is expected


@pytest.mark.parametrize(
    ("past", "expected"),
    [
        ((), None),
        ((_said(1, "promote"),), None),
        ((_said(1, "promote"), _ended(2, "promote", 1, "failed")), None),
        ((_said(1, "promote"), _ended(2, "promote", 1)), Trust.PASSED),
        ((_ended(2, "promote", 1, actor="ada"),), Trust.PROMOTED),
        ((_said(1, "adopt", actor="ada"),), Trust.ADOPTED),
    ],
)
def test_a_target_is_trusted_for_what_was_decided_about_it(
    past: tuple[Ruled, ...], expected: Trust | None
) -> None:
    assert _target(ROLLING._replace(past=past))["trust"] is expected


def test_what_was_replaced_at_once_is_a_target_by_a_written_rule_alone() -> None:
    gone = _side("d-1~1", Bound(4, 0, 4, 0))
    switched = ROLLING._replace(stable=None, previous=gone)
    assert _target(switched)["concurrent"] is False
    ruled = _target(switched, plan=RULED_PLAN)
    assert (ruled["concurrent"], ruled["present"]) == (True, True)
    unseen = switched._replace(previous=_side("d-1~1", Bound(4, 0, 0, 0)))
    assert _target(unseen, plan=RULED_PLAN)["present"] is False
    nothing = ROLLING._replace(stable=None)
    backing = Backing(Assurance.SIGNED, in_scope=True)
    assert target_of(nothing, backing, Assurance.SIGNED, PLAN, irreversible=False) is None


def test_a_stable_release_that_runs_no_more_is_not_present() -> None:
    assert _target()["present"]
    assert not _target(ROLLING._replace(stable=_side("d-1~1", Bound(4, 0, 4, 0))))["present"]


def test_only_an_expansion_of_the_schema_lets_the_old_release_go_on() -> None:
    assert not is_irreversible([{"schema": {"step": "expand"}}])
    assert is_irreversible([{"schema": {"step": "expand"}}, {"schema": {"step": "contract"}}])
    assert is_irreversible([{"schema": {"step": None}}])


def test_what_is_not_known_is_neither_enough_nor_too_little() -> None:
    assert reaches(None, Assurance.ATTRIBUTED) is None
    assert reaches(Assurance.SIGNED, Assurance.ATTRIBUTED)
    assert reaches(Assurance.ANONYMOUS, Assurance.ATTRIBUTED) is False
    assert pair_of(_side(digest=None)) is None


def test_the_oldest_request_comes_first() -> None:
    said = [
        _said(index, action, "approved", actor="ada")
        for index, action in ((3, "pause"), (4, "promote"))
    ]
    rolling = ROLLING._replace(ruled=tuple(said))
    request = request_of(course_of(rolling))
    assert request is not None
    assert (request.index, request.wanted, request.by) == (3, "pause", "ada")
    assert request_of(COURSE) is None


def test_since_when_a_freeze_holds_is_when_it_was_said_anew() -> None:
    freeze = _said(1, "freeze", service=None, deployment_id=None)
    thaw = _said(2, "unfreeze", service=None, deployment_id=None)
    again = freeze._replace(idx=3, received_at="2026-11-22T01:12:00.000Z")
    ((held, since),) = freezes_since(("checkout", "prod"), [freeze, thaw, again])
    assert (held.service, since) == ("*", "2026-11-22T01:12:00.000Z")
    assert freezes_since(("checkout", "test"), [freeze]) == []
