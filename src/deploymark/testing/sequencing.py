"""Plain candidates for a sequencer, and an admission without keys."""

from base64 import b64encode
from collections.abc import Sequence

from deploymark.errors import DeploymarkError
from deploymark.log.sequencer import Candidate
from deploymark.log.tree import leaf_hash
from deploymark.model.envelope import Envelope
from deploymark.model.instants import format_instant
from deploymark.model.leaf import Leaf, decode_leaf, encode_leaf
from deploymark.model.vocabulary import Assurance
from deploymark.testing.clock import START_MS


def plain_candidate(identity: str, content: str = "", *, alone: bool = False) -> Candidate:
    """Return a candidate of which only identity and content matter.

    Args:
        identity: It may stand once under this.
        content: What another of the same identity must also say to be a duplicate.
        alone: It wants a commit of its own.
    """
    payload = b64encode(content.encode()).decode()
    leaf = Leaf(
        assurance=Assurance.ANONYMOUS,
        dsse=Envelope(payload=payload, payloadType="text/plain", signatures=[]),
        ids={"entry_id": identity},
        occurrence=0,
        principal="",
        received_at=format_instant(START_MS),
    )
    body = encode_leaf(leaf)
    return Candidate(body, leaf_hash(body), leaf.dedupe, "", START_MS, alone=alone, claim=identity)


def content_of(body: bytes | None) -> str:
    """Return the content of a plain candidate's leaf."""
    return decode_leaf(body or b"").dsse.payload_bytes().decode()


def identity_of(body: bytes | None) -> str:
    """Return the identity of a plain candidate's leaf."""
    return decode_leaf(body or b"").ids["entry_id"]


class PlainAdmission:
    """Admits everything it is not told to refuse; see `log.sequencer.Admission`.

    Attributes:
        refused: What to raise when one of these identities is admitted.
        failing: What to raise when one of these identities was appended.
        admitted: Index and identity of every candidate that was let in, in order.
        seen: Index and identity of everything appended, in order.
    """

    def __init__(self) -> None:
        self.refused: dict[str, Exception] = {}
        self.failing: dict[str, Exception] = {}
        self.admitted: list[tuple[int, str]] = []
        self.seen: list[tuple[int, str]] = []

    def begin(self, candidates: Sequence[Candidate]) -> None:
        """See `Admission.begin`; there is nothing to get ready."""

    def settle(self, candidate: Candidate) -> Candidate:
        """See `Admission.settle`; a plain candidate is settled from the start."""
        return candidate

    def admit(self, index: int, candidate: Candidate) -> None:
        """See `Admission.admit`."""
        identity = identity_of(candidate.leaf)
        if identity in self.refused:
            raise self.refused[identity]
        self.admitted.append((index, identity))

    def appended(self, index: int, candidate: Candidate) -> None:
        """See `Admission.appended`."""
        identity = identity_of(candidate.leaf)
        self.seen.append((index, identity))
        if identity in self.failing:
            raise self.failing[identity]

    def differing(self, first: bytes, second: bytes) -> list[str]:
        """See `Admission.differing`."""
        return ["content"] if content_of(first) != content_of(second) else []


class BrokenCounter:
    """Collects what a sequencer reports when its log stops adding up."""

    def __init__(self) -> None:
        self.errors: list[DeploymarkError] = []

    def __call__(self, error: DeploymarkError) -> None:
        """Take one report."""
        self.errors.append(error)
