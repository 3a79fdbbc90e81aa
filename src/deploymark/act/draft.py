"""How intents are put together and worded, once it is known what they are. Pure."""

from collections.abc import Iterable
from math import exp
from typing import Final

from msgspec.structs import replace

from deploymark.act.course import Course
from deploymark.act.facts import Facts, Pair, Request, key_of, steps_of
from deploymark.act.grounds import burns_down, verdict_of
from deploymark.act.guards import against, check_guards
from deploymark.act.intent import MOVES, Intent, Move
from deploymark.act.past import is_quarantined
from deploymark.judge.verdict import Judgement, Reason, Result
from deploymark.model.entries import GuardResult
from deploymark.ports import Deed, Urgency

_SHOWN: Final = 13.8
"""Logarithm of the largest e-value that is shown as it is: about a million."""


def draft(
    facts: Facts, move: Move, code: str, reason: str, urgency: Urgency | None = None
) -> Intent:
    """Return an intent of the machine that orders nothing."""
    rollout = facts.rollout
    key = key_of(rollout, move)
    if move is Move.PAUSE and rollout.resumed_index:
        key = f"{key}:{rollout.resumed_index}"  # another pause than the one that was resumed
    return Intent(
        move=move,
        code=code,
        reason=reason,
        key=key,
        step=rollout.step,
        urgency=urgency,
    )


def ordered(facts: Facts, deed: Deed, code: str, reason: str) -> Intent:
    """Return the intent to change what runs, with what every guard says, held back or not."""
    verdict = verdict_of(facts)
    index = verdict.index if verdict else None
    if deed is Deed.ROLL_BACK and burns_down(facts) and facts.burn is not None:
        index = facts.burn.index
    return replace(
        draft(facts, MOVES[deed], code, reason),
        weight=_weight(facts, deed),
        guards=check_guards(facts, deed),
        verdict_index=index,
        quarantine=_put_away(facts) if deed is Deed.ROLL_BACK else None,
    )


def agreed(facts: Facts, deed: Deed, by: str) -> Intent:
    """Return what follows when a person agreed to a deed: most guards then no longer bind."""
    intent = ordered(facts, deed, "approved", f"{by} agreed.")
    stands = _against_person(facts, deed, intent.guards)
    if not stands:
        return replace(intent, by=by)
    held = draft(facts, Move.HOLD, "guarded", f"{by} agreed. {stands}", Urgency.TICKET)
    return replace(held, guards=intent.guards, verdict_index=intent.verdict_index)


def requested(facts: Facts, request: Request, deed: Deed) -> Intent:
    """Return what follows when a person asks for a deed, with or without breaking the glass."""
    intent = ordered(facts, deed, "requested", f"{request.by} asked: {request.reason}")
    stands = _against_person(facts, deed, intent.guards)
    firm = [each for each in against(intent.guards) if each.name == "once"]
    broken = bool(stands) and request.break_glass and bool(request.reason.strip())
    if firm or (stands and not broken):
        return replace(refused(facts, request, stands), guards=intent.guards)
    done = replace(intent, break_glass=broken, urgency=Urgency.PAGE if broken else None)
    return _answering(facts, request, done)


def granted(facts: Facts, request: Request, move: Move) -> Intent:
    """Return that what a person asked for happens; it changes nothing that runs."""
    said = f"{request.by} asked: {request.reason}"
    return _answering(facts, request, draft(facts, move, "requested", said))


def overtaking(intent: Intent, course: Course, newer: str) -> Intent:
    """Return what is wanted of a newer deployment while an older canary still has traffic.

    Args:
        intent: What is wanted of the older one.
        course: Of the older one.
        newer: The newer one.
    """
    said = f"{course.deployment} has {course.weight:g} % of the traffic still"
    move = intent.move if intent.move in (Move.HOLD, Move.PAGE) else Move.WAIT
    if move is Move.WAIT:
        said = f"{said}, which is returned first."
    else:
        said = f"{said}, which a person returns: {intent.reason}"
    return Intent(
        move=move,
        code="overtaking" if move is Move.WAIT else intent.code,
        reason=said,
        key=f"{newer}:{move}:0",
        step=0,
        urgency=intent.urgency,
        guards=intent.guards if move is Move.HOLD else (),
        older=course.deployment,
    )


def left_behind(course: Course) -> Intent:
    """Return that a person is asked to return what its own pipeline gave up, and is served still.

    The machine returns nothing here: that a pipeline failed says nothing of what it left behind.
    """
    said = (
        f"It is over, by its own markers, and was given {course.weight:g} % of the traffic, which "
        f"nobody has taken back: a person returns it."
    )
    return Intent(
        move=Move.HOLD,
        code="left_behind",
        reason=said,
        key=f"{course.deployment}:{Move.HOLD}:{course.step}",
        step=course.step,
        urgency=Urgency.PAGE,
    )


def refused(facts: Facts, request: Request, why: str) -> Intent:
    """Return that what a person asked for does not happen, and why."""
    said = f"{request.by} asked to {request.wanted}: {why}"
    return _answering(facts, request, draft(facts, Move.REFUSE, "request_refused", said))


def listed(results: Iterable[GuardResult]) -> str:
    """Return what stands against something, for people."""
    return " ".join(f"Guard {each.name}: {each.reason}" for each in results)


def told(judgement: Judgement) -> str:
    """Return why a release failed, for the person who is paged."""
    strange = Reason.NO_PLACEBO in judgement.reasons
    alone = " Too little is known of how equal instances differ to return it by itself."
    most = max(judgement.metrics, key=lambda each: each.share, default=None)
    high = judgement.log_e_fail > _SHOWN
    evidence = "more than a million" if high else f"{exp(judgement.log_e_fail):,.0f}"
    said = f"The new release is worse: evidence {evidence} to one at look {judgement.look}"
    if most is not None:
        bound = "" if most.worst is None else f", most above {most.worst:g} s"
        said = f"{said}, {most.share:.0%} of it from {most.name}{bound}"
    return f"{said}.{alone if strange else ''}"


def _weight(facts: Facts, deed: Deed) -> float:
    match deed:
        case Deed.ROLL_BACK:
            return 0.0
        case Deed.PROMOTE:
            return 100.0
        case Deed.SHIFT:
            steps = steps_of(facts.plan)
            return steps[min(facts.rollout.step, len(steps) - 1)].weight


def _put_away(facts: Facts) -> Pair | None:
    """Return what failed, unless what is returned to is the very same."""
    pair, verdict = facts.rollout.pair, verdict_of(facts)
    failed = verdict is not None and verdict.judgement.result is Result.FAIL
    same = facts.target is not None and facts.target.pair == pair
    return pair if (failed or burns_down(facts)) and not same else None


def _against_person(facts: Facts, deed: Deed, results: tuple[GuardResult, ...]) -> str:
    stands = listed(against(results, person=True))
    if deed is not Deed.ROLL_BACK and is_quarantined(facts):
        away = "This image with this configuration was put away; release it first."
        return f"{stands} {away}".strip()
    return stands


def _answering(facts: Facts, request: Request, intent: Intent) -> Intent:
    return replace(
        intent,
        by=request.by,
        request_index=request.index,
        key=f"{key_of(facts.rollout, intent.move)}:{request.index}",
    )
