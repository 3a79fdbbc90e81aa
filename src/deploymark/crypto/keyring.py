"""Which keys may say what, at which index: the replay of a log's key entries.

The ring is a fold over the `key/v1` leaves in index order. Anyone who replays the same leaves, or
loads an export of the ring, gets the same verdict on every entry. The rules:

1. The first key entry is entry 0: an administrator's key that registers itself.
2. A later key entry counts only when its first signature is by a key that is valid at that index
   and whose scope allows `key`. A rotation may also be signed by the key it replaces, which then
   hands on its scope unchanged.
3. A key registered at index i may sign entries after i. Rotated or revoked at index j, it may
   not sign j or anything later, nor, when a revocation distrusts it from an earlier index,
   anything from there on.
4. Key entries are judged once, as the log stood when they were appended. Distrust reaches back
   to what a key said of deployments, not to the keys it registered: those are named by
   `RegisteredKey.registered_by` and revoked one by one. Otherwise a revocation could undo the
   key that signed it.
5. An entry that would leave no administrator's key standing is refused: nobody could ever
   change a key again.

Pure: no I/O, no clock. One writer applies; `plan` may run anywhere.
"""

from collections.abc import Mapping
from typing import Any, Final, Self

from msgspec import DecodeError, Struct
from msgspec.structs import asdict, replace

from deploymark.crypto import ed25519
from deploymark.crypto.base64text import encode_base64
from deploymark.crypto.dsse import signature_bytes, signed_message
from deploymark.crypto.registration import (
    KEY_ENTRY,
    RegisteredKey,
    brought_in,
    key_entry,
    registered_key,
)
from deploymark.crypto.scope import (
    MARKER_ENTRY,
    Said,
    allows_entry,
    entry_name,
    marker_refusal,
    said_by,
)
from deploymark.decoding import decode_json
from deploymark.errors import KeyFileError, KeyUntrustedError, SignatureError
from deploymark.model.canonical import encode
from deploymark.model.entries import KeyEntry
from deploymark.model.ids import key_id
from deploymark.model.leaf import Leaf
from deploymark.model.marker import decode_marker
from deploymark.model.vocabulary import KEY

EXPORT_VERSION: Final = 1
_ALLOWED_SIZE: Final = 4_096


class AsOf(Struct, frozen=True, forbid_unknown_fields=True):
    """How much of which log the keys were replayed from.

    Attributes:
        origin: The log.
        size: Number of its entries that were seen; a later one may have ended any key.
    """

    origin: str
    size: int


class _Export(Struct, frozen=True, forbid_unknown_fields=True):
    v: int
    applied_index: int | None
    keys: tuple[RegisteredKey, ...]
    as_of: AsOf | None = None


class SignatureCheck(Struct, frozen=True, gc=False):
    """The expensive part of trusting a leaf: one signature, ready to be verified on any thread.

    Attributes:
        key_id: The key that the signature names.
        public: Its raw public key.
        message: The signed bytes.
        signature: The raw signature.
    """

    key_id: str
    public: bytes
    message: bytes
    signature: bytes

    def verify(self) -> None:
        """Do the arithmetic; the interpreter lock is released meanwhile.

        Raises:
            SignatureError: The signature is not the key's.
        """
        if not ed25519.verify(self.public, self.message, self.signature):
            raise SignatureError(
                f"A signature of {self.key_id} does not verify.", field="/signatures"
            )


