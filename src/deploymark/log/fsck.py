"""Audits a stored log: everything that can be derived is derived again and compared.

The entries are the only input. Hashes, tree, head, checkpoints, signatures, columns and stored
content must follow from them; whatever does not is a fault, said in one sentence that names the
place. A stranger's verifier does the same from an export (`log.export.Export.faults`).
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from deploymark.crypto.note import SignatureType, VerifierKey, parse_note, verify_note
from deploymark.errors import DeploymarkError
from deploymark.log.checkpoint import Checkpoint
from deploymark.log.export import Progress, no_progress
from deploymark.log.steps import Step, counted
from deploymark.log.tree import HASH_BYTES, TILE_HEIGHT, Frontier, leaf_hash
from deploymark.model.filing import check_filing
from deploymark.model.instants import parse_instant
from deploymark.model.leaf import decode_leaf, read_columns
from deploymark.ports import SALT_BYTES, Head, LogReader, Node, PublishedCheckpoint, StoredEntry

_CHUNK = 1024
_NODE_CHUNK = 4096
_MAX_FAULTS_PER_STEP = 100


@dataclass(slots=True)
class _Walk:
    """What one pass over the entries finds out."""

    roots: dict[int, bytes]
    frontier: Frontier = field(default_factory=Frontier)
    nodes: dict[int, bytearray] = field(default_factory=dict)
    named: dict[bytes, int] = field(default_factory=dict)  # digest to length of its salt
    erased: dict[bytes, int] = field(default_factory=dict)


class Audit:
    """Checks one snapshot of a stored log.

    Args:
        reader: A snapshot, so that a running writer does not disturb.
        log_keys: The log's verifier keys, from its policy.
        progress: Told the number of entries checked so far.
    """

    def __init__(
        self,
        reader: LogReader,
        log_keys: Sequence[VerifierKey],
        progress: Progress = no_progress,
    ) -> None:
        self._reader = reader
        self._log_keys = log_keys
        self._progress = progress
        self._head: Head = reader.head()
        self._published: list[PublishedCheckpoint] = []
        self._walk = _Walk({})

    def steps(self) -> Iterator[Step]:
        """Run the audit; each step is yielded when it is done, faults or not.

        Later steps rely on what earlier ones derived, never on what they found stored.
        """
        size = self._head.size
        plan: list[tuple[str, str, Callable[[], Iterable[str]]]] = [
            ("The store's own structure", "pages, indexes, stray rows", self._reader.self_check),
            ("Published checkpoints are readable", "chain of sizes", self._read_published),
            ("Every entry and its columns", counted(size, "entry", "entries"), self._entries),
            ("The tree above the entries", "stored subtree roots", self._nodes),
            ("The head", "size, root, frontier, signature", self._check_head),
            ("Published checkpoints", "roots, signatures, times, cosignatures", self._checkpoints),
            ("Content kept by digest", "present, intact, erased as logged", self._details),
        ]
        for number, (name, detail, check) in enumerate(plan, 1):
            yield Step(number, name, detail, tuple(_bounded(check)))

    # Steps --------------------------------------------------------------------------------

    def _read_published(self) -> Iterator[str]:
        self._published = list(self._reader.checkpoints())
        previous = 0
        for checkpoint in self._published:
            if checkpoint.previous_size != previous:
                yield (
                    f"The checkpoint of size {checkpoint.size} follows size "
                    f"{checkpoint.previous_size}, but the one stored before it has {previous}."
                )
            previous = checkpoint.size
        if previous != self._head.published_size:
            yield f"The head names {self._head.published_size} as published, stored is {previous}."

    def _entries(self) -> Iterator[str]:
        size = self._head.size
        if size < 0:
            yield f"The head claims {counted(size, 'entry', 'entries')}."
            return
        stops = sorted({c.size for c in self._published if 0 <= c.size <= size} | {size})
        self._walk.roots[0] = self._walk.frontier.root()
        for start, end in pairwise([0, *stops]):
            expected = start
            for chunk in _chunks(self._reader.entries(start, end)):
                hashes: list[bytes] = []
                for entry in chunk:
                    if entry.index != expected:
                        yield f"Entry {expected} is missing."
                        return
                    expected += 1
                    derived = entry.leaf_hash if entry.leaf is None else leaf_hash(entry.leaf)
                    hashes.append(derived)
                    yield from self._entry(entry, derived)
                self._keep(self._walk.frontier.extend(hashes))
                self._progress(expected)
            if expected != end:
                yield f"Entry {expected} is missing."
                return
            self._walk.roots[end] = self._walk.frontier.root()

    def _entry(self, entry: StoredEntry, derived: bytes) -> Sequence[str]:
        body = entry.leaf
        if body is None:
            return [f"The body of entry {entry.index} is gone, and no archive holds it."]
        if derived != entry.leaf_hash:
            return [f"Entry {entry.index} does not hash to its stored leaf hash."]
        try:
            leaf = read_columns(body)
            columns = (parse_instant(leaf.received_at), leaf.key_id, leaf.dedupe)
        except DeploymarkError as error:
            return [f"Entry {entry.index} cannot be read: {error.message}"]
        if (entry.received_at_ms, entry.key_id, entry.dedupe) != columns:
            return [f"The columns beside entry {entry.index} are not those of its leaf, {columns}."]
        if digest := leaf.ids.get("detail"):
            self._note_detail(body, bytes.fromhex(digest.removeprefix("sha256:")), columns[0])
        return ()

    def _note_detail(self, body: bytes, digest: bytes, received_at_ms: int) -> None:
        filing = check_filing(decode_leaf(body))
        # The first entry to name some content brought it; later ones only point there.
        self._walk.named.setdefault(digest, SALT_BYTES if filing.erasable else 0)
        if filing.erases:
            self._walk.erased[digest] = received_at_ms

    def _keep(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            self._walk.nodes.setdefault(node.level, bytearray()).extend(node.hash)

    def _nodes(self) -> Iterator[str]:
        level = 1
        # By the derived size: a damaged head may claim any.
        while count := self._walk.frontier.size >> (TILE_HEIGHT * level):
            derived = self._walk.nodes.get(level, bytearray())
            for start in range(0, count, _NODE_CHUNK):
                end = min(start + _NODE_CHUNK, count)
                stored = self._reader.nodes(level, start, end)
                if stored != bytes(derived[start * HASH_BYTES : end * HASH_BYTES]):
                    yield (
                        f"The stored subtree roots {start} to {end - 1} of level {level} "
                        "do not follow from the entries."
                    )
            level += 1

    def _check_head(self) -> Iterator[str]:
        head = self._head
        frontier = self._walk.frontier
        if (frontier.size, frontier.root()) != (head.size, head.root):
            yield f"The head's root of {head.size} entries does not follow from the entries."
        if frontier.pack() != head.frontier:
            yield "The head's frontier does not follow from the entries."
        if {key.name for key in self._log_keys} != {head.origin}:
            yield f"The origin {head.origin!r} is not the name of the log's keys."
        yield from self._check_note(head.note, head.size, "The head", _HEAD_TYPES)

    def _check_note(
        self, text: str, size: int, what: str, types: tuple[SignatureType, ...]
    ) -> Iterator[str]:
        """Check a note of ours: its text, that exactly these keys signed it, nothing else."""
        root = self._walk.roots.get(size)
        if root is None:
            yield f"{what} has {counted(size, 'entry', 'entries')}, which the log never had."
            return
        try:
            note = parse_note(text)
            lines = verify_note(note, self._log_keys)
        except DeploymarkError as error:
            yield f"{what} of size {size} is not signed by the log: {error.message}"
            return
        if note.text != Checkpoint(self._head.origin, size, root).text():
            yield f"{what} of size {size} states what does not follow from the entries."
        # In this order and spelling, so that no byte of the note is anybody's choice.
        signed = tuple(line.key.algorithm for line in lines)
        if signed != types or len(note.signatures) != len(lines) or str(note) != text:
            yield f"{what} of size {size} does not carry exactly the log's own signatures."

    def _checkpoints(self) -> Iterator[str]:
        for checkpoint in self._published:
            yield from self._check_note(
                checkpoint.note, checkpoint.size, "The checkpoint", _PUBLISHED_TYPES
            )
            yield from self._check_times(checkpoint)

    def _check_times(self, checkpoint: PublishedCheckpoint) -> Iterator[str]:
        try:
            note = parse_note(checkpoint.note)
            stamps = {line.timestamp for line in verify_note(note, self._log_keys)} - {0}
            if stamps != {checkpoint.published_at_s}:
                yield f"The time of the checkpoint of size {checkpoint.size} is not the signed one."
            for vkey, line in checkpoint.cosignatures.items():
                cosigned, key = parse_note(f"{note.text}\n{line}"), VerifierKey.parse(vkey)
                verify_note(cosigned, [key])
                if (str(key), str(cosigned)) != (vkey, f"{note.text}\n{line}") or len(
                    cosigned.signatures
                ) != 1:
                    yield f"A cosignature row of size {checkpoint.size} is not just its line."
        except DeploymarkError as error:
            yield f"A cosignature of size {checkpoint.size} does not hold: {error.message}"

    def _details(self) -> Iterator[str]:
        missing = set(self._walk.named)
        for blob in self._reader.blobs():
            name = f"sha256:{blob.digest.hex()}"
            if blob.digest not in self._walk.named:
                yield f"The content {name} is named by no entry."
            missing.discard(blob.digest)
            gone = blob.content is None
            if not (blob.erased_at_ms is not None) == gone == (blob.salt is None):
                yield f"The content {name} is half erased."
            elif blob.erased_at_ms != self._walk.erased.get(blob.digest):
                yield f"The content {name} is {'erased' if gone else 'kept'}; the log says not so."
            elif not gone:
                salt, content = blob.salt or b"", blob.content or b""
                whole = salt + content
                if len(salt) != self._walk.named.get(blob.digest, len(salt)):
                    yield f"The salt of the content {name} has {len(salt)} bytes."
                if hashlib.sha256(whole).digest() != blob.digest:
                    yield f"The content {name} does not hash to its digest."
        for digest in sorted(missing):
            yield f"The content sha256:{digest.hex()} is named by an entry but not stored."


_HEAD_TYPES = (SignatureType.ED25519,)
_PUBLISHED_TYPES = (SignatureType.ED25519, SignatureType.ML_DSA_44)


def _chunks(rows: Iterator[StoredEntry]) -> Iterator[list[StoredEntry]]:
    chunk: list[StoredEntry] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _bounded(check: Callable[[], Iterable[str]]) -> Iterator[str]:
    """Run a check, keep the first faults, and turn a failing check into a fault itself."""
    count = 0
    try:
        for fault in check():
            count += 1
            if count <= _MAX_FAULTS_PER_STEP:
                yield fault
    except DeploymarkError as error:
        yield error.message
    except Exception as error:  # noqa: BLE001 - damaged rows can be of any shape
        yield f"This could not be checked: {error!r}."
    if count > _MAX_FAULTS_PER_STEP:
        yield f"… and {count - _MAX_FAULTS_PER_STEP} more."
