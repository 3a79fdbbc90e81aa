"""The last word before an entry is written, in the writer's thread and in the order of the log.

Whether its key is valid here and may say this, and which occurrence of its deployment it is.
Signatures are verified on many threads before an entry has an index; what depends on the index or
on the entries before it is decided here.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from deploymark.crypto.keyring import KeyRing
from deploymark.crypto.scope import Said
from deploymark.errors import LogBrokenError, RefusedError
from deploymark.ingest.registry import Registry
from deploymark.ingest.sighting import Emission, Sighting, sighting_of
from deploymark.log.sequencer import Candidate
from deploymark.log.tree import leaf_hash
from deploymark.model.equality import differing
from deploymark.model.filing import MARKER_TYPES
from deploymark.model.instants import parse_instant
from deploymark.model.leaf import Leaf, decode_leaf, encode_leaf
from deploymark.model.marker import decode_marker
from deploymark.model.vocabulary import KEY
from deploymark.ports import LogReader, Position, StoredEntry

REMEMBERED: Final = 16_384
"""How many decisions about numbered markers this process remembers."""

COMPARED: Final = 16
"""With how many earlier entries a marker is compared at most, the newest."""

RESENT_MS: Final = 15 * 60_000
"""How long the same bytes without a number or a time count as sent again, not as said again."""


class Claim(Struct, frozen=True, gc=False):
    """What the writer needs to know of a candidate without decoding it again.

    Attributes:
        said: What scopes look at.
        leaf: The leaf, with the occurrence that is right for most: the first.
        sighting: What occurrences look at; None when it is no marker.
    """

    said: Said
    leaf: Leaf
    sighting: Sighting | None = None

    @property
    def is_key(self) -> bool:
        """It changes who may sign."""
        return self.leaf.dsse.payloadType == KEY


class EntryAuthority:
    """Admits entries by the keys and the history of the log; implements `sequencer.Admission`.

    Args:
        ring: The keys as of the newest key entry in the log.
        registry: The deployments as of the newest entry in the log.
        reader: The log itself, to look for earlier copies of a marker.
    """

    def __init__(self, ring: KeyRing, registry: Registry, reader: LogReader) -> None:
        self.ring = ring
        self.registry = registry
        self._reader = reader
        self._origin = reader.head().origin
        self._decided: OrderedDict[tuple[str, Emission], tuple[int, int]] = OrderedDict()

    def begin(self, candidates: Sequence[Candidate]) -> None:
        """Read what the registry knows of these candidates' deployments."""
        claims = [_claim_of(candidate) for candidate in candidates]
        self.registry.begin([each.sighting for each in claims if each.sighting is not None])

    def settle(self, candidate: Candidate) -> Candidate:
        """Return a candidate with its occurrence and repeat in the leaf.

        Raises:
            ConflictError: Its deployment id belongs to another service.
        """
        claim = _claim_of(candidate)
        sighting = claim.sighting
        if sighting is None:
            return candidate
        occurrence, repeat = self._decide(claim, sighting)
        if (occurrence, repeat) == (1, 0):
            return candidate
        leaf = replace(claim.leaf, occurrence=occurrence, repeat=repeat)
        return _with_leaf(candidate, claim, leaf)

    def _decide(self, claim: Claim, sighting: Sighting) -> tuple[int, int]:
        """Return occurrence and repeat: as decided when it was seen before, else decided now."""
        decided = self.registry.place(sighting)
        if decided == (1, 0) and self.registry.is_first(sighting):
            found = decided
        else:
            found = self._recall(sighting) or self._seen_before(claim, sighting) or decided
        if sighting.emission is not None:
            # A copy of a duplicate must be found too, and the log does not hold duplicates.
            self._decided[sighting.marker_id, sighting.emission] = found
            while len(self._decided) > REMEMBERED:
                self._decided.popitem(last=False)
        return found

    def _recall(self, sighting: Sighting) -> tuple[int, int] | None:
        if sighting.emission is None:
            return None
        return self._decided.get((sighting.marker_id, sighting.emission))

    def admit(self, index: int, candidate: Candidate) -> None:
        """Raise KeyUntrustedError or SignatureError unless the entry may stand at this index."""
        claim = _claim_of(candidate)
        if claim.is_key:
            # Only judged: the ring moves when the entry is on the disk.
            self.ring.judge(index, claim.leaf)
            return
        if len(claim.leaf.dsse.signatures) > 1:
            # A key that was unknown when the signatures were verified may be registered by now.
            for check in self.ring.plan(claim.leaf):
                check.verify()
        self.ring.allow(index, candidate.key_id, claim.said)
        if claim.sighting is not None:
            self.registry.take(index, claim.sighting, claim.leaf.occurrence, claim.leaf.repeat)

    def appended(self, index: int, candidate: Candidate) -> None:
        """Let a committed entry count from here on."""
        position = Position(self._origin, index + 1, candidate.leaf_hash)
        if not isinstance(candidate.claim, Claim):  # found in the store after a failed commit
            leaf = decode_leaf(candidate.leaf)
            fold_entry(self.registry, index, leaf)
        else:
            leaf = candidate.claim.leaf
        self.registry.commit(position)
        if leaf.dsse.payloadType == KEY:
            self.ring.apply(index, leaf)

    def differing(self, first: bytes, second: bytes) -> Sequence[str]:
        """Return the significant fields in which two leaves of one identity differ."""
        return differing_leaves(first, second)

    def _seen_before(self, claim: Claim, sighting: Sighting) -> tuple[int, int] | None:
        """Return what was decided of the entry that this copies, by its number or its bytes.

        Bounded, because one thread decides for all: of the entries with this marker id under the
        newest occurrences and repeats, the newest `COMPARED` are read. A copy of something older
        is known again only while this process remembers its number.
        """
        filed = self.registry.filed(sighting, COMPARED)
        asked = [replace(claim.leaf, occurrence=one, repeat=two).dedupe for one, two in filed]
        for index in sorted(self._reader.find(asked).values(), reverse=True)[:COMPARED]:
            body = self._reader.entry(index).leaf
            if body is not None and _is_copy(claim, sighting, leaf := decode_leaf(body)):
                return leaf.occurrence, leaf.repeat
        return None


