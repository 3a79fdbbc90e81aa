"""What a stored log answers is what the definitions say, at every size it ever had."""

import random
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from proof_places import some_of
from reference_tree import ReferenceTree, bundle_of, path_of, tile_of, tiles_of

from deploymark.errors import LogBrokenError, NotFoundError, ProofError
from deploymark.log.proof import verify_inclusion
from deploymark.log.reader import DEFAULT_CACHE_BYTES, LogView, TileTrees, full_note
from deploymark.log.tiles import ENTRIES, TileName, bundle_names, parse_tile_path, tile_names
from deploymark.log.tree import leaf_hash
from deploymark.ports import LogReader, StoredEntry
from deploymark.storage.memory import MemoryLogStore
from deploymark.storage.sqlite import SqliteLogStore
from deploymark.testing.log_store import empty_head, next_batch
from deploymark.testing.whole_log import WholeLog

SIZE = 700
ONE_TILE = 2 * 256 * 32 + 1_000


@pytest.fixture(scope="module")
def store() -> MemoryLogStore:
    store = MemoryLogStore()
    store.create(empty_head())
    store.append(next_batch(store, 300))
    store.append(next_batch(store, SIZE - 300))
    return store


@pytest.fixture(scope="module")
def tree() -> ReferenceTree:
    return ReferenceTree.numbered(SIZE)


class _Counted:
    """Counts how often hashes are read; see `ports.LogReader`."""

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self.reads = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._reader, name)

    def leaf_hashes(self, start: int, end: int) -> bytes:
        self.reads += 1
        return self._reader.leaf_hashes(start, end)

    def nodes(self, level: int, start: int, end: int) -> bytes:
        self.reads += 1
        return self._reader.nodes(level, start, end)


# Proofs -------------------------------------------------------------------------------------------


def test_the_proofs_of_every_size_are_the_defined_ones(
    store: MemoryLogStore, tree: ReferenceTree
) -> None:
    view, choose = LogView(store), random.Random("proofs")
    for size in range(1, SIZE + 1):
        for index in some_of(size, choose, 3):
            assert view.inclusion(index, size) == tree.path(index, size)
        for old in {0, size, *some_of(size, choose, 3)}:
            assert view.consistency(old, size) == tree.proof(old, size)


@pytest.mark.soak
def test_all_proofs_of_all_sizes_are_the_defined_ones(
    store: MemoryLogStore, tree: ReferenceTree
) -> None:
    view = LogView(store)
    for size in range(1, SIZE + 1):
        for other in range(size):
            assert view.inclusion(other, size) == tree.path(other, size)
            assert view.consistency(other, size) == tree.proof(other, size)


def test_proofs_made_while_the_log_grows_are_the_defined_ones(tree: ReferenceTree) -> None:
    # One view lives through all sizes, so that what it remembers of partial tiles gets old.
    store = MemoryLogStore()
    store.create(empty_head())
    view, choose = LogView(store), random.Random("growth")
    size = 0
    while size < SIZE:
        store.append(next_batch(store, min(choose.randrange(1, 40), SIZE - size)))
        size = store.head().size
        for index in some_of(size, choose, 2):
            assert view.inclusion(index, size) == tree.path(index, size)
            assert view.consistency(index, size) == tree.proof(index, size)


@pytest.mark.parametrize(("index", "size"), [(0, SIZE + 1), (SIZE, SIZE + 1), (5, 2**40)], ids=str)
def test_a_proof_in_a_tree_that_is_not_there_yet_is_not_found(
    store: MemoryLogStore, index: int, size: int
) -> None:
    view = LogView(store)
    with pytest.raises(NotFoundError, match="not yet"):
        view.inclusion(index, size)
    with pytest.raises(NotFoundError, match="not yet"):
        view.consistency(index, size)


@pytest.mark.parametrize(("index", "size"), [(5, 5), (-1, 5), (0, 0), (0, -1)])
def test_a_proof_of_what_cannot_be_is_refused(store: MemoryLogStore, index: int, size: int) -> None:
    with pytest.raises(ProofError):
        LogView(store).inclusion(index, size)


