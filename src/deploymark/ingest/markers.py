"""A team's file of markers, turned into envelopes.

The file may hold one JSON object, an array of them, or one object a line. Each is a flat marker,
signed here, or a DSSE envelope that somebody signed already.
"""

import msgspec

from deploymark.crypto.dsse import sign_envelope
from deploymark.errors import EnvelopeError, KeyFileError, MarkerError
from deploymark.model.canonical import encode
from deploymark.model.envelope import Envelope, decode_envelope
from deploymark.model.marker import decode_marker
from deploymark.model.statement import statement_of
from deploymark.model.vocabulary import IN_TOTO, MARKER
from deploymark.ports import EnvelopeSigner

Line = tuple[int, Envelope]


def envelopes_of(text: str, signer: EnvelopeSigner | None) -> list[Line]:
    """Return the envelopes of a file with the line each began on, in order.

    Args:
        text: The file.
        signer: Signs flat markers; None when the file holds envelopes only.

    Raises:
        MarkerError: A line is no JSON object or no marker; the message names the line.
        EnvelopeError: A line looks like an envelope and is none.
        KeyFileError: A flat marker needs a key, and there is none.
    """
    lines: list[Line] = []
    for number, raw in _objects(text):
        try:
            lines.append((number, _envelope(raw, signer)))
        except (MarkerError, EnvelopeError) as error:
            raise type(error)(
                f"Line {number}: {error.message}", hint=error.hint, field=error.field
            ) from error
    return lines


def _objects(text: str) -> list[tuple[int, bytes]]:
    """Cut a file into JSON objects."""
    stripped = text.lstrip()
    if stripped.startswith("["):
        try:
            return [(1, bytes(item)) for item in msgspec.json.decode(text, type=list[msgspec.Raw])]
        except msgspec.DecodeError as error:
            raise MarkerError(f"The file is not a JSON array: {error}.") from error
    try:
        return [(1, bytes(msgspec.json.decode(text, type=msgspec.Raw)))]
    except msgspec.DecodeError:
        return [
            (number, line.encode("utf-8"))
            for number, line in enumerate(text.split("\n"), 1)
            if line.strip()
        ]


def _envelope(raw: bytes, signer: EnvelopeSigner | None) -> Envelope:
    try:
        content = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MarkerError(f"This is not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise MarkerError("A marker is a JSON object.")
    if "payloadType" in content:
        return decode_envelope(raw)
    fields = decode_marker(raw, MARKER).fields()
    if signer is None:
        raise KeyFileError(
            "The file holds flat markers, which need a key to sign them.",
            hint="Name one with --sign; `deploymark keys new` makes one.",
        )
    if (fields.get("artifact") or {}).get("digest") or fields.get("commit_hash"):
        return sign_envelope(IN_TOTO, statement_of(fields), [signer])
    return sign_envelope(MARKER, encode(fields), [signer])
