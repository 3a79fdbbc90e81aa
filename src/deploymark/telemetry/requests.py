"""What counts as a request, and as an error: from metrics and from spans. Pure.

Each request belongs to a protocol. A service that measures a protocol is counted by its metrics;
otherwise by its server and consumer spans. Two protocols are never added up: some frameworks
count one gRPC call as an HTTP request as well.

Errors follow the semantic conventions for servers: HTTP from 500; gRPC UNKNOWN,
DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE and DATA_LOSS; where no status is said, an
`error.type`. A client's mistake is no error of the server.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from deploymark.telemetry.signals import Span

HTTP: Final = "http"
RPC: Final = "rpc"
MESSAGING: Final = "messaging"
OTHER: Final = "other"

SECONDS: Final = 1
_DIVISORS: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "µs": 1_000_000, "ns": 1_000_000_000}

SPAN_BOUNDS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
"""Bounds of histograms that are made of spans: those of `http.server.request.duration`."""

_GRPC_ERRORS: Final = frozenset({2, 4, 12, 13, 14, 15})
_GRPC_NAMES: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
_MOST_DIGITS: Final = 9  # of a status; whoever sends more sends none
_HTTP_ERRORS: Final = 500


class Measure(NamedTuple):
    """A metric that counts requests.

    Attributes:
        protocol: What kind.
        divisor: How many of its unit make a second, where it names no unit.
        replaced_by: The metric that says the same better; then this one is not counted.
    """

    protocol: str
    divisor: int
    replaced_by: str = ""


MEASURES: Final[Mapping[str, Measure]] = {
    "http.server.request.duration": Measure(HTTP, 1),
    "http.server.duration": Measure(HTTP, 1_000, "http.server.request.duration"),
    "rpc.server.call.duration": Measure(RPC, 1),
    "rpc.server.duration": Measure(RPC, 1_000, "rpc.server.call.duration"),
}
"""Histograms of latencies that are requests, by name."""


def divisor_of(unit: str, measure: Measure) -> int:
    """Return how many of a metric's units make a second."""
    return _DIVISORS.get(unit, measure.divisor)


def is_error(protocol: str, attributes: Mapping[str, Any]) -> bool:
    """Tell whether the requests with these attributes failed, by the server's doing."""
    if protocol == HTTP:
        status = _first(attributes, "http.response.status_code", "http.status_code")
        code = _whole(status)
        if code is not None:
            return code >= _HTTP_ERRORS
    if protocol == RPC:
        status = _first(attributes, "rpc.response.status_code", "rpc.grpc.status_code")
        code = _whole(status)
        if code is not None:
            return code in _GRPC_ERRORS
        if isinstance(status, str):
            return status in _GRPC_NAMES
    return bool(attributes.get("error.type"))


def protocol_of(attributes: Mapping[str, Any]) -> str:
    """Return the protocol of a span at which a service takes something."""
    if "http.request.method" in attributes or "http.method" in attributes:
        return HTTP
    if "rpc.system" in attributes or "rpc.system.name" in attributes:
        return RPC
    if "messaging.system" in attributes:
        return MESSAGING
    return OTHER


def span_failed(span: Span, protocol: str) -> bool:
    """Tell whether the request that a span stands for failed."""
    return span.failed or is_error(protocol, span.attributes)


def _first(attributes: Mapping[str, Any], *names: str) -> Any:  # noqa: ANN401 - any value
    return next((attributes[name] for name in names if name in attributes), None)


def _whole(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if not isinstance(value, str) or len(value) > _MOST_DIGITS:
        return None
    return int(value) if value.isascii() and value.isdigit() else None
