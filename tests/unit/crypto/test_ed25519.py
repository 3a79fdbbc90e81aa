"""The verdict on an Ed25519 signature is one, whichever library is installed."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from deploymark.crypto import ed25519

SPECCHECK: list[dict[str, str]] = json.loads(
    (Path(__file__).parent / "vectors" / "ed25519-speccheck.json").read_bytes()
)
ORDER = 2**252 + 27742317777372317353535851937790883648493

# RFC 8032 section 7.1: secret, public, message, signature.
RFC_8032 = {
    "TEST 1, empty message": (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    "TEST 2, one byte": (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
}

# ed25519-speccheck: the index of each case and our verdict.
EDGE_CASES = {
    "small-order key and R, S zero": (0, False),
    "small-order key, mixed-order R": (1, False),
    "mixed-order key, small-order R": (2, False),
    "mixed-order key and R that pass without the cofactor": (3, True),
    "passes only with the cofactor": (4, False),
    "passes only with the cofactor and an unreduced hash": (5, False),
    "S above the group order": (6, False),
    "S far above the group order": (7, False),
    "R of small order in a second encoding": (8, False),
    "R of small order in a second encoding, hashed as sent": (9, False),
}


def verify_with_each(public: bytes, message: bytes, signature: bytes) -> list[bool]:
    equations: list[Any] = [ed25519._equation_cryptography]
    if ed25519._equation_pynacl is not None:
        equations.append(ed25519._equation_pynacl)
    well_formed = ed25519._is_well_formed(public, signature)
    return [well_formed and equation(public, message, signature) for equation in equations]


def agree(public: bytes, message: bytes, signature: bytes) -> bool:
    first, *others = verify_with_each(public, message, signature)
    assert all(other is first for other in others)
    assert ed25519.verify(public, message, signature) is first
    return first


def test_the_fast_backend_is_used_when_it_is_installed() -> None:
    pytest.importorskip("nacl")
    assert ed25519.BACKEND == "pynacl"


@pytest.mark.parametrize(("public", "message", "signature"), RFC_8032.values(), ids=RFC_8032)
def test_published_signatures_verify(public: str, message: str, signature: str) -> None:
    assert agree(bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature))


@pytest.mark.parametrize(("case", "verdict"), EDGE_CASES.values(), ids=EDGE_CASES)
def test_edge_cases_have_one_verdict(case: int, verdict: bool) -> None:  # noqa: FBT001
    vector = SPECCHECK[case]
    public, message, signature = (
        bytes.fromhex(vector[name]) for name in ("pub_key", "message", "signature")
    )
    assert agree(public, message, signature) is verdict


def test_a_signature_cannot_be_written_a_second_way_by_adding_the_group_order() -> None:
    private = Ed25519PrivateKey.generate()
    signature = private.sign(b"once")
    again = int.from_bytes(signature[32:], "little") + ORDER
    forged = signature[:32] + again.to_bytes(32, "little")
    public = private.public_key().public_bytes_raw()
    assert agree(public, b"once", signature)
    assert not agree(public, b"once", forged)


@pytest.mark.parametrize("size", [0, 31, 33, 63, 65, 128])
def test_other_lengths_are_refused_without_an_exception(size: int) -> None:
    private = Ed25519PrivateKey.generate()
    public, signature = private.public_key().public_bytes_raw(), private.sign(b"x")
    assert not ed25519.verify(public, b"x", (signature * 2)[:size])
    assert not ed25519.verify((public * 4)[:size], b"x", signature)


def test_a_key_that_is_no_point_of_the_curve_is_refused() -> None:
    not_a_point = (2).to_bytes(32, "little")
    assert not agree(not_a_point, b"", Ed25519PrivateKey.generate().sign(b""))


@pytest.mark.parametrize("y", [0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 18, 2**255 - 1])
@pytest.mark.parametrize("sign", [0, 1])
def test_small_or_second_encodings_of_a_key_are_refused(y: int, sign: int) -> None:
    encoded = (y | sign << 255).to_bytes(32, "little")
    identity = (1).to_bytes(32, "little") + bytes(32)
    assert not agree(encoded, b"anything", identity)


@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=200))
def test_both_libraries_accept_what_a_key_signed(seed: bytes, message: bytes) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    assert agree(private.public_key().public_bytes_raw(), message, private.sign(message))


@given(
    seed=st.binary(min_size=32, max_size=32),
    message=st.binary(min_size=1, max_size=60),
    position=st.integers(0, 10_000),
    flip=st.integers(1, 255),
)
def test_both_libraries_refuse_any_changed_byte(
    seed: bytes, message: bytes, position: int, flip: int
) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    everything = bytearray(public + signature + message)
    everything[position % len(everything)] ^= flip
    changed = bytes(everything)
    assert not agree(changed[:32], changed[96:], changed[32:96])


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=64, max_size=64))
def test_both_libraries_agree_on_noise(public: bytes, signature: bytes) -> None:
    assert not agree(public, b"noise", signature)
