"""A log store that fails and waits when a test tells it to."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum

from deploymark.errors import DeploymarkError, StoreUnavailableError
from deploymark.ports import (
    Batch,
    Blob,
    Head,
    LogReader,
    LogStore,
    PublishedCheckpoint,
    StoredEntry,
)

_PATIENCE_SECONDS = 30


class At(StrEnum):
    """Where a store can fail."""

    BEFORE_APPEND = "before append"
    AFTER_APPEND = "after append"
    REOPEN = "reopen"
    HEAD = "head"
    FIND = "find"
    ENTRY = "entry"
    BEFORE_PUBLISH = "before publish"
    AFTER_PUBLISH = "after publish"
    COSIGN = "cosign"


class FaultyLogStore:
    """A `LogStore` around a real one.

    Args:
        inner: The real one.

    Attributes:
        batches: What was committed in the inner store, also when that was not admitted.
    """

    def __init__(self, inner: LogStore) -> None:
        self.inner = inner
        self.batches: list[Batch] = []
        self._faults: dict[At, deque[DeploymarkError | None]] = {at: deque() for at in At}
        self._open = threading.Event()
        self._open.set()
        self._waiting = threading.Event()

    def fail(
        self, at: At, error: DeploymarkError | None = None, *, times: int = 1, skip: int = 0
    ) -> None:
        """Fail the next calls there, by default as a full disk does.

        Args:
            at: Where.
            error: What to raise.
            times: How many calls fail.
            skip: How many calls go well before that.
        """
        self._faults[at].extend([None] * skip)
        self._faults[at].extend([error or StoreUnavailableError(f"Failed {at}.")] * times)

    def heal(self) -> None:
        """Forget the failures that have not happened yet."""
        for planned in self._faults.values():
            planned.clear()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let appends wait for the end of the block."""
        self._waiting.clear()
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def wait_until_appending(self) -> None:
        """Return once an append waits in a `held` block."""
        assert self._waiting.wait(_PATIENCE_SECONDS), "nothing was appended"

    def _meet(self, at: At) -> None:
        planned = self._faults[at].popleft() if self._faults[at] else None
        if planned is not None:
            raise planned

    def append(self, batch: Batch) -> None:
        """See `LogStore.append`."""
        if not self._open.is_set():
            self._waiting.set()
            assert self._open.wait(_PATIENCE_SECONDS), "nobody let the append go on"
        self._meet(At.BEFORE_APPEND)
        self.inner.append(batch)
        self.batches.append(batch)
        self._meet(At.AFTER_APPEND)

    def reopen(self) -> None:
        """See `LogStore.reopen`."""
        self._meet(At.REOPEN)
        self.inner.reopen()

    def head(self) -> Head:
        """See `LogReader.head`."""
        self._meet(At.HEAD)
        return self.inner.head()

    def find(self, dedupes: Sequence[str]) -> dict[str, int]:
        """See `LogReader.find`."""
        self._meet(At.FIND)
        return self.inner.find(dedupes)

    def entry(self, index: int) -> StoredEntry:
        """See `LogReader.entry`."""
        self._meet(At.ENTRY)
        return self.inner.entry(index)

    def publish(self, checkpoint: PublishedCheckpoint) -> None:
        """See `LogStore.publish`."""
        self._meet(At.BEFORE_PUBLISH)
        self.inner.publish(checkpoint)
        self._meet(At.AFTER_PUBLISH)

    def cosign(self, size: int, vkey: str, line: str) -> None:
        """See `LogStore.cosign`."""
        self._meet(At.COSIGN)
        self.inner.cosign(size, vkey, line)

    # Passed on ----------------------------------------------------------------------------

    def create(self, head: Head) -> None:
        """See `LogStore.create`."""
        self.inner.create(head)

    def indexes(self, prefix: str) -> list[int]:
        """See `LogReader.indexes`."""
        return self.inner.indexes(prefix)

    def entries(self, start: int, end: int) -> Iterator[StoredEntry]:
        """See `LogReader.entries`."""
        return self.inner.entries(start, end)

    def leaf_hashes(self, start: int, end: int) -> bytes:
        """See `LogReader.leaf_hashes`."""
        return self.inner.leaf_hashes(start, end)

    def nodes(self, level: int, start: int, end: int) -> bytes:
        """See `LogReader.nodes`."""
        return self.inner.nodes(level, start, end)

    def blob(self, digest: bytes) -> Blob:
        """See `LogReader.blob`."""
        return self.inner.blob(digest)

    def blobs(self) -> Iterator[Blob]:
        """See `LogReader.blobs`."""
        return self.inner.blobs()

    def checkpoint(self, size: int) -> PublishedCheckpoint:
        """See `LogReader.checkpoint`."""
        return self.inner.checkpoint(size)

    def checkpoints(self) -> Iterator[PublishedCheckpoint]:
        """See `LogReader.checkpoints`."""
        return self.inner.checkpoints()

    def self_check(self) -> Iterator[str]:
        """See `LogReader.self_check`."""
        return self.inner.self_check()

    def thin(self, sizes: Sequence[int]) -> None:
        """See `LogStore.thin`."""
        self.inner.thin(sizes)

    def snapshot(self) -> LogReader:
        """See `LogStore.snapshot`."""
        return self.inner.snapshot()

    def close(self) -> None:
        """See `LogReader.close`."""
        self.inner.close()
