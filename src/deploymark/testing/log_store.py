"""The suite that every log store must pass (ports `LogReader` and `LogStore`)."""

import threading
from collections.abc import Callable

from deploymark.errors import DataDirectoryError, LogBrokenError, NotFoundError
from deploymark.log.checkpoint import Checkpoint
from deploymark.log.tree import EMPTY_ROOT, Frontier, leaf_hash
from deploymark.ports import Batch, Blob, Head, LogStore, PublishedCheckpoint, StoredEntry

ORIGIN = "log.example/exercise"


def empty_head() -> Head:
    """Return the head of a log without entries."""
    text = Checkpoint(ORIGIN, 0, EMPTY_ROOT).text()
    return Head(ORIGIN, 0, EMPTY_ROOT, b"", f"{text}\n", 0)


def next_batch(store: LogStore, count: int, **more: object) -> Batch:
    """Return a batch of `count` new entries that fits on the head of a store."""
    head = store.head()
    frontier = Frontier.unpack(head.size, head.frontier)
    leaves = [b"leaf %d" % index for index in range(head.size, head.size + count)]
    entries = [
        StoredEntry(index, leaf_hash(leaf), 1000 + index, f"k-{index % 3}", f"m-{index}~1", leaf)
        for index, leaf in enumerate(leaves, head.size)
    ]
    nodes = frontier.extend([entry.leaf_hash for entry in entries])
    text = Checkpoint(head.origin, frontier.size, frontier.root()).text()
    moved = Head(
        head.origin,
        frontier.size,
        frontier.root(),
        frontier.pack(),
        f"{text}\n",
        head.published_size,
    )
    return Batch(head.size, entries, nodes, moved, **more)  # type: ignore[arg-type]


def exercise_log_store(make: Callable[[], LogStore]) -> None:
    """Run every check on fresh stores.

    Args:
        make: Returns a new store without a log each time; the suite creates and closes it.

    Raises:
        AssertionError: The adapter breaks the contract; the traceback names the check.
    """
    for check in (
        _exists_once,
        _appends_and_reads,
        _refuses_a_batch_that_does_not_fit,
        _keeps_completed_subtrees,
        _finds_identities,
        _keeps_and_erases_content,
        _publishes_and_cosigns,
        _thins,
        _snapshots,
        _serves_many_threads,
        _reopens,
    ):
        store = make()
        try:
            if check is not _exists_once:
                store.create(empty_head())
            check(store)
        finally:
            store.close()
            store.close()


def _refuses(error: type[Exception], call: Callable[[], object]) -> None:
    try:
        call()
    except error:
        return
    raise AssertionError(f"{error.__name__} was expected.")


def _exists_once(store: LogStore) -> None:
    _refuses(DataDirectoryError, store.head)
    store.create(empty_head())
    assert store.head() == empty_head()
    _refuses(DataDirectoryError, lambda: store.create(empty_head()))


def _appends_and_reads(store: LogStore) -> None:
    batch = next_batch(store, 300)
    store.append(batch)
    assert store.head() == batch.head
    assert list(store.entries(0, 300)) == list(batch.entries)
    assert list(store.entries(10, 13)) == list(batch.entries[10:13])
    assert list(store.entries(7, 7)) == []
    assert store.entry(299) == batch.entries[299]
    _refuses(NotFoundError, lambda: store.entry(300))
    _refuses(NotFoundError, lambda: store.entry(-1))
    assert store.leaf_hashes(5, 8) == b"".join(e.leaf_hash for e in batch.entries[5:8])
    assert list(store.self_check()) == []


def _refuses_a_batch_that_does_not_fit(store: LogStore) -> None:
    stale = next_batch(store, 2)
    store.append(next_batch(store, 1))
    _refuses(LogBrokenError, lambda: store.append(stale))
    assert store.head().size == 1
    twice = next_batch(store, 1)
    again = StoredEntry(1, b"h" * 32, 0, "", "m-0~1", b"other")
    _refuses(
        LogBrokenError,
        lambda: store.append(Batch(1, [again], twice.nodes, twice.head)),
    )
    assert store.head().size == 1
    store.append(twice)


