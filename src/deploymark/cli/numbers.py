"""The numbers, times and words that arguments may be.

Each is refused in one sentence that says which are meant.

Standard library only: `mark` reads its arguments with it in every deploy job.
"""

import argparse
import math
from collections.abc import Callable, Iterable
from typing import Final

from deploymark.cli.output import shortened
from deploymark.emit.host import SystemHost
from deploymark.errors import InstantError
from deploymark.model.instants import format_instant, parse_instant

LONGEST_SECONDS: Final = 3_600
WHOLE: Final = 100

_MAX_NUMBER: Final = 2**53 - 1  # what JSON and the log's own formats can carry
_MAX_COUNT: Final = 1_000_000
_UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def entry_index(text: str) -> int:
    """Read the argument that names an entry: a number from 0 that a log can reach."""
    number = decimal(text)
    if number is None:
        raise argparse.ArgumentTypeError(f"{shortened(text)!r} is no index of an entry")
    return number


def count(text: str) -> int:
    """Read how many, at least one."""
    return _count(text, 1)


def none_or_more(text: str) -> int:
    """Read how many, perhaps none."""
    return _count(text, 0)


def _count(text: str, least: int) -> int:
    number = decimal(text)
    if number is None or not least <= number <= _MAX_COUNT:
        raise argparse.ArgumentTypeError(
            f"{shortened(text)!r} is not a number from {least} to {_MAX_COUNT}"
        )
    return number


def seconds(text: str) -> float:
    """Read how long something may take."""
    number = _number(text)
    if not 0 <= number <= LONGEST_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{shortened(text)!r} is not a time of 0 to {LONGEST_SECONDS} seconds"
        )
    return number


def pause_seconds(text: str) -> float:
    """Read how long to wait between two looks: long enough for others to have the machine."""
    number = _number(text)
    if not 1 <= number <= LONGEST_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{shortened(text)!r} is not a time of 1 to {LONGEST_SECONDS} seconds"
        )
    return number


def moment(text: str) -> str:
    """Read a point in time: an instant as RFC 3339 has it, or how long ago, as `2h`.

    Returns:
        The instant.
    """
    ago = decimal(text[:-1]) if text[-1:] in _UNITS_MS else None
    try:
        at_ms = parse_instant(text) if ago is None else _ago(ago * _UNITS_MS[text[-1]])
        return format_instant(at_ms)
    except InstantError:
        raise argparse.ArgumentTypeError(
            f"{shortened(text)!r} is neither an instant, such as 2026-11-23T06:00:00Z, nor a time "
            "ago, such as 90s, 30m, 2h or 7d"
        ) from None


def instant(text: str) -> str:
    """Read a point in time as RFC 3339 has it, or nothing; return it as it was written."""
    try:
        if text:
            parse_instant(text)
    except InstantError:
        raise argparse.ArgumentTypeError(
            f"{shortened(text)!r} is no instant, such as 2026-11-23T06:00:00Z"
        ) from None
    return text


def word_of(words: Iterable[str]) -> Callable[[str], str]:
    """Return what reads one of these words, or nothing."""
    known = [str(each) for each in words]

    def read(text: str) -> str:
        if not text or text in known:
            return text
        from difflib import get_close_matches  # noqa: PLC0415 - only to refuse

        near = get_close_matches(text[:WHOLE], known, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise argparse.ArgumentTypeError(
            f"{shortened(text)!r} is none of {', '.join(known)}{meant}"
        )

    return read


def _ago(ms: int) -> int:
    return SystemHost().now_ms() - ms


def share(text: str) -> float:
    """Read a share in percent; a whole one stays a whole number."""
    number = _number(text)
    if not 0 <= number <= WHOLE:
        raise argparse.ArgumentTypeError(f"{shortened(text)!r} is not a share of 0 to {WHOLE}")
    return int(number) if number.is_integer() else number


def decimal(text: str) -> int | None:
    """Return a number written in ASCII digits, None when it is another text or too large."""
    if not text.isascii() or not text.isdigit() or len(text) > len(str(_MAX_NUMBER)):
        return None
    number = int(text)
    return number if number <= _MAX_NUMBER else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan  # which lies in no range
