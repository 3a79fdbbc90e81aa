"""DSSE envelopes: sign a payload, verify one signature (DSSE 1.0.2).

The `keyid` of a signature only says which key to try; trust comes from `keyring`. The envelope
itself, as a value and as JSON, is `deploymark.model.envelope`.
"""

from collections.abc import Sequence

from deploymark.crypto import ed25519
from deploymark.crypto.base64text import decode_base64, encode_base64
from deploymark.crypto.pae import EnvelopeSigner, pae
from deploymark.errors import EnvelopeError, SignatureError
from deploymark.model.envelope import Envelope, Signature

__all__ = ["pae", "sign_envelope", "signature_bytes", "signed_message", "verify_signature"]


def sign_envelope(payload_type: str, payload: bytes, signers: Sequence[EnvelopeSigner]) -> Envelope:
    """Wrap a payload in an envelope that carries one signature per signer, in their order.

    Args:
        payload_type: How to read the payload.
        payload: The serialized body; it is kept byte for byte.
        signers: At least one key.

    Raises:
        EnvelopeError: There is no signer.
    """
    if not signers:
        raise EnvelopeError("An envelope needs at least one signer.", field="/signatures")
    message = pae(payload_type, payload)
    signatures = [
        Signature(keyid=signer.key_id, sig=encode_base64(signer.sign(message)))
        for signer in signers
    ]
    return Envelope(payload=encode_base64(payload), payloadType=payload_type, signatures=signatures)


def verify_signature(envelope: Envelope, keyid: str, public: bytes) -> None:
    """Verify every signature of an envelope that names a key.

    Args:
        envelope: The envelope as received.
        keyid: The key's id; signatures that name another key are not looked at.
        public: The key's 32 bytes.

    Raises:
        SignatureError: No signature names the key, or one that does fails to verify.
        EnvelopeError: The payload is not in the one spelling of its bytes.
    """
    message = signed_message(envelope)
    named = [signature for signature in envelope.signatures if signature.keyid == keyid]
    if not named:
        raise SignatureError(f"No signature names the key {keyid}.", field="/signatures")
    for signature in named:
        if not ed25519.verify(public, message, signature_bytes(signature)):
            raise SignatureError(f"A signature of {keyid} does not verify.", field="/signatures")


def signed_message(envelope: Envelope, payload: bytes | None = None) -> bytes:
    """Return the bytes that every signature of an envelope covers.

    Args:
        envelope: The envelope.
        payload: What `signed_payload` returned for it, when the caller has it already.

    Raises:
        EnvelopeError: As `signed_payload`.
    """
    if payload is None:
        payload = signed_payload(envelope)
    return pae(envelope.payloadType, payload)


def signed_payload(envelope: Envelope) -> bytes:
    """Return the payload of an envelope, by the strict reading of its base64.

    Raises:
        EnvelopeError: The payload is not standard base64 in the one spelling of its bytes.
            `Envelope.payload_bytes` forgives stray bits; what is verified must not.
    """
    try:
        return decode_base64(envelope.payload)
    except ValueError as error:
        raise EnvelopeError(f"The payload is {error}.", field="/payload") from error


def signature_bytes(signature: Signature) -> bytes:
    """Return the raw bytes of one signature.

    Raises:
        SignatureError: It is not standard base64. URL-safe text, which DSSE allows too, is
            rewritten where an envelope is received, so that a leaf has one spelling.
    """
    try:
        return decode_base64(signature.sig)
    except ValueError as error:
        message = f"The signature of {signature.keyid} is {error}."
        raise SignatureError(message, field="/signatures") from error
