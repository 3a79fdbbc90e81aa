"""The log as a static site (c2sp.org/tlog-tiles) that any web server can serve.

One function renders the files of a log from its leaves; writing an export and checking one are
both that rendering, so a changed, missing or added file cannot hide. The checkpoint is written
last: a reader that sees it sees everything it covers.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from deploymark.crypto.note import MAX_NOTE_BYTES, parse_note
from deploymark.durable import DRAFT_SUFFIX, write_whole
from deploymark.errors import DeploymarkError, LogBrokenError, NotFoundError, StoreUnavailableError
from deploymark.log.checkpoint import Checkpoint, parse_checkpoint
from deploymark.log.reader import full_note
from deploymark.log.tiles import (
    ENTRIES,
    MAX_ENTRY_BYTES,
    TileName,
    bundle_names,
    decode_bundle,
    encode_bundle,
    exists_at,
    parse_tile_path,
    tile_names,
)
from deploymark.log.tree import HASH_BYTES, TILE_WIDTH, Frontier, leaf_hash
from deploymark.ports import LogReader

CHECKPOINT = "checkpoint"
Progress = Callable[[int], None]


def no_progress(_: int) -> None:
    """Ignore how many entries are done."""


class SiteRenderer:
    """Renders the files of a log of known size from its leaves, in order.

    After `files` is exhausted, `root` is the root of the leaves seen.
    """

    def __init__(self) -> None:
        self._frontier = Frontier()
        self._levels: list[bytearray] = []

    @property
    def size(self) -> int:
        """Number of leaves rendered so far."""
        return self._frontier.size

    @property
    def root(self) -> bytes:
        """Root of the leaves rendered so far, 32 bytes."""
        return self._frontier.root()

    def files(self, leaves: Iterable[bytes]) -> Iterator[tuple[TileName, bytes]]:
        """Yield every tile and bundle with its bytes; upper levels last.

        Memory grows by 32 bytes for 256 leaves.
        """
        chunk: list[bytes] = []
        for leaf in leaves:
            chunk.append(leaf)
            if len(chunk) == TILE_WIDTH:
                yield from self._chunk(chunk)
                chunk = []
        if chunk:
            yield from self._chunk(chunk)
        for level, hashes in enumerate(self._levels, 1):
            step = TILE_WIDTH * HASH_BYTES
            for start in range(0, len(hashes), step):
                tile = bytes(hashes[start : start + step])
                yield TileName(level, start // step, len(tile) // HASH_BYTES), tile

    def _chunk(self, leaves: list[bytes]) -> Iterator[tuple[TileName, bytes]]:
        index = self.size // TILE_WIDTH
        hashes = [leaf_hash(leaf) for leaf in leaves]
        for node in self._frontier.extend(hashes):
            while len(self._levels) < node.level:
                self._levels.append(bytearray())
            self._levels[node.level - 1] += node.hash
        yield TileName(ENTRIES, index, len(leaves)), encode_bundle(leaves)
        yield TileName(0, index, len(leaves)), b"".join(hashes)


def write_export(reader: LogReader, target: Path, progress: Progress = no_progress) -> Checkpoint:
    """Write the newest published checkpoint and everything it covers to a directory.

    An earlier export in the same directory grows; tiles that other checkpoints need stay.

    Args:
        reader: A snapshot of the log.
        target: Directory, created when absent.
        progress: Told the number of entries written so far.

    Returns:
        The exported checkpoint.

    Raises:
        NotFoundError: Nothing is published yet, or entries are in the archive.
        LogBrokenError: The entries do not lead to the checkpoint, or the directory holds files
            of another log.
        StoreUnavailableError: The directory refuses.
    """
    published = reader.checkpoint(max(1, reader.head().published_size))
    note = full_note(published.note, published.cosignatures)
    checkpoint = parse_checkpoint(parse_note(note).text)
    renderer = SiteRenderer()
    try:
        for name, content in renderer.files(_bodies(reader, checkpoint.size)):
            _write_tile(target / name.path, content)
            progress(renderer.size)
        if renderer.root != checkpoint.root:
            raise LogBrokenError(
                f"The {checkpoint.size} entries do not lead to the published root.",
                hint="Run `deploymark log fsck`; nothing of this export may be used.",
            )
        _remove_drafts(target)
        # If we stop here, the old checkpoint stands and everything it needs is still there.
        write_whole(target / CHECKPOINT, note.encode("utf-8"))
    except OSError as error:
        raise StoreUnavailableError(f"The export {target} cannot be written: {error}.") from error
    return checkpoint


def _remove_drafts(target: Path) -> None:
    """Remove what an interrupted export left, and nothing that is not an export's."""
    for draft in (target / "tile").rglob(f"*{DRAFT_SUFFIX}"):
        with suppress(NotFoundError):
            parse_tile_path(draft.relative_to(target).as_posix().removesuffix(DRAFT_SUFFIX))
            draft.unlink()


def _bodies(reader: LogReader, size: int) -> Iterator[bytes]:
    for entry in reader.entries(0, size):
        if entry.leaf is None:
            raise NotFoundError(f"Entry {entry.index} is archived; export from the archive.")
        yield entry.leaf


