"""Markers that come late, in another order, or from a clock that is wrong (F2)."""

from dataclasses import replace
from typing import ClassVar, Final

from deploymark.model.vocabulary import EmitterKind, FindingCode, Phase
from deploymark.testing.gameday.fault import AT_ONCE, Anywhere, Case, Finding, Injection
from deploymark.testing.gameday.message import Message
from deploymark.testing.gameday.timing import Timing

_LATE: Final = 1.2
_BUSY_SECONDS: Final = 1.5
_OFF_SECONDS: Final = 600.0
_STALE: Final = frozenset({FindingCode.MARKER_STALE})
_SKEW: Final = frozenset({FindingCode.CLOCK_SKEW})
_BELIEVED: Final = frozenset(
    {
        FindingCode.MARKER_STALE,
        FindingCode.UNPLANNED_CHANGE,
        FindingCode.ARTIFACT_UNRESOLVED,
    }
)


def _lateness(timing: Timing) -> float:
    """Return simulated seconds that are safely more than a server calls late."""
    # What this machine is late by itself is not counted as waiting.
    return timing.simulated(timing.stale_seconds * _LATE + _BUSY_SECONDS)


class Delayed(Anywhere):
    """The marker that says applied waits for minutes; everything else comes in time."""

    name: ClassVar[str] = "delayed"

    def inject(self, case: Case) -> Injection:
        """See `Fault.inject`."""
        said = [e for e in case.own(EmitterKind.ORCHESTRATOR) if e.phase == Phase.APPLIED]
        late = replace(said[-1], sent_at=said[-1].at + _lateness(case.timing))
        messages = [late if each is said[-1] else each for each in case.messages]
        finding = Finding(_STALE, late.leaves_at, AT_ONCE, emitter=late.emitter.id)
        return case.injected(
            self,
            messages,
            findings=(finding,),
            tolerated=frozenset({FindingCode.MARKER_MISSING}),
        )


def _cut_off(case: Case, kept: list[Message], cut: list[Message]) -> tuple[list[Message], float]:
    """Let messages wait in their spools, and arrive in any order; return all, and from when on."""
    back_at = max(case.deploy.ends, cut[0].at + _lateness(case.timing))
    order = case.chance.sample(range(len(cut)), len(cut))
    late = [
        replace(each, sent_at=max(each.at, back_at) + place)
        for each, place in zip(cut, order, strict=True)
    ]
    return kept + late, back_at


class PartitionedCi(Anywhere):
    """CI is cut off for the whole deploy, then delivers what it spooled, in any order."""

    name: ClassVar[str] = "CI cut off"

    def inject(self, case: Case) -> Injection:
        """See `Fault.inject`."""
        cut = case.own(EmitterKind.CI)
        messages, back_at = _cut_off(case, case.without(EmitterKind.CI), cut)
        return case.injected(
            self,
            messages,
            findings=(Finding(_STALE, back_at, AT_ONCE, emitter=cut[0].emitter.id),),
            tolerated=frozenset({FindingCode.UNPLANNED_CHANGE}),
        )


class PartitionedOrchestrator(Anywhere):
    """The orchestrators are cut off for the whole deploy, then deliver what they spooled."""

    name: ClassVar[str] = "orchestrator cut off"

    def inject(self, case: Case) -> Injection:
        """See `Fault.inject`."""
        orchestrator = EmitterKind.ORCHESTRATOR
        # What they say of the instances that end is cut off too.
        cut = [each for each in case.messages if each.emitter.kind is orchestrator]
        kept = [each for each in case.messages if each.emitter.kind is not orchestrator]
        messages, back_at = _cut_off(case, kept, cut)
        return case.injected(
            self,
            messages,
            findings=(Finding(_STALE, back_at, AT_ONCE, emitter=cut[0].emitter.id),),
            tolerated=frozenset(
                {
                    FindingCode.BINDING_UNPROVEN,
                    FindingCode.MARKER_MISSING,
                    FindingCode.INSTANCE_UNMARKED,
                }
            ),
        )


class ClockAhead(Anywhere):
    """The clock of CI is ten minutes ahead: placed by the time of receipt."""

    name: ClassVar[str] = "clock ahead"

    def inject(self, case: Case) -> Injection:
        """See `Fault.inject`."""
        said = case.own(EmitterKind.CI)
        wrong = [replace(each, clock_off_seconds=_OFF_SECONDS) for each in said]
        finding = Finding(_SKEW, said[0].at, AT_ONCE, emitter=said[0].emitter.id)
        messages = case.without(EmitterKind.CI) + wrong
        return case.injected(self, messages, findings=(finding,))


class ClockBehind(Anywhere):
    """The clock of one process is ten minutes behind, which its requests show.

    Every other one of them does not number its marker, so it cannot have waited in a spool and is
    placed by the time of receipt. Of the others only the skew can be known: their time is believed
    (ADR 0014), so the record begins too early and what follows from that is not counted as false.
    """

    name: ClassVar[str] = "clock behind"

    def inject(self, case: Case) -> Injection:
        """See `Fault.inject`."""
        said = case.chance.choice(case.own(EmitterKind.RUNTIME))
        wrong = replace(said, clock_off_seconds=-_OFF_SECONDS)
        is_numbered = case.serial % 2 == 0
        if not is_numbered:
            wrong = replace(wrong, emitter=replace(said.emitter, epoch=None))
        messages = [wrong if each is said else each for each in case.messages]
        return case.injected(
            self,
            messages,
            findings=(Finding(_SKEW, said.at, AT_ONCE, emitter=said.emitter.id),),
            tolerated=_BELIEVED if is_numbered else frozenset(),
            record=replace(case.record, opened=None) if is_numbered else case.record,
        )
