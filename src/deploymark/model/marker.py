"""The marker as a typed value, read from the flat form or from an in-toto Statement.

The flat form is what people and curl send, and what a Statement carries as its predicate (spec:
marker, "Flat marker"). Every optional field may be null, which says the same as leaving it out.
This module fills nothing in and derives no id (`ids`); it verifies no signature (`crypto`).
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from deploymark.decoding import json_decoder
from deploymark.errors import MarkerError, SchemaVersionError
from deploymark.model.ids import is_instance_end
from deploymark.model.inspection import Faults, show
from deploymark.model.limits import (
    CHANGES,
    ITEMS,
    LABELS,
    Commit,
    Count,
    DeploymentName,
    Digest,
    GivenId,
    Instant,
    Key,
    Labels,
    Name,
    Names,
    Percent,
    Positive,
    Text,
    Value,
)
from deploymark.model.reading import StructReader
from deploymark.model.statement import subject_faults
from deploymark.model.versions import (
    VERSIONS,
    format_of_payload_type,
    version_of_predicate_type,
)
from deploymark.model.vocabulary import (
    IN_TOTO,
    PREDICATE_TYPE,
    Basis,
    EmitterKind,
    Kind,
    Phase,
    Strategy,
    Track,
)

_encoder = msgspec.json.Encoder()
_decoder = json_decoder(dict[str, Any])


class _Part(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What all parts of a marker have in common."""


class Artifact(_Part, frozen=True):
    """What is deployed; the digest identifies it, name and tag are for people."""

    name: Text | None = None
    digest: Digest | None = None
    tag: Value | None = None
    platforms: Annotated[dict[Key, Digest], Meta(max_length=ITEMS)] | None = None


class Target(_Part, frozen=True):
    """Where it goes. (cluster, region, namespace, workload) is the place."""

    cluster: Value | None = None
    region: Value | None = None
    zone: Value | None = None
    node: Value | None = None
    namespace: Value | None = None
    workload: Value | None = None
    instance: Value | None = None
    instance_uid: Value | None = None
    colour: Value | None = None


class Rollout(_Part, frozen=True):
    """How it gets there; steps and weight are percent of traffic."""

    strategy: Strategy | None = None
    steps: Annotated[tuple[Percent, ...], Meta(max_length=ITEMS)] | None = None
    track: Track | None = None
    weight: Percent | None = None
    previous_deployment_id: DeploymentName | None = None
    rollback_of: DeploymentName | None = None


class SchemaState(_Part, frozen=True):
    """Which database schema it needs and which it leaves behind."""

    requires: Value | None = None
    provides: Value | None = None
    step: Value | None = None


class Flag(_Part, frozen=True):
    """A feature flag that the release carries."""

    key: Name
    variant: Value | None = None


class Evidence(_Part, frozen=True):
    """How the running digest is known (spec: trust, "Basis of evidence")."""

    basis: Basis
    digest: Digest | None = None
    observer: Value | None = None
    at: Instant | None = None


class Emitter(_Part, frozen=True):
    """Who speaks, and the place of this marker in its numbering."""

    kind: EmitterKind | None = None
    id: Text | None = None
    epoch: Value | None = None
    sequence: Count | None = None


class Change(_Part, frozen=True):
    """One of the changes that a deployment brings."""

    commit: Value | None = None
    ticket: Value | None = None
    title: Text | None = None


class Link(_Part, frozen=True):
    """Where to read on."""

    rel: Name
    href: Text


