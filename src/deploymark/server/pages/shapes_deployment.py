"""What pages about single deployments show: list, one, two, and one to its depths."""

from enum import StrEnum

from msgspec import Struct

from deploymark.server.pages.shapes import (
    Canary,
    Chip,
    Document,
    ErrorDelta,
    Event,
    LookResult,
    Notice,
    Selected,
    ShownFilter,
    ShownFinding,
    StateCount,
    Window,
)


class TrailStep(StrEnum):
    """What is evidence of a deployment, in the order in which it comes."""

    INTENT = "intent"
    APPLIED = "applied"
    RUNNING = "running"
    VERIFIED = "verified"
    PROMOTED = "promoted"


class InstanceStatus(StrEnum):
    """What is known of the artifact that an instance runs."""

    CONFIRMED = "confirmed"
    UNPROVEN = "unproven"
    MISMATCHED = "mismatched"


class Deployments(Document, frozen=True, kw_only=True):
    """A list of deployments, the one that opened last first.

    Attributes:
        total: In the window and filter, all states.
        store_total: Of the store.
    """

    window: Window
    filter: ShownFilter
    items: list[Chip]
    total: int
    store_total: int
    counts: list[StateCount]
    next_cursor: str | None


class Trail(Struct, frozen=True):
    """One piece of evidence, or what is missing.

    Attributes:
        who: The emitter or person.
        index: The entry that says so.
        missing: What is missing, in a sentence; null when it is there.
    """

    step: TrailStep
    at: str | None
    who: str | None
    index: int | None
    missing: str | None


class InstanceCounts(Struct, frozen=True):
    """Instances by what is known of them.

    Attributes:
        expected: How many should run; null when nobody said.
        share: Confirmed of all that are expected or run.
    """

    expected: int | None
    confirmed: int
    unproven: int
    mismatched: int
    share: float | None


class Area(Struct, frozen=True):
    """Where instances of a deployment run."""

    cluster: str | None
    region: str | None
    zone: str | None
    instances: InstanceCounts


class Look(Struct, frozen=True):
    """One look at a canary.

    Attributes:
        index: Of its verdict.
        reasons: Words such as `low_traffic`.
    """

    index: int
    at: str
    step: int | None
    look: int
    result: LookResult
    advice: str
    score: float
    reasons: list[str]


class ShownDecision(Struct, frozen=True):
    """One decision, at one of its stages."""

    index: int
    at: str
    action: str
    stage: str
    actor: str
    outcome: str | None
    reason: str | None
    break_glass: bool


class PhaseAt(Struct, frozen=True):
    """When a deployment came to a phase first."""

    phase: str
    at: str


class FieldDiff(Struct, frozen=True):
    """A field that two deployments say differently; null where one says nothing."""

    field: str
    a: str | None
    b: str | None


class Change(Struct, frozen=True):
    """One change that came with a deployment: a commit, a ticket, another kind of change.

    Attributes:
        link: Where it can be read; https only.
    """

    kind: str
    what: str
    who: str | None
    link: str | None


class TraceLine(Struct, frozen=True):
    """A trace that is worth looking at."""

    at: str
    trace_id: str
    span_id: str
    name: str
    route: str | None
    duration_ms: float
    failing: bool
    id: str | None


class LogLine(Struct, frozen=True):
    """An excerpt of a log; severity is OpenTelemetry's number, 17 and above are errors."""

    at: str
    severity: int
    text: str
    event: str | None
    trace_id: str | None
    id: str | None


class EntryLine(Struct, frozen=True):
    """An entry of the log about a deployment.

    Attributes:
        assurance: `signed`, `attributed` or `anonymous`.
        rule: By which it was joined to the deployment.
    """

    index: int
    at: str
    type: str
    event: str
    source: str | None
    principal: str
    assurance: str
    rule: str | None
    sentence: str


class Occurrence(Struct, frozen=True):
    """One time that the same thing was deployed."""

    id: str
    state: str
    opened_at: str
    live_at: str | None
    ended_at: str | None


class Proof(Struct, frozen=True):
    """How well what is said of a deployment is proven.

    Attributes:
        binding: `observed` when what runs was seen to be its artifact; `unproven`, `mismatched`,
            `none`.
        entries: That speak of it; `signed` of these by their emitters' own keys.
        index: The entry to verify: the newest about it.
        published: A published checkpoint covers that entry.
        checkpoint_size: Of the newest published checkpoint.
    """

    binding: str
    entries: int
    signed: int
    index: int | None
    published: bool
    checkpoint_size: int


