"""The log's mathematics a second time, so that ours can be checked against it.

Written from the texts alone and shared with nothing in `src`: RFC 6962 section 2.1 (Merkle tree
hash, audit path, consistency proof), RFC 9162 sections 2.1.3.2 and 2.1.4.2 (verification), and
c2sp.org/tlog-tiles (tiles and entry bundles). Each definition stands here as the standard words it;
speed comes only from keeping the hashes of perfect subtrees.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256

TILE = 256


def leaf_hash(entry: bytes) -> bytes:
    """MTH({d(0)}) = SHA-256(0x00 || d(0))."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


def split_point(n: int) -> int:
    """The largest power of two smaller than n (k < n <= 2k)."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


# RFC 6962 section 2.1, to the letter --------------------------------------------------------------


def mth(entries: Sequence[bytes]) -> bytes:
    """MTH(D[n]) of section 2.1."""
    n = len(entries)
    if n == 0:
        return sha256().digest()
    if n == 1:
        return leaf_hash(entries[0])
    k = split_point(n)
    return node_hash(mth(entries[:k]), mth(entries[k:]))


def audit_path(m: int, entries: Sequence[bytes]) -> list[bytes]:
    """PATH(m, D[n]) of section 2.1.1."""
    n = len(entries)
    if n == 1:
        return []
    k = split_point(n)
    if m < k:
        return [*audit_path(m, entries[:k]), mth(entries[k:])]
    return [*audit_path(m - k, entries[k:]), mth(entries[:k])]


def consistency(m: int, entries: Sequence[bytes]) -> list[bytes]:
    """PROOF(m, D[n]) of section 2.1.2."""
    return _subproof(m, entries, known=True)


def _subproof(m: int, entries: Sequence[bytes], *, known: bool) -> list[bytes]:
    n = len(entries)
    if m == n:
        return [] if known else [mth(entries)]
    k = split_point(n)
    if m <= k:
        return [*_subproof(m, entries[:k], known=known), mth(entries[k:])]
    return [*_subproof(m - k, entries[k:], known=False), mth(entries[:k])]


# The same over a long list, with perfect subtrees kept --------------------------------------------


class ReferenceTree:
    """D[0:length], every prefix of which is a tree of its own."""

    def __init__(self, leaf_hashes: Sequence[bytes]) -> None:
        self.length = len(leaf_hashes)
        self._levels: list[list[bytes]] = [list(leaf_hashes)]
        while len(self._levels[-1]) > 1:
            below = self._levels[-1]
            pairs = zip(below[0::2], below[1::2], strict=False)
            self._levels.append([node_hash(left, right) for left, right in pairs])

    @classmethod
    def numbered(cls, length: int) -> "ReferenceTree":
        """A tree whose entry i is the text `leaf i`."""
        return cls([leaf_hash(numbered_entry(index)) for index in range(length)])

    def leaf(self, index: int) -> bytes:
        """MTH({d(index)})."""
        return self._levels[0][index]

    def leaves(self, start: int, end: int) -> list[bytes]:
        """The leaf hashes of D[start:end]."""
        return self._levels[0][start:end]

    def mth(self, start: int, end: int) -> bytes:
        """MTH(D[start:end])."""
        n = end - start
        if n == 0:
            return sha256().digest()
        level = n.bit_length() - 1
        if n == 1 << level and start % n == 0:
            return self._levels[level][start >> level]
        k = split_point(n)
        return node_hash(self.mth(start, start + k), self.mth(start + k, end))

    def root(self, size: int) -> bytes:
        """MTH(D[0:size])."""
        return self.mth(0, size)

    def frontier(self, size: int) -> list[bytes]:
        """The perfect subtrees that size is the sum of, largest first."""
        hashes, start = [], 0
        for level in reversed(range(size.bit_length())):
            if size >> level & 1:
                hashes.append(self.mth(start, start + (1 << level)))
                start += 1 << level
        return hashes

    def path(self, m: int, size: int) -> list[bytes]:
        """PATH(m, D[0:size])."""
        return self._path(m, 0, size)

    def _path(self, m: int, start: int, end: int) -> list[bytes]:
        n = end - start
        if n == 1:
            return []
        k = split_point(n)
        if m < k:
            return [*self._path(m, start, start + k), self.mth(start + k, end)]
        return [*self._path(m - k, start + k, end), self.mth(start, start + k)]

    def proof(self, m: int, size: int) -> list[bytes]:
        """PROOF(m, D[0:size]) for 0 < m <= size; nothing to prove for m = 0."""
        return self._proof(m, 0, size, known=True) if m else []

    def _proof(self, m: int, start: int, end: int, *, known: bool) -> list[bytes]:
        n = end - start
        if m == n:
            return [] if known else [self.mth(start, end)]
        k = split_point(n)
        if m <= k:
            return [*self._proof(m, start, start + k, known=known), self.mth(start + k, end)]
        return [*self._proof(m - k, start + k, end, known=False), self.mth(start, start + k)]

    def reader(self, size: int) -> "BoundedReader":
        """What a prover over the tree of `size` entries may read."""
        return BoundedReader(self, size)


class BoundedReader:
    """Serves perfect subtrees and refuses whatever lies beyond the stated tree size."""

    def __init__(self, tree: ReferenceTree, size: int) -> None:
        self._tree = tree
        self._size = size
        self.reads = 0

    def subtree(self, level: int, index: int) -> bytes:
        """MTH(D[index * 2**level : (index + 1) * 2**level])."""
        end = (index + 1) << level
        assert end <= self._size, f"subtree {level}/{index} lies beyond size {self._size}"
        self.reads += 1
        return self._tree.mth(index << level, end)


def numbered_entry(index: int) -> bytes:
    """The entry at `index` of every numbered tree."""
    return b"leaf %d" % index


# Verification by the recursive definition ---------------------------------------------------------


def root_of_path(m: int, n: int, leaf: bytes, path: Sequence[bytes]) -> bytes | None:
    """The root that makes `path` equal to PATH(m, D[n]), or None when the length is wrong."""
    if not 0 <= m < n:
        return None
    if n == 1:
        return None if path else leaf
    if not path:
        return None
    k = split_point(n)
    if m < k:
        inner = root_of_path(m, k, leaf, path[:-1])
        return inner and node_hash(inner, path[-1])
    inner = root_of_path(m - k, n - k, leaf, path[:-1])
    return inner and node_hash(path[-1], inner)


def roots_of_proof(
    m: int, n: int, proof: Sequence[bytes], known: bytes | None
) -> tuple[bytes, bytes] | None:
    """The (old, new) roots that make `proof` equal to SUBPROOF(m, D[n], b); b is `known is set`."""
    if not 0 < m <= n:
        return None
    if m == n:
        whole = [*proof] if known is None else [known, *proof]
        return (whole[0], whole[0]) if len(whole) == 1 else None
    if not proof:
        return None
    k = split_point(n)
    if m <= k:
        roots = roots_of_proof(m, k, proof[:-1], known)
        return None if roots is None else (roots[0], node_hash(roots[1], proof[-1]))
    roots = roots_of_proof(m - k, n - k, proof[:-1], None)
    if roots is None:
        return None
    return node_hash(proof[-1], roots[0]), node_hash(proof[-1], roots[1])


def includes(m: int, n: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> bool:
    """Whether `path` shows `leaf` at m in the tree of n entries with this root."""
    return are_hashes(leaf, root, *path) and root_of_path(m, n, leaf, path) == root


def extends(m: int, n: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Whether `proof` shows that the tree of n entries extends the one of m entries."""
    if not are_hashes(old_root, new_root, *proof):
        return False
    if m == 0:
        return n >= 0 and not proof and old_root == mth([]) and (n > 0 or new_root == old_root)
    return roots_of_proof(m, n, proof, old_root) == (old_root, new_root)


