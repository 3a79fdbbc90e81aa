"""DSSE by its published vectors, and no changed byte is accepted."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from deploymark.crypto.base64text import decode_base64, encode_base64
from deploymark.crypto.dsse import pae, sign_envelope, verify_signature
from deploymark.crypto.signer import Ed25519EnvelopeSigner
from deploymark.errors import EnvelopeError, SignatureError
from deploymark.model.envelope import Envelope, Signature, decode_envelope
from deploymark.model.vocabulary import IN_TOTO

# github.com/secure-systems-lab/dsse, testvectors/vectors.json.
KEY_A = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
SEED_A = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
KEY_B = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
PAYLOAD = "eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEifQ=="
SIG_A = "2WAfaHm5jluo0w+0rk8uVkluELJYWjSmU9x7EUzx+AyteDGJ4/nqyJXfmAUVFIAoQafWm7AxBZNw5M9ixNHiCA=="
SIG_B = "c1+67/aT0yqEpwx8PsVY3MLHsj9D0CZ014/Fv/QlG59P+9CobUZ7xECJ/V3USG0Ob9CiE5LjReEZUzNF2l7eBw=="
SIG_URL_SAFE = (
    "P-_KHICeR7tI6S_YyejJTRtrXhcQyQ2LYPaL8h90KjC9qN8HU_svOQ6TuDOT1HIrsGW886DbWNWcCmX5twLrAw=="
)
SIG_NOT_ASCII = (
    "xmSk/ug66ysT7ayhkCIjhAq42zgZXSsEWuzUaNL7w2eGAdF/NU6/fRXPtmfN+5DNSAs5/i2lUnHjbbjPsu0tAw=="
)
SIG_EMPTY = (
    "gSggCAaTLTYyRH6FIDBem6meyIynsYy8RTHVzwx9tnTb7Bg/1jMWnuVgI/gffqmbsC2VX5/jHfkkDqsj7CDbDg=="
)
NOT_ASCII_TYPE = "application/vnd.exämple+json"

PAES = {
    # protocol.md, "Test Vectors"
    "the example of the specification": (
        "http://example.com/HelloWorld",
        b"hello world",
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world",
    ),
    "a type is counted in bytes": (
        NOT_ASCII_TYPE,
        b"",
        b"DSSEv1 29 application/vnd.ex\xc3\xa4mple+json 0 ",
    ),
    "an empty payload": (IN_TOTO, b"", b"DSSEv1 28 application/vnd.in-toto+json 0 "),
    "an empty type": ("", b"x", b"DSSEv1 0  1 x"),
}


def envelope_of(payload: str, kind: str, *signatures: tuple[str, str]) -> Envelope:
    signed = [Signature(keyid, sig) for keyid, sig in signatures]
    return Envelope(payload, kind, signed)


SINGLE = envelope_of(PAYLOAD, IN_TOTO, ("A", SIG_A))


@pytest.mark.parametrize(("kind", "payload", "expected"), PAES.values(), ids=PAES)
def test_the_signed_bytes_are_those_of_the_specification(
    kind: str, payload: bytes, expected: bytes
) -> None:
    assert pae(kind, payload) == expected


def test_the_ecdsa_example_of_the_specification_signs_our_encoding() -> None:
    x = 46950820868899156662930047687818585632848591499744589407958293238635476079160
    y = 5640078356564379163099075877009565129882514886557779369047442380624545832820
    raw = decode_base64(
        "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="
    )
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key().verify(
        encode_dss_signature(r, s),
        pae("http://example.com/HelloWorld", b"hello world"),
        ECDSA(SHA256()),
    )


ACCEPTED = {
    "one signature": SINGLE,
    "a type that is not ASCII": envelope_of(PAYLOAD, NOT_ASCII_TYPE, ("A", SIG_NOT_ASCII)),
    "an empty payload": envelope_of("", IN_TOTO, ("A", SIG_EMPTY)),
    "two keys": envelope_of(PAYLOAD, IN_TOTO, ("B", SIG_B), ("A", SIG_A)),
    "one key twice": envelope_of(PAYLOAD, IN_TOTO, ("A", SIG_A), ("A", SIG_A)),
}


@pytest.mark.parametrize("envelope", ACCEPTED.values(), ids=ACCEPTED)
def test_published_envelopes_verify(envelope: Envelope) -> None:
    verify_signature(envelope, "A", KEY_A)


def test_every_signature_is_checked_with_the_key_it_names() -> None:
    verify_signature(ACCEPTED["two keys"], "B", KEY_B)
    with pytest.raises(SignatureError, match="does not verify"):
        verify_signature(ACCEPTED["two keys"], "B", KEY_A)


def test_url_safe_base64_is_accepted_where_an_envelope_is_received() -> None:
    received = (
        f'{{"payload":"-_-_Pj8=","payloadType":"{IN_TOTO}",'
        f'"signatures":[{{"sig":"{SIG_URL_SAFE}","keyid":"A"}}]}}'
    )
    verify_signature(decode_envelope(received.encode()), "A", KEY_A)


REFUSED = {
    "the payload type was swapped": replace(SINGLE, payloadType="application/vnd.other+json"),
    "the signature names another key": envelope_of(PAYLOAD, IN_TOTO, ("B", SIG_A)),
    "the signature names no key": envelope_of(PAYLOAD, IN_TOTO, ("", SIG_A)),
    "no signature": envelope_of(PAYLOAD, IN_TOTO),
    "another key's signature": envelope_of(PAYLOAD, IN_TOTO, ("A", SIG_B)),
    "a good and a bad one of one key": envelope_of(PAYLOAD, IN_TOTO, ("A", SIG_A), ("A", SIG_B)),
    "an empty signature": envelope_of(PAYLOAD, IN_TOTO, ("A", "")),
    "a signature without padding": envelope_of(PAYLOAD, IN_TOTO, ("A", SIG_A.rstrip("="))),
    "a signature with stray bits": envelope_of(PAYLOAD, IN_TOTO, ("A", SIG_A[:-3] + "B==")),
    "URL-safe base64 within a leaf": envelope_of("-_-_Pj8=", IN_TOTO, ("A", SIG_URL_SAFE)),
    "a payload with stray bits": envelope_of(PAYLOAD[:-3] + "R==", IN_TOTO, ("A", SIG_A)),
}


@pytest.mark.parametrize("envelope", REFUSED.values(), ids=REFUSED)
def test_other_envelopes_are_refused(envelope: Envelope) -> None:
    with pytest.raises((SignatureError, EnvelopeError)):
        verify_signature(envelope, "A", KEY_A)


def test_signing_the_published_payload_gives_the_published_signature() -> None:
    signer = Ed25519EnvelopeSigner(Ed25519PrivateKey.from_private_bytes(SEED_A))
    envelope = sign_envelope(IN_TOTO, decode_base64(PAYLOAD), [signer])
    assert envelope == envelope_of(PAYLOAD, IN_TOTO, (signer.key_id, SIG_A))


def test_an_envelope_is_not_made_without_a_signer() -> None:
    with pytest.raises(EnvelopeError, match="signer"):
        sign_envelope(IN_TOTO, b"{}", [])


seeds = st.binary(min_size=32, max_size=32)


@given(
    st.text(min_size=1, max_size=40),
    st.binary(max_size=99),
    st.lists(seeds, min_size=1, max_size=3),
)
def test_whatever_is_signed_verifies(kind: str, payload: bytes, secrets: list[bytes]) -> None:
    keys = [Ed25519PrivateKey.from_private_bytes(secret) for secret in secrets]
    signers = [Ed25519EnvelopeSigner(key) for key in keys]
    envelope = sign_envelope(kind, payload, signers)
    assert envelope.payload_bytes() == payload
    for signer in signers:
        verify_signature(envelope, signer.key_id, signer.public)


@given(place=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_no_byte_of_an_envelope_can_change(place: int, flip: int) -> None:
    parts = [decode_base64(PAYLOAD), IN_TOTO.encode(), decode_base64(SIG_A)]
    part = parts[place % 3]
    changed = bytearray(part)
    changed[place % len(part)] ^= flip
    parts[place % 3] = bytes(changed)
    payload, kind, signature = parts
    envelope = envelope_of(
        encode_base64(payload), kind.decode("latin-1"), ("A", encode_base64(signature))
    )
    with pytest.raises(SignatureError):
        verify_signature(envelope, "A", KEY_A)


@given(place=st.integers(0, len(PAYLOAD) - 1), character=st.characters(codec="ascii"))
def test_no_character_of_the_payload_text_can_change(place: int, character: str) -> None:
    changed = PAYLOAD[:place] + character + PAYLOAD[place + 1 :]
    if changed != PAYLOAD:
        with pytest.raises((SignatureError, EnvelopeError)):
            verify_signature(replace(SINGLE, payload=changed), "A", KEY_A)
