"""Which file lies where, and how a data directory comes to be.

    <data>/log.db             the log
    <data>/state.db           tokens, sessions, what admission remembers: made again when lost
    <data>/telemetry.db       what running software reported: fills again when lost
    <data>/policy             tlog-policy: the log's own keys, its witnesses, the quorum
    <data>/keys/*.pem         private keys, readable by their owner only
    <data>.guard              the rollback guard, beside the directory on purpose

A data directory is created whole: built under another name and renamed. It is never created
because one of its files is missing.
"""

import errno
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from deploymark.crypto.keyfile import KeyAlgorithm, generate_key, load_private, save_private
from deploymark.crypto.note import VerifierKey
from deploymark.crypto.signer import Ed25519NoteSigner, MlDsa44NoteSigner
from deploymark.durable import sync, write_whole
from deploymark.errors import DataDirectoryError, KeyFileError, StoreUnavailableError
from deploymark.log.checkpoint import Checkpoint
from deploymark.log.policy import NONE, LogLine, Policy, format_policy
from deploymark.log.tree import EMPTY_ROOT
from deploymark.ports import Head
from deploymark.storage.sqlite import SqliteLogStore

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO)

_ORIGIN_RANDOM_BYTES = 8


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """The files of one deploymark.

    Attributes:
        path: The directory.
    """

    path: Path

    @property
    def database(self) -> Path:
        """The log itself."""
        return self.path / "log.db"

    @property
    def state(self) -> Path:
        """Operational state; not the truth about anything."""
        return self.path / "state.db"

    @property
    def views(self) -> Path:
        """Projections of the log; deleted and made again at will."""
        return self.path / "views.db"

    @property
    def telemetry(self) -> Path:
        """What running software reported; disposable evidence."""
        return self.path / "telemetry.db"

    @property
    def policy(self) -> Path:
        """The trust policy as the log states it: what `deploymark log policy` prints."""
        return self.path / "policy"

    @property
    def log_key(self) -> Path:
        """The log's Ed25519 key, which signs every commit."""
        return self.path / "keys" / "log-ed25519.pem"

    @property
    def publishing_key(self) -> Path:
        """The log's ML-DSA-44 key, which signs published checkpoints."""
        return self.path / "keys" / "log-ml-dsa-44.pem"

    @property
    def platform_key(self) -> Path:
        """The first admin key: signs key entries and what the platform itself says."""
        return self.path / "keys" / "platform.pem"

    @property
    def guard(self) -> Path:
        """The rollback guard; beside the directory, so that a restored backup leaves it alone."""
        # Resolved: a link to the directory must find the same guard as its own name.
        real = self.path.resolve()
        return real.with_name(real.name + ".guard")

    def check_exists(self) -> None:
        """Raise DataDirectoryError, naming what is missing, unless this is a data directory."""
        if self.path.exists() and not self.path.is_dir():
            raise DataDirectoryError(
                f"{self.path} is a file, not a data directory.",
                hint="Name a directory with --data.",
            )
        if not self.path.is_dir():
            raise DataDirectoryError(
                f"There is no data directory {self.path}.",
                hint="Create one with `deploymark log init`, or name another with --data.",
            )
        needed = (self.database, self.policy, self.log_key, self.publishing_key)
        missing = [str(file.relative_to(self.path)) for file in needed if not file.exists()]
        if missing:
            raise DataDirectoryError(
                f"The data directory {self.path} is incomplete: {', '.join(missing)} is missing.",
                hint="Restore the missing file from a backup. Nothing is created in its place.",
            )

    def check_absent(self) -> None:
        """Raise DataDirectoryError unless a new log may be created here."""
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise DataDirectoryError(
                f"{self.path} exists and is not empty; a log is created only in a new place.",
                hint="Name another directory, or remove this one if it is of no use.",
            )
        if self.guard.exists():
            raise DataDirectoryError(
                f"{self.guard} remembers a log that was here before.",
                hint="Restore that log, or remove the guard file if it is gone for good.",
            )


def default_origin() -> str:
    """Return an origin for a log that has no public URL yet."""
    return f"deploymark.local/{secrets.token_hex(_ORIGIN_RANDOM_BYTES)}"


@contextmanager
def drafted(path: Path) -> Iterator[DataDirectory]:
    """Build a data directory under a hidden name and put it in place when all went well.

    Args:
        path: Where it will be; absent or empty.

    Raises:
        DataDirectoryError: Something is there already.
        StoreUnavailableError: The disk refuses.
    """
    DataDirectory(path).check_absent()
    place = path.absolute()
    draft = place.with_name(f".{place.name}.new-{secrets.token_hex(4)}")
    try:
        draft.mkdir(mode=0o700, parents=True)
        yield DataDirectory(draft)
        if place.exists():
            place.rmdir()
        # If we stop before this line, only a hidden draft is left, which nothing ever opens.
        draft.rename(place)
        sync(place.parent)
    except OSError as error:
        raise StoreUnavailableError(
            f"{path} cannot be created: {error.strerror}.",
            hint="" if error.errno in _DISK else "Name a place with --data where you may write.",
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def create_log(draft: DataDirectory, origin: str, passphrase: str | None) -> Ed25519NoteSigner:
    """Write new keys, the policy that names them, and an empty log.

    Returns:
        The signer of the log's commits.
    """
    save_private(draft.log_key, generate_key(KeyAlgorithm.ED25519), passphrase)
    save_private(draft.publishing_key, generate_key(KeyAlgorithm.ML_DSA_44), passphrase)
    save_private(draft.platform_key, generate_key(KeyAlgorithm.ED25519), passphrase)
    signer = log_signer(draft, origin, passphrase)
    vkeys = (signer.vkey, publishing_signer(draft, origin, passphrase).vkey)
    logs = tuple(LogLine(VerifierKey.parse(vkey)) for vkey in vkeys)
    write_whole(draft.policy, format_policy(Policy(logs, {}, {}, NONE)).encode("utf-8"))
    text = Checkpoint(origin, 0, EMPTY_ROOT).text()
    note = f"{text}\n{signer.sign_note(text, now_seconds=0)}"
    store = SqliteLogStore(draft.database)
    try:
        store.create(Head(origin, 0, EMPTY_ROOT, b"", note, 0))
    finally:
        store.close()
    return signer


def write_policy(data: DataDirectory, text: str) -> None:
    """Replace the policy file whole."""
    try:
        write_whole(data.policy, text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise StoreUnavailableError(f"{data.policy} cannot be written: {error}.") from error


def log_signer(data: DataDirectory, origin: str, passphrase: str | None) -> Ed25519NoteSigner:
    """Load the key that signs every commit; KeyFileError when it is not an Ed25519 key."""
    key = load_private(data.log_key, passphrase)
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{data.log_key} is not an Ed25519 key.")
    return Ed25519NoteSigner(origin, key)


def publishing_signer(
    data: DataDirectory, origin: str, passphrase: str | None
) -> MlDsa44NoteSigner:
    """Load the key that signs published checkpoints; KeyFileError when it is not ML-DSA-44."""
    key = load_private(data.publishing_key, passphrase)
    if not isinstance(key, MLDSA44PrivateKey):
        raise KeyFileError(f"{data.publishing_key} is not an ML-DSA-44 key.")
    return MlDsa44NoteSigner(origin, key)
