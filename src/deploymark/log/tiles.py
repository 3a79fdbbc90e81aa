"""Names and bytes of tiles and entry bundles (c2sp.org/tlog-tiles).

A tile is 256 consecutive hashes of one level; level l holds the roots of subtrees of 256**l
leaves. The rightmost tile of a level may be partial, 1 to 255 wide, and is never hashed upward.
Pure: no I/O.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from deploymark.errors import LogBrokenError, NotFoundError
from deploymark.log.tree import TILE_HEIGHT, TILE_WIDTH

MAX_LEVEL = 63
MAX_ENTRY_BYTES = 65_535
ENTRIES: Literal["entries"] = "entries"

_PATH = re.compile(
    r"tile/(?P<level>0|[1-9][0-9]?|entries)"
    r"/(?P<index>(?:x[0-9]{3}/)*[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?",
    re.ASCII,
)

TileLevel = int | Literal["entries"]


@dataclass(frozen=True, slots=True)
class TileName:
    """Names one resource of the log.

    Attributes:
        level: 0 to 63, or "entries" for an entry bundle.
        index: Position within the level.
        width: 256 for a full tile, 1 to 255 for a partial one.
    """

    level: TileLevel
    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """Return the URL path below the log's prefix."""
        return tile_path(self.level, self.index, self.width)


def tile_path(level: TileLevel, index: int, width: int = TILE_WIDTH) -> str:
    """Return the path of a tile, for example `tile/0/x001/x234/067.p/112`.

    Raises:
        NotFoundError: No tile has that level, index or width.
    """
    if index < 0 or not 1 <= width <= TILE_WIDTH or not _is_level(level):
        raise NotFoundError(f"There is no tile of level {level}, index {index}, width {width}.")
    groups = [f"{index % 1000:03d}"]
    rest = index // 1000
    while rest:
        groups.append(f"x{rest % 1000:03d}")
        rest //= 1000
    suffix = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{level}/{'/'.join(reversed(groups))}{suffix}"


def _is_level(level: TileLevel) -> bool:
    return level == ENTRIES or 0 <= level <= MAX_LEVEL


def parse_tile_path(path: str) -> TileName:
    """Read a tile path back; the one spelling of tlog-tiles and no other.

    Raises:
        NotFoundError: The path names no tile (wrong level, width, padding or prefix).
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise NotFoundError(f"{path!r} does not name a tile.")
    digits = match["index"].replace("x", "").replace("/", "")
    width = int(match["width"] or TILE_WIDTH)
    level: TileLevel = ENTRIES if match["level"] == ENTRIES else int(match["level"])
    name = TileName(level, int(digits), width)
    # One resource, one name: leading x000 groups and a .p/256 are other spellings of it.
    if name.path != path:
        raise NotFoundError(f"{path!r} does not name a tile.")
    return name


def _level_names(level: TileLevel, size: int) -> Iterator[TileName]:
    full, partial = divmod(size, TILE_WIDTH)
    for index in range(full):
        yield TileName(level, index)
    if partial:
        yield TileName(level, full, partial)


def tile_names(size: int) -> Iterator[TileName]:
    """Yield every hash tile of a tree of `size` leaves, level by level; none is empty."""
    level = 0
    while size > 0:
        yield from _level_names(level, size)
        size >>= TILE_HEIGHT
        level += 1


def bundle_names(size: int) -> Iterator[TileName]:
    """Yield every entry bundle of a log of `size` entries."""
    return _level_names(ENTRIES, size)


def exists_at(name: TileName, size: int) -> bool:
    """Tell whether a tree that grew to `size` may serve this tile, at any published size."""
    level = 0 if name.level == ENTRIES else name.level
    return name.index * TILE_WIDTH + name.width <= size >> (TILE_HEIGHT * level)


def encode_bundle(leaves: Sequence[bytes]) -> bytes:
    """Return an entry bundle: uint16 big-endian length ‖ leaf, for each leaf.

    Raises:
        LogBrokenError: A leaf is longer than 65,535 bytes; admission should have refused it.
    """
    parts: list[bytes] = []
    for leaf in leaves:
        if len(leaf) > MAX_ENTRY_BYTES:
            raise LogBrokenError(f"A leaf of {len(leaf)} bytes exceeds {MAX_ENTRY_BYTES}.")
        parts.append(len(leaf).to_bytes(2, "big"))
        parts.append(leaf)
    return b"".join(parts)


def decode_bundle(bundle: bytes) -> list[bytes]:
    """Cut an entry bundle into its leaves.

    Raises:
        LogBrokenError: A length runs past the end.
    """
    leaves: list[bytes] = []
    position = 0
    end = len(bundle)
    while position < end:
        start = position + 2
        position = start + int.from_bytes(bundle[position:start], "big")
        if start > end or position > end:
            raise LogBrokenError(f"Entry {len(leaves)} of a bundle runs past its {end} bytes.")
        leaves.append(bundle[start:position])
    return leaves
