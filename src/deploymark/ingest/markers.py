"""A team's file of markers, turned into envelopes.

The file may hold one JSON object, an array of them, or one object a line. Each is a flat marker,
signed here, or a DSSE envelope that somebody signed already.
"""

from collections.abc import Iterable

import msgspec

from deploymark.crypto.dsse import sign_envelope
from deploymark.decoding import decode_json
from deploymark.errors import KeyFileError, MarkerError, RefusedError
from deploymark.model.canonical import encode
from deploymark.model.envelope import Envelope, decode_envelope
from deploymark.model.marker import decode_marker, resolve_aliases
from deploymark.model.statement import payload_type_of, statement_of
from deploymark.model.vocabulary import IN_TOTO, MARKER
from deploymark.ports import EnvelopeSigner

Line = tuple[int, Envelope]


def envelopes_of(text: str, signer: EnvelopeSigner | None) -> list[Line]:
    """Return the envelopes of a file with the line each began on, in order.

    Args:
        text: The file.
        signer: Signs flat markers; None when the file holds envelopes only.

    Raises:
        RefusedError: A line is no marker or envelope, by the class of what is wrong with it; the
            message names the line.
        KeyFileError: A flat marker needs a key, and there is none.
    """
    lines: list[Line] = []
    for number, raw in _objects(text):
        try:
            lines.append((number, _envelope(raw, signer)))
        except KeyFileError:
            raise
        except RefusedError as error:
            raise type(error)(
                f"Line {number}: {error.message}", hint=error.hint, field=error.field
            ) from error
    return lines


def _objects(text: str) -> list[tuple[int, bytes]]:
    """Cut a file into JSON values, each with the line on which it begins."""
    raw = text.encode("utf-8", "surrogatepass")
    if raw.lstrip().startswith(b"["):
        try:
            items = decode_json(raw, list[msgspec.Raw])
        except msgspec.DecodeError as error:
            raise MarkerError(f"The file is not a JSON array: {error}.") from error
        return _located(raw, map(bytes, items))
    try:
        return _located(raw, [bytes(decode_json(raw, msgspec.Raw))])
    except msgspec.DecodeError:
        lines = enumerate(raw.split(b"\n"), 1)
        return [(number, line) for number, line in lines if line.strip()]


def _located(raw: bytes, items: Iterable[bytes]) -> list[tuple[int, bytes]]:
    located: list[tuple[int, bytes]] = []
    line, position = 1, 0
    for item in items:
        start = raw.index(item, position)
        line += raw.count(b"\n", position, start)
        located.append((line, item))
        line += item.count(b"\n")
        position = start + len(item)
    return located


def _envelope(raw: bytes, signer: EnvelopeSigner | None) -> Envelope:
    try:
        content = decode_json(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MarkerError(f"This is not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise MarkerError("A marker is a JSON object.")
    if "payloadType" in content:
        return decode_envelope(raw)
    decode_marker(raw, MARKER)
    if signer is None:
        raise KeyFileError(
            "The file holds flat markers, which need a key to sign them.",
            hint="Name one with --sign; `deploymark keys new` makes one.",
        )
    fields = resolve_aliases(content)  # and nothing else is changed before it is signed
    if payload_type_of(fields) == IN_TOTO:
        return sign_envelope(IN_TOTO, statement_of(fields), [signer])
    return sign_envelope(MARKER, encode(fields), [signer])
