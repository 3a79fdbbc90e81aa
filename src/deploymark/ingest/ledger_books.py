"""The accounts of all emitters, bounded: what is open, what was closed, and the totals of that.

Not safe on several threads, and writes nothing: `ledger` locks it and keeps its rows.
"""

import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec
from msgspec import Struct

from deploymark.decoding import json_decoder
from deploymark.errors import StateBrokenError
from deploymark.ingest.account import Account, Numbered

OTHERS: Final = "(others)"
"""Under this name stand the totals of principals beyond `Bounds.principals`."""

Name = tuple[str, str]
"""Emitter and epoch."""

Row = tuple[str, ...]
"""What one row is about: ("open" or "closed", principal, emitter, epoch), ("total", principal)."""


class Bounds(Struct, frozen=True):
    """How much is remembered.

    Attributes:
        open: Epochs of one principal with an account of their own.
        all_open: The same for all principals together.
        closed: Closed epochs of one principal of which the next number is remembered.
        all_closed: The same for all principals together.
        principals: Principals whose closed epochs are totalled apart.
    """

    open: int = 1_024
    all_open: int = 16_384
    closed: int = 16_384
    all_closed: int = 65_536
    principals: int = 4_096


class Totals(Struct, omit_defaults=True):
    """The sum of closed accounts of one principal: all that is left of them.

    Attributes:
        epochs: How many there were.
        vouched: Of how many of them any number stands in the log.
        received, missing, implausible: Numbers of those.
        accepted: Numbers that stand in the log.
        duplicates, refused, sampled: Answers.
    """

    epochs: int = 0
    vouched: int = 0
    received: int = 0
    missing: int = 0
    implausible: int = 0
    accepted: int = 0
    duplicates: int = 0
    refused: int = 0
    sampled: int = 0

    def add(self, account: Account) -> None:
        """Put a closed account in; what it misses now counts for good."""
        first_time = account.settled == 0
        self.epochs += first_time
        self.accepted += account.vouched
        self.duplicates += account.duplicates
        self.refused += account.refused
        self.sampled += account.sampled
        if account.vouched:
            loss = account.final_loss()
            self.vouched += first_time
            self.received += account.received
            self.missing += loss.count
            self.implausible += loss.implausible


class Books:
    """Opens accounts, and closes the one that was idle longest when there are too many.

    Args:
        bounds: How many there may be.
        rows: What was written down, by key.

    Attributes:
        dirty: What has changed since its rows were written down.

    Raises:
        StateBrokenError: The rows are damaged.
    """

    def __init__(self, bounds: Bounds, rows: Mapping[str, bytes]) -> None:
        self._bounds = bounds
        self._open: OrderedDict[str, OrderedDict[Name, Account]] = OrderedDict()
        self._closed: dict[str, OrderedDict[Name, int]] = {}
        self._totals: dict[str, Totals] = {}
        self._open_count = self._closed_count = 0
        self.dirty: set[Row] = set()
        self._load(rows)

    def account(self, principal: str, number: Numbered) -> Account:
        """Return the account of an epoch, opened when there is none, to be written in."""
        name = (number.emitter, number.epoch)
        mine = self._open.setdefault(principal, OrderedDict())
        self._open.move_to_end(principal)
        account = mine.get(name)
        if account is None:
            account = mine[name] = Account(self._reopen(principal, name))
            self._open_count += 1
            self._make_room(principal)
        else:
            mine.move_to_end(name)
        self.dirty.add(("open", principal, *name))
        return account

    def accounts(self) -> Iterator[tuple[str, Name, Account]]:
        """Yield principal, name and account of every open epoch."""
        for principal, mine in self._open.items():
            for name, account in mine.items():
                yield principal, name, account

    def totals(self) -> Mapping[str, Totals]:
        """Return the totals of closed epochs by principal."""
        return self._totals

    def rows(self, dirty: Iterable[Row]) -> dict[str, bytes | None]:
        """Return these rows as they are to be written down; None where one is to go."""
        return {json.dumps(row): self._pack(row) for row in dirty}

    def _pack(self, row: Row) -> bytes | None:
        kind, principal, *rest = row
        if kind == "total":
            return _encoder.encode(self._totals[principal])
        name = (rest[0], rest[1])
        if kind == "closed":
            closed = self._closed.get(principal)
            settled = None if closed is None else closed.get(name)
            return None if settled is None else _encoder.encode(settled)
        mine = self._open.get(principal)
        account = None if mine is None else mine.get(name)
        return None if account is None else account.pack()

    def _make_room(self, principal: str) -> None:
        if len(self._open[principal]) > self._bounds.open:
            self._close_oldest(principal)
        elif self._open_count > self._bounds.all_open:
            # Whoever has most gives way, so that nobody can push all others out.
            self._close_oldest(max(self._open, key=lambda each: len(self._open[each])))

    def _close_oldest(self, principal: str) -> None:
        name, account = self._open[principal].popitem(last=False)
        self._open_count -= 1
        if not self._open[principal]:
            del self._open[principal]
        shared = principal not in self._totals and len(self._totals) >= self._bounds.principals
        total = OTHERS if shared else principal
        self._totals.setdefault(total, Totals()).add(account)
        closed = self._closed.setdefault(principal, OrderedDict())
        closed[name] = max(account.settled, account.seen.highest + 1)
        self._closed_count += 1
        self.dirty |= {("open", principal, *name), ("closed", principal, *name), ("total", total)}
        if len(closed) > self._bounds.closed:
            self._forget_oldest(principal)
        elif self._closed_count > self._bounds.all_closed:
            self._forget_oldest(max(self._closed, key=lambda each: len(self._closed[each])))

    def _forget_oldest(self, principal: str) -> None:
        self._drop_closed(principal, next(iter(self._closed[principal])))

    def _reopen(self, principal: str, name: Name) -> int:
        """Return the first number of an epoch that no total accounts for."""
        if name in self._closed.get(principal, {}):
            return self._drop_closed(principal, name)
        return 0

    def _drop_closed(self, principal: str, name: Name) -> int:
        settled = self._closed[principal].pop(name)
        if not self._closed[principal]:
            del self._closed[principal]
        self._closed_count -= 1
        self.dirty.add(("closed", principal, *name))
        return settled

    def _load(self, rows: Mapping[str, bytes]) -> None:
        accounts: list[tuple[int, str, Name, Account]] = []
        for key, data in rows.items():
            try:
                kind, principal, *rest = _row_decoder.decode(key)
                if kind == "total":
                    self._totals[principal] = _totals_decoder.decode(data)
                    continue
                emitter, epoch = rest
                if kind == "closed":
                    mine = self._closed.setdefault(principal, OrderedDict())
                    mine[emitter, epoch] = _number_decoder.decode(data)
                    self._closed_count += 1
                    continue
            except (msgspec.MsgspecError, ValueError) as error:
                raise StateBrokenError(f"A row of the emitter ledger is damaged: {error}.") from (
                    error
                )
            account = Account.unpack(data)
            accounts.append((account.last_seen_ms, principal, (emitter, epoch), account))
        for _, principal, name, account in sorted(accounts, key=lambda each: each[:3]):
            self._open.setdefault(principal, OrderedDict())[name] = account
            self._open.move_to_end(principal)
            self._open_count += 1


_encoder = msgspec.json.Encoder()
_row_decoder = json_decoder(tuple[str, ...])
_totals_decoder = json_decoder(Totals)
_number_decoder = json_decoder(int)
