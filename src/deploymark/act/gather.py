"""Makes the facts that guards and decisions are asked with from what was read. Pure.

What cannot be told is None: guards let nothing through that is not known.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from deploymark.act.course import POLICY, SUCCEEDED, Course, fold
from deploymark.act.facts import (
    Act,
    Approval,
    Binding,
    Exposure,
    Failure,
    Freeze,
    Pair,
    Recovered,
    Recovery,
    Request,
    Rollout,
    Stage,
    Target,
    Trust,
    Wanted,
    steps_of,
)
from deploymark.act.plan import RolloutPlan
from deploymark.model.entries import Decision
from deploymark.model.instants import parse_instant
from deploymark.model.vocabulary import Assurance, Phase
from deploymark.ports import Deed
from deploymark.projections.broker.rolling import Rolling, Ruled, Side

_ASKED: Final = {each.value: each for each in Wanted}
_DEEDS: Final = {each.value: each for each in Deed}
_OVER: Final = frozenset({"failed", "removed", "superseded"})
_GIVEN_UP: Final = _OVER - {"superseded"}
_SUPERSEDED: Final = "superseded"
_EVERYTHING: Final = 100.0
_MS: Final = 1_000
_AGO_MS: Final = 86_400_000
"""How long what is over is looked back on."""

RANK: Final = {Assurance.ANONYMOUS: 0, Assurance.ATTRIBUTED: 1, Assurance.SIGNED: 2}


class Backing(Struct, frozen=True):
    """Who stands behind the markers of a deployment, as their leaves say.

    Attributes:
        assurance: The weakest of them, None when none could be read.
        in_scope: Each of them was said by somebody who might; None when that cannot be told.
    """

    assurance: Assurance | None
    in_scope: bool | None


def course_of(rolling: Rolling) -> Course:
    """Return how far a rollout has come."""
    document = rolling.canary.document
    began = Course(
        rolling.canary.name,
        rolling.service,
        rolling.environment,
        since_ms=parse_instant(document["live_at"] or document["opened_at"]),
    )
    return fold(began, ((each.idx, each.received_at, each.said) for each in rolling.ruled))


def is_rolled_out(course: Course, rolling: Rolling, plan: RolloutPlan, now_ms: int) -> bool:
    """Tell whether the newest deployment is on its way, so that there is something to do."""
    document = rolling.canary.document
    if course.asked:
        return True
    if course.ended or rolling.canary.is_over or Phase.PROMOTED.value in document["phases"]:
        return False
    live = document["live_at"]
    if course.step > 0 or live is None:
        return True
    # It has all of the traffic already. Only a written rule looks at it, and not for ever.
    rule = plan.roll_back.without_control
    return (
        rule is not None
        and document["previous_deployment_id"] is not None
        and now_ms - parse_instant(live) <= rule.minutes * 60 * _MS
    )


def is_left_behind(course: Course, rolling: Rolling) -> bool:
    """Tell whether a canary is over by its own markers and has traffic that nobody took back."""
    if course.ended or course.pending is not None or course.asked or not course.weight:
        return False
    return rolling.canary.document["state"] in _GIVEN_UP


def reaches(assurance: Assurance | None, wanted: Assurance) -> bool | None:
    """Tell whether an assurance is at least what is wanted; None when it is not known."""
    return None if assurance is None else RANK[assurance] >= RANK[wanted]


def weight_of(course: Course, rolling: Rolling) -> float:
    """Return how many percent of the traffic the canary has, as it is and not as it was ordered."""
    return 100.0 if rolling.canary.document["live_at"] is not None else course.weight


def step_of(course: Course, rolling: Rolling, plan: RolloutPlan) -> int:
    """Return which step a rollout is at; what has all of the traffic is behind the last switch."""
    switched = rolling.canary.document["live_at"] is not None
    return course.step or (len(steps_of(plan)) if switched else 0)


def rollout_of(
    course: Course, rolling: Rolling, plan: RolloutPlan, superseded_by: str = ""
) -> Rollout:
    """Return what is rolled out, as guards know it."""
    document = rolling.canary.document
    return Rollout(
        deployment=course.deployment,
        service=course.service,
        environment=course.environment,
        stage=_stage(course, rolling),
        step=step_of(course, rolling, plan),
        step_since_ms=course.since_ms or parse_instant(document["opened_at"]),
        pair=pair_of(rolling.canary),
        returns=document["rollback_of"] is not None,
        paused_by=course.paused_by or (POLICY if _is_stopped(course) else ""),
        overruled=course.overruled,
        resumed_index=course.resumed,
        superseded_by=superseded_by,
    )


def _stage(course: Course, rolling: Rolling) -> Stage:
    if course.ended:
        return Stage(course.ended)
    if course.pending is not None:
        deeds = {"promote": Stage.PROMOTING, "roll_back": Stage.ROLLING_BACK}
        return deeds.get(course.pending.decision.action, Stage.GOING)
    if rolling.canary.document["state"] in _OVER:
        return Stage.OVER
    if rolling.canary.document["state"] == Stage.ROLLED_BACK:
        return Stage.ROLLED_BACK
    return Stage.PAUSED if course.paused is not None or _is_stopped(course) else Stage.GOING


def _is_stopped(course: Course) -> bool:
    """Tell whether a deed ended so that no other follows before a person says that it goes on."""
    return course.unknown is not None or course.failed is not None


def pair_of(side: Side) -> Pair | None:
    """Return what a deployment consists of, None when its digest is not known."""
    digest = side.document["digest"]
    return Pair(digest) if digest else None


def binding_of(course: Course, rolling: Rolling, plan: RolloutPlan) -> Binding:
    """Return whether what runs is what the marker says."""
    bound = rolling.canary.bound
    control = controlled(plan, rolling, weight_of(course, rolling))
    return Binding(
        started=bound.started,
        observed=bound.observed,
        other=bound.other,
        control=control,
        target_observed=None if control else bound.observed > 0 and bound.other == 0,
        by_basis={"observed": bound.observed},
    )


def target_of(
    rolling: Rolling,
    backing: Backing,
    wanted: Assurance,
    plan: RolloutPlan,
    *,
    irreversible: bool | None,
) -> Target | None:
    """Return the release that a rollback would return to, None when none is known.

    What ran until everything was switched counts as concurrent by a written rule alone; a person
    who asks may also return to it (guard `target`).
    """
    side = rolling.stable or rolling.previous
    if side is None:
        return None
    signed = reaches(backing.assurance, wanted)
    beside = rolling.stable is not None
    return Target(
        deployment=side.name,
        pair=pair_of(side),
        concurrent=beside or plan.roll_back.without_control is not None,
        signed=signed and backing.in_scope,
        present=side.bound.running > 0 if beside else side.bound.observed > 0,
        trust=_trust(rolling.past),
        irreversible=irreversible,
        replaced=not beside and side.document["state"] == _SUPERSEDED,
    )


def _trust(past: Sequence[Ruled]) -> Trust | None:
    """Return why a release is good enough, by what was decided about it."""
    found = None
    for each in past:
        said = each.said
        if not isinstance(said, Decision):
            continue
        if said.action == "adopt":
            return Trust.ADOPTED
        if (said.action, said.stage, said.outcome) == ("promote", "outcome", SUCCEEDED):
            found = Trust.PASSED if said.actor == POLICY else Trust.PROMOTED
    return found


def history_of(
    deeds: Iterable[Ruled], environment: str, deployment: str, now_ms: int
) -> tuple[Act, ...]:
    """Return what was done to the services of an environment, in the order of the log.

    Args:
        deeds: What was decided, in the order of the log.
        environment: Of which.
        deployment: Of this one everything; of others what is not over, or is of the last day.
        now_ms: The time.
    """
    acts: dict[int, Act] = {}
    executed: set[int] = set()
    for each in deeds:
        said = each.said
        if not isinstance(said, Decision) or said.environment != environment:
            continue
        if said.action == "resume" and said.stage == "decided":
            # Who resumes has looked: what failed, or nobody knows, may be tried again.
            _forget(acts, {"failed", "unknown"}, deployment=said.deployment_id)
        if said.action not in _DEEDS or said.stage == "approved":
            continue
        if said.stage == "decided":
            acts[each.idx] = Act(
                service=said.service or "",
                environment=environment,
                deployment=said.deployment_id or "",
                # The step that it was decided at; of a shift the entry names the one it leads to.
                step=(said.step or 1) - 1 if said.action == "shift" else said.step or 0,
                deed=_DEEDS[said.action],
                automatic=said.actor == POLICY,
                at_ms=parse_instant(each.received_at),
                fence=said.fence or 0,
                index=each.idx,
                superseded=said.superseded_by is not None,
            )
        elif said.stage == "executed" and said.decision_index is not None:
            executed.add(said.decision_index)
        elif said.stage == "outcome" and said.decision_index in acts:
            index = said.decision_index
            acts[index] = _ended(acts[index], said.outcome or "unknown", index in executed)
            if said.outcome == SUCCEEDED:
                # What runs is known again.
                _forget(acts, {"unknown"}, service=said.service)
    return tuple(act for act in acts.values() if _counts(act, deployment, now_ms))


def _forget(
    acts: dict[int, Act],
    outcomes: set[str],
    *,
    service: str | None = None,
    deployment: str | None = None,
) -> None:
    """Take out what ended so and is not known, or not so, any more."""
    over = [
        index
        for index, act in acts.items()
        if act.outcome in outcomes
        and service in (None, act.service)
        and deployment in (None, act.deployment)
    ]
    for index in over:
        del acts[index]


def _counts(act: Act, deployment: str, now_ms: int) -> bool:
    if act.deployment == deployment or act.outcome in ("", "unknown"):
        return True
    return now_ms - act.at_ms < _AGO_MS


def _ended(act: Act, outcome: str, executed: bool) -> Act:  # noqa: FBT001 - a fact about the act
    if act.deed is not Deed.ROLL_BACK or outcome == "unknown":
        return replace(act, outcome=outcome)
    # A rollback has succeeded only when everything was well again. One that was carried out and
    # did not help has changed what runs all the same.
    if executed:
        return replace(act, outcome=SUCCEEDED, recovered=outcome == SUCCEEDED)
    return replace(act, outcome=outcome)


def failures_of(failed: Iterable[Ruled]) -> tuple[Failure, ...]:
    """Return which releases failed, the first verdict of each that said so."""
    found: dict[tuple[str, str, str], Failure] = {}
    for each in failed:
        said = each.said
        key = (said.service or "", said.environment, said.deployment_id or "")
        found.setdefault(key, Failure(key[0], key[1], parse_instant(each.received_at)))
    return tuple(found.values())


def freezes_of(orders: Iterable[Ruled]) -> tuple[tuple[Freeze, ...], dict[str, int]]:
    """Return the freezes that hold, and when each environment was last thawed."""
    standing: dict[tuple[str, str], Freeze] = {}
    thawed: dict[str, int] = {}
    for each in orders:
        said = each.said
        if not isinstance(said, Decision):
            continue
        place = (said.service or "*", said.environment)
        if said.action == "freeze":
            standing[place] = Freeze(*place, None, said.actor, said.reason or "")
        elif said.action == "unfreeze":
            if place[0] == "*":
                thawed[said.environment] = parse_instant(each.received_at)
            # Who thaws everything thaws each of it.
            gone = [key for key in standing if key == place or _within(key, place)]
            for key in gone:
                del standing[key]
    return tuple(standing.values()), thawed


def _within(inner: tuple[str, str], outer: tuple[str, str]) -> bool:
    return all(wide in ("*", narrow) for narrow, wide in zip(inner, outer, strict=True))


def quarantined(orders: Iterable[Ruled]) -> list[tuple[str, str, str]]:
    """Return what was put away and not released: service, environment, name of the deployment."""
    found: dict[str, tuple[str, str, str]] = {}
    for each in orders:
        said = each.said
        if isinstance(said, Decision) and said.deployment_id is not None:
            if said.action == "quarantine":
                place = (said.service or "", said.environment, said.deployment_id)
                found[said.deployment_id] = place
            elif said.action == "release":
                found.pop(said.deployment_id, None)
    return list(found.values())


def exposure_of(course: Course, rolling: Rolling) -> Exposure:
    """Return how much depends on the canary."""
    running = rolling.canary.bound.running
    beside = 0 if rolling.stable is None else rolling.stable.bound.running
    return Exposure(weight_of(course, rolling), running, running + beside)


def recovery_of(history: Iterable[Act], service: str, *, verifiable: bool | None) -> Recovery:
    """Return whether things are well again after the last rollback of a service.

    Args:
        history: What was done in its environment.
        service: Which.
        verifiable: Something comes in that would show it.
    """
    last = None
    for act in history:
        # One that was refused changed nothing.
        if act.service == service and act.deed is Deed.ROLL_BACK and act.outcome != "failed":
            last = act
    if last is None:
        return Recovery(Recovered.NOTHING_TO, verifiable=verifiable)
    if last.outcome != SUCCEEDED:
        return Recovery(Recovered.WAITING, last.at_ms, verifiable)
    state = Recovered.YES if last.recovered else Recovered.NO
    return Recovery(state, last.at_ms, verifiable)


def is_irreversible(migrations: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether the old release may no longer fit the schema: all but expansions may break it.

    Args:
        migrations: Those that went live since the old release did, as their documents show them.
    """
    return any(each["schema"]["step"] != "expand" for each in migrations)


