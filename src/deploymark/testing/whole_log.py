"""A whole log in this process, for tests that ask what a log does, not what one part does.

Every part is the real one; its keys follow from names, and its time is moved by hand.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from deploymark.crypto.dsse import sign_envelope
from deploymark.crypto.keyring import KeyRing
from deploymark.crypto.note import VerifierKey
from deploymark.crypto.signer import Ed25519EnvelopeSigner, Ed25519NoteSigner, MlDsa44NoteSigner
from deploymark.errors import DataDirectoryError, DeploymarkError
from deploymark.ingest.admission import AdmissionRules
from deploymark.ingest.authority import EntryAuthority, catch_up
from deploymark.ingest.key_entries import registration
from deploymark.ingest.receive import Receiver
from deploymark.ingest.registry import Registry
from deploymark.log.checkpoint import Checkpoint
from deploymark.log.fsck import Audit
from deploymark.log.policy import NONE, LogLine, Policy
from deploymark.log.publisher import Publisher
from deploymark.log.reader import LogView
from deploymark.log.sequencer import Acknowledgement, Candidate, Outcome, Sequencer
from deploymark.log.tree import EMPTY_ROOT, leaf_hash
from deploymark.model.canonical import encode
from deploymark.model.entries import Scope
from deploymark.model.envelope import Envelope
from deploymark.model.instants import format_instant, parse_instant
from deploymark.model.leaf import Leaf, encode_leaf
from deploymark.model.statement import payload_type_of, statement_of
from deploymark.model.vocabulary import DETAIL, IN_TOTO, KEY
from deploymark.ports import (
    Blob,
    Head,
    LogReader,
    LogStore,
    PublishedCheckpoint,
    RegistryStore,
    RollbackGuard,
    Witness,
)
from deploymark.runtime.compose import expect, replay_keys
from deploymark.storage.memory_guard import MemoryRollbackGuard
from deploymark.storage.memory_registry import MemoryRegistryStore
from deploymark.testing.clock import START_MS, ManualClock
from deploymark.testing.meter import ListMeter

ORIGIN = "log.example/whole"
EVERYTHING = Scope(services=("*",), environments=("*",), entries=("*",))
MARKERS = Scope(services=("*",), environments=("*",))


class WholeLog:
    """A running log around a store; an empty store gets a log, its first key registered.

    Args:
        store: Where it is kept; stays the caller's to close.
        guard: The second memory of what was published.
        clock: Its time.
        witnesses: Who is asked to cosign.
        origin: Its name; the keys of a new log follow from it.
        registry_store: Where its deployments are remembered.
        rules: What it admits at all.

    Attributes:
        admin: The first key, which may say everything.
        ring: The keys registered in it.
        registry: The deployments in it.
        view: Proofs, receipts and tiles.
        sequencer: The writer.
        receiver: Admits envelopes.
        publisher: Publishes checkpoints.
        meter: What was counted.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a log is made of
        self,
        store: LogStore,
        guard: RollbackGuard | None = None,
        clock: ManualClock | None = None,
        witnesses: Sequence[Witness] = (),
        origin: str = ORIGIN,
        registry_store: RegistryStore | None = None,
        rules: AdmissionRules | None = None,
    ) -> None:
        self.store = store
        self.guard = guard or MemoryRollbackGuard()
        self.clock = clock or ManualClock()
        self.meter = ListMeter()
        self.admin = producer("admin")
        signer, publishing = log_signers(origin)
        is_new = _create(store, origin, signer)
        self.ring = KeyRing() if is_new else replay_keys(store)
        self.view = LogView(store)
        self.registry = Registry(registry_store or MemoryRegistryStore())
        catch_up(self.registry, store)
        authority = EntryAuthority(self.ring, self.registry, store)
        self.sequencer = Sequencer(store, signer, authority)
        self.receiver = Receiver(
            self.sequencer, store, self.ring, self.clock, gateway=self.admin, rules=rules
        )
        self.publisher = Publisher(store, publishing, self.guard, witnesses, self.clock, self.meter)
        self.policy = policy_of(origin)
        if is_new:
            self.register(self.admin, "admin", EVERYTHING)

    @property
    def keys(self) -> list[VerifierKey]:
        """The verifier keys of the log."""
        return [line.key for line in self.policy.logs]

    def receive(self, *envelopes: Envelope) -> list[Outcome]:
        """Hand envelopes in and return what became of each."""
        return self.receiver.receive(envelopes)

    def append(self, *envelopes: Envelope) -> list[Acknowledgement]:
        """Hand envelopes in; raise the first refusal."""
        return expect(self.receive(*envelopes))

    def append_markers(self, count: int, signer: Ed25519EnvelopeSigner | None = None) -> None:
        """Append markers that nobody else has, numbered by their index."""
        size = self.store.head().size
        numbers = range(size, size + count)
        self.append(*(sign(sample_marker(n), signer or self.admin) for n in numbers))

    def register(self, key: Ed25519EnvelopeSigner, name: str, scope: Scope = MARKERS) -> int:
        """Register a producer's key and return the index of its entry."""
        payload = registration(key.public, name, scope, self.clock.now_ms())
        return self.append_key(payload)

    def append_key(self, payload: bytes, signer: Ed25519EnvelopeSigner | None = None) -> int:
        """Append a key entry and return its index."""
        (done,) = self.append(sign_envelope(KEY, payload, [signer or self.admin]))
        return done.index

    def keep(self, content: bytes, salt: bytes) -> bytes:
        """Store erasable content under its own entry and return its digest."""
        blob = blob_of(content, salt)
        envelope = sign_envelope(
            DETAIL, detail("stored", blob.digest, size=len(content), erasable=True), [self.admin]
        )
        expect([self.receiver.keep(envelope, blob)])
        return blob.digest

    def erase(self, digest: bytes) -> int:
        """Erase content and return the index of the entry that says so."""
        envelope = sign_envelope(DETAIL, detail("erased", digest, reason="asked"), [self.admin])
        return self.append(envelope)[0].index

    def publish(self) -> PublishedCheckpoint:
        """Publish the head."""
        return self.publisher.publish()

    def faults(self) -> list[str]:
        """Audit everything stored; empty when all of it adds up."""
        return faults_of(self.store.snapshot(), self.keys)

    def close(self) -> None:
        """Stop the threads; the store stays open."""
        self.receiver.close()
        self.sequencer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _create(store: LogStore, origin: str, signer: Ed25519NoteSigner) -> bool:
    try:
        store.head()
    except DataDirectoryError:
        store.create(signed_empty_head(origin, signer))
        return True
    return False


