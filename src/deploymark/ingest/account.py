"""What is known of one epoch of one emitter: which numbers came, and how late.

Pure, and the same whatever the order in which news comes; `ledger` keeps many of these, bounds
them and writes them down (spec: identity, "Sequence accounting").
"""

from bisect import bisect_right
from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

import msgspec
from msgspec import Struct

from deploymark.decoding import json_decoder
from deploymark.errors import StateBrokenError
from deploymark.model.canonical import SAFE_INTEGER
from deploymark.model.intervals import SHOWN_GAPS, Interval, IntervalSet
from deploymark.model.limits import VALUE_BYTES

PLAUSIBLE_JUMP: Final = 10_000
"""The most numbers of one gap that count as lost; more is no loss but a number out of the blue."""

LONGEST_GRACE_MS: Final = 600_000
_MARK_MS: Final = 10_000
_MARKS: Final = LONGEST_GRACE_MS // _MARK_MS + 4
_KEPT_CHARACTERS: Final = 48


class Fate(StrEnum):
    """What became of a numbered marker that was handed in; `sampled` was left out on purpose."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REFUSED = "refused"
    SAMPLED = "sampled"


class Numbered(Struct, frozen=True):
    """The number that an emitter gave to a marker when it made it."""

    emitter: str
    epoch: str
    sequence: int

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "Numbered | None":
        """Return the number in a flat marker, also in one that was refused; None without one."""
        said = fields.get("emitter")
        if not isinstance(said, Mapping):
            return None
        emitter, epoch = _name(said.get("id") or ""), _name(said.get("epoch"))
        sequence = said.get("sequence")
        if emitter is None or not epoch:
            return None
        if type(sequence) is not int or not 0 <= sequence <= SAFE_INTEGER:
            return None
        return cls(emitter, epoch, sequence)


class Spread(Struct, frozen=True):
    """How far a measured time has ranged, in milliseconds.

    Attributes:
        min, max: The extremes.
        last: The newest.
        last_at_ms: When that was.
    """

    min: int
    max: int
    last: int
    last_at_ms: int


def widen(spread: Spread | None, value: int, at_ms: int) -> Spread:
    """Return a spread with one more value in it."""
    if spread is None:
        return Spread(value, value, value, at_ms)
    low, high = min(spread.min, value), max(spread.max, value)
    # Of two at the same time the larger is the last, so that no order makes a difference.
    at_ms, last = max((spread.last_at_ms, spread.last), (at_ms, value))
    return Spread(low, high, last, at_ms)


class Loss(Struct, frozen=True):
    """Numbers that an emitter gave and that never came.

    Attributes:
        count: How many count as lost, at most `PLAUSIBLE_JUMP` of one gap.
        gaps: The first gaps, each with its first and last number.
        implausible: How many more numbers the gaps have than count as lost.
    """

    count: int = 0
    gaps: tuple[Interval, ...] = ()
    implausible: int = 0


class Account:
    """The numbers of one epoch of one emitter, as one principal handed them in.

    Args:
        settled: Numbers below this one were accounted for earlier and are left alone.

    Attributes:
        seen: Numbers that came in any way; loss is what is not in it.
        accepted: Numbers that stand in the log.
        duplicates, refused, sampled: How often that was the answer.
        first_seen_ms, last_seen_ms: When the first and the last word came; 0 before.
        skew: The emitter's clock minus ours, as of sending and receiving; negative by the way's
            duration when the clocks agree.
        lateness: From the time that a marker claims to when it was received; negative when that
            time lay ahead.
    """

    __slots__ = (
        "_marks",
        "accepted",
        "duplicates",
        "first_seen_ms",
        "last_seen_ms",
        "lateness",
        "refused",
        "sampled",
        "seen",
        "settled",
        "skew",
    )

    def __init__(self, settled: int = 0) -> None:
        self.settled = settled
        self.seen = IntervalSet(horizon=settled)
        self.accepted = IntervalSet(horizon=settled)
        self.duplicates = self.refused = self.sampled = 0
        self.first_seen_ms = self.last_seen_ms = 0
        self.skew: Spread | None = None
        self.lateness: Spread | None = None
        # (time, number): from this time on it was known that the emitter had come to this number.
        # Both ascend.
        self._marks: list[tuple[int, int]] = []

    @property
    def received(self) -> int:
        """How many different numbers came, those settled earlier left out."""
        return len(self.seen) - self.settled

    @property
    def vouched(self) -> int:
        """How many different numbers stand in the log, those settled earlier left out."""
        return len(self.accepted) - self.settled

    def saw(self, sequence: int, how: Fate, received_at_ms: int) -> None:
        """Take note of a number and of what became of its marker."""
        self._seen_at(received_at_ms)
        self.seen.add(sequence)
        self._mark(sequence, received_at_ms)
        match how:
            case Fate.ACCEPTED:
                self.accepted.add(sequence)
            case Fate.DUPLICATE:
                self.duplicates += 1
            case Fate.REFUSED:
                self.refused += 1
            case Fate.SAMPLED:
                self.sampled += 1

    def measure_skew(self, sent_at_ms: int, received_at_ms: int) -> None:
        """Compare the emitter's clock with ours; a time that no clock shows is left out."""
        self._seen_at(received_at_ms)
        if not 0 <= sent_at_ms <= SAFE_INTEGER:  # the emitter says it, and it may say anything
            return
        self.skew = widen(self.skew, sent_at_ms - received_at_ms, received_at_ms)

    def measure_lateness(self, claimed_at_ms: int, received_at_ms: int) -> None:
        """Compare the time that a marker claims with when it came."""
        self.lateness = widen(self.lateness, received_at_ms - claimed_at_ms, received_at_ms)

    def loss(self, known_since_ms: int) -> Loss:
        """Return what is missing below the number that was known at a time in the past."""
        at = bisect_right(self._marks, (known_since_ms, SAFE_INTEGER))
        return self._loss_below(self._marks[at - 1][1]) if at else Loss()

    def final_loss(self) -> Loss:
        """Return what is missing when nothing more is waited for."""
        return self._loss_below(self.seen.highest)

    def _loss_below(self, number: int) -> Loss:
        missing, gaps = self.seen.missing_below(number, SHOWN_GAPS)
        forgotten = min(self.seen.forgotten, number, self.seen.forgotten_gaps * PLAUSIBLE_JUMP)
        count = forgotten + sum(
            min(end - start + 1, PLAUSIBLE_JUMP) for start, end in self.seen.gaps_below(number)
        )
        return Loss(count, tuple(gaps), missing - count)

    def _seen_at(self, at_ms: int) -> None:
        self.first_seen_ms = min(self.first_seen_ms or at_ms, at_ms)
        self.last_seen_ms = max(self.last_seen_ms, at_ms)

    def _mark(self, sequence: int, at_ms: int) -> None:
        """Remember since when a number is known; times are rounded up, so never too early."""
        at_ms = -(-at_ms // _MARK_MS) * _MARK_MS
        low = bisect_right(self._marks, (at_ms, SAFE_INTEGER))
        if low and self._marks[low - 1][1] >= sequence:
            return
        if low and self._marks[low - 1][0] == at_ms:
            low -= 1
        high = low
        while high < len(self._marks) and self._marks[high][1] <= sequence:
            high += 1
        self._marks[low:high] = [(at_ms, sequence)]
        del self._marks[:-_MARKS]

    def pack(self) -> bytes:
        """Return the account as bytes that `unpack` understands."""
        return _encoder.encode(
            _Packed(
                seen=_Numbers.of(self.seen),
                accepted=_Numbers.of(self.accepted),
                first_seen_ms=self.first_seen_ms,
                last_seen_ms=self.last_seen_ms,
                marks=self._marks,
                settled=self.settled,
                duplicates=self.duplicates,
                refused=self.refused,
                sampled=self.sampled,
                skew=self.skew,
                lateness=self.lateness,
            )
        )

    @classmethod
    def unpack(cls, data: bytes) -> "Account":
        """Return the account that was packed.

        Raises:
            StateBrokenError: The bytes are none.
        """
        try:
            packed = _decoder.decode(data)
            account = cls(packed.settled)
            account.seen, account.accepted = packed.seen.unpack(), packed.accepted.unpack()
        except (msgspec.MsgspecError, ValueError) as error:
            raise StateBrokenError(f"An account of the emitter ledger is damaged: {error}.") from (
                error
            )
        account.first_seen_ms, account.last_seen_ms = packed.first_seen_ms, packed.last_seen_ms
        account.duplicates, account.refused = packed.duplicates, packed.refused
        account.sampled, account.skew, account.lateness = (
            packed.sampled,
            packed.skew,
            packed.lateness,
        )
        account._marks = packed.marks
        return account


class _Numbers(Struct, frozen=True, omit_defaults=True):
    """An `IntervalSet` as it is written down."""

    intervals: list[Interval]
    horizon: int = 0
    forgotten: int = 0
    forgotten_gaps: int = 0

    @classmethod
    def of(cls, numbers: IntervalSet) -> "_Numbers":
        return cls(numbers.intervals(), numbers.horizon, numbers.forgotten, numbers.forgotten_gaps)

    def unpack(self) -> IntervalSet:
        return IntervalSet(
            self.intervals,
            horizon=self.horizon,
            forgotten=self.forgotten,
            forgotten_gaps=self.forgotten_gaps,
        )


class _Packed(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An `Account` as it is written down."""

    seen: _Numbers
    accepted: _Numbers
    first_seen_ms: int
    last_seen_ms: int
    marks: list[tuple[int, int]]
    settled: int = 0
    duplicates: int = 0
    refused: int = 0
    sampled: int = 0
    skew: Spread | None = None
    lateness: Spread | None = None


_encoder = msgspec.json.Encoder()
_decoder = json_decoder(_Packed)


def _name(value: object) -> str | None:
    """Return a name that can be kept and shown, None for none: a refused marker holds anything."""
    if not isinstance(value, str):
        return None
    try:
        data = value.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return None
    if len(data) <= VALUE_BYTES:
        return value
    return f"{value[:_KEPT_CHARACTERS]}… {sha256(data).hexdigest()[:16]}"
