"""How far a rollout has come, as the log says it: a fold over what was ruled about one deployment.

Nothing else remembers it. A deed goes through stages, each an entry: `decided` is written before
anything is touched, `executed` after the actuator answered, `outcome` when it is known what came
of it. A deed without an outcome is *pending*: whoever finds one finishes it before anything else.
Pure.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct, structs

from deploymark.model.entries import Decision, Verdict
from deploymark.model.instants import parse_instant

DEEDS: Final = frozenset({"shift", "promote", "roll_back"})
"""What an actuator carries out; all other actions hold as soon as they are written."""

ASKED: Final = DEEDS - {"shift"} | {"pause", "resume"}
"""What a person may ask of a rollout; each is answered by a decision that names the request."""

POLICY: Final = "policy"
"""The actor of what the machine decided."""

SUCCEEDED: Final = "succeeded"


class LookSeen(Struct, frozen=True):
    """One look that was judged.

    Attributes:
        index: Of its verdict.
        digest: Of its counts.
        verdict: What was found.
    """

    index: int
    digest: str
    verdict: Verdict


class Pending(Struct, frozen=True):
    """A deed of which nobody wrote how it ended.

    Attributes:
        index: Of the entry that decided it.
        decision: That entry.
        decided_ms: When.
        executed: The index of the entry that says that the actuator did it; None before.
        executed_ms: When.
    """

    index: int
    decision: Decision
    decided_ms: int
    executed: int | None = None
    executed_ms: int | None = None


class Asked(Struct, frozen=True):
    """What a person asked for, and no decision has answered yet."""

    index: int
    decision: Decision


class Agreed(Struct, frozen=True):
    """A person lets the rollout go on from a step.

    Attributes:
        step: Which.
        by: Who.
        at_ms: When.
    """

    step: int
    by: str
    at_ms: int


class Course(Struct, frozen=True):
    """Where a rollout stands.

    Attributes:
        deployment: `d-…~1`.
        service, environment: Where.
        step: The step that the canary is at, from 1; 0 before the first.
        weight: Percent of the traffic that it was given.
        since_ms: When it came to this step.
        looks: At this step, in their order.
        plan_digest: What they were judged by, "" before the first.
        paused: Index of the pause that holds, None when none does.
        paused_by: Who paused it, "" when nobody did.
        overruled: The advice that stood when somebody resumed it at this step, `none` when nothing
            was judged yet; "" when nobody did.
        resumed: Index of the last resumption, 0 without one.
        asked: What people asked for, oldest first.
        agreed: Who let it go on from which step.
        pending: A deed that is not finished.
        ended: `promoted` or `rolled_back`, "" while it goes on.
        ended_ms: When.
        superseded_by: The deployment that it made room for, "" when it ended for itself.
        unknown: Index of an outcome that nobody knows; no deed follows before a person acts.
        failed: Index of the last outcome that failed, of a deed that nobody tried again since; the
            same holds.
        newest: Index of the newest entry about it, -1 before the first.
    """

    deployment: str
    service: str
    environment: str
    step: int = 0
    weight: float = 0.0
    since_ms: int | None = None
    looks: tuple[LookSeen, ...] = ()
    plan_digest: str = ""
    paused: int | None = None
    paused_by: str = ""
    overruled: str = ""
    resumed: int = 0
    asked: tuple[Asked, ...] = ()
    agreed: tuple[Agreed, ...] = ()
    pending: Pending | None = None
    ended: str = ""
    ended_ms: int | None = None
    superseded_by: str = ""
    unknown: int | None = None
    failed: int | None = None
    newest: int = -1

    @property
    def last(self) -> LookSeen | None:
        """The newest look at this step."""
        return self.looks[-1] if self.looks else None


def fold(course: Course, ruled: Iterable[tuple[int, str, Verdict | Decision]]) -> Course:
    """Return where a rollout stands after more entries.

    Args:
        course: Where it stood.
        ruled: Entries about it in the order of the log: index, `received_at`, and what they say.
    """
    for index, received_at, said in ruled:
        if isinstance(said, Verdict):
            course = _after_verdict(course, index, said)
        else:
            course = _after_decision(course, index, parse_instant(received_at), said)
        course = _with(course, newest=index)
    return course


def _after_verdict(course: Course, index: int, said: Verdict) -> Course:
    if (said.step or 0) != course.step:
        return course
    seen = LookSeen(index, said.inputs_digest, said)
    looks = (*course.looks, seen) if said.look > 1 else (seen,)
    return _with(course, looks=looks, plan_digest=said.plan_digest or "")


def _after_decision(course: Course, index: int, at_ms: int, said: Decision) -> Course:
    if said.stage == "approved":
        return _asked(course, index, at_ms, said)
    if said.decision_index is not None:
        course = _answered(course, said.decision_index)
    if said.action in DEEDS:
        return _after_deed(course, index, at_ms, said)
    if said.stage != "decided":
        return course  # it was refused
    match said.action:
        case "pause":
            # What is paused is paused by whoever did it first.
            first = course.paused is None
            return _with(course, paused=index, paused_by=said.actor) if first else course
        case "resume":
            # Who resumes has looked: what nobody knew, or failed, may be tried again.
            overruled = course.last.verdict.advice if course.last else "none"
            return _with(
                course,
                paused=None,
                paused_by="",
                unknown=None,
                failed=None,
                overruled=overruled,
                resumed=index,
            )
        case _:
            return course


def _asked(course: Course, index: int, at_ms: int, said: Decision) -> Course:
    if said.action == "approve":
        agreed = Agreed(said.step or course.step, said.actor, at_ms)
        return _with(course, agreed=(*course.agreed, agreed))
    if said.action not in ASKED:
        return course
    return _with(course, asked=(*course.asked, Asked(index, said)))


def _answered(course: Course, index: int | None) -> Course:
    waiting = tuple(each for each in course.asked if each.index != index)
    return course if waiting == course.asked else _with(course, asked=waiting)


def _after_deed(course: Course, index: int, at_ms: int, said: Decision) -> Course:
    pending = course.pending
    if said.stage == "decided":
        return _with(course, pending=Pending(index, said, at_ms), unknown=None, failed=None)
    if pending is None or said.decision_index != pending.index:
        return course
    if said.stage == "executed":
        done = Pending(pending.index, pending.decision, pending.decided_ms, index, at_ms)
        return _with(course, pending=done)
    if said.stage != "outcome":
        return course
    course = _with(course, pending=None)
    if said.outcome != SUCCEEDED:
        name = "unknown" if said.outcome == "unknown" else "failed"
        return _with(course, **{name: index})
    return _succeeded(course, at_ms, pending)


def _succeeded(course: Course, at_ms: int, pending: Pending) -> Course:
    decision = pending.decision
    match decision.action:
        case "shift":
            return _with(
                course,
                step=decision.step or course.step + 1,
                weight=decision.weight or 0.0,
                since_ms=pending.executed_ms or at_ms,
                looks=(),
                plan_digest="",
                overruled="",
            )
        case "promote":
            return _with(course, ended="promoted", ended_ms=at_ms, weight=100.0)
        case _:
            newer = decision.superseded_by or ""
            return _with(
                course, ended="rolled_back", ended_ms=at_ms, weight=0.0, superseded_by=newer
            )


def _with(course: Course, **changes: object) -> Course:
    return structs.replace(course, **changes)


def is_news(ruled: Iterable[tuple[int, Verdict | Decision]], seen: int) -> bool:
    """Tell whether somebody who saw a rollout as of an entry would decide otherwise by now.

    Looks come every few seconds, and one that says what the last one said is no news. A decision
    is, and so is a first look, another step, result or advice; and an entry that is none of its.

    Args:
        ruled: Entries about it in the order of the log: index, and what they say.
        seen: The newest of them that was seen; -1 before the first.
    """
    known, is_known = None, seen < 0
    for index, said in ruled:
        found = (said.step, said.result, said.advice) if isinstance(said, Verdict) else None
        if index <= seen:
            is_known = is_known or index == seen
            known = found or known
        elif found is None or found != known:
            return True
    return not is_known
