"""Roots, frontiers and emitted nodes against RFC 6962 section 2.1 (MTH), size by size."""

import random
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_tree import ReferenceTree, nodes_between
from reference_tree import leaf_hash as reference_leaf_hash
from time_limit import ends_within
from vectors_of import load

from deploymark.errors import DeploymarkError, ProofError
from deploymark.log.proof import tree_root
from deploymark.log.tree import EMPTY_ROOT, Frontier, leaf_hash, node_hash

RANDOM_ENTRIES = ReferenceTree.numbered(1500)


def empty_frontier() -> Frontier:
    return Frontier.unpack(0, b"")


def grow(tree: ReferenceTree, steps: Sequence[int]) -> Frontier:
    """Extend an empty frontier through these sizes and check it and its nodes at each."""
    frontier = empty_frontier()
    for old, new in pairwise([0, *steps]):
        emitted = frontier.extend(tree.leaves(old, new))
        found = {(node.level, node.index): node.hash for node in emitted}
        assert found == nodes_between(tree, old, new), f"nodes of {old}..{new}"
        assert len(emitted) == len(found), f"a node came twice in {old}..{new}"
        assert frontier.size == new
        assert frontier.root() == tree.root(new), f"root at {new} after {old}"
        assert frontier.pack() == b"".join(tree.frontier(new)), f"frontier at {new}"
    return frontier


def test_an_empty_tree_has_the_hash_of_the_empty_string() -> None:
    assert EMPTY_ROOT.hex() == load("rfc6962_tree")["roots"][0]
    assert empty_frontier().root() == EMPTY_ROOT


def test_the_published_leaves_and_nodes_hash_as_published() -> None:
    facts = load("rfc6962_tree")
    assert [leaf_hash(bytes.fromhex(leaf)).hex() for leaf in facts["leaves"]] == facts["nodes"][0]
    for below, above in pairwise(facts["nodes"]):
        raw = [bytes.fromhex(value) for value in below]
        pairs = zip(raw[0::2], raw[1::2], strict=True)
        assert [node_hash(left, right).hex() for left, right in pairs] == above


def test_the_published_roots_come_out_one_entry_at_a_time_and_all_at_once() -> None:
    facts = load("rfc6962_tree")
    hashes = [leaf_hash(bytes.fromhex(leaf)) for leaf in facts["leaves"]]
    one_by_one = empty_frontier()
    for size, published in enumerate(facts["roots"]):
        assert one_by_one.root().hex() == published
        at_once = empty_frontier()
        at_once.extend(hashes[:size])
        assert at_once.root().hex() == published
        one_by_one.extend(hashes[size : size + 1])


@pytest.mark.parametrize("entry", [b"", b"\x00", b"\x01" * 64, b"x" * 65_535])
def test_a_leaf_is_hashed_with_its_prefix_whatever_it_holds(entry: bytes) -> None:
    assert leaf_hash(entry) == reference_leaf_hash(entry)


def test_every_size_up_to_1025_has_the_right_root_frontier_and_nodes(
    small_tree: ReferenceTree,
) -> None:
    grow(small_tree, range(1, small_tree.length + 1))


def test_every_size_up_to_1025_has_the_right_root_when_read_from_subtrees(
    small_tree: ReferenceTree,
) -> None:
    for size in range(small_tree.length + 1):
        assert tree_root(size, small_tree.reader(size)) == small_tree.root(size)


def test_every_size_up_to_1025_is_right_after_one_batch_from_a_random_size(
    small_tree: ReferenceTree,
) -> None:
    choose = random.Random(6962)
    for size in range(1, small_tree.length + 1):
        start = choose.randrange(size)
        frontier = Frontier.unpack(start, b"".join(small_tree.frontier(start)))
        emitted = frontier.extend(small_tree.leaves(start, size))
        expected = nodes_between(small_tree, start, size)
        assert {(node.level, node.index): node.hash for node in emitted} == expected
        assert frontier.root() == small_tree.root(size)
        assert frontier.pack() == b"".join(small_tree.frontier(size))


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(1, 1500), min_size=1, max_size=12))
def test_random_batch_splits_lead_to_the_same_frontier(stops: Iterable[int]) -> None:
    grow(RANDOM_ENTRIES, sorted(stops))


def test_an_empty_batch_changes_nothing(small_tree: ReferenceTree) -> None:
    for size in (0, 1, 255, 256, 257, 1024):
        frontier = Frontier.unpack(size, b"".join(small_tree.frontier(size)))
        assert frontier.extend([]) == []
        assert (frontier.size, frontier.root()) == (size, small_tree.root(size))


def test_a_million_entries_in_random_batches_are_right_at_each_stop(
    large_tree: ReferenceTree,
) -> None:
    choose = random.Random(9162)
    edges = {256**2 + step for step in (-1, 0, 1)} | {2**18 + step for step in (-1, 0, 1)}
    edges |= {256 * 777 + step for step in (-1, 0, 1)} | {300_000}
    grow(large_tree, sorted(edges | {choose.randrange(1, 300_000) for _ in range(20)}))


@pytest.mark.soak
def test_a_million_entries_in_two_thousand_batches_are_right(large_tree: ReferenceTree) -> None:
    choose = random.Random(1_000_000)
    stops = {choose.randrange(1, large_tree.length) for _ in range(2000)}
    grow(large_tree, sorted(stops | {large_tree.length}))


def test_a_packed_frontier_comes_back_whole(small_tree: ReferenceTree) -> None:
    for size in (0, 1, 2, 3, 255, 256, 257, 511, 1023, 1025):
        packed = b"".join(small_tree.frontier(size))
        frontier = Frontier.unpack(size, packed)
        assert (frontier.pack(), frontier.root()) == (packed, small_tree.root(size))


@pytest.mark.parametrize(
    ("size", "length"),
    [(0, 32), (1, 0), (1, 31), (1, 33), (1, 64), (3, 32), (7, 64), (256, 64), (-1, 0), (-1, 32)],
)
def test_a_packed_frontier_of_the_wrong_length_is_refused(size: int, length: int) -> None:
    with pytest.raises(DeploymarkError):
        Frontier.unpack(size, b"\x07" * length)


def test_the_root_of_a_negative_size_is_refused(small_tree: ReferenceTree) -> None:
    with pytest.raises(ProofError), ends_within(1):
        tree_root(-1, small_tree.reader(1025))
