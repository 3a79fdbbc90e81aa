"""Finds whom to suspect, for every page that shows the worst of them: one answer for all.

In which order they stand is `suspicion`; what is said of the first is `oncall`.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from deploymark.projections.broker.marks import MarkRow
from deploymark.projections.broker.marks_query import MarkQuery
from deploymark.server.pages.asked import Asked
from deploymark.server.pages.chips import MAX_DELTAS, Bench, Rolling, mark_id
from deploymark.server.pages.shapes import Chip
from deploymark.server.pages.suspicion import (
    Grounds,
    Suspect,
    how_errors_rose,
    likeliest_first,
    suspect_of,
    worst_suspect_first,
)

SUSPECTS: Final = 4
_LOOKED_AT: Final = 64
_LOOKED_INTO: Final = 8


class Suspects(NamedTuple):
    """Who is suspected, and what was looked at for it."""

    first: list[Suspect]
    total: int
    newest: Sequence[MarkRow]
    uneasy: Sequence[MarkRow]
    known: Mapping[str, MarkRow]

    @property
    def chips(self) -> list[Chip]:
        """Those that are shown."""
        return [each.chip for each in self.first]


def suspects_of(asked: Asked, query: MarkQuery, bench: Bench, rolling: Rolling) -> Suspects:
    """Return who is suspected among what a question finds, the worst first."""
    until_ms = min(query.until_ms, asked.now_ms)
    uneasy, _ = asked.sources.marks.uneasy(query, asked.now_ms)
    newest = _newest(asked, query)
    uneasy.sort(key=lambda each: likeliest_first(each, rolling, until_ms))
    # Only what may be shown is read whole: documents are long.
    doubtful = {mark_id(mark): mark for mark in (*uneasy[:_LOOKED_INTO], *newest[:MAX_DELTAS])}
    doubted = []
    bench.read(doubtful.values())
    for mark in doubtful.values():
        chip = bench.chip(mark, deltas=True)
        suspect = suspect_of(chip, mark, bench.told(mark), until_ms)
        if suspect is not None and suspect.grounds is Grounds.HARM:
            suspect = suspect._replace(chip=replace(chip, reason=how_errors_rose(chip)))
        if suspect is not None:
            doubted.append(suspect)
    doubted.sort(key=worst_suspect_first)
    total = len(doubted) + max(0, len(uneasy) - _LOOKED_INTO)
    known = {mark_id(mark): mark for mark in doubtful.values()}
    return Suspects(doubted[:SUSPECTS], total, newest, uneasy, known)


def _newest(asked: Asked, query: MarkQuery) -> list[MarkRow]:
    """Return the newest deployment of each service and environment of the window."""
    found = asked.sources.marks.listed(replace(query, limit=_LOOKED_AT))
    newest: dict[tuple[str, str], MarkRow] = {}
    for mark in found.rows:
        if not mark.kind_key and mark.live:
            newest.setdefault((mark.service, mark.environment), mark)
    return list(newest.values())
