"""A marker as far as occurrences care: what, where, when, and which number its emitter gave it.

Pure values, made once for each marker while it is read; `occurrences` has the rules about them.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from msgspec import Struct

from deploymark.errors import InstantError
from deploymark.model.ids import is_instance_end
from deploymark.model.instants import parse_instant
from deploymark.model.vocabulary import EmitterKind, Kind

HONEST_MS: Final = 60_000
"""A claimed time further off than this is not used to place a marker (see `placed_ms`)."""


_OBSERVERS: Final = frozenset({EmitterKind.ORCHESTRATOR, EmitterKind.RUNTIME, EmitterKind.PROXY})


class Place(NamedTuple):
    """Where something is deployed; None is every place."""

    cluster: str | None = None
    region: str | None = None
    namespace: str | None = None
    workload: str | None = None

    def covers(self, other: "Place") -> bool:
        """Tell whether this is `other` or a more general place around it."""
        return all(mine in (None, its) for mine, its in zip(self, other, strict=True))


ANYWHERE: Final = Place()


class Emission(NamedTuple):
    """The number that an emitter gave a marker when it was created."""

    emitter: str
    epoch: str
    sequence: int


class Line(NamedTuple):
    """Changes that supersede each other: of one service, environment, kind and key."""

    service: str
    environment: str
    kind: str
    key: str | None


Subject = tuple[str | None, str | None, str | None]
"""Digest, commit and version; None says nothing."""


class Sighting(Struct, frozen=True, gc=False, array_like=True):
    """A marker as far as occurrences care.

    Attributes:
        deployment_id: Its own, given or derived.
        marker_id: Its own.
        line: The changes that it can supersede.
        at_ms: The time by which it is placed (`placed_ms`).
        emission: None when the emitter does not number its markers.
        ends_instance: It says that one instance is gone, which changes no place.
        evidence: It is of what runs and names no deployment; see `is_evidence`.
        action, digest, commit, version: What tells whether two ids are one deployment.
    """

    deployment_id: str
    marker_id: str
    line: Line
    phase: str
    at_ms: int
    place: Place = ANYWHERE
    colour: str | None = None
    weight: float | None = None
    attempt: int | None = None
    emission: Emission | None = None
    ends_instance: bool = False
    evidence: bool = False
    action: str = ""
    digest: str | None = None
    commit: str | None = None
    version: str | None = None

    @property
    def subject(self) -> Subject:
        """What is deployed, as far as the marker says it."""
        return self.digest, self.commit, self.version


def placed_ms(claimed: str | None, received_ms: int, *, numbered: bool) -> int:
    """Return the time by which a marker is placed among others, in milliseconds.

    The claimed time, unless it cannot be right: it lies more than a minute ahead, or a minute back
    although the marker is not numbered and so did not wait in a spool. Then the received time.

    Args:
        claimed: The marker's `timestamp`, None when it has none.
        received_ms: When the log admitted it.
        numbered: It carries an emitter, an epoch and a sequence.
    """
    if claimed is None:
        return received_ms
    try:
        claimed_ms = parse_instant(claimed)
    except InstantError:
        return received_ms
    late = received_ms - claimed_ms
    if late < -HONEST_MS or (late > HONEST_MS and not numbered):
        return received_ms
    return claimed_ms


def sighting_of(ids: Mapping[str, str], fields: Mapping[str, Any], received_ms: int) -> Sighting:
    """Return what occurrences need of a marker.

    Args:
        ids: As it is filed: `deployment_id` and `marker_id`.
        fields: The flat marker.
        received_ms: When the log admitted it.
    """
    target, emitter = fields.get("target") or {}, fields.get("emitter") or {}
    artifact = fields.get("artifact") or {}
    emission = None
    if emitter.get("epoch") and emitter.get("sequence") is not None:
        emission = Emission(emitter.get("id") or "", emitter["epoch"], emitter["sequence"])
    return Sighting(
        deployment_id=ids["deployment_id"],
        marker_id=ids["marker_id"],
        line=_line_of(fields),
        phase=fields["phase"],
        at_ms=placed_ms(fields.get("timestamp"), received_ms, numbered=emission is not None),
        place=Place(*[target.get(name) for name in Place._fields]),
        colour=target.get("colour"),
        weight=(fields.get("rollout") or {}).get("weight"),
        attempt=fields.get("attempt"),
        emission=emission,
        ends_instance=is_instance_end(fields),
        evidence=is_evidence(fields),
        action=fields.get("action") or "",
        digest=artifact.get("digest"),
        commit=fields.get("commit_hash"),
        version=fields.get("version"),
    )


def is_evidence(fields: Mapping[str, Any]) -> bool:
    """Tell whether a marker says what runs without naming the deployment that it belongs to.

    Its derived id only files it. To which deployment it belongs is found out by correlation, so in
    the append it must not end what a deploy action said (spec: identity, "Correlation").

    Args:
        fields: The flat marker.
    """
    return (
        (fields.get("emitter") or {}).get("kind") in _OBSERVERS
        and fields.get("deployment_id") is None
        and not fields.get("action")
        and fields["kind"] == Kind.DEPLOYMENT
    )


def _line_of(fields: Mapping[str, Any]) -> Line:
    kind = fields["kind"]
    key = None if kind == Kind.DEPLOYMENT else fields.get("key")
    return Line(fields["service"], fields["environment"], kind, key)
