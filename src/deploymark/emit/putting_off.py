"""Which refused markers wait, and until when, before they are sent again.

What a caller may not say today it may say once its scope is wider, so such a marker is kept. But
each later command would send it in vain: after every try it waits twice as long, up to an hour.
The times stand in the spool, beside the journals, for the next process; losing them costs a try.
They are those of one token: with another one nothing is put off yet.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Final, Protocol

from deploymark.emit.host import Host
from deploymark.emit.lines import journal_mark
from deploymark.emit.spool import Parcel

FILE: Final = "put-off.json"
FIRST_MS: Final = 60_000
LONGEST_MS: Final = 3_600_000

_LEAST_SECONDS: Final = 60.0
_KEPT_MS: Final = 7 * 24 * 3_600_000
_MOST: Final = 1_024
_VERSION: Final = 1

Key = tuple[str, int]


class Notes(Protocol):
    """Where the times are kept: the spool."""

    def read_note(self, name: str) -> bytes:
        """Return what stands under a name; empty when nothing does."""
        ...

    def write_note(self, name: str, content: bytes) -> None:
        """Put it there, whole or not at all."""
        ...


class PuttingOff:
    """The markers that one sender leaves alone for a while.

    Args:
        notes: Keep the times for other processes.
        host: Tells the time.
        token: Of the caller; only its checksum is kept.

    Attributes:
        own: The markers that were refused in this process: it has said so, others need not.
    """

    def __init__(self, notes: Notes, host: Host, token: str) -> None:
        self.own: set[Key] = set()
        self._notes = notes
        self._host = host
        self._caller = journal_mark(token)
        self._until: dict[str, tuple[int, int]] = {}  # tries, and the time of the next

    def recall(self) -> None:
        """Learn what other processes have put off since."""
        for name, found in _read(self._notes.read_note(FILE)).items():
            self._until[name] = max(found, self._until.get(name, found))

    def rests(self, key: Key) -> bool:
        """Tell whether a marker is not to be sent now."""
        found = self._until.get(self._name(key))
        # A clock that was set back must not make an hour of waiting a year.
        return found is not None and 0 < found[1] - self._host.now_ms() <= LONGEST_MS

    def due(self, parcels: Sequence[Parcel], wanted: Collection[Key]) -> list[Parcel]:
        """Return what is to be sent now.

        Args:
            parcels: In the order of delivery.
            wanted: Markers that somebody waits for; all of their deployments go with them.
        """
        if not self._until:
            return list(parcels)
        awake = {each.deployment for each in parcels if (each.epoch, each.number) in wanted}
        return [
            each
            for each in parcels
            if each.deployment in awake or not self.rests((each.epoch, each.number))
        ]

    def put_off(self, keys: Collection[Key]) -> None:
        """Leave markers alone for a while that were refused just now."""
        for key in keys:
            self.own.add(key)
            if not self.rests(key):
                tries = self._until.get(self._name(key), (0, 0))[0] + 1
                pause_ms = min(FIRST_MS << min(tries - 1, 16), LONGEST_MS)
                self._until[self._name(key)] = (tries, self._host.now_ms() + pause_ms)
        if keys:
            self._keep()

    def settle(self, keys: Iterable[Key]) -> None:
        """Forget markers that need not be sent again."""
        known = [key for key in keys if self._until.pop(self._name(key), None) is not None]
        self.own.difference_update(known)
        if known:
            self._keep()

    def seconds(self) -> float | None:
        """Return how long until something of this process may be sent again; None for never."""
        waits = [found[1] for key in self.own if (found := self._until.get(self._name(key)))]
        if not waits:
            return None
        return max(min(min(waits) - self._host.now_ms(), LONGEST_MS) / 1_000, _LEAST_SECONDS)

    def _keep(self) -> None:
        gone = self._host.now_ms() - _KEPT_MS
        newest = sorted(self._until.items(), key=lambda each: each[1][1])[-_MOST:]
        self._until = {name: found for name, found in newest if found[1] > gone}
        self.own = {key for key in self.own if self._name(key) in self._until}
        told = {"v": _VERSION, "markers": self._until}
        self._notes.write_note(FILE, json.dumps(told).encode())

    def _name(self, key: Key) -> str:
        return f"{key[0]}/{key[1]}/{self._caller}"


def _read(content: bytes) -> dict[str, tuple[int, int]]:
    """Return the times in a file; nothing of one that somebody has broken."""
    if not content:
        return {}
    try:
        value = json.loads(content)
        if value["v"] != _VERSION:
            return {}
        return {
            str(name): (int(tries), int(until)) for name, (tries, until) in value["markers"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return {}
