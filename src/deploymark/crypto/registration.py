"""What a key entry brings in: a key whose id is shown to be its own, with its scope.

Judges the content of one entry alone; whether anybody with authority signed it is decided in
`keyring`. Pure: no I/O, no clock.
"""

from typing import Final

from msgspec import Struct

from deploymark.crypto import ed25519
from deploymark.crypto.base64text import decode_base64
from deploymark.crypto.scope import entry_name
from deploymark.errors import KeyUntrustedError
from deploymark.model.entries import KeyEntry, Scope, decode_entry
from deploymark.model.ids import key_id
from deploymark.model.leaf import Leaf
from deploymark.model.vocabulary import KEY

KEY_ENTRY: Final = "key"


class RegisteredKey(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A key the log knows, and from where to where it counts.

    Attributes:
        key_id: The `k-…` id, derived from algorithm and public key.
        algorithm: `ed25519`.
        public_key: The raw public key, 32 bytes; base64 in an export.
        name: The label for people.
        scope: What it may say.
        from_index: The entry that registered it; it may sign later ones.
        end_index: The first entry it may no longer sign, None while it stands.
        registered_by: The key that signed its registration; its own id for the first key.
        successor_of: The key it replaced, None when it replaced none.
    """

    key_id: str
    algorithm: str
    public_key: bytes
    name: str
    scope: Scope
    from_index: int
    end_index: int | None = None
    registered_by: str
    successor_of: str | None = None

    def is_valid_at(self, index: int) -> bool:
        """Tell whether the key may sign the entry at an index."""
        return self.from_index < index and (self.end_index is None or index < self.end_index)


def registered_key(
    index: int, entry: KeyEntry, registered_by: str, replaced: RegisteredKey | None
) -> RegisteredKey:
    """Return the key that a registration or rotation brings in.

    Args:
        index: The index of the entry.
        entry: The entry.
        registered_by: The key that signed it.
        replaced: The key that a rotation replaces; it hands on what the entry leaves out.

    Raises:
        KeyUntrustedError: The key id is not that of the public key, or there is no scope.
    """
    scope = entry.scope or (replaced.scope if replaced else None)
    if scope is None:
        raise KeyUntrustedError(
            f"The registration of {entry.key_id} names no scope.", field="/scope"
        )
    return RegisteredKey(
        key_id=entry.key_id,
        algorithm=entry.algorithm,
        public_key=public_key(entry),
        name=entry.name or (replaced.name if replaced else ""),
        scope=scope,
        from_index=index,
        registered_by=registered_by,
        successor_of=None if replaced is None else replaced.key_id,
    )


def key_entry(leaf: Leaf) -> KeyEntry:
    """Return the key entry in a leaf.

    Raises:
        KeyUntrustedError: The leaf is of another type.
        MarkerError: The payload is not a key entry although its type says so.
    """
    entry = None
    if entry_name(leaf.dsse.payloadType) == KEY_ENTRY:
        entry = decode_entry(leaf.dsse.payload_bytes(), leaf.dsse.payloadType, strict=False)
    if not isinstance(entry, KeyEntry):
        raise KeyUntrustedError(f"Only {KEY} entries are applied, not {leaf.dsse.payloadType!r}.")
    return entry


def brought_in(entry: KeyEntry) -> dict[str, bytes]:
    """Return the key that an entry brings in by its id: it may sign along, to show it is held.

    Raises:
        KeyUntrustedError: As `public_key`.
    """
    return {} if entry.action == "revoked" else {entry.key_id: public_key(entry)}


def public_key(entry: KeyEntry) -> bytes:
    """Return the raw key of a registration or rotation, once its id is shown to follow from it.

    Raises:
        KeyUntrustedError: There is no key of 32 bytes, or the id is another key's.
    """
    try:
        public = decode_base64(entry.public_key or "")
    except ValueError as error:
        raise KeyUntrustedError(
            f"The public key of {entry.key_id} is {error}.", field="/public_key"
        ) from error
    if len(public) != ed25519.PUBLIC_BYTES:
        raise KeyUntrustedError(
            f"The public key of {entry.key_id} has {len(public)} bytes, not 32.",
            field="/public_key",
        )
    if key_id(entry.algorithm, public) != entry.key_id:
        raise KeyUntrustedError(
            f"The key id {entry.key_id} does not belong to that public key.", field="/key_id"
        )
    return public
