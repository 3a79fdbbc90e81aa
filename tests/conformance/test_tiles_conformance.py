"""Tile names, tile contents and entry bundles against c2sp.org/tlog-tiles."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_tree import (
    TILE,
    ReferenceTree,
    bundle_of,
    numbered_entry,
    path_of,
    tile_of,
    tiles_of,
)
from time_limit import ends_within
from vectors_of import load

from deploymark.errors import DeploymarkError, RefusedError
from deploymark.log.tiles import (
    TileName,
    decode_bundle,
    encode_bundle,
    parse_tile_path,
    tile_names,
    tile_path,
)
from deploymark.log.tree import Frontier

EDGES = sorted(
    {base + step for base in (256, 512, 65_536, 131_072, 2**24) for step in (-1, 0, 1)} | {70_000}
)


def names_at(size: int) -> list[tuple[int | str, int, int]]:
    return [(name.level, name.index, name.width) for name in tile_names(size)]


def hash_tiles_at(size: int) -> set[tuple[int | str, int, int]]:
    names = names_at(size)
    assert len(names) == len(set(names)), f"a tile is named twice at {size}"
    return {name for name in names if name[0] != "entries"}


def test_every_size_up_to_1025_has_the_tiles_of_the_formal_definition() -> None:
    for size in range(1026):
        assert hash_tiles_at(size) == set(tiles_of(size)), f"size {size}"


@pytest.mark.parametrize("size", [size for size in EDGES if size < 2**20])
def test_sizes_at_tile_edges_have_the_tiles_of_the_formal_definition(size: int) -> None:
    assert hash_tiles_at(size) == set(tiles_of(size))


def test_the_empty_tree_has_no_tile() -> None:
    assert names_at(0) == []


def test_a_negative_size_has_no_tiles_or_is_refused() -> None:
    with ends_within(1):
        try:
            names = names_at(-1)
        except DeploymarkError:
            return
    assert names == []


def test_the_tile_lists_of_the_text_come_out() -> None:
    for size, levels in load("tiles")["widths"].items():
        counts = {
            str(level): [
                sum(name[0] == level and name[2] == TILE for name in names_at(int(size))),
                sum(name[2] for name in names_at(int(size)) if name[0] == level and name[2] < TILE),
            ]
            for level in {name[0] for name in names_at(int(size))} - {"entries"}
        }
        assert counts == levels


def tile_contents(
    nodes: dict[tuple[int, int], bytes], leaves: list[bytes], name: TileName
) -> bytes:
    """What a server slices together: leaf hashes for level 0, emitted nodes above."""
    span = range(name.index * TILE, name.index * TILE + name.width)
    if name.level == 0:
        return b"".join(leaves[index] for index in span)
    return b"".join(nodes[int(name.level), index] for index in span)


def check_contents(tree: ReferenceTree, size: int, batch: Callable[[], int]) -> None:
    frontier, nodes = Frontier.unpack(0, b""), {}
    while frontier.size < size:
        end = min(size, frontier.size + batch())
        for node in frontier.extend(tree.leaves(frontier.size, end)):
            nodes[node.level, node.index] = node.hash
    leaves = tree.leaves(0, size)
    for name in tile_names(size):
        if name.level != "entries":
            contents = tile_contents(nodes, leaves, name)
            assert contents == b"".join(tile_of(tree, name.level, name.index, name.width))


def test_tiles_built_from_what_the_frontier_emits_hold_the_defined_hashes(
    small_tree: ReferenceTree,
) -> None:
    choose = random.Random(256)
    for size in [*range(0, 1026, 41), 255, 256, 257, 511, 512, 513, 1023, 1024, 1025]:
        check_contents(small_tree, size, lambda: choose.randint(1, 300))


def test_tiles_of_three_levels_hold_the_defined_hashes(large_tree: ReferenceTree) -> None:
    choose = random.Random(70_000)
    check_contents(large_tree, 70_000, lambda: choose.randint(1, 9000))


def test_the_published_paths_are_written_and_read() -> None:
    for index, name in load("tiles")["indexes"].items():
        for level in (0, 5, 63, "entries"):
            path = f"tile/{level}/{name}"
            assert tile_path(level, int(index)) == path
            assert parse_tile_path(path) == TileName(level, int(index), 256)
            assert parse_tile_path(f"{path}.p/17") == TileName(level, int(index), 17)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.integers(0, 63), st.just("entries")),
    st.one_of(st.integers(0, 2000), st.integers(0, 2**55)),
    st.integers(1, 256),
)
def test_any_name_is_written_as_defined_and_read_back(
    level: int | str, index: int, width: int
) -> None:
    path = path_of(level, index, width)
    assert tile_path(level, index, width) == path  # type: ignore[arg-type]
    found = parse_tile_path(path)
    assert (found.level, found.index, found.width) == (level, index, width)


BAD_PATHS = {
    "level 64": "tile/64/000",
    "a level with a leading zero": "tile/00/000",
    "a level with a leading zero before a digit": "tile/01/000",
    "a negative level": "tile/-1/000",
    "a signed level": "tile/+1/000",
    "a level of other digits": "tile/\u0661/000",
    "an empty level": "tile//000",
    "another word for a level": "tile/data/000",
    "upper-case entries": "tile/ENTRIES/000",
    "an index of one digit": "tile/0/0",
    "an index of two digits": "tile/0/01",
    "an index of four digits": "tile/0/1234",
    "a group of four digits": "tile/0/x0001/234",
    "no x before the first of two groups": "tile/0/123/456",
    "no x before the middle group": "tile/0/x123/456/078",
    "an x before the last group": "tile/0/x001",
    "an x before every group": "tile/0/x001/x002",
    "an upper-case X": "tile/0/X001/002",
    "an index with a group of zeroes in front": "tile/0/x000/001",
    "an index of other digits": "tile/0/\u0660\u0660\u0661",
    "an index with a sign": "tile/0/-01",
    "an index with an underscore": "tile/0/1_0",
    "an index with a space": "tile/0/ 01",
    "an empty index": "tile/0/",
    "no index": "tile/0",
    "width 0": "tile/0/000.p/0",
    "width 256": "tile/0/000.p/256",
    "width 257": "tile/0/000.p/257",
    "a width of three digits beyond any tile": "tile/0/000.p/999",
    "a width with a leading zero": "tile/0/000.p/01",
    "a negative width": "tile/0/000.p/-1",
    "a signed width": "tile/0/000.p/+1",
    "a width of other digits": "tile/0/000.p/\u0661",
    "an empty width": "tile/0/000.p/",
    "a suffix without width": "tile/0/000.p",
    "another suffix": "tile/0/000.q/1",
    "a second suffix": "tile/0/000.p/1.p/1",
    "something after the width": "tile/0/000.p/1/",
    "a slash at the end": "tile/0/000/",
    "a newline at the end": "tile/0/000\n",
    "a newline after the width": "tile/0/000.p/1\n",
    "a slash in front": "/tile/0/000",
    "a step up": "tile/0/../0/000",
    "an empty path": "",
    "a query": "tile/0/000?x=1",
}


@pytest.mark.parametrize("path", BAD_PATHS.values(), ids=BAD_PATHS)
def test_a_path_outside_the_grammar_is_refused(path: str) -> None:
    with pytest.raises(RefusedError):
        parse_tile_path(path)


@pytest.mark.parametrize(
    ("level", "index", "width"), [(64, 0, 256), (-1, 0, 256), (0, -1, 256), (0, 0, 0), (0, 0, 257)]
)
def test_a_name_outside_the_grammar_is_not_written(level: int, index: int, width: int) -> None:
    with pytest.raises(DeploymarkError), ends_within(1):
        tile_path(level, index, width)


BUNDLES = {
    "one empty entry": [b""],
    "one byte": [b"\x00"],
    "the longest entry": [b"x" * 65_535],
    "a full bundle": [numbered_entry(index) for index in range(256)],
    "entries that look like lengths": [b"\x00\x05", b"\x00\x00", b"\xff\xff"],
}


@pytest.mark.parametrize("entries", BUNDLES.values(), ids=BUNDLES)
def test_bundles_are_length_prefixed_entries(entries: list[bytes]) -> None:
    assert encode_bundle(entries) == bundle_of(entries)
    assert decode_bundle(bundle_of(entries)) == entries


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_any_bundle_comes_back_entry_by_entry(entries: list[bytes]) -> None:
    assert decode_bundle(encode_bundle(entries)) == entries == decode_bundle(bundle_of(entries))


def test_an_entry_beyond_the_length_field_is_refused() -> None:
    with pytest.raises(DeploymarkError):
        encode_bundle([b"x" * 65_536])


BAD_BUNDLES = {
    "half a length": b"\x00",
    "a length and nothing": b"\x00\x01",
    "an entry cut short": b"\x00\x05abcd",
    "a byte after the last entry": b"\x00\x01a\x00",
    "a second entry cut short": b"\x00\x01a\x00\x02b",
    "a little-endian length": b"\x05\x00abcde",
}


@pytest.mark.parametrize("bundle", BAD_BUNDLES.values(), ids=BAD_BUNDLES)
def test_a_bundle_that_does_not_end_with_an_entry_is_refused(bundle: bytes) -> None:
    with pytest.raises(DeploymarkError):
        decode_bundle(bundle)
