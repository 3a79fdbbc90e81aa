"""What shall happen next to a rollout. Pure: the same facts, the same intent.

Rules are asked in their order, and the first that has an answer gives it. Nothing is remembered:
what was carried out is among the facts the next time. An inconclusive verdict never changes
anything; it waits, and in the end a person is asked.
"""

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from deploymark.act.draft import agreed, draft, granted, listed, ordered, refused, requested, told
from deploymark.act.facts import Facts, Freeze, Recovered, Stage, Wanted, steps_of
from deploymark.act.grounds import burns, burns_down, verdict_of
from deploymark.act.guards import CLOCK_OFF_MS, against
from deploymark.act.intent import Intent, Move
from deploymark.act.past import failing_together, is_frozen_by
from deploymark.judge.verdict import Advice, Judgement, Result
from deploymark.model.instants import format_instant
from deploymark.model.lengths import told_length
from deploymark.ports import Deed, Urgency

Rule = Callable[[Facts], Intent | None]


def decide(facts: Facts) -> Intent:
    """Return what shall happen next; `wait` when nothing shall, with the reason."""
    for rule in RULES:
        intent = rule(facts)
        if intent is not None:
            return intent
    return _going_on(facts)


def _not_ours(facts: Facts) -> Intent | None:
    """Who does not hold the lease decides nothing, so that nothing is logged twice."""
    lease = facts.lease
    held = lease.until_ms is not None and lease.until_ms > facts.now_ms
    if held and lease.fence >= lease.highest_fence:
        return None
    return draft(facts, Move.WAIT, "not_ours", "Another controller acts here.")


def _under_way(facts: Facts) -> Intent | None:
    """What was ordered must be so, or known not to be, before the machine thinks of anything."""
    longest_ms = facts.plan.roll_back.recovery_seconds * 1_000
    for act in facts.history or ():
        if act.deployment != facts.rollout.deployment or act.outcome in ("succeeded", "failed"):
            continue
        what = f"entry {act.index} ({act.deed})"
        if not act.outcome and abs(facts.now_ms - act.at_ms) <= longest_ms:
            return draft(facts, Move.WAIT, "under_way", f"What {what} orders is being done.")
        if facts.request is not None:
            continue  # a person has looked, and says what shall be
        if act.outcome:
            said = f"Whether {what} was carried out is not known: look at what runs."
            return draft(facts, Move.PAGE, "outcome_unknown", said, Urgency.PAGE)
        said = f"What {what} orders is still not so."
        return draft(facts, Move.PAGE, "not_carried_out", said, Urgency.PAGE)
    return None


def _asked(facts: Facts) -> Intent | None:
    """A person's word comes before everything that the machine thinks of."""
    request, stage = facts.request, facts.rollout.stage
    if request is None:
        return None
    open_stages = (Stage.GOING, Stage.PAUSED)
    match request.wanted:
        case Wanted.PAUSE if stage in open_stages:  # pausing twice is pausing once
            return granted(facts, request, Move.PAUSE)
        case Wanted.RESUME if stage is Stage.PAUSED:
            return granted(facts, request, Move.RESUME)
        case Wanted.PROMOTE if stage in open_stages:
            return requested(facts, request, Deed.PROMOTE)
        case Wanted.ROLL_BACK if stage in (*open_stages, Stage.PROMOTED) or _is_left(facts):
            return requested(facts, request, Deed.ROLL_BACK)
        case _:
            return refused(facts, request, f"the rollout is {stage.replace('_', ' ')}.")


def _is_left(facts: Facts) -> bool:
    """Tell whether what is over has traffic that nobody took back."""
    return facts.rollout.stage is Stage.OVER and bool(facts.exposure.weight)


def _ended(facts: Facts) -> Intent | None:
    """Of what is over, only the recovery after a rollback is still looked at."""
    match facts.rollout.stage:
        case Stage.OVER | Stage.PROMOTED:
            return draft(facts, Move.WAIT, "over", "The rollout is over.")
        case Stage.ROLLED_BACK:
            return _recovering(facts)
        case Stage.ROLLING_BACK | Stage.PROMOTING:
            return draft(facts, Move.WAIT, "under_way", "It is being carried out.")
        case Stage.GOING | Stage.PAUSED:
            return None


