"""Signed notes, checkpoints and receipts a second time, straight from the C2SP texts.

Works on bytes, shares nothing with `src`, and uses `cryptography` directly. Sources:
c2sp.org/signed-note, tlog-checkpoint, tlog-cosignature, tlog-proof. Every function either returns
what the text says or raises `ValueError` with the rule that was broken.
"""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey
from reference_tree import includes

ED25519, COSIGNATURE_V1, ML_DSA_44 = 0x01, 0x04, 0x06
DASH = "\N{EM DASH} ".encode()


# Keys ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """A verifier key: name, signature type and raw public key."""

    name: str
    kind: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """SHA-256(key name || 0x0A || signature type || public key)[:4]."""
        material = bytes([self.kind]) + self.public
        return sha256(self.name.encode() + b"\n" + material).digest()[:4]

    @property
    def vkey(self) -> str:
        """<name>+<hex key id>+<base64 of type and public key>."""
        return f"{self.name}+{self.key_id.hex()}+{b64(bytes([self.kind]) + self.public)}"


@dataclass(frozen=True)
class Signer:
    """A key pair that writes signature lines for the tests; made from a label, never random."""

    key: Key
    private: Ed25519PrivateKey | MLDSA44PrivateKey

    @classmethod
    def of(cls, label: str, kind: int = ED25519, *, name: str | None = None) -> "Signer":
        """The pair whose seed is SHA-256 of the label."""
        seed = sha256(label.encode()).digest()
        private: Ed25519PrivateKey | MLDSA44PrivateKey
        if kind == ML_DSA_44:
            private = MLDSA44PrivateKey.from_seed_bytes(seed)
        else:
            private = Ed25519PrivateKey.from_private_bytes(seed)
        public = private.public_key().public_bytes_raw()
        return cls(Key(label if name is None else name, kind, public), private)

    @property
    def vkey(self) -> str:
        """The public half."""
        return self.key.vkey

    def line(self, text: str, *, seconds: int = 1_700_000_000) -> str:
        """One signature line over a note text."""
        if self.key.kind == ED25519:
            return signature_line(self.key, self.private.sign(text.encode()))
        message = cosigned_bytes(self.key, text.encode(), seconds)
        return signature_line(self.key, seconds.to_bytes(8, "big") + self.private.sign(message))


def signature_line(key: Key, signature: bytes) -> str:
    """Em dash, space, key name, space, base64(key id || signature), newline."""
    return f"\N{EM DASH} {key.name} {b64(key.key_id + signature)}\n"


def cosigned_bytes(key: Key, text: bytes, seconds: int) -> bytes:
    """The message of tlog-cosignature for a checkpoint text, by signature type."""
    if key.kind == COSIGNATURE_V1:
        return b"cosignature/v1\ntime %d\n" % seconds + text
    origin, size, root = checkpoint_of(text)
    return cosigned_message(key.name, seconds, origin, (0, size), root)


def cosigned_message(
    cosigner: str, seconds: int, origin: str, bounds: tuple[int, int], root: bytes
) -> bytes:
    """The `cosigned_message` structure that ML-DSA-44 signs."""
    start, end = bounds
    return b"".join(
        (
            b"subtree/v1\n\x00",
            bytes([len(cosigner.encode())]),
            cosigner.encode(),
            seconds.to_bytes(8, "big"),
            bytes([len(origin.encode())]),
            origin.encode(),
            start.to_bytes(8, "big"),
            end.to_bytes(8, "big"),
            root,
        )
    )


def verifies(key: Key, text: bytes, signature: bytes) -> bool:
    """Whether these signature bytes (after the key id) are the key's over this note text."""
    try:
        if key.kind == ED25519:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature, text)
            return True
        message = cosigned_bytes(key, text, int.from_bytes(signature[:8], "big"))
        if key.kind == COSIGNATURE_V1:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature[8:], message)
        else:
            MLDSA44PublicKey.from_public_bytes(key.public).verify(signature[8:], message)
    except InvalidSignature:
        return False
    return True


# Notes and checkpoints ----------------------------------------------------------------------------


