"""What running software reports, in sums, and where it is kept for a while."""

from typing import NamedTuple, Protocol

from msgspec import Struct

from deploymark.model.histogram import Histogram


class Place(NamedTuple):
    """Who something was reported by.

    Attributes:
        service, environment: Names; the environment is "" where nobody said it.
        deployment: The deployment id that the instance itself states, "" without one.
        instance: As the instance's markers have it in `target.instance_uid`.
    """

    service: str
    environment: str
    deployment: str
    instance: str


class CountKey(NamedTuple):
    """What requests are counted by.

    Attributes:
        place: Who answered them.
        bucket_s: The beginning of their bucket, in seconds since the epoch.
        protocol: `http`, `rpc`, `messaging` or `other`.
        origin: `metric` or `span`: what they were counted from.
    """

    place: Place
    bucket_s: int
    protocol: str
    origin: str


class Counted(Struct, frozen=True):
    """Requests of one bucket.

    Attributes:
        requests: How many; not whole where sampled spans stand for others.
        errors: How many of them failed.
        seen: How many spans or requests were really looked at.
        since_s: When the earliest interval that ended in this bucket began, in whole seconds.
        latency: How long they took.
    """

    requests: float
    errors: float
    seen: int
    since_s: int
    latency: Histogram


class GaugeKey(NamedTuple):
    """What values of a gauge are kept by; `label` tells its attribute sets apart."""

    place: Place
    bucket_s: int
    name: str
    label: str


class Gauged(Struct, frozen=True):
    """Values of a gauge within one bucket."""

    least: float
    most: float
    sum: float
    count: int


class MarkedKey(NamedTuple):
    """What the propagation of deployment ids (M8) is counted by."""

    service: str
    environment: str
    bucket_s: int


class Marked(Struct, frozen=True):
    """Spans, and those of them whose resource carries a deployment id."""

    spans: int
    marked: int


class TraceNote(Struct, frozen=True):
    """One trace that is worth looking at: where to find it, and why.

    Attributes:
        place: Whose entry span it is.
        window_s: The beginning of the minute in which it competes.
        failing: It is kept because it failed, else because it was slow.
        trace_id, span_id: Where to find it, in hexadecimal digits.
        name: Of the span.
        route: Of the request, "" where there is none.
        at_ms: When it ended.
        duration_us: How long it took.
    """

    place: Place
    window_s: int
    failing: bool
    trace_id: str
    span_id: str
    name: str
    route: str
    at_ms: int
    duration_us: int


class Excerpt(Struct, frozen=True):
    """One log record, cut short.

    Attributes:
        place: Who wrote it.
        window_s: The beginning of the minute in which it competes.
        severity: OpenTelemetry's number; 17 and above are errors.
        at_ms: When.
        text: The beginning of its body.
        event: The name of its event or exception, or "".
        trace_id: "" without one.
    """

    place: Place
    window_s: int
    severity: int
    at_ms: int
    text: str
    event: str
    trace_id: str


class Telemetry(Struct, frozen=True):
    """What one commit of the telemetry store adds.

    Attributes:
        counts, gauges, marked: To be added to what is there.
        traces, excerpts: To compete with those there.
        streams: States of metric streams that replace those there; None drops one.
        receipts: Digests of the requests that this came from.
        now_s: The time, which receipts and new places are remembered with.
    """

    now_s: int
    counts: dict[CountKey, Counted]
    gauges: dict[GaugeKey, Gauged]
    marked: dict[MarkedKey, Marked]
    traces: list[TraceNote]
    excerpts: list[Excerpt]
    streams: dict[bytes, bytes | None]
    receipts: list[bytes]


class TelemetryQuery(NamedTuple):
    """Which telemetry is asked for; None asks for any.

    Attributes:
        since_s, until_s: Buckets and windows that begin then or later, and before.
        service, environment, deployment, instance: As in `Place`.
    """

    since_s: int
    until_s: int
    service: str | None = None
    environment: str | None = None
    deployment: str | None = None
    instance: str | None = None


class Measured(NamedTuple):
    """From when to when, in seconds, the metrics of an instance cover one protocol.

    The end is that of the last bucket, give or take a minute: buckets have several lengths.
    """

    place: Place
    protocol: str
    since_s: int
    until_s: int


TRACES_KEPT = 10
"""Slow traces, and failing ones, of a deployment in one minute."""

EXCERPTS_KEPT = 20
"""Log excerpts of a deployment in one minute."""


class TelemetryStore(Protocol):
    """Disposable evidence of what runs: bounded, and dropped when it is old or too much.

    One thread saves and trims; any thread may ask. Every method raises `StoreUnavailableError`
    while the medium refuses; nothing of a refused `save` is kept.
    """

    def load(self) -> tuple[dict[bytes, bytes], list[bytes]]:
        """Return the states of all streams, and the receipts, oldest first."""
        ...

    def save(self, telemetry: Telemetry) -> None:
        """Add what one commit adds, whole or not at all.

        Counts add up; latencies as `model.histogram.merge` does. Of the traces of a deployment,
        minute and reason the slowest `TRACES_KEPT` stay, or the newest of those that failed; of
        its excerpts the most severe `EXCERPTS_KEPT`, of these the earliest.
        """
        ...

    def counts(self, query: TelemetryQuery, limit: int) -> list[tuple[CountKey, Counted]]:
        """Return counts by bucket and place, from the earliest, with at most `limit` rows."""
        ...

    def gauges(self, query: TelemetryQuery, limit: int) -> list[tuple[GaugeKey, Gauged]]:
        """Return gauges, ordered and bounded as counts are."""
        ...

    def marked(
        self, query: TelemetryQuery, step_s: int, limit: int
    ) -> list[tuple[MarkedKey, Marked]]:
        """Return how many spans were marked, in buckets of `step_s`; bounded as counts are.

        Deployment and instance choose nothing here.
        """
        ...

    def measured(self, query: TelemetryQuery) -> list[Measured]:
        """Return which instances count their requests by metrics, whenever they did."""
        ...

    def first_seen(self, query: TelemetryQuery) -> list[tuple[Place, int]]:
        """Return of each instance the earliest bucket of counts or gauges that is kept."""
        ...

    def traces(self, query: TelemetryQuery, limit: int) -> list[TraceNote]:
        """Return traces, newest minute first, failing before slow, slowest first."""
        ...

    def excerpts(self, query: TelemetryQuery, limit: int) -> list[Excerpt]:
        """Return excerpts, newest minute first, most severe first."""
        ...

    def trim(self, before_s: int) -> None:
        """Forget everything before a time."""
        ...

    def oldest_s(self) -> int | None:
        """Return the beginning of the earliest thing kept."""
        ...

    def size_bytes(self) -> int:
        """Return how much of the medium is in use."""
        ...

    def close(self) -> None:
        """Release every handle; idempotent."""
        ...
