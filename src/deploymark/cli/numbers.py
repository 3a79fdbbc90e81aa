"""The numbers that arguments may be, each refused in one sentence that says which are meant.

Standard library only: `mark` reads its arguments with it in every deploy job.
"""

import argparse
import math
from typing import Final

from deploymark.cli.output import shortened

LONGEST_SECONDS: Final = 3_600
WHOLE: Final = 100

_MAX_NUMBER: Final = 2**53 - 1  # what JSON and the log's own formats can carry
_MAX_COUNT: Final = 1_000_000


def entry_index(text: str) -> int:
    """Read the argument that names an entry: a number from 0 that a log can reach."""
    number = decimal(text)
    if number is None:
        raise argparse.ArgumentTypeError(f"{shortened(text)!r} is no index of an entry")
    return number


def count(text: str) -> int:
    """Read how many."""
    number = decimal(text)
    if number is None or not 1 <= number <= _MAX_COUNT:
        raise argparse.ArgumentTypeError(f"{shortened(text)!r} is not a number from 1")
    return number


def seconds(text: str) -> float:
    """Read how long something may take."""
    number = _number(text)
    if not 0 <= number <= LONGEST_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{shortened(text)!r} is not a time of 0 to {LONGEST_SECONDS} seconds"
        )
    return number


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
