"""What people are shown of one rollout, made of what is known of it. Pure.

`rollouts` reads what this is made of. What is under way, or ended otherwise than it should, comes
before what had ended before: a promoted release that is being returned is not done.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from deploymark.act.concerns import Wanted
from deploymark.act.course import DEEDS, Course
from deploymark.act.facts import Freeze, steps_of
from deploymark.act.gather import freezes_of
from deploymark.act.intent import Move
from deploymark.act.plan import RolloutPlan, Scope
from deploymark.crypto.scope import matches
from deploymark.model.entries import Decision
from deploymark.model.instants import format_instant
from deploymark.projections.broker.rolling import Rolling, Ruled


def shown_of(  # noqa: PLR0913 - one argument for each thing that is known of it
    rolling: Rolling,
    course: Course,
    *,
    plan: RolloutPlan | None,
    wanted: Mapping[str, Any] | None,
    freezes: Iterable[tuple[Freeze, str]],
    next_look_at: str | None,
    silence: str,
    silent_ms: int | None,
    looks: int,
) -> dict[str, Any]:
    """Return one rollout as `GET /v1/rollouts` answers it.

    Args:
        rolling: What is rolled out.
        course: How far it has come.
        plan: By which, None without one.
        wanted: Of `still_wanted`.
        freezes: Of `freezes_since`.
        next_look_at: When it is looked at again.
        silence: That its source of counts does not answer, "" where it does.
        silent_ms: For how long it has not.
        looks: How many of the newest looks and decisions are shown; 0: not even the plan.
    """
    document, last = rolling.canary.document, course.last
    shown = {
        "deployment_id": course.deployment,
        "service": course.service,
        "environment": course.environment,
        "version": document["version"],
        "digest": document["digest"],
        "owner": document["owner"],
        "state": document["state"],
        "live_at": document["live_at"],
        "target_deployment_id": _returns_to(rolling),
        "strategy": None if plan is None else plan.strategy,
        "step": course.step,
        "steps": [] if plan is None else [each.weight for each in steps_of(plan)],
        "weight": course.weight,
        "since": None if course.since_ms is None else format_instant(course.since_ms),
        "look": 0 if last is None else last.verdict.look,
        "next_look_at": next_look_at,
        "silence": silence or None,
        "silent_ms": silent_ms if silence else None,
        "verdict": None
        if last is None
        else {"index": last.index, **msgspec.to_builtins(last.verdict)},
        "paused_by": course.paused_by or None,
        "frozen": [
            {
                "service": each.service,
                "environment": each.environment,
                "by": each.by,
                "reason": each.reason,
                "since": since,
            }
            for each, since in freezes
        ],
        "ended": course.ended or None,
        "superseded_by": course.superseded_by or None,
        "unknown": course.unknown,
        "failed": _failed(course, rolling),
        "doing": None if course.pending is None else course.pending.decision.action,
        "wants": wanted,
        "asked": [each.index for each in course.asked],
        "instances": rolling.canary.bound._asdict(),
        "newest_index": course.newest,
    }
    if looks:
        shown |= _in_full(rolling, course, looks)
        shown["plan"] = None if plan is None else msgspec.to_builtins(plan)
    return shown


def _in_full(rolling: Rolling, course: Course, looks: int) -> dict[str, Any]:
    return {
        "looks": [
            {
                "index": each.index,
                "look": each.verdict.look,
                "result": each.verdict.result,
                "advice": each.verdict.advice,
                "score": each.verdict.score,
            }
            for each in course.looks[-looks:]
        ],
        "decisions": [
            {
                "index": each.idx,
                "received_at": each.received_at,
                **msgspec.to_builtins(each.said),
            }
            for each in rolling.ruled
            if isinstance(each.said, Decision)
        ][-looks:],
    }


def _returns_to(rolling: Rolling) -> str | None:
    """Return what a return leads to: where one was decided, what was decided.

    What stands beside it, and what it replaced, may be others by the time that somebody looks.
    """
    for each in reversed(rolling.ruled):
        said = each.said
        if isinstance(said, Decision) and said.stage == "decided" and said.action in DEEDS:
            if said.target_deployment_id is not None:
                return said.target_deployment_id
            break
    side = rolling.stable or rolling.previous
    return None if side is None else side.name


def _failed(course: Course, rolling: Rolling) -> dict[str, Any] | None:
    """Return the deed that failed last, and that nobody tried again since."""
    for each in rolling.ruled:
        if each.idx == course.failed and isinstance(each.said, Decision):
            said = each.said
            return {"index": each.idx, "action": said.action, "reason": said.reason}
    return None


def still_wanted(
    wanted: Wanted | None, course: Course, orders: Sequence[Ruled]
) -> dict[str, Any] | None:
    """Return what the controller wants of this very rollout, None where that is not known.

    What it wanted before somebody froze or thawed the place is no more than what it thought then.

    Args:
        wanted: What it last wanted in this service and environment.
        course: How far the rollout has come.
        orders: Freezes and thaws among others, in the order of the log.
    """
    # A freeze for a shared cause is about all of an environment, and wanted while looking at this.
    about = (f"{course.deployment}:", f"{course.environment}:{Move.FREEZE}:")
    if wanted is None or not wanted.intent.key.startswith(about):
        return None
    scope = (course.service, course.environment)
    if any(each.idx >= wanted.as_of and _is_freeze(each, scope) for each in orders):
        return None
    intent = wanted.intent
    return {
        "move": intent.move.value,
        "code": intent.code,
        "reason": intent.reason,
        "urgency": None if intent.urgency is None else intent.urgency.value,
        "guards": msgspec.to_builtins(intent.guards),
        "older_deployment_id": intent.older or None,
    }


def _is_freeze(ruled: Ruled, scope: Scope) -> bool:
    said = ruled.said
    return (
        isinstance(said, Decision)
        and said.action in ("freeze", "unfreeze")
        and matches(said.service or "*", scope[0])
        and matches(said.environment, scope[1])
    )


def freezes_over(scope: Scope, orders: Iterable[Ruled]) -> tuple[Freeze, ...]:
    """Return the freezes that hold for a service in an environment.

    Args:
        scope: Which.
        orders: In the order of the log.
    """
    standing, _ = freezes_of(orders)
    return tuple(
        each
        for each in standing
        if matches(each.service, scope[0]) and matches(each.environment, scope[1])
    )


def freezes_since(scope: Scope, orders: Sequence[Ruled]) -> list[tuple[Freeze, str]]:
    """Return `freezes_over` with since when each holds: when it was said the last time."""
    said_at = {
        (each.said.service or "*", each.said.environment): each.received_at
        for each in orders
        if isinstance(each.said, Decision) and each.said.action == "freeze"
    }
    return [(each, said_at[each.service, each.environment]) for each in freezes_over(scope, orders)]
