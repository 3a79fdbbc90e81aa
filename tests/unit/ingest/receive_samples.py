"""Entries of every kind, and a log that takes them, which the tests of receiving share."""

from collections.abc import Iterator

from deploymark.crypto.dsse import sign_envelope
from deploymark.model.canonical import encode
from deploymark.model.envelope import Envelope
from deploymark.model.instants import format_instant
from deploymark.model.leaf import Leaf, decode_leaf
from deploymark.model.vocabulary import (
    AMENDMENT,
    DECISION,
    DETAIL,
    FINDING,
    INCIDENT,
    RETRACTION,
    VERDICT,
)
from deploymark.ports import EnvelopeSigner
from deploymark.storage.memory import MemoryLogStore
from deploymark.testing.clock import START_MS
from deploymark.testing.faulty_store import FaultyLogStore
from deploymark.testing.whole_log import WholeLog, blob_of, producer

ADMIN, CI, STRANGER = producer("admin"), producer("ci"), producer("stranger")
NOW = format_instant(START_MS)
EVIDENCE = blob_of(b"counts")
DIGEST = f"sha256:{EVIDENCE.digest.hex()}"

ENTRIES: dict[str, dict[str, object]] = {
    VERDICT: {
        "advice": "promote",
        "deployment_id": "d-1",
        "environment": "prod",
        "inputs_digest": DIGEST,
        "judge": "j",
        "look": 1,
        "result": "pass",
        "score": 90,
        "service": "shop",
        "timestamp": NOW,
    },
    DECISION: {
        "action": "promote",
        "actor": "policy",
        "environment": "prod",
        "stage": "decided",
        "timestamp": NOW,
    },
    INCIDENT: {"action": "opened", "incident_id": "i-1", "timestamp": NOW},
    FINDING: {
        "code": "clock_skew",
        "message": "An hour ahead.",
        "severity": "warning",
        "state": "opened",
        "timestamp": NOW,
    },
    AMENDMENT: {"changes": {"/owner": "me"}, "index": 1, "reason": "typo", "timestamp": NOW},
    RETRACTION: {"index": 1, "reason": "twice", "timestamp": NOW},
    DETAIL: {
        "action": "stored",
        "digest": DIGEST,
        "erasable": False,
        "size": 6,
        "timestamp": NOW,
    },
}


def faulty_store() -> FaultyLogStore:
    return FaultyLogStore(MemoryLogStore())


def sound_log(store: FaultyLogStore) -> Iterator[WholeLog]:
    """Entry 0 the admin's key, entry 1 the producer's, which may only say markers."""
    with WholeLog(store) as log:
        log.register(CI, "ci")
        yield log
        store.heal()
        assert log.faults() == []


def entry_of(kind: str, signer: EnvelopeSigner = ADMIN, **changes: object) -> Envelope:
    return sign_envelope(kind, encode({**ENTRIES[kind], **changes}), [signer])


def leaf_at(log: WholeLog, index: int) -> Leaf:
    return decode_leaf(log.store.entry(index).leaf or b"")