def split_note(note: bytes) -> tuple[bytes, list[tuple[str, bytes, bytes]]]:
    """Return (text, [(key name, key id, signature)])."""
    note.decode()
    demand(not any(octet < 0x20 and octet != 0x0A for octet in note), "no control characters")
    text, blank, tail = note.rpartition(b"\n\n")
    demand(bool(blank) and tail.endswith(b"\n"), "text, blank line, lines that end in newline")
    lines = []
    for line in tail[:-1].split(b"\n"):
        demand(line.startswith(DASH), "em dash and space")
        name, space, encoded = line[len(DASH) :].decode().partition(" ")
        demand(bool(space and name) and "+" not in name and not re.search(r"\s", name), "key name")
        raw = unb64(encoded)
        demand(len(raw) > len(b"key4"), "key id and signature")
        lines.append((name, raw[:4], raw[4:]))
    return text + b"\n", lines


def checkpoint_of(text: bytes) -> tuple[str, int, bytes]:
    """Return (origin, size, root) of a checkpoint's note text."""
    demand(text.endswith(b"\n"), "final newline")
    lines = text[:-1].split(b"\n")
    demand(len(lines) >= len(("origin", "size", "root")) and all(lines), "three non-empty lines")
    root = unb64(lines[2].decode())
    demand(len(root) == sha256().digest_size, "root of 32 bytes")
    return lines[0].decode(), decimal(lines[1]), root


def verified(note: bytes, keys: Iterable[Key]) -> tuple[bytes, list[Key]]:
    """Return the text and the known keys that signed it; one bad line of a known key refuses."""
    known = {(key.name, key.key_id): key for key in keys}
    text, lines = split_note(note)
    signed = []
    for name, key_id, signature in lines:
        key = known.get((name, key_id))
        if key is not None:
            demand(verifies(key, text, signature), "a known key's signature verifies")
            signed.append(key)
    demand(bool(signed), "signed by a known key")
    return text, signed


# Receipts -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReferenceReceipt:
    """A tlog-proof taken apart."""

    index: int
    path: list[bytes]
    note: bytes
    extra: bytes | None


def receipt_of(receipt: bytes) -> ReferenceReceipt:
    """Parse a c2sp.org/tlog-proof@v1."""
    head, blank, note = receipt.partition(b"\n\n")
    demand(bool(blank), "an empty line before the checkpoint")
    lines = head.split(b"\n")
    demand(lines.pop(0) == b"c2sp.org/tlog-proof@v1", "first line")
    extra = None
    if lines and lines[0].startswith(b"extra "):
        extra = unb64(lines.pop(0).removeprefix(b"extra ").decode())
    demand(bool(lines) and lines[0].startswith(b"index "), "index line")
    index = decimal(lines.pop(0).removeprefix(b"index "))
    path = [unb64(line.decode()) for line in lines]
    demand(all(len(value) == sha256().digest_size for value in path), "one SHA-256 hash per line")
    checkpoint_of(split_note(note)[0])
    return ReferenceReceipt(index, path, note, extra)


def receipt_shows(receipt: bytes, leaf: bytes, log_keys: Iterable[Key]) -> bool:
    """Whether a receipt shows this leaf hash in a tree that one of the keys signed."""
    parsed = receipt_of(receipt)
    text, signed = verified(parsed.note, log_keys)
    origin, size, root = checkpoint_of(text)
    return any(key.name == origin for key in signed) and includes(
        parsed.index, size, leaf, parsed.path, root
    )


# Encodings ----------------------------------------------------------------------------------------


def b64(value: bytes) -> str:
    """RFC 4648 section 4."""
    return base64.b64encode(value).decode()


def unb64(text: str) -> bytes:
    """RFC 4648 section 4, and only the one encoding of each value."""
    value = base64.b64decode(text, validate=True)
    demand(b64(value) == text, "canonical base64")
    return value


def decimal(digits: bytes) -> int:
    """ASCII decimal, no leading zeroes unless it is 0."""
    demand(re.fullmatch(rb"0|[1-9][0-9]*", digits) is not None, "ASCII decimal")
    return int(digits)


def demand(holds: bool, rule: str) -> None:  # noqa: FBT001 - reads as a sentence
    """Raise `ValueError` naming the rule unless it holds."""
    if not holds:
        raise ValueError(rule)