@pytest.mark.parametrize(("old", "new"), [(6, 5), (-1, 5), (0, -1)])
def test_a_log_does_not_shrink(store: MemoryLogStore, old: int, new: int) -> None:
    with pytest.raises(ProofError):
        LogView(store).consistency(old, new)


# The cache ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tiles", [0, 1, 2, 3, 100])
def test_the_cache_is_bounded_and_answers_the_same(
    store: MemoryLogStore, tree: ReferenceTree, tiles: int
) -> None:
    trees = TileTrees(store, tiles * ONE_TILE)
    choose = random.Random("cache")
    for _ in range(300):
        level = choose.randrange(10)
        index = choose.randrange(SIZE >> level)
        assert trees.subtree(level, index) == tree.mth(index << level, (index + 1) << level)
        assert len(trees._cached) <= max(1, tiles)
    held = sum(len(row) for rows in trees._cached.values() for row in rows)
    assert held <= max(1, tiles) * ONE_TILE


def test_the_tile_used_last_is_kept(store: MemoryLogStore) -> None:
    counted = _Counted(store)
    trees = TileTrees(counted, 2 * ONE_TILE)  # type: ignore[arg-type]
    for index in (0, 256, 0, 512, 0, 1):
        trees.subtree(0, index)
    assert counted.reads == 3
    trees.subtree(0, 256)
    assert counted.reads == 4


def test_a_proof_from_warm_tiles_reads_no_hashes(store: MemoryLogStore) -> None:
    counted = _Counted(store)
    view = LogView(counted, DEFAULT_CACHE_BYTES)  # type: ignore[arg-type]
    view.inclusion(0, SIZE)
    before = counted.reads
    for index in range(0, SIZE, 7):
        view.inclusion(index, SIZE)
    assert counted.reads <= before + 3


def test_many_threads_share_the_cache(store: MemoryLogStore, tree: ReferenceTree) -> None:
    view = LogView(store, ONE_TILE)
    wrong: list[int] = []

    def ask(seed: int) -> None:
        choose = random.Random(seed)
        for _ in range(150):
            index = choose.randrange(SIZE)
            if view.inclusion(index, SIZE) != tree.path(index, SIZE):
                wrong.append(index)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("lost", [0, 255, 256, SIZE - 1])
def test_a_hash_that_is_gone_breaks_the_proof_and_not_silently(lost: int) -> None:
    store = MemoryLogStore()
    store.create(empty_head())
    store.append(next_batch(store, SIZE))
    del store._entries[lost]
    with pytest.raises(LogBrokenError):
        TileTrees(store).subtree(0, SIZE - 1)


def test_a_subtree_root_that_is_gone_breaks_the_proof(store: MemoryLogStore) -> None:
    damaged = store.snapshot()
    damaged._nodes.clear()
    with pytest.raises(LogBrokenError):
        LogView(damaged).inclusion(0, SIZE)


# Tiles --------------------------------------------------------------------------------------------


def test_every_tile_of_every_size_is_the_defined_one(
    store: MemoryLogStore, tree: ReferenceTree
) -> None:
    view = LogView(store)
    for size in (*range(1, SIZE, 23), 255, 256, 257, 511, 512, 513, SIZE):
        for level, index, width in tiles_of(size):
            served = view.tile(parse_tile_path(path_of(level, index, width)))
            assert served == b"".join(tile_of(tree, level, index, width))


def test_every_bundle_of_every_size_is_the_defined_one(store: MemoryLogStore) -> None:
    view = LogView(store)
    leaves = [b"leaf %d" % index for index in range(SIZE)]
    for size in (*range(1, SIZE, 23), 256, 257, 512, SIZE):
        for name in bundle_names(size):
            start = name.index * 256
            assert view.tile(name) == bundle_of(leaves[start : start + name.width])


@pytest.mark.parametrize("width", range(1, 256, 6))
def test_any_narrower_tile_is_the_beginning_of_a_full_one(
    store: MemoryLogStore, width: int
) -> None:
    view = LogView(store)
    whole = view.tile(TileName(0, 1))
    assert view.tile(TileName(0, 1, width)) == whole[: 32 * width]


