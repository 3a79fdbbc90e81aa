"""The receipt: one text file that proves an entry was logged (c2sp.org/tlog-proof).

Our `extra` line carries the whole leaf, so that the file verifies offline by itself; it is
trusted only because its hash leads to the signed root. Pure: no I/O.
"""

import base64
import binascii
from dataclasses import dataclass

from deploymark.crypto.note import parse_note
from deploymark.errors import NoteError, ProofError
from deploymark.log.checkpoint import (
    decode_decimal,
    decode_hash,
    encode_hash,
    parse_checkpoint,
)
from deploymark.log.proof import MAX_PROOF_HASHES
from deploymark.log.tree import HASH_BYTES

HEADER = "c2sp.org/tlog-proof@v1"
SUFFIX = ".tlog-proof"


@dataclass(frozen=True, slots=True)
class Receipt:
    """An entry's place in the log, with everything needed to check it.

    Attributes:
        index: Position in the log.
        proof: Inclusion proof, lowest sibling first, 32 bytes each.
        note: The signed checkpoint, verbatim.
        extra: The leaf bytes; None or empty when the file carries none.
    """

    index: int
    proof: tuple[bytes, ...]
    note: str
    extra: bytes | None = None


def format_receipt(receipt: Receipt) -> str:
    """Return the text of a receipt.

    Raises:
        ProofError: The index is negative, or a hash of the proof has not 32 bytes.
    """
    if receipt.index < 0 or any(len(value) != HASH_BYTES for value in receipt.proof):
        raise ProofError("A receipt has an index and hashes of 32 bytes.")
    lines = [HEADER]
    if receipt.extra:
        lines.append(f"extra {base64.b64encode(receipt.extra).decode('ascii')}")
    lines.append(f"index {receipt.index}")
    lines.extend(encode_hash(value) for value in receipt.proof)
    return "\n".join(lines) + "\n\n" + receipt.note


def parse_receipt(text: str) -> Receipt:
    """Read a receipt.

    Raises:
        ProofError: It is not a tlog-proof around a signed checkpoint. Whether proof and signatures
            hold is another question.
    """
    head, separator, note = text.partition("\n\n")
    lines = head.split("\n")
    if not separator or lines[0] != HEADER:
        raise ProofError(f"A receipt starts with the line {HEADER!r}.")
    rest = lines[1:]
    extra = None
    if rest and rest[0].startswith("extra "):
        extra = _decode_extra(rest.pop(0).removeprefix("extra "))
    if not rest or not rest[0].startswith("index "):
        raise ProofError("A receipt names its index after the header.")
    hashes = rest[1:]
    if len(hashes) > MAX_PROOF_HASHES:
        raise ProofError(f"A receipt has at most {MAX_PROOF_HASHES} proof lines.")
    try:
        index = decode_decimal(rest[0].removeprefix("index "))
        proof = tuple(decode_hash(line) for line in hashes)
        parse_checkpoint(parse_note(note).text)
    except NoteError as error:
        raise ProofError(f"The receipt is malformed: {error.message}") from error
    return Receipt(index, proof, note, extra)


def _decode_extra(text: str) -> bytes:
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProofError("The extra line is not standard base64.") from error
    if not value or base64.b64encode(value).decode("ascii") != text:
        raise ProofError("The extra line is empty or not in its one spelling.")
    return value
