"""The emitter ledger: how many of the markers that were made have come (M3), and which have not.

What was accepted is folded from the log, each entry once. What was refused, repeated or left out
on purpose is told by whoever answered, and stands nowhere else. The rules for one epoch of one
emitter are in `account`, the bounds in `ledger_books`; here both meet the log and the store.
"""

import base64
import binascii
import threading
from typing import Any, Final

import msgspec
from msgspec import Struct, to_builtins

from deploymark.decoding import json_decoder
from deploymark.errors import InstantError, NotFoundError, UsageError
from deploymark.ingest.account import LONGEST_GRACE_MS, Account, Fate, Loss, Numbered
from deploymark.ingest.ledger_books import Books, Bounds, Name
from deploymark.model.instants import format_instant, parse_instant
from deploymark.ports import LedgerStore, LogReader, Meter, Position, StoredEntry

GRACE_MS: Final = 300_000
"""How long a missing number is waited for, once a higher one has come."""


class Missing(Struct, frozen=True):
    """An epoch of an emitter of which markers were lost."""

    principal: str
    emitter: str
    epoch: str
    last_seen_ms: int
    loss: Loss


class Rates(Struct, frozen=True):
    """How many of the markers that were made have come: M3 (F1).

    Attributes:
        received: The numerator: different numbers that came, whatever the answer was.
        emitted: The denominator: those and the ones that count as lost.
        implausible: Numbers missing in gaps too wide to be loss; not in `emitted`.
        epochs: How many epochs this rests on.
    """

    received: int
    emitted: int
    implausible: int
    epochs: int

    @property
    def share(self) -> float | None:
        """Received of emitted, from 0 to 1; None when nothing was emitted."""
        return self.received / self.emitted if self.emitted else None


