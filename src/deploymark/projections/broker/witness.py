"""One marker as the broker hears it: who says what of which deployment, where and when. Pure.

Markers that confirm instances come in their thousands and say the same. Those of one deployment and
place within a second, by the same kind of witness, are one *group*: one witness with a count.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from deploymark.ingest.sighting import Sighting, sighting_of
from deploymark.model.ids import is_instance_end
from deploymark.model.instants import parse_instant
from deploymark.model.marker import Artifact, Emitter, Evidence, Marker, Rollout, Target
from deploymark.model.vocabulary import Basis, EmitterKind, Kind, Phase
from deploymark.projections.logged import LoggedEntry

GROUP_MS: Final = 1_000
"""Confirmations of one group lie within this: no release comes and goes and comes again in it."""

BELIEVED_MS: Final = 300_000
"""How far from its marker's time an observer may say that it saw something."""

MAX_OTHERS: Final = 32
"""Markers of a group that are listed one by one."""

INTENT: Final = frozenset(
    {EmitterKind.CI, EmitterKind.HUMAN, EmitterKind.GATEWAY, EmitterKind.PLATFORM}
)
"""Kinds of witness that say what somebody wants."""

_RANKS: Final = {
    phase: rank
    for rank, phase in enumerate(
        (
            Phase.PLANNED,
            Phase.APPLYING,
            Phase.APPLIED,
            Phase.CUTOVER,
            Phase.PROMOTED,
            Phase.RUNNING,
            Phase.FAILED,
            Phase.ROLLING_BACK,
            Phase.ROLLED_BACK,
            Phase.REMOVED,
        )
    )
}
_NO_ARTIFACT, _NO_EVIDENCE, _NO_EMITTER = Artifact(), Evidence(Basis.DECLARED), Emitter()
_NOWHERE, _NO_ROLLOUT = Target(), Rollout()

Order = tuple[int, int, str, int, int]


class Witness(Struct, gc=False, array_like=True):
    """A marker, or a group of confirmations of which the earliest stands for all.

    Attributes:
        index: In the log; of a group, of its first marker there.
        received_ms: When the log admitted it.
        sighting: What occurrences need of it; of a group, of its earliest marker.
        occurrence: As the leaf has it.
        repeat: As the leaf has it.
        source: The kind of emitter; `human` when the marker does not say.
        explicit: The marker itself names its deployment.
        basis: How a running digest is known, "" when the marker says nothing of it.
        seen: The digest that runs, None when unknown; `sighting.digest` is what it was told.
        platforms: Further digests of the same artifact, by platform.
        uid, instance: Of the instance, of the earliest of a group.
        links: What else it belongs to, as `build_id:…`, `release_id:…`, `correlation_id:…`.
        tickets: Change tickets.
        assurance: Who stands behind the words.
        facts: What only describes the deployment.
        count: How many markers there are in the group.
        others: Indexes of the first of these, but for `index`.
        lead: The index of the earliest of the group, None where that is `index`.
        last_ms: The time of the latest of the group.
        last_index: Of the newest of the group.
    """

    index: int
    received_ms: int
    sighting: Sighting
    occurrence: int
    repeat: int
    source: str
    explicit: bool = False
    basis: str = ""
    seen: str | None = None
    platforms: dict[str, str] = {}
    uid: str | None = None
    instance: str | None = None
    links: tuple[str, ...] = ()
    tickets: tuple[str, ...] = ()
    assurance: str = ""
    facts: dict[str, Any] = {}
    count: int = 1
    last_ms: int = 0
    others: list[int] = []
    lead: int | None = None
    last_index: int = -1

    @property
    def leader(self) -> int:
        """The index of the marker that stands for all."""
        return self.index if self.lead is None else self.lead

    @property
    def at_ms(self) -> int:
        """When it happened, as far as that is believed."""
        return self.sighting.at_ms

    @property
    def is_evidence(self) -> bool:
        """It says what runs, and not to which deployment that belongs."""
        return self.sighting.evidence

    @property
    def confirms(self) -> bool:
        """It says of an instance of a deployment that it runs."""
        return self.sighting.phase == Phase.RUNNING and self.sighting.line.kind == Kind.DEPLOYMENT

    @property
    def order(self) -> Order:
        """Its place among the witnesses of a scope, whenever they arrived."""
        said = self.sighting
        return said.at_ms, _RANKS[Phase(said.phase)], said.marker_id, self.occurrence, self.repeat

    @property
    def digest(self) -> str | None:
        """The digest that counts: what was seen, else what was told."""
        return self.seen or self.sighting.digest

    def listed_before(self, index: int) -> int | None:
        """Return behind which marker of a group its last one is listed; None when it is not."""
        if self.others[-1] != index:
            return None  # it has more than it lists
        return self.others[-2] if len(self.others) > 1 else self.index

    def group_key(self) -> str:
        """Return what confirmations of one group have in common."""
        said = self.sighting
        parts = (
            (said.deployment_id, self.occurrence) if self.explicit or said.action else None,
            (said.digest, self.seen, said.commit, said.version),
            (said.place, said.colour, self.facts.get("track")),
            (self.source, self.basis, self.links),
            said.at_ms // GROUP_MS,
        )
        return msgspec.json.encode(parts).decode()

    def join(self, other: "Witness") -> bool:
        """Take another confirmation of the same group in; True when it is the earliest now."""
        self.count += other.count
        if len(self.others) < MAX_OTHERS:
            self.others.append(other.index)
        self.last_ms = max(self.last_ms, other.last_ms)
        self.last_index = max(self.last_index, other.last_index)
        earlier = other.order < self.order
        if earlier:
            self.lead = other.leader
            self.sighting, self.uid, self.instance = other.sighting, other.uid, other.instance
            self.occurrence, self.repeat = other.occurrence, other.repeat
            self.platforms, self.tickets = other.platforms, other.tickets
            self.assurance, self.facts = other.assurance, other.facts
        return earlier


