"""The signed tree head as text (c2sp.org/tlog-checkpoint).

Three lines say everything: origin, size, root. The signatures around them are the business of
`deploymark.crypto.note`. Pure: no I/O.
"""

import base64
import binascii
import re
from dataclasses import dataclass

from deploymark.errors import NoteError
from deploymark.log.tree import HASH_BYTES

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
CHECKPOINT_LINES = 3


def decode_hash(line: str) -> bytes:
    """Return the 32 bytes of one standard-base64 hash line; NoteError for anything else."""
    try:
        value = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError(f"{line!r} is not standard base64.") from error
    # b64decode forgives non-zero padding bits: one hash, one spelling.
    if len(value) != HASH_BYTES or encode_hash(value) != line:
        raise NoteError(f"{line!r} is not the base64 of a 32-byte hash.")
    return value


def encode_hash(value: bytes) -> str:
    """Return a hash as one standard-base64 line without its newline."""
    return base64.b64encode(value).decode("ascii")


def decode_decimal(text: str) -> int:
    """Return an ASCII decimal without leading zeroes, below 2**63; NoteError otherwise."""
    if not _SIZE.fullmatch(text) or (value := int(text)) >= 1 << 63:
        raise NoteError(f"{text!r} is not a decimal number without leading zeroes.")
    return value


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a log goes, and the one hash that stands for all of it.

    Attributes:
        origin: Unique name of the log.
        size: Number of entries.
        root: RFC 6962 root, 32 bytes.
    """

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return the note text that is signed: three lines, no extension lines.

        Raises:
            NoteError: The fields do not make a checkpoint that could be read back.
        """
        text = f"{self.origin}\n{self.size}\n{encode_hash(self.root)}\n"
        if parse_checkpoint(text) != self:
            raise NoteError("A checkpoint has an origin of one line.")
        return text


def parse_checkpoint(text: str) -> Checkpoint:
    """Read a checkpoint's note text (without signatures).

    Extension lines are allowed by the specification and ignored here; our log writes none.

    Raises:
        NoteError: A mandatory line is missing or not in its one spelling.
    """
    lines = text.split("\n")
    if lines.pop() or len(lines) < CHECKPOINT_LINES or not all(lines):
        raise NoteError("A checkpoint is at least three non-empty lines, each ended by a newline.")
    if any(character < " " for line in lines for character in line):
        raise NoteError("A checkpoint holds no control characters.")
    return Checkpoint(lines[0], decode_decimal(lines[1]), decode_hash(lines[2]))
