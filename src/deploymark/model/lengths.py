"""Lengths of time as people say them. Pure, standard library only.

Every sentence that tells how long something took, waits or is off says it this way; the web page
has a twin in web/src/time/instant.ts.
"""

from typing import Final

_SECOND_MS: Final = 1_000
_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_FEW: Final = 2
"""Below so many of a unit, the finer one is said instead: 90 s, 47 h."""


def told_length(length_ms: int) -> str:
    """Return a length of time in at most two units: `45 s`, `12 min`, `4 h 35 min`, `3 days 2 h`.

    Args:
        length_ms: Milliseconds; what is finer than the last unit is cut off, and a sign too.
    """
    seconds = abs(length_ms) // _SECOND_MS
    if seconds < _FEW * _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min"
    if seconds < _FEW * _DAY:
        return _two(seconds // _HOUR, "h", seconds % _HOUR // _MINUTE, "min")
    return _two(seconds // _DAY, "days", seconds % _DAY // _HOUR, "h")


def _two(most: int, unit: str, rest: int, finer: str) -> str:
    return f"{most} {unit} {rest} {finer}" if rest else f"{most} {unit}"
