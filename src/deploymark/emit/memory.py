"""Keeps markers in memory while the disk refuses: what a journal does, as far as memory can.

Its epoch ends with the process, so that a number is never used twice.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from deploymark.emit.journal import Record

MAX_BYTES: Final = 4_000_000


class MemoryJournal:
    """A journal without a file; see `Journal` for what the names mean.

    Args:
        epoch: Random text that nobody used before.
    """

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        self.waiting: dict[int, Record] = {}
        self.next = 0
        self.evicted = 0
        self._live = 0

    def append(self, make: Callable[[str, int], Record]) -> tuple[int, bool]:
        """Number a marker and keep it, giving up less important ones where that makes room."""
        number = self.next
        record = make(self.epoch, number)
        self.next = number + 1
        while self._live + len(record.body) > MAX_BYTES:
            victim = max(self.waiting, key=lambda each: (self.waiting[each].priority, -each))
            self.evicted += 1
            if self.waiting[victim].priority < record.priority:
                return number, False
            self._forget(victim)
        self.waiting[number] = record
        self._live += len(record.body)
        return number, True

    def body(self, number: int) -> bytes:
        """Return the bytes of a waiting marker."""
        return self.waiting[number].body

    def settle(self, outcomes: Mapping[int, str]) -> None:
        """Note that markers need not be sent again."""
        for number in outcomes:
            self._forget(number)

    def expunge(self, numbers: Sequence[int]) -> None:
        """Settle markers that must not stay anywhere."""
        for number in numbers:
            self._forget(number)

    def _forget(self, number: int) -> None:
        record = self.waiting.pop(number, None)
        if record is not None:
            self._live -= len(record.body)
