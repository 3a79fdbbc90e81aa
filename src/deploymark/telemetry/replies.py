"""What OTLP answers, in the encoding of the request: partial success, and errors as Status.

Two tiny messages, written by hand: `partial_success {rejected = 1, error_message = 2}` inside
field 1 of each export response, and `google.rpc.Status {code = 1, message = 2}`. A whole success is
the empty message (OTLP specification, "Full Success", "Partial Success", "Failures").
"""

from typing import Final

import msgspec

from deploymark.telemetry.collector import Taken
from deploymark.telemetry.signals import Signal

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
ENCODINGS: Final = {PROTOBUF: "protobuf", JSON: "json"}

_REJECTED: Final = {
    Signal.TRACES: "rejectedSpans",
    Signal.METRICS: "rejectedDataPoints",
    Signal.LOGS: "rejectedLogRecords",
}
_CODES: Final = {400: 3, 401: 16, 403: 7, 404: 5, 408: 4, 413: 3, 415: 3, 422: 3, 429: 8, 503: 14}
_INTERNAL: Final = 13
_MESSAGE_CHARACTERS: Final = 1_000
_VARINT, _TEXT = 0, 2
_SEVEN_BITS: Final = 0x7F


def success(signal: Signal, taken: Taken, media_type: str) -> bytes:
    """Return the body of a 200."""
    why = taken.why[:_MESSAGE_CHARACTERS]
    if media_type == JSON:
        if not taken.refused:
            return b"{}"
        said = {_REJECTED[signal]: str(taken.refused), "errorMessage": why}
        return msgspec.json.encode({"partialSuccess": said})
    if not taken.refused:
        return b""
    return _field(1, _number(1, taken.refused) + _field(2, why.encode()))


def status(http_status: int, message: str, media_type: str) -> bytes:
    """Return the body of an error as `google.rpc.Status`."""
    code = _CODES.get(http_status, _INTERNAL)
    said = message[:_MESSAGE_CHARACTERS]
    if media_type == JSON:
        return msgspec.json.encode({"code": code, "message": said})
    return _number(1, code) + _field(2, said.encode())


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _field(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | _TEXT) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > _SEVEN_BITS:
        found.append(value & _SEVEN_BITS | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
