"""Reads OTLP in JSON (OTLP specification, "JSON Protobuf Encoding").

Ids are hexadecimal, enums are numbers, 64-bit integers are text or numbers, names are in
lowerCamelCase, unknown ones are ignored, null means absent. As with protobuf, items are cut out
first and read one at a time; the whole body is checked to be JSON while it is cut.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from deploymark.decoding import JsonDecoder, json_decoder
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

T = TypeVar("T")

_ENTRY_KINDS: Final = frozenset({2, 5})
_FAILED: Final = 2
_CUMULATIVE: Final = 2
_NOTHING_RECORDED: Final = 1
_MOST: Final = 2**64 - 1
_CACHED_BYTES: Final = 192
_CACHED: Final = 8_192


_EMPTY: Final = Raw(b"{}")
_ABSENT: Final = Raw(b"null")


class _Camel(Struct, frozen=True, rename="camel"):
    """What all messages have in common."""


class _Request(_Camel, frozen=True):
    resource_spans: list[Raw] | None = None
    resource_metrics: list[Raw] | None = None
    resource_logs: list[Raw] | None = None


class _ResourceParts(_Camel, frozen=True):
    resource: Raw = _EMPTY
    scope_spans: list[Raw] | None = None
    scope_metrics: list[Raw] | None = None
    scope_logs: list[Raw] | None = None


class _ScopeParts(_Camel, frozen=True):
    scope: Raw = _EMPTY
    spans: list[Raw] | None = None
    metrics: list[Raw] | None = None
    log_records: list[Raw] | None = None


class _Resource(_Camel, frozen=True):
    attributes: list[Raw] | None = None


class _AnyValue(_Camel, frozen=True):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | None = None
    double_value: Any = None
    array_value: Raw = _ABSENT
    kvlist_value: Raw = _ABSENT
    bytes_value: str | None = None


class _KeyValue(_Camel, frozen=True):
    key: str | None = None
    value: _AnyValue | None = None


class _Values(_Camel, frozen=True):
    values: list[Raw] | None = None


class _Status(_Camel, frozen=True):
    code: int | None = None


class _Span(_Camel, frozen=True):
    trace_id: str | None = None
    span_id: str | None = None
    trace_state: str | None = None
    name: str | None = None
    kind: int | None = None
    start_time_unix_nano: int | None = None
    end_time_unix_nano: int | None = None
    attributes: list[Raw] | None = None
    status: _Status | None = None


class _Points(_Camel, frozen=True):
    data_points: list[Raw] | None = None
    aggregation_temporality: int | None = None
    is_monotonic: bool | None = None


class _Metric(_Camel, frozen=True):
    name: str | None = None
    unit: str | None = None
    gauge: _Points | None = None
    sum: _Points | None = None
    histogram: _Points | None = None
    exponential_histogram: _Points | None = None
    summary: _Points | None = None


class _Buckets(_Camel, frozen=True):
    offset: int | None = None
    bucket_counts: list[int] | None = None


class _Point(_Camel, frozen=True):
    start_time_unix_nano: int | None = None
    time_unix_nano: int | None = None
    attributes: list[Raw] | None = None
    flags: int | None = None
    as_double: Any = None
    as_int: int | None = None
    count: int | None = None
    sum: Any = None
    bucket_counts: list[int] | None = None
    explicit_bounds: list[Any] | None = None
    scale: int | None = None
    zero_count: int | None = None
    zero_threshold: Any = None
    positive: _Buckets | None = None
    negative: _Buckets | None = None


class _LogRecord(_Camel, frozen=True):
    time_unix_nano: int | None = None
    observed_time_unix_nano: int | None = None
    severity_number: int | None = None
    body: _AnyValue | None = None
    attributes: list[Raw] | None = None
    trace_id: str | None = None
    event_name: str | None = None


_ITEMS: Final = {
    Signal.TRACES: ("resource_spans", "scope_spans", "spans"),
    Signal.METRICS: ("resource_metrics", "scope_metrics", "metrics"),
    Signal.LOGS: ("resource_logs", "scope_logs", "log_records"),
}
_FORMS: Final = (
    ("gauge", Form.GAUGE),
    ("sum", Form.SUM),
    ("histogram", Form.HISTOGRAM),
    ("exponential_histogram", Form.EXPONENTIAL),
    ("summary", Form.OTHER),
)


class JsonCodec:
    """Reads JSON; see `signals.Codec`. Belongs to one thread at a time."""

    def __init__(self) -> None:
        kinds = (
            *(_Request, _ResourceParts, _ScopeParts, _Resource, _AnyValue, _KeyValue, _Values),
            *(_Span, _Metric, _Point, _LogRecord),
        )
        self._decoders: dict[type, JsonDecoder[Any]] = {
            kind: json_decoder(kind, strict=False) for kind in kinds
        }
        self._cache: dict[bytes, tuple[str, Any]] = {}

    def reported(self, body: bytes, signal: Signal) -> list[Reported]:
        """See `Codec.reported`."""
        of_request, of_resource, of_scope = _ITEMS[signal]
        found, count = [], PartCount()
        raws = getattr(self._parsed(_Request, body), of_request) or ()
        count.add(len(raws))
        for raw in raws:
            parts = self._parsed(_ResourceParts, raw)
            inner_raws = getattr(parts, of_resource) or ()
            count.add(len(inner_raws))
            scopes = []
            for scope in inner_raws:
                inner = self._parsed(_ScopeParts, scope)
                items = getattr(inner, of_scope) or ()
                count.add(0, len(items))
                scopes.append((bytes(inner.scope), items))
            found.append(Reported(bytes(parts.resource), scopes))
        return found

    def attributes(self, resource: bytes) -> Attributes:
        """See `Codec.attributes`."""
        if resource == b"null":
            return {}
        return self._attributes(self._parsed(_Resource, resource).attributes)

    def span(self, raw: Raw) -> Span | None:
        """See `Codec.span`."""
        found = self._item(_Span, raw)
        if found.kind not in _ENTRY_KINDS:
            return None
        return Span(
            _id(found.trace_id),
            _id(found.span_id),
            found.name or "",
            _number(found.start_time_unix_nano),
            _number(found.end_time_unix_nano),
            found.status is not None and found.status.code == _FAILED,
            found.trace_state or "",
            self._attributes(found.attributes),
        )

    def metric(self, raw: Raw, wanted: Mapping[str, object]) -> Metric | int:
        """See `Codec.metric`."""
        found = self._parsed(_Metric, raw)
        for name, form in _FORMS:
            points: _Points | None = getattr(found, name)
            if points is not None:
                items = points.data_points or []
                if (found.name or "") not in wanted:
                    return len(items)
                return Metric(
                    found.name or "",
                    found.unit or "",
                    form,
                    points.aggregation_temporality == _CUMULATIVE,
                    bool(points.is_monotonic),
                    items,
                )
        return 0

    def point(self, raw: Raw, form: Form) -> Point | None:
        """See `Codec.point`."""
        found = self._item(_Point, raw)
        if (found.flags or 0) & _NOTHING_RECORDED or form is Form.OTHER:
            return None
        start, time = _number(found.start_time_unix_nano), _number(found.time_unix_nano)
        attributes = self._attributes(found.attributes)
        match form:
            case Form.GAUGE | Form.SUM:
                value = found.as_int if found.as_double is None else _real(found.as_double)
                return Point(start, time, attributes, value=value)
            case Form.HISTOGRAM:
                return Point(
                    start,
                    time,
                    attributes,
                    count=_number(found.count),
                    sum=_real(found.sum),
                    bounds=tuple(_real(each) for each in _bounded(found.explicit_bounds)),
                    counts=tuple(_number(each) for each in _bounded(found.bucket_counts)),
                )
            case Form.EXPONENTIAL:
                positive = found.positive or _Buckets()
                negative = found.negative or _Buckets()
                below = sum(_number(each) for each in _bounded(negative.bucket_counts))
                return Point(
                    start,
                    time,
                    attributes,
                    count=_number(found.count),
                    sum=_real(found.sum),
                    counts=tuple(_number(each) for each in _bounded(positive.bucket_counts)),
                    scale=_signed(found.scale),
                    offset=_signed(positive.offset),
                    at_most_zero=_number(found.zero_count) + below,
                    zero_threshold=_real(found.zero_threshold),
                )

    def log_record(self, raw: Raw, least_severity: int) -> LogRecord | None:
        """See `Codec.log_record`."""
        found = self._item(_LogRecord, raw)
        severity = _signed(found.severity_number)
        if severity < least_severity:
            return None
        return LogRecord(
            _number(found.time_unix_nano) or _number(found.observed_time_unix_nano),
            severity,
            clip(shown(self._value(found.body))),
            event_of(found.event_name or "", self._attributes(found.attributes)),
            _id(found.trace_id),
        )

    # Parts ---------------------------------------------------------------------------------------

    def _attributes(self, raws: list[Raw] | None) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for raw in (raws or ())[:ATTRIBUTES]:
            text = bytes(raw)
            pair = self._cache.get(text)
            if pair is None:
                read = self._parsed(_KeyValue, raw)
                pair = (read.key or "", self._value(read.value))
                if len(text) <= _CACHED_BYTES:
                    if len(self._cache) >= _CACHED:
                        self._cache.clear()
                    self._cache[text] = pair
            found[pair[0]] = pair[1]
        return found

    def _value(self, found: _AnyValue | None, depth: int = 0) -> Any:  # noqa: ANN401, PLR0911 - one for each kind of value
        match found:
            case None:
                return None
            case _AnyValue(string_value=str(text)):
                return text
            case _AnyValue(bool_value=bool(truth)):
                return truth
            case _AnyValue(int_value=int(number)):
                return _signed(number)
            case _AnyValue(bytes_value=str(text)):
                return _bytes(text)
            case _ if found.double_value is not None:
                return _real(found.double_value)
            case _ if depth >= DEPTH:
                return None
            case _AnyValue(array_value=raw) if bytes(raw) != b"null":
                values = self._parsed(_Values, raw).values or []
                inner = [self._parsed(_AnyValue, each) for each in values[:ATTRIBUTES]]
                return [self._value(each, depth + 1) for each in inner]
            case _AnyValue(kvlist_value=raw) if bytes(raw) != b"null":
                values = self._parsed(_Values, raw).values or []
                pairs = [self._parsed(_KeyValue, each) for each in values[:ATTRIBUTES]]
                return {each.key or "": self._value(each.value, depth + 1) for each in pairs}
            case _:
                return None

    def _item(self, kind: type[T], raw: Raw) -> T:
        size = len(memoryview(raw))
        if size > ITEM_BYTES:
            raise RequestError(f"An item has {size} bytes; the limit is {ITEM_BYTES}.")
        return self._parsed(kind, raw)

    def _parsed(self, kind: type[T], raw: bytes | Raw) -> T:
        try:
            found: T = self._decoders[kind].decode(raw)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise RequestError(f"The body is not OTLP in JSON: {error}.") from None
        return found


def _bounded(found: list[Any] | None) -> list[Any]:
    found = found or []
    if len(found) > BOUNDS:
        raise RequestError(f"A point has {len(found)} buckets; the limit is {BOUNDS}.")
    return found


def _number(found: int | None) -> int:
    """Return an unsigned 64-bit integer."""
    if not 0 <= (found or 0) <= _MOST:
        raise RequestError(f"{str(found)[:32]} is no unsigned 64-bit integer.")
    return found or 0


def _signed(found: int | None) -> int:
    if not -(2**63) <= (found or 0) < 2**63:
        raise RequestError(f"{str(found)[:32]} is no 64-bit integer.")
    return found or 0


def _real(found: Any) -> float:  # noqa: ANN401 - a number, or text such as "NaN"
    if found is None:
        return 0.0
    if isinstance(found, bool) or not isinstance(found, int | float | str):
        raise RequestError("A number is written as something else.")
    try:
        return float(found)
    except (ValueError, OverflowError):
        raise RequestError(f"{str(found)[:32]!r} is no number.") from None


def _id(found: str | None) -> str:
    if not found:
        return ""
    try:
        return bytes.fromhex(found).hex()
    except ValueError:
        raise RequestError(f"The id {found[:64]!r} is not hexadecimal.") from None


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError):
        raise RequestError("A value is not base64.") from None