def _keeps_completed_subtrees(store: LogStore) -> None:
    expected = []
    for count in (255, 1, 1000):
        batch = next_batch(store, count)
        store.append(batch)
        expected += [node.hash for node in batch.nodes]
    assert store.nodes(1, 0, 4) == b"".join(expected[:4])
    assert store.nodes(1, 1, 3) == b"".join(expected[1:3])
    assert store.nodes(2, 0, 1) == b""


def _finds_identities(store: LogStore) -> None:
    store.append(next_batch(store, 1500))
    wanted = [f"m-{index}~1" for index in range(0, 3000, 2)]
    assert store.find(wanted) == {f"m-{index}~1": index for index in range(0, 1500, 2)}
    assert store.find([]) == {}
    assert store.indexes("m-14") == [14, *range(140, 150), *range(1400, 1500)]
    assert store.indexes("e-") == []


def _keeps_and_erases_content(store: LogStore) -> None:
    kept, gone = Blob(b"k" * 32, b"", b"evidence"), Blob(b"g" * 32, b"salt", b"personal")
    store.append(next_batch(store, 1, blobs=[kept, gone]))
    assert store.blob(kept.digest) == kept
    assert store.blob(gone.digest) == gone
    store.append(next_batch(store, 1, erasures=[(gone.digest, 77)]))
    assert store.blob(gone.digest) == Blob(gone.digest, None, None, 77)
    assert {blob.digest for blob in store.blobs()} == {kept.digest, gone.digest}
    store.append(next_batch(store, 1, blobs=[kept]))
    _refuses(NotFoundError, lambda: store.blob(b"x" * 32))


def _publish(store: LogStore, size: int, previous: int) -> PublishedCheckpoint:
    checkpoint = PublishedCheckpoint(size, previous, 5000 + size, f"note {size}")
    store.publish(checkpoint)
    return checkpoint


def _publishes_and_cosigns(store: LogStore) -> None:
    _refuses(NotFoundError, lambda: store.checkpoint(0))
    store.append(next_batch(store, 9))
    first, second = _publish(store, 4, 0), _publish(store, 9, 4)
    assert store.head().published_size == 9
    assert store.checkpoint(1) == first
    assert store.checkpoint(5) == second
    _refuses(NotFoundError, lambda: store.checkpoint(10))
    store.cosign(9, "witness", "line one")
    store.cosign(9, "witness", "line two")
    store.cosign(9, "other", "line")
    store.cosign(5, "witness", "nobody published size 5")
    assert store.checkpoint(9).cosignatures == {"witness": "line two", "other": "line"}
    assert [checkpoint.size for checkpoint in store.checkpoints()] == [4, 9]
    store.append(next_batch(store, 1))
    assert store.head().published_size == 9
    assert list(store.self_check()) == []


def _thins(store: LogStore) -> None:
    store.append(next_batch(store, 5))
    for size in range(1, 6):
        _publish(store, size, size - 1)
        store.cosign(size, "witness", "line")
    store.thin([1, 3, 4, 5, 77])
    kept = list(store.checkpoints())
    assert [(checkpoint.size, checkpoint.previous_size) for checkpoint in kept] == [(2, 0), (5, 2)]
    assert all(checkpoint.cosignatures == {"witness": "line"} for checkpoint in kept)
    assert list(store.self_check()) == []


def _snapshots(store: LogStore) -> None:
    store.append(next_batch(store, 3))
    snapshot = store.snapshot()
    try:
        store.append(next_batch(store, 3))
        assert snapshot.head().size == 3
        assert len(list(snapshot.entries(0, 6))) == 3
        assert store.head().size == 6
    finally:
        snapshot.close()


def _serves_many_threads(store: LogStore) -> None:
    """Readers see whole commits: a head's frontier always fits the rows that are there."""
    done = threading.Event()
    faults: list[str] = []

    def read() -> None:
        while not done.is_set():
            head = store.head()
            rows = len(store.leaf_hashes(0, head.size)) // 32
            if rows != head.size:
                faults.append(f"{rows} rows under a head of {head.size}")

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(30):
            store.append(next_batch(store, 7))
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert faults == []
    assert store.head().size == 210


def _reopens(store: LogStore) -> None:
    store.append(next_batch(store, 3))
    store.reopen()
    assert store.head().size == 3
    store.append(next_batch(store, 3))
    assert store.head().size == 6
