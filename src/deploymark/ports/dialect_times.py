"""Corrections of when a record began and ended, which all dialects with a start and an end make."""

from deploymark.model.instants import format_instant
from deploymark.ports.dialect import STARTED_LABEL, Amended, Record


def corrected_times(record: Record, began_ms: int, ended_ms: int) -> list[Amended]:
    """Return the amendments that move a record in time; [] where it stands there already.

    Args:
        record: Which; of one marker or of several.
        began_ms: When it began.
        ended_ms: When it ended, which is not before.
    """
    corrections = []
    if began_ms != record.started_ms:
        corrections.append(_began(record, began_ms))
    if ended_ms != record.ended_ms:
        corrections.append(Amended(record, {"/timestamp": format_instant(ended_ms)}))
        if len(record.events) == 1 and began_ms != ended_ms:
            corrections.append(_began(record, began_ms))
    return corrections


def _began(record: Record, at_ms: int) -> Amended:
    if len(record.events) > 1:
        return Amended(record, {"/timestamp": format_instant(at_ms)}, event=0)
    return Amended(record, {f"/labels/{STARTED_LABEL}": format_instant(at_ms)})
