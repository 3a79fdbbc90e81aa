"""Keys that sign: notes for logs and witnesses, envelopes for producers.

The note signers fit the port `NoteSigner`, the envelope signer fits `EnvelopeSigner`. Which key
store an envelope signer comes from is said by a URI, whose schemes are one table; a KMS adapter
adds a row where the process is put together, not here.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from deploymark.crypto.cosignature import (
    CHECKPOINT_LINES,
    cosignature_message,
    subtree_message,
    timestamped_signature,
)
from deploymark.crypto.keyfile import load_private
from deploymark.crypto.note import SignatureLine, SignatureType, VerifierKey
from deploymark.crypto.pae import EnvelopeSigner
from deploymark.errors import KeyFileError, NoteError, UsageError
from deploymark.model.ids import key_id

EnvelopeOpener = Callable[[str, str | None], EnvelopeSigner]
"""Turns the part of a URI after its scheme, and a passphrase, into a signer."""


class Ed25519NoteSigner:
    """A log key: plain Ed25519 over the note text (c2sp.org/signed-note, type 0x01).

    Args:
        name: The key name; for a log its origin.
        private: The key.
    """

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        public = private.public_key().public_bytes_raw()
        self._key = VerifierKey(name, SignatureType.ED25519, public)
        self._private = private

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.vkey})"

    @property
    def vkey(self) -> str:
        """The verifier key of this signer."""
        return str(self._key)

    def sign_note(self, text: str, *, now_seconds: int) -> str:  # noqa: ARG002 - states no time
        """Return one signature line for a note text."""
        return _line(self._key, self._private.sign(text.encode()))


class Ed25519CosignatureSigner:
    """A witness key: timestamped Ed25519 (c2sp.org/tlog-cosignature, type 0x04).

    The message does not name the cosigner, so one key must not serve two names.

    Args:
        name: The witness's key name.
        private: The key.
    """

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        public = private.public_key().public_bytes_raw()
        self._key = VerifierKey(name, SignatureType.COSIGNATURE_V1, public)
        self._private = private

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.vkey})"

    @property
    def vkey(self) -> str:
        """The verifier key of this signer."""
        return str(self._key)

    def sign_note(self, text: str, *, now_seconds: int) -> str:
        """Return one signature line for a checkpoint, stating `now_seconds`.

        Raises:
            NoteError: The time is zero or out of range.
        """
        _refuse_zero(now_seconds)
        signature = self._private.sign(cosignature_message(text, now_seconds))
        return _line(self._key, timestamped_signature(now_seconds, signature))


class MlDsa44NoteSigner:
    """A log's or witness's post-quantum key (c2sp.org/tlog-cosignature, type 0x06).

    Args:
        name: The key name; for a log its origin.
        private: The key.
    """

    def __init__(self, name: str, private: MLDSA44PrivateKey) -> None:
        public = private.public_key().public_bytes_raw()
        self._key = VerifierKey(name, SignatureType.ML_DSA_44, public)
        self._private = private

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._key.name}+{self._key.key_id.hex()})"

    @property
    def vkey(self) -> str:
        """The verifier key of this signer."""
        return str(self._key)

    def sign_note(self, text: str, *, now_seconds: int) -> str:
        """Return one signature line for a checkpoint, stating `now_seconds`.

        Raises:
            NoteError: The text is not a checkpoint of exactly three lines, or the time is zero or
                out of range.
        """
        _refuse_zero(now_seconds)
        if text.count("\n") > CHECKPOINT_LINES:
            raise NoteError("ML-DSA-44 covers no extension lines: they would only look signed.")
        signature = self._private.sign(subtree_message(self._key.name, text, now_seconds))
        return _line(self._key, timestamped_signature(now_seconds, signature))


class Ed25519EnvelopeSigner:
    """A producer key in this process.

    Args:
        private: The key.
    """

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self.public = private.public_key().public_bytes_raw()
        self._key_id = key_id("ed25519", self.public)
        self._private = private

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._key_id})"

    @property
    def key_id(self) -> str:
        """The `k-…` id of the public key."""
        return self._key_id

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature over a message."""
        return self._private.sign(message)


def open_key_file(location: str, passphrase: str | None = None) -> EnvelopeSigner:
    """Open the signer of a `file:` URI, its scheme cut off: a path or ``///path``.

    Raises:
        KeyFileError: The file is not a usable private Ed25519 key.
        UsageError: The URI names another host, or no file.
    """
    host, path_text = "", location
    if location.startswith("//"):
        host, slash, rest = location.removeprefix("//").partition("/")
        path_text = slash + rest
    if host not in {"", "localhost"} or not path_text:
        raise UsageError(
            f"file:{location} is not the URI of a file on this host.",
            hint="A key file is named like file:/etc/deploymark/ci.pem.",
        )
    path = Path(unquote(path_text))
    private = load_private(path, passphrase)
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyFileError(f"Envelopes are signed with Ed25519; {path} holds another key.")
    return Ed25519EnvelopeSigner(private)


FILE_OPENER: Final[Mapping[str, EnvelopeOpener]] = MappingProxyType({"file": open_key_file})
"""The scheme that is always there. Adapters for a KMS are merged into a table of the caller."""


def signer_from_uri(
    uri: str,
    passphrase: str | None = None,
    *,
    openers: Mapping[str, EnvelopeOpener] = FILE_OPENER,
) -> EnvelopeSigner:
    """Open the signer that a URI names, by its scheme.

    Args:
        uri: For example ``file:keys/ci.pem`` or ``file:///etc/deploymark/ci.pem``.
        passphrase: For key files that are locked by one.
        openers: Scheme (lower case, no colon) to opener.

    Raises:
        UsageError: No opener is known for the scheme.
        KeyFileError: The key cannot be opened.
    """
    scheme, colon, location = uri.partition(":")
    opener = openers.get(scheme.lower()) if colon else None
    if opener is None:
        raise UsageError(
            f"{uri!r} is not the URI of a signer; known schemes: {', '.join(sorted(openers))}.",
            hint="A key file is named like file:/etc/deploymark/ci.pem.",
        )
    return opener(location, passphrase)


def _line(key: VerifierKey, signature: bytes) -> str:
    return str(SignatureLine(key.name, key.key_id, signature))


def _refuse_zero(now_seconds: int) -> None:
    # Zero would mean "no statement about time", which no policy of ours counts.
    if now_seconds == 0:
        raise NoteError("A cosignature states its time, and zero states none.")
