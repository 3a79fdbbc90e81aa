"""Ten conditions that must all hold before anything is changed automatically. Pure.

Each guard answers by itself, in a sentence for the person on call, also when it holds. All of them
are always asked, so that the decision's entry shows everything that stood in the way. What is not
known never holds. `docs/reference/guards.md` says what a person does about each.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from deploymark.act.facts import Facts, Recovered, Stage, Target, Wanted, steps_of
from deploymark.act.grounds import burns_down, is_beginning, makes_room, objection
from deploymark.act.past import (
    failing_together,
    is_frozen_by,
    is_quarantined,
    is_under_way_elsewhere,
    repeats,
    returns_to_failed,
)
from deploymark.act.plan import AUTOMATIC_TRAFFIC
from deploymark.model.entries import GuardResult
from deploymark.model.lengths import told_length
from deploymark.model.limits import TEXT_BYTES
from deploymark.model.vocabulary import Assurance
from deploymark.ports import Deed

OBSERVED_PERCENT: Final = 95
"""Of the canary instances that started, how many must be observed with the marker's digest."""

SMALL_FLEET: Final = 4
"""In a smaller fleet one instance may carry more than the automatic share of the traffic."""

CLOCK_OFF_MS: Final = 60_000
"""A clock that is further off is no witness of how long ago something was."""

_ASSURANCES: Final = (Assurance.ANONYMOUS, Assurance.ATTRIBUTED, Assurance.SIGNED)
_UNKNOWN_WEIGHT: Final = "How much of the traffic it gets is not known."

Guard = Callable[[Facts, Deed], GuardResult]


def check_guards(facts: Facts, deed: Deed) -> tuple[GuardResult, ...]:
    """Return what every guard says about a deed, in their order; none is left out."""
    return tuple(guard(facts, deed) for guard in GUARDS)


def against(results: Sequence[GuardResult], *, person: bool = False) -> tuple[GuardResult, ...]:
    """Return the guards that do not let it happen.

    Args:
        results: Of `check_guards`.
        person: A person asked for it, so only those count that also bind a person.
    """
    return tuple(
        each for each in results if not each.held and (not person or each.name in BIND_A_PERSON)
    )


def guard_replay(facts: Facts, deed: Deed) -> GuardResult:
    """1: What the deed rests on is fresh, logged, and follows again from what was logged."""
    if is_beginning(facts, deed):
        return _answer("replay", "Nothing was judged yet: the first step follows from the deploy.")
    if makes_room(facts, deed):
        return _answer("replay", "It makes room for a newer deployment, and rests on no verdict.")
    held = "What it rests on was judged again from the log, and came out the same."
    return _answer("replay", held, [objection(facts, deed)])


def guard_authority(facts: Facts, _deed: Deed) -> GuardResult:
    """2: Somebody who may say so stands behind the markers."""
    said = facts.authority
    held = f"Its markers are {said.assurance}, by emitters that may say this."
    return _answer("authority", held, _against_authority(facts))


def _against_authority(facts: Facts) -> Iterator[str]:
    said = facts.authority
    # A configuration that asks for less than a known caller is no leave to act on strangers.
    wanted = max(said.wanted, Assurance.ATTRIBUTED, key=_ASSURANCES.index)
    if said.assurance is None:
        yield "Who stands behind the markers of this release is not known."
    elif _ASSURANCES.index(said.assurance) < _ASSURANCES.index(wanted):
        where = facts.rollout.environment
        yield f"Its markers are {said.assurance}; automation in {where} asks for {wanted}."
    if said.in_scope is None:
        yield "Whether the emitters might say this is not known."
    elif not said.in_scope:
        yield "An emitter had no scope for this service here when it spoke."


def guard_binding(facts: Facts, _deed: Deed) -> GuardResult:
    """3: What runs was observed, and is what the marker says."""
    seen = facts.binding
    if seen.control is False:
        held = "What the traffic goes to was observed with the marker's digest."
    else:
        told = f"{seen.observed} of {seen.started} instances that started were observed"
        held = f"{told} with the marker's digest, none with another."
    return _answer("binding", held, _against_binding(facts))


def _against_binding(facts: Facts) -> Iterator[str]:
    seen = facts.binding
    if seen.other > 0:
        yield f"{_instances(seen.other)} with another digest than the marker says."
    if facts.rollout.pair is None:
        yield "The digest of what is released is not known."
    if seen.control is None:
        yield "Whether anything runs beside it to compare with is not known."
    elif not seen.control:
        if not seen.target_observed:
            yield "Nobody observed what the traffic goes to, and nothing else runs."
        return
    if seen.started is None:
        yield "How many instances of it started is not known."
    elif seen.started < 1:
        yield "No instance of it was seen to start."
    elif seen.observed * 100 < OBSERVED_PERCENT * seen.started:
        yield (
            f"Only {seen.observed} of {seen.started} instances that started were observed; "
            f"{OBSERVED_PERCENT} % are needed."
        )