class _Careless:
    """Admits everything."""

    def begin(self, candidates: Sequence[Candidate]) -> None: ...

    def settle(self, candidate: Candidate) -> Candidate:
        return candidate

    def admit(self, index: int, candidate: Candidate) -> None: ...

    def appended(self, index: int, candidate: Candidate) -> None: ...

    def differing(self, first: bytes, second: bytes) -> Sequence[str]:
        return [] if first == second else ["all"]


def plant(store: LogStore, *leaves: Leaf) -> None:
    """Write leaves past every check, as an operator could who holds the log's own keys.

    Args:
        store: A log that nobody else writes now.
        leaves: What to write, each under an identity that is not taken.
    """
    sequencer = Sequencer(store, log_signers(store.head().origin)[0], _Careless())
    try:
        for leaf in leaves:
            body = encode_leaf(leaf)
            received_at_ms = parse_instant(leaf.received_at)
            candidate = Candidate(body, leaf_hash(body), leaf.dedupe, leaf.key_id, received_at_ms)
            (done,) = expect(sequencer.submit([candidate]).result())
            assert not done.duplicate, "that identity is taken"
    finally:
        sequencer.close()


def signed_empty_head(origin: str, signer: Ed25519NoteSigner) -> Head:
    """Return the head of a log without entries, signed."""
    text = Checkpoint(origin, 0, EMPTY_ROOT).text()
    note = f"{text}\n{signer.sign_note(text, now_seconds=0)}"
    return Head(origin, 0, EMPTY_ROOT, b"", note, 0)


