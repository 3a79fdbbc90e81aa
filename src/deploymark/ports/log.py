"""The log store, what guards it, and who witnesses it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Struct

SALT_BYTES = 32
"""Length of the salt of erasable content; fixed, so that salt and content have one border."""


@dataclass(frozen=True, slots=True)
class Head:
    """The one mutable fact of a log: how far it goes.

    Attributes:
        origin: The C2SP origin, immutable for the life of the log.
        size: Number of entries.
        root: RFC 6962 root of those entries, 32 bytes.
        frontier: Roots of the perfect subtrees that make up the tree, largest first,
            32 bytes each: what the writer needs to go on, and nothing more.
        note: The head signed by the log's Ed25519 key, so that a provisional receipt can be
            made from the store alone.
        published_size: Size of the newest published checkpoint, 0 before the first.
    """

    origin: str
    size: int
    root: bytes
    frontier: bytes
    note: str
    published_size: int


class StoredEntry(Struct, frozen=True, gc=False):
    """One row of the log.

    Attributes:
        index: Position in the log, from 0, without gaps.
        leaf_hash: SHA-256(0x00 ‖ leaf), 32 bytes.
        received_at_ms: When the log admitted it; repeated from inside the leaf.
        key_id: The first key that signed it, "" for unsigned; repeated from the leaf.
        dedupe: The identity under which it may stand only once; derived from the leaf.
        leaf: The bytes that are hashed, at most 65,535; None once moved to the archive.
    """

    index: int
    leaf_hash: bytes
    received_at_ms: int
    key_id: str
    dedupe: str
    leaf: bytes | None


class Node(Struct, frozen=True, gc=False):
    """The root of a completed subtree of 256**level entries, level from 1."""

    level: int
    index: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Blob:
    """Content kept by digest beside the log: erasable details, or evidence of verdicts.

    Attributes:
        digest: SHA-256(salt ‖ content), 32 bytes: what entries refer to.
        salt: `SALT_BYTES` random bytes for erasable content, so that the digest of a guessable
            text proves nothing after erasure; empty for evidence. None once erased.
        content: The bytes; None once erased.
        erased_at_ms: When it was erased, None while it stands.
    """

    digest: bytes
    salt: bytes | None
    content: bytes | None
    erased_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What one commit adds, all of it or nothing.

    Attributes:
        expected_size: Size the log must have for this batch to fit; guards against a second
            writer.
        entries: New rows, in index order from `expected_size`.
        nodes: Subtrees completed by them.
        head: The head after them.
        blobs: Content that the entries name.
        erasures: Digests whose salt and content go because an entry says so, each with the
            time at which that entry was received.
    """

    expected_size: int
    entries: Sequence[StoredEntry]
    nodes: Sequence[Node]
    head: Head
    blobs: Sequence[Blob] = ()
    erasures: Sequence[tuple[bytes, int]] = ()


@dataclass(frozen=True, slots=True)
class PublishedCheckpoint:
    """A checkpoint that left the process with the log's full signatures.

    Attributes:
        size: Tree size.
        previous_size: Size of the published checkpoint kept before it, 0 for the first: the
            chain shows a row that went missing.
        published_at_s: POSIX seconds; repeated from the log's ML-DSA-44 cosignature.
        note: Text and the log's own signature lines.
        cosignatures: Witness lines that came later, by verifier key.
    """

    size: int
    previous_size: int
    published_at_s: int
    note: str
    cosignatures: dict[str, str] = field(default_factory=dict)


