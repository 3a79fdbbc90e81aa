"""What a log has promised to those who wrote to it, as facts that outlive its process."""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from deploymark.errors import UnavailableError
from deploymark.log.sequencer import Acknowledgement
from deploymark.model.envelope import Envelope
from deploymark.ports import LogReader, PublishedCheckpoint

Emit = Callable[[dict[str, object]], None]


class Acknowledged(NamedTuple):
    """One entry that was acknowledged.

    Attributes:
        position: Its index in the log.
        leaf_hash: What a reader found there right after the acknowledgement, hex; "" when the
            fault kept the reader from looking.
        payload: SHA-256 of the payload that was handed in, hex.
        note: The signed checkpoint that came with the acknowledgement.
    """

    position: int
    leaf_hash: str
    payload: str
    note: str


class Published(NamedTuple):
    """One checkpoint that was published.

    Attributes:
        size: How many entries it covers.
        note: The checkpoint with the log's signatures.
    """

    size: int
    note: str


class Erased(NamedTuple):
    """Content whose erasure was acknowledged.

    Attributes:
        content: The text that must not be found in any file again.
    """

    content: str


class Kept(NamedTuple):
    """Content that was acknowledged.

    Attributes:
        digest: SHA-256 of salt and content, hex.
    """

    digest: str


Promise = Acknowledged | Published | Erased | Kept
_KINDS: dict[str, type[Promise]] = {
    kind.__name__: kind for kind in (Acknowledged, Published, Erased, Kept)
}


def line_of(*promises: Promise) -> dict[str, object]:
    """Return promises as one line for the parent process."""
    return {"promises": [[type(promise).__name__, *promise] for promise in promises]}


def read_line(rows: list[list[object]]) -> list[Promise]:
    """Return the promises of one line."""
    return [_KINDS[str(kind)](*values) for kind, *values in rows]  # type: ignore[arg-type]


def acknowledged(reader: LogReader, envelope: Envelope, outcome: Acknowledgement) -> Acknowledged:
    """Return the promise that an acknowledgement makes."""
    try:
        leaf_hash = reader.leaf_hashes(outcome.index, outcome.index + 1).hex()
        if not leaf_hash:
            leaf_hash = "nothing"
    except UnavailableError:
        leaf_hash = ""
    return Acknowledged(
        outcome.index,
        leaf_hash,
        hashlib.sha256(envelope.payload_bytes()).hexdigest(),
        outcome.note,
    )


def published(checkpoint: PublishedCheckpoint) -> Published:
    """Return the promise that a publication makes."""
    return Published(checkpoint.size, checkpoint.note)
