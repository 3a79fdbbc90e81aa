"""RFC 6962 hashing and the growing edge of the tree.

A tree of n leaves is a row of perfect subtrees, one for each set bit of n, largest first: its
*frontier*. The frontier is all a writer needs to append for ever, and all that has to be stored
to start again. Pure: no I/O, no clock.
"""

from collections.abc import Sequence
from hashlib import sha256

from deploymark.errors import LogBrokenError
from deploymark.ports import Node

HASH_BYTES = 32
TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT

EMPTY_ROOT = sha256(b"").digest()
"""Root of a tree without leaves (RFC 6962 section 2.1)."""


def leaf_hash(leaf: bytes) -> bytes:
    """Return SHA-256(0x00 ‖ leaf), the hash under which a leaf stands in the tree."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 ‖ left ‖ right), the hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


def fold_frontier(hashes: Sequence[bytes]) -> bytes:
    """Return the root over perfect subtrees given largest first; the empty root for none."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for subtree in reversed(hashes[:-1]):
        root = node_hash(subtree, root)
    return root


def split_hashes(packed: bytes) -> list[bytes]:
    """Cut concatenated 32-byte hashes apart."""
    if len(packed) % HASH_BYTES:
        raise LogBrokenError(f"{len(packed)} bytes of hashes is not a multiple of {HASH_BYTES}.")
    return [packed[i : i + HASH_BYTES] for i in range(0, len(packed), HASH_BYTES)]


class Frontier:
    """Grows a tree by leaf hashes, remembering only its perfect subtrees.

    Args:
        size: Number of leaves so far.
        hashes: Roots of the perfect subtrees, largest first: one per set bit of `size`.

    Raises:
        LogBrokenError: The number of hashes does not fit the size.
    """

    __slots__ = ("_hashes", "size")

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        if size < 0 or len(hashes) != size.bit_count():
            raise LogBrokenError(
                f"A frontier of {len(hashes)} hashes does not fit a tree of {size} leaves."
            )
        self.size = size
        self._hashes = list(hashes)

    @classmethod
    def unpack(cls, size: int, packed: bytes) -> "Frontier":
        """Rebuild a frontier from the bytes that `pack` made."""
        return cls(size, split_hashes(packed))

    def pack(self) -> bytes:
        """Return the subtree roots, largest first, as concatenated 32-byte hashes."""
        return b"".join(self._hashes)

    def copy(self) -> "Frontier":
        """Return an independent frontier, so that a failed commit leaves this one as it was."""
        return Frontier(self.size, self._hashes)

    def root(self) -> bytes:
        """Return the RFC 6962 root of the leaves so far, 32 bytes."""
        return fold_frontier(self._hashes)

    def extend(self, leaf_hashes: Sequence[bytes]) -> list[Node]:
        """Append leaves.

        Args:
            leaf_hashes: 32-byte leaf hashes in order.

        Returns:
            The subtrees of 256**level leaves (level >= 1) that were completed, in the order of
            their completion: exactly the hashes that tlog-tiles serves above level 0.
        """
        stack = self._hashes
        size = self.size
        completed: list[Node] = []
        for leaf in leaf_hashes:
            current = leaf
            size += 1
            # Each trailing zero bit of the new size closes one more perfect subtree.
            for height in range(1, (size & -size).bit_length()):
                current = sha256(b"\x01" + stack.pop() + current).digest()
                if height % TILE_HEIGHT == 0:
                    completed.append(Node(height // TILE_HEIGHT, (size >> height) - 1, current))
            stack.append(current)
        self.size = size
        return completed
