"""A witness of this host: its keys and its memory in one directory.

<directory>/keys/ed25519.pem, ml-dsa-44.pem   private keys
<directory>/vkeys                              what logs put into their policies
<directory>/state.db                           the newest tree it signed, for each log
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from deploymark.crypto.keyfile import KeyAlgorithm, generate_key, load_private, save_private
from deploymark.crypto.signer import Ed25519CosignatureSigner, MlDsa44NoteSigner
from deploymark.durable import write_whole
from deploymark.errors import DataDirectoryError, KeyFileError
from deploymark.log.witness import trusted_logs
from deploymark.ports import NoteSigner
from deploymark.runtime.data_directory import drafted
from deploymark.runtime.system import SystemClock
from deploymark.storage.witness_state import SqliteWitnessState

_ED25519, _ML_DSA_44 = Path("keys/ed25519.pem"), Path("keys/ml-dsa-44.pem")
_VKEYS, _STATE = "vkeys", "state.db"


def create_witness(directory: Path, name: str, passphrase: str | None) -> None:
    """Create a witness that has seen nothing yet.

    Raises:
        DataDirectoryError: Something is there already.
        NoteError: The name cannot be a key name.
    """
    with drafted(directory) as draft:
        save_private(draft.path / _ED25519, generate_key(KeyAlgorithm.ED25519), passphrase)
        save_private(draft.path / _ML_DSA_44, generate_key(KeyAlgorithm.ML_DSA_44), passphrase)
        vkeys = [signer.vkey for signer in _signers(draft.path, name, passphrase)]
        write_whole(draft.path / _VKEYS, "".join(f"{vkey}\n" for vkey in vkeys).encode())
        SqliteWitnessState.create(draft.path / _STATE).close()


def witness_vkeys(directory: Path) -> list[str]:
    """Return the verifier keys of a witness, Ed25519 first."""
    try:
        return (directory / _VKEYS).read_text(encoding="utf-8").split()
    except OSError as error:
        raise DataDirectoryError(
            f"{directory} is no witness: {error.strerror}.",
            hint="Create one with `deploymark log witness init`.",
        ) from error


def run_witness(
    directory: Path,
    logs: Sequence[str],
    passphrase: str | None,
    address: tuple[str, int],
    listening: Callable[[str, int], None],
) -> None:
    """Serve a witness until it is told to stop.

    Args:
        directory: What `create_witness` made.
        logs: Verifier keys of the logs to witness.
        passphrase: Unlocks the private keys.
        address: Host and port to listen on; port 0 lets the system choose.
        listening: Told host and port once connections are accepted.

    Raises:
        ImportError: The extra `server` is not installed.
    """
    from deploymark.server.witness import serve, witness_app  # noqa: PLC0415 - optional extra

    name = witness_vkeys(directory)[0].partition("+")[0]
    state = SqliteWitnessState(directory / _STATE)
    try:
        signers = _signers(directory, name, passphrase)
        app = witness_app(trusted_logs(logs), signers, state, SystemClock())
        host, port = address
        serve(app, host, port, listening=listening)
    finally:
        state.close()


def _signers(directory: Path, name: str, passphrase: str | None) -> list[NoteSigner]:
    ed25519 = load_private(directory / _ED25519, passphrase)
    ml_dsa_44 = load_private(directory / _ML_DSA_44, passphrase)
    if not isinstance(ed25519, Ed25519PrivateKey) or not isinstance(ml_dsa_44, MLDSA44PrivateKey):
        raise KeyFileError(f"The keys in {directory / 'keys'} are not the ones of a witness.")
    return [Ed25519CosignatureSigner(name, ed25519), MlDsa44NoteSigner(name, ml_dsa_44)]
