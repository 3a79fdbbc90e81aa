"""Producer keys as a server shows and registers them; the rules stand in `crypto.keyring`."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from msgspec import to_builtins

from deploymark.crypto.keyring import KeyRing
from deploymark.crypto.registration import RegisteredKey
from deploymark.errors import MarkerError
from deploymark.ingest.callers import Caller
from deploymark.ingest.intake import Admitted, Intake
from deploymark.ingest.key_entries import registration
from deploymark.model.vocabulary import KEY
from deploymark.ports import Clock

_PUBLIC_BYTES = 32


class ProducerKeys:
    """Lists keys, and registers one in the platform's name.

    Args:
        ring: The keys of the log, kept up to date by its writer.
        intake: Admits the entry.
        clock: The time that it states.
    """

    def __init__(self, ring: KeyRing, intake: Intake, clock: Clock) -> None:
        self._ring = ring
        self._intake = intake
        self._clock = clock

    def list(self) -> "list[dict[str, Any]]":
        """Return every key that was ever registered, in the order of registration."""
        keys = self._ring.keys()
        return [key_view(key) for key in keys]

    def register(self, fields: Mapping[str, Any], caller: Caller) -> Admitted:
        """Register a key; the entry names the caller.

        Args:
            fields: `name`, `public_key` (base64 of 32 bytes), `scope`, `reason`.
            caller: Who asks; whether it may is the front door's question.

        Raises:
            MarkerError: The public key is none.
            RefusedError: It is registered already, or its scope is malformed.
        """
        public = _public_key(fields["public_key"])
        payload = registration(
            public,
            fields["name"],
            fields["scope"],
            self._clock.now_ms(),
            fields.get("reason") or "",
        )
        return self._intake.say_payload(KEY, payload, caller)


def key_view(key: RegisteredKey) -> dict[str, Any]:
    """Return one key as plain JSON values."""
    return {
        "key_id": key.key_id,
        "algorithm": key.algorithm,
        "public_key": base64.b64encode(key.public_key).decode("ascii"),
        "name": key.name,
        "scope": to_builtins(key.scope),
        "from_index": key.from_index,
        "end_index": key.end_index,
        "registered_by": key.registered_by,
        "successor_of": key.successor_of,
    }


def _public_key(text: str) -> bytes:
    try:
        public = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        public = b""
    if len(public) != _PUBLIC_BYTES:
        raise MarkerError(
            "public_key is not the base64 of the 32 bytes of an Ed25519 public key.",
            hint="`deploymark keys new` writes one beside the private key.",
            field="/public_key",
        )
    return public
