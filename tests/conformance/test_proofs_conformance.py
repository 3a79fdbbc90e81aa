"""Inclusion and consistency proofs, hash by hash and both ways.

RFC 6962 sections 2.1.1 and 2.1.2 define the proofs; RFC 9162 sections 2.1.3.2 and 2.1.4.2 how to
verify them. The reader refuses subtrees beyond the stated size, so no proof may lean on entries
that the tree does not hold.
"""

import random
from collections.abc import Iterator
from hashlib import sha256

import pytest
from proof_places import some_of
from reference_tree import ReferenceTree, extends, includes, leaf_hash, node_hash
from vectors_of import load

from deploymark.errors import ProofError
from deploymark.log.proof import (
    consistency_proof,
    inclusion_proof,
    verify_consistency,
    verify_inclusion,
)

TREE = ReferenceTree.numbered(600)
EMPTY = TREE.root(0)


def check_inclusion(tree: ReferenceTree, index: int, size: int) -> None:
    """Our proof is the reference's, and each side accepts it."""
    ours = list(inclusion_proof(index, size, tree.reader(size)))
    assert ours == tree.path(index, size), f"PATH({index}, D[{size}])"
    leaf, root = tree.leaf(index), tree.root(size)
    assert includes(index, size, leaf, ours, root)
    verify_inclusion(index, size, leaf, ours, root)


def check_consistency(tree: ReferenceTree, old: int, new: int) -> None:
    """Our proof is the reference's, and each side accepts it."""
    ours = list(consistency_proof(old, new, tree.reader(new)))
    assert ours == tree.proof(old, new), f"PROOF({old}, D[{new}])"
    assert extends(old, new, ours, tree.root(old), tree.root(new))
    verify_consistency(old, new, ours, tree.root(old), tree.root(new))


# True proofs --------------------------------------------------------------------------------------


def test_all_proofs_of_all_trees_up_to_130_entries_are_the_defined_ones(
    small_tree: ReferenceTree,
) -> None:
    for size in range(1, 131):
        for index in range(size):
            check_inclusion(small_tree, index, size)
        for old in range(size + 1):
            check_consistency(small_tree, old, size)


def test_sampled_proofs_of_every_size_up_to_1025_are_the_defined_ones(
    small_tree: ReferenceTree,
) -> None:
    choose = random.Random(1025)
    for size in range(131, 1026):
        for index in some_of(size, choose, 4):
            check_inclusion(small_tree, index, size)
        for old in some_of(size, choose, 4) | {size}:
            check_consistency(small_tree, old, size)


@pytest.mark.soak
def test_all_proofs_of_all_trees_up_to_1025_entries_are_the_defined_ones(
    small_tree: ReferenceTree,
) -> None:
    for size in range(131, 1026):
        for index in range(size):
            check_inclusion(small_tree, index, size)
        for old in range(size + 1):
            check_consistency(small_tree, old, size)


def large_sizes(choose: random.Random, count: int) -> Iterator[int]:
    """Powers of two and multiples of 256, one less and one more, and random sizes to 10**6."""
    for bit in range(11, 20):
        yield from ((1 << bit) + step for step in (-1, 0, 1))
    for _ in range(count):
        tiles = choose.randrange(5, 3900)
        yield from (256 * tiles + step for step in (-1, 0, 1))
        yield choose.randrange(1026, 1_000_001)
    yield 1_000_000


def check_large(tree: ReferenceTree, seed: int, count: int) -> None:
    choose = random.Random(seed)
    for size in large_sizes(choose, count):
        for index in some_of(size, choose, 6):
            check_inclusion(tree, index, size)
        for old in some_of(size, choose, 6) | {size}:
            check_consistency(tree, old, size)


def test_proofs_of_sizes_up_to_a_million_are_the_defined_ones(large_tree: ReferenceTree) -> None:
    check_large(large_tree, seed=9162, count=6)


@pytest.mark.soak
def test_proofs_of_thousands_of_sizes_up_to_a_million_are_the_defined_ones(
    large_tree: ReferenceTree,
) -> None:
    check_large(large_tree, seed=6962, count=800)