class KeyRing:
    """All keys of a log as of the last key entry applied."""

    def __init__(self) -> None:
        self._keys: dict[str, RegisteredKey] = {}
        self._applied_index: int | None = None
        self.as_of: AsOf | None = None
        self._allowed: set[tuple[str, Said]] = set()

    @property
    def applied_index(self) -> int | None:
        """The index of the newest key entry that counted, None before the first."""
        return self._applied_index

    def keys(self) -> list[RegisteredKey]:
        """Return every key ever registered, in the order of registration."""
        return list(self._keys.values())

    def key(self, identity: str) -> RegisteredKey:
        """Return one key by its `k-…` id.

        Raises:
            KeyUntrustedError: It was never registered.
        """
        known = self._keys.get(identity)
        if known is None:
            raise KeyUntrustedError(f"The key {identity or '(none)'} is not registered.")
        return known

    # Checking entries ----------------------------------------------------------------------------

    def plan(self, leaf: Leaf, payload: bytes | None = None) -> list[SignatureCheck]:
        """Return the signature checks that a leaf needs: its first signature and every known key's.

        Cheap. Verify the checks on any thread, then ask `authorise`; of a key entry `judge`, which
        verifies them again. A key that a key entry brings in may sign along.

        Args:
            leaf: The leaf.
            payload: What `dsse.signed_payload` made of its payload, when the caller has it already.

        Raises:
            KeyUntrustedError: The leaf is unsigned, or the key of its first signature is not
                registered, or may never sign this key entry.
            SignatureError: A signature is not base64.
            EnvelopeError: The payload is not base64.
            MarkerError: The payload is not a key entry although its type says so.
        """
        first = self.key(leaf.key_id)
        known = {first.key_id: first.public_key}
        if leaf.dsse.payloadType == KEY:
            known.update(brought_in(entry := key_entry(leaf)))
            if entry.successor_of != first.key_id:  # a key may always name its own successor
                _check_administrator(first)
        if len(leaf.dsse.signatures) > 1:
            known.update((key.key_id, key.public_key) for key in self._named(leaf))
        return _checks(leaf, known, payload)

    def authorise(
        self, index: int, leaf: Leaf, *, marker_fields: Mapping[str, Any] | None = None
    ) -> RegisteredKey:
        """Tell who stands behind a leaf whose planned signatures were all verified.

        Args:
            index: The index the leaf has or would get.
            leaf: The leaf.
            marker_fields: The flat marker, when the caller has decoded it already.

        Raises:
            KeyUntrustedError: The key is not valid at that index, or its scope does not allow
                this entry.
        """
        if marker_fields is None and entry_name(leaf.dsse.payloadType) == MARKER_ENTRY:
            payload = leaf.dsse.payload_bytes()
            marker_fields = decode_marker(payload, leaf.dsse.payloadType, strict=False).fields()
        return self.allow(index, leaf.key_id, said_by(leaf.dsse.payloadType, marker_fields))

    def allow(self, index: int, identity: str, said: Said) -> RegisteredKey:
        """Tell whether a key may say a thing of this kind at an index; `authorise` without a leaf.

        Raises:
            KeyUntrustedError: As `authorise`.
        """
        signer = self._valid_key(index, identity)
        # Emitters repeat themselves: the same key says the same kind of thing again and again.
        if (signer.key_id, said) not in self._allowed:
            _check_scope(signer, said)
            if len(self._allowed) >= _ALLOWED_SIZE:
                self._allowed.clear()
            self._allowed.add((signer.key_id, said))
        return signer

    def check(
        self, index: int, leaf: Leaf, *, marker_fields: Mapping[str, Any] | None = None
    ) -> RegisteredKey:
        """Verify a leaf completely: signatures, then validity at its index, then scope.

        Returns:
            The key of the first signature.

        Raises:
            SignatureError: The first signature, or a further one of a known key, does not verify.
            KeyUntrustedError: As `plan` and `authorise`.
        """
        # Further signatures are held to the keys of their time: nobody can register a key later to
        # make an old entry fail.
        named = [key for key in self._named(leaf) if key.from_index < index]
        known = {key.key_id: key.public_key for key in (self.key(leaf.key_id), *named)}
        for signature_check in _checks(leaf, known):
            signature_check.verify()
        return self.authorise(index, leaf, marker_fields=marker_fields)

    def check_key_entry(self, index: int, leaf: Leaf) -> RegisteredKey:
        """Tell whose word a key entry is that these keys have folded in.

        Key entries are judged once, when they are applied; this finds that judgement again.

        Raises:
            KeyUntrustedError: The keys do not follow from such an entry at that index.
            SignatureError: The signature is not the one of the key that it names.
        """
        entry = key_entry(leaf)
        changed, signer = self.key(entry.key_id), self.key(leaf.key_id)
        if entry.action == "revoked":
            ended = index if entry.distrust_from is None else min(index, entry.distrust_from)
            counted = changed.end_index is not None and changed.end_index <= ended
            counted = counted and allows_entry(signer.scope, KEY_ENTRY)
        else:
            counted = (changed.from_index, changed.registered_by) == (index, signer.key_id)
            counted = counted and entry.scope in (None, changed.scope)
            counted = counted and (entry.name or changed.name) == changed.name
        if not counted or index > (self._applied_index or 0) or signer.from_index > index:
            raise KeyUntrustedError(
                f"The keys at hand do not follow from the key entry {index}.",
                hint="Export the keys again, or use --export.",
            )
        for signature_check in _checks(leaf, {signer.key_id: signer.public_key}):
            signature_check.verify()
        return signer

    # Applying key entries ------------------------------------------------------------------------

    def apply(self, index: int, leaf: Leaf) -> None:
        """Fold one key entry in; a refused one changes nothing.

        Raises:
            SignatureError, KeyUntrustedError, MarkerError: As `judge`, with the same arguments.
        """
        changed = self.judge(index, leaf)
        self._keys = {**self._keys, **{key.key_id: key for key in changed}}
        self._applied_index = index

    def judge(self, index: int, leaf: Leaf) -> list[RegisteredKey]:
        """Return the keys as one key entry would leave them, and change nothing.

        Args:
            index: Its index; higher than that of every key entry before.
            leaf: The leaf, of payload type key/v1.

        Returns:
            The keys that are new or ended by it; no other one changes.

        Raises:
            SignatureError: A signature does not verify.
            KeyUntrustedError: Nobody with authority signed it, or it says something that cannot
                be: registering a known key, ending an unknown one.
            MarkerError: The payload is not a key entry.
        """
        if self._applied_index is not None and index <= self._applied_index:
            raise KeyUntrustedError(
                f"Key entries are applied in order: {index} after {self._applied_index}."
            )
        entry = key_entry(leaf)
        if not self._keys:
            changed = [_first_key(index, leaf, entry)]
        elif entry.action == "registered":
            signer = self._administrator(index, leaf, entry)
            changed = [self._registered(index, entry, signer)]
        elif entry.action == "rotated":
            changed = self._rotated(index, leaf, entry)
        else:
            self._administrator(index, leaf, entry)
            changed = [self._revoked(index, entry)]
        keys = {**self._keys, **{key.key_id: key for key in changed}}
        if not any(k.end_index is None and allows_entry(k.scope, KEY_ENTRY) for k in keys.values()):
            raise KeyUntrustedError(
                "After this no administrator's key would be left, and no key could ever change.",
                hint="Register another key with `key` in its entries first.",
            )
        return changed

    def _registered(
        self,
        index: int,
        entry: KeyEntry,
        signer: RegisteredKey,
        replaced: RegisteredKey | None = None,
    ) -> RegisteredKey:
        if entry.key_id in self._keys:
            raise KeyUntrustedError(f"The key {entry.key_id} is registered already.")
        return registered_key(index, entry, signer.key_id, replaced)

    def _rotated(self, index: int, leaf: Leaf, entry: KeyEntry) -> list[RegisteredKey]:
        old = self._valid_key(index, entry.successor_of or "")
        if leaf.key_id == old.key_id:
            signer = self._signer(index, leaf, entry)
        else:
            signer = self._administrator(index, leaf, entry)
        new = self._registered(index, entry, signer, old)
        if new.scope != old.scope and not allows_entry(signer.scope, KEY_ENTRY):
            raise KeyUntrustedError(
                f"The key {old.key_id} cannot give its successor another scope than its own.",
                hint="Leave the scope out, or let an administrator's key sign the rotation.",
            )
        return [replace(old, end_index=index), new]

    def _revoked(self, index: int, entry: KeyEntry) -> RegisteredKey:
        key = self.key(entry.key_id)
        earliest = index if entry.distrust_from is None else min(index, entry.distrust_from)
        if key.end_index is not None and key.end_index <= earliest:
            raise KeyUntrustedError(
                f"The key {key.key_id} ({key.name}) ended at {key.end_index} already."
            )
        ends = (index, entry.distrust_from, key.end_index)
        return replace(key, end_index=min(end for end in ends if end is not None))

    def _administrator(self, index: int, leaf: Leaf, entry: KeyEntry) -> RegisteredKey:
        signer = self._signer(index, leaf, entry)
        _check_administrator(signer)
        return signer

    def _signer(self, index: int, leaf: Leaf, entry: KeyEntry) -> RegisteredKey:
        signer = self._valid_key(index, leaf.key_id)
        known = {**brought_in(entry), **{key.key_id: key.public_key for key in self._named(leaf)}}
        for signature_check in _checks(leaf, known):
            signature_check.verify()
        return signer

    def _valid_key(self, index: int, identity: str) -> RegisteredKey:
        key = self.key(identity)
        if not key.is_valid_at(index):
            if index <= key.from_index:
                reason = f"it may sign after {key.from_index}"
            else:
                reason = f"it ended at {key.end_index}"
            raise KeyUntrustedError(
                f"The key {key.key_id} ({key.name}) is not valid at index {index}: {reason}."
            )
        return key

    def _named(self, leaf: Leaf) -> list[RegisteredKey]:
        names = dict.fromkeys(signature.keyid for signature in leaf.dsse.signatures)
        return [self._keys[name] for name in names if name in self._keys]

    # Exports -------------------------------------------------------------------------------------

    def export(self) -> bytes:
        """Return the whole ring as a canonical JSON file that `load` reads."""
        # Spelled out, also where a scope has its default: the file must mean the same for ever.
        keys = [
            {
                **asdict(key),
                "public_key": encode_base64(key.public_key),
                "scope": {name: list(globs) for name, globs in asdict(key.scope).items()},
            }
            for key in self._keys.values()
        ]
        content = {"applied_index": self._applied_index, "keys": keys, "v": EXPORT_VERSION}
        stated = {} if self.as_of is None else {"as_of": asdict(self.as_of)}
        return encode({**content, **stated})

    @classmethod
    def load(cls, content: bytes) -> Self:
        """Rebuild a ring from an export. Whoever gave the file is trusted for what it says.

        Raises:
            KeyFileError: It is not an export, or a key does not have the id it is listed under.
        """
        hint = "Make one with `deploymark keys ls --export`."
        try:
            exported = decode_json(content, _Export)
        except (DecodeError, UnicodeDecodeError) as error:
            raise KeyFileError(f"This is not an export of keys: {error}.", hint=hint) from error
        if exported.v != EXPORT_VERSION:
            raise KeyFileError(
                f"This export of keys has version {exported.v}, not {EXPORT_VERSION}.",
                hint="Upgrade deploymark, or export the keys again.",
            )
        ring = cls()
        for key in exported.keys:
            if key.key_id in ring._keys or key.key_id != key_id(key.algorithm, key.public_key):
                raise KeyFileError(
                    f"The key {key.key_id} is listed twice or is another key.", hint=hint
                )
            ring._keys[key.key_id] = key
        ring._applied_index = exported.applied_index
        ring.as_of = exported.as_of
        return ring


