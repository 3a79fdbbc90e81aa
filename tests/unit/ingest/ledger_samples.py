"""A log in memory that takes numbered markers without signatures, for tests of the ledger."""

import base64
from dataclasses import replace
from hashlib import sha256
from typing import Any

from deploymark.ingest.account import Numbered
from deploymark.ingest.ledger import Ledger
from deploymark.model.canonical import encode
from deploymark.model.envelope import Envelope
from deploymark.model.instants import format_instant
from deploymark.model.leaf import Leaf, encode_leaf
from deploymark.model.vocabulary import IN_TOTO, MARKER, Assurance
from deploymark.ports import Batch, Head, StoredEntry
from deploymark.storage.memory import MemoryLogStore
from deploymark.storage.memory_ledger import MemoryLedgerStore
from deploymark.storage.sqlite.ledger import SqliteLedgerStore
from deploymark.testing.clock import START_MS
from deploymark.testing.meter import ListMeter

CI = "token:ci"
LATER_MS = START_MS + 3_600_000
"""Long after every grace is over."""


class NumberedLog(MemoryLogStore):
    """Appends what it is told; tree and signatures play no part here."""

    def __init__(self, origin: str = "log.example") -> None:
        super().__init__()
        self.create(Head(origin, 0, b"", b"", "", 0))

    def append_payload(
        self,
        payload: dict[str, Any],
        payload_type: str = MARKER,
        *,
        principal: str = "token:ci",
        received_at_ms: int = START_MS,
    ) -> None:
        """Put one entry with this payload at the end."""
        head = self.head()
        text = base64.b64encode(encode(payload)).decode("ascii")
        leaf = encode_leaf(
            Leaf(
                assurance=Assurance.ATTRIBUTED,
                dsse=Envelope(text, payload_type, []),
                ids={"entry_id": f"e-{head.size}"},
                occurrence=0,
                principal=principal,
                received_at=format_instant(received_at_ms),
            )
        )
        digest = sha256(leaf).digest()
        entry = StoredEntry(head.size, digest, received_at_ms, "", f"{head.size}", leaf)
        self.append(Batch(head.size, [entry], [], replace(head, size=head.size + 1)))

    def append_number(
        self,
        sequence: int,
        *,
        name: tuple[str, str] = ("ci-1", "e1"),
        received_at_ms: int = START_MS,
        claimed_at_ms: int | None = None,
        as_statement: bool = False,
    ) -> None:
        """Put one accepted marker at the end, of the emitter and epoch `name`."""
        emitter, epoch = name
        said: dict[str, Any] = {"emitter": {"id": emitter, "epoch": epoch, "sequence": sequence}}
        if claimed_at_ms is not None:
            said["timestamp"] = format_instant(claimed_at_ms)
        payload = {"predicate": said} if as_statement else said
        self.append_payload(
            payload,
            IN_TOTO if as_statement else MARKER,
            received_at_ms=received_at_ms,
        )


def numbered(sequence: int, emitter: str = "ci-1", epoch: str = "e1") -> Numbered:
    return Numbered(emitter, epoch, sequence)


def opened(log: NumberedLog, store: MemoryLedgerStore | SqliteLedgerStore) -> Ledger:
    return Ledger(store, log, ListMeter())
