"""Reads OTLP in protobuf, one layer at a time.

The messages are our own, with the field numbers of opentelemetry-proto 1.x and only the fields
that are used; tests compare them with the published descriptors. Nested messages are declared as
bytes, which have the same form on the wire, and are read when they are wanted. That is quicker
than reading everything (1.1 us against 1.5 us a span), and it bounds memory: a request of four
megabytes of empty spans takes 75 MB instead of 350.

protobuf is imported when the first codec is made, never when this module is.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from deploymark.errors import RequestError
from deploymark.telemetry.limits import ATTRIBUTES, BOUNDS, ITEM_BYTES
from deploymark.telemetry.signals import (
    Attributes,
    Form,
    LogRecord,
    Metric,
    PartCount,
    Point,
    Reported,
    Signal,
    Span,
)
from deploymark.telemetry.text import DEPTH, clip, event_of, shown

_PACKAGE: Final = "deploymark.otlp"
_ENTRY_KINDS: Final = frozenset({2, 5})  # SERVER, CONSUMER
_FAILED: Final = 2
_CUMULATIVE: Final = 2
_NOTHING_RECORDED: Final = 1
_CACHED_BYTES: Final = 128
_CACHED: Final = 8_192
_FORMS: Final = (
    ("gauge", Form.GAUGE),
    ("sum", Form.SUM),
    ("histogram", Form.HISTOGRAM),
    ("exponential", Form.EXPONENTIAL),
    ("summary", Form.OTHER),
)

# Field: number, type, and `*` where it repeats, `?` where its presence matters.
MESSAGES: Final[Mapping[str, Mapping[str, tuple[int, str]]]] = {
    "Request": {"resources": (1, "bytes*")},
    "ResourceParts": {"resource": (1, "bytes*"), "scopes": (2, "bytes*")},
    "ScopeParts": {"scope": (1, "bytes*"), "items": (2, "bytes*")},
    "Resource": {"attributes": (1, "bytes*")},
    "Scope": {"name": (1, "string")},
    "KeyValue": {"key": (1, "string"), "value": (2, "AnyValue")},
    "AnyValue": {
        "string_value": (1, "string|"),
        "bool_value": (2, "bool|"),
        "int_value": (3, "int64|"),
        "double_value": (4, "double|"),
        "array_value": (5, "bytes|"),
        "kvlist_value": (6, "bytes|"),
        "bytes_value": (7, "bytes|"),
    },
    "ArrayValue": {"values": (1, "bytes*")},
    "KeyValueList": {"values": (1, "bytes*")},
    "Span": {
        "trace_id": (1, "bytes"),
        "span_id": (2, "bytes"),
        "trace_state": (3, "string"),
        "name": (5, "string"),
        "kind": (6, "int32"),
        "start_time_unix_nano": (7, "fixed64"),
        "end_time_unix_nano": (8, "fixed64"),
        "attributes": (9, "bytes*"),
        "status": (15, "Status"),
    },
    "Status": {"code": (3, "int32")},
    "Metric": {
        "name": (1, "string"),
        "unit": (3, "string"),
        "gauge": (5, "bytes*"),
        "sum": (7, "bytes*"),
        "histogram": (9, "bytes*"),
        "exponential": (10, "bytes*"),
        "summary": (11, "bytes*"),
    },
    "Points": {
        "data_points": (1, "bytes*"),
        "aggregation_temporality": (2, "int32"),
        "is_monotonic": (3, "bool"),
    },
    "NumberDataPoint": {
        "start_time_unix_nano": (2, "fixed64"),
        "time_unix_nano": (3, "fixed64"),
        "as_double": (4, "double?"),
        "as_int": (6, "sfixed64?"),
        "attributes": (7, "bytes*"),
        "flags": (8, "uint32"),
    },
    "HistogramDataPoint": {
        "start_time_unix_nano": (2, "fixed64"),
        "time_unix_nano": (3, "fixed64"),
        "count": (4, "fixed64"),
        "sum": (5, "double"),
        "bucket_counts": (6, "fixed64*"),
        "explicit_bounds": (7, "double*"),
        "attributes": (9, "bytes*"),
        "flags": (10, "uint32"),
    },
    "ExponentialHistogramDataPoint": {
        "attributes": (1, "bytes*"),
        "start_time_unix_nano": (2, "fixed64"),
        "time_unix_nano": (3, "fixed64"),
        "count": (4, "fixed64"),
        "sum": (5, "double"),
        "scale": (6, "sint32"),
        "zero_count": (7, "fixed64"),
        "positive": (8, "Buckets"),
        "negative": (9, "Buckets"),
        "flags": (10, "uint32"),
        "zero_threshold": (14, "double"),
    },
    "Buckets": {"offset": (1, "sint32"), "bucket_counts": (2, "uint64*")},
    "LogRecord": {
        "time_unix_nano": (1, "fixed64"),
        "severity_number": (2, "int32"),
        "severity_text": (3, "string"),
        "body": (5, "AnyValue"),
        "attributes": (6, "bytes*"),
        "trace_id": (9, "bytes"),
        "observed_time_unix_nano": (11, "fixed64"),
        "event_name": (12, "string"),
    },
}
"""Our messages. Names are ours, numbers and types are OpenTelemetry's."""


