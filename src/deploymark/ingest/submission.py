"""What a caller hands in, opened: whose words it is, and which bytes are or will be signed.

Three forms are taken. A DSSE envelope is a producer's own signed word. An in-toto Statement and a
flat marker are the word of an authenticated caller; the platform's key will sign them, naming the
caller in the leaf. Nothing is verified or decided here.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from deploymark.decoding import json_decoder
from deploymark.errors import MarkerError, RefusedError, TooLargeError
from deploymark.ingest.callers import LOCAL, Caller
from deploymark.model.canonical import encode
from deploymark.model.envelope import Envelope, decode_envelope
from deploymark.model.limits import ENVELOPE_BYTES, PAYLOAD_BYTES
from deploymark.model.marker import decode_marker
from deploymark.model.reading import read_json
from deploymark.model.statement import payload_type_of, statement_fields
from deploymark.model.vocabulary import IN_TOTO, MARKER


class Submission(Struct, frozen=True, gc=False):
    """One JSON object that a caller handed in.

    Attributes:
        body: A flat marker, an in-toto Statement or a DSSE envelope, as received.
        caller: Who handed it in.
        sent_at_ms: The caller's own time when it sent this; None when it did not say.
    """

    body: bytes | Envelope
    caller: Caller = LOCAL
    sent_at_ms: int | None = None


class Opened(Struct, frozen=True, gc=False):
    """A submission that could be read.

    Attributes:
        payload_type: Of the payload.
        payload: The bytes that a producer signed, or that the platform will sign.
        envelope: The producer's; None when the platform must sign.
        fields: Of a flat marker, into which refusals then point; None for the other forms.
    """

    payload_type: str
    payload: bytes
    envelope: Envelope | None = None
    fields: dict[str, Any] | None = None


_ABSENT = msgspec.Raw()


class _Shape(Struct, frozen=True):
    """Just enough of an object to tell which form it has."""

    payload_type: msgspec.Raw = msgspec.field(name="payloadType", default=_ABSENT)
    statement_type: msgspec.Raw = msgspec.field(name="_type", default=_ABSENT)

    @property
    def is_envelope(self) -> bool:
        """It names the type of a payload."""
        return self.payload_type is not _ABSENT

    @property
    def is_statement(self) -> bool:
        """It names the type of a Statement, and of no payload."""
        return self.statement_type is not _ABSENT and not self.is_envelope


class _EmitterShape(Struct, frozen=True):
    id: str | None = None
    epoch: str | None = None
    sequence: int | None = None


class _Numbered(Struct, frozen=True):
    """Just enough of a refused marker to count its number."""

    emitter: _EmitterShape | None = None
    service: str | None = None
    environment: str | None = None
    deployment_id: str | None = None
    timestamp: str | None = None


class _NumberedStatement(Struct, frozen=True):
    predicate: _Numbered


_encoder = msgspec.json.Encoder(order="deterministic")
_shape_decoder = json_decoder(_Shape)
_flat_decoder = json_decoder(_Numbered)
_statement_decoder = json_decoder(_NumberedStatement)


def open_submission(body: bytes | Envelope) -> Opened:
    """Read a submission as far as needed to know what it is.

    Raises:
        RefusedError: Not JSON, none of the three forms, too large; a flat marker also when it
            breaks its schema, so that the refusal points into what was sent.
    """
    if isinstance(body, Envelope):
        return Opened(body.payloadType, b"", body)
    if len(body) <= ENVELOPE_BYTES:
        shape = _shape_of(body)
        if not shape.is_envelope:
            return _unsigned(body, is_statement=shape.is_statement)
    envelope = decode_envelope(body)
    return Opened(envelope.payloadType, b"", envelope)


def _shape_of(body: bytes) -> _Shape:
    try:
        return _shape_decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        value = read_json(body)
        if not isinstance(value, dict):
            raise MarkerError(
                "A marker is a JSON object.",
                hint="Send a flat marker, an in-toto Statement or a DSSE envelope.",
            ) from None
        # msgspec is the stricter reader of the two for text that is not UTF-8 throughout.
        return _Shape(
            payload_type=msgspec.Raw(b"?") if "payloadType" in value else _ABSENT,
            statement_type=msgspec.Raw(b"?") if "_type" in value else _ABSENT,
        )


def _unsigned(body: bytes, *, is_statement: bool) -> Opened:
    if is_statement:
        return Opened(IN_TOTO, body)
    fields = decode_marker(body, MARKER).fields()
    payload_type = payload_type_of(fields)
    said = statement_fields(fields) if payload_type == IN_TOTO else fields
    payload = _canonical(said, fields)
    # What is signed repeats the digest and may be larger than what was sent; a payload beyond the
    # limit would be in the log for good, and nobody would read it.
    if len(payload) > PAYLOAD_BYTES:
        raise TooLargeError(
            f"The marker has {len(payload)} bytes in its signed form; the limit is {PAYLOAD_BYTES}."
        )
    return Opened(payload_type, payload, fields=fields)


def _canonical(said: dict[str, Any], fields: Mapping[str, Any]) -> bytes:
    """Return the canonical bytes of what is to be signed, the quick way where that is the same.

    msgspec writes strings and whole numbers as RFC 8785 does, and orders names by UTF-8, which is
    the same order for ASCII. Only the rollout of a marker can hold other numbers.
    """
    rollout = fields.get("rollout") or {}
    if not any(
        isinstance(each, float) for each in (rollout.get("weight"), *rollout.get("steps", ()))
    ):
        quick = _encoder.encode(said)
        if quick.isascii():
            return quick
    return encode(said)


def numbers_of(body: bytes | Envelope) -> Mapping[str, Any]:
    """Return what a submission says of its emitter and subject, {} when that cannot be read.

    Best effort, also of a refused one: it must count in the ledger, or it would look like a loss.
    """
    try:
        if isinstance(body, bytes) and _shape_of(body).is_envelope:
            body = decode_envelope(body)
        text = body.payload_bytes() if isinstance(body, Envelope) else body
        if _shape_decoder.decode(text).is_statement:
            numbered = _statement_decoder.decode(text).predicate
        else:
            numbered = _flat_decoder.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError, RefusedError):
        return {}
    found: dict[str, Any] = msgspec.to_builtins(numbered)
    return found
