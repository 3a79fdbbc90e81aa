"""Both encodings say the same, whatever stands in them, and garbage says nothing."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from deploymark.errors import RequestError
from deploymark.telemetry.json_codec import JsonCodec
from deploymark.telemetry.limits import ITEM_BYTES
from deploymark.telemetry.protobuf_codec import MESSAGES, ProtobufCodec
from deploymark.telemetry.requests import MEASURES
from deploymark.telemetry.signals import Codec, Form, Metric, Signal
from deploymark.testing.otlp import (
    SERVER,
    any_value,
    as_json,
    exponential,
    gauge,
    histogram,
    log_record,
    logs,
    metrics,
    resource,
    span,
    traces,
)

_NUMBERS = st.integers(-(2**63), 2**63 - 1)
_VALUES = st.recursive(
    st.text(max_size=8) | st.booleans() | _NUMBERS | st.floats(allow_nan=False) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
_ATTRIBUTES = st.dictionaries(st.text(max_size=8), _VALUES, max_size=6)
_CODECS: tuple[tuple[Codec, Any], ...] = (
    (ProtobufCodec(), lambda request: request.SerializeToString()),
    (JsonCodec(), as_json),
)
_PUBLISHED = {
    "Request": ExportTraceServiceRequest,
    "ResourceParts": trace_pb2.ResourceSpans,
    "ScopeParts": trace_pb2.ScopeSpans,
    "Resource": resource_pb2.Resource,
    "Scope": common_pb2.InstrumentationScope,
    "KeyValue": common_pb2.KeyValue,
    "AnyValue": common_pb2.AnyValue,
    "ArrayValue": common_pb2.ArrayValue,
    "KeyValueList": common_pb2.KeyValueList,
    "Span": trace_pb2.Span,
    "Status": trace_pb2.Status,
    "Metric": metrics_pb2.Metric,
    "Points": metrics_pb2.Sum,
    "NumberDataPoint": metrics_pb2.NumberDataPoint,
    "HistogramDataPoint": metrics_pb2.HistogramDataPoint,
    "ExponentialHistogramDataPoint": metrics_pb2.ExponentialHistogramDataPoint,
    "Buckets": metrics_pb2.ExponentialHistogramDataPoint.Buckets,
    "LogRecord": logs_pb2.LogRecord,
}
# Numbers of protobuf's types; ids of enums are read as numbers, nested messages as bytes.
_TYPES = {
    "bytes": (9, 11, 12),
    "string": (9,),
    "int32": (5, 14),
    "bool": (8,),
    "double": (1,),
    "int64": (3,),
    "fixed64": (6,),
    "sfixed64": (16,),
    "uint32": (13,),
    "sint32": (17,),
    "uint64": (4,),
}
_ALIKE = (
    (ExportTraceServiceRequest, ExportMetricsServiceRequest, ExportLogsServiceRequest),
    (trace_pb2.ResourceSpans, metrics_pb2.ResourceMetrics, logs_pb2.ResourceLogs),
    (trace_pb2.ScopeSpans, metrics_pb2.ScopeMetrics, logs_pb2.ScopeLogs),
    (metrics_pb2.Sum, metrics_pb2.Gauge, metrics_pb2.Histogram),
)


def read_by(signal: Signal, request: Any) -> Iterator[Any]:  # noqa: ANN401 - any message
    """Yield what each codec reads of a request, item by item."""
    for codec, encode in _CODECS:
        found: list[Any] = []
        for reported in codec.reported(encode(request), signal):
            found.append(codec.attributes(reported.resource))
            for _, items in reported.scopes:
                found += [item for raw in items for item in _read(codec, signal, raw)]
        yield found


def _read(codec: Codec, signal: Signal, raw: Any) -> Iterator[Any]:  # noqa: ANN401 - not read yet
    if signal is Signal.TRACES:
        yield codec.span(raw)
    elif signal is Signal.LOGS:
        yield codec.log_record(raw, 0)
    else:
        metric = codec.metric(raw, {**MEASURES, "g": None})
        if not isinstance(metric, Metric):
            yield metric
            return
        yield metric.name, metric.unit, metric.form, metric.cumulative, metric.monotonic
        for point in metric.points:
            yield codec.point(point, metric.form)


@given(_ATTRIBUTES, _ATTRIBUTES, st.integers(0, 5), st.booleans())
def test_spans_read_the_same_in_both(
    said: dict[str, Any],
    attributes: dict[str, Any],
    kind: int,
    failed: bool,  # noqa: FBT001
) -> None:
    request = traces(said, [span(1, 1_795e6, kind=kind, attributes=attributes, failed=failed)])
    one, other = read_by(Signal.TRACES, request)
    assert one == other
    assert one[0] == said
    if kind == SERVER:
        assert (one[1].attributes, one[1].failed) == (attributes, failed)


@given(st.lists(st.floats(1e-4, 100.0), max_size=20), st.integers(-2, 4), _NUMBERS, st.floats())
def test_points_read_the_same_in_both(
    latencies: list[float], scale: int, number: int, value: float
) -> None:
    whole = metrics_pb2.Metric(name="g")
    whole.sum.data_points.add(as_int=number)
    found = [
        histogram(latencies, 1_795e6, start_s=1_794e6),
        exponential(latencies, 1_795e6, scale=scale),
        gauge("g", value, 1_795e6, mode="user"),
        gauge("unknown", value, 1_795e6),
        whole,
    ]
    one, other = read_by(Signal.METRICS, metrics(resource(), found))
    assert repr(one) == repr(other)  # NaN is not itself
    assert one[-3:] == [1, ("g", "", Form.SUM, False, False), one[-1]]
    assert one[-1].value == number


@given(_VALUES, st.integers(0, 24), st.text(max_size=10))
def test_log_records_read_the_same_in_both(body: Any, severity: int, event: str) -> None:  # noqa: ANN401
    record = log_record("", 1_795e6, severity, event)
    record.body.CopyFrom(any_value(body))
    one, other = read_by(Signal.LOGS, logs(resource(), [record]))
    assert one == other
    assert one[1].severity == severity


@pytest.mark.parametrize("name", MESSAGES)
def test_our_messages_have_the_numbers_and_types_of_opentelemetry(name: str) -> None:
    fields = _PUBLISHED[name].DESCRIPTOR.fields_by_number  # type: ignore[attr-defined]
    for number, kind in MESSAGES[name].values():
        published = fields[number]
        plain = kind.rstrip("*?|")
        assert published.type in _TYPES.get(plain, (11,)), (name, published.name)
        if published.type != 11 or name not in {"ResourceParts", "ScopeParts", "Metric"}:
            assert kind.endswith("*") == published.is_repeated, (name, published.name)


@pytest.mark.parametrize("kinds", _ALIKE, ids=lambda each: each[0].__name__)
def test_the_three_signals_are_nested_alike(kinds: tuple[Any, ...]) -> None:
    first, *others = ({n: f.type for n, f in k.DESCRIPTOR.fields_by_number.items()} for k in kinds)
    for other in others:
        shared = {1, 2} & first.keys() & other.keys()
        assert {n: first[n] for n in shared} == {n: other[n] for n in shared}


def test_fields_that_nobody_knows_are_ignored() -> None:
    request = traces(resource(), [span(1, 1_795e6)])
    known = request.SerializeToString()
    unknown = b"\xfa\x7f\x03abc"  # field 2047
    scope = request.resource_spans[0].scope_spans[0]
    scope.spans[0].ParseFromString(scope.spans[0].SerializeToString() + unknown)
    codec = ProtobufCodec()
    (reported,) = codec.reported(request.SerializeToString() + unknown, Signal.TRACES)
    (plain,) = codec.reported(known, Signal.TRACES)
    (_, (raw,)), (_, (plain_raw,)) = reported.scopes[0], plain.scopes[0]
    assert codec.span(raw) == codec.span(plain_raw)
    said = json.loads(as_json(request))
    said["new"] = said["resourceSpans"][0]["new"] = {"a": [1]}
    said["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["new"] = "x"
    codec_of_json = JsonCodec()
    (reported,) = codec_of_json.reported(json.dumps(said).encode(), Signal.TRACES)
    assert codec_of_json.span(reported.scopes[0][1][0]) == codec.span(plain_raw)


def test_json_takes_integers_as_text_or_numbers_and_null_as_absent() -> None:
    codec = JsonCodec()
    body = """{"resourceSpans": [{"resource": null, "scopeSpans": [{"scope": null, "spans": [
        {"traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "eee19b7ec3c1b174", "kind": 2,
         "startTimeUnixNano": 1544712660000000000, "endTimeUnixNano": "1544712661000000000",
         "name": null, "status": null, "attributes": [
           {"key": "n", "value": {"intValue": "-7"}}, {"key": "m", "value": {"intValue": 8}},
           {"key": "d", "value": {"doubleValue": "NaN"}}, {"key": "none", "value": null}]}]}]}]}"""
    (reported,) = codec.reported(body.encode(), Signal.TRACES)
    assert codec.attributes(reported.resource) == {}
    found = codec.span(reported.scopes[0][1][0])
    assert found is not None
    assert found.trace_id == "5b8efff798038103d269b633813fc60c"
    assert (found.start_ns, found.end_ns) == (1544712660000000000, 1544712661000000000)
    assert (found.attributes["n"], found.attributes["m"], found.attributes["none"]) == (-7, 8, None)
    assert repr(found.attributes["d"]) == "nan"


@pytest.mark.parametrize(
    "item",
    [
        '{"kind": 2, "traceId": "not hexadecimal"}',
        '{"kind": 2, "startTimeUnixNano": -1}',
        '{"kind": 2, "endTimeUnixNano": "18446744073709551616"}',
        '{"kind": 2, "attributes": [{"key": 1}]}',
        '{"kind": 2, "attributes": [{"key": "a", "value": {"doubleValue": [1]}}]}',
        '{"kind": "SPAN_KIND_SERVER"}',
        '"a span"',
        "[" * 500 + "]" * 500,
    ],
)
def test_a_span_that_makes_no_sense_is_refused(item: str) -> None:
    body = f'{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{item}]}}]}}]}}'
    codec = JsonCodec()
    with pytest.raises(RequestError):
        codec.span(codec.reported(body.encode(), Signal.TRACES)[0].scopes[0][1][0])


@given(st.binary(max_size=200), st.sampled_from(Signal))
def test_garbage_is_refused_and_nothing_else_happens(body: bytes, signal: Signal) -> None:
    for codec, _ in _CODECS:
        try:
            for reported in codec.reported(body, signal):
                codec.attributes(reported.resource)
                for _, items in reported.scopes:
                    for raw in items:
                        list(_read(codec, signal, raw))
        except RequestError:
            pass


@given(st.data())
def test_a_request_with_a_byte_changed_is_read_or_refused(data: st.DataObject) -> None:
    request = metrics(resource(), [histogram([0.1], 1_795e6), exponential([0.1], 1_795e6)])
    for codec, encode in _CODECS:
        body = bytearray(encode(request))
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
        try:
            for reported in codec.reported(bytes(body), Signal.METRICS):
                for _, items in reported.scopes:
                    for raw in items:
                        list(_read(codec, Signal.METRICS, raw))
        except RequestError:
            pass


def test_an_item_beyond_its_limit_is_refused_before_it_is_read() -> None:
    large = span(1, 1_795e6, attributes={"a": "x" * ITEM_BYTES})
    for codec, encode in _CODECS:
        (reported,) = codec.reported(encode(traces(resource(), [large])), Signal.TRACES)
        with pytest.raises(RequestError, match="limit"):
            codec.span(reported.scopes[0][1][0])


def test_a_point_with_too_many_buckets_is_refused() -> None:
    metric = histogram([], 1_795e6, bounds=[float(each) for each in range(600)])
    for codec, encode in _CODECS:
        (reported,) = codec.reported(encode(metrics(resource(), [metric])), Signal.METRICS)
        found = codec.metric(reported.scopes[0][1][0], MEASURES)
        assert isinstance(found, Metric)
        with pytest.raises(RequestError, match="buckets"):
            codec.point(found.points[0], found.form)