class LogReader(Protocol):
    """Reads one log. Every answer is from whole commits only, on any thread.

    Every method raises `StoreUnavailableError` when the medium refuses (disk full, I/O error) and
    `LogBrokenError` when it knows itself to be damaged.
    """

    def head(self) -> Head:
        """Return the head; raise `DataDirectoryError` when there is no log."""
        ...

    def find(self, dedupes: Sequence[str]) -> dict[str, int]:
        """Return the index of every identity of `dedupes` that the log already holds."""
        ...

    def indexes(self, prefix: str) -> list[int]:
        """Return the indexes of all entries whose identity begins with `prefix`, in order."""
        ...

    def entry(self, index: int) -> StoredEntry:
        """Return one row; raise `NotFoundError` beyond the head."""
        ...

    def entries(self, start: int, end: int) -> Iterator[StoredEntry]:
        """Stream the rows of [start, end) in order, without holding them all."""
        ...

    def leaf_hashes(self, start: int, end: int) -> bytes:
        """Return the concatenated leaf hashes of [start, end)."""
        ...

    def nodes(self, level: int, start: int, end: int) -> bytes:
        """Return the concatenated hashes of the completed subtrees [start, end) of a level."""
        ...

    def blob(self, digest: bytes) -> Blob:
        """Return a blob, erased or not; raise `NotFoundError` when it never was."""
        ...

    def blobs(self) -> Iterator[Blob]:
        """Stream all blobs."""
        ...

    def checkpoint(self, size: int) -> PublishedCheckpoint:
        """Return the smallest published checkpoint of at least `size`, else `NotFoundError`."""
        ...

    def checkpoints(self) -> Iterator[PublishedCheckpoint]:
        """Stream the published checkpoints that are kept, smallest first."""
        ...

    def self_check(self) -> Iterator[str]:
        """Yield one sentence per fault that only the medium can know of.

        Damaged pages and indexes, rows that belong to nothing, tables that are not ours.
        """
        ...

    def close(self) -> None:
        """Release every handle; idempotent."""
        ...


class LogStore(LogReader, Protocol):
    """Keeps one log: a `LogReader` with one writer.

    After `append` raised, its outcome is unknown until `reopen` and `head` have been asked.
    """

    def create(self, head: Head) -> None:
        """Lay the empty log down; raise `DataDirectoryError` when one exists."""
        ...

    def append(self, batch: Batch) -> None:
        """Commit a batch durably; raise `LogBrokenError` when the size is not as expected."""
        ...

    def reopen(self) -> None:
        """Forget every handle and cached page, so that what is read next is what is on the disk.

        What a dead process or a failed commit wrote and did not sync is synced, or not read.
        """
        ...

    def publish(self, checkpoint: PublishedCheckpoint) -> None:
        """Keep a published checkpoint and move `published_size` to it, in one commit."""
        ...

    def cosign(self, size: int, vkey: str, line: str) -> None:
        """Add or replace one witness line of a published checkpoint."""
        ...

    def thin(self, sizes: Sequence[int]) -> None:
        """Drop these published checkpoints and re-link the chain; the newest always stays."""
        ...

    def snapshot(self) -> LogReader:
        """Return a reader that stays at this commit until closed, for audits and exports."""
        ...


class RollbackGuard(Protocol):
    """Remembers, in a second place, the last thing that was published."""

    def read(self) -> tuple[str, int, bytes] | None:
        """Return (origin, size, root), or None when nothing was ever published."""
        ...

    def write(self, origin: str, size: int, root: bytes) -> None:
        """Remember durably before the checkpoint leaves the process."""
        ...


class Witness(Protocol):
    """Someone else who saw the log grow and signs for it (c2sp.org/tlog-witness)."""

    @property
    def vkey(self) -> str:
        """The verifier key whose lines count."""
        ...

    def add_checkpoint(self, old_size: int, proof: Sequence[bytes], note: str) -> str:
        """Return the cosignature lines.

        Raises:
            WitnessBehindError: The witness stands at another size; ask again from there.
            WitnessUnavailableError: No answer, or not now.
            WitnessRefusedError: It says the checkpoint contradicts what it has seen.
            WitnessConfigurationError: It does not know this log or its key.
        """
        ...


@dataclass(frozen=True, slots=True)
class Witnessed:
    """The newest tree of one log that a witness has cosigned.

    Attributes:
        size: Number of entries.
        root: RFC 6962 root of those entries, 32 bytes.
    """

    size: int
    root: bytes


class WitnessState(Protocol):
    """What a witness remembers of each log: all that keeps it from cosigning a fork.

    Every method is safe on any thread, and among processes where the store is shared. It raises
    `StoreUnavailableError` when the medium refuses and `LogBrokenError` when it is damaged.
    """

    def read(self, origin: str) -> Witnessed | None:
        """Return what is remembered of a log, or None when nothing ever was."""
        ...

    def compare_and_swap(self, origin: str, expected: Witnessed | None, new: Witnessed) -> bool:
        """Remember `new` durably if `expected` is still what is remembered, in one step.

        Returns:
            Whether it was; when not, nothing changed.
        """
        ...
