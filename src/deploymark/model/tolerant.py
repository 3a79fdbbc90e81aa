"""Values of other systems, as tolerantly as clients write them and as exactly as markers need them.

Strings for booleans and numbers, seconds or milliseconds, dates without a T: what can be understood
is, and what cannot is None, never an error: whoever translates decides what then. Pure.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from deploymark.errors import InstantError
from deploymark.model.instants import format_instant, parse_instant

LAST_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""

_SECONDS_BELOW: Final = 100_000_000_000  # in seconds the year 5138, in milliseconds 1973
_MILLISECONDS_BELOW: Final = 100_000_000_000_000
_MICROSECONDS_BELOW: Final = 100_000_000_000_000_000
_LONGEST_DATE: Final = 64
_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,9})?")
# `2021-04-28 21:50:00 +0200`: GitLab's way; `2021-04-28T21:50:00+00:00Z`: PagerDuty's libraries'.
_SPACED = re.compile(
    r"(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:\d{2}(?:\.\d{1,12})?) ?(?:(UTC|Z|[+-]\d{2}:?\d{2})Z?)?",
    re.ASCII,
)
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_YES: Final = frozenset({"true", "yes", "on", "1"})
_NO: Final = frozenset({"false", "no", "off", "0", ""})


def text_of(value: Any) -> str | None:  # noqa: ANN401 - any JSON value
    """Return a text or number as text without what no marker holds (NUL, white space around)."""
    match value:
        case bool() | None:
            return None
        case int():
            return str(value)
        case float() if math.isfinite(value):
            return str(int(value)) if value.is_integer() else repr(value)
        case str():
            sound = value.encode("utf-8", "replace").decode()  # a lone surrogate has no UTF-8
            return sound.replace("\0", "").strip() or None
        case _:
            return None


def texts_of(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - any JSON value
    """Return a list of texts; a text alone is a list parted by commas, as Graphite has it."""
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list | tuple):
        return ()
    return tuple(text for each in value if (text := text_of(each)) is not None)


def member(value: Any, *names: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return what stands in an object under a name, and in that under the next; else None."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def commit_of(value: Any) -> str | None:  # noqa: ANN401 - any JSON value
    """Return a commit hash in lower case, also a short one."""
    text = (text_of(value) or "").lower()
    return text if _COMMIT.fullmatch(text) else None


def digest_of(value: Any) -> str | None:  # noqa: ANN401 - any JSON value
    """Return a content digest, `sha256:` and hexadecimal digits in lower case."""
    text = (text_of(value) or "").lower()
    return text if _DIGEST.fullmatch(text) else None


def bounded(text: str | None, most_bytes: int) -> str | None:
    """Return a text if it fits into so many bytes, else its beginning with an ellipsis."""
    if text is None or len(text.encode()) <= most_bytes:
        return text
    return text.encode()[: most_bytes - 3].decode("utf-8", "ignore") + "…"


def flag_of(value: Any) -> bool | None:  # noqa: ANN401 - any JSON value
    """Return a boolean, also one written as text or number."""
    if isinstance(value, bool):
        return value
    word = (text_of(value) or "").lower() if value is not None else None
    if word in _YES:
        return True
    return False if word in _NO else None


def number_of(value: Any) -> int | None:  # noqa: ANN401 - any JSON value
    """Return a whole number, also one written as text."""
    text = text_of(value)
    if text is None or _NUMBER.fullmatch(text) is None:
        return None
    return int(float(text)) if "." in text else int(text)


def milliseconds_of(value: Any) -> int | None:  # noqa: ANN401 - any JSON value
    """Return a point in time in milliseconds since the epoch.

    Args:
        value: Seconds, milliseconds, microseconds or nanoseconds by its size, as number or text; or
            a date: RFC 3339, also with a space for the T and without a zone, which then is UTC.

    Returns:
        None for what is none, for nothing, for zero, and for what lies before 1970 or after 9999.
    """
    text = text_of(value)
    if text is None:
        return None
    found = _scaled(text) if _NUMBER.fullmatch(text) else _dated(text[:_LONGEST_DATE])
    return found if found is not None and 0 < found <= LAST_MS else None


def instant_of(value: Any) -> str | None:  # noqa: ANN401 - any JSON value
    """Return a point in time as a marker writes it; None as `milliseconds_of`."""
    found = milliseconds_of(value)
    return None if found is None else format_instant(found)


def _scaled(text: str) -> int:
    number = float(text) if "." in text else int(text)
    if number < _SECONDS_BELOW:
        return round(number * 1_000)
    whole = int(number)
    if whole < _MILLISECONDS_BELOW:
        return whole
    return whole // (1_000 if whole < _MICROSECONDS_BELOW else 1_000_000)


def _dated(text: str) -> int | None:
    parts = _SPACED.fullmatch(text)
    if parts is None:
        return None
    zone = parts[3] or "Z"
    zone = "Z" if zone == "UTC" else zone
    if len(zone) == 5:  # noqa: PLR2004 - `+0200`
        zone = f"{zone[:3]}:{zone[3:]}"
    try:
        return parse_instant(f"{parts[1]}T{parts[2]}{zone}")
    except InstantError:
        return None


def date_of(milliseconds: int) -> str:
    """Return a point in time to the second, as most systems write it: `2026-11-23T00:00:00Z`."""
    return f"{datetime.fromtimestamp(milliseconds // 1_000, UTC):%Y-%m-%dT%H:%M:%S}Z"