def _recovering(facts: Facts) -> Intent:
    recovery = facts.recovery
    late = abs(facts.now_ms - recovery.since_ms) > facts.plan.roll_back.recovery_seconds * 1_000
    if recovery.state is Recovered.NO:
        said = "Rolling back did not help: something else is wrong."
    elif recovery.state is not Recovered.WAITING:
        return draft(facts, Move.WAIT, "over", "It was rolled back, and that is done.")
    elif late:
        said = "Rolling back has not been shown to help in time."
    else:
        return draft(facts, Move.WAIT, "recovering", "Whether the rollback helps is watched.")
    return draft(facts, Move.PAGE, "recovery_failed", said, Urgency.PAGE)


def _superseded(facts: Facts) -> Intent | None:
    """What a newer deployment overtook gives its traffic back, whatever is known of it."""
    newer = facts.rollout.superseded_by
    if not newer:
        return None
    said = f"{newer} came while it was on its way."
    intent = ordered(facts, Deed.ROLL_BACK, "superseded", said)
    stands = against(intent.guards)
    if not stands:
        return intent
    held = draft(facts, Move.HOLD, "superseded", f"{said} {listed(stands)}", Urgency.TICKET)
    return replace(held, guards=intent.guards)


def _shared_cause(facts: Facts) -> Intent | None:
    """Several services that fail together have one cause, which no rollback of one removes."""
    failing = failing_together(facts)
    if not failing or facts.freezes is None or any(_covers(each, facts) for each in facts.freezes):
        return None
    where = facts.rollout.environment
    said = f"{', '.join(failing)} fail together in {where}: a person lifts the freeze."
    intent = draft(facts, Move.FREEZE, "shared_cause", said, Urgency.PAGE)
    return replace(intent, key=f"{where}:freeze:{facts.thawed_ms}")


def _covers(freeze: Freeze, facts: Facts) -> bool:
    return freeze.service == "*" and is_frozen_by(freeze, facts)


def _failing(facts: Facts) -> Intent | None:
    """A proven failure stops the rollout, and returns it when nothing stands against that."""
    verdict, overruled = verdict_of(facts), facts.rollout.overruled
    if verdict is None or verdict.judgement.result is not Result.FAIL:
        return None
    advice, said = verdict.judgement.advice, told(verdict.judgement)
    # Who resumed it knew this much; only more than that is news.
    if overruled in (advice, Advice.ROLL_BACK):
        return None
    if advice is Advice.ROLL_BACK:
        return _returned(facts, "canary_failed", said)
    return replace(_stopped(facts, "canary_failed", said), verdict_index=verdict.index)


def _burning(facts: Facts) -> Intent | None:
    """A budget that burns too fast stops it; by a written rule it also returns it."""
    burn, overruled = facts.burn, facts.rollout.overruled
    if burn is None or overruled == Advice.ROLL_BACK:
        return None
    said = f"The error budget provably burns more than {burn.factor:g} times too fast."
    if burns_down(facts):
        return _returned(facts, "budget_burns", said)
    if overruled or not burns(facts) or facts.rollout.stage is not Stage.GOING:
        return None
    intent = draft(facts, Move.PAUSE, "budget_burns", said, Urgency.TICKET)
    return replace(intent, verdict_index=burn.index)


def _paused(facts: Facts) -> Intent | None:
    """What is paused goes on when a person says so."""
    rollout = facts.rollout
    if rollout.stage is not Stage.PAUSED:
        return None
    said = f"It was paused by {rollout.paused_by or 'somebody'}: a person resumes or returns it."
    return draft(facts, Move.HOLD, "paused", said, _once_overdue(facts))


def _unknowing(facts: Facts) -> Intent | None:
    """Where the time or the evidence is not to be relied on, only a person goes on."""
    if facts.approval(Deed.SHIFT) or facts.approval(Deed.PROMOTE):
        return None
    off = abs(facts.clock_off_ms or 0)
    if off > CLOCK_OFF_MS:
        said = (
            f"This clock jumped by {told_length(off)} while the server ran, so how long ago "
            f"something was is not known: a person decides, or the server is restarted with a "
            f"clock that is right."
        )
        return draft(facts, Move.HOLD, "clock_jumped", said, Urgency.TICKET)
    if facts.lost:
        said = f"What was seen at this step cannot be judged any more: {facts.lost}"
        return draft(facts, Move.HOLD, "evidence_lost", f"{said} A person decides.", Urgency.TICKET)
    return None


