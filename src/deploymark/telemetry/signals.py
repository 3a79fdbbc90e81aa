"""What an OTLP request says, without the encoding that it came in.

`protobuf_codec` and `json_codec` make these values; nothing behind them knows which of the two it
was. Only what is used is read: spans inside a service are counted and never decoded, metrics of
other names are passed over. An item that cannot be read spoils no other.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from msgspec import Struct

from deploymark.errors import TooLargeError
from deploymark.telemetry.limits import ITEMS, RESOURCES

Attributes = Mapping[str, Any]
"""Text, numbers, truth values, bytes, and lists and maps of them; by name."""

Raw = Any
"""A part of the request that is not read yet; only its codec knows what it is."""


class Signal(StrEnum):
    """The three kinds of telemetry."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"


class Reported(NamedTuple):
    """What one resource reports.

    Attributes:
        resource: Who reports it, not read yet; equal bytes mean the same.
        scopes: For each scope its name and its items, not read yet.
    """

    resource: bytes
    scopes: Sequence[tuple[bytes, Sequence[Raw]]]


class Span(Struct, frozen=True, gc=False):
    """A span at which a service takes a request or a message.

    Attributes:
        trace_id, span_id: In lower-case hexadecimal digits.
        name: Of the operation.
        start_ns, end_ns: Since the epoch.
        failed: The status says error.
        trace_state: W3C `tracestate`.
        attributes: Its attributes.
    """

    trace_id: str
    span_id: str
    name: str
    start_ns: int
    end_ns: int
    failed: bool
    trace_state: str
    attributes: Attributes


class Form(StrEnum):
    """The kinds of metrics that are read."""

    GAUGE = "gauge"
    SUM = "sum"
    HISTOGRAM = "histogram"
    EXPONENTIAL = "exponential"
    OTHER = "other"


class Metric(Struct, frozen=True):
    """One metric, its points not read yet.

    Attributes:
        name: Such as `http.server.request.duration`.
        unit: As the sender wrote it.
        form: What its points are.
        cumulative: Each point counts from the stream's beginning; else from the point before.
        monotonic: Of a sum: it only grows.
        points: Not read yet.
    """

    name: str
    unit: str
    form: Form
    cumulative: bool
    monotonic: bool
    points: Sequence[Raw]


class Point(Struct, frozen=True, gc=False):
    """One point of any form; what a form does not have is empty.

    Attributes:
        start_ns: The beginning of its interval; 0 when it is not known.
        time_ns: The end of its interval.
        attributes: Its attributes.
        value: Of a gauge or sum; None when it says that nothing was recorded.
        count: Of a histogram.
        sum: Of a histogram.
        bounds: Of an explicit histogram.
        counts: Of an explicit histogram; of an exponential one from `offset` on.
        scale, offset: Of an exponential histogram.
        at_most_zero: Of an exponential histogram: zero and negative ones together.
        zero_threshold: Of an exponential histogram.
    """

    start_ns: int
    time_ns: int
    attributes: Attributes
    value: float | None = None
    count: int = 0
    sum: float = 0.0
    bounds: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    scale: int = 0
    offset: int = 0
    at_most_zero: int = 0
    zero_threshold: float = 0.0


class LogRecord(Struct, frozen=True, gc=False):
    """One log record.

    Attributes:
        time_ns: When it happened, or else when it was observed.
        severity: OpenTelemetry's number: 17 and above are errors.
        text: The body, as text.
        event: The name of the event, or the type of the exception, or "".
        trace_id: In hexadecimal digits, or "".
    """

    time_ns: int
    severity: int
    text: str
    event: str
    trace_id: str


class Codec(Protocol):
    """Reads one encoding. Everything but `reported` is asked for one item at a time.

    Every method raises `RequestError` for what cannot be read.
    """

    def reported(self, body: bytes, signal: Signal) -> list[Reported]:
        """Cut a request into its resources and items; `TooLargeError` for too many."""
        ...

    def attributes(self, resource: bytes) -> Attributes:
        """Return the attributes of a resource."""
        ...

    def span(self, raw: Raw) -> Span | None:
        """Read a span; None when it is none at which a service takes something."""
        ...

    def metric(self, raw: Raw, wanted: Mapping[str, object]) -> Metric | int:
        """Read a metric; of one that is not wanted only the number of its points."""
        ...

    def point(self, raw: Raw, form: Form) -> Point | None:
        """Read a point; None when it says that nothing was recorded."""
        ...

    def log_record(self, raw: Raw, least_severity: int) -> LogRecord | None:
        """Read a log record; None when it is less severe."""
        ...


def sizes(found: Sequence[Reported]) -> Iterator[int]:
    """Yield how many items each scope of a request has."""
    for each in found:
        for _, items in each.scopes:
            yield len(items)


class PartCount:
    """Counts resources, scopes and items while a request is cut, before they cost anything."""

    def __init__(self) -> None:
        self._parts = 0
        self._items = 0

    def add(self, parts: int, items: int = 0) -> None:
        """Count more of them.

        Raises:
            TooLargeError: There are more than are looked at.
        """
        self._parts += parts
        self._items += items
        if self._parts > RESOURCES or self._items > ITEMS:
            raise TooLargeError(
                f"The request has more than {RESOURCES} resources and scopes, or {ITEMS} items.",
                hint="Send smaller batches.",
            )
