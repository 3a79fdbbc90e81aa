"""Keys, leaves and rings that the tests of the key ring share."""

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from deploymark.crypto.base64text import encode_base64
from deploymark.crypto.dsse import sign_envelope
from deploymark.crypto.keyring import KeyRing
from deploymark.crypto.signer import Ed25519EnvelopeSigner
from deploymark.errors import KeyUntrustedError
from deploymark.model.canonical import encode
from deploymark.model.envelope import Signature
from deploymark.model.leaf import Leaf
from deploymark.model.vocabulary import KEY, MARKER, Assurance

Fields = dict[str, Any]

WHEN = "2026-11-23T00:00:00.000Z"
ADMIN, PRODUCER, OTHER, NEXT, STRANGER = [
    Ed25519EnvelopeSigner(Ed25519PrivateKey.from_private_bytes(bytes((n,)) * 32))
    for n in range(1, 6)
]
ADMIN_SCOPE = {"services": ["*"], "environments": ["*"], "entries": ["marker", "key"]}
PRODUCER_SCOPE = {"services": ["checkout", "shop-*"], "environments": ["prod"]}
MARKER_FIELDS = {
    "service": "checkout",
    "environment": "prod",
    "phase": "applied",
    "version": "1.2.3",
    "timestamp": WHEN,
    "emitter": {"kind": "ci", "id": "ci"},
}
DIGEST = "sha256:" + "ab" * 32


def leaf_of(kind: str, payload: bytes, *signers: Ed25519EnvelopeSigner) -> Leaf:
    return Leaf(
        assurance=Assurance.SIGNED,
        dsse=sign_envelope(kind, payload, signers),
        ids={"entry_id": "e-x"},
        occurrence=0,
        principal="ci",
        received_at=WHEN,
    )


def key_leaf(fields: Fields, *signers: Ed25519EnvelopeSigner) -> Leaf:
    return leaf_of(KEY, encode({"timestamp": WHEN, **fields}), *signers)


def marker_leaf(*signers: Ed25519EnvelopeSigner, **changes: str) -> Leaf:
    return leaf_of(MARKER, encode({**MARKER_FIELDS, **changes}), *signers)


def registered(key: Ed25519EnvelopeSigner, scope: Fields = PRODUCER_SCOPE, **more: Any) -> Fields:  # noqa: ANN401
    public = encode_base64(key.public)
    return {
        "action": "registered",
        "key_id": key.key_id,
        "public_key": public,
        "name": "label",
        "scope": scope,
        **more,
    }


def rotated(
    old: Ed25519EnvelopeSigner, new: Ed25519EnvelopeSigner, scope: Fields | None = None
) -> Fields:
    fields = registered(new, scope or {}, action="rotated", successor_of=old.key_id)
    del fields["name"]
    if scope is None:
        del fields["scope"]
    return fields


def revoked(key: Ed25519EnvelopeSigner, distrust_from: int | None = None) -> Fields:
    fields = {"action": "revoked", "key_id": key.key_id}
    return fields if distrust_from is None else {**fields, "distrust_from": distrust_from}


def ring_of(*entries: tuple[int, Leaf]) -> KeyRing:
    ring = KeyRing()
    ring.apply(0, key_leaf(registered(ADMIN, ADMIN_SCOPE), ADMIN))
    for index, leaf in entries:
        ring.apply(index, leaf)
    return ring


def usual_ring() -> KeyRing:
    return ring_of((5, key_leaf(registered(PRODUCER), ADMIN)))


def valid_indexes(ring: KeyRing, key: Ed25519EnvelopeSigner, end: int = 20) -> list[int]:
    leaf = marker_leaf(key)
    return [index for index in range(end) if is_trusted(ring, index, leaf)]


def is_trusted(ring: KeyRing, index: int, leaf: Leaf) -> bool:
    try:
        ring.check(index, leaf)
    except KeyUntrustedError:
        return False
    return True


def with_bad_signature(leaf: Leaf, place: int = 0) -> Leaf:
    signatures = list(leaf.dsse.signatures)
    signatures[place] = Signature(signatures[place].keyid, encode_base64(bytes(64)))
    return replace(leaf, dsse=replace(leaf.dsse, signatures=signatures))
