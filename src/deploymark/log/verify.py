"""Offline verification for a stranger: a policy file and the evidence, nothing else.

Reads like the specification (docs/formats/verification): every step has a number, says what it
checks, and stops the run when what follows would rest on it. What could not be checked is said
as *unchecked*; it is never a silent pass.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from deploymark.crypto.keyring import AsOf, KeyRing
from deploymark.crypto.registration import RegisteredKey
from deploymark.errors import DeploymarkError, KeyUntrustedError, LogBrokenError, MarkerError
from deploymark.log.export import Export, Progress, no_progress
from deploymark.log.policy import CheckedCheckpoint, Policy
from deploymark.log.proof import verify_inclusion
from deploymark.log.receipt import Receipt, parse_receipt
from deploymark.log.steps import Step, counted
from deploymark.log.tree import leaf_hash
from deploymark.model.envelope import Envelope
from deploymark.model.filing import check_filing
from deploymark.model.instants import format_instant
from deploymark.model.leaf import Leaf, decode_leaf
from deploymark.model.vocabulary import KEY

_KEY_TYPE = f'"payloadType":"{KEY}"'.encode()
_MAX_FAULTS = 100


@dataclass(slots=True)
class Found:
    """What a verification has established by the time it ends.

    Attributes:
        index: The entry's position.
        leaf: The entry.
        fields: The flat marker inside, None for other entries.
        signer: Name and id of the producer whose signature was checked, "" when none was.
    """

    index: int = -1
    leaf: Leaf | None = None
    fields: dict[str, object] | None = None
    signer: str = ""


class ReceiptVerification:
    """Verifies one receipt.

    Args:
        text: The receipt.
        policy: Whom to trust for logs and witnesses.
        ring: The producers' keys; None when the caller has none.
        envelope: The envelope that the caller holds, when the receipt must be for exactly that.
        export: The log's export, to see that it holds the same entry.
    """

    def __init__(
        self,
        text: str,
        policy: Policy,
        ring: KeyRing | None,
        envelope: Envelope | None = None,
        export: Export | None = None,
    ) -> None:
        self._text = text
        self._policy = policy
        self._ring = ring
        self._envelope = envelope
        self._export = export
        self._receipt = Receipt(0, (), "")
        self.found = Found()

    def steps(self) -> Iterator[Step]:
        """Run the verification; ends with the first step that fails."""
        plan = [
            ("The receipt is a c2sp.org/tlog-proof", self._parse),
            ("The checkpoint is signed by the log and its witnesses", self._checkpoint),
            ("The entry is in the tree that the checkpoint signs", self._inclusion),
            ("The entry says what it is filed under", self._content),
            ("The producer's signature, its validity at this index and its scope", self._producer),
        ]
        if self._export is not None:
            plan.append(("The export holds the same entry at this index", self._in_export))
        for number, (name, check) in enumerate(plan, 1):
            try:
                detail, unchecked = check()
            except DeploymarkError as error:
                yield Step(number, name, "", (error.message,))
                return
            yield Step(number, name, detail, (), unchecked)

    def _parse(self) -> tuple[str, str]:
        self._receipt = parse_receipt(self._text)
        hashes = len(self._receipt.proof)
        return f"index {self._receipt.index}, {counted(hashes, 'proof hash', 'proof hashes')}", ""

    def _checkpoint(self) -> tuple[str, str]:
        self._checked = self._policy.check(self._receipt.note)
        return describe_checkpoint(self._checked), ""

    def _inclusion(self) -> tuple[str, str]:
        receipt, checkpoint = self._receipt, self._checked.checkpoint
        if receipt.extra is None:
            raise MarkerError("The receipt carries no leaf in its extra line.")
        leaf = leaf_hash(receipt.extra)
        verify_inclusion(receipt.index, checkpoint.size, leaf, receipt.proof, checkpoint.root)
        return f"leaf hash {leaf.hex()}", ""

    def _content(self) -> tuple[str, str]:
        leaf = decode_leaf(self._receipt.extra or b"")
        self.found.index, self.found.leaf = self._receipt.index, leaf
        self.found.fields = check_filing(leaf).fields
        held = self._envelope
        if held is not None and (leaf.dsse.payloadType, leaf.dsse.payload_bytes()) != (
            held.payloadType,
            held.payload_bytes(),
        ):
            raise MarkerError("The receipt is for another payload than the one given.")
        return describe_leaf(leaf), ""

    def _producer(self) -> tuple[str, str]:
        leaf = self.found.leaf
        if leaf is None or self._ring is None:
            return "", "no producer keys were given: use --keys FILE or --export DIR."
        as_of, origin = self._ring.as_of, self._checked.checkpoint.origin
        if as_of is not None and as_of.origin != origin:
            raise KeyUntrustedError(f"These are the keys of {as_of.origin}, not of {origin}.")
        key = check_producer(self._ring, self._receipt.index, leaf, self.found.fields)
        self.found.signer = f"{key.name} ({key.key_id})"
        if as_of is not None and as_of.size <= self._receipt.index:
            return self.found.signer, (
                f"the keys are as of {as_of.size} entries, this is a later one; meanwhile the key "
                "may have been revoked."
            )
        return f"{self.found.signer}, keys as of entry {self._ring.applied_index}", ""

    def _in_export(self) -> tuple[str, str]:
        index, export = self._receipt.index, self._export
        if export is None or export.checkpoint.size <= index:
            return "", "the export ends before this entry."
        if export.leaf(index) != self._receipt.extra:
            raise LogBrokenError(
                f"The export holds another entry {index}: the log has shown two histories."
            )
        size = self._checked.checkpoint.size
        if size <= export.checkpoint.size and export.root(size) != self._checked.checkpoint.root:
            raise LogBrokenError(
                f"The export's first {size} entries are not those that the receipt's checkpoint "
                "signs: the log has shown two histories."
            )
        return f"{export.checkpoint.size} entries, the same history", ""


@dataclass(slots=True)
class _Collected:
    """What the walk over an export finds wrong, by step."""

    content: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)
    refused_keys: set[int] = field(default_factory=set)
    markers: int = 0
    key_entries: int = 0


class ExportVerification:
    """Verifies a whole export: every file, every hash, every entry, every signature.

    Args:
        export: The export.
        policy: Whom to trust for logs and witnesses.
        progress: Told the number of entries done.

    Attributes:
        ring: The keys as the export itself says, after `steps`.
        artifacts: Indexes of the markers that name a digest, after `steps`.
    """

    def __init__(self, export: Export, policy: Policy, progress: Progress = no_progress) -> None:
        self._export = export
        self._policy = policy
        self._progress = progress
        self.ring = KeyRing()
        self.artifacts: dict[str, list[int]] = {}
        self._payloads: dict[bytes, list[int]] = {}

    def steps(self) -> Iterator[Step]:
        """Run the verification; ends early only when the checkpoint or the files fail."""
        try:
            checked = self._policy.check(self._export.note)
        except DeploymarkError as error:
            yield Step(1, _CHECKPOINT, "", (error.message,))
            return
        yield Step(1, _CHECKPOINT, describe_checkpoint(checked))
        faults = tuple(_first(self._export.faults()))
        yield Step(2, _TREE, f"{checked.checkpoint.size} entries", faults)
        if faults:
            return
        seen = self._walk()
        yield Step(3, _CONTENT, counted(seen.markers, "marker"), tuple(_first(seen.content)))
        entries = counted(seen.key_entries, "key entry", "key entries")
        detail = f"{entries}, {counted(len(self.ring.keys()), 'key')}"
        yield Step(4, _KEYS, detail, tuple(_first(seen.keys)))
        yield Step(5, _SIGNATURES, "each at its own index", tuple(_first(seen.signatures)))

    def find_payload(self, payload: bytes) -> list[int]:
        """Return the indexes of the entries with exactly this payload, after `steps`."""
        return self._payloads.get(sha256(payload).digest(), [])

    def fields(self, index: int) -> dict[str, object] | None:
        """Return the flat marker of one entry, None when it is another entry."""
        return check_filing(decode_leaf(self._export.leaf(index))).fields

    def _walk(self) -> _Collected:
        """Replay the keys first: a later revocation may take trust from an earlier entry."""
        seen = _Collected()
        for index, body in enumerate(self._export.leaves()):
            if _KEY_TYPE in body:
                self._apply(index, body, seen)
        checkpoint = self._export.checkpoint
        self.ring.as_of = AsOf(checkpoint.origin, checkpoint.size)
        identities: set[bytes] = set()
        for index, body in enumerate(self._export.leaves()):
            try:
                leaf = decode_leaf(body)
                fields = check_filing(leaf).fields
                _check_once(leaf, identities)
            except DeploymarkError as error:
                seen.content.append(f"Entry {index}: {error.message}")
                continue
            self._index(index, leaf, fields)
            seen.markers += fields is not None
            if index not in seen.refused_keys:
                self._sign(index, leaf, fields, seen.signatures)
            self._progress(index + 1)
        return seen

    def _index(self, index: int, leaf: Leaf, fields: dict[str, object] | None) -> None:
        digest = sha256(leaf.dsse.payload_bytes()).digest()
        self._payloads.setdefault(digest, []).append(index)
        artifact = (fields or {}).get("artifact")
        if isinstance(artifact, dict) and artifact.get("digest"):
            self.artifacts.setdefault(artifact["digest"], []).append(index)

    def _apply(self, index: int, body: bytes, seen: _Collected) -> None:
        try:
            leaf = decode_leaf(body)
            if leaf.dsse.payloadType != KEY:
                return
            seen.key_entries += 1
            self.ring.apply(index, leaf)
        except DeploymarkError as error:
            seen.refused_keys.add(index)
            seen.keys.append(f"Key entry {index}: {error.message}")

    def _sign(
        self, index: int, leaf: Leaf, fields: dict[str, object] | None, faults: list[str]
    ) -> None:
        try:
            check_producer(self.ring, index, leaf, fields)
        except DeploymarkError as error:
            faults.append(f"Entry {index}: {error.message}")


_CHECKPOINT = "The checkpoint is signed by the log and its witnesses"
_TREE = "Every file follows from the entries, and they lead to the signed root"
_CONTENT = "Every entry is canonical, readable and filed under its own ids"
_KEYS = "The keys, replayed from the log itself"
_SIGNATURES = "Every producer's signature, its validity at its index and its scope"


def _check_once(leaf: Leaf, identities: set[bytes]) -> None:
    """Refuse a second entry under one identity; 16 bytes of each are remembered."""
    identity = sha256(leaf.dedupe.encode()).digest()[:16]
    if identity in identities:
        raise MarkerError(f"{leaf.dedupe} stands in the log more than once.")
    identities.add(identity)


def check_producer(
    ring: KeyRing, index: int, leaf: Leaf, fields: dict[str, object] | None
) -> RegisteredKey:
    """Check signatures, validity at the index and scope of an entry, by keys as of the end.

    Raises:
        KeyUntrustedError, SignatureError: Nobody with authority stands behind it.
    """
    if leaf.dsse.payloadType == KEY:
        return ring.check_key_entry(index, leaf)
    return ring.check(index, leaf, marker_fields=fields)


def describe_checkpoint(checked: CheckedCheckpoint) -> str:
    """Return one line for people: which log, how many entries, who signed."""
    kinds = ", ".join(sorted(key.algorithm.name for key in checked.log_keys))
    witnessed = ", ".join(
        f"{name} at {format_instant(seconds * 1000)}"
        for name, seconds in sorted(checked.witnesses.items())
    )
    checkpoint = checked.checkpoint
    return (
        f"{checkpoint.origin}, {checkpoint.size} entries, signed with {kinds}; "
        f"{'cosigned by ' + witnessed if witnessed else 'no witness required'}"
    )


def describe_leaf(leaf: Leaf) -> str:
    """Return one line for people: what the entry is and when it came."""
    identity = leaf.ids.get("marker_id") or leaf.ids.get("entry_id", "")
    deployment = leaf.ids.get("deployment_id")
    of = f" of {deployment}~{leaf.occurrence}" if deployment else ""
    return f"{identity}{of}, received {leaf.received_at}, {leaf.assurance}"


def _first(faults: Iterable[str]) -> Sequence[str]:
    kept: list[str] = []
    count = 0
    for fault in faults:
        count += 1
        if count <= _MAX_FAULTS:
            kept.append(fault)
    if count > _MAX_FAULTS:
        kept.append(f"… and {count - _MAX_FAULTS} more.")
    return kept