def are_hashes(*values: bytes) -> bool:
    """Whether each value has the length of a SHA-256 hash."""
    return all(len(value) == sha256().digest_size for value in values)


# Verification by the algorithms of RFC 9162 -------------------------------------------------------


def includes_rfc9162(m: int, n: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> bool:
    """RFC 9162 section 2.1.3.2."""
    if not 0 <= m < n:
        return False
    fn, sn, r = m, n - 1, leaf
    for p in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not (fn & 1 or fn == 0):
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == root


def extends_rfc9162(
    m: int, n: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> bool:
    """RFC 9162 section 2.1.4.2, for 0 < m < n."""
    if not (0 < m < n and proof):
        return False
    path = [old_root, *proof] if m & (m - 1) == 0 else list(proof)
    fn, sn = m - 1, n - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while not (fn & 1 or fn == 0):
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == old_root and sr == new_root


# c2sp.org/tlog-tiles ------------------------------------------------------------------------------


def tiles_of(size: int) -> Iterator[tuple[int, int, int]]:
    """Every (level, index, width) that exists at this tree size; never an empty tile."""
    level = 0
    while size // TILE**level:
        full, partial = divmod(size // TILE**level, TILE)
        yield from ((level, index, TILE) for index in range(full))
        if partial:
            yield level, full, partial
        level += 1


def tile_of(tree: ReferenceTree, level: int, n: int, width: int) -> list[bytes]:
    """The first `width` of MTH(D[(n * 256 + i) * 256**l : (n * 256 + i + 1) * 256**l])."""
    span = TILE**level
    return [tree.mth((n * TILE + i) * span, (n * TILE + i + 1) * span) for i in range(width)]


def nodes_between(tree: ReferenceTree, old: int, new: int) -> dict[tuple[int, int], bytes]:
    """Subtrees of 256**level entries, level from 1, whole at `new` and not yet at `old`."""
    nodes = {}
    level = 1
    while new // TILE**level:
        for index in range(old // TILE**level, new // TILE**level):
            span = TILE**level
            nodes[level, index] = tree.mth(index * span, (index + 1) * span)
        level += 1
    return nodes


def path_of(level: int | str, index: int, width: int = TILE) -> str:
    """`tile/<L>/<N>[.p/<W>]` with N in zero-padded groups of three, all but the last with an x."""
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    name = "/".join([f"x{group}" for group in groups[:-1]] + groups[-1:])
    return f"tile/{level}/{name}" + (f".p/{width}" if width < TILE else "")


def bundle_of(entries: Sequence[bytes]) -> bytes:
    """Big-endian uint16 length-prefixed entries, one after another."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)