def approvals_of(course: Course) -> tuple[Approval, ...]:
    """Return who lets the rollout go on, whichever way it goes on."""
    return tuple(
        Approval(each.step, deed, each.by, each.at_ms)
        for each in course.agreed
        for deed in (Deed.SHIFT, Deed.PROMOTE)
    )


_BACK: Final = Wanted.ROLL_BACK.value
"""Whoever wants to go back does not wait until pauses are resumed before."""


def request_of(course: Course) -> Request | None:
    """Return what a person asked for and nothing has answered: going back, else the oldest."""
    for each in sorted(course.asked, key=lambda each: each.decision.action != _BACK):
        said = each.decision
        if said.action in _ASKED:
            return Request(
                wanted=_ASKED[said.action],
                by=said.actor,
                reason=said.reason or "",
                index=each.index,
                break_glass=said.break_glass,
            )
    return None


def controlled(plan: RolloutPlan, rolling: Rolling, weight: float) -> bool:
    """Tell whether something is served beside the canary that it can be compared with.

    Args:
        plan: By which it is rolled out.
        rolling: What is.
        weight: Percent of the traffic that the canary has; where it has everything, what stands
            beside it serves nobody.
    """
    if rolling.stable is None or rolling.stable.bound.running == 0 or weight >= _EVERYTHING:
        return False
    # Of a redeploy both have the same ids, and nothing in their counts tells them apart.
    if set(rolling.stable.ids) & set(rolling.canary.ids):
        return False
    return plan.control == "stable" or bool(rolling.baseline)
