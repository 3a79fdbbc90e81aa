"""Lays out a table for people: columns aligned as a terminal shows them. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final
from unicodedata import combining, east_asian_width

WHOLE: Final = frozenset({"id", "key_id", "deployment", "identity"})
"""Columns that people copy from, so that they are never cut."""

TIMES: Final = frozenset({"at", "created_at", "ends_at", "opened", "received_at", "since"})
"""Columns of instants: half a time is a wrong one, so they are never cut either."""

_CUT_FIRST: Final = ("what", "where", "service", "reason", "by")
_LEAST: Final = 5  # so that `ls` fits into 80 columns
_GAP: Final = "  "


def laid_out(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int | None
) -> Iterator[str]:
    """Yield the lines of a table, titles first.

    Args:
        columns: Names, in snake_case.
        rows: Cells without control characters.
        width: Columns of the terminal; None cuts nothing.
    """
    titles = [name.upper().replace("_", " ") for name in columns]
    widths = [max(map(columns_of, column)) for column in zip(titles, *rows, strict=True)]
    if width is not None:
        for cut in (_CUT_FIRST, [name for name in columns if name not in WHOLE | TIMES]):
            _narrow(widths, [name in cut for name in columns], width)
    for row in (titles, *rows):
        cells = [_fitted(cell, size) for cell, size in zip(row, widths, strict=True)]
        yield _GAP.join(cells).rstrip()


def short_time(instant: str) -> str:
    """Return an instant as people read it: to the second, `2026-11-23 06:49:48Z`."""
    date, t, time = instant.partition("T")
    if not (t and time.endswith("Z")):
        return instant
    return f"{date} {time.removesuffix('Z').partition('.')[0]}Z"


def columns_of(text: str) -> int:
    """Return how many columns a terminal needs for a text."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if combining(character):
        return 0
    return 2 if east_asian_width(character) in {"W", "F"} else 1


def _narrow(widths: list[int], may_be_cut: Sequence[bool], width: int) -> None:
    """Take columns from the widest that may be cut, until all fit or nothing is left to take."""
    surplus = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    cuttable = [at for at, allowed in enumerate(may_be_cut) if allowed and widths[at] > _LEAST]
    while surplus > 0 and cuttable:
        widest = max(cuttable, key=widths.__getitem__)
        widths[widest] -= 1
        surplus -= 1
        if widths[widest] == _LEAST:
            cuttable.remove(widest)


def _fitted(text: str, size: int) -> str:
    needed = columns_of(text)
    if needed <= size:
        return text + " " * (size - needed)
    kept, used = "", 1  # the sign that something is missing
    for character in text:
        used += _columns(character)
        if used > size:
            break
        kept += character
    return f"{kept}…" + " " * (size - columns_of(kept) - 1)
