"""An entry of the log as views meet it: decoded once, however many views there are. Pure."""

from msgspec import Struct

from deploymark.errors import NotFoundError
from deploymark.model.entries import Entry, decode_entry
from deploymark.model.filing import MARKER_TYPES
from deploymark.model.leaf import Leaf, decode_leaf
from deploymark.model.marker import Marker, decode_marker
from deploymark.model.versions import format_of_payload_type
from deploymark.ports import StoredEntry


class LoggedEntry(Struct, frozen=True, gc=False):
    """One entry with everything that a view may want to know of it.

    Attributes:
        index: Its position in the log.
        received_at_ms: When the log admitted it, milliseconds since the epoch.
        type: `marker`, `verdict`, `finding`, …: what its payload is.
        leaf: What the server knew, around the envelope.
        content: The decoded payload.
    """

    index: int
    received_at_ms: int
    type: str
    leaf: Leaf
    content: Marker | Entry


def read_entry(stored: StoredEntry) -> LoggedEntry:
    """Decode a row of the log.

    Fields that a later minor version added are ignored.

    Raises:
        NotFoundError: Its body has been moved away.
        RefusedError: This release cannot read it, as `decode_leaf` and `decode_marker` say.
    """
    if stored.leaf is None:
        raise NotFoundError(f"Entry {stored.index} has no body here.")
    leaf = decode_leaf(stored.leaf)
    payload, payload_type = leaf.dsse.payload_bytes(), leaf.dsse.payloadType
    name = "marker" if payload_type in MARKER_TYPES else format_of_payload_type(payload_type)[0]
    content: Marker | Entry
    if name == "marker":
        content = decode_marker(payload, payload_type, strict=False)
    else:
        content = decode_entry(payload, payload_type, strict=False)
    return LoggedEntry(stored.index, stored.received_at_ms, name, leaf, content)
