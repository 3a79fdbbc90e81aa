"""The reference reproduces what the standards publish, before it may judge anything."""

import base64
from hashlib import sha256
from itertools import product

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from reference_notes import Key, Signer, cosigned_message, split_note, verified, verifies
from reference_tree import (
    ReferenceTree,
    audit_path,
    consistency,
    extends,
    extends_rfc9162,
    includes,
    includes_rfc9162,
    leaf_hash,
    mth,
    numbered_entry,
    path_of,
    split_point,
    tiles_of,
)
from vectors_of import load


def key_of(vkey: str) -> Key:
    name, _, encoded = vkey.split("+", 2)
    raw = base64.b64decode(encoded)
    return Key(name, raw[0], raw[1:])


def test_the_published_roots_follow_from_the_published_leaves() -> None:
    facts = load("rfc6962_tree")
    leaves = [bytes.fromhex(leaf) for leaf in facts["leaves"]]
    assert [mth(leaves[:size]).hex() for size in range(len(leaves) + 1)] == facts["roots"]


def test_the_published_proofs_follow_from_the_published_leaves() -> None:
    facts = load("rfc6962_tree")
    leaves = [bytes.fromhex(leaf) for leaf in facts["leaves"]]
    for case in facts["inclusion"]:
        path = audit_path(case["index"], leaves[: case["size"]])
        assert [value.hex() for value in path] == case["proof"]
    for case in facts["consistency"]:
        proof = consistency(case["old"], leaves[: case["new"]])
        assert [value.hex() for value in proof] == case["proof"]


def test_the_long_tree_agrees_with_the_literal_definition() -> None:
    entries = [numbered_entry(index) for index in range(70)]
    tree = ReferenceTree([leaf_hash(entry) for entry in entries])
    for size in range(1, len(entries) + 1):
        assert tree.root(size) == mth(entries[:size])
        for m in range(size):
            assert tree.path(m, size) == audit_path(m, entries[:size])
            assert tree.proof(m + 1, size) == consistency(m + 1, entries[:size])


def test_both_ways_to_verify_agree_on_true_proofs() -> None:
    tree = ReferenceTree.numbered(40)
    for size in range(1, 41):
        root = tree.root(size)
        for m in range(size):
            path = tree.path(m, size)
            assert includes(m, size, tree.leaf(m), path, root)
            assert includes_rfc9162(m, size, tree.leaf(m), path, root)
        for m in range(1, size):
            proof = tree.proof(m, size)
            assert extends(m, size, proof, tree.root(m), root)
            assert extends_rfc9162(m, size, proof, tree.root(m), root)


def test_both_ways_to_verify_agree_on_proofs_shown_for_other_sizes() -> None:
    tree = ReferenceTree.numbered(20)
    sizes = range(1, 21)
    for size, claimed in product(sizes, sizes):
        for m in range(size):
            given = (m, claimed, tree.leaf(m), tree.path(m, size), tree.root(size))
            assert includes(*given) == includes_rfc9162(*given)


def test_a_tree_of_256_and_one_of_70000_have_the_tiles_the_text_lists() -> None:
    for size, levels in load("tiles")["widths"].items():
        expected = set()
        for level, (full, partial) in levels.items():
            expected |= {(int(level), index, 256) for index in range(full)}
            expected |= {(int(level), full, partial)} if partial else set()
        assert set(tiles_of(int(size))) == expected


def test_tile_paths_are_the_published_ones() -> None:
    for index, name in load("tiles")["indexes"].items():
        assert path_of(0, int(index)) == f"tile/0/{name}"
    assert path_of(5, 123456078, 2) == "tile/5/x123/x456/078.p/2"


def test_key_ids_are_the_published_ones() -> None:
    for vkey in [fact["vkey"] for fact in load("notes")["keys"]] + [load("mldsa")["vkey"]]:
        assert key_of(vkey).vkey == vkey


