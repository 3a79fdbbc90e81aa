"""Who signs: checkpoints, and what producers say."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class NoteSigner(Protocol):
    """Signs checkpoints: a log key or a witness key (c2sp.org/signed-note)."""

    @property
    def vkey(self) -> str:
        """The public half as a C2SP verifier key, `name+keyid+base64`."""
        ...

    def sign_note(self, text: str, *, now_seconds: int) -> str:
        """Return one signature line for a note text, ending in a newline.

        Args:
            text: The note text including its final newline.
            now_seconds: The time a timestamped signature states; others ignore it.
        """
        ...


class EnvelopeSigner(Protocol):
    """Signs DSSE envelopes: a producer key, on disk or in a KMS."""

    @property
    def key_id(self) -> str:
        """The `k-…` id of the public key, as in the DSSE `keyid`."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the raw signature over the DSSE pre-authentication encoding."""
        ...
