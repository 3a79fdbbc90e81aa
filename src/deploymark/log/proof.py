"""Inclusion and consistency proofs (RFC 6962 sections 2.1.1 and 2.1.2).

Making a proof needs only the roots of perfect subtrees (`HashReader`); verifying one needs
nothing but the proof, by the iterative algorithms of RFC 9162 sections 2.1.3.2 and 2.1.4.2.
Pure: no I/O.
"""

from collections.abc import Sequence
from typing import Protocol

from deploymark.errors import ProofError
from deploymark.log.tree import EMPTY_ROOT, HASH_BYTES, fold_frontier, node_hash

MAX_PROOF_HASHES = 63


class HashReader(Protocol):
    """Knows the roots of perfect subtrees of one log."""

    def subtree(self, level: int, index: int) -> bytes:
        """Return the root of the leaves [index * 2**level, (index + 1) * 2**level)."""
        ...


def _range_root(start: int, end: int, reader: HashReader) -> bytes:
    """Return MTH(D[start:end]) for a range that starts where RFC 6962 would split it."""
    hashes: list[bytes] = []
    while start < end:
        level = (end - start).bit_length() - 1
        hashes.append(reader.subtree(level, start >> level))
        start += 1 << level
    return fold_frontier(hashes)


def tree_root(size: int, reader: HashReader) -> bytes:
    """Return the root of the first `size` leaves, 32 bytes.

    Raises:
        ProofError: The size is negative.
    """
    if size < 0:
        raise ProofError(f"There is no tree of {size} leaves.")
    return _range_root(0, size, reader)


def inclusion_proof(index: int, size: int, reader: HashReader) -> list[bytes]:
    """Prove that the leaf at `index` is in the tree of `size` leaves.

    Returns:
        Hashes from the leaf's sibling up to the root's child; at most 63.

    Raises:
        ProofError: There is no such leaf in a tree of that size.
    """
    if not 0 <= index < size:
        raise ProofError(f"Index {index} is not in a tree of {size} leaves.")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + (1 << (end - start - 1).bit_length() - 1)
        if index < middle:
            path.append(_range_root(middle, end, reader))
            end = middle
        else:
            path.append(_range_root(start, middle, reader))
            start = middle
    path.reverse()
    return path


def consistency_proof(old: int, new: int, reader: HashReader) -> list[bytes]:
    """Prove that the tree of `old` leaves is a prefix of the tree of `new` leaves.

    Returns:
        The hashes of RFC 6962 section 2.1.2; empty when `old` is 0 or equals `new`.

    Raises:
        ProofError: `old` is larger than `new`, or negative.
    """
    if not 0 <= old <= new:
        raise ProofError(f"There is no consistency proof from size {old} to size {new}.")
    if old in (0, new):
        return []
    path: list[bytes] = []
    start, end = 0, new
    # Walk towards leaf old-1; once the old tree is exactly a subtree here, it ends the proof,
    # and is left out when it is the whole old tree, which the verifier has.
    while old != end:
        middle = start + (1 << (end - start - 1).bit_length() - 1)
        if old <= middle:
            path.append(_range_root(middle, end, reader))
            end = middle
        else:
            path.append(_range_root(start, middle, reader))
            start = middle
    if start:
        path.append(_range_root(start, end, reader))
    path.reverse()
    return path


def _check_hashes(proof: Sequence[bytes], *others: bytes) -> None:
    if len(proof) > MAX_PROOF_HASHES:
        raise ProofError(f"A proof of {len(proof)} hashes is longer than any tree is high.")
    for value in (*proof, *others):
        if len(value) != HASH_BYTES:
            raise ProofError(f"A hash of {len(value)} bytes cannot be part of a proof.")


def root_from_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes:
    """Return the root that an inclusion proof leads to (RFC 9162 section 2.1.3.2).

    Args:
        index: Position of the leaf.
        size: Size of the tree the proof was made for.
        leaf: The leaf *hash*, 32 bytes.
        proof: Sibling hashes, lowest first.

    Raises:
        ProofError: The proof has not the length that index and size demand.
    """
    if not 0 <= index < size:
        raise ProofError(f"Index {index} is not in a tree of {size} leaves.")
    _check_hashes(proof, leaf)
    position, last, root = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofError("The inclusion proof is too long.")
        if position & 1 or position == last:
            root = node_hash(sibling, root)
            while position and not position & 1:
                position >>= 1
                last >>= 1
        else:
            root = node_hash(root, sibling)
        position >>= 1
        last >>= 1
    if last:
        raise ProofError("The inclusion proof is too short.")
    return root


def verify_inclusion(
    index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> None:
    """Check an inclusion proof against a root.

    Raises:
        ProofError: The proof does not lead from this leaf hash at this index to this root.
    """
    if root_from_inclusion(index, size, leaf, proof) != root:
        raise ProofError(f"The inclusion proof of index {index} leads to another root.")


def verify_consistency(
    old_size: int, new_size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    """Check that a tree only grew (RFC 9162 section 2.1.4.2).

    Raises:
        ProofError: The proof does not connect the two roots, or is not empty where it must be.
    """
    if not 0 <= old_size <= new_size:
        raise ProofError(f"A tree cannot grow from {old_size} to {new_size} leaves.")
    _check_hashes(proof, old_root, new_root)
    if old_size in (0, new_size):
        _verify_trivial(old_size, new_size, proof, (old_root, new_root))
        return
    if not proof:
        raise ProofError("The consistency proof is empty.")
    hashes = list(proof)
    if old_size.bit_count() == 1:
        hashes.insert(0, old_root)
    if _fold_consistency(old_size, new_size, hashes) != (old_root, new_root):
        raise ProofError(
            f"The consistency proof does not connect the trees of {old_size} and {new_size}."
        )


def _fold_consistency(old_size: int, new_size: int, hashes: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the roots of the old and the new tree that a proof leads to."""
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old = new = hashes[0]
    for value in hashes[1:]:
        if last == 0:
            raise ProofError("The consistency proof is too long.")
        if position & 1 or position == last:
            old = node_hash(value, old)
            new = node_hash(value, new)
            while position and not position & 1:
                position >>= 1
                last >>= 1
        else:
            new = node_hash(new, value)
        position >>= 1
        last >>= 1
    if last:
        raise ProofError("The consistency proof is too short.")
    return old, new


def _verify_trivial(
    old_size: int, new_size: int, proof: Sequence[bytes], roots: tuple[bytes, bytes]
) -> None:
    if proof:
        raise ProofError(f"A proof from size {old_size} to {new_size} must be empty.")
    old_root, new_root = roots
    if old_size == 0 and old_root != EMPTY_ROOT:
        raise ProofError("The root of the empty tree is wrong.")
    if new_size == 0 and new_root != EMPTY_ROOT:
        raise ProofError("The root of the empty tree is wrong.")
    if old_size == new_size and old_root != new_root:
        raise ProofError(f"Two trees of {new_size} leaves have different roots.")
