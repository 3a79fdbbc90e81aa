"""Markers that never come: of one witness, of CI, one number, or all but the intent (F1, A6)."""

from dataclasses import replace
from typing import ClassVar

from deploymark.model.vocabulary import EmitterKind, FindingCode, Phase
from deploymark.testing.gameday.deploy import Shape
from deploymark.testing.gameday.fault import (
    Anywhere,
    Case,
    Degradation,
    Finding,
    Injection,
    Json,
)
from deploymark.testing.gameday.timing import LOST_NUMBER_SECONDS
from deploymark.testing.gameday.truth import OPEN
from deploymark.testing.gameday.witnesses import identify_unannounced

_TOLD_BY_HALF = 2


def _names_as_missing(kind: EmitterKind) -> "Degradation":
    def holds(deployment: Json, instances: list[Json]) -> bool:
        del instances
        return kind.value in deployment.get("missing_sources", ())

    return Degradation(f"{kind.value} is named as a missing source", holds, 0.0, 0.0)


def _missed_at_the_end(case: Case, kind: EmitterKind) -> "Degradation":
    since, within = case.deploy.ends, case.timing.marker_seconds
    return replace(_names_as_missing(kind), since=since, within_seconds=within)


class LostCi(Anywhere):
    """Everything that CI says is lost, as after `kubectl set image` by hand."""

    name: ClassVar[str] = "CI lost"

    def inject(self, case: Case) -> Injection:
        """See `Fault.inject`."""
        left = case.without(EmitterKind.CI)
        since = min(each.at for each in left if each.deploy == case.deploy.number)
        within = case.timing.intent_seconds
        record = case.record
        if not case.deploy.lane.service.labelled:
            record = replace(record, id=identify_unannounced(case.deploy))
        degradation = replace(_names_as_missing(EmitterKind.CI), since=since, within_seconds=within)
        return case.injected(
            self,
            left,
            findings=(Finding(frozenset({FindingCode.UNPLANNED_CHANGE}), since, within),),
            degradations=(degradation,),
            record=replace(
                record,
                commit=None,
                sources=_less(record.sources, EmitterKind.CI),
                missing=frozenset({EmitterKind.CI.value}),
                unplanned=True,
            ),
        )


class LostOrchestrator(Anywhere):
    """The orchestrator is not watched: it says nothing of this deploy, nor of its instances."""

    name: ClassVar[str] = "orchestrator lost"
    shapes: ClassVar[frozenset[Shape]] = frozenset({Shape.ROLLING, Shape.CANARY})

    def inject(self, case: Case) -> Injection:
        """See `Fault.inject`."""
        kind = EmitterKind.ORCHESTRATOR
        return case.injected(
            self,
            case.without(kind),
            degradations=(_missed_at_the_end(case, kind),),
            tolerated=frozenset({FindingCode.BINDING_UNPROVEN, FindingCode.MARKER_MISSING}),
            record=replace(
                case.record,
                sources=_less(case.record.sources, kind),
                missing=frozenset({kind.value}),
                instances=None,
            ),
        )


class LostRuntime(Anywhere):
    """No process confirms that it runs; the orchestrator sees them all."""

    name: ClassVar[str] = "runtime lost"

    def inject(self, case: Case) -> Injection:
        """See `Fault.inject`."""
        kind = EmitterKind.RUNTIME
        return case.injected(
            self,
            case.without(kind),
            degradations=(_missed_at_the_end(case, kind),),
            tolerated=frozenset({FindingCode.MARKER_MISSING, FindingCode.INSTANCE_UNMARKED}),
            record=replace(
                case.record,
                sources=_less(case.record.sources, kind),
                missing=frozenset({kind.value}),
            ),
        )


class LostNumber(Anywhere):
    """One marker of CI is lost on the way: its number never comes."""

    name: ClassVar[str] = "sequence gap"

    def inject(self, case: Case) -> Injection:
        """See `Fault.inject`."""
        lost = next(each for each in case.own(EmitterKind.CI) if each.phase == Phase.APPLYING)
        messages = [replace(each, lost=True) if each is lost else each for each in case.messages]
        finding = Finding(
            frozenset({FindingCode.MARKER_MISSING}),
            since=case.deploy.ends,  # the next number of this emitter, which shows the gap
            within_seconds=case.timing.marker_seconds + LOST_NUMBER_SECONDS,
            emitter=lost.emitter.id,
            holds_lane=False,
        )
        return case.injected(self, messages, findings=(finding,))


class IntentOnly(Anywhere):
    """A deploy is planned, and then nothing happens."""

    name: ClassVar[str] = "lost intent"
    shapes: ClassVar[frozenset[Shape]] = frozenset({Shape.ABANDONED})

    def inject(self, case: Case) -> Injection:
        """See `Fault.inject`."""
        planned_only = case.serial % _TOLD_BY_HALF == 0
        messages = case.messages[:1] if planned_only else case.messages
        finding = Finding(
            frozenset({FindingCode.INTENT_UNCONFIRMED}),
            since=messages[-1].at,
            within_seconds=case.timing.intent_seconds,
        )
        record = replace(case.record, states=OPEN, missing=None, instances=None)
        return case.injected(self, messages, findings=(finding,), record=record)


def _less(sources: frozenset[str] | None, kind: EmitterKind) -> frozenset[str] | None:
    return None if sources is None else sources - {kind.value}
