"""What a lane writes down: the fields of entries, made of what was decided. Pure."""

from typing import Any, Final

from deploymark.act.course import Course
from deploymark.act.execute import clipped
from deploymark.act.intent import Intent, Move
from deploymark.model.instants import format_instant
from deploymark.model.vocabulary import EmitterKind, Phase
from deploymark.ports import Release
from deploymark.projections.broker.rolling import Rolling, Side

_MARKED: Final = {"promoted": Phase.PROMOTED, "rolled_back": Phase.ROLLED_BACK}


def decision_of(
    course: Course, rolling: Rolling, intent: Intent, now_ms: int, fence: int, superseded_by: str
) -> dict[str, Any]:
    """Return the fields of a decision, without its stage.

    Args:
        course: Of the rollout.
        rolling: What is rolled out.
        intent: What shall be.
        now_ms: The time.
        fence: Of the lease that it is decided under.
        superseded_by: The deployment that it makes room for, "" for none.
    """
    target = rolling.stable or rolling.previous
    everywhere = intent.move is Move.FREEZE
    returns = intent.move is Move.ROLL_BACK
    fields = {
        "action": intent.move.value,
        "environment": course.environment,
        "service": None if everywhere else course.service,
        "actor": intent.by,
        "timestamp": format_instant(now_ms),
        "deployment_id": None if everywhere else course.deployment,
        "target_deployment_id": target.name if target is not None and returns else None,
        "reason": clipped(intent.reason),
        "guards": [
            {"name": each.name, "held": each.held, "reason": each.reason} for each in intent.guards
        ]
        or None,
        "verdict_index": intent.verdict_index,
        "decision_index": intent.request_index,
        "idempotency_key": intent.key,
        "break_glass": True if intent.break_glass else None,
        "step": intent.step + (intent.move is Move.SHIFT) or None,
        "weight": intent.weight,
        "fence": fence,
        "superseded_by": superseded_by or None if returns else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def phase_of(course: Course) -> Phase | None:
    """Return what the deployment's markers should say of how its rollout ended, None for nothing.

    Of one that made room for a newer one they say nothing: whatever takes its place does.
    """
    pending = course.pending
    if course.superseded_by or (pending is not None and pending.decision.superseded_by):
        return None
    if pending is not None and pending.decision.action == "roll_back" and pending.executed:
        return Phase.ROLLING_BACK
    return _MARKED.get(course.ended)


def marker_of(course: Course, side: Side, phase: Phase, now_ms: int) -> dict[str, Any]:
    """Return the fields of a marker that says how far a deployment has come."""
    document = side.document
    marker: dict[str, Any] = {
        "service": course.service,
        "environment": course.environment,
        "kind": document["kind"],
        "phase": phase.value,
        "deployment_id": side.ids[0],
        "emitter": {"kind": EmitterKind.PLATFORM.value},
        "timestamp": format_instant(now_ms),
        "version": document["version"],
        "commit_hash": document["commit_hash"],
    }
    if document["digest"] is not None:
        marker["artifact"] = {"digest": document["digest"]}
    return {name: value for name, value in marker.items() if value is not None}


def asked_of(course: Course, intent: Intent) -> str:
    """Return what the person had asked for whom an intent answers."""
    return next(each.decision.action for each in course.asked if each.index == intent.request_index)


def release_of(side: Side) -> Release:
    """Return a deployment as actuators know it."""
    document = side.document
    return Release(side.name, document["version"] or "", document["digest"] or "")
