"""Key files: private ones stay private, are never overwritten, and never appear in an error."""

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from deploymark.crypto.keyfile import (
    KeyAlgorithm,
    PrivateKey,
    generate_key,
    load_private,
    load_public,
    public_pem,
    save_private,
    save_public,
)
from deploymark.crypto.note import SignatureType, VerifierKey
from deploymark.errors import KeyFileError

ALGORITHMS = list(KeyAlgorithm)
# RFC 8410 section 10.3: the example of a private key and its public key.
RFC_8410_PRIVATE = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
"""
RFC_8410_PUBLIC = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
"""


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def same(first: PrivateKey, second: PrivateKey) -> bool:
    return first.private_bytes_raw() == second.private_bytes_raw()


def write_private(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("passphrase", [None, "correct horse"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_saved_key_loads_again(
    tmp_path: Path, algorithm: KeyAlgorithm, passphrase: str | None
) -> None:
    key, path = generate_key(algorithm), tmp_path / "log.pem"
    save_private(path, key, passphrase)
    assert same(load_private(path, passphrase), key)
    begin = b"-----BEGIN ENCRYPTED PRIVATE" if passphrase else b"-----BEGIN PRIVATE"
    assert path.read_bytes().startswith(begin)


def test_the_published_key_pair_loads(tmp_path: Path) -> None:
    private = load_private(write_private(tmp_path / "rfc.pem", RFC_8410_PRIVATE))
    public = tmp_path / "rfc.pub"
    public.write_text(RFC_8410_PUBLIC)
    assert public_pem(private.public_key()) == RFC_8410_PUBLIC
    assert load_public(public).public_bytes_raw() == private.public_key().public_bytes_raw()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o277])
def test_only_the_owner_can_read_a_new_key_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        save_private(tmp_path / "key.pem", generate_key(KeyAlgorithm.ED25519))
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "key.pem") == 0o600


def test_missing_parents_are_created_for_the_owner_and_existing_ones_left_alone(
    tmp_path: Path,
) -> None:
    tmp_path.chmod(0o755)
    path = tmp_path / "a" / "b" / "key.pem"
    save_private(path, generate_key(KeyAlgorithm.ED25519))
    assert [mode_of(parent) for parent in list(path.parents)[:3]] == [0o700, 0o700, 0o755]


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("precious")
    with pytest.raises(KeyFileError, match="not overwritten"):
        save_private(path, generate_key(KeyAlgorithm.ED25519))
    assert path.read_text() == "precious"


def test_a_dangling_link_is_not_followed_when_a_key_is_created(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.symlink_to(tmp_path / "elsewhere.pem")
    with pytest.raises(KeyFileError, match="not overwritten"):
        save_private(path, generate_key(KeyAlgorithm.ED25519))
    assert not (tmp_path / "elsewhere.pem").exists()


def test_nothing_stays_behind_when_the_disk_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(KeyFileError, match="No space left"):
        save_private(tmp_path / "key.pem", generate_key(KeyAlgorithm.ED25519))
    assert list(tmp_path.iterdir()) == []


def test_file_and_directory_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(stat.S_ISDIR(os.fstat(fd).st_mode)))
    save_private(tmp_path / "new" / "key.pem", generate_key(KeyAlgorithm.ED25519))
    assert synced == [True, False, True]


def test_a_parent_that_is_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyFileError):
        save_private(tmp_path / "file" / "key.pem", generate_key(KeyAlgorithm.ED25519))


def test_an_empty_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="empty"):
        save_private(tmp_path / "key.pem", generate_key(KeyAlgorithm.ED25519), "")
    assert list(tmp_path.iterdir()) == []


def test_a_passphrase_that_is_too_long_is_refused(tmp_path: Path) -> None:
    key = generate_key(KeyAlgorithm.ED25519)
    save_private(tmp_path / "longest.pem", key, "x" * 1_023)
    with pytest.raises(KeyFileError, match="1024 bytes; the limit is 1023"):
        save_private(tmp_path / "longer.pem", key, "é" * 512)
    assert not (tmp_path / "longer.pem").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610, 0o602])
def test_a_key_open_to_others_is_refused_with_the_command_to_run(tmp_path: Path, mode: int) -> None:
    path = write_private(tmp_path / "my key.pem", RFC_8410_PRIVATE)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="open to others") as caught:
        load_private(path)
    assert f"chmod 600 '{path.resolve()}'" in caught.value.hint


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_link_is_followed_to_a_private_file(tmp_path: Path, mode: int) -> None:
    target = write_private(tmp_path / "target.pem", RFC_8410_PRIVATE)
    target.chmod(mode)
    (tmp_path / "link.pem").symlink_to(target)
    load_private(tmp_path / "link.pem")


