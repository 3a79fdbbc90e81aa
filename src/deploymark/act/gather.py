"""Makes the facts that guards and decisions are asked with from what was read. Pure.

What cannot be told is None: guards let nothing through that is not known.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from deploymark.act.course import POLICY, SUCCEEDED, Course
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
)
from deploymark.act.plan import RolloutPlan
from deploymark.model.entries import Decision
from deploymark.model.instants import parse_instant
from deploymark.model.vocabulary import Assurance
from deploymark.ports import Deed
from deploymark.projections.broker.rolling import Rolling, Ruled, Side

_ASKED: Final = {each.value: each for each in Wanted}
_DEEDS: Final = {each.value: each for each in Deed}
_OVER: Final = frozenset({"failed", "removed", "superseded"})
RANK: Final = {Assurance.ANONYMOUS: 0, Assurance.ATTRIBUTED: 1, Assurance.SIGNED: 2}


class Backing(Struct, frozen=True):
    """Who stands behind the markers of a deployment, as their leaves say.

    Attributes:
        assurance: The weakest of them, None when none could be read.
        in_scope: Each of them was said by somebody who might; None when that cannot be told.
    """

    assurance: Assurance | None
    in_scope: bool | None


def reaches(assurance: Assurance | None, wanted: Assurance) -> bool | None:
    """Tell whether an assurance is at least what is wanted; None when it is not known."""
    return None if assurance is None else RANK[assurance] >= RANK[wanted]


def rollout_of(course: Course, rolling: Rolling) -> Rollout:
    """Return what is rolled out, as guards know it."""
    document = rolling.canary.document
    return Rollout(
        deployment=course.deployment,
        service=course.service,
        environment=course.environment,
        stage=_stage(course, rolling),
        step=course.step,
        step_since_ms=course.since_ms or parse_instant(document["opened_at"]),
        pair=pair_of(rolling.canary),
        returns=document["rollback_of"] is not None,
        paused_by=course.paused_by,
        overruled=course.overruled,
        resumed_index=course.resumed,
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
    return Stage.GOING if course.paused is None else Stage.PAUSED


def pair_of(side: Side) -> Pair | None:
    """Return what a deployment consists of, None when its digest is not known."""
    digest = side.document["digest"]
    return Pair(digest) if digest else None


def binding_of(rolling: Rolling) -> Binding:
    """Return whether what runs is what the marker says."""
    bound = rolling.canary.bound
    control = rolling.stable is not None and rolling.stable.bound.running > 0
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
    deeds: Sequence[Ruled],
    orders: Sequence[Ruled],
    *,
    irreversible: bool | None,
) -> Target | None:
    """Return the release that a rollback would return to, None when nothing runs beside it."""
    stable = rolling.stable
    if stable is None:
        return None
    return Target(
        deployment=stable.name,
        pair=pair_of(stable),
        concurrent=True,
        signed=reaches(backing.assurance, wanted),
        present=stable.bound.running > 0,
        trust=_trust(stable.name, deeds, orders),
        irreversible=irreversible,
    )


def _trust(name: str, deeds: Sequence[Ruled], orders: Sequence[Ruled]) -> Trust | None:
    """Return why a release is good enough: what was said last of it."""
    for each in reversed(orders):
        said = each.said
        if isinstance(said, Decision) and said.action == "adopt" and said.deployment_id == name:
            return Trust.ADOPTED
    for each in reversed(deeds):
        said = each.said
        if (
            isinstance(said, Decision)
            and (said.action, said.stage, said.outcome) == ("promote", "outcome", SUCCEEDED)
            and said.deployment_id == name
        ):
            return Trust.PASSED if said.actor == POLICY else Trust.PROMOTED
    return None


def history_of(deeds: Iterable[Ruled], environment: str) -> tuple[Act, ...]:
    """Return what was done to the services of an environment, in the order of the log."""
    acts: dict[int, Act] = {}
    for each in deeds:
        said = each.said
        if not isinstance(said, Decision) or said.environment != environment:
            continue
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
                index=each.idx,
            )
        elif said.stage == "outcome" and said.decision_index in acts:
            act = acts[said.decision_index]
            acts[said.decision_index] = _ended(act, said.outcome or "unknown")
    return tuple(acts.values())


def _ended(act: Act, outcome: str) -> Act:
    # A rollback has succeeded only when everything was well again.
    recovered = outcome == SUCCEEDED if act.deed is Deed.ROLL_BACK else None
    fields = {name: getattr(act, name) for name in act.__struct_fields__}
    return Act(**{**fields, "outcome": outcome, "recovered": recovered})


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
            thawed[said.environment] = parse_instant(each.received_at)
            # Who thaws everything thaws each of it.
            gone = [key for key in standing if key == place or _within(key, place)]
            for key in gone:
                del standing[key]
    return tuple(standing.values()), thawed


def _within(inner: tuple[str, str], outer: tuple[str, str]) -> bool:
    return all(wide in ("*", narrow) for narrow, wide in zip(inner, outer, strict=True))


def quarantined(orders: Iterable[Ruled]) -> set[str]:
    """Return the names of the deployments that were put away and not released."""
    found: set[str] = set()
    for each in orders:
        said = each.said
        if isinstance(said, Decision) and said.deployment_id is not None:
            if said.action == "quarantine":
                found.add(said.deployment_id)
            elif said.action == "release":
                found.discard(said.deployment_id)
    return found


def exposure_of(course: Course, rolling: Rolling) -> Exposure:
    """Return how much depends on the canary."""
    running = rolling.canary.bound.running
    beside = 0 if rolling.stable is None else rolling.stable.bound.running
    weight = 100.0 if rolling.canary.document["live_at"] is not None else course.weight
    return Exposure(weight, running, running + beside)


def recovery_of(history: Iterable[Act], service: str, *, verifiable: bool | None) -> Recovery:
    """Return whether things are well again after the last rollback of a service.

    Args:
        history: What was done in its environment.
        service: Which.
        verifiable: Something comes in that would show it.
    """
    last = None
    for act in history:
        if act.service == service and act.deed is Deed.ROLL_BACK:
            last = act
    if last is None:
        return Recovery(Recovered.NOTHING_TO, verifiable=verifiable)
    if not last.outcome:
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


def request_of(course: Course) -> Request | None:
    """Return the oldest thing that a person asked for and nothing has answered."""
    for each in course.asked:
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


def controlled(plan: RolloutPlan, rolling: Rolling) -> bool:
    """Tell whether something runs beside the canary that it can be compared with."""
    if rolling.stable is None or rolling.stable.bound.running == 0:
        return False
    # Of a redeploy both have the same ids, and nothing in their counts tells them apart.
    if set(rolling.stable.ids) & set(rolling.canary.ids):
        return False
    return plan.control == "stable" or bool(rolling.baseline)