@pytest.mark.parametrize(
    "name",
    [
        TileName(0, 2),
        TileName(0, 2, 189),
        TileName(0, 3, 1),
        TileName(1, 0, 3),
        TileName(1, 0),
        TileName(2, 0, 1),
        TileName(63, 0, 1),
        TileName(ENTRIES, 2),
        TileName(ENTRIES, 3, 1),
        TileName(0, 10**12, 1),
    ],
    ids=str,
)
def test_a_tile_that_is_not_there_yet_is_not_found(store: MemoryLogStore, name: TileName) -> None:
    with pytest.raises(NotFoundError, match="does not exist yet"):
        LogView(store).tile(name)


def test_an_empty_log_has_no_tile() -> None:
    store = MemoryLogStore()
    store.create(empty_head())
    assert list(tile_names(0)) == []
    with pytest.raises(NotFoundError):
        LogView(store).tile(TileName(0, 0, 1))


def test_sqlite_answers_as_memory_does(store: MemoryLogStore, tmp_path: Path) -> None:
    with closing(SqliteLogStore(tmp_path / "log.db")) as other:
        other.create(empty_head())
        other.append(next_batch(other, SIZE))
        here, there = LogView(store), LogView(other)
        for name in (*tile_names(SIZE), *bundle_names(SIZE)):
            assert here.tile(name) == there.tile(name)
        for index in range(0, SIZE, 13):
            assert here.inclusion(index, SIZE) == there.inclusion(index, SIZE)
            assert here.consistency(index, SIZE) == there.consistency(index, SIZE)


# Receipts and what is archived --------------------------------------------------------------------


@pytest.fixture
def log() -> Iterator[WholeLog]:
    with WholeLog(MemoryLogStore()) as log:
        log.append_markers(4)
        log.publish()
        log.append_markers(3)
        log.publish()
        log.append_markers(1)
        yield log


def _archive(log: WholeLog, index: int) -> None:
    assert isinstance(log.store, MemoryLogStore)
    kept = log.store.entry(index)
    log.store._entries[index] = StoredEntry(
        index, kept.leaf_hash, kept.received_at_ms, kept.key_id, kept.dedupe, None
    )


def test_a_receipt_is_under_the_first_checkpoint_that_covers_the_entry(log: WholeLog) -> None:
    for index, size in ((0, 5), (4, 5), (5, 8), (7, 8)):
        receipt = log.view.published_receipt(index)
        published = log.store.checkpoint(size)
        assert receipt.note == full_note(published.note, published.cosignatures)
        checkpoint = log.policy.check(receipt.note).checkpoint
        assert checkpoint.size == size
        leaf = leaf_hash(receipt.extra or b"")
        verify_inclusion(index, size, leaf, receipt.proof, checkpoint.root)


def test_an_entry_that_no_published_checkpoint_covers_has_no_receipt_yet(log: WholeLog) -> None:
    with pytest.raises(NotFoundError, match="published yet"):
        log.view.published_receipt(8)


@pytest.mark.parametrize("index", [9, 10_000, -1])
def test_an_entry_that_does_not_exist_has_no_receipt(log: WholeLog, index: int) -> None:
    with pytest.raises(NotFoundError, match=f"no entry {index}"):
        log.view.published_receipt(index)


def test_an_archived_entry_is_said_to_be_in_the_archive_and_keeps_its_proof(log: WholeLog) -> None:
    proof, tile = log.view.inclusion(2, 8), log.view.tile(TileName(0, 0, 8))
    _archive(log, 2)
    for ask in (
        lambda: log.view.published_receipt(2),
        lambda: log.view.tile(TileName(ENTRIES, 0, 5)),
    ):
        with pytest.raises(NotFoundError, match="archived") as caught:
            ask()
        assert "archive" in caught.value.hint
    assert log.view.inclusion(2, 8) == proof
    assert log.view.tile(TileName(0, 0, 8)) == tile
    assert log.view.tile(TileName(ENTRIES, 0, 2))
    assert any("gone" in fault for fault in log.faults())


def test_the_lines_of_witnesses_stand_below_those_of_the_log_in_the_order_of_their_keys() -> None:
    assert full_note("note\n", {"b": "line b\n", "a": "line a\n"}) == "note\nline a\nline b\n"