class Marker(_Part, frozen=True, kw_only=True):
    """One statement about one deployment: the flat marker, version 1.

    `action` is the identity of the deploy action that all jobs and retries of one run share (CI
    provider, repository and run, without job and attempt); the deployment id is derived from it.
    `value` is what a change of another kind sets, where it has no revision.
    """

    service: Name
    environment: Name
    phase: Phase
    deployment_id: GivenId | None = None
    marker_id: GivenId | None = None
    kind: Kind = Kind.DEPLOYMENT
    action: Name | None = None
    artifact: Artifact | None = None
    version: Name | None = None
    commit_hash: Commit | None = None
    repository: Text | None = None
    ref: Value | None = None
    build_id: Value | None = None
    build_url: Text | None = None
    release_id: Value | None = None
    correlation_id: Value | None = None
    target: Target | None = None
    rollout: Rollout | None = None
    owner: Value | None = None
    change_tickets: Names | None = None
    author: Value | None = None
    approvers: Names | None = None
    deployer: Value | None = None
    change_type: Value | None = None
    reason: Text | None = None
    risk_flags: Names | None = None
    schema: SchemaState | None = None
    flags: Annotated[tuple[Flag, ...], Meta(max_length=ITEMS)] | None = None
    key: Name | None = None
    revision: Name | None = None
    value: Name | None = None
    direction: Value | None = None
    attempt: Positive | None = None
    evidence: Evidence | None = None
    resources: Annotated[dict[Key, Value], Meta(max_length=LABELS)] | None = None
    timestamp: Instant | None = None
    emitter: Emitter | None = None
    changes: Annotated[tuple[Change, ...], Meta(max_length=CHANGES)] | None = None
    links: Annotated[tuple[Link, ...], Meta(max_length=ITEMS)] | None = None
    labels: Labels | None = None
    details_digest: Digest | None = None

    def fields(self) -> dict[str, Any]:
        """Return what the marker states as plain JSON values, for `ids` and `equality`.

        Null fields are left out; `kind` is always there.
        """
        fields: dict[str, Any] = _decoder.decode(_encoder.encode(self))
        fields["kind"] = self.kind.value
        return fields


