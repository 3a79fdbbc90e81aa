"""Every adapter of the signing ports and of the guard passes the suite of its port."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from deploymark.crypto.signer import (
    Ed25519CosignatureSigner,
    Ed25519NoteSigner,
    MlDsa44NoteSigner,
)
from deploymark.ports import EnvelopeSigner, NoteSigner
from deploymark.storage.guard_file import FileRollbackGuard
from deploymark.storage.memory import MemoryLogStore
from deploymark.storage.memory_guard import MemoryRollbackGuard
from deploymark.storage.sqlite import SqliteLogStore
from deploymark.testing.faulty_store import FaultyLogStore
from deploymark.testing.log_store import exercise_log_store
from deploymark.testing.rollback_guard import exercise_rollback_guard
from deploymark.testing.signers import exercise_envelope_signer, exercise_note_signer
from deploymark.testing.whole_log import log_signers, producer
from deploymark.testing.witness import sample_cosigners

NOTE_SIGNERS: dict[type, Callable[[], NoteSigner]] = {
    Ed25519NoteSigner: lambda: log_signers()[0],
    MlDsa44NoteSigner: lambda: log_signers()[1],
    Ed25519CosignatureSigner: lambda: sample_cosigners()[0],
}


@pytest.mark.parametrize("adapter", NOTE_SIGNERS, ids=lambda adapter: adapter.__name__)
def test_a_note_signer_keeps_the_contract(adapter: type) -> None:
    assert type(NOTE_SIGNERS[adapter]()) is adapter
    exercise_note_signer(NOTE_SIGNERS[adapter])


def test_the_envelope_signer_keeps_the_contract() -> None:
    def make() -> tuple[EnvelopeSigner, bytes]:
        signer = producer("ci")
        return signer, signer.public

    exercise_envelope_signer(make)


def test_the_guard_in_a_file_keeps_the_contract(tmp_path: Path) -> None:
    numbers = count()
    exercise_rollback_guard(lambda: FileRollbackGuard(tmp_path / f"{next(numbers)}.guard"))


def test_the_guard_in_memory_keeps_the_contract() -> None:
    exercise_rollback_guard(MemoryRollbackGuard)


def test_a_faulty_store_without_faults_keeps_the_contract(tmp_path: Path) -> None:
    numbers = count()
    exercise_log_store(lambda: FaultyLogStore(MemoryLogStore()))
    exercise_log_store(
        lambda: FaultyLogStore(SqliteLogStore(tmp_path / f"{next(numbers)}.db")),
    )


# The suites themselves ----------------------------------------------------------------------------


class _ForgetfulGuard(MemoryRollbackGuard):
    def write(self, origin: str, size: int, root: bytes) -> None:
        if self.read() is None:
            super().write(origin, size, root)


class _CarelessSigner:
    """Signs the same checkpoint whatever it is shown."""

    def __init__(self) -> None:
        self._signer = log_signers()[0]
        self.vkey = self._signer.vkey

    def sign_note(self, _: str, *, now_seconds: int) -> str:
        return self._signer.sign_note("always\n1\n", now_seconds=now_seconds)


class _MisnamedSigner:
    key_id = "k-00000000000000000000000000"

    def sign(self, message: bytes) -> bytes:
        return producer("ci").sign(message)


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(lambda: exercise_rollback_guard(_ForgetfulGuard), id="forgetful guard"),
        pytest.param(
            lambda: exercise_envelope_signer(lambda: (_MisnamedSigner(), producer("ci").public)),
            id="signer under another id",
        ),
        pytest.param(
            lambda: exercise_envelope_signer(lambda: (producer("ci"), producer("other").public)),
            id="signer with another key",
        ),
    ],
)
def test_an_adapter_that_breaks_its_contract_is_told(run: Callable[[], None]) -> None:
    with pytest.raises(AssertionError):
        run()


def test_a_signer_of_something_else_is_told() -> None:
    with pytest.raises(Exception, match=r"not verify|rejected"):
        exercise_note_signer(_CarelessSigner)
