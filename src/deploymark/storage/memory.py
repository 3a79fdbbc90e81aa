"""A log in memory: for tests and for thinking. Nothing survives the process."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Self

from deploymark.errors import DataDirectoryError, LogBrokenError, NotFoundError
from deploymark.ports import Batch, Blob, Head, PublishedCheckpoint, StoredEntry


class MemoryLogStore:
    """Keeps everything in lists and dicts behind one lock."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._head: Head | None = None
        self._entries: list[StoredEntry] = []
        self._by_dedupe: dict[str, int] = {}
        self._nodes: dict[tuple[int, int], bytes] = {}
        self._blobs: dict[bytes, Blob] = {}
        self._published: dict[int, PublishedCheckpoint] = {}

    def create(self, head: Head) -> None:
        """See `LogStore.create`."""
        with self._lock:
            if self._head is not None:
                raise DataDirectoryError("A log exists here already.")
            self._head = head

    def head(self) -> Head:
        """See `LogReader.head`."""
        with self._lock:
            if self._head is None:
                raise DataDirectoryError("There is no log here.", hint="Create one: log init.")
            return self._head

    def append(self, batch: Batch) -> None:
        """See `LogStore.append`."""
        with self._lock:
            head = self.head()
            if head.size != batch.expected_size:
                raise LogBrokenError(
                    f"The log has {head.size} entries where {batch.expected_size} were expected."
                )
            for entry in batch.entries:
                if entry.dedupe in self._by_dedupe:
                    raise LogBrokenError(f"{entry.dedupe} is in the log already.")
            self._entries.extend(batch.entries)
            self._by_dedupe.update((entry.dedupe, entry.index) for entry in batch.entries)
            self._nodes.update(((node.level, node.index), node.hash) for node in batch.nodes)
            for blob in batch.blobs:
                self._blobs.setdefault(blob.digest, blob)
            for digest, erased_at_ms in batch.erasures:
                if digest in self._blobs:
                    self._blobs[digest] = Blob(digest, None, None, erased_at_ms)
            self._head = replace(batch.head, published_size=head.published_size)

    def reopen(self) -> None:
        """See `LogStore.reopen`; memory has no handles."""

    def find(self, dedupes: Sequence[str]) -> dict[str, int]:
        """See `LogReader.find`."""
        with self._lock:
            return {key: self._by_dedupe[key] for key in dedupes if key in self._by_dedupe}

    def indexes(self, prefix: str) -> list[int]:
        """See `LogReader.indexes`."""
        with self._lock:
            return [e.index for e in self._entries if e.dedupe.startswith(prefix)]

    def entry(self, index: int) -> StoredEntry:
        """See `LogReader.entry`."""
        with self._lock:
            if not 0 <= index < len(self._entries):
                raise NotFoundError(f"The log has no entry {index}.")
            return self._entries[index]

    def entries(self, start: int, end: int) -> Iterator[StoredEntry]:
        """See `LogReader.entries`."""
        with self._lock:
            rows = self._entries[start:end]
        yield from rows

    def leaf_hashes(self, start: int, end: int) -> bytes:
        """See `LogReader.leaf_hashes`."""
        with self._lock:
            return b"".join(entry.leaf_hash for entry in self._entries[start:end])

    def nodes(self, level: int, start: int, end: int) -> bytes:
        """See `LogReader.nodes`."""
        with self._lock:
            keys = ((level, index) for index in range(start, end))
            return b"".join(self._nodes[key] for key in keys if key in self._nodes)

    def blob(self, digest: bytes) -> Blob:
        """See `LogReader.blob`."""
        with self._lock:
            if digest not in self._blobs:
                raise NotFoundError(f"No content with the digest sha256:{digest.hex()} is stored.")
            return self._blobs[digest]

    def blobs(self) -> Iterator[Blob]:
        """See `LogReader.blobs`."""
        with self._lock:
            rows = list(self._blobs.values())
        yield from rows

    def publish(self, checkpoint: PublishedCheckpoint) -> None:
        """See `LogStore.publish`."""
        with self._lock:
            self._published[checkpoint.size] = checkpoint
            self._head = replace(self.head(), published_size=checkpoint.size)

    def cosign(self, size: int, vkey: str, line: str) -> None:
        """See `LogStore.cosign`."""
        with self._lock:
            if size in self._published:
                kept = self._published[size]
                lines = {**kept.cosignatures, vkey: line}
                self._published[size] = replace(kept, cosignatures=lines)

    def checkpoint(self, size: int) -> PublishedCheckpoint:
        """See `LogReader.checkpoint`."""
        with self._lock:
            sizes = [kept for kept in self._published if kept >= size]
            if not sizes:
                raise NotFoundError(f"No checkpoint of size {size} or more is published yet.")
            return self._published[min(sizes)]

    def checkpoints(self) -> Iterator[PublishedCheckpoint]:
        """See `LogReader.checkpoints`."""
        with self._lock:
            rows = [self._published[size] for size in sorted(self._published)]
        yield from rows

    def thin(self, sizes: Sequence[int]) -> None:
        """See `LogStore.thin`."""
        with self._lock:
            newest = self.head().published_size
            for size in sizes:
                if size != newest:
                    self._published.pop(size, None)
            previous = 0
            for size in sorted(self._published):
                self._published[size] = replace(self._published[size], previous_size=previous)
                previous = size

    def self_check(self) -> Iterator[str]:
        """See `LogReader.self_check`; memory has no faults of its own."""
        yield from ()

    def snapshot(self) -> Self:
        """See `LogStore.snapshot`."""
        with self._lock:
            other = type(self)()
            other._head = self._head  # noqa: SLF001
            other._entries = list(self._entries)  # noqa: SLF001
            other._by_dedupe = dict(self._by_dedupe)  # noqa: SLF001
            other._nodes = dict(self._nodes)  # noqa: SLF001
            other._blobs = dict(self._blobs)  # noqa: SLF001
            other._published = dict(self._published)  # noqa: SLF001
            return other

    def close(self) -> None:
        """See `LogReader.close`; memory has no handles."""
