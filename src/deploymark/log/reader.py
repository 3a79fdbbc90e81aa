"""Answers what anyone may ask of a log: proofs, receipts, tiles, bundles.

Inclusion and consistency proofs are made from the stored leaf hashes and subtree roots, one tile
at a time; the inner hashes of tiles never change and are cached, bounded in bytes.
"""

import threading
from collections import OrderedDict

from deploymark.crypto.note import parse_note
from deploymark.errors import LogBrokenError, NotFoundError, ProofError
from deploymark.log.checkpoint import parse_checkpoint
from deploymark.log.proof import consistency_proof, inclusion_proof, verify_inclusion
from deploymark.log.receipt import Receipt
from deploymark.log.steps import counted
from deploymark.log.tiles import ENTRIES, TileName, encode_bundle, exists_at
from deploymark.log.tree import (
    HASH_BYTES,
    TILE_HEIGHT,
    TILE_WIDTH,
    leaf_hash,
    node_hash,
    split_hashes,
)
from deploymark.ports import LogReader

# The inner hashes of a tile, one bytes object a level: half the memory of one a hash.
_TILE_TREE_BYTES = 2 * TILE_WIDTH * HASH_BYTES + 1_000
DEFAULT_CACHE_BYTES = 64 << 20


class TileTrees:
    """The inner hashes of tiles, read through a bounded cache.

    Implements `proof.HashReader`. Safe to share between threads.

    Args:
        reader: Where hashes are stored.
        cache_bytes: Upper bound of memory for tiles; the least recently used go first.
    """

    def __init__(self, reader: LogReader, cache_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self._reader = reader
        self._limit = max(1, cache_bytes // _TILE_TREE_BYTES)
        self._lock = threading.Lock()
        self._cached: OrderedDict[tuple[int, int], list[bytes]] = OrderedDict()

    def subtree(self, level: int, index: int) -> bytes:
        """Return the root of the leaves [index * 2**level, (index + 1) * 2**level)."""
        tile_level, height = divmod(level, TILE_HEIGHT)
        per_tile = TILE_WIDTH >> height
        rows = self._tile(tile_level, index // per_tile, (index % per_tile + 1) << height)
        start = index % per_tile * HASH_BYTES
        found = rows[height][start : start + HASH_BYTES]
        if len(found) != HASH_BYTES:
            raise LogBrokenError(f"The hash {level}/{index} is not stored.")
        return found

    def _tile(self, level: int, index: int, needed: int) -> list[bytes]:
        key = (level, index)
        with self._lock:
            rows = self._cached.get(key)
            # Hashes never change once stored, so a partial tile that is wide enough will do.
            if rows is not None and len(rows[0]) >= needed * HASH_BYTES:
                self._cached.move_to_end(key)
                return rows
        hashes = split_hashes(self.hashes(level, index, TILE_WIDTH))
        if len(hashes) < needed:
            raise LogBrokenError(f"Tile {level}/{index} has {len(hashes)} hashes of {needed}.")
        rows = [b"".join(hashes)]
        for _ in range(TILE_HEIGHT):
            hashes = [node_hash(a, b) for a, b in zip(hashes[::2], hashes[1::2], strict=False)]
            rows.append(b"".join(hashes))
        with self._lock:
            self._cached[key] = rows
            while len(self._cached) > self._limit:
                self._cached.popitem(last=False)
        return rows

    def hashes(self, level: int, index: int, width: int) -> bytes:
        """Return up to `width` concatenated hashes of a tile."""
        start = index * TILE_WIDTH
        if level == 0:
            return self._reader.leaf_hashes(start, start + width)
        return self._reader.nodes(level, start, start + width)


class LogView:
    """One log as its readers see it.

    Args:
        reader: The store, or a snapshot of it.
        cache_bytes: Memory for the inner hashes of tiles.
    """

    def __init__(self, reader: LogReader, cache_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self.reader = reader
        self.trees = TileTrees(reader, cache_bytes)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Return the inclusion proof of an entry in the tree of `size` entries."""
        self._check_size(size)
        return inclusion_proof(index, size, self.trees)

    def consistency(self, old: int, new: int) -> list[bytes]:
        """Return the proof that the tree of `old` entries is a prefix of that of `new`."""
        self._check_size(new)
        return consistency_proof(old, new, self.trees)

    def receipt(self, index: int, note: str, size: int) -> Receipt:
        """Return the receipt of an entry under a signed checkpoint of `size` entries.

        Raises:
            NotFoundError: The entry does not exist or its body is in the archive.
            LogBrokenError: What is stored does not lead to the checkpoint: nothing is handed out
                that a verifier would refuse.
        """
        leaf = self.reader.entry(index).leaf
        if leaf is None:
            raise NotFoundError(f"Entry {index} is archived.", hint="Ask the archive for it.")
        proof = self.inclusion(index, size)
        try:
            root = parse_checkpoint(parse_note(note).text).root
            verify_inclusion(index, size, leaf_hash(leaf), proof, root)
        except ProofError as error:
            raise LogBrokenError(
                f"The stored log does not prove entry {index} any more: {error.message}"
            ) from error
        return Receipt(index, tuple(proof), note, leaf)

    def published_receipt(self, index: int) -> Receipt:
        """Return the receipt of an entry under the first published checkpoint that covers it.

        Raises:
            NotFoundError: Nothing that covers the entry is published yet.
        """
        self.reader.entry(index)
        checkpoint = self.reader.checkpoint(index + 1)
        return self.receipt(
            index, full_note(checkpoint.note, checkpoint.cosignatures), checkpoint.size
        )

    def tile(self, name: TileName) -> bytes:
        """Return the bytes of a hash tile or entry bundle.

        Raises:
            NotFoundError: The log has not grown that far, or an entry of it is archived.
        """
        if not exists_at(name, self.reader.head().size):
            raise NotFoundError(f"{name.path} does not exist yet.")
        if name.level != ENTRIES:
            return self.trees.hashes(name.level, name.index, name.width)
        start = name.index * TILE_WIDTH
        leaves = [entry.leaf for entry in self.reader.entries(start, start + name.width)]
        present = [leaf for leaf in leaves if leaf is not None]
        if len(present) != name.width:
            raise NotFoundError(f"{name.path} is archived.", hint="Ask the archive for it.")
        return encode_bundle(present)

    def _check_size(self, size: int) -> None:
        if size > (current := self.reader.head().size):
            raise NotFoundError(
                f"The log has {counted(current, 'entry', 'entries')}, not yet {size}."
            )


def full_note(note: str, cosignatures: dict[str, str]) -> str:
    """Return a published checkpoint with its witnesses' lines below the log's own."""
    return note + "".join(line for _, line in sorted(cosignatures.items()))
