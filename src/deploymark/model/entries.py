"""The entries of the log that are no markers: what was judged, decided, found and corrected.

Each has its own payload type in the same envelope (spec: marker, "Other entries"; trust). Small
on purpose: large evidence is stored by digest beside the log and named here. Every entry states
the `timestamp` that its author claims; the leaf adds when it was received.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from deploymark.errors import MarkerError
from deploymark.model.inspection import Faults
from deploymark.model.limits import (
    ITEMS,
    Count,
    DeploymentName,
    Digest,
    GivenId,
    Instant,
    Key,
    KeyId,
    Name,
    Names,
    Percent,
    Positive,
    PublicKey,
    Text,
    Value,
)
from deploymark.model.marker import Link
from deploymark.model.reading import Rules, StructReader
from deploymark.model.versions import format_of_payload_type
from deploymark.model.vocabulary import FindingCode


class _Entry(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """What all entries and their parts have in common."""


class Scope(_Entry, frozen=True):
    """What a key may say. Globs, in which only `*` is special.

    Where it may speak must be named: without services or environments it may say nothing about
    any. Kinds and phases narrow that, and are everything unless named.
    """

    services: Names = ()
    environments: Names = ()
    kinds: Names = ("*",)
    phases: Names = ("*",)
    entries: Names = ("marker",)


class KeyEntry(_Entry, frozen=True):
    """A producer key comes, is replaced, or goes (key/v1).

    Attributes:
        public_key: The raw 32 bytes in base64; of the new key when rotated; absent when revoked.
        name: A label for people.
        scope: What it may say; a rotation without one inherits the old key's.
        successor_of: The old key, when rotated.
        distrust_from: When revoked: entries of the key from this index on are not trusted, also
            those already there.
    """

    action: Literal["registered", "rotated", "revoked"]
    key_id: KeyId
    timestamp: Instant
    algorithm: Literal["ed25519"] = "ed25519"
    public_key: PublicKey | None = None
    name: Value | None = None
    scope: Scope | None = None
    successor_of: KeyId | None = None
    distrust_from: Count | None = None
    reason: Text | None = None


class MetricVerdict(_Entry, frozen=True):
    """What one metric contributed: natural logarithms of its e-values."""

    name: Name
    log_e_fail: float
    log_e_pass: float
    required: bool = True


class Verdict(_Entry, frozen=True):
    """The result of one look at a rollout, with what replays it (verdict/v1; spec: judge).

    Attributes:
        result: The evidence decides; the score is for people.
        advice: What the rules make of it; `extend` waits, `hold` asks a person.
        reasons: Such as `low_traffic`, `no_data`, `no_control`, `no_placebo`.
        step: Number of the rollout step; `look` counts within it. Both from 1.
        steps: How many the plan has. What is said of the last one is said of the whole rollout.
        score: 0 (failure proven) to 100 (pass proven).
        log_e_fail: Natural logarithm of the weighted e-value.
        inputs_digest: The counts of this look, stored by digest.
        plan_digest: The plan that it was judged by.
        judge: Name and version of the formulas.
    """

    deployment_id: DeploymentName
    service: Name
    environment: Name
    result: Literal["pass", "fail", "inconclusive"]
    advice: Literal["promote", "pause", "roll_back", "extend", "hold", "none"]
    look: Positive
    score: Percent
    inputs_digest: Digest
    judge: Value
    timestamp: Instant
    step: Positive | None = None
    steps: Positive | None = None
    log_e_fail: float | None = None
    log_e_pass: float | None = None
    reasons: Names | None = None
    metrics: Annotated[tuple[MetricVerdict, ...], Meta(max_length=ITEMS)] | None = None
    plan_digest: Digest | None = None


class GuardResult(_Entry, frozen=True):
    """Whether one guard let an action through, and why."""

    name: Name
    held: bool
    reason: Text | None = None


class Decision(_Entry, frozen=True):
    """A change of what runs: decided, approved, executed, and what came of it (decision/v1).

    Attributes:
        action: `shift` gives the canary another share of the traffic; `gate` answers whether
            something may go on, and changes nothing.
        deployment_id: The occurrence acted on; absent for a freeze.
        target_deployment_id: The release that a rollback returns to.
        actor: The person's handle, or `policy`.
        outcome: Only of the stage `outcome`.
        step: Number of the rollout step that it leads to, or is about; from 1.
        weight: Percent of the traffic that the canary then has.
        fence: Of the lease that it was decided under: rises with every holder.
        result: The answer of a gate.
        reasons: Why the answer of a gate is no pass, one sentence each.
        decision_index: The entry of the earlier stage that this one continues.
        verdict_index: The verdict that it rests on.
        break_glass: A person overrode a policy or guard, with the reason stated.
        superseded_by: Of a rollback: the deployment that came while this one was on its way, and
            takes its place; nothing is said about whether this one was good.
    """

    action: Literal[
        "shift",
        "promote",
        "pause",
        "resume",
        "roll_back",
        "freeze",
        "unfreeze",
        "approve",
        "quarantine",
        "release",
        "adopt",
        "gate",
    ]
    stage: Literal["decided", "approved", "executed", "outcome"]
    environment: Name
    actor: Name
    timestamp: Instant
    service: Name | None = None
    deployment_id: DeploymentName | None = None
    target_deployment_id: DeploymentName | None = None
    outcome: Literal["succeeded", "failed", "unknown"] | None = None
    reason: Text | None = None
    guards: Annotated[tuple[GuardResult, ...], Meta(max_length=ITEMS)] | None = None
    verdict_index: Count | None = None
    decision_index: Count | None = None
    idempotency_key: Value | None = None
    break_glass: bool = False
    step: Positive | None = None
    weight: Percent | None = None
    fence: Count | None = None
    result: Literal["pass", "fail", "inconclusive"] | None = None
    reasons: Annotated[tuple[Text, ...], Meta(max_length=ITEMS)] | None = None
    superseded_by: DeploymentName | None = None


class Suspect(_Entry, frozen=True):
    """A deployment that may have caused an incident; the score is a share of 100."""

    deployment_id: DeploymentName
    score: Percent | None = None
    reason: Text | None = None


class Incident(_Entry, frozen=True):
    """Something went wrong in production, and which deployment did it (incident/v1).

    Attributes:
        incident_id: The outside system's id, or ours.
        started_at: When harm began, which may lie before it was opened.
        suspects: Ranked, when attributed by the machine.
        confirmed_deployment_id: The one that a person confirmed.
    """

    action: Literal["opened", "updated", "resolved", "attributed", "confirmed"]
    incident_id: GivenId
    timestamp: Instant
    services: Names | None = None
    environment: Name | None = None
    severity: Value | None = None
    title: Text | None = None
    started_at: Instant | None = None
    resolved_at: Instant | None = None
    suspects: Annotated[tuple[Suspect, ...], Meta(max_length=ITEMS)] | None = None
    confirmed_deployment_id: DeploymentName | None = None
    actor: Value | None = None
    links: Annotated[tuple[Link, ...], Meta(max_length=ITEMS)] | None = None


class Finding(_Entry, frozen=True):
    """What deploymark noticed and no entry alone shows (finding/v1).

    Attributes:
        state: `opened` and `closed` by watchers; `counted` sums refused attempts of a minute.
        about: The instance, cluster, caller or network prefix in question.
        indexes: The entries that it rests on.
        digests: The contents that it rests on, both of a conflict for example.
        count: Of attempts, when counted.
        remedy: What to do, in one sentence.
    """

    code: FindingCode
    state: Literal["opened", "closed", "counted"]
    severity: Literal["info", "warning", "critical"]
    message: Text
    timestamp: Instant
    service: Name | None = None
    environment: Name | None = None
    deployment_id: DeploymentName | None = None
    about: Value | None = None
    indexes: Annotated[tuple[Count, ...], Meta(max_length=ITEMS)] | None = None
    digests: Annotated[tuple[Digest, ...], Meta(max_length=ITEMS)] | None = None
    count: Positive | None = None
    first_at: Instant | None = None
    last_at: Instant | None = None
    remedy: Text | None = None


Scalar = Annotated[str, Meta(max_length=2_048)] | bool | int | float | None
"""What an amendment may put into a field; null takes it away."""


class Amendment(_Entry, frozen=True):
    """Corrects fields of an earlier entry, which itself stays (amendment/v1).

    Attributes:
        index: The entry corrected.
        changes: New values by JSON Pointer into the flat marker.
    """

    index: Count
    changes: Annotated[dict[Key, Scalar], Meta(min_length=1, max_length=ITEMS)]
    reason: Text
    timestamp: Instant


class Retraction(_Entry, frozen=True):
    """Takes back an earlier entry: it happened otherwise, or not at all (retraction/v1)."""

    index: Count
    reason: Text
    timestamp: Instant


class DetailEntry(_Entry, frozen=True):
    """Content kept beside the log came, or was erased (detail/v1).

    Attributes:
        digest: SHA-256 over salt and content.
        size: Of the content in bytes.
        erasable: Personal or free text; evidence is not.
    """

    action: Literal["stored", "erased"]
    digest: Digest
    timestamp: Instant
    size: Count | None = None
    erasable: bool | None = None
    reason: Text | None = None


Entry = KeyEntry | Verdict | Decision | Incident | Finding | Amendment | Retraction | DetailEntry


def _require(fields: dict[str, object], rule: str, *names: str) -> Faults:
    for name in names:
        if fields.get(name) is None:
            yield MarkerError(f"/{name} is missing.", hint=rule, field=f"/{name}")


def _forbid(fields: dict[str, object], rule: str, *names: str) -> Faults:
    for name in names:
        if fields.get(name) is not None:
            yield MarkerError(f"/{name} does not belong here.", hint=rule, field=f"/{name}")


def _key_rules(fields: dict[str, object]) -> Faults:
    match fields.get("action"):
        case "registered":
            rule = "A registration names key and scope."
            yield from _require(fields, rule, "public_key", "scope")
            yield from _forbid(fields, "A registration follows no key.", "successor_of")
        case "rotated":
            rule = "A rotation names the new key and the old."
            yield from _require(fields, rule, "public_key", "successor_of")
        case "revoked":
            rule = "A revocation names only the key that goes."
            yield from _forbid(fields, rule, "public_key", "scope", "successor_of")
        case _:
            return
    if fields.get("action") != "revoked":
        yield from _forbid(fields, "Only a revocation takes trust back.", "distrust_from")


def _decision_rules(fields: dict[str, object]) -> Faults:
    if fields.get("stage") == "outcome":
        yield from _require(fields, "The stage `outcome` states how it ended.", "outcome")
    if fields.get("action") == "gate":
        yield from _require(fields, "A gate answers.", "result", "service")
    if fields.get("break_glass") is True:
        yield from _require(fields, "Who breaks the glass says why.", "reason")


def _detail_rules(fields: dict[str, object]) -> Faults:
    if fields.get("action") == "stored":
        yield from _require(fields, "What is stored has a size and a rule.", "size", "erasable")


def _none(_: dict[str, object]) -> Faults:
    return iter(())


def _reader(name: str, struct: type[Entry], rules: Rules = _none) -> StructReader[Entry]:
    return StructReader(name, struct, rules=rules)


READERS: dict[str, StructReader[Entry]] = {
    "verdict": _reader("verdict", Verdict),
    "decision": _reader("decision", Decision, _decision_rules),
    "incident": _reader("incident", Incident),
    "finding": _reader("finding", Finding),
    "key": _reader("key", KeyEntry, _key_rules),
    "amendment": _reader("amendment", Amendment),
    "retraction": _reader("retraction", Retraction),
    "detail": _reader("detail", DetailEntry, _detail_rules),
}
"""Reads each entry, by the name in its payload type."""


def decode_entry(payload: bytes, payload_type: str, *, strict: bool = True) -> Entry:
    """Return the entry of a payload.

    Args:
        payload: The exact signed bytes, at most 32,768.
        payload_type: One of the entry types in `vocabulary`.
        strict: Refuse unknown fields; False reads stored entries of later minor versions.

    Raises:
        MarkerError: A field is missing, unknown, or not what it must be.
        TooLargeError: A field, a list or the payload is above its limit.
        InstantError: A timestamp names no instant.
        SchemaVersionError: The payload type or version is not known.
    """
    name, version = format_of_payload_type(payload_type)
    reader = READERS.get(name)
    if reader is None:
        raise MarkerError(
            f"A payload of type {payload_type} is no such entry.",
            hint="Markers are read with decode_marker.",
            field="/payloadType",
        )
    return reader.read(payload, version, strict=strict)
