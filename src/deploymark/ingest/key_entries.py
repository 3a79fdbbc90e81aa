"""Payloads of key entries: who may sign from here on, who no longer.

Only the words are made here; `crypto.keyring` decides whether they count.
"""

import base64
from typing import Any

from msgspec import to_builtins

from deploymark.model.canonical import encode
from deploymark.model.entries import Scope
from deploymark.model.ids import key_id
from deploymark.model.instants import format_instant

ALGORITHM = "ed25519"


def registration(public: bytes, name: str, scope: Scope, now_ms: int, reason: str = "") -> bytes:
    """Return the payload that registers a producer key.

    Args:
        public: Raw Ed25519 public key, 32 bytes.
        name: Label for people.
        scope: What the key may say.
        now_ms: When this is said.
        reason: Why, for the auditor.
    """
    return _payload("registered", now_ms, reason, **_key(public, name), scope=to_builtins(scope))


def rotation(
    old: str, public: bytes, name: str, now_ms: int, *, scope: Scope | None = None, reason: str = ""
) -> bytes:
    """Return the payload that replaces the key `old` by a new one, which inherits its scope."""
    more = {} if scope is None else {"scope": to_builtins(scope)}
    return _payload("rotated", now_ms, reason, **_key(public, name), successor_of=old, **more)


def revocation(
    key: str, now_ms: int, *, distrust_from: int | None = None, reason: str = ""
) -> bytes:
    """Return the payload that ends a key, also for earlier entries from `distrust_from` on."""
    more = {} if distrust_from is None else {"distrust_from": distrust_from}
    return _payload("revoked", now_ms, reason, key_id=key, **more)


def _key(public: bytes, name: str) -> dict[str, Any]:
    return {
        "algorithm": ALGORITHM,
        "key_id": key_id(ALGORITHM, public),
        "name": name,
        "public_key": base64.b64encode(public).decode("ascii"),
    }


def _payload(action: str, now_ms: int, reason: str, **fields: Any) -> bytes:  # noqa: ANN401
    said = {"action": action, "timestamp": format_instant(now_ms), **fields}
    if reason:
        said["reason"] = reason
    return encode(said)
