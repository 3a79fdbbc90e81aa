"""Pages by key: where a page ends is where the next one begins, however the tables change. Pure."""

import base64
import binascii
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct

from deploymark.decoding import json_decoder
from deploymark.errors import QueryError
from deploymark.model.inspection import show

MAX_LIMIT = 1_000
DEFAULT_LIMIT = 50
_DECODER = json_decoder(tuple[str, list[Any]])
_ENCODER = msgspec.json.Encoder()


def fingerprint_of(query: Struct) -> str:
    """Return what ties a cursor to its query: everything but where the page lies."""
    asked = {
        name: getattr(query, name)
        for name in query.__struct_fields__
        if name not in {"cursor", "limit"}
    }
    return blake2b(_ENCODER.encode([type(query).__name__, asked]), digest_size=6).hexdigest()


def write_cursor(query: Struct, key: Sequence[Any]) -> str:
    """Return the cursor of a page whose last row has this key."""
    return base64.urlsafe_b64encode(_ENCODER.encode((fingerprint_of(query), list(key)))).decode()


def read_cursor(query: Struct, text: str | None, length: int) -> list[Any] | None:
    """Return the key behind which a page begins, None for the first.

    Raises:
        QueryError: It is no cursor, or one of another query.
    """
    if text is None:
        return None
    try:
        raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
        fingerprint, key = _DECODER.decode(raw)
    except (UnicodeEncodeError, binascii.Error, msgspec.MsgspecError):
        raise QueryError(
            f"/cursor is {show(text)}, which is no cursor.",
            hint="Send next_cursor as it came, or leave it out to begin anew.",
            field="/cursor",
        ) from None
    if fingerprint != fingerprint_of(query) or len(key) != length:
        raise QueryError(
            "/cursor belongs to another query.",
            hint="Keep the filters while following a cursor, or leave it out.",
            field="/cursor",
        )
    return key


def check_limit(limit: int) -> None:
    """Refuse a page length that is none.

    Raises:
        QueryError: Not 1 to 1,000.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise QueryError(f"/limit is {limit}; it may be 1 to {MAX_LIMIT}.", field="/limit")