class Subject(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The artifact in a Statement: an in-toto ResourceDescriptor with its digest."""

    digest: Annotated[dict[Key, Value], Meta(min_length=1, max_length=8)]
    name: Text | None = None
    uri: Text | None = None
    media_type: Value | None = msgspec.field(name="mediaType", default=None)
    download_location: Text | None = msgspec.field(name="downloadLocation", default=None)


class Statement(Struct, frozen=True, forbid_unknown_fields=True):
    """An in-toto Statement v1 about one artifact, with a marker as predicate."""

    statement_type: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(name="_type")
    subject: Annotated[tuple[Subject, ...], Meta(min_length=1, max_length=1)]
    predicate_type: Annotated[
        str,
        Meta(
            pattern="^https://deploymark\\.dev/marker/v[1-9][0-9]{0,3}$(?!\\n)",
            description="the marker predicate https://deploymark.dev/marker/v1",
        ),
    ] = msgspec.field(name="predicateType")
    predicate: Marker


ALIASES = {
    "artifact_digest": ("artifact", "digest"),
    "change_ticket": ("change_tickets",),
    "rollout_strategy": ("rollout", "strategy"),
}
"""Names of the source document that are accepted on input, and where their values go."""


def resolve_aliases(fields: dict[str, Any]) -> dict[str, Any]:
    """Return a flat marker under its own names only; the argument stays as it is.

    Raises:
        MarkerError: An alias says something else than the field that it stands for.
    """
    if fields.keys().isdisjoint(ALIASES):
        return fields
    result = dict(fields)
    for alias, path in ALIASES.items():
        value = result.pop(alias, None)
        if value is None:
            continue
        name, inner = path[0], path[-1]
        if len(path) == 1:
            wanted: Any = [value] if isinstance(value, str) else value
            holder, inner = result, name
        else:
            wanted = value
            part = result.get(name)
            if part is not None and not isinstance(part, dict):
                continue  # the type check names the fault
            holder = result[name] = dict(part or {})
        stands = holder.get(inner)
        if stands is not None and stands != wanted:
            raise MarkerError(
                f"/{alias} says {show(value)}, /{'/'.join(path)} says {show(stands)}.",
                hint=f"Send only /{'/'.join(path)}.",
                field=f"/{alias}",
            )
        holder[inner] = wanted
    return result


def marker_rules(fields: dict[str, Any]) -> Faults:
    """Yield what types cannot say: which field a marker of its kind must have."""
    artifact = fields.get("artifact")
    digest = artifact.get("digest") if isinstance(artifact, dict) else None
    kind = fields.get("kind", Kind.DEPLOYMENT)
    if kind == Kind.DEPLOYMENT:
        of_instance = fields.get("phase") == Phase.RUNNING or is_instance_end(fields)
        if of_instance and fields.get("deployment_id") is not None:
            return  # an instance may know its deployment and nothing else
        if digest is None and fields.get("version") is None and fields.get("commit_hash") is None:
            yield MarkerError(
                "/artifact/digest, /version and /commit_hash are all missing.",
                hint="A deployment names at least one of them; a digest is best.",
                field="/artifact/digest",
            )
        return
    if fields.get("key") is None:
        yield MarkerError(
            "/key is missing.",
            hint=f"A marker of kind {show(kind)} names what changed in `key`.",
            field="/key",
        )
    if kind == Kind.SECRET_VERSION and fields.get("value") is not None:
        yield MarkerError(
            "/value is not allowed for a secret.",
            hint="Name its version in `revision`; never send the secret.",
            field="/value",
        )
    elif fields.get("revision") is None and fields.get("value") is None and digest is None:
        yield MarkerError(
            "/revision, /value and /artifact/digest are all missing.",
            hint=f"A marker of kind {show(kind)} names what `key` became.",
            field="/revision",
        )


def _prepare_statement(statement: dict[str, Any]) -> dict[str, Any]:
    predicate, predicate_type = statement.get("predicate"), statement.get("predicateType")
    if not (isinstance(predicate, dict) and isinstance(predicate_type, str)):
        return statement
    version = version_of_predicate_type(predicate_type)
    current = resolve_aliases(VERSIONS.upcast("marker", version, predicate))
    return {**statement, "predicateType": PREDICATE_TYPE, "predicate": current}


def _statement_rules(statement: dict[str, Any]) -> Faults:
    predicate_type = statement.get("predicateType")
    if predicate_type != PREDICATE_TYPE and isinstance(predicate_type, str):
        # An older one is lifted before it comes here; unlifted, it must not pass as current.
        yield SchemaVersionError(
            f"{show(predicate_type)} is not the current marker predicate.", field="/predicateType"
        )
    yield from subject_faults(statement)
    predicate = statement.get("predicate")
    if isinstance(predicate, dict):
        for fault in marker_rules(predicate):
            field = f"/predicate{fault.field}"
            yield MarkerError(fault.message, hint=fault.hint, field=field)


FLAT = StructReader("marker", Marker, rules=marker_rules, prepare=resolve_aliases)
"""Reads the flat form."""

STATEMENTS = StructReader(
    "statement", Statement, rules=_statement_rules, prepare=_prepare_statement
)
"""Reads the signed form."""


def decode_marker(payload: bytes, payload_type: str, *, strict: bool = True) -> Marker:
    """Return the marker of a payload, flat or Statement.

    Args:
        payload: The exact signed bytes, or what a caller sent; at most 32,768.
        payload_type: `vocabulary.IN_TOTO` or `vocabulary.MARKER`.
        strict: Refuse unknown fields; False reads stored entries of later minor versions.

    Raises:
        MarkerError: A field is missing, unknown, or not what it must be.
        TooLargeError: A field, a list or the payload is above its limit.
        InstantError: A timestamp names no instant.
        EnvelopeError: The subject of a Statement does not agree with its predicate.
        SchemaVersionError: The payload type or version is not known.
    """
    if payload_type == IN_TOTO:
        return STATEMENTS.read(payload, strict=strict).predicate
    name, version = format_of_payload_type(payload_type)
    if name != "marker":
        raise MarkerError(
            f"A payload of type {payload_type} is no marker.",
            hint="Other entries are read with decode_entry.",
            field="/payloadType",
        )
    return FLAT.read(payload, version, strict=strict)