class Appearance(Struct, frozen=True, gc=False):
    """What one marker says of one instance.

    Attributes:
        uid: Of the instance; its name when it has no uid.
        gone: It says that the instance is no more.
        zone, node: Beside the place of the sighting.
        first_ms: When it was seen so.
    """

    uid: str
    instance: str | None
    zone: str | None
    node: str | None
    gone: bool
    first_ms: int


class Heard(Struct, frozen=True, gc=False):
    """What the broker keeps of a marker: the witness, and the instance that it is about."""

    witness: Witness
    appearance: Appearance | None

    @property
    def instance(self) -> tuple[str, str, str] | None:
        """Service, environment and uid of the instance that it is about, None for none."""
        line, seen = self.witness.sighting.line, self.appearance
        return None if seen is None else (line.service, line.environment, seen.uid)


def hear(entry: LoggedEntry, marker: Marker, service: str) -> Heard:
    """Return a marker as the broker hears it.

    Args:
        entry: Where it stands.
        marker: Its content.
        service: The service that it is of, under the name that the configuration gives it.
    """
    fields = {**marker.fields(), "service": service}
    sighting = sighting_of(entry.leaf.ids, fields, entry.received_at_ms)
    artifact = marker.artifact or _NO_ARTIFACT
    evidence = marker.evidence or _NO_EVIDENCE
    target = marker.target or _NOWHERE
    running = sighting.phase == Phase.RUNNING
    witness = Witness(
        index=entry.index,
        received_ms=entry.received_at_ms,
        sighting=sighting,
        occurrence=entry.leaf.occurrence,
        repeat=entry.leaf.repeat,
        source=((marker.emitter or _NO_EMITTER).kind or EmitterKind.HUMAN).value,
        explicit=marker.deployment_id is not None,
        basis=evidence.basis.value if running or marker.evidence else "",
        seen=(evidence.digest or artifact.digest) if running else evidence.digest,
        platforms=artifact.platforms or {},
        uid=target.instance_uid,
        instance=target.instance,
        links=_links(marker),
        tickets=marker.change_tickets or (),
        assurance=entry.leaf.assurance.value,
        facts=_facts(marker),
        last_ms=sighting.at_ms,
        last_index=entry.index,
    )
    return Heard(witness, _appearance(witness, target, evidence, fields))


def _links(marker: Marker) -> tuple[str, ...]:
    return tuple(
        f"{name}:{value}"
        for name in ("build_id", "release_id", "correlation_id")
        if (value := getattr(marker, name)) is not None
    )


def _facts(marker: Marker) -> dict[str, Any]:
    rollout, artifact = marker.rollout or _NO_ROLLOUT, marker.artifact or _NO_ARTIFACT
    schema = marker.schema
    facts = {
        "tag": artifact.tag,
        "artifact": artifact.name,
        "owner": marker.owner,
        "author": marker.author,
        "reason": marker.reason,
        "repository": marker.repository,
        "ref": marker.ref,
        "build_url": marker.build_url,
        "strategy": rollout.strategy and rollout.strategy.value,
        "track": rollout.track and rollout.track.value,
        "previous": rollout.previous_deployment_id,
        "rollback_of": rollout.rollback_of,
        "changes": len(marker.changes or ()) or None,
        "requires": schema and schema.requires,
        "provides": schema and schema.provides,
        "schema_step": schema and schema.step,
        "approvers": list(marker.approvers or ()) or None,
        "revision": marker.revision or marker.value,
        "direction": marker.direction,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _appearance(
    witness: Witness, target: Target, evidence: Evidence, fields: Mapping[str, Any]
) -> Appearance | None:
    uid = target.instance_uid or target.instance
    gone = is_instance_end(fields)
    if uid is None or not (gone or witness.confirms):
        return None
    at_ms = witness.at_ms
    if evidence.at is not None:
        # An observer says since when it saw that; like every claim it is believed within reason.
        seen_ms = parse_instant(evidence.at)
        at_ms = seen_ms if abs(seen_ms - at_ms) <= BELIEVED_MS else at_ms
    return Appearance(uid, target.instance, target.zone, target.node, gone, at_ms)