def _write_tile(path: Path, content: bytes) -> None:
    if path.exists():
        if path.read_bytes() != content:
            raise LogBrokenError(f"{path} exists with other content; export to a new directory.")
        return
    write_whole(path, content)


def _read_regular(path: Path, limit: int) -> bytes:
    """Read a file that a stranger put there: no pipe may hang us and no size exhaust us."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise LogBrokenError(f"{path} is not a regular file.")
        content = file.read(limit + 1)
    if len(content) > limit:
        raise LogBrokenError(f"{path} has more than the {limit} bytes that it can have.")
    return content


class Export:
    """Reads an exported log from a directory.

    Args:
        path: The directory that `write_export` made, or a mirror of the site.

    Raises:
        NotFoundError: There is no checkpoint in it.
        NoteError: The checkpoint is malformed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.note = _read_regular(path / CHECKPOINT, MAX_NOTE_BYTES).decode("utf-8")
        except OSError as error:
            raise NotFoundError(
                f"{path} is not an export: its checkpoint cannot be read ({error.strerror}).",
                hint="Name the directory that `deploymark log export` wrote.",
            ) from error
        except UnicodeDecodeError as error:
            raise LogBrokenError(f"{path / CHECKPOINT} is not UTF-8.") from error
        self.checkpoint = parse_checkpoint(parse_note(self.note).text)

    def leaves(self) -> Iterator[bytes]:
        """Stream the leaves from the bundles, in order.

        Raises:
            LogBrokenError: A bundle is missing, cut, or of the wrong width.
        """
        for name in bundle_names(self.checkpoint.size):
            leaves = decode_bundle(self.read(name))
            if len(leaves) != name.width:
                raise LogBrokenError(f"{name.path} holds {len(leaves)} entries of {name.width}.")
            yield from leaves

    def root(self, size: int) -> bytes:
        """Return the root of the first `size` leaves, computed from the bundles."""
        frontier = Frontier()
        for leaf in islice(self.leaves(), size):
            frontier.extend([leaf_hash(leaf)])
        return frontier.root()

    def leaf(self, index: int) -> bytes:
        """Return one leaf; LogBrokenError when its bundle is damaged."""
        start = index - index % TILE_WIDTH
        width = min(TILE_WIDTH, self.checkpoint.size - start)
        leaves = decode_bundle(self.read(TileName(ENTRIES, index // TILE_WIDTH, width)))
        if len(leaves) <= index - start:
            raise LogBrokenError(f"The bundle of entry {index} is cut.")
        return leaves[index - start]

    def read(self, name: TileName) -> bytes:
        """Return the bytes of a tile or bundle; LogBrokenError when it is not there."""
        unit = HASH_BYTES if name.level != ENTRIES else MAX_ENTRY_BYTES + 2
        try:
            return _read_regular(self.path / name.path, name.width * unit)
        except OSError as error:
            raise LogBrokenError(f"{name.path} is missing: {error.strerror}.") from error

    def faults(self, progress: Progress = no_progress) -> Iterator[str]:
        """Yield one sentence for each file that is not what the entries and checkpoint demand.

        Signatures are not looked at: that takes a policy (`Policy.check`).
        """
        renderer = SiteRenderer()
        try:
            for name, content in renderer.files(self.leaves()):
                progress(renderer.size)
                if name.level != ENTRIES and self.read(name) != content:
                    yield f"{name.path} does not follow from the entries."
        except DeploymarkError as error:
            yield error.message
            return
        if renderer.root != self.checkpoint.root:
            yield f"The {renderer.size} entries do not lead to the root of the checkpoint."
        yield from self._strangers()

    def _strangers(self) -> Iterator[str]:
        """Yield files that belong to no log, and older partial tiles with other content."""
        size = self.checkpoint.size
        own = {
            CHECKPOINT,
            *(n.path for n in tile_names(size)),
            *(n.path for n in bundle_names(size)),
        }
        for path in sorted(self.path.rglob("*")):
            relative = path.relative_to(self.path).as_posix()
            if relative in own or (path.is_dir() and not path.is_symlink()):
                continue
            if not self._is_older_partial(relative):
                yield f"{relative} does not belong to this log."

    def _is_older_partial(self, relative: str) -> bool:
        """Tell whether a file is the beginning of a tile that has grown since."""
        try:
            name = parse_tile_path(relative)
        except NotFoundError:
            return False
        if name.width == TILE_WIDTH or not exists_at(name, self.checkpoint.size):
            return False
        return self.read(name) == self._cut(name)

    def _cut(self, name: TileName) -> bytes:
        size = self.checkpoint.size
        level = 0 if name.level == ENTRIES else name.level
        width = min(TILE_WIDTH, (size >> (8 * level)) - name.index * TILE_WIDTH)
        content = self.read(TileName(name.level, name.index, width))
        if name.level == ENTRIES:
            return encode_bundle(decode_bundle(content)[: name.width])
        return content[: name.width * HASH_BYTES]
