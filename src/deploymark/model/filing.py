"""Under which ids an entry is filed, derived from what it says and from nothing else.

Admission files an entry by this rule, and every verifier holds a log to it. Pure.
"""

from typing import Any

from msgspec import Struct

from deploymark.errors import MarkerError
from deploymark.model.entries import DetailEntry, Verdict, decode_entry
from deploymark.model.ids import entry_id, ids_of_marker
from deploymark.model.leaf import Leaf
from deploymark.model.marker import decode_marker
from deploymark.model.versions import format_of_payload_type
from deploymark.model.vocabulary import IN_TOTO, MARKER

MARKER_TYPES = frozenset({IN_TOTO, MARKER})


class Filing(Struct, frozen=True, gc=False):
    """How an entry is filed.

    Attributes:
        ids: `deployment_id` and `marker_id` of a marker, `entry_id` of any other entry, and
            `detail` when it names content that is kept by digest.
        fields: The flat marker; None for other entries.
        erases: The entry erases the content that it names.
        erasable: The content that it names may be erased one day, so it must be salted.
        size: How many bytes it says the content has; None when it does not say.
    """

    ids: dict[str, str]
    fields: dict[str, Any] | None
    erases: bool = False
    erasable: bool = True
    size: int | None = None


def file_entry(payload_type: str, payload: bytes, *, strict: bool = True) -> Filing:
    """Decode an entry and derive its ids.

    Args:
        payload_type: Of its envelope.
        payload: The signed bytes.
        strict: Refuse unknown fields, as admission does; a verifier forgives later versions.

    Raises:
        MarkerError, TooLargeError, InstantError, IdError, EnvelopeError, SchemaVersionError:
            The payload breaks its schema.
    """
    if payload_type in MARKER_TYPES or format_of_payload_type(payload_type)[0] == "marker":
        return file_marker(decode_marker(payload, payload_type, strict=strict).fields())
    entry = decode_entry(payload, payload_type, strict=strict)
    ids = {"entry_id": entry_id(payload_type, payload)}
    if isinstance(entry, DetailEntry):
        ids["detail"] = entry.digest
        return Filing(
            ids,
            None,
            erases=entry.action == "erased",
            erasable=entry.erasable is not False,
            size=entry.size,
        )
    if isinstance(entry, Verdict):
        ids["detail"] = entry.inputs_digest
    return Filing(ids, None, erasable=False)


def file_marker(fields: dict[str, Any]) -> Filing:
    """Derive the ids of a marker that was decoded already; raises IdError."""
    deployment, marker = ids_of_marker(fields)
    ids = {"deployment_id": deployment, "marker_id": marker}
    if digest := fields.get("details_digest"):
        ids["detail"] = digest
    return Filing(ids, fields)


def check_filing(leaf: Leaf) -> Filing:
    """Check that a stored leaf is filed as its payload demands.

    Raises:
        MarkerError: It is filed under other ids, or has an occurrence where there is none.
        RefusedError: The payload breaks its schema; as `file_entry`.
    """
    filing = file_entry(leaf.dsse.payloadType, leaf.dsse.payload_bytes(), strict=False)
    if leaf.ids != filing.ids:
        raise MarkerError(f"The entry is filed under {leaf.ids}, not {filing.ids}.", field="/ids")
    if (leaf.occurrence > 0) != (filing.fields is not None):
        raise MarkerError(
            f"The entry has the occurrence {leaf.occurrence}; only markers have one.",
            field="/occurrence",
        )
    return filing