def _first_key(index: int, leaf: Leaf, entry: KeyEntry) -> RegisteredKey:
    if index != 0 or entry.action != "registered":
        raise KeyUntrustedError("The first key entry is entry 0 and registers the first key.")
    if leaf.key_id != entry.key_id:
        raise KeyUntrustedError("The first key registers itself: it signs its own registration.")
    key = registered_key(index, entry, entry.key_id, None)
    if not allows_entry(key.scope, KEY_ENTRY):
        raise KeyUntrustedError(
            "The first key must be allowed to sign key entries.",
            hint='Put "key" into scope.entries of the first key.',
        )
    for signature_check in _checks(leaf, {key.key_id: key.public_key}):
        signature_check.verify()
    return key


def _checks(
    leaf: Leaf, known: Mapping[str, bytes], payload: bytes | None = None
) -> list[SignatureCheck]:
    envelope = leaf.dsse
    message = signed_message(envelope, payload)
    return [
        SignatureCheck(signature.keyid, known[signature.keyid], message, signature_bytes(signature))
        for signature in envelope.signatures
        if signature.keyid in known
    ]


def _check_scope(signer: RegisteredKey, said: Said) -> None:
    name = entry_name(said.payload_type)
    if not allows_entry(signer.scope, name):
        allowed = ", ".join(signer.scope.entries)
        raise KeyUntrustedError(
            f"The key {signer.key_id} ({signer.name}) may not sign {name} entries "
            f"(it may sign: {allowed})."
        )
    if name == MARKER_ENTRY and (refusal := marker_refusal(signer.scope, said._asdict())):
        raise KeyUntrustedError(f"The key {signer.key_id} ({signer.name}): {refusal}.")


def _check_administrator(signer: RegisteredKey) -> None:
    if not allows_entry(signer.scope, KEY_ENTRY):
        raise KeyUntrustedError(
            f"The key {signer.key_id} ({signer.name}) may not sign key entries."
        )
