"""The last word before an entry is written: is its key valid here, and may it say this?

Verification of signatures runs on many threads before an entry has an index. Validity depends on
the index, so it is decided in the writer's thread, against the keys as of the entries before.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from deploymark.crypto.keyring import KeyRing
from deploymark.crypto.scope import Said
from deploymark.errors import LogBrokenError
from deploymark.log.sequencer import Candidate
from deploymark.model.equality import differing
from deploymark.model.filing import MARKER_TYPES
from deploymark.model.leaf import Leaf, decode_leaf
from deploymark.model.marker import decode_marker
from deploymark.model.vocabulary import KEY


class Claim(Struct, frozen=True):
    """What the writer needs to know of a candidate without decoding it again.

    Attributes:
        said: What scopes look at.
        key_entry: The leaf, when it changes who may sign; else None.
        signed_along: The leaf, when it carries more than one signature; else None.
    """

    said: Said
    key_entry: Leaf | None = None
    signed_along: Leaf | None = None


class KeyAuthority:
    """Admits entries by the keys of the log; implements `log.sequencer.Admission`.

    Args:
        ring: The keys as of the newest key entry in the log.
    """

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring

    def admit(self, index: int, candidate: Candidate) -> None:
        """Raise KeyUntrustedError or SignatureError unless the entry may stand at this index."""
        claim = candidate.claim
        if not isinstance(claim, Claim):
            raise LogBrokenError("A candidate reached the writer without its claim.")
        if claim.key_entry is not None:
            # Tried on a copy: the real ring moves only when the entry is on the disk.
            KeyRing.load(self.ring.export()).apply(index, claim.key_entry)
            return
        if claim.signed_along is not None:
            # A key that was unknown when the signatures were verified may be registered by now.
            for check in self.ring.plan(claim.signed_along):
                check.verify()
        self.ring.allow(index, candidate.key_id, claim.said)

    def appended(self, index: int, candidate: Candidate) -> None:
        """Let a committed key entry count from here on."""
        claim = candidate.claim
        if not isinstance(claim, Claim):  # found in the store after a failed commit
            leaf = decode_leaf(candidate.leaf)
            claim = Claim(Said(""), leaf if leaf.dsse.payloadType == KEY else None)
        if claim.key_entry is not None:
            self.ring.apply(index, claim.key_entry)

    def differing(self, first: bytes, second: bytes) -> Sequence[str]:
        """Return the significant fields in which two leaves of one identity differ."""
        return differing_leaves(first, second)


def differing_leaves(first: bytes, second: bytes) -> list[str]:
    """Compare two leaves that stand under one identity.

    Entries other than markers are filed under the hash of their payload, so they never differ.
    """
    one, other = decode_leaf(first), decode_leaf(second)
    if one.dsse.payloadType not in MARKER_TYPES:
        return []
    return differing(marker_fields(one), marker_fields(other))


def marker_fields(leaf: Leaf) -> dict[str, Any]:
    """Return the flat marker inside a stored leaf."""
    payload = leaf.dsse.payload_bytes()
    return decode_marker(payload, leaf.dsse.payloadType, strict=False).fields()