class ProtobufCodec:
    """Reads protobuf; see `signals.Codec`. Belongs to one thread at a time."""

    def __init__(self) -> None:
        self._error, made = _classes()
        self._read = {name: each.FromString for name, each in made.items()}
        self._cache: dict[bytes, tuple[str, Any]] = {}

    def reported(self, body: bytes, signal: Signal) -> list[Reported]:
        """See `Codec.reported`; all three signals are nested alike."""
        del signal
        found, count = [], PartCount()
        raws = self._parsed("Request", body).resources
        count.add(len(raws))
        for raw in raws:
            parts = self._parsed("ResourceParts", raw)
            count.add(len(parts.scopes))
            # Concatenated messages are merged messages: what protobuf says of repeated ones.
            resource = b"".join(parts.resource)
            scopes = []
            for scope in parts.scopes:
                inner = self._parsed("ScopeParts", scope)
                count.add(0, len(inner.items))
                scopes.append((b"".join(inner.scope), inner.items))
            found.append(Reported(resource, scopes))
        return found

    def attributes(self, resource: bytes) -> Attributes:
        """See `Codec.attributes`."""
        return self._attributes(self._parsed("Resource", resource).attributes)

    def span(self, raw: bytes) -> Span | None:
        """See `Codec.span`."""
        found = self._item("Span", raw)
        if found.kind not in _ENTRY_KINDS:
            return None
        return Span(
            found.trace_id.hex(),
            found.span_id.hex(),
            found.name,
            found.start_time_unix_nano,
            found.end_time_unix_nano,
            found.status.code == _FAILED,
            found.trace_state,
            self._attributes(found.attributes),
        )

    def metric(self, raw: bytes, wanted: Mapping[str, object]) -> Metric | int:
        """See `Codec.metric`."""
        found = self._parsed("Metric", raw)
        for name, form in _FORMS:
            if inner := getattr(found, name):
                points = self._parsed("Points", b"".join(inner))
                if found.name not in wanted:
                    return len(points.data_points)
                return Metric(
                    found.name,
                    found.unit,
                    form,
                    points.aggregation_temporality == _CUMULATIVE,
                    points.is_monotonic,
                    points.data_points,
                )
        return 0

    def point(self, raw: bytes, form: Form) -> Point | None:
        """See `Codec.point`."""
        match form:
            case Form.GAUGE | Form.SUM:
                return self._number(self._item("NumberDataPoint", raw))
            case Form.HISTOGRAM:
                return self._histogram(self._item("HistogramDataPoint", raw))
            case Form.EXPONENTIAL:
                return self._exponential(self._item("ExponentialHistogramDataPoint", raw))
            case Form.OTHER:
                return None

    def log_record(self, raw: bytes, least_severity: int) -> LogRecord | None:
        """See `Codec.log_record`."""
        found = self._item("LogRecord", raw)
        if found.severity_number < least_severity:
            return None
        attributes = self._attributes(found.attributes)
        return LogRecord(
            found.time_unix_nano or found.observed_time_unix_nano,
            found.severity_number,
            clip(shown(self._value(found.body))),
            event_of(found.event_name, attributes),
            found.trace_id.hex(),
        )

    # Parts ---------------------------------------------------------------------------------------

    def _number(self, found: Any) -> Point | None:  # noqa: ANN401 - made by protobuf
        if found.flags & _NOTHING_RECORDED:
            return None
        value: float | None = None
        if found.HasField("as_double"):
            value = found.as_double
        elif found.HasField("as_int"):
            value = found.as_int
        return Point(
            found.start_time_unix_nano,
            found.time_unix_nano,
            self._attributes(found.attributes),
            value=value,
        )

    def _histogram(self, found: Any) -> Point | None:  # noqa: ANN401 - as above
        if found.flags & _NOTHING_RECORDED:
            return None
        return Point(
            found.start_time_unix_nano,
            found.time_unix_nano,
            self._attributes(found.attributes),
            count=found.count,
            sum=found.sum,
            bounds=_bounded(found.explicit_bounds),
            counts=_bounded(found.bucket_counts),
        )

    def _exponential(self, found: Any) -> Point | None:  # noqa: ANN401 - as above
        if found.flags & _NOTHING_RECORDED:
            return None
        return Point(
            found.start_time_unix_nano,
            found.time_unix_nano,
            self._attributes(found.attributes),
            count=found.count,
            sum=found.sum,
            counts=_bounded(found.positive.bucket_counts),
            scale=found.scale,
            offset=found.positive.offset,
            at_most_zero=found.zero_count + sum(_bounded(found.negative.bucket_counts)),
            zero_threshold=found.zero_threshold,
        )

    def _attributes(self, raws: Iterable[bytes]) -> dict[str, Any]:
        cache = self._cache
        found = {}
        for raw in islice(raws, ATTRIBUTES):
            pair = cache.get(raw)
            if pair is None:
                pair = self._pair(raw)
            found[pair[0]] = pair[1]
        return found

    def _pair(self, raw: bytes) -> tuple[str, Any]:
        """Read one attribute; short ones come again and again, and are remembered."""
        found = self._parsed("KeyValue", raw)
        pair = (found.key, self._value(found.value))
        if len(raw) <= _CACHED_BYTES:
            if len(self._cache) >= _CACHED:
                self._cache.clear()
            self._cache[raw] = pair
        return pair

    def _value(self, found: Any, depth: int = 0) -> Any:  # noqa: ANN401 - any attribute value
        match found.WhichOneof("value"):
            case None:
                return None
            case "array_value" | "kvlist_value" if depth >= DEPTH:
                return None
            case "array_value":
                inner = self._parsed("ArrayValue", found.array_value).values
                return [
                    self._value(self._parsed("AnyValue", raw), depth + 1)
                    for raw in inner[:ATTRIBUTES]
                ]
            case "kvlist_value":
                pairs = self._parsed("KeyValueList", found.kvlist_value).values
                read = [self._parsed("KeyValue", raw) for raw in pairs[:ATTRIBUTES]]
                return {each.key: self._value(each.value, depth + 1) for each in read}
            case name:
                return getattr(found, name)

    def _item(self, name: str, raw: bytes) -> Any:  # noqa: ANN401 - made by protobuf
        if len(raw) > ITEM_BYTES:
            raise RequestError(f"An item has {len(raw)} bytes; the limit is {ITEM_BYTES}.")
        return self._parsed(name, raw)

    def _parsed(self, name: str, raw: bytes) -> Any:  # noqa: ANN401 - made by protobuf
        try:
            return self._read[name](raw)
        except self._error as error:
            raise RequestError(f"The body is not OTLP in protobuf: {error}.") from None