def _claim_of(candidate: Candidate) -> Claim:
    if not isinstance(candidate.claim, Claim):
        raise LogBrokenError("A candidate reached the writer without its claim.")
    return candidate.claim


def _with_leaf(candidate: Candidate, claim: Claim, leaf: Leaf) -> Candidate:
    body = encode_leaf(leaf)
    return replace(
        candidate,
        leaf=body,
        leaf_hash=leaf_hash(body),
        dedupe=leaf.dedupe,
        claim=replace(claim, leaf=leaf),
    )


def _is_copy(claim: Claim, sighting: Sighting, earlier: Leaf) -> bool:
    if sighting.emission is not None:
        first = sighting_of(earlier.ids, marker_fields(earlier), 0)
        return first.emission == sighting.emission
    if claim.leaf.dsse.payload != earlier.dsse.payload:
        return False
    # What states its time is said once: whoever read it in the log could hand it in again.
    if marker_fields(earlier).get("timestamp") is not None:
        return True
    elapsed_ms = parse_instant(claim.leaf.received_at) - parse_instant(earlier.received_at)
    return elapsed_ms <= RESENT_MS


def fold_entry(registry: Registry, index: int, leaf: Leaf) -> None:
    """Fold an entry that stands in the log into the registry, as its leaf was decided then."""
    if leaf.dsse.payloadType in MARKER_TYPES:
        fields = marker_fields(leaf)
        sighting = sighting_of(leaf.ids, fields, parse_instant(leaf.received_at))
        registry.begin([sighting])
        registry.take(index, sighting, leaf.occurrence, leaf.repeat)


def catch_up(registry: Registry, reader: LogReader) -> int:
    """Fold what the registry has not seen of a log, and return how many entries that were.

    A registry of another log, or of a later state of this one, starts again from nothing.

    Raises:
        LogBrokenError: An entry that must be folded has lost its body.
    """
    head = reader.head()
    position = registry.position
    if position is not None and not _fits(position, reader):
        registry.clear()
        position = None
    start = 0 if position is None else position.size
    for entry in reader.entries(start, head.size):
        try:
            fold_entry(registry, entry.index, decode_leaf(_body_of(entry)))
        except RefusedError as error:
            raise LogBrokenError(f"Entry {entry.index} cannot be read: {error.message}") from error
        registry.commit(Position(head.origin, entry.index + 1, entry.leaf_hash))
        if entry.index % _FLUSH_EVERY == 0:
            registry.flush()
    registry.flush()
    return head.size - start


_FLUSH_EVERY: Final = 8_192


def _fits(position: Position, reader: LogReader) -> bool:
    head = reader.head()
    if position.origin != head.origin or position.size > head.size:
        return False
    return position.size == 0 or (
        reader.leaf_hashes(position.size - 1, position.size) == position.leaf_hash
    )


def _body_of(entry: StoredEntry) -> bytes:
    if entry.leaf is None:
        raise LogBrokenError(f"Entry {entry.index} is archived; the registry must read it.")
    return entry.leaf


def differing_leaves(first: bytes, second: bytes) -> list[str]:
    """Compare two leaves that stand under one identity.

    Entries other than markers are filed under the hash of their payload, so they never differ.
    """
    one, other = decode_leaf(first), decode_leaf(second)
    if one.dsse.payloadType not in MARKER_TYPES:
        return []
    return differing(marker_fields(one), marker_fields(other))


def marker_fields(leaf: Leaf) -> dict[str, Any]:
    """Return the flat marker inside a stored leaf."""
    payload = leaf.dsse.payload_bytes()
    return decode_marker(payload, leaf.dsse.payloadType, strict=False).fields()