class Ledger:
    """Knows which numbers of which emitter have come.

    Safe on any thread. Epochs are kept apart by principal, so that nobody can spoil, by claiming
    numbers, what is known of an emitter that somebody else speaks for.

    What a crash loses: what `saw` was told since the last `flush`. Those numbers then count as
    missing although an answer was given. It is never the other way round: nothing counts as
    received that was not, and what stands in the log is folded again from where the store stands.

    Args:
        store: Where it is kept between starts.
        log: What it counts.
        meter: Counts what it tolerates.
        bounds: How much it remembers.
        since_ms: Of markers that claim to be made since then it is measured how late they are; the
            time at which this process starts.

    Raises:
        StateBrokenError: The stored rows are damaged.
        StoreUnavailableError: The store or the log cannot be read.
    """

    def __init__(
        self,
        store: LedgerStore,
        log: LogReader,
        meter: Meter,
        bounds: Bounds | None = None,
        since_ms: int = 0,
    ) -> None:
        self._store = store
        self._log = log
        self._bounds = bounds or Bounds()
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._obsolete: dict[str, bytes | None] = {}
        position, rows = store.load()
        if position is not None and not self._is_of_this_log(position):
            # An old backup came back, or another log: what was accepted there is not there now.
            meter.count("deploymark_ledger_rebuilt_total")
            self._obsolete = dict.fromkeys(rows)
            position, rows = None, {}
        self._books = Books(self._bounds, rows)
        self._position = position or Position(log.head().origin, 0, b"")
        self._saved: Position | None = position
        self._meter = meter
        self._since_ms = since_ms

    @property
    def cursor(self) -> int:
        """How many entries of the log are folded in."""
        return self._position.size

    # Taking note -----------------------------------------------------------------------------

    def saw(
        self,
        number: Numbered,
        principal: str,
        how: Fate,
        received_at_ms: int,
        *,
        sent_at_ms: int | None = None,
    ) -> None:
        """Take note of a numbered marker that was answered.

        An accepted one is counted when it is folded from the log, and not here: only its skew is
        measured.

        Args:
            number: What the marker says, `Numbered.of` its fields.
            principal: Who handed it in, as its leaf says; "" for all who are anonymous.
            how: What became of it.
            received_at_ms: When it came.
            sent_at_ms: The emitter's own time when it sent this; None when it did not say.
        """
        with self._lock:
            account = self._books.account(principal, number)
            if how is not Fate.ACCEPTED:
                account.saw(number.sequence, how, received_at_ms)
            if sent_at_ms is not None:
                account.measure_skew(sent_at_ms, received_at_ms)

    def catch_up(self) -> int:
        """Fold what the log has and the ledger has not, and return how many entries that were.

        Raises:
            StoreUnavailableError, LogBrokenError: As the log; what was folded so far stays.
        """
        with self._flushing:
            return self._catch_up()

    def flush(self) -> None:
        """Catch up with the log and write what changed; a service calls this each second.

        Raises:
            StoreUnavailableError: The store or the log refused. Nothing is lost while this
                process lives; the next flush tries again.
        """
        with self._flushing:
            self._catch_up()
            with self._lock:
                dirty, self._books.dirty = self._books.dirty, set()
                changes = {**self._obsolete, **self._books.rows(dirty)}
                position = self._position
            if not changes and position == self._saved:
                return
            # If we stop before `save` returns, rows and position are both the old or both the
            # new ones; from either the log is folded on without counting an entry twice.
            try:
                self._store.save(changes, position)
            except BaseException:
                with self._lock:
                    self._books.dirty |= dirty
                raise
            self._saved = position
            self._obsolete = {}

    def _catch_up(self) -> int:
        start = self._position.size
        head = self._log.head()
        for entry in self._log.entries(start, head.size):
            found = _read(entry)
            with self._lock:
                if found is not None:
                    self._fold(found, entry.received_at_ms)
                self._position = Position(head.origin, entry.index + 1, entry.leaf_hash)
        return self._position.size - start

    def _fold(self, found: "_Found", received_at_ms: int) -> None:
        account = self._books.account(found.principal, found.number)
        account.saw(found.number.sequence, Fate.ACCEPTED, received_at_ms)
        if found.claimed_at_ms is not None:
            account.measure_lateness(found.claimed_at_ms, received_at_ms)
            # What is told of a time before is history that is told late, not a marker that was.
            if self._since_ms <= found.claimed_at_ms <= received_at_ms:
                late_seconds = (received_at_ms - found.claimed_at_ms) / 1_000
                self._meter.observe("deploymark_time_to_marker_seconds", late_seconds)

    def _is_of_this_log(self, position: Position) -> bool:
        if position.origin != self._log.head().origin:
            return False
        if position.size == 0:
            return True
        try:
            return self._log.entry(position.size - 1).leaf_hash == position.leaf_hash
        except NotFoundError:
            return False

    # Telling ---------------------------------------------------------------------------------

    def missing(self, now_ms: int, grace_ms: int = GRACE_MS) -> list[Missing]:
        """Return the open epochs of which numbers are lost, those heard of last first.

        A number is lost when it was never seen, and a higher one was seen at least `grace_ms`
        ago (up to ten seconds more, because times are kept coarsely). What is refused, repeated
        or sampled was seen. Nothing is known of numbers above the highest.

        Raises:
            UsageError: The grace is not between 0 and ten minutes.
        """
        known_since_ms = _known_since(now_ms, grace_ms)
        with self._lock:
            found = [
                Missing(principal, *name, account.last_seen_ms, account.loss(known_since_ms))
                for principal, name, account in self._books.accounts()
            ]
        lost = [each for each in found if each.loss.count]
        return sorted(lost, key=lambda each: each.last_seen_ms, reverse=True)

    def rates(self, now_ms: int, grace_ms: int = GRACE_MS) -> Rates:
        """Return M3 over all emitters, open and closed.

        An epoch of which nothing stands in the log does not count: nobody vouches for it.

        Raises:
            UsageError: As `missing`.
        """
        known_since_ms = _known_since(now_ms, grace_ms)
        with self._lock:
            totals = list(self._books.totals().values())
            received, missing, implausible, epochs = (
                sum(each.received for each in totals),
                sum(each.missing for each in totals),
                sum(each.implausible for each in totals),
                sum(each.vouched for each in totals),
            )
            for _, _, account in self._books.accounts():
                if account.vouched:
                    loss = account.loss(known_since_ms)
                    received += account.received
                    missing += loss.count
                    implausible += loss.implausible
                    epochs += account.settled == 0
        return Rates(received, received + missing, implausible, epochs)

    def emitters(self, now_ms: int, grace_ms: int = GRACE_MS) -> list[dict[str, Any]]:
        """Return every open epoch as JSON values for `GET /v1/emitters`, newest word first.

        Raises:
            UsageError: As `missing`.
        """
        known_since_ms = _known_since(now_ms, grace_ms)
        with self._lock:
            rows = [
                (account.last_seen_ms, _show(principal, name, account, known_since_ms))
                for principal, name, account in self._books.accounts()
            ]
        return [row for _, row in sorted(rows, key=lambda each: each[0], reverse=True)]