def guard_target(facts: Facts, deed: Deed) -> GuardResult:
    """4: There is a release to return to that is known to be good."""
    if deed is not Deed.ROLL_BACK:
        return _answer("target", "It returns to no earlier release.")
    target = facts.target
    if target is None or target.deployment == facts.rollout.deployment:
        return _answer("target", "", ["There is no earlier release to return to."])
    held = f"{target.deployment} is signed, present and {target.trust}."
    return _answer("target", held, _against_target(target, asked=_is_asked_back(facts)))


def _is_asked_back(facts: Facts) -> bool:
    """Tell whether a person asks to return what was promoted: then nothing runs beside it."""
    request = facts.request
    back = request is not None and request.wanted is Wanted.ROLL_BACK
    return back and facts.rollout.stage is Stage.PROMOTED


def _against_target(target: Target, *, asked: bool) -> Iterator[str]:
    name = target.deployment
    known_good = (
        (
            (asked and target.replaced) or target.concurrent,
            "is the one that runs beside it, or, after a promotion, the one that it replaced"
            if asked
            else "is the one that runs beside it",
        ),
        (target.pair is not None or None, "has a known digest"),
        (target.signed, "has a marker that is signed as this environment asks"),
        (target.present, "is still there to be run"),
        (target.trust is not None, "has passed, was promoted by a person, or was adopted"),
    )
    for holds, what in known_good:
        if not holds:
            known = "known" if holds is None else "so"
            yield f"It is not {known} that {name} {what}."
    if target.irreversible is None:
        yield f"Whether a migration after {name} can be undone is not known."
    elif target.irreversible:
        yield f"A migration after {name} cannot be undone."


def guard_no_loops(facts: Facts, deed: Deed) -> GuardResult:
    """5: It is not the next turn of a loop."""
    if makes_room(facts, deed):
        held = "It makes room for a newer deployment, and goes back to no failure."
    elif deed is Deed.ROLL_BACK:
        held = "It is the first automatic rollback of this service here in 24 hours."
    else:
        held = "It has not failed before, and nothing was just rolled back."
    return _answer("no_loops", held, _against_loops(facts, deed))


def _against_loops(facts: Facts, deed: Deed) -> Iterator[str]:
    off = facts.clock_off_ms
    if off is None:
        yield "Whether this clock is right is not known, nor how long ago something was."
    elif abs(off) > CLOCK_OFF_MS:
        yield f"This clock is {told_length(off)} off: how long ago something was is not known."
    if facts.history is None or facts.quarantine is None:
        yield "What was done and what failed before cannot be read."
    yield from repeats(facts, deed)
    if deed is not Deed.ROLL_BACK:
        yield from _against_failed_before(facts)
        return
    if facts.rollout.returns is not False and not makes_room(facts, deed):
        said = "may be" if facts.rollout.returns is None else "is"
        yield f"This release {said} itself a rollback: a person goes on from it."
    if returns_to_failed(facts):
        yield "The release to return to has failed before and was put away."


def _against_failed_before(facts: Facts) -> Iterator[str]:
    pair = facts.rollout.pair
    if pair is None:
        yield "Whether this image failed before is not known, because its digest is not."
    elif is_quarantined(facts):
        yield "This image with this configuration has failed before and was put away."


def guard_blast_radius(facts: Facts, _deed: Deed) -> GuardResult:
    """6: Automation is on here, and touches one service at a time."""
    held = "Automation is on, nothing is frozen, and no other service here is being changed."
    return _answer("blast_radius", held, _against_radius(facts))


def _against_radius(facts: Facts) -> Iterator[str]:
    if facts.kill_switch is None:
        yield "Whether automation is switched off is not known."
    elif facts.kill_switch:
        yield "Automation is switched off."
    if facts.freezes is None or facts.history is None or facts.failures is None:
        yield "What is frozen, failing or under way here cannot be read."
    for freeze in facts.freezes or ():
        if is_frozen_by(freeze, facts):
            yield f"{freeze.by} froze it: {freeze.reason or 'no reason given'}."
    failing = failing_together(facts)
    if failing:
        yield f"{', '.join(failing)} fail together: one cause, not one each."
    for act in facts.history or ():
        if is_under_way_elsewhere(act, facts):
            yield f"{act.service} is being changed here: one service at a time."


def guard_exposure(facts: Facts, deed: Deed) -> GuardResult:
    """7: Little enough depends on the canary that nobody needs to be asked."""
    if deed is Deed.ROLL_BACK:
        return _exposure_of_return(facts)
    weight, planned = facts.exposure.weight, _planned_weight(facts)
    if weight is None:
        return _answer("exposure", "", [_UNKNOWN_WEIGHT])
    gets = f"It gets {weight:g} % of the traffic"
    ahead = [f"{gets}; the plan says {planned:g} % here."] if weight > planned else []
    return _answer("exposure", f"{gets}, as planned.", ahead)