class DeploymentPage(Document, frozen=True, kw_only=True):
    """One deployment.

    Attributes:
        verdict: One sentence about how it stands.
        notices: What holds its service up here, while it is not over.
        areas: Where it runs; those with the most instances.
        previous: What ran before it.
        changed: Fields that differ from what ran before; `a` is before.
        entries: That speak of it, the newest first.
        receipt_index: Whose receipt to verify; `/v1/markers/<index>/receipt`.
        verify_command: To be copied.
    """

    selected: Selected
    verdict: str
    notices: list[Notice]
    proof: Proof
    trail: list[Trail]
    instances: InstanceCounts
    areas: list[Area]
    areas_total: int
    delta: ErrorDelta | None
    canary: Canary | None
    looks: list[Look]
    looks_total: int
    decisions: list[ShownDecision]
    decisions_total: int
    changes: list[Change]
    changes_total: int
    previous: Chip | None
    changed: list[FieldDiff]
    traces: list[TraceLine]
    traces_total: int
    findings: list[ShownFinding]
    findings_total: int
    occurrences: list[Occurrence]
    occurrences_total: int
    entries: list[EntryLine]
    entries_total: int
    receipt_index: int | None
    verify_command: str | None


class Red(Struct, frozen=True):
    """Requests of a deployment, from its own instances.

    Attributes:
        minutes: How many minutes of it are counted, from when it was first heard in the window.
        error_share: From 0 to 1.
        latency_p50_ms, latency_p95_ms: Upper bounds of the bucket that holds it.
    """

    minutes: float
    requests: float
    requests_per_second: float | None
    error_share: float | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None


class Compare(Document, frozen=True, kw_only=True):
    """Two deployments side by side.

    Attributes:
        same_service: They are of one service; else most differences say little.
        fields: That differ.
        between: Deployments of the service in the environment that opened between them.
    """

    a: Selected
    b: Selected
    same_service: bool
    fields: list[FieldDiff]
    red_a: Red | None
    red_b: Red | None
    delta_a: ErrorDelta | None
    delta_b: ErrorDelta | None
    instances_a: InstanceCounts
    instances_b: InstanceCounts
    between: list[Chip]
    between_total: int


class Instance(Struct, frozen=True):
    """One instance and what it runs.

    Attributes:
        wanted: Digest of its deployment.
        running: Digest that it runs, as far as anybody told.
        basis: `declared`, `self_observed` or `observed`; only the last proves it.
        pull: Words about pulling the artifact; null where nothing reports it.
    """

    instance_uid: str
    name: str | None
    cluster: str | None
    zone: str | None
    node: str | None
    status: InstanceStatus
    wanted: str | None
    running: str | None
    basis: str | None
    pull: str | None
    first_at: str | None
    last_at: str


class EmitterLine(Struct, frozen=True):
    """What is known of an emitter.

    Attributes:
        ahead_ms: By how much its clock was ahead, the most ever.
        late_ms: How late its newest marker came.
        missing_numbers: That it is known to have given and that never came.
        duplicates: Markers that came again; null where that is not counted by emitter.
    """

    emitter: str
    kind: str
    markers: int
    last_at: str
    ahead_ms: int
    late_ms: int | None
    late_most_ms: int
    missing_numbers: int
    duplicates: int | None


class SlowSpan(Struct, frozen=True):
    """How long an operation took, at most, among the slow traces that are kept.

    Attributes:
        baseline_ms: In what ran before; null when no slow trace of it is kept.
    """

    name: str
    route: str | None
    new_ms: float
    baseline_ms: float | None
    trace_id: str


class Aligned(Struct, frozen=True):
    """Measures of one deployment from the moment it went live (t = 0).

    Attributes:
        seconds: Since then, of each bucket.
    """

    id: str
    version: str
    seconds: list[int]
    requests_per_second: list[float]
    error_share: list[float | None]
    latency_p95_ms: list[float | None]


class Debug(Document, frozen=True, kw_only=True):
    """One deployment to its depths; without `dep` the worst suspect.

    Attributes:
        selected: Null when there is nothing to look at; all else is empty then.
        events: Of the timeline, the newest first.
        aligned: The deployment and what ran before it.
    """

    window: Window
    filter: ShownFilter
    selected: Selected | None
    proof: Proof | None
    phases: list[PhaseAt]
    events: list[Event]
    events_total: int
    traces: list[TraceLine]
    traces_total: int
    logs: list[LogLine]
    logs_total: int
    spans: list[SlowSpan]
    spans_total: int
    aligned: list[Aligned]
    instances: list[Instance]
    instances_total: int
    emitters: list[EmitterLine]
    emitters_total: int
    entries: list[EntryLine]
    entries_total: int
