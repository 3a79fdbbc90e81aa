"""How one entry of the log is shown: the same object in listings, by index and on the stream."""

from typing import Any

import msgspec
from msgspec import to_builtins

from deploymark.decoding import decode_json
from deploymark.errors import NotFoundError, RefusedError
from deploymark.model.amending import lay_over
from deploymark.model.entries import decode_entry
from deploymark.model.filing import MARKER_TYPES
from deploymark.model.leaf import decode_leaf
from deploymark.model.marker import decode_marker
from deploymark.model.versions import format_of_payload_type
from deploymark.ports import StoredEntry
from deploymark.projections.broker.corrected import NONE, NOT_TAKEN_OVER, Corrections

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


def corrected_view(entry: StoredEntry, corrections: Corrections | None = NONE) -> dict[str, Any]:
    """Return `entry_view`, and what was corrected since.

    Args:
        entry: As the log has it.
        corrections: Of it; None when they are not known, because views are being built.

    Returns:
        With `retracted` (the retraction, or null) and `amendments` (null when they are not known);
        of a marker that was amended also `amended`, the flat marker with the newest values. What
        was signed stays in `marker`. An amendment that would leave no valid marker changes nothing,
        and says why in `not_taken_over`.

    Raises:
        NotFoundError, RefusedError: As `entry_view`.
    """
    view = entry_view(entry)
    view["retracted"] = None if corrections is None else corrections.retracted
    view["amendments"] = None if corrections is None else corrections.listed
    if MARKER in view and corrections is not None and corrections.amendments:
        view["amended"], refused = _amended(view[MARKER], corrections)
        view["amendments"] = [
            {**each, NOT_TAKEN_OVER: why} if (why := refused.get(each["index"])) else each
            for each in corrections.listed
        ]
    return view


def _amended(
    said: dict[str, Any], corrections: Corrections
) -> tuple[dict[str, Any], dict[int, str]]:
    """Return the newest values, and by its entry why an amendment is not taken over."""
    fields: dict[str, Any] = decode_json(msgspec.json.encode(said))  # with lists, its own
    refused: dict[int, str] = {}
    for each in corrections.amendments:
        try:
            fields = lay_over(fields, each["changes"])
        except RefusedError as error:
            refused[each["index"]] = error.message
    return fields, refused
