"""Points in time as every entry writes them: RFC 3339 text, milliseconds since the epoch inside.

Standard library only. It never asks for the current time; a Clock does.
"""

import re
from datetime import UTC, datetime, timedelta

from deploymark.errors import InstantError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_SHAPE = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:\.([0-9]+))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_OURS = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
_FIRST_MS = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
_LAST_MS = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
_SHOWN = 40
_LAST_HOUR = 23
_LAST_MINUTE = 59


def parse_instant(text: str) -> int:
    """Read an RFC 3339 timestamp, to compare and to store it.

    Args:
        text: With `Z` or an offset, with any number of fraction digits.

    Returns:
        Milliseconds since 1970-01-01T00:00:00Z, which `format_instant` can write; finer fractions
        are cut off.

    Raises:
        InstantError: Not RFC 3339, no such day or hour, a leap second, or an offset that leads out
            of the years 0001 to 9999.
    """
    if _OURS.fullmatch(text):  # as `format_instant` writes it, and so nearly everyone here
        try:
            return (datetime.fromisoformat(text) - _EPOCH) // _MILLISECOND
        except ValueError:
            raise _refusal(text) from None
    found = _SHAPE.fullmatch(text)
    if found is None:
        raise _refusal(text)
    second, fraction, sign, hours, minutes = found.groups()
    try:
        local = datetime.fromisoformat(second).replace(tzinfo=UTC)
    except ValueError:
        raise _refusal(text) from None
    result = (local - _EPOCH) // _MILLISECOND
    if fraction:
        result += int(fraction[:3].ljust(3, "0"))
    if sign is None:
        return result
    if int(hours) > _LAST_HOUR or int(minutes) > _LAST_MINUTE:
        raise _refusal(text)
    offset = (int(hours) * 60 + int(minutes)) * 60_000
    result += -offset if sign == "+" else offset
    if not _FIRST_MS <= result <= _LAST_MS:
        raise _refusal(text)  # nobody could write it down again
    return result


def format_instant(ms: int) -> str:
    """Write milliseconds since the epoch as `2026-11-23T00:00:00.000Z`, always 24 characters.

    Raises:
        InstantError: Outside the years 0001 to 9999.
    """
    try:
        moment = _EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        raise InstantError(f"{ms} ms lies outside the years 0001 to 9999.") from None
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def _refusal(text: str) -> InstantError:
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return InstantError(f"{shown!r} is not a timestamp of RFC 3339.")
