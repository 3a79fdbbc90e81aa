"""What the three counters share: who reports, and what became of the items."""

from collections import Counter

from msgspec import Struct

from deploymark.ports import Place
from deploymark.telemetry.limits import AHEAD_SECONDS
from deploymark.telemetry.pending import Pending
from deploymark.telemetry.signals import Codec

NANO = 1_000_000_000


class Sender(Struct, frozen=True):
    """A resource whose items are counted.

    Attributes:
        codec: Reads its items.
        pending: Where they are counted.
        place: What they are counted for.
        identity: Who it is, also where it shares its place with others.
        is_marked: It carries a deployment id.
        request: The number of the request.
        now_s: The time of receipt.
        bucket_seconds: How long a bucket is.
    """

    codec: Codec
    pending: Pending
    place: Place
    identity: Place
    is_marked: bool
    request: int
    now_s: int
    bucket_seconds: int

    def bucket_of(self, second: int) -> int:
        """Return the beginning of the bucket that a second belongs to."""
        return second - second % self.bucket_seconds

    def second_of(self, time_ns: int, retention_seconds: int) -> int | None:
        """Return the second that something counts for, None when it is too old.

        A time that is missing or lies ahead is replaced by that of receipt.
        """
        second = time_ns // NANO
        if not second or second > self.now_s + AHEAD_SECONDS:
            return self.now_s
        return second if second >= self.now_s - retention_seconds else None


class Tally:
    """Counts what became of items.

    Attributes:
        items: Those that were taken, also where they added nothing.
        refused: Those that could not be.
        why: Says why, of the first.
        dropped: Those of the taken that a limit kept out, by reason.
    """

    def __init__(self) -> None:
        self.items = 0
        self.refused = 0
        self.why = ""
        self.dropped: Counter[str] = Counter()

    def refuse(self, why: str, items: int = 1) -> None:
        """Count items that are refused."""
        self.refused += items
        self.why = self.why or why

    def drop(self, why: str) -> None:
        """Count an item that is taken and not kept."""
        self.dropped[why] += 1

    def add(self, other: "Tally") -> None:
        """Count what another has counted."""
        self.items += other.items
        self.refused += other.refused
        self.why = self.why or other.why
        self.dropped.update(other.dropped)
