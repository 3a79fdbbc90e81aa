"""Every way to spoil a proof, and what no proof can show: all of it must be refused.

Where only a size is wrong and the roots stay, a proof may still hold (a size is no secret of the
path), so there we must accept exactly what RFC 9162 sections 2.1.3.2 and 2.1.4.2 accept.
"""

import random
from collections.abc import Iterator, Sequence
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proof_places import some_of
from reference_tree import (
    ReferenceTree,
    extends,
    extends_rfc9162,
    includes_rfc9162,
    node_hash,
)

from deploymark.errors import ProofError
from deploymark.log.proof import verify_consistency, verify_inclusion

STRANGER = sha256(b"no hash of any tree").digest()
TREE = ReferenceTree.numbered(600)


def accepts_inclusion(
    index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> bool:
    """Whether our verifier accepts; anything but acceptance or `ProofError` fails the test."""
    try:
        verify_inclusion(index, size, leaf, proof, root)
    except ProofError:
        return False
    return True


def accepts_consistency(
    old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> bool:
    """Whether our verifier accepts; anything but acceptance or `ProofError` fails the test."""
    try:
        verify_consistency(old, new, proof, old_root, new_root)
    except ProofError:
        return False
    return True


def spoiled(proof: list[bytes], choose: random.Random) -> Iterator[tuple[str, list[bytes]]]:
    """Every way to change the list of hashes, each with its name."""
    for at, value in enumerate(proof):
        bit = choose.randrange(256)
        flipped = (
            value[: bit // 8] + bytes([value[bit // 8] ^ 1 << bit % 8]) + value[bit // 8 + 1 :]
        )
        rest = proof[at + 1 :]
        yield f"bit {bit} of hash {at} flipped", [*proof[:at], flipped, *rest]
        yield f"hash {at} dropped", [*proof[:at], *rest]
        yield f"hash {at} doubled", [*proof[:at], value, value, *rest]
        yield f"hash {at} replaced", [*proof[:at], STRANGER, *rest]
        yield f"hash {at} cut by a byte", [*proof[:at], value[:-1], *rest]
        yield f"hash {at} longer by a byte", [*proof[:at], value + b"\x00", *rest]
        yield f"hash {at} emptied", [*proof[:at], b"", *rest]
    for at in range(len(proof) - 1):
        front, first, second, rest = proof[:at], proof[at], proof[at + 1], proof[at + 2 :]
        yield f"hashes {at} and {at + 1} swapped", [*front, second, first, *rest]
        yield f"hash {at} joined with the next", [*front, first + second, *rest]
    for at in range(len(proof) + 1):
        yield f"a hash added at {at}", [*proof[:at], STRANGER, *proof[at:]]
        yield f"an empty hash added at {at}", [*proof[:at], b"", *proof[at:]]
    if proof:
        yield "emptied", []
    if len(proof) > 1:
        yield "reversed", proof[::-1]


def check_spoiled_inclusion(tree: ReferenceTree, index: int, size: int, seed: int) -> None:
    choose = random.Random(seed)
    leaf, root, proof = tree.leaf(index), tree.root(size), tree.path(index, size)
    for how, changed in spoiled(proof, choose):
        if changed != proof:
            assert not accepts_inclusion(index, size, leaf, changed, root), how
    for other in {index - 1, index + 1, index ^ 2, index + size, -1, -index - 1} - {index}:
        assert not accepts_inclusion(other, size, leaf, proof, root), f"at index {other}"
    for wrong in (STRANGER, leaf[:-1], leaf + b"\x00", b"", node_hash(leaf, leaf)):
        assert not accepts_inclusion(index, size, wrong, proof, root), "with another leaf"
    for wrong in (STRANGER, root[:-1], root + b"\x00", b"", bytes(32), tree.root(0)):
        assert not accepts_inclusion(index, size, leaf, proof, wrong), "with another root"
    for other in some_of(tree.length + 1, choose, 5) - {size}:
        arguments = (other, leaf, proof, tree.root(other))
        assert not accepts_inclusion(index, *arguments), f"in the tree of {other}"
        same_root = (index, other, leaf, proof, root)
        expected = includes_rfc9162(*same_root)
        assert accepts_inclusion(*same_root) == expected, f"with size {other} for {size}"


def check_spoiled_consistency(tree: ReferenceTree, old: int, new: int, seed: int) -> None:
    choose = random.Random(seed)
    old_root, new_root, proof = tree.root(old), tree.root(new), tree.proof(old, new)
    for how, changed in spoiled(proof, choose):
        if changed != proof:
            assert not accepts_consistency(old, new, changed, old_root, new_root), how
    for wrong in (STRANGER, old_root[:-1], old_root + b"\x00", b"", tree.root(0)):
        assert not accepts_consistency(old, new, proof, wrong, new_root), "from another root"
        assert not accepts_consistency(old, new, proof, old_root, wrong), "to another root"
    if old != new:
        assert not accepts_consistency(old, new, proof, new_root, old_root), "roots swapped"
        assert not accepts_consistency(new, old, proof, new_root, old_root), "backwards"
        assert not accepts_consistency(old, new, proof, old_root, old_root), "to itself"
    for other in some_of(tree.length + 1, choose, 4):
        if other != old:
            true_root = (other, new, proof, tree.root(other), new_root)
            assert accepts_consistency(*true_root) == extends(*true_root), f"from {other}"
            check_same(other, new, proof, (old_root, new_root))
        if other != new:
            true_root = (old, other, proof, old_root, tree.root(other))
            assert accepts_consistency(*true_root) == extends(*true_root), f"to {other}"
            check_same(old, other, proof, (old_root, new_root))


def check_same(old: int, new: int, proof: list[bytes], roots: tuple[bytes, bytes]) -> None:
    """With sizes that are not the proof's, we accept exactly what RFC 9162 accepts."""
    same_size = old == new and not proof and roots[0] == roots[1]
    expected = same_size or extends_rfc9162(old, new, proof, *roots)
    assert accepts_consistency(old, new, proof, *roots) == expected, f"sizes {old}, {new}"


def test_every_spoiled_inclusion_proof_of_small_trees_is_refused() -> None:
    tree = ReferenceTree.numbered(20)
    for size in range(1, 18):
        for index in range(size):
            check_spoiled_inclusion(tree, index, size, seed=index * 100 + size)


def test_every_spoiled_consistency_proof_of_small_trees_is_refused() -> None:
    tree = ReferenceTree.numbered(20)
    for new in range(1, 18):
        for old in range(1, new + 1):
            check_spoiled_consistency(tree, old, new, seed=old * 100 + new)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_spoiled_inclusion_proofs_of_any_tree_are_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, TREE.length))
    index = data.draw(st.integers(0, size - 1))
    check_spoiled_inclusion(TREE, index, size, seed=data.draw(st.integers(0, 2**20)))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_spoiled_consistency_proofs_of_any_tree_are_refused(data: st.DataObject) -> None:
    new = data.draw(st.integers(1, TREE.length))
    old = data.draw(st.integers(1, new))
    check_spoiled_consistency(TREE, old, new, seed=data.draw(st.integers(0, 2**20)))


def test_every_single_bit_of_a_proof_matters() -> None:
    size, index, old = 13, 5, 6
    path, proof = TREE.path(index, size), TREE.proof(old, size)
    for at in range(len(path) * 256):
        changed = flip(path, at)
        assert not accepts_inclusion(index, size, TREE.leaf(index), changed, TREE.root(size))
    for at in range(len(proof) * 256):
        changed = flip(proof, at)
        assert not accepts_consistency(old, size, changed, TREE.root(old), TREE.root(size))


def flip(proof: list[bytes], bit: int) -> list[bytes]:
    at, octet, place = bit // 256, bit % 256 // 8, bit % 8
    value = bytearray(proof[at])
    value[octet] ^= 1 << place
    return [*proof[:at], bytes(value), *proof[at + 1 :]]


EMPTY = TREE.root(0)
ONE = TREE.root(1)

BAD_INCLUSIONS: dict[str, tuple[int, int, bytes, list[bytes], bytes]] = {
    "in the empty tree": (0, 0, TREE.leaf(0), [], EMPTY),
    "in the empty tree, with the leaf as root": (0, 0, ONE, [], ONE),
    "behind the only entry": (1, 1, ONE, [], ONE),
    "far behind": (2**63, 1, ONE, [], ONE),
    "at a negative index": (-1, 1, ONE, [], ONE),
    "in a tree of negative size": (0, -1, ONE, [], ONE),
    "in a negative tree at a lower index": (-2, -1, ONE, [], ONE),
    "with a proof where none is due": (0, 1, ONE, [ONE], ONE),
    "with a proof that hashes to the root": (0, 1, ONE, [STRANGER], node_hash(ONE, STRANGER)),
    "without the proof that is due": (0, 2, ONE, [], ONE),
    "with an inner node for a leaf": (0, 2, TREE.root(2), [], TREE.root(2)),
    "with an empty leaf and an empty root": (0, 1, b"", [], b""),
    "with a proof of a hundred hashes": (0, 2, ONE, [STRANGER] * 100, STRANGER),
}


@pytest.mark.parametrize("case", BAD_INCLUSIONS.values(), ids=BAD_INCLUSIONS)
def test_an_impossible_inclusion_is_refused(
    case: tuple[int, int, bytes, list[bytes], bytes],
) -> None:
    with pytest.raises(ProofError):
        verify_inclusion(*case)


BAD_CONSISTENCIES: dict[str, tuple[int, int, list[bytes], bytes, bytes]] = {
    "a smaller new size": (2, 1, [], TREE.root(2), ONE),
    "a smaller new size with a proof": (2, 1, [TREE.leaf(1)], TREE.root(2), ONE),
    "from one to none": (1, 0, [], ONE, EMPTY),
    "a negative old size": (-1, 1, [], EMPTY, ONE),
    "two negative sizes": (-2, -1, [], EMPTY, EMPTY),
    "from none to a negative size": (0, -1, [], EMPTY, EMPTY),
    "none to none with two roots": (0, 0, [], EMPTY, ONE),
    "none to none with a root that is not the empty one": (0, 0, [], ONE, ONE),
    "none to none with a proof": (0, 0, [EMPTY], EMPTY, EMPTY),
    "from none with a proof": (0, 1, [ONE], EMPTY, ONE),
    "from none with a root that is not the empty one": (0, 1, [], STRANGER, ONE),
    "the same size with two roots": (1, 1, [], ONE, STRANGER),
    "the same size with a proof": (1, 1, [ONE], ONE, ONE),
    "the same size with an empty hash as proof": (3, 3, [b""], TREE.root(3), TREE.root(3)),
    "an empty proof between two sizes": (1, 2, [], ONE, TREE.root(2)),
    "an empty proof between two sizes with one root": (1, 2, [], ONE, ONE),
    "an empty proof from a power of two": (4, 5, [], TREE.root(4), TREE.root(5)),
    "empty roots": (1, 1, [], b"", b""),
    "short roots": (1, 1, [], b"\x01", b"\x01"),
    "a proof of a hundred hashes": (1, 2, [STRANGER] * 100, ONE, TREE.root(2)),
    "the whole old root spelled out in front": (
        4,
        7,
        [TREE.root(4), *TREE.proof(4, 7)],
        TREE.root(4),
        TREE.root(7),
    ),
}


@pytest.mark.parametrize("case", BAD_CONSISTENCIES.values(), ids=BAD_CONSISTENCIES)
def test_an_impossible_consistency_is_refused(
    case: tuple[int, int, list[bytes], bytes, bytes],
) -> None:
    with pytest.raises(ProofError):
        verify_consistency(*case)