def _beginning(facts: Facts) -> Intent | None:
    """The first traffic follows from the deploy; a cutover of everything needs a person."""
    if facts.rollout.step > 0:
        return None
    approval = facts.approval(Deed.SHIFT)
    if approval is not None:
        return agreed(facts, Deed.SHIFT, approval.by)
    if facts.plan.strategy == "blue_green":
        said = "Nothing is known of a colour without traffic: a person approves the cutover."
        return draft(facts, Move.HOLD, "awaits_approval", said, Urgency.TICKET)
    held = "It would get its first traffic, but not everything holds."
    return _forward(facts, Deed.SHIFT, "begins", "The canary gets its first traffic.", held)


RULES: Final[tuple[Rule, ...]] = (
    _not_ours,
    _under_way,
    _asked,
    _ended,
    _superseded,
    _shared_cause,
    _failing,
    _burning,
    _paused,
    _unknowing,
    _beginning,
)
"""In this order: the first that answers decides. What none answers is on its way."""


def held_by_policy(facts: Facts, said: str) -> Intent:
    """Return the intent of a rollout that the policy does not let begin."""
    return draft(facts, Move.HOLD, "policy", said, _once_overdue(facts))


def _going_on(facts: Facts) -> Intent:
    """After a pass, and the time that the plan wants, the next step."""
    steps, rollout = steps_of(facts.plan), facts.rollout
    last = rollout.step >= len(steps)
    deed = Deed.PROMOTE if last else Deed.SHIFT
    step = steps[min(rollout.step, len(steps)) - 1]
    verdict = verdict_of(facts)
    result = verdict.judgement.result if verdict else None
    passed = result is Result.PASS
    # Who overrules a failure lets it stay; going on from there must be asked for by name.
    approval = None if result is Result.FAIL else facts.approval(deed)
    if not passed and approval is None:
        return _undecided(facts, verdict.judgement if verdict else None)
    ready_ms = rollout.step_since_ms + step.bake_seconds * 1_000
    if facts.now_ms < ready_ms:
        said = f"It stays at this step until {format_instant(ready_ms)}, as planned."
        return draft(facts, Move.WAIT, "bakes", said)
    if approval is not None:
        return agreed(facts, deed, approval.by)
    if step.approval or (last and facts.plan.promotion == "person"):
        said = "The verdict passes, and the plan wants a person to go on."
        return draft(facts, Move.HOLD, "awaits_approval", said, Urgency.TICKET)
    return _forward(facts, deed, "canary_passed", "Every required metric has passed.")


def _undecided(facts: Facts, judgement: Judgement | None) -> Intent:
    if judgement is None:
        known = "There is no verdict about this step yet"
    else:
        why = ", ".join(judgement.reasons) or "a person overruled it"
        known = f"Look {judgement.look} was {judgement.result} ({why})"
    if _is_overdue(facts) or (judgement is not None and judgement.advice is Advice.HOLD):
        said = f"{known}, and the plan's longest wait is over: a person decides."
        return draft(facts, Move.HOLD, "undecided", said, Urgency.TICKET)
    return draft(facts, Move.WAIT, "undecided", f"{known}: the next look knows more.")


def _forward(facts: Facts, deed: Deed, code: str, said: str, held_back: str = "") -> Intent:
    """Go on if every guard holds, else say which does not."""
    intent = ordered(facts, deed, code, said)
    stands = against(intent.guards)
    if not stands:
        return intent
    why = f"{held_back or said} {listed(stands)}"
    held = draft(facts, Move.HOLD, "guarded", why, _once_overdue(facts))
    return replace(held, guards=intent.guards, verdict_index=intent.verdict_index)


def _returned(facts: Facts, code: str, said: str) -> Intent:
    """Return if every guard holds, else stop and say which does not."""
    intent = ordered(facts, Deed.ROLL_BACK, code, said)
    stands = against(intent.guards)
    if not stands:
        return replace(intent, urgency=Urgency.PAGE)
    stopped = _stopped(facts, code, f"{said} {listed(stands)}")
    return replace(stopped, guards=intent.guards, verdict_index=intent.verdict_index)


def _stopped(facts: Facts, code: str, said: str) -> Intent:
    move = Move.PAUSE if facts.rollout.stage is Stage.GOING else Move.HOLD
    return draft(facts, move, code, said, Urgency.PAGE)


def _is_overdue(facts: Facts) -> bool:
    return facts.now_ms - facts.rollout.step_since_ms > facts.plan.max_wait_seconds * 1_000


def _once_overdue(facts: Facts) -> Urgency | None:
    return Urgency.TICKET if _is_overdue(facts) else None