def test_a_proof_reads_no_more_subtrees_than_it_has_levels(large_tree: ReferenceTree) -> None:
    for size in (1, 2, 255, 256, 257, 70_000, 999_999, 1_000_000):
        bound = 2 * size.bit_length()
        reader = large_tree.reader(size)
        inclusion_proof(size // 3, size, reader)
        assert reader.reads <= bound
        reader = large_tree.reader(size)
        consistency_proof(size // 3 + 1, size, reader)
        assert reader.reads <= bound


# RFC 6962 section 2.1.3: the tree of seven leaves ------------------------------------------------

SEVEN = [leaf_hash(b"d%d" % index) for index in range(7)]
A, B, C, D, E, F, J = SEVEN
G, H, I = node_hash(A, B), node_hash(C, D), node_hash(E, F)  # noqa: E741 - the RFC's letters
K, L = node_hash(G, H), node_hash(I, J)


@pytest.mark.parametrize(
    ("index", "path"), [(0, [B, H, L]), (3, [C, G, L]), (4, [F, J, K]), (6, [I, K])]
)
def test_the_audit_paths_of_the_rfc_example_come_out(index: int, path: list[bytes]) -> None:
    tree = ReferenceTree(SEVEN)
    assert list(inclusion_proof(index, 7, tree.reader(7))) == path


@pytest.mark.parametrize(("old", "proof"), [(3, [C, D, G, L]), (4, [L]), (6, [I, J, K])])
def test_the_consistency_proofs_of_the_rfc_example_come_out(old: int, proof: list[bytes]) -> None:
    tree = ReferenceTree(SEVEN)
    assert list(consistency_proof(old, 7, tree.reader(7))) == proof


# Published vectors --------------------------------------------------------------------------------


def published() -> tuple[ReferenceTree, list[bytes]]:
    facts = load("rfc6962_tree")
    leaves = [leaf_hash(bytes.fromhex(leaf)) for leaf in facts["leaves"]]
    return ReferenceTree(leaves), [bytes.fromhex(root) for root in facts["roots"]]


def test_the_published_inclusion_proofs_come_out_and_verify() -> None:
    tree, roots = published()
    for case in load("rfc6962_tree")["inclusion"]:
        index, size = case["index"], case["size"]
        proof = [bytes.fromhex(value) for value in case["proof"]]
        assert list(inclusion_proof(index, size, tree.reader(size))) == proof
        verify_inclusion(index, size, tree.leaf(index), proof, roots[size])


def test_the_published_consistency_proofs_come_out_and_verify() -> None:
    tree, roots = published()
    for case in load("rfc6962_tree")["consistency"]:
        old, new = case["old"], case["new"]
        proof = [bytes.fromhex(value) for value in case["proof"]]
        assert list(consistency_proof(old, new, tree.reader(new))) == proof
        verify_consistency(old, new, proof, roots[old], roots[new])


def test_the_rolling_digest_of_published_inclusion_proofs_comes_out() -> None:
    facts = load("subtrees")
    leaves = [leaf_hash(bytes([index])) for index in range(facts["max_size"])]
    digest = sha256()
    for end in range(1, len(leaves) + 1):
        for start in range(end):
            width = end - start
            if start % (1 << (width - 1).bit_length()):
                continue  # not a subtree in the draft's sense
            tree = ReferenceTree(leaves[start:end])
            for index in range(width):
                line = [f"{start + index} [{start}, {end})"]
                proof = inclusion_proof(index, width, tree.reader(width))
                digest.update(" ".join(line + [value.hex() for value in proof]).encode() + b"\n")
    assert digest.hexdigest() == facts["inclusion_proofs"]


# Edges ---------------------------------------------------------------------------------------


def test_every_tree_extends_the_empty_one_and_itself_with_an_empty_proof() -> None:
    for size in (0, 1, 2, 3, 8, 255, 256, 257, 600):
        assert list(consistency_proof(0, size, TREE.reader(size))) == []
        verify_consistency(0, size, [], EMPTY, TREE.root(size))
        assert list(consistency_proof(size, size, TREE.reader(size))) == []
        verify_consistency(size, size, [], TREE.root(size), TREE.root(size))


@pytest.mark.parametrize(
    ("index", "size"), [(0, 0), (1, 1), (5, 5), (6, 5), (-1, 5), (0, -1), (-3, -2), (2**70, 5)]
)
def test_no_inclusion_proof_is_made_for_an_index_outside_the_tree(index: int, size: int) -> None:
    with pytest.raises(ProofError):
        inclusion_proof(index, size, TREE.reader(TREE.length))


@pytest.mark.parametrize(("old", "new"), [(6, 5), (1, 0), (-1, 5), (-1, -1), (-2, -1), (0, -1)])
def test_no_consistency_proof_is_made_backwards(old: int, new: int) -> None:
    with pytest.raises(ProofError):
        consistency_proof(old, new, TREE.reader(TREE.length))
