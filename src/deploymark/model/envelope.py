"""The DSSE 1.0 envelope around every payload, as it is received and as a leaf holds it.

Envelopes are malleable (field order, either base64 alphabet, unknown fields), so a received one is
decoded and re-encoded in one spelling; its payload bytes are never changed. Signing and verifying
is `crypto`'s task. Source: github.com/secure-systems-lab/dsse, envelope.md.
"""

import base64
import binascii
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from deploymark.decoding import convert, json_decoder
from deploymark.errors import EnvelopeError, TooLargeError
from deploymark.model.inspection import Inspector
from deploymark.model.limits import ENVELOPE_BYTES, PAYLOAD_BYTES, Name, Value
from deploymark.model.reading import read_json, value_faults

_SIGNATURES = 8
_URL_SAFE = str.maketrans("-_", "+/")


class Signature(Struct, frozen=True, gc=False):
    """One signature: the id of its key ("" when unnamed) and its bytes in base64."""

    keyid: Value = ""
    sig: str = ""


class Envelope(Struct, frozen=True, gc=False):
    """A payload, its type, and who signed it.

    Attributes:
        payload: The exact signed bytes in standard base64 with padding.
        payloadType: What the payload is; part of what is signed.
        signatures: None yet on an unsigned payload that was accepted as such.
    """

    payload: str
    payloadType: Name  # noqa: N815 - DSSE spells it so, and a leaf repeats it
    signatures: Annotated[list[Signature], Meta(max_length=_SIGNATURES)]

    def payload_bytes(self) -> bytes:
        """Return the signed bytes.

        Raises:
            EnvelopeError: Not standard base64 with padding.
        """
        return _decode(self.payload, "/payload")


_INSPECTOR = Inspector(Envelope, EnvelopeError)
_decoder = json_decoder(Envelope)
_encoder = msgspec.json.Encoder()


def decode_envelope(text: bytes) -> Envelope:
    """Read a received envelope into its one spelling: standard base64, known fields only.

    DSSE allows either base64 alphabet and asks readers to ignore unknown fields.

    Args:
        text: UTF-8 JSON, at most 65,535 bytes.

    Raises:
        TooLargeError: The envelope, or the payload in it, is above its limit.
        EnvelopeError: Not a DSSE envelope, or not signed at all.
    """
    if len(text) > ENVELOPE_BYTES:
        raise TooLargeError(f"The envelope has {len(text)} bytes; the limit is {ENVELOPE_BYTES}.")
    received = _read_quickly(text) or _read_thoroughly(text)
    payload = _decode(_standard(received.payload), "/payload")
    if len(payload) > PAYLOAD_BYTES:
        raise TooLargeError(
            f"/payload has {len(payload)} bytes; the limit is {PAYLOAD_BYTES}.", field="/payload"
        )
    if not received.signatures:
        raise EnvelopeError("/signatures is empty.", field="/signatures")
    signatures = []
    for index, signature in enumerate(received.signatures):
        place = f"/signatures/{index}/sig"
        raw = _decode(_standard(signature.sig), place)
        if not raw:
            raise EnvelopeError(f"{place} is missing or empty.", field=place)
        signatures.append(Signature(signature.keyid, _encode(raw)))
    return Envelope(_encode(payload), received.payloadType, signatures)


def _read_quickly(text: bytes) -> Envelope | None:
    # What writes back to the same bytes repeats no key and carries nothing unknown.
    if not text.isascii() or b"\\u0000" in text:
        return None
    try:
        received = _decoder.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return received if _encoder.encode(received) == text else None


def _read_thoroughly(text: bytes) -> Envelope:
    value = read_json(text, EnvelopeError)
    for faults in (value_faults(value, EnvelopeError), _INSPECTOR.faults(value, strict=False)):
        for fault in faults:
            raise fault
    return convert(value, Envelope)


def _standard(text: str) -> str:
    if "-" in text or "_" in text:  # asking is much quicker than translating
        text = text.translate(_URL_SAFE)
    if len(text) % 4 == 0:
        return text
    bare = text.rstrip("=")
    return bare + "=" * (-len(bare) % 4)


def _decode(text: str, place: str) -> bytes:
    try:
        return base64.b64decode(text.encode(), validate=True)
    except (binascii.Error, ValueError):
        raise EnvelopeError(f"{place} is not base64.", field=place) from None


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
