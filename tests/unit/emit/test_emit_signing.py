"""Signing with little loaded gives what signing with everything gives."""

import os
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from emit_samples import fields

from deploymark.crypto.dsse import sign_envelope, verify_signature
from deploymark.crypto.keyfile import KeyAlgorithm, generate_key, save_private
from deploymark.crypto.signer import Ed25519EnvelopeSigner
from deploymark.emit.signing import open_signer
from deploymark.errors import KeyFileError, UsageError
from deploymark.model.canonical import encode
from deploymark.model.envelope import decode_envelope
from deploymark.model.statement import payload_type_of, statement_of
from deploymark.model.vocabulary import IN_TOTO

_PRIVATE = Ed25519PrivateKey.from_private_bytes(b"7" * 32)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "ci.pem"
    save_private(path, _PRIVATE)
    return path


_MARKERS: dict[str, dict[str, Any]] = {
    "with a digest": fields(phase="applied", service="café"),
    "with a commit": {"service": "a", "environment": "b", "phase": "x", "commit_hash": "a" * 40},
    "with a version": {"service": "a", "environment": "b", "phase": "x", "version": "1"},
}


@pytest.mark.parametrize("name", _MARKERS)
def test_the_envelope_is_byte_for_byte_that_of_the_server_s_side(name: str, key: Path) -> None:
    marker = _MARKERS[name]
    kind = payload_type_of(marker)
    payload = statement_of(marker) if kind == IN_TOTO else encode(marker)
    signer = Ed25519EnvelopeSigner(_PRIVATE)
    expected = msgspec.json.encode(sign_envelope(kind, payload, [signer]))
    sealed = open_signer(str(key)).seal(marker)
    assert sealed == expected
    verify_signature(decode_envelope(sealed), signer.key_id, signer.public)


_SPELLINGS: dict[str, Callable[[bytes], bytes]] = {
    "with line ends of Windows": lambda pem: pem.replace(b"\n", b"\r\n"),
    "without its last line end": bytes.strip,
    "with a remark before it": lambda pem: b"the key of CI\n" + pem,
}


@pytest.mark.parametrize("name", _SPELLINGS)
def test_a_key_is_the_same(name: str, key: Path) -> None:
    key.write_bytes(_SPELLINGS[name](key.read_bytes()))
    assert open_signer(str(key)).key_id == Ed25519EnvelopeSigner(_PRIVATE).key_id


_DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "no base64": lambda text: text.replace(b"M", b"!", 1),
    "base64 that ends too early": lambda text: text[:-1],
    "a byte less": lambda text: b64encode(b64decode(text)[:-1]),
    "a byte more": lambda text: b64encode(b64decode(text) + b"\0"),
    "another algorithm": lambda text: b64encode(b64decode(text).replace(b"\x70", b"\x63", 1)),
    "nothing": lambda _: b"",
}


@pytest.mark.parametrize("name", _DAMAGES)
def test_a_key_is_refused_that_is(name: str, key: Path) -> None:
    begin, text, end = key.read_bytes().splitlines()
    key.write_bytes(b"\n".join([begin, _DAMAGES[name](text), end]))
    with pytest.raises(KeyFileError):
        open_signer(str(key))


def test_a_key_may_be_named_as_uri(key: Path, tmp_path: Path) -> None:
    odd = tmp_path / "my key.pem"
    key.rename(odd)
    names = [str(odd), f"file:{odd}", f"file://{tmp_path}/my%20key.pem", f"FILE:{odd}"]
    assert len({open_signer(name).key_id for name in names}) == 1
    assert "k-" in repr(open_signer(names[0]))


@pytest.mark.parametrize("uri", ["awskms:alias/ci", "file://elsewhere/ci.pem", "file:"])
def test_another_uri_is_refused(uri: str) -> None:
    with pytest.raises(UsageError):
        open_signer(uri)


def test_a_locked_key_needs_its_passphrase(tmp_path: Path, key: Path) -> None:
    locked = tmp_path / "locked.pem"
    save_private(locked, _PRIVATE, "right")
    assert open_signer(str(locked), "right").key_id == open_signer(str(key)).key_id
    for path, passphrase in [(locked, None), (locked, "wrong"), (key, "superfluous")]:
        with pytest.raises(KeyFileError) as raised:
            open_signer(str(path), passphrase)
        assert (passphrase or "right") not in raised.value.message


def test_a_file_that_is_no_usable_key_is_refused(tmp_path: Path, key: Path) -> None:
    other = tmp_path / "other.pem"
    save_private(other, generate_key(KeyAlgorithm.ML_DSA_44))
    noise = tmp_path / "noise.pem"
    noise.write_bytes(b"noise")
    noise.chmod(0o600)
    large = tmp_path / "large.pem"
    large.write_bytes(b"x" * 70_000)
    large.chmod(0o600)
    pipe = tmp_path / "pipe.pem"
    os.mkfifo(pipe, 0o600)
    key.chmod(0o644)
    for path in (other, noise, large, pipe, key, tmp_path, tmp_path / "none.pem"):
        with pytest.raises(KeyFileError):
            open_signer(str(path))