def test_published_signatures_verify() -> None:
    facts = load("notes")
    keys = [key_of(fact["vkey"]) for fact in facts["keys"]]
    note = facts["text"] + "\n" + "".join(facts["lines"].values())
    assert [key.name for key in verified(note.encode(), keys)[1]] == ["PeterNeumann", "EnochRoot"]
    assert verified(facts["go_checksum_database"]["note"].encode(), keys)[1]


def test_a_published_ml_dsa_44_subtree_cosignature_verifies() -> None:
    facts = load("mldsa")
    key = key_of(facts["vkey"])
    _, lines = split_note(b"any text\n\n" + facts["line"].encode())
    (_, key_id, signature) = lines[0]
    assert key_id == key.key_id
    bounds, root = (facts["start"], facts["end"]), base64.b64decode(facts["root"])
    message = cosigned_message(key.name, facts["timestamp"], facts["origin"], bounds, root)
    MLDSA44PublicKey.from_public_bytes(key.public).verify(signature[8:], message)


@pytest.mark.parametrize("kind", [1, 4, 6])
def test_own_signatures_of_each_type_verify_and_changed_ones_do_not(kind: int) -> None:
    signer = Signer.of("example.com/log", kind)
    text = "example.com/log\n1\n" + base64.b64encode(sha256().digest()).decode() + "\n"
    _, [(_, _, signature)] = split_note((text + "\n" + signer.line(text)).encode())
    assert verifies(signer.key, text.encode(), signature)
    changed = bytes([signature[0] ^ 1]) + signature[1:]
    assert not verifies(signer.key, text.encode(), changed)


def is_subtree(start: int, end: int) -> bool:
    """Draft merkle-tree-certs 4.1: start is a multiple of the least power of two >= end - start."""
    return start % (1 << (end - start - 1).bit_length()) == 0


def subtree_proof(
    tree: ReferenceTree, bounds: tuple[int, int], origin: int, n: int, *, known: bool
) -> list[bytes]:
    """SUBTREE_SUBPROOF of the draft, 4.4, over D[origin:origin + n]."""
    start, end = bounds
    if (start, end) == (0, n):
        return [] if known else [tree.mth(origin, origin + n)]
    k = split_point(n)
    left, right = tree.mth(origin, origin + k), tree.mth(origin + k, origin + n)
    if end <= k:
        return [*subtree_proof(tree, bounds, origin, k, known=known), right]
    inner = (max(start - k, 0), end - k)
    known = known and start >= k
    return [*subtree_proof(tree, inner, origin + k, n - k, known=known), left]


def test_the_rolling_digests_of_the_merkle_tree_certificate_draft_are_reproduced() -> None:
    facts = load("subtrees")
    tree = ReferenceTree([leaf_hash(bytes([index])) for index in range(facts["max_size"])])
    hashes, paths, proofs = sha256(), sha256(), sha256()
    for end in range(1, tree.length + 1):
        for start in filter(lambda start: is_subtree(start, end), range(end)):
            hashes.update(b"[%d, %d) %s\n" % (start, end, tree.mth(start, end).hex().encode()))
            part = ReferenceTree(tree.leaves(start, end))
            for index in range(start, end):
                line = [f"{index} [{start}, {end})"]
                line += [value.hex() for value in part.path(index - start, end - start)]
                paths.update(" ".join(line).encode() + b"\n")
    for n in range(1, tree.length + 1):
        for end in range(1, n + 1):
            for start in filter(lambda start: is_subtree(start, end), range(end)):
                line = [f"[{start}, {end}) {n}"]
                found = subtree_proof(tree, (start, end), 0, n, known=True)
                proofs.update(" ".join(line + [value.hex() for value in found]).encode() + b"\n")
    assert hashes.hexdigest() == facts["subtree_hashes"]
    assert paths.hexdigest() == facts["inclusion_proofs"]
    assert proofs.hexdigest() == facts["consistency_proofs"]