def _exposure_of_return(facts: Facts) -> GuardResult:
    approval = facts.approval(Deed.ROLL_BACK)
    if approval is not None:
        return _answer("exposure", f"{approval.by} agreed to the rollback.")
    weight, most = facts.exposure.weight, _most_traffic(facts)
    why = [] if facts.plan.roll_back.automatic else ["The plan leaves rolling back to a person."]
    if weight is None:
        why.append(_UNKNOWN_WEIGHT)
    if most is None:
        why.append("Nothing is known to run beside it, and no rule for that was written.")
    if weight is not None and most is not None and weight > most:
        why.append(f"It gets {weight:g} % of the traffic: above {most:g} % a person decides.")
    return _answer("exposure", f"It gets {weight} % of the traffic, little enough.", why)


def guard_once(facts: Facts, deed: Deed) -> GuardResult:
    """8: This controller is the one that acts, and it was not done before."""
    held = "It was not done before, and nobody else may do it now."
    return _answer("once", held, _against_doing(facts, deed))


def _against_doing(facts: Facts, deed: Deed) -> Iterator[str]:
    lease = facts.lease
    if lease.until_ms is None or lease.until_ms <= facts.now_ms:
        yield "Another controller acts here, or the lease has ended."
    elif lease.fence < 1 or lease.fence < lease.highest_fence:
        yield "A later holder of the lease has acted already."
    if facts.history is None:
        yield "Whether it was done before cannot be read."
    done = facts.done(deed)
    asked = facts.request.index if facts.request else None
    # What a person asks for after it was tried is a deed of its own.
    if done is not None and (asked is None or done.index > asked):
        said = {"": "is under way", "succeeded": "was done", "failed": "was refused"}
        what = said.get(done.outcome, "may or may not have happened: look at what runs")
        yield f"It was decided before, in entry {done.index}, and {what}."


def guard_recovery(facts: Facts, _deed: Deed) -> GuardResult:
    """9: The last rollback helped, and it will be seen whether this deed does."""
    why = []
    match facts.recovery.state:
        case Recovered.WAITING:
            why.append("The last rollback has not been shown to help yet.")
        case Recovered.NO:
            why.append("The last rollback did not help: a person looks.")
        case Recovered.NOTHING_TO | Recovered.YES:
            pass
    if not facts.recovery.verifiable:
        why.append("Nothing comes in that would show whether it helps.")
    return _answer("recovery", "Counts come in that will show whether it helps.", why)


def guard_shadow(facts: Facts, deed: Deed) -> GuardResult:
    """10: How much equal instances differ here was watched for long enough."""
    if is_beginning(facts, deed):
        return _answer("shadow", "Nothing is compared yet: the first step follows from the deploy.")
    if makes_room(facts, deed):
        return _answer("shadow", "It makes room for a newer deployment, and compares nothing.")
    if deed is Deed.ROLL_BACK and burns_down(facts):
        held = "It rests on the error budget, by a written rule, and compares nothing."
        return _answer("shadow", held)
    held = "Equal instances were compared for long enough, and nothing was found between them."
    return _answer("shadow", held, _against_comparing(facts))


def _against_comparing(facts: Facts) -> Iterator[str]:
    shadow = facts.shadow
    if shadow is None:
        yield "Equal instances were never compared here, so a difference says little."
        return
    if shadow.reached:
        yield "Equal instances differ so much that one of them would be rolled back."
    missing = facts.plan.history_seconds - shadow.watched_seconds
    if missing > 0:
        whole_minutes = -(-missing // 60)
        yield f"Equal instances must be compared for {told_length(whole_minutes * 60_000)} more."


GUARDS: Final[tuple[Guard, ...]] = (
    guard_replay,
    guard_authority,
    guard_binding,
    guard_target,
    guard_no_loops,
    guard_blast_radius,
    guard_exposure,
    guard_once,
    guard_recovery,
    guard_shadow,
)
"""In the order of the specification."""

BIND_A_PERSON: Final = frozenset({"target", "once"})
"""What also binds a person who asks for it, unless the glass is broken; `once` even then."""


def _planned_weight(facts: Facts) -> float:
    steps = steps_of(facts.plan)
    return steps[min(max(facts.rollout.step, 1), len(steps)) - 1].weight


def _most_traffic(facts: Facts) -> float | None:
    """Return up to how many percent a rollback needs nobody; None without the rule it needs."""
    plan, seen = facts.plan.roll_back, facts.exposure
    if not facts.binding.control:
        return None if plan.without_control is None else plan.without_control.max_traffic
    small = seen.fleet_size is not None and 0 < seen.fleet_size < SMALL_FLEET
    one = small and seen.canary_instances is not None and seen.canary_instances <= 1
    # Who wrote a lower limit than the usual one meant small fleets too.
    return 100.0 if one and plan.max_traffic >= AUTOMATIC_TRAFFIC else plan.max_traffic


def _instances(number: int) -> str:
    return "An instance runs" if number == 1 else f"{number} instances run"


def _answer(name: str, held: str, against_it: Iterable[str] = ()) -> GuardResult:
    """Return that a guard holds, or everything that speaks against it."""
    why = " ".join(against_it)
    return GuardResult(name=name, held=not why, reason=_clipped(why or held))


def _clipped(text: str) -> str:
    return text.encode()[:TEXT_BYTES].decode(errors="ignore")
