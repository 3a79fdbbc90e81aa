"""How one entry of the log is shown: the same object in listings, by index and on the stream."""

from typing import Any

from msgspec import to_builtins

from deploymark.errors import NotFoundError
from deploymark.model.entries import decode_entry
from deploymark.model.filing import MARKER_TYPES
from deploymark.model.leaf import decode_leaf
from deploymark.model.marker import decode_marker
from deploymark.model.versions import format_of_payload_type
from deploymark.ports import StoredEntry

MARKER = "marker"


def entry_view(entry: StoredEntry) -> dict[str, Any]:
    """Return what an entry says and what the server knew beside it.

    Returns:
        index, type, received_at, principal, assurance, key_id, ids, occurrence, repeat; then
        `marker` with the flat marker, or `entry` with the fields of any other entry.

    Raises:
        NotFoundError: Its body is in the archive.
        RefusedError: The stored bytes are no entry that this release can read.
    """
    if entry.leaf is None:
        raise NotFoundError(f"Entry {entry.index} is archived.", hint="Ask the archive for it.")
    leaf = decode_leaf(entry.leaf)
    payload_type, payload = leaf.dsse.payloadType, leaf.dsse.payload_bytes()
    kind = MARKER if payload_type in MARKER_TYPES else format_of_payload_type(payload_type)[0]
    said: dict[str, Any]
    if kind == MARKER:
        said = decode_marker(payload, payload_type, strict=False).fields()
    else:
        said = to_builtins(decode_entry(payload, payload_type, strict=False))
    return {
        "index": entry.index,
        "type": kind,
        "received_at": leaf.received_at,
        "principal": leaf.principal,
        "assurance": leaf.assurance,
        "key_id": leaf.key_id,
        "ids": leaf.ids,
        "occurrence": leaf.occurrence,
        "repeat": leaf.repeat,
        MARKER if kind == MARKER else "entry": said,
    }
