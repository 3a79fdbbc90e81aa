"""Signers state what they sign, keep their keys to themselves, and are opened by URI."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from deploymark.crypto import ed25519
from deploymark.crypto.keyfile import KeyAlgorithm, generate_key, save_private
from deploymark.crypto.pae import EnvelopeSigner
from deploymark.crypto.signer import (
    FILE_OPENER,
    Ed25519CosignatureSigner,
    Ed25519EnvelopeSigner,
    Ed25519NoteSigner,
    MlDsa44NoteSigner,
    signer_from_uri,
)
from deploymark.errors import KeyFileError, NoteError, UsageError
from deploymark.model.ids import key_id
from deploymark.ports import EnvelopeSigner as EnvelopeSignerPort
from deploymark.ports import NoteSigner

ED25519 = Ed25519PrivateKey.from_private_bytes(b"\x5a" * 32)
ML_DSA = MLDSA44PrivateKey.from_seed_bytes(b"\x5a" * 32)
ROOT = "A" * 43 + "="
CHECKPOINT = f"example.com/log\n1\n{ROOT}\n"
NOTE_SIGNERS: list[NoteSigner] = [
    Ed25519NoteSigner("example.com/log", ED25519),
    Ed25519CosignatureSigner("witness.example/w1", ED25519),
    MlDsa44NoteSigner("example.com/log", ML_DSA),
]


@pytest.mark.parametrize("signer", NOTE_SIGNERS)
def test_note_signers_fit_the_port(signer: NoteSigner) -> None:
    assert isinstance(signer, NoteSigner)
    line = signer.sign_note(CHECKPOINT, now_seconds=1)
    assert line.startswith(f"— {signer.vkey.split('+')[0]} ")
    assert line.endswith("\n")


@pytest.mark.parametrize("signer", NOTE_SIGNERS[1:])
@pytest.mark.parametrize("now", [0, -1, 2**63])
def test_timestamped_signers_refuse_a_time_that_says_nothing(signer: NoteSigner, now: int) -> None:
    with pytest.raises(NoteError):
        signer.sign_note(CHECKPOINT, now_seconds=now)


@pytest.mark.parametrize("text", [CHECKPOINT + "extension\n", "text\n", CHECKPOINT[:-1]])
def test_a_post_quantum_signer_signs_nothing_it_cannot_cover(text: str) -> None:
    with pytest.raises(NoteError):
        MlDsa44NoteSigner("example.com/log", ML_DSA).sign_note(text, now_seconds=1)


def test_no_signer_shows_its_private_key() -> None:
    signers = [*NOTE_SIGNERS, Ed25519EnvelopeSigner(ED25519)]
    told = "".join(f"{signer!r}{signer}" for signer in signers)
    assert "Z" * 8 not in told  # 0x5a is "Z", its base64 is "Wlpa"
    assert "Wlpa" not in told
    assert "5a5a" not in told


def test_an_envelope_signer_signs_with_the_key_its_id_names() -> None:
    signer: EnvelopeSignerPort = Ed25519EnvelopeSigner(ED25519)
    public = ED25519.public_key().public_bytes_raw()
    assert signer.key_id == key_id("ed25519", public)
    assert ed25519.verify(public, b"message", signer.sign(b"message"))


def test_a_key_file_is_opened_by_its_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_private(tmp_path / "ci key#1.pem", ED25519)
    monkeypatch.chdir(tmp_path)
    expected = Ed25519EnvelopeSigner(ED25519).key_id
    for uri in (
        "file:ci%20key#1.pem",
        "file:./ci key#1.pem",
        f"file:{tmp_path}/ci%20key%231.pem",
        f"FILE://{tmp_path}/ci%20key%231.pem",
        f"file://localhost{tmp_path}/ci key#1.pem",
    ):
        assert signer_from_uri(uri).key_id == expected


def test_a_locked_key_file_is_opened_with_its_passphrase(tmp_path: Path) -> None:
    save_private(tmp_path / "ci.pem", ED25519, "open sesame")
    signer = signer_from_uri(f"file:{tmp_path}/ci.pem", "open sesame")
    assert signer.key_id == Ed25519EnvelopeSigner(ED25519).key_id
    with pytest.raises(KeyFileError, match="none was given"):
        signer_from_uri(f"file:{tmp_path}/ci.pem")


@pytest.mark.parametrize(
    "uri", ["", "ci.pem", "awskms:alias/ci", "file:", "file://", "file://other.example/ci.pem"]
)
def test_uris_that_name_no_signer_are_explained(uri: str) -> None:
    with pytest.raises(UsageError, match="URI") as caught:
        signer_from_uri(uri)
    assert "file:" in caught.value.hint


def test_a_post_quantum_key_does_not_sign_envelopes(tmp_path: Path) -> None:
    save_private(tmp_path / "log.pem", generate_key(KeyAlgorithm.ML_DSA_44))
    with pytest.raises(KeyFileError, match="Ed25519"):
        signer_from_uri(f"file:{tmp_path}/log.pem")


def test_the_table_of_schemes_is_open() -> None:
    asked = []

    def open_kms(location: str, passphrase: str | None) -> EnvelopeSigner:
        asked.append((location, passphrase))
        return Ed25519EnvelopeSigner(ED25519)

    signer_from_uri("hsm:slot:1", openers={**FILE_OPENER, "hsm": open_kms})
    assert asked == [("slot:1", None)]
    with pytest.raises(UsageError, match="file, hsm"):
        signer_from_uri("other:x", openers={**FILE_OPENER, "hsm": open_kms})
