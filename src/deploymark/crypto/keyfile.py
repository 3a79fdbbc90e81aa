"""Keys on disk: private ones as PKCS #8 PEM that only their owner can read.

A private key is created durably and never overwritten; it is loaded only when nobody else could
have read it. Public parts are SubjectPublicKeyInfo PEM or C2SP verifier keys. Nothing in here
puts private material into an error, a log line or a repr.
"""

import os
import shlex
import stat
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from deploymark.crypto.note import SignatureType, VerifierKey
from deploymark.durable import create_parents, sync
from deploymark.errors import KeyFileError, NoteError

PrivateKey = Ed25519PrivateKey | MLDSA44PrivateKey
PublicKey = Ed25519PublicKey | MLDSA44PublicKey

MAX_KEY_FILE_BYTES: Final = 65_536
_OPEN_TO_OTHERS: Final = 0o077
_NOT_THERE: Final = "Check the path; `deploymark keys new FILE` makes FILE and FILE.pub."
_LONGEST_PASSPHRASE: Final = 1_023  # what OpenSSL takes


class KeyAlgorithm(StrEnum):
    """The algorithms that key files hold."""

    ED25519 = "ed25519"
    ML_DSA_44 = "ml-dsa-44"


def generate_key(algorithm: KeyAlgorithm) -> PrivateKey:
    """Make a new private key from the system's randomness."""
    match algorithm:
        case KeyAlgorithm.ED25519:
            return Ed25519PrivateKey.generate()
        case KeyAlgorithm.ML_DSA_44:
            return MLDSA44PrivateKey.generate()


def save_private(path: Path, key: PrivateKey, passphrase: str | None = None) -> None:
    """Create a private key file: mode 0600, never over an existing file, on disk when done.

    Missing parent directories are created with mode 0700.

    Args:
        path: Where; nothing may be there.
        key: The key.
        passphrase: Encrypts the PEM when given.

    Raises:
        KeyFileError: Something is there already, the passphrase is empty or too long, or the file
            system refused; then no part of a file stays behind.
    """
    if passphrase == "":
        raise KeyFileError("A passphrase must not be empty.", hint="Leave it out or choose one.")
    if passphrase is not None and len(passphrase.encode()) > _LONGEST_PASSPHRASE:
        raise KeyFileError(
            f"The passphrase has {len(passphrase.encode())} bytes; the limit is "
            f"{_LONGEST_PASSPHRASE}.",
            hint="Choose a shorter one; is this the file that holds it?",
        )
    encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    _create(path, content, 0o600)


def load_private(path: Path, passphrase: str | None = None) -> PrivateKey:
    """Read a private key that only its owner can read; symbolic links are followed.

    Raises:
        KeyFileError: The file is absent, open to others (the hint is the exact command), not
            PKCS #8 PEM of an Ed25519 or ML-DSA-44 key, or locked by another passphrase.
    """
    content = _read(path, private=True)
    secret = None if passphrase is None else passphrase.encode()
    try:
        key = load_pem_private_key(content, secret)
    except TypeError:  # how cryptography says that a passphrase is missing or superfluous
        if passphrase is None:
            raise KeyFileError(
                f"The key file {path} is locked by a passphrase and none was given.",
                hint="Give the passphrase of the key file.",
            ) from None
        raise KeyFileError(
            f"A passphrase was given and the key file {path} is not locked by one.",
            hint="Leave the passphrase out, or check that this is the right file.",
        ) from None
    except (ValueError, UnsupportedAlgorithm):  # its text might quote the file
        hint = "Check the passphrase and that the file is the right one." if passphrase else ""
        raise KeyFileError(
            f"The key file {path} is not a PKCS #8 PEM key that this passphrase opens."
            if passphrase
            else f"The key file {path} is not a PKCS #8 PEM key.",
            hint=hint,
        ) from None
    if not isinstance(key, Ed25519PrivateKey | MLDSA44PrivateKey):
        raise KeyFileError(f"The key file {path} holds neither an Ed25519 nor an ML-DSA-44 key.")
    return key


def public_pem(key: PublicKey) -> str:
    """Return a public key as SubjectPublicKeyInfo PEM."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def save_public(path: Path, key: PublicKey | VerifierKey) -> None:
    """Create a public key file, mode 0644: PEM, or one line for a verifier key.

    Raises:
        KeyFileError: Something is there already, or the file system refused.
    """
    text = f"{key}\n" if isinstance(key, VerifierKey) else public_pem(key)
    _create(path, text.encode(), 0o644)


def load_public(path: Path) -> PublicKey:
    """Read the public key of a SubjectPublicKeyInfo PEM or verifier key file.

    Raises:
        KeyFileError: The file is absent or holds neither form of a key we use.
    """
    content = _read(path, private=False)
    try:
        if not content.startswith(b"-----BEGIN "):
            return _public_of(VerifierKey.parse(content.decode().strip()))
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm, NoteError) as error:
        raise KeyFileError(
            f"{path} is not a public key file.",
            hint="Public keys are PEM (SubjectPublicKeyInfo) or verifier keys name+id+base64.",
        ) from error
    if not isinstance(key, Ed25519PublicKey | MLDSA44PublicKey):
        raise KeyFileError(f"{path} holds neither an Ed25519 nor an ML-DSA-44 key.")
    return key


def _public_of(key: VerifierKey) -> PublicKey:
    if key.algorithm is SignatureType.ML_DSA_44:
        return MLDSA44PublicKey.from_public_bytes(key.public)
    return Ed25519PublicKey.from_public_bytes(key.public)


def _read(path: Path, *, private: bool) -> bytes:
    """Read a key file through one descriptor, so that what is checked is what is read."""
    try:
        # Non-blocking: a FIFO in the place of a key file must not hang the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise KeyFileError(f"The key file {path} is not a regular file.")
            if private and status.st_mode & _OPEN_TO_OTHERS:
                raise _open_to_others(path, stat.S_IMODE(status.st_mode))
            content = file.read(MAX_KEY_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise KeyFileError(f"There is no key file {path}.", hint=_NOT_THERE) from error
    except OSError as error:
        raise KeyFileError(f"The key file {path} cannot be read: {error.strerror}.") from error
    if len(content) > MAX_KEY_FILE_BYTES:
        raise KeyFileError(f"The key file {path} is larger than {MAX_KEY_FILE_BYTES} bytes.")
    return content


def _open_to_others(path: Path, mode: int) -> KeyFileError:
    target = shlex.quote(str(path.resolve()))
    return KeyFileError(
        f"The private key file {path} is open to others (mode {mode:04o}).",
        hint=f"Run `chmod 600 {target}`; if others had access to it, make a new key.",
    )


def _create(path: Path, content: bytes, mode: int) -> None:
    try:
        create_parents(path.absolute().parent, 0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError as error:
        raise KeyFileError(
            f"{path} exists and is not overwritten.",
            hint="Choose another name, or move the old key away first.",
        ) from error
    except OSError as error:
        raise KeyFileError(f"{path} cannot be created: {error.strerror}.") from error
    # If we stop in here, a file without a whole key remains: loading it says so, and creating
    # another one is refused until it is moved away. Nothing was signed with it yet.
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)  # whatever the umask says
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        sync(path.absolute().parent)
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise KeyFileError(f"{path} cannot be written: {error.strerror}.") from error
