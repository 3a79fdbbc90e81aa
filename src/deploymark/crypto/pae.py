"""What a DSSE signature covers, and the shape of whoever makes one.

Standard library only, so that emitters can sign without loading the rest of this room.
"""

from typing import Protocol


class EnvelopeSigner(Protocol):
    """The shape of `deploymark.ports.EnvelopeSigner`, which lies above this room."""

    @property
    def key_id(self) -> str:
        """The `k-…` id of the public key."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the raw signature over a message."""
        ...


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed for a payload, bound to its type.

    Source: DSSE 1.0.2, protocol.md, "Signature Definition":
    ``"DSSEv1" SP LEN(type) SP type SP LEN(body) SP body`` with byte lengths in ASCII decimal.

    Args:
        payload_type: The type that says how to read the payload; encoded as UTF-8.
        payload: The serialized body, exactly as sent.
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