def faults_of(reader: LogReader, keys: Sequence[VerifierKey]) -> list[str]:
    """Audit a snapshot, close it, and return every fault.

    Raises:
        DeploymarkError: It is so damaged that it cannot even be opened.
    """
    try:
        return [fault for step in Audit(reader, keys).steps() for fault in step.faults]
    finally:
        reader.close()


def log_signers(origin: str = ORIGIN) -> tuple[Ed25519NoteSigner, MlDsa44NoteSigner]:
    """Return the two keys of a log, which follow from its origin."""
    seed = sha256(origin.encode()).digest()
    return (
        Ed25519NoteSigner(origin, Ed25519PrivateKey.from_private_bytes(seed)),
        MlDsa44NoteSigner(origin, MLDSA44PrivateKey.from_seed_bytes(seed)),
    )


def policy_of(origin: str = ORIGIN) -> Policy:
    """Return the policy that trusts the log of this name and asks for no witness."""
    keys = [VerifierKey.parse(signer.vkey) for signer in log_signers(origin)]
    return Policy(tuple(LogLine(key) for key in keys), {}, {}, NONE)


def producer(name: str) -> Ed25519EnvelopeSigner:
    """Return a producer's key, which follows from its name."""
    seed = sha256(name.encode()).digest()
    return Ed25519EnvelopeSigner(Ed25519PrivateKey.from_private_bytes(seed))


def sample_marker(number: int, **changes: object) -> dict[str, Any]:
    """Return a flat marker that no other number has.

    Args:
        number: Decides its artifact and service.
        changes: Fields to set instead; None leaves one out.
    """
    one = sha256(b"marker %d" % number).hexdigest()
    fields = {
        "artifact": {"digest": f"sha256:{one}"},
        "commit_hash": one[:40],
        "environment": "prod",
        "phase": "applied",
        "service": f"service-{number % 7}",
        "timestamp": format_instant(START_MS),
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not None}


def sign(fields: Mapping[str, Any], *signers: Ed25519EnvelopeSigner) -> Envelope:
    """Return a marker in its envelope: a Statement when it names an artifact, else flat."""
    payload_type = payload_type_of(fields)
    payload = statement_of(fields) if payload_type == IN_TOTO else encode(dict(fields))
    return sign_envelope(payload_type, payload, signers)


def blob_of(content: bytes, salt: bytes = b"") -> Blob:
    """Return content as it is kept: salted when erasable, bare when evidence."""
    return Blob(sha256(salt + content).digest(), salt, content)


def detail(action: str, digest: bytes, **more: object) -> bytes:
    """Return the payload of an entry about content kept by digest."""
    said = {
        "action": action,
        "digest": f"sha256:{digest.hex()}",
        "timestamp": format_instant(START_MS),
        **more,
    }
    return encode(said)


def envelope_json(envelope: Envelope) -> bytes:
    """Return an envelope as a client would send it."""
    return json.dumps(
        {
            "payload": envelope.payload,
            "payloadType": envelope.payloadType,
            "signatures": [{"keyid": s.keyid, "sig": s.sig} for s in envelope.signatures],
        }
    ).encode()


def key_names(ring: KeyRing) -> list[str]:
    """Return the names of all keys ever registered, oldest first."""
    return [key.name for key in ring.keys()]  # noqa: SIM118 - a ring is not a dict


def refusals(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the code of each refusal, "" for what was acknowledged."""
    return [o.code if isinstance(o, DeploymarkError) else "" for o in outcomes]