def test_a_link_to_an_open_file_is_refused_and_the_file_is_named(tmp_path: Path) -> None:
    target = write_private(tmp_path / "target.pem", RFC_8410_PRIVATE)
    target.chmod(0o644)
    (tmp_path / "link.pem").symlink_to(target)
    with pytest.raises(KeyFileError) as caught:
        load_private(tmp_path / "link.pem")
    assert f"chmod 600 {target.resolve()}" in caught.value.hint


def test_a_missing_file_a_directory_and_a_fifo_are_explained(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    for path in (tmp_path / "missing.pem", tmp_path, tmp_path / "fifo"):
        with pytest.raises(KeyFileError, match=str(path)):
            load_private(path)


def ec_key() -> bytes:
    key = generate_private_key(SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


NOT_KEYS = {
    "an empty file": b"",
    "text": b"hello",
    "a truncated key": RFC_8410_PRIVATE[:60].encode(),
    "a public key": RFC_8410_PUBLIC.encode(),
    "a key of another algorithm": ec_key(),
    "a huge file": RFC_8410_PRIVATE.encode() * 1000,
}


@pytest.mark.parametrize("content", NOT_KEYS.values(), ids=NOT_KEYS)
def test_what_is_no_key_of_ours_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(KeyFileError):
        load_private(write_private(tmp_path / "key.pem", content))


WRONG_PASSPHRASES = {
    "missing": ("right", None, "none was given"),
    "wrong": ("right", "wrong", "passphrase"),
    "superfluous": (None, "any", "not locked"),
}


@pytest.mark.parametrize(
    ("saved", "given", "message"), WRONG_PASSPHRASES.values(), ids=WRONG_PASSPHRASES
)
def test_a_passphrase_that_does_not_fit_is_explained(
    tmp_path: Path, saved: str | None, given: str | None, message: str
) -> None:
    path = tmp_path / "key.pem"
    save_private(path, generate_key(KeyAlgorithm.ED25519), saved)
    with pytest.raises(KeyFileError, match=message) as caught:
        load_private(path, given)
    assert caught.value.hint


def test_no_error_repeats_what_a_broken_key_file_holds(tmp_path: Path) -> None:
    secret = RFC_8410_PRIVATE.splitlines()[1]
    broken = RFC_8410_PRIVATE.replace("MC4C", "MC5C")
    with pytest.raises(KeyFileError) as caught:
        load_private(write_private(tmp_path / "key.pem", broken))
    error: BaseException | None = caught.value
    told = f"{caught.value!r}{caught.value.hint}"
    assert secret[8:20] not in told
    assert error is not None
    assert error.__cause__ is None
    assert error.__suppress_context__


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_public_keys_are_kept_as_pem_or_as_verifier_key(
    tmp_path: Path, algorithm: KeyAlgorithm
) -> None:
    public = generate_key(algorithm).public_key()
    ed25519 = algorithm is KeyAlgorithm.ED25519
    kind = SignatureType.ED25519 if ed25519 else SignatureType.ML_DSA_44
    vkey = VerifierKey("example.com/log", kind, public.public_bytes_raw())
    save_public(tmp_path / "log.pub", public)
    save_public(tmp_path / "log.vkey", vkey)
    assert (tmp_path / "log.vkey").read_text() == f"{vkey}\n"
    assert mode_of(tmp_path / "log.pub") == 0o644
    for name in ("log.pub", "log.vkey"):
        assert load_public(tmp_path / name).public_bytes_raw() == public.public_bytes_raw()


@pytest.mark.parametrize(
    "content",
    ["", "hello", RFC_8410_PRIVATE, RFC_8410_PUBLIC.replace("MCow", "MCoX"), "\x80"],
)
def test_what_is_no_public_key_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key.pub"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(KeyFileError, match="not a public key"):
        load_public(path)


def test_a_public_key_of_another_algorithm_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pub"
    public = generate_private_key(SECP256R1()).public_key()
    path.write_text(public_pem(public))  # type: ignore[arg-type]
    with pytest.raises(KeyFileError, match="neither"):
        load_public(path)


def test_generated_keys_differ() -> None:
    first, second = (generate_key(KeyAlgorithm.ED25519) for _ in range(2))
    assert isinstance(first, Ed25519PrivateKey)
    assert not same(first, second)
