"""Whether an amendment or a retraction may stand: what it corrects, by whom, and into what.

Asked before an entry is written, with the log as it is then. A key's scope of services cannot be
held to by a verifier that sees one entry at a time, since a correction names none: so it is held
to here, and a log is no less sound for corrections that an earlier release let in. Readers ask
`model.amending` again, and those change nothing there.
"""

from typing import Any

from deploymark.crypto.keyring import KeyRing
from deploymark.crypto.scope import marker_refusal
from deploymark.errors import KeyUntrustedError, MarkerError
from deploymark.ingest.authority import marker_fields
from deploymark.ingest.callers import Caller
from deploymark.ingest.permission import check_scope
from deploymark.model.amending import check_pointers, lay_over
from deploymark.model.entries import Amendment, Retraction, decode_entry
from deploymark.model.filing import MARKER_TYPES
from deploymark.model.leaf import Leaf, decode_leaf
from deploymark.model.vocabulary import AMENDMENT, RETRACTION
from deploymark.ports import LogReader

CORRECTIONS = frozenset({AMENDMENT, RETRACTION})
"""Types of payload that correct an earlier entry."""


def check_correction(
    reader: LogReader, ring: KeyRing, caller: Caller, leaf: Leaf, payload: bytes
) -> None:
    """Refuse a correction that would do nothing, leave no valid marker, or is not theirs to make.

    Args:
        reader: The log.
        ring: Its keys.
        caller: Who hands the correction in.
        leaf: The correction, signed by a key of the ring.
        payload: What is signed.

    Raises:
        MarkerError, TooLargeError: It corrects nothing, or into what no marker can be.
        ForbiddenError: The marker, as it was said or would be, is outside the caller's scope.
        KeyUntrustedError: It is outside the scope of the key.
    """
    said = decode_entry(payload, leaf.dsse.payloadType)
    if not isinstance(said, Amendment | Retraction):
        return
    corrected = _corrected(reader, said.index)
    changes = said.changes if isinstance(said, Amendment) else {}
    check_pointers(changes)
    if corrected.dsse.payloadType not in MARKER_TYPES:
        return
    fields = marker_fields(corrected)
    _check_scopes(ring, caller, leaf, fields)
    if changes:
        _check_scopes(ring, caller, leaf, lay_over(fields, changes))


def _corrected(reader: LogReader, index: int) -> Leaf:
    size = reader.head().size
    if index >= size:
        raise MarkerError(
            f"There is no entry {index} to correct; the log has {size}.",
            hint="`index` is that of an earlier entry, as its acknowledgement or `deploymark ls` "
            "says.",
            field="/index",
        )
    body = reader.entry(index).leaf
    if body is None:
        raise MarkerError(
            f"Entry {index} is archived: what it says cannot be looked at any more.",
            hint="Say what is right in a new entry.",
            field="/index",
        )
    leaf = decode_leaf(body)
    if leaf.dsse.payloadType in CORRECTIONS:
        raise MarkerError(
            f"Entry {index} is itself a correction; correcting it would change nothing.",
            hint="Amend the entry that it is about once more.",
            field="/index",
        )
    return leaf


def _check_scopes(ring: KeyRing, caller: Caller, leaf: Leaf, fields: dict[str, Any]) -> None:
    check_scope(caller, fields)
    signer = ring.key(leaf.key_id)
    if refusal := marker_refusal(signer.scope, fields):
        raise KeyUntrustedError(
            f"The key {signer.key_id} ({signer.name}) may not correct this marker: {refusal}."
        )
