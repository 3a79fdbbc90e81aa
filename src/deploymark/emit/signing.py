"""Signs a drafted marker with a key file, loading as little as possible to do so.

The same envelope, byte for byte, as `crypto.dsse.sign_envelope` and `model.envelope` give; a test
holds them together. Those load msgspec and every kind of key, which a command that starts anew for
each marker cannot afford. `cryptography` is loaded when a key is opened, and for a key that is not
locked only the part of it that signs.
"""

import os
import stat
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from typing import Any, Final

from deploymark.crypto.pae import pae
from deploymark.errors import KeyFileError, UsageError
from deploymark.model.canonical import encode
from deploymark.model.ids import key_id
from deploymark.model.statement import payload_type_of, statement_of
from deploymark.model.vocabulary import IN_TOTO

_MAX_KEY_BYTES: Final = 65_536
_OPEN_TO_OTHERS: Final = 0o077
_PEM_BEGIN: Final = b"-----BEGIN PRIVATE KEY-----"
_PEM_END: Final = b"-----END PRIVATE KEY-----"
# What stands before the 32 bytes of an Ed25519 key that is not locked (RFC 8410, section 7).
_PKCS8_BEGIN: Final = bytes.fromhex("302e020100300506032b657004220420")
_SEED_BYTES: Final = 32


class MarkerSigner:
    """A producer's Ed25519 key.

    Args:
        public: The 32 bytes of its public half.
        sign: Returns the 64-byte signature over a message.
    """

    def __init__(self, public: bytes, sign: Callable[[bytes], bytes]) -> None:
        self.key_id = key_id("ed25519", public)
        self.sign = sign

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key_id})"

    def seal(self, fields: Mapping[str, Any]) -> bytes:
        """Return the DSSE envelope of a flat marker as JSON (spec: marker, "Signed form").

        Raises:
            CanonicalError: The marker has no canonical form.
        """
        kind = payload_type_of(fields)
        payload = statement_of(fields) if kind == IN_TOTO else encode(dict(fields))
        signature = self.sign(pae(kind, payload))
        # Base64, our own ids and our own types need no escaping.
        return b'{"payload":"%b","payloadType":"%b","signatures":[{"keyid":"%b","sig":"%b"}]}' % (
            b2a_base64(payload, newline=False),
            kind.encode(),
            self.key_id.encode(),
            b2a_base64(signature, newline=False),
        )


def open_signer(key: str, passphrase: str | None = None) -> MarkerSigner:
    """Open the key that signs markers.

    Args:
        key: A path, `file:path` or `file:///path`.
        passphrase: Opens a locked key file.

    Raises:
        KeyFileError: The file is absent, open to others, or no usable Ed25519 key.
        UsageError: A URI of another kind.
    """
    path = _path_of(key)
    content = _read(path)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 - costs 8 ms
        Ed25519PrivateKey,
    )

    seed = _plain_seed(content) if passphrase is None else None
    if seed is not None:
        private = Ed25519PrivateKey.from_private_bytes(seed)
    else:
        loaded = _load(content, path, passphrase)
        if not isinstance(loaded, Ed25519PrivateKey):
            raise KeyFileError(f"Markers are signed with Ed25519; {path} holds another key.")
        private = loaded
    return MarkerSigner(private.public_key().public_bytes_raw(), private.sign)


def _plain_seed(content: bytes) -> bytes | None:
    """Return the secret in an Ed25519 key file that is not locked, None for any other file.

    Such a key is written in one way only, as long as it carries no attributes.
    """
    text = content.strip()
    if not (text.startswith(_PEM_BEGIN) and text.endswith(_PEM_END)):
        return None
    lines = text[len(_PEM_BEGIN) : -len(_PEM_END)].split()
    try:
        der = a2b_base64(b"".join(lines), strict_mode=True)
    except Base64Error:
        return None
    seed = der.removeprefix(_PKCS8_BEGIN)
    return seed if der.startswith(_PKCS8_BEGIN) and len(seed) == _SEED_BYTES else None


def _load(content: bytes, path: str, passphrase: str | None) -> object:
    """Open a key file of any kind that `cryptography` knows."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - costs 12 ms
        load_pem_private_key,
    )

    try:
        return load_pem_private_key(content, None if passphrase is None else passphrase.encode())
    except TypeError:  # how cryptography says that a passphrase is missing or superfluous
        raise KeyFileError(
            f"The key file {path} is locked by a passphrase and none was given."
            if passphrase is None
            else f"A passphrase was given and the key file {path} is not locked by one.",
            hint="The passphrase is DEPLOYMARK_KEY_PASSPHRASE.",
        ) from None
    except (ValueError, UnsupportedAlgorithm):  # its text might quote the file
        raise KeyFileError(
            f"The key file {path} is not a PKCS #8 PEM key that this passphrase opens."
            if passphrase
            else f"The key file {path} is not a PKCS #8 PEM key."
        ) from None


def _path_of(key: str) -> str:
    scheme, colon, location = key.partition(":")
    if not colon or "/" in scheme:
        return key
    if scheme.lower() != "file":
        raise UsageError(
            f"{key!r} is not a key that an emitter can open.",
            hint="Name a PEM file, as a path or like file:/etc/deploymark/ci.pem.",
        )
    host, path = "", location
    if location.startswith("//"):
        host, slash, rest = location.removeprefix("//").partition("/")
        path = slash + rest
    if host not in {"", "localhost"} or not path:
        raise UsageError(
            f"{key!r} is not the URI of a file on this host.",
            hint="A key file is named like file:/etc/deploymark/ci.pem.",
        )
    if "%" not in path:
        return path
    from urllib.parse import unquote  # noqa: PLC0415 - hardly ever needed

    return unquote(path)


def _read(path: str) -> bytes:
    """Read a key file through one descriptor, so that what is checked is what is read."""
    try:
        # Non-blocking: a FIFO in the place of a key file must not hang the deploy.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise KeyFileError(f"The key file {path} is not a regular file.")
            if status.st_mode & _OPEN_TO_OTHERS:
                raise KeyFileError(
                    f"The private key file {path} is open to others "
                    f"(mode {stat.S_IMODE(status.st_mode):04o}).",
                    hint=f"Run `chmod 600 {path}`; if others had access to it, make a new key.",
                )
            content = file.read(_MAX_KEY_BYTES + 1)
    except FileNotFoundError as error:
        hint = "Check the path; `deploymark keys new FILE` makes FILE and FILE.pub."
        raise KeyFileError(f"There is no key file {path}.", hint=hint) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise KeyFileError(f"The key file {path} cannot be read: {reason}.") from error
    if len(content) > _MAX_KEY_BYTES:
        raise KeyFileError(f"The key file {path} is larger than {_MAX_KEY_BYTES} bytes.")
    return content
