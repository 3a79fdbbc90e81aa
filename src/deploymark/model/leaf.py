"""What the log hashes: the envelope as received, and what the server knew beside it.

A leaf is canonical JSON (RFC 8785), so that anyone can rebuild its hash from its content (spec:
marker, "Signed form"). Every fact in it was fixed when the entry was admitted; nothing about it
changes later.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from deploymark.decoding import json_decoder
from deploymark.errors import CanonicalError, MarkerError, SchemaVersionError, TooLargeError
from deploymark.model.envelope import Envelope
from deploymark.model.inspection import Inspector
from deploymark.model.limits import LEAF_BYTES, Count, Instant, Positive
from deploymark.model.reading import read_json, value_faults
from deploymark.model.versions import VERSIONS
from deploymark.model.vocabulary import Assurance

_VERSION = 1

# Names of ids are lower-case ASCII: their order is then the same in UTF-8 and UTF-16, and the
# quick encoder may sort them.
_IdName = Annotated[
    str,
    Meta(pattern="^[a-z][a-z_]{0,31}$(?!\\n)", description="a name such as marker_id"),
]


class Leaf(Struct, frozen=True, gc=False):
    """One entry of the log; fields stand in the order in which they are written.

    Attributes:
        assurance: Who stands behind the words.
        dsse: The envelope in its one spelling; its payload is untouched.
        ids: `deployment_id` and `marker_id` of a marker, `entry_id` of any other entry.
        occurrence: Of the deployment, counted from 1; 0 where there is none.
        principal: The authenticated caller, "" for an anonymous one.
        received_at: When the log admitted it.
        repeat: How often this very marker has come before by right (a returning cutover).
        v: Version of the leaf format.
    """

    assurance: Assurance
    dsse: Envelope
    ids: Annotated[dict[_IdName, str], Meta(max_length=8)]
    occurrence: Count
    principal: str
    received_at: Instant
    repeat: Count = 0
    v: Positive = _VERSION

    @property
    def dedupe(self) -> str:
        """The identity under which this entry may stand only once: `id~occurrence[.repeat]`.

        Raises:
            MarkerError: The leaf carries neither a marker_id nor an entry_id.
        """
        return _identity(self.ids, self.occurrence, self.repeat)

    @property
    def key_id(self) -> str:
        """The key of the first signature, "" when there is none."""
        return self.dsse.signatures[0].keyid if self.dsse.signatures else ""


def _identity(ids: dict[str, str], occurrence: int, repeat: int) -> str:
    identity = ids.get("marker_id") or ids.get("entry_id")
    if identity is None:
        raise MarkerError("The leaf carries neither marker_id nor entry_id.", field="/ids")
    return f"{identity}~{occurrence}.{repeat}" if repeat else f"{identity}~{occurrence}"


class _Unrepeated(Struct, frozen=True):
    # A repeat of 0 is not written, every other default is; msgspec only knows all or none.
    assurance: Assurance
    dsse: Envelope
    ids: dict[str, str]
    occurrence: int
    principal: str
    received_at: str
    v: int


class _SignedBy(Struct, frozen=True):
    keyid: str = ""


class _Cover(Struct, frozen=True):
    payloadType: str  # noqa: N815 - DSSE spells it so
    signatures: list[_SignedBy]


class LeafColumns(Struct, frozen=True):
    """What a store repeats beside a leaf, read without the payload.

    Attributes:
        dsse: The type of the payload and who signed it.
        ids, occurrence, principal, received_at, repeat: As in the leaf.
    """

    dsse: _Cover
    ids: dict[str, str]
    occurrence: int
    principal: str
    received_at: str
    repeat: int = 0

    @property
    def dedupe(self) -> str:
        """See `Leaf.dedupe`."""
        return _identity(self.ids, self.occurrence, self.repeat)

    @property
    def key_id(self) -> str:
        """See `Leaf.key_id`."""
        return self.dsse.signatures[0].keyid if self.dsse.signatures else ""


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = json_decoder(Leaf)
_columns_decoder = json_decoder(LeafColumns)
_INSPECTOR = Inspector(Leaf)


def encode_leaf(leaf: Leaf) -> bytes:
    """Return the bytes of a leaf: RFC 8785, as `canonical.encode` would write them.

    msgspec writes strings and whole numbers as RFC 8785 does; a property test holds it to that.

    Raises:
        TooLargeError: More than 65,535 bytes.
        CanonicalError: A string holds a lone surrogate.
    """
    written: Leaf | _Unrepeated = leaf
    if leaf.repeat == 0:
        written = _Unrepeated(
            leaf.assurance,
            leaf.dsse,
            leaf.ids,
            leaf.occurrence,
            leaf.principal,
            leaf.received_at,
            leaf.v,
        )
    try:
        data = _encoder.encode(written)
    except UnicodeEncodeError:
        raise CanonicalError("The leaf holds a lone surrogate.") from None
    if len(data) > LEAF_BYTES:
        raise TooLargeError(
            f"The leaf has {len(data)} bytes; the limit is {LEAF_BYTES}.",
            hint="Send a smaller payload or fewer signatures.",
        )
    return data


def decode_leaf(data: bytes) -> Leaf:
    """Return the leaf of stored or received bytes.

    Only the one canonical spelling is a leaf. Otherwise a log could show one hash and two
    readings of it, by a repeated key for example.

    Raises:
        TooLargeError: More than 65,535 bytes.
        SchemaVersionError: A version that this release does not know.
        MarkerError: Not a leaf, or not canonical.
    """
    if len(data) > LEAF_BYTES:
        raise TooLargeError(f"The leaf has {len(data)} bytes; the limit is {LEAF_BYTES}.")
    try:
        leaf = _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _explain(data) from None
    if leaf.v != _VERSION:
        VERSIONS.check("leaf", leaf.v)
    if encode_leaf(leaf) != data:
        raise MarkerError(
            "The leaf is not in canonical form, or carries unknown fields.",
            hint="A leaf is RFC 8785 JSON with the fields of its version.",
        )
    return leaf


def read_columns(data: bytes) -> LeafColumns:
    """Return what a store repeats beside a leaf, at a third of the cost of `decode_leaf`.

    For bytes whose hash is known to be right; the canonical form is not checked.

    Raises:
        MarkerError: Not a leaf.
        SchemaVersionError: A version that this release does not know.
    """
    try:
        return _columns_decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _explain(data) from None


def _explain(data: bytes) -> MarkerError | SchemaVersionError:
    try:
        value = read_json(data)
        for faults in (value_faults(value), _INSPECTOR.faults(value, strict=False)):
            for fault in faults:
                raise fault
    except MarkerError as error:
        return error
    return MarkerError("The bytes are no leaf.")
