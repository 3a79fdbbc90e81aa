import base64
import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploymark.errors import DeploymarkError, EnvelopeError, TooLargeError
from deploymark.model.envelope import Envelope, Signature, decode_envelope


def envelope(
    payload: str = "e30=", signatures: Sequence[dict[str, str]] = ({"sig": "AAAA"},), **more: object
) -> bytes:
    return json.dumps(
        {"payload": payload, "payloadType": "t", "signatures": list(signatures), **more}
    ).encode()


@given(st.binary(), st.binary(min_size=1))
def test_either_base64_alphabet_becomes_standard_base64(payload: bytes, signature: bytes) -> None:
    for spell in (base64.b64encode, base64.urlsafe_b64encode):
        for text in (spell(payload).decode(), spell(payload).decode().rstrip("=")):
            read = decode_envelope(envelope(text, [{"sig": spell(signature).decode()}]))
            assert read.payload == base64.b64encode(payload).decode()
            assert read.payload_bytes() == payload
            assert read.signatures == [Signature("", base64.b64encode(signature).decode())]


def test_unknown_fields_are_left_behind_as_dsse_asks() -> None:
    read = decode_envelope(envelope(x=1, signatures=[{"sig": "AAAA", "keyid": "k", "cert": "c"}]))
    assert read == Envelope("e30=", "t", [Signature("k", "AAAA")])


def test_an_envelope_reads_the_same_however_it_is_spelt() -> None:
    spaced = envelope("e30=", [{"keyid": "k", "sig": "AAAA"}])
    compact = json.dumps(json.loads(spaced), separators=(",", ":")).encode()
    assert decode_envelope(compact) == decode_envelope(spaced)


REFUSED = {
    "a repeated key in compact text": (
        b'{"payload":"e30=","payload":"e30=","payloadType":"t","signatures":[{"sig":"AAAA"}]}',
        "/payload",
    ),
    "NUL in compact text": (
        b'{"payload":"e30=","payloadType":"\\u0000","signatures":[{"keyid":"","sig":"AAAA"}]}',
        "/payloadType",
    ),
    "not JSON": (b"{", ""),
    "a list": (b"[]", ""),
    "no payload": (b'{"payloadType":"t","signatures":[]}', "/payload"),
    "no signature": (envelope(signatures=[]), "/signatures"),
    "empty signature": (envelope(signatures=[{"sig": ""}]), "/signatures/0/sig"),
    "signature without bytes": (envelope(signatures=[{"keyid": "k"}]), "/signatures/0/sig"),
    "bad base64": (envelope("e30!"), "/payload"),
    "one character of base64": (envelope("e"), "/payload"),
    "base64 of another script": (envelope("é30="), "/payload"),
    "a repeated key": (envelope()[:-1] + b',"payload":"e30="}', "/payload"),
    "nine signatures": (envelope(signatures=[{"sig": "AAAA"}] * 9), "/signatures"),
    "a large payload": (envelope(base64.b64encode(bytes(32_769)).decode()), "/payload"),
    "a large envelope": (envelope(x="x" * 66_000), ""),
}


@pytest.mark.parametrize(("text", "pointer"), REFUSED.values(), ids=REFUSED)
def test_a_malformed_envelope_is_refused(text: bytes, pointer: str) -> None:
    with pytest.raises((EnvelopeError, TooLargeError)) as caught:
        decode_envelope(text)
    assert caught.value.field == pointer


@given(st.binary(max_size=40))
def test_any_bytes_are_refused_with_our_error(text: bytes) -> None:
    with pytest.raises(DeploymarkError):
        decode_envelope(text)
