"""Which of many may still win a place, asked before anything is stored. Pure but for its memory.

The store decides what stays; this keeps out what has lost already, so that a flood of traces or
log records costs no writes. What is forgotten here only lets a few more through.
"""

from collections import OrderedDict
from collections.abc import Hashable
from heapq import heappush, heapreplace
from typing import Final

CONTESTS: Final = 2_048
"""Contests that are remembered, the least recently touched are forgotten first."""

Rank = tuple[int, ...]


class Contests:
    """Many contests for few places each.

    Args:
        places: In each contest.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._ranks: OrderedDict[Hashable, list[Rank]] = OrderedDict()

    def may_win(self, contest: Hashable, rank: Rank) -> bool:
        """Tell whether something of this rank is among the highest so far."""
        ranks = self._ranks.get(contest)
        return ranks is None or len(ranks) < self._places or rank > ranks[0]

    def enter(self, contest: Hashable, rank: Rank) -> None:
        """Take note of something that may win."""
        ranks = self._ranks.setdefault(contest, [])
        self._ranks.move_to_end(contest)
        if len(ranks) < self._places:
            heappush(ranks, rank)
        else:
            heapreplace(ranks, rank)
        if len(self._ranks) > CONTESTS:
            self._ranks.popitem(last=False)
