"""OTLP requests as exporters send them, for tests and benchmarks: in protobuf and in JSON.

Made with the published messages of opentelemetry-proto, so that what reads them is tested against
something that it shares nothing with.
"""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

NANO = 1_000_000_000
SERVER, CLIENT, CONSUMER = 2, 3, 5
CUMULATIVE, DELTA = 2, 1
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
OK = {"http.request.method": "GET", "http.response.status_code": 200}
FAILED = {"http.request.method": "GET", "http.response.status_code": 500}
_IDS = frozenset({"traceId", "spanId", "parentSpanId"})


def resource(
    service: str = "shop",
    environment: str = "prod",
    deployment: str = "d-one",
    instance: str = "i-1",
    **more: object,
) -> dict[str, Any]:
    """Return the attributes of a resource; empty ones are left out, `__` in names is a dot."""
    said = {
        "service.name": service,
        "deployment.environment.name": environment,
        "deployment.id": deployment,
        "service.instance.id": instance,
        **{name.replace("__", "."): value for name, value in more.items()},
    }
    return {name: value for name, value in said.items() if value != ""}


def span(  # noqa: PLR0913 - what a span has
    number: int,
    end_s: float,
    *,
    seconds: float = 0.02,
    kind: int = SERVER,
    attributes: Mapping[str, Any] = OK,
    failed: bool = False,
    trace_state: str = "",
) -> Span:
    """Return a span that no other number has."""
    end_ns = int(end_s * NANO)
    made = Span(
        trace_id=number.to_bytes(16),
        span_id=number.to_bytes(8),
        trace_state=trace_state,
        name="GET /cart",
        kind=kind,  # type: ignore[arg-type]
        start_time_unix_nano=end_ns - int(seconds * NANO),
        end_time_unix_nano=end_ns,
        attributes=_pairs(attributes),
    )
    if failed:
        made.status.code = 2  # type: ignore[assignment]
    return made


def traces(said: Mapping[str, Any], spans: Sequence[Span]) -> ExportTraceServiceRequest:
    """Return a request of spans."""
    request = ExportTraceServiceRequest()
    found = request.resource_spans.add()
    found.resource.attributes.extend(_pairs(said))
    scope = found.scope_spans.add()
    scope.scope.name = "sample"
    scope.spans.extend(spans)
    return request


def histogram(  # noqa: PLR0913 - what a histogram has
    latencies: Sequence[float],
    time_s: float,
    *,
    start_s: float = 0,
    attributes: Mapping[str, Any] = OK,
    name: str = "http.server.request.duration",
    unit: str = "s",
    temporality: int = CUMULATIVE,
    bounds: Sequence[float] = BOUNDS,
) -> Metric:
    """Return an explicit histogram with one point."""
    metric = Metric(name=name, unit=unit)
    metric.histogram.aggregation_temporality = temporality  # type: ignore[assignment]
    counts = [0] * (len(bounds) + 1)
    for each in latencies:
        counts[next((i for i, b in enumerate(bounds) if each <= b), len(bounds))] += 1
    metric.histogram.data_points.add(
        start_time_unix_nano=int(start_s * NANO),
        time_unix_nano=int(time_s * NANO),
        count=len(latencies),
        sum=sum(latencies),
        bucket_counts=counts,
        explicit_bounds=bounds,
        attributes=_pairs(attributes),
    )
    return metric


def exponential(
    latencies: Sequence[float],
    time_s: float,
    *,
    start_s: float = 0,
    scale: int = 3,
    temporality: int = CUMULATIVE,
) -> Metric:
    """Return an exponential histogram of HTTP requests with one point."""
    metric = Metric(name="http.server.request.duration", unit="s")
    metric.exponential_histogram.aggregation_temporality = temporality  # type: ignore[assignment]
    indexes = [math.ceil(math.log2(each) * 2.0**scale) - 1 for each in latencies]
    offset = min(indexes, default=0)
    point = metric.exponential_histogram.data_points.add(
        start_time_unix_nano=int(start_s * NANO),
        time_unix_nano=int(time_s * NANO),
        count=len(latencies),
        sum=sum(latencies),
        scale=scale,
        attributes=_pairs(OK),
    )
    point.positive.offset = offset
    point.positive.bucket_counts.extend(
        indexes.count(each) for each in range(offset, max(indexes, default=-1) + 1)
    )
    return metric


def gauge(name: str, value: float, time_s: float, **attributes: str) -> Metric:
    """Return a gauge with one point."""
    metric = Metric(name=name)
    metric.gauge.data_points.add(
        time_unix_nano=int(time_s * NANO), as_double=value, attributes=_pairs(attributes)
    )
    return metric


def metrics(said: Mapping[str, Any], found: Sequence[Metric]) -> ExportMetricsServiceRequest:
    """Return a request of metrics."""
    request = ExportMetricsServiceRequest()
    reported = request.resource_metrics.add()
    reported.resource.attributes.extend(_pairs(said))
    scope = reported.scope_metrics.add()
    scope.scope.name = "sample"
    scope.metrics.extend(found)
    return request


def log_record(text: str, time_s: float, severity: int = 17, event: str = "") -> LogRecord:
    """Return a log record."""
    return LogRecord(
        time_unix_nano=int(time_s * NANO),
        severity_number=severity,  # type: ignore[arg-type]
        body=AnyValue(string_value=text),
        event_name=event,
        trace_id=bytes(range(16)),
    )


def logs(said: Mapping[str, Any], records: Sequence[LogRecord]) -> ExportLogsServiceRequest:
    """Return a request of log records."""
    request = ExportLogsServiceRequest()
    found = request.resource_logs.add()
    found.resource.attributes.extend(_pairs(said))
    found.scope_logs.add().log_records.extend(records)
    return request


def as_json(request: Any) -> bytes:  # noqa: ANN401 - any of the three
    """Return a request in OTLP's JSON: ids in hexadecimal digits, enums as numbers."""
    return json.dumps(_hexed(MessageToDict(request, use_integers_for_enums=True))).encode()


def _hexed(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        return [_hexed(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: base64.b64decode(each).hex() if name in _IDS else _hexed(each)
        for name, each in value.items()
    }


def _pairs(said: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=name, value=any_value(value)) for name, value in said.items()]


def any_value(value: Any) -> AnyValue:  # noqa: ANN401 - any attribute value
    """Return a value as OpenTelemetry has it."""
    made = AnyValue()
    match value:
        case bool():
            made.bool_value = value
        case int():
            made.int_value = value
        case float():
            made.double_value = value
        case str():
            made.string_value = value
        case bytes():
            made.bytes_value = value
        case list():
            made.array_value.values.extend(any_value(each) for each in value)
        case dict():
            made.kvlist_value.values.extend(_pairs(value))
        case _:
            pass  # nothing was said
    return made