def _known_since(now_ms: int, grace_ms: int) -> int:
    if not 0 <= grace_ms <= LONGEST_GRACE_MS:
        raise UsageError(
            f"The grace of the emitter ledger is {grace_ms} ms; it may be 0 to "
            f"{LONGEST_GRACE_MS} ms.",
            hint="Name at most ten minutes.",
        )
    return now_ms - grace_ms


def _show(principal: str, name: Name, account: Account, known_since_ms: int) -> dict[str, Any]:
    loss = account.loss(known_since_ms)
    highest = account.seen.highest
    return {
        "id": name[0],
        "epoch": name[1],
        "principal": principal,
        "first_seen": format_instant(account.first_seen_ms),
        "last_seen": format_instant(account.last_seen_ms),
        "highest": highest if highest >= 0 else None,
        "accepted": account.vouched,
        "duplicates": account.duplicates,
        "refused": account.refused,
        "sampled": account.sampled,
        "missing": {**to_builtins(loss), "gaps": [list(gap) for gap in loss.gaps]},
        "skew_ms": account.skew and to_builtins(account.skew),
        "lateness_ms": account.lateness and to_builtins(account.lateness),
    }


# What the fold reads of a leaf -------------------------------------------------------------------


class _Found(Struct, frozen=True):
    """A numbered marker in the log."""

    number: Numbered
    principal: str
    claimed_at_ms: int | None


class _Emitter(Struct, frozen=True):
    id: str | None = None
    epoch: str | None = None
    sequence: int | None = None


class _Said(Struct, frozen=True):
    emitter: _Emitter | None = None
    timestamp: str | None = None


class _Payload(_Said, frozen=True):
    # A Statement carries the marker as its predicate, the flat form is the marker.
    predicate: _Said | None = None


class _Envelope(Struct, frozen=True):
    payload: str


class _Leaf(Struct, frozen=True):
    dsse: _Envelope
    principal: str


_leaf_decoder = json_decoder(_Leaf)
_payload_decoder = json_decoder(_Payload)


def _read(entry: StoredEntry) -> _Found | None:
    """Return what an entry says of its emitter, at a tenth of the cost of decoding all of it.

    None when it says nothing (no other entry than a marker has an emitter), when its leaf was
    moved to the archive, and when it cannot be read: to complain of that is the audit's task.
    """
    if entry.leaf is None:
        return None
    try:
        leaf = _leaf_decoder.decode(entry.leaf)
        payload = _payload_decoder.decode(base64.b64decode(leaf.dsse.payload))
    except (msgspec.MsgspecError, UnicodeDecodeError, binascii.Error):
        return None
    said = payload.predicate or payload
    if said.emitter is None:
        return None
    number = Numbered.of({"emitter": to_builtins(said.emitter)})
    if number is None:
        return None
    return _Found(number, leaf.principal, _claimed_at(said.timestamp))


def _claimed_at(text: str | None) -> int | None:
    try:
        return None if text is None else parse_instant(text)
    except InstantError:
        return None
