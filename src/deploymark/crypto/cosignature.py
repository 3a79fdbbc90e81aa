"""What a timestamped signature of a checkpoint covers (c2sp.org/tlog-cosignature).

Messages only; `note` verifies them and `signer` signs them. A checkpoint is read here just far
enough to name its origin, size and root in the ML-DSA-44 message. Pure: no I/O, no clock.
"""

import re
from typing import Final

from deploymark.crypto.base64text import decode_base64
from deploymark.errors import NoteError

MAX_TIMESTAMP: Final = 2**63 - 1  # sizes end there too: Go and SQL have signed integers
TIMESTAMP_BYTES: Final = 8
CHECKPOINT_LINES: Final = 3  # origin, size, root; extension lines come after them

_SUBTREE_LABEL: Final = b"subtree/v1\n\0"
_MAX_OPAQUE_BYTES: Final = 255
_ROOT_BYTES: Final = 32
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


def cosignature_message(text: str, timestamp: int) -> bytes:
    """Return the bytes of an Ed25519 cosignature (type 0x04).

    Args:
        text: The note text including its final newline.
        timestamp: POSIX seconds, 0 to 2**63 - 1.

    Raises:
        NoteError: The timestamp is out of range.
    """
    _check_timestamp(timestamp)
    return f"cosignature/v1\ntime {timestamp}\n{text}".encode()


def subtree_message(cosigner_name: str, text: str, timestamp: int) -> bytes:
    """Return the bytes of an ML-DSA-44 cosignature (type 0x06) of a whole checkpoint.

    The message names origin, size and root, not the text: extension lines are not covered, and
    nothing is said about them. Our log writes none.

    Args:
        cosigner_name: The key name, 1 to 255 bytes of UTF-8.
        text: The checkpoint's note text, at least three lines.
        timestamp: POSIX seconds, 0 to 2**63 - 1.

    Raises:
        NoteError: The text is not a checkpoint, or a value is out of range.
    """
    _check_timestamp(timestamp)
    lines = text.split("\n")
    if lines.pop() or len(lines) < CHECKPOINT_LINES or not all(lines):
        raise NoteError("An ML-DSA-44 signature covers checkpoints, and this is none.")
    origin, size, root = lines[:CHECKPOINT_LINES]
    if not _SIZE.fullmatch(size) or int(size) > MAX_TIMESTAMP:
        raise NoteError(f"{size!r} is not the size of a tree.")
    try:
        root_hash = decode_base64(root)
    except ValueError as error:
        raise NoteError(f"The root hash {root!r} is {error}.") from error
    if len(root_hash) != _ROOT_BYTES:
        raise NoteError(f"A root hash has {_ROOT_BYTES} bytes, this one {len(root_hash)}.")
    return b"".join(
        (
            _SUBTREE_LABEL,
            _opaque8(cosigner_name),
            timestamp.to_bytes(TIMESTAMP_BYTES, "big"),
            _opaque8(origin),
            (0).to_bytes(8, "big"),  # start: a checkpoint's subtree is the whole tree
            int(size).to_bytes(8, "big"),
            root_hash,
        )
    )


def timestamped_signature(timestamp: int, signature: bytes) -> bytes:
    """Return the structure that stands in a cosignature line: u64 time, signature."""
    _check_timestamp(timestamp)
    return timestamp.to_bytes(TIMESTAMP_BYTES, "big") + signature


def _check_timestamp(timestamp: int) -> None:
    if not 0 <= timestamp <= MAX_TIMESTAMP:
        raise NoteError(f"A cosignature's time is 0 to 2**63 - 1 seconds, not {timestamp}.")


def _opaque8(text: str) -> bytes:
    value = text.encode()
    if not 1 <= len(value) <= _MAX_OPAQUE_BYTES:
        raise NoteError(f"A name has 1 to {_MAX_OPAQUE_BYTES} bytes, this one {len(value)}.")
    return bytes((len(value),)) + value
