"""Signed notes: text that carries its signatures (c2sp.org/signed-note).

Reads and writes notes, verifier keys and signature lines, and verifies the three signature types
that deploymark uses. What a checkpoint says and whether enough witnesses signed it is decided in
`deploymark.log`. Pure: no I/O, no clock.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from deploymark.crypto import ed25519
from deploymark.crypto.base64text import decode_base64, encode_base64
from deploymark.crypto.cosignature import (
    TIMESTAMP_BYTES,
    cosignature_message,
    subtree_message,
)
from deploymark.errors import NoteError, SignatureError

MAX_SIGNATURES: Final = 100
MAX_NOTE_BYTES: Final = 1_000_000
KEY_ID_BYTES: Final = 4

_LINE_START: Final = "— "  # U+2014 and a space
_KEY_ID_HEX: Final = 2 * KEY_ID_BYTES
_ML_DSA_44_PUBLIC_BYTES: Final = 1312
_VKEY_PARTS: Final = 3


class SignatureType(IntEnum):
    """The signature type bytes that deploymark reads and writes."""

    ED25519 = 0x01
    COSIGNATURE_V1 = 0x04
    ML_DSA_44 = 0x06

    @property
    def public_bytes(self) -> int:
        """The length of a raw public key of this type."""
        ml_dsa = self is SignatureType.ML_DSA_44
        return _ML_DSA_44_PUBLIC_BYTES if ml_dsa else ed25519.PUBLIC_BYTES


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """One signature of a note, not yet verified.

    Attributes:
        name: The key name.
        key_id: The four bytes that, with the name, say which key and type it is.
        signature: What follows the key id, by type: 64 bytes, or a u64 time and a signature.
    """

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"{_LINE_START}{self.name} {encode_base64(self.key_id + self.signature)}\n"


@dataclass(frozen=True, slots=True)
class SignedNote:
    """A note taken apart. Its text says nothing until `verify_note` accepted it.

    Attributes:
        text: The note text, including its final newline.
        signatures: The lines in the order of the note.
    """

    text: str
    signatures: tuple[SignatureLine, ...]

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(map(str, self.signatures))}"


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """Whose signature lines count: a name, a type and a public key.

    Attributes:
        name: The key name; for a log its origin.
        algorithm: The signature type.
        public: The raw public key, 32 bytes for Ed25519 and 1,312 for ML-DSA-44.
    """

    name: str
    algorithm: SignatureType
    public: bytes

    def __post_init__(self) -> None:
        _check_name(self.name)
        if len(self.public) != self.algorithm.public_bytes:
            raise NoteError(
                f"A key of type {self.algorithm.name} has {self.algorithm.public_bytes} bytes, "
                f"the one of {self.name} has {len(self.public)}."
            )

    @classmethod
    def parse(cls, vkey: str) -> Self:
        """Read ``name+hex8+base64(type ‖ public key)``.

        Raises:
            NoteError: The form is wrong, the type is none of ours, or the key id does not follow
                from name, type and key.
        """
        parts = vkey.split("+", _VKEY_PARTS - 1)  # base64 may hold more of them
        if len(parts) != _VKEY_PARTS:
            raise NoteError(f"{vkey[:80]!r} is not a verifier key: name+keyid+base64.")
        name, key_id, encoded = parts
        try:
            material = decode_base64(encoded)
        except ValueError as error:
            raise NoteError(f"The verifier key of {name!r} is {error}.") from error
        if material[:1] not in _TYPE_BYTES:
            raise NoteError(f"The verifier key of {name!r} has an unknown type {material[:1]!r}.")
        key = cls(name, SignatureType(material[0]), material[1:])
        if len(key_id) != _KEY_ID_HEX or key_id.lower() != key.key_id.hex():
            raise NoteError(f"The key id of {name!r} is {key.key_id.hex()}, not {key_id!r}.")
        return key

    @property
    def key_id(self) -> bytes:
        """The first four bytes of SHA-256(name ‖ 0x0A ‖ type ‖ public key)."""
        seed = b"%b\n%c%b" % (self.name.encode(), self.algorithm, self.public)
        return hashlib.sha256(seed).digest()[:KEY_ID_BYTES]

    def __str__(self) -> str:
        material = bytes((self.algorithm,)) + self.public
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(material)}"

    def verify(self, text: str, line: SignatureLine) -> int:
        """Verify one signature line over a note text.

        Returns:
            The POSIX seconds that the signature states; 0 for a plain Ed25519 signature. A
            timestamped one may state 0 as well: whether that counts is the caller's policy. An
            ML-DSA-44 signature vouches for the first three lines of a checkpoint only.

        Raises:
            SignatureError: The line is another key's, malformed, or does not verify.
        """
        if (line.name, line.key_id) != (self.name, self.key_id):
            raise SignatureError(f"The line of {line.name!r} is not one of {self}.")
        try:
            timestamp, valid = self._check(text, line.signature)
        except NoteError as error:
            raise SignatureError(f"The line of {self.name} cannot hold: {error}") from error
        if not valid:
            raise SignatureError(f"The signature of {self.name} does not verify.")
        return timestamp

    def _check(self, text: str, signature: bytes) -> tuple[int, bool]:
        if self.algorithm is SignatureType.ED25519:
            return 0, ed25519.verify(self.public, text.encode(), signature)
        timestamp = int.from_bytes(signature[:TIMESTAMP_BYTES], "big")
        signature = signature[TIMESTAMP_BYTES:]
        if self.algorithm is SignatureType.COSIGNATURE_V1:
            message = cosignature_message(text, timestamp)
            return timestamp, ed25519.verify(self.public, message, signature)
        message = subtree_message(self.name, text, timestamp)
        return timestamp, _verify_ml_dsa_44(self.public, message, signature)


@dataclass(frozen=True, slots=True)
class VerifiedLine:
    """A key that signed a note.

    Attributes:
        key: The key whose signature verified.
        timestamp: POSIX seconds it states, 0 for none.
    """

    key: VerifierKey
    timestamp: int


def parse_note(note: str | bytes) -> SignedNote:
    """Take a signed note apart, by the letter of the format.

    Raises:
        NoteError: The note is not UTF-8, holds a control character, has no text, no blank line,
            no or too many signatures, or a malformed signature line.
    """
    content = _check_characters(note)
    # The text may hold blank lines: the last one separates.
    text, separator, lines = content.rpartition("\n\n")
    if not separator or not lines.endswith("\n"):
        raise NoteError("A signed note is a text, a blank line and signature lines.")
    signatures = lines[:-1].split("\n")
    if len(signatures) > MAX_SIGNATURES:
        raise NoteError(f"A note may carry {MAX_SIGNATURES} signatures, not {len(signatures)}.")
    return SignedNote(text + "\n", tuple(map(parse_signature_line, signatures)))


def parse_signature_line(line: str) -> SignatureLine:
    """Read one signature line, with or without its final newline.

    Raises:
        NoteError: The line is malformed.
    """
    start, name, encoded = _split_line(line.removesuffix("\n"))
    if start != _LINE_START:
        raise NoteError(f"{line[:80]!r} is not a signature line: em dash, name, base64.")
    _check_name(name)
    try:
        value = decode_base64(encoded)
    except ValueError as error:
        raise NoteError(f"The signature of {name!r} is {error}.") from error
    if len(value) <= KEY_ID_BYTES:
        raise NoteError(f"The signature of {name!r} is empty.")
    return SignatureLine(name, value[:KEY_ID_BYTES], value[KEY_ID_BYTES:])


def format_note(text: str, lines: Sequence[str]) -> str:
    """Put a text and its signature lines together.

    Args:
        text: The note text, ending in a newline.
        lines: Signature lines, each ending in a newline.

    Raises:
        NoteError: The result would not be a signed note with exactly this text and these lines.
    """
    note = f"{text}\n{''.join(lines)}"
    parsed = parse_note(note)
    if parsed.text != text or [str(line) for line in parsed.signatures] != list(lines):
        raise NoteError("A note needs a text and lines that each end in one newline.")
    return note


def verify_note(note: SignedNote, keys: Iterable[VerifierKey]) -> list[VerifiedLine]:
    """Find out which of the known keys signed a note.

    1. Lines of unknown keys are ignored, even when they share a name or a key id with a known one.
    2. A line of a known key that does not verify rejects the whole note.
    3. A note that no known key signed is rejected.

    Returns:
        One line per key, in the order of the note. Of several lines of one key, all of which
        must verify, the newest timestamp counts.

    Raises:
        NoteError: Rule 2 or 3, or two different known keys share a name and a key id.
    """
    known = _index_keys(keys)
    verified: dict[VerifierKey, int] = {}
    for line in dict.fromkeys(note.signatures):  # a repeated line is verified once
        key = known.get((line.name, line.key_id))
        if key is None:
            continue
        try:
            timestamp = key.verify(note.text, line)
        except SignatureError as error:
            raise NoteError(f"The note is rejected. {error.message}") from error
        verified[key] = max(timestamp, verified.get(key, 0))
    if not verified:
        raise NoteError("No trusted key signed this note.")
    return [VerifiedLine(key, timestamp) for key, timestamp in verified.items()]


_TYPE_BYTES: Final = frozenset(bytes((kind,)) for kind in SignatureType)


def _check_characters(note: str | bytes) -> str:
    try:
        raw = note if isinstance(note, bytes) else note.encode()
        content = raw.decode()
    except UnicodeError as error:
        raise NoteError("A signed note is UTF-8.") from error
    if len(raw) > MAX_NOTE_BYTES:
        raise NoteError(f"A note may have {MAX_NOTE_BYTES} bytes, this one has {len(raw)}.")
    if any(character < " " and character != "\n" for character in set(content)):
        raise NoteError("A signed note holds no control character but the newline.")
    return content


def _split_line(line: str) -> tuple[str, str, str]:
    name, _, encoded = line[len(_LINE_START) :].partition(" ")
    return line[: len(_LINE_START)], name, encoded


def _check_name(name: str) -> None:
    # str.isspace is Unicode White_Space plus the control characters U+001C to U+001F.
    refused = any(c.isspace() or c < " " or "\ud800" <= c <= "\udfff" for c in name)
    if not name or "+" in name or refused:
        raise NoteError(f"{name[:80]!r} is no key name: not empty, no white space, no '+'.")


def _index_keys(keys: Iterable[VerifierKey]) -> dict[tuple[str, bytes], VerifierKey]:
    known: dict[tuple[str, bytes], VerifierKey] = {}
    for key in keys:
        if known.setdefault((key.name, key.key_id), key) != key:
            raise NoteError(f"Two trusted keys share the name {key.name} and their key id.")
    return known


def _verify_ml_dsa_44(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        MLDSA44PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