def _bounded(found: Sequence[Any]) -> tuple[Any, ...]:
    if len(found) > BOUNDS:
        raise RequestError(f"A point has {len(found)} buckets; the limit is {BOUNDS}.")
    return tuple(found)


def _classes() -> tuple[type[Exception], dict[str, Any]]:
    """Make the messages; importing protobuf takes tens of milliseconds, so only here."""
    from google.protobuf import (  # noqa: PLC0415 - as said
        descriptor_pb2,
        descriptor_pool,
        message_factory,
    )
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - as said

    types = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="deploymark/otlp.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            plain = kind.rstrip("*?|")
            made = message.field.add(name=field, number=number)
            made.label = types.LABEL_REPEATED if kind.endswith("*") else types.LABEL_OPTIONAL
            if plain in MESSAGES:
                made.type, made.type_name = types.TYPE_MESSAGE, f".{_PACKAGE}.{plain}"
            else:
                made.type = getattr(types, f"TYPE_{plain.upper()}")
            if kind.endswith("|"):
                if not message.oneof_decl:
                    message.oneof_decl.add(name="value")
                made.oneof_index = 0
            elif kind.endswith("?"):
                made.oneof_index = len(message.oneof_decl)
                made.proto3_optional = True
                message.oneof_decl.add(name=f"_{field}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in MESSAGES
    }
    return DecodeError, found
