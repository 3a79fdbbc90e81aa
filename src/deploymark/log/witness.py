"""What a witness answers and why (c2sp.org/tlog-witness).

Reads a request and decides about it, given what is remembered of the log. Remembering and signing
are the business of `deploymark.server.cosigner`. Pure: no I/O, no clock.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from deploymark.crypto.note import SignatureType, SignedNote, VerifierKey, parse_note, verify_note
from deploymark.errors import NoteError, ProofError, UsageError
from deploymark.log.checkpoint import (
    Checkpoint,
    decode_decimal,
    decode_hash,
    encode_hash,
    parse_checkpoint,
)
from deploymark.log.policy import covers_all
from deploymark.log.proof import MAX_PROOF_HASHES, verify_consistency
from deploymark.log.tree import EMPTY_ROOT
from deploymark.ports import Witnessed

_OLD = "old "
_LOG_TYPES = (SignatureType.ED25519, SignatureType.ML_DSA_44)


class Status(IntEnum):
    """The HTTP status codes of add-checkpoint, by what they mean."""

    COSIGNED = 200
    MALFORMED = 400
    UNTRUSTED = 403
    UNKNOWN_LOG = 404
    ELSEWHERE = 409
    INCONSISTENT = 422


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A well-formed request; nothing of it is verified yet.

    Attributes:
        old_size: The size from which the proof starts.
        proof: RFC 6962 consistency proof, at most 63 hashes of 32 bytes.
        note: The signed checkpoint.
        checkpoint: What the note's text says.
    """

    old_size: int
    proof: tuple[bytes, ...]
    note: SignedNote
    checkpoint: Checkpoint

    @property
    def note_text(self) -> str:
        """The signed checkpoint as it was sent."""
        return str(self.note)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about a request.

    Attributes:
        status: The status to answer with.
        body: For `ELSEWHERE` the remembered size and a newline; for other refusals one sentence;
            "" when the checkpoint is to be cosigned.
        record: What must be remembered before cosigning; None for a refusal.
    """

    status: Status
    body: str
    record: Witnessed | None = None


def parse_request(body: bytes) -> AddCheckpoint:
    """Read the body of add-checkpoint, strictly.

    Raises:
        NoteError: The body is not an old size line, up to 63 proof lines, an empty line and a
            signed checkpoint, each line in its one spelling.
    """
    try:
        content = body.decode()
    except UnicodeDecodeError as error:
        raise NoteError("A request is UTF-8.") from error
    head, blank, rest = content.partition("\n\n")
    if not blank:
        raise NoteError("An empty line must stand between the proof and the checkpoint.")
    old, *hashes = head.split("\n")
    if not old.startswith(_OLD):
        raise NoteError("The first line must be `old`, a space and a tree size.")
    if len(hashes) > MAX_PROOF_HASHES:
        raise NoteError(f"A proof has at most {MAX_PROOF_HASHES} lines, not {len(hashes)}.")
    old_size = decode_decimal(old.removeprefix(_OLD))
    proof = tuple(map(decode_hash, hashes))
    note = parse_note(rest)
    return AddCheckpoint(old_size, proof, note, parse_checkpoint(note.text))


def format_request(old_size: int, proof: Sequence[bytes], note: str) -> bytes:
    """Return the body of add-checkpoint.

    Args:
        old_size: The size from which the proof starts.
        proof: RFC 6962 consistency proof.
        note: The signed checkpoint.

    Raises:
        NoteError: A witness would have to refuse it as malformed.
    """
    lines = [f"{_OLD}{old_size}", *map(encode_hash, proof), "", note]
    body = "\n".join(lines).encode()
    parse_request(body)
    return body


def trusted_logs(vkeys: Iterable[str]) -> dict[str, list[VerifierKey]]:
    """Group the keys of logs by origin, which by convention is the key's name.

    Raises:
        NoteError: A verifier key is malformed.
        UsageError: A key is of a type with which logs do not sign.
    """
    logs: dict[str, list[VerifierKey]] = {}
    for vkey in vkeys:
        key = VerifierKey.parse(vkey)
        if key.algorithm not in _LOG_TYPES:
            raise UsageError(
                f"The key {vkey[:80]} is a witness's, not a log's.",
                hint="A log signs with type 0x01 (Ed25519) or 0x06 (ML-DSA-44).",
            )
        logs.setdefault(key.name, []).append(key)
    return logs


def decide(
    request: AddCheckpoint,
    logs: Mapping[str, Sequence[VerifierKey]],
    recorded: Witnessed | None,
) -> Decision:
    """Decide about a well-formed request, in the order of the specification.

    Args:
        request: What was asked.
        logs: The keys that are trusted, by origin.
        recorded: The newest checkpoint cosigned for this origin, None when there is none.

    Returns:
        The answer. A checkpoint may be cosigned only once `record` is durably remembered in
        place of `recorded`.
    """
    checkpoint = request.checkpoint
    # 1. "If the checkpoint origin is unknown, the witness MUST respond with a 404."
    keys = logs.get(checkpoint.origin)
    if not keys:
        return Decision(Status.UNKNOWN_LOG, "This witness does not know the log of this origin.")

    # 2. "The witness MUST verify the checkpoint signature against the public key(s) it trusts for
    #    the checkpoint origin, and it MUST ignore signatures from unknown keys. If none of the
    #    signatures verify against a trusted public key, the witness MUST respond with a 403."
    #    By signed-note, one failing line of a trusted key rejects the whole note: 403 as well.
    if mistrust := _mistrust(request.note, keys):
        return Decision(Status.UNTRUSTED, mistrust)

    # 3. "The old size MUST be equal to or lower than the checkpoint size. Otherwise, 400."
    if request.old_size > checkpoint.size:
        return Decision(
            Status.MALFORMED,
            f"The old size {request.old_size} is beyond the checkpoint's {checkpoint.size}.",
        )

    # 4. "The witness MUST check that the old size matches the size of the latest checkpoint it
    #    cosigned for the checkpoint's origin (or zero if it never cosigned a checkpoint for that
    #    origin). If it doesn't match, 409. The response body MUST consist of the tree size of the
    #    latest cosigned checkpoint in decimal, followed by a newline."
    latest = recorded or Witnessed(0, EMPTY_ROOT)
    if request.old_size != latest.size:
        return Decision(Status.ELSEWHERE, f"{latest.size}\n")

    # 5. "The consistency proof lines MUST encode a Merkle Consistency Proof from the old size to
    #    the checkpoint size according to RFC 6962. The proof MUST be empty if the old size is
    #    zero. If the Merkle Consistency Proof doesn't verify, 422."
    # 6. "If the old size matches the checkpoint size, the witness MUST check that the root hashes
    #    are also identical." The specification answers 409 here; we answer 422, so that 409
    #    always carries a size. The root of an empty tree is checked too.
    try:
        verify_consistency(
            latest.size, checkpoint.size, request.proof, latest.root, checkpoint.root
        )
    except ProofError as error:
        return Decision(Status.INCONSISTENT, error.message)

    # 7. "If all the checks above pass, the witness MUST update its record of the latest cosigned
    #    checkpoint and respond with a 200."
    return Decision(Status.COSIGNED, "", Witnessed(checkpoint.size, checkpoint.root))


def _mistrust(note: SignedNote, keys: Sequence[VerifierKey]) -> str:
    """Return why a note is not the log's word, "" when it is."""
    try:
        verified = verify_note(note, keys)
    except NoteError as error:
        return error.message
    if not covers_all(note.text, [line.key for line in verified]):
        return "The log's signature does not cover the extension lines."
    return ""
