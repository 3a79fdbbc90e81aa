"""What happened, in the order of time: one row for each event that a person would tell.

Events are markers, verdicts, decisions, incidents and findings that stand in the log. What speaks
of one instance only, that it runs or is gone, comes in its thousands and tells no story; it is left
out here and counted by the broker.

A row says under which deployment its entry was filed. To which deployment an orchestrator's word
belongs is the broker's to find out, and may change with late news; `timeline_query` looks it up
when it is asked.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from sqlalchemy import BigInteger, Column, Connection, Index, Integer, MetaData, Table, Text

from deploymark.ingest.sighting import is_evidence, placed_ms
from deploymark.model.entries import Decision, Finding, Incident, Verdict
from deploymark.model.ids import is_instance_end, parse_occurrence
from deploymark.model.marker import Artifact, Emitter, Marker, Rollout, Target
from deploymark.model.vocabulary import EmitterKind, Kind, Phase
from deploymark.projections.database import insert_rows
from deploymark.projections.expectations import Expectations
from deploymark.projections.logged import LoggedEntry

NAME: Final = "timeline"
SCHEMA_VERSION: Final = 2
MAX_TEXT: Final = 240
"""Characters of what is said of an event; the entry has all of it."""

EVENT_TYPES: Final = ("marker", "verdict", "decision", "incident", "finding")

METADATA: Final = MetaData()
_BIG = BigInteger().with_variant(Integer, "sqlite")

EVENT: Final = Table(
    "timeline_event",
    METADATA,
    Column("idx", _BIG, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),  # when it happened, as far as that is believed
    Column("received_ms", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("event", Text, nullable=False),  # phase, result, action or state, by type
    Column("service", Text),
    Column("environment", Text),
    Column("kind", Text),  # of markers
    Column("phase", Text),  # of markers
    Column("deployment", Text),  # under which it was filed, or that it names
    Column("occurrence", Integer),
    Column("evidence", Integer, nullable=False),  # 1: its id only files it
    Column("cluster", Text),
    Column("region", Text),
    Column("source", Text),  # kind of the emitter
    Column("severity", Text),  # of findings and incidents
    Column("text", Text, nullable=False),
)
Index("timeline_by_time", EVENT.c.at_ms, EVENT.c.idx)
Index("timeline_by_scope", EVENT.c.service, EVENT.c.environment, EVENT.c.at_ms, EVENT.c.idx)
Index("timeline_by_deployment", EVENT.c.deployment, EVENT.c.at_ms, EVENT.c.idx)
Index("timeline_by_event", EVENT.c.type, EVENT.c.event, EVENT.c.at_ms, EVENT.c.idx)
Index("timeline_by_cluster", EVENT.c.cluster, EVENT.c.at_ms, EVENT.c.idx)

_NO_ARTIFACT, _NO_EMITTER, _NOWHERE, _NO_ROLLOUT = Artifact(), Emitter(), Target(), Rollout()
_COMMIT_DIGITS: Final = 12
_DIGEST_DIGITS: Final = 19  # `sha256:` and 12


class EventRow(NamedTuple):
    """An event; the columns of `timeline_event`."""

    idx: int
    at_ms: int
    received_ms: int
    type: str
    event: str
    service: str | None
    environment: str | None
    kind: str | None
    phase: str | None
    deployment: str | None
    occurrence: int | None
    evidence: int
    cluster: str | None
    region: str | None
    source: str | None
    severity: str | None
    text: str


class TimelineView:
    """See `runner.View`.

    Args:
        expectations: Under which names services are known; others make another view.
    """

    name = NAME
    metadata = METADATA

    def __init__(self, expectations: Expectations | None = None) -> None:
        self._expectations = expectations or Expectations()
        self.version = (SCHEMA_VERSION << 31) | self._expectations.fingerprint

    def fold(self, entry: LoggedEntry) -> EventRow | None:
        """See `View.fold`; None when an entry is no event."""
        content = entry.content
        match content:
            case Marker():
                return self._marker(entry, content)
            case Verdict():
                return _said(entry, content, content.result, _verdict_text(content))
            case Decision():
                event = f"{content.action} {_stage_text(content)}"
                return _said(entry, content, event, _decision_text(content))
            case Finding():
                text = [f"{content.code.value}: {content.message}"]
                return _said(entry, content, content.state, text, content.severity)
            case Incident():
                return _said(
                    entry, content, content.action, _incident_text(content), content.severity
                )
            case _:
                return None

    def write(self, connection: Connection, rows: Sequence[EventRow | None]) -> None:
        """See `View.write`."""
        events = [row for row in rows if row is not None]
        if events:
            insert_rows(connection, EVENT, events)

    def _marker(self, entry: LoggedEntry, marker: Marker) -> EventRow | None:
        emitter, target = marker.emitter or _NO_EMITTER, marker.target or _NOWHERE
        fields = {
            "kind": marker.kind,
            "phase": marker.phase,
            "deployment_id": marker.deployment_id,
            "action": marker.action,
            "emitter": {"kind": emitter.kind},
            "target": {"instance_uid": target.instance_uid},
        }
        if marker.phase == Phase.RUNNING or is_instance_end(fields):
            return None
        evidence = is_evidence(fields)
        service = marker.service
        if evidence:
            service = self._expectations.service_of(service, target.workload)
        numbered = bool(emitter.epoch) and emitter.sequence is not None
        return EventRow(
            idx=entry.index,
            at_ms=placed_ms(marker.timestamp, entry.received_at_ms, numbered=numbered),
            received_ms=entry.received_at_ms,
            type=entry.type,
            event=marker.phase.value,
            service=service,
            environment=marker.environment,
            kind=marker.kind.value,
            phase=marker.phase.value,
            deployment=entry.leaf.ids["deployment_id"],
            occurrence=entry.leaf.occurrence,
            evidence=int(evidence),
            cluster=target.cluster,
            region=target.region,
            source=(emitter.kind or EmitterKind.HUMAN).value,
            severity=None,
            text=_shortened(_marker_words(marker)),
        )


def _said(
    entry: LoggedEntry,
    content: Verdict | Decision | Finding | Incident,
    event: str,
    words: Iterable[str],
    severity: str | None = None,
) -> EventRow:
    """Return the row of an entry that is no marker.

    Raises:
        IdError: It names a deployment by what is no id.
    """
    service: str | None
    if isinstance(content, Incident):
        named, services = content.confirmed_deployment_id, content.services or ()
        # A row is of one service; of several, each is in the text.
        service = services[0] if len(services) == 1 else None
    else:
        named, service = content.deployment_id, content.service
    deployment, occurrence = (None, None) if named is None else parse_occurrence(named)
    return EventRow(
        idx=entry.index,
        # Told late is not told wrong: an incident may reach us hours after it was opened.
        at_ms=placed_ms(content.timestamp, entry.received_at_ms, numbered=True),
        received_ms=entry.received_at_ms,
        type=entry.type,
        event=event,
        service=service,
        environment=content.environment,
        kind=None,
        phase=None,
        deployment=deployment,
        occurrence=occurrence,
        evidence=0,
        cluster=None,
        region=None,
        source=None,
        severity=severity,
        text=_shortened(words),
    )


# What is said of an event ------------------------------------------------------------------------


def _marker_words(marker: Marker) -> Iterator[str]:
    artifact, rollout = marker.artifact or _NO_ARTIFACT, marker.rollout or _NO_ROLLOUT
    if marker.kind != Kind.DEPLOYMENT:
        yield marker.kind.value
        yield marker.key or ""
    commit, digest = marker.commit_hash or "", artifact.digest or ""
    yield (
        marker.version
        or marker.revision
        or artifact.tag
        or commit[:_COMMIT_DIGITS]
        or digest[:_DIGEST_DIGITS]
    )
    if rollout.weight is not None:
        yield f"at {rollout.weight:g} %"
    if marker.reason:
        yield f"({marker.reason})"


def _verdict_text(verdict: Verdict) -> Iterator[str]:
    yield f"score {verdict.score:g}, advice {verdict.advice}"
    if verdict.reasons:
        yield f"({', '.join(verdict.reasons)})"


def _stage_text(decision: Decision) -> str:
    """Return how far a decision has come; what a person asks for is not granted by that."""
    asked = decision.stage == "approved" and decision.action != "approve"
    return "asked" if asked else decision.stage


def _decision_text(decision: Decision) -> Iterator[str]:
    yield f"by {decision.actor}"
    if decision.target_deployment_id:
        yield f"to {decision.target_deployment_id}"
    if decision.outcome:
        yield decision.outcome
    if decision.reason:
        yield f"({decision.reason})"


def _incident_text(incident: Incident) -> Iterator[str]:
    yield incident.incident_id
    yield incident.title or ""
    services = incident.services or ()
    if len(services) > 1:
        yield f"({', '.join(services)})"


def _shortened(words: Iterable[str]) -> str:
    text = " ".join(word for word in words if word)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"
