"""Every plug-in point of deploymark, and the plain values that cross it.

A port is a Protocol small enough to memorise. Adapters (`storage`, `integrations`) see this file,
`model`, `crypto` and `errors`, nothing else; `runtime.compose` is the only place that picks one.
Each port has an `exercise_*` suite in `deploymark.testing` that every adapter must pass.

Ports say what must hold, never how. They raise errors of `deploymark.errors` only.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

from msgspec import Struct

from deploymark.model.entries import Scope
from deploymark.model.histogram import Histogram
from deploymark.model.vocabulary import Role


class Clock(Protocol):
    """Tells the time. Injected everywhere, so that tests and replays own it."""

    def now_ms(self) -> int:
        """Return milliseconds since the Unix epoch, UTC."""
        ...


class Meter(Protocol):
    """Counts what happens, tolerated failures above all."""

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        """Add `amount` to the counter `name` with these labels.

        Args:
            name: In full, as it is scraped: `deploymark_…_total`.
            amount: How much.
            labels: From closed sets only; strangers could multiply anything else.
        """
        ...

    def observe(self, name: str, seconds: float) -> None:
        """Add a duration to the distribution `name`, in full: `deploymark_…_seconds`."""
        ...


@runtime_checkable
class NoteSigner(Protocol):
    """Signs checkpoints: a log key or a witness key (c2sp.org/signed-note)."""

    @property
    def vkey(self) -> str:
        """The public half as a C2SP verifier key, `name+keyid+base64`."""
        ...

    def sign_note(self, text: str, *, now_seconds: int) -> str:
        """Return one signature line for a note text, ending in a newline.

        Args:
            text: The note text including its final newline.
            now_seconds: The time a timestamped signature states; others ignore it.
        """
        ...


class EnvelopeSigner(Protocol):
    """Signs DSSE envelopes: a producer key, on disk or in a KMS."""

    @property
    def key_id(self) -> str:
        """The `k-…` id of the public key, as in the DSSE `keyid`."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the raw signature over the DSSE pre-authentication encoding."""
        ...


SALT_BYTES = 32
"""Length of the salt of erasable content; fixed, so that salt and content have one border."""

# The log store --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Head:
    """The one mutable fact of a log: how far it goes.

    Attributes:
        origin: The C2SP origin, immutable for the life of the log.
        size: Number of entries.
        root: RFC 6962 root of those entries, 32 bytes.
        frontier: Roots of the perfect subtrees that make up the tree, largest first,
            32 bytes each: what the writer needs to go on, and nothing more.
        note: The head signed by the log's Ed25519 key, so that a provisional receipt can be
            made from the store alone.
        published_size: Size of the newest published checkpoint, 0 before the first.
    """

    origin: str
    size: int
    root: bytes
    frontier: bytes
    note: str
    published_size: int


class StoredEntry(Struct, frozen=True, gc=False):
    """One row of the log.

    Attributes:
        index: Position in the log, from 0, without gaps.
        leaf_hash: SHA-256(0x00 ‖ leaf), 32 bytes.
        received_at_ms: When the log admitted it; repeated from inside the leaf.
        key_id: The first key that signed it, "" for unsigned; repeated from the leaf.
        dedupe: The identity under which it may stand only once; derived from the leaf.
        leaf: The bytes that are hashed, at most 65,535; None once moved to the archive.
    """

    index: int
    leaf_hash: bytes
    received_at_ms: int
    key_id: str
    dedupe: str
    leaf: bytes | None


class Node(Struct, frozen=True, gc=False):
    """The root of a completed subtree of 256**level entries, level from 1."""

    level: int
    index: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Blob:
    """Content kept by digest beside the log: erasable details, or evidence of verdicts.

    Attributes:
        digest: SHA-256(salt ‖ content), 32 bytes: what entries refer to.
        salt: `SALT_BYTES` random bytes for erasable content, so that the digest of a guessable
            text proves nothing after erasure; empty for evidence. None once erased.
        content: The bytes; None once erased.
        erased_at_ms: When it was erased, None while it stands.
    """

    digest: bytes
    salt: bytes | None
    content: bytes | None
    erased_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What one commit adds, all of it or nothing.

    Attributes:
        expected_size: Size the log must have for this batch to fit; guards against a second
            writer.
        entries: New rows, in index order from `expected_size`.
        nodes: Subtrees completed by them.
        head: The head after them.
        blobs: Content that the entries name.
        erasures: Digests whose salt and content go because an entry says so, each with the
            time at which that entry was received.
    """

    expected_size: int
    entries: Sequence[StoredEntry]
    nodes: Sequence[Node]
    head: Head
    blobs: Sequence[Blob] = ()
    erasures: Sequence[tuple[bytes, int]] = ()


@dataclass(frozen=True, slots=True)
class PublishedCheckpoint:
    """A checkpoint that left the process with the log's full signatures.

    Attributes:
        size: Tree size.
        previous_size: Size of the published checkpoint kept before it, 0 for the first: the
            chain shows a row that went missing.
        published_at_s: POSIX seconds; repeated from the log's ML-DSA-44 cosignature.
        note: Text and the log's own signature lines.
        cosignatures: Witness lines that came later, by verifier key.
    """

    size: int
    previous_size: int
    published_at_s: int
    note: str
    cosignatures: dict[str, str] = field(default_factory=dict)


class LogReader(Protocol):
    """Reads one log. Every answer is from whole commits only, on any thread.

    Every method raises `StoreUnavailableError` when the medium refuses (disk full, I/O error) and
    `LogBrokenError` when it knows itself to be damaged.
    """

    def head(self) -> Head:
        """Return the head; raise `DataDirectoryError` when there is no log."""
        ...

    def find(self, dedupes: Sequence[str]) -> dict[str, int]:
        """Return the index of every identity of `dedupes` that the log already holds."""
        ...

    def indexes(self, prefix: str) -> list[int]:
        """Return the indexes of all entries whose identity begins with `prefix`, in order."""
        ...

    def entry(self, index: int) -> StoredEntry:
        """Return one row; raise `NotFoundError` beyond the head."""
        ...

    def entries(self, start: int, end: int) -> Iterator[StoredEntry]:
        """Stream the rows of [start, end) in order, without holding them all."""
        ...

    def leaf_hashes(self, start: int, end: int) -> bytes:
        """Return the concatenated leaf hashes of [start, end)."""
        ...

    def nodes(self, level: int, start: int, end: int) -> bytes:
        """Return the concatenated hashes of the completed subtrees [start, end) of a level."""
        ...

    def blob(self, digest: bytes) -> Blob:
        """Return a blob, erased or not; raise `NotFoundError` when it never was."""
        ...

    def blobs(self) -> Iterator[Blob]:
        """Stream all blobs."""
        ...

    def checkpoint(self, size: int) -> PublishedCheckpoint:
        """Return the smallest published checkpoint of at least `size`, else `NotFoundError`."""
        ...

    def checkpoints(self) -> Iterator[PublishedCheckpoint]:
        """Stream the published checkpoints that are kept, smallest first."""
        ...

    def self_check(self) -> Iterator[str]:
        """Yield one sentence per fault that only the medium can know of.

        Damaged pages and indexes, rows that belong to nothing, tables that are not ours.
        """
        ...

    def close(self) -> None:
        """Release every handle; idempotent."""
        ...


class LogStore(LogReader, Protocol):
    """Keeps one log: a `LogReader` with one writer.

    After `append` raised, its outcome is unknown until `reopen` and `head` have been asked.
    """

    def create(self, head: Head) -> None:
        """Lay the empty log down; raise `DataDirectoryError` when one exists."""
        ...

    def append(self, batch: Batch) -> None:
        """Commit a batch durably; raise `LogBrokenError` when the size is not as expected."""
        ...

    def reopen(self) -> None:
        """Forget every handle and cached page, so that what is read next is what is on the disk.

        What a dead process or a failed commit wrote and did not sync is synced, or not read.
        """
        ...

    def publish(self, checkpoint: PublishedCheckpoint) -> None:
        """Keep a published checkpoint and move `published_size` to it, in one commit."""
        ...

    def cosign(self, size: int, vkey: str, line: str) -> None:
        """Add or replace one witness line of a published checkpoint."""
        ...

    def thin(self, sizes: Sequence[int]) -> None:
        """Drop these published checkpoints and re-link the chain; the newest always stays."""
        ...

    def snapshot(self) -> LogReader:
        """Return a reader that stays at this commit until closed, for audits and exports."""
        ...


class RollbackGuard(Protocol):
    """Remembers, in a second place, the last thing that was published."""

    def read(self) -> tuple[str, int, bytes] | None:
        """Return (origin, size, root), or None when nothing was ever published."""
        ...

    def write(self, origin: str, size: int, root: bytes) -> None:
        """Remember durably before the checkpoint leaves the process."""
        ...


class Witness(Protocol):
    """Someone else who saw the log grow and signs for it (c2sp.org/tlog-witness)."""

    @property
    def vkey(self) -> str:
        """The verifier key whose lines count."""
        ...

    def add_checkpoint(self, old_size: int, proof: Sequence[bytes], note: str) -> str:
        """Return the cosignature lines.

        Raises:
            WitnessBehindError: The witness stands at another size; ask again from there.
            WitnessUnavailableError: No answer, or not now.
            WitnessRefusedError: It says the checkpoint contradicts what it has seen.
            WitnessConfigurationError: It does not know this log or its key.
        """
        ...


@dataclass(frozen=True, slots=True)
class Witnessed:
    """The newest tree of one log that a witness has cosigned.

    Attributes:
        size: Number of entries.
        root: RFC 6962 root of those entries, 32 bytes.
    """

    size: int
    root: bytes


class WitnessState(Protocol):
    """What a witness remembers of each log: all that keeps it from cosigning a fork.

    Every method is safe on any thread, and among processes where the store is shared. It raises
    `StoreUnavailableError` when the medium refuses and `LogBrokenError` when it is damaged.
    """

    def read(self, origin: str) -> Witnessed | None:
        """Return what is remembered of a log, or None when nothing ever was."""
        ...

    def compare_and_swap(self, origin: str, expected: Witnessed | None, new: Witnessed) -> bool:
        """Remember `new` durably if `expected` is still what is remembered, in one step.

        Returns:
            Whether it was; when not, nothing changed.
        """
        ...


# What admission remembers ---------------------------------------------------------------------


class Position(Struct, frozen=True):
    """How much of which log a derived store has folded in.

    Attributes:
        origin: The log.
        size: Number of entries folded, in order from entry 0.
        leaf_hash: Of the last of them, so that another log of the same name is noticed; empty at 0.
    """

    origin: str
    size: int
    leaf_hash: bytes


class ListedDeployment(Struct, frozen=True):
    """Under what a deployment is listed.

    Attributes:
        key: Its fact.
        service: Of its line.
        environment: Of its line.
        last_index: Its newest entry; no two deployments share one.
    """

    key: str
    service: str
    environment: str
    last_index: int


class RegistryStore(Protocol):
    """Keeps what admission must know of earlier entries: facts by key, as of one position.

    Derived: whoever loses it folds the log again. Every method raises `StoreUnavailableError` when
    the medium refuses.
    """

    def position(self) -> Position | None:
        """Return how far it has come; None when it is empty."""
        ...

    def load(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return the facts that are there."""
        ...

    def save(
        self, facts: Mapping[str, bytes], listed: Sequence[ListedDeployment], position: Position
    ) -> None:
        """Replace these facts and move to a position, in one step."""
        ...

    def listed(
        self, service: str | None, environment: str | None, before: int | None, limit: int
    ) -> list[ListedDeployment]:
        """Return deployments by their newest entry, newest first, older than `before`."""
        ...

    def clear(self) -> None:
        """Forget everything."""
        ...


# Operational state ----------------------------------------------------------------------------


class TokenRecord(Struct, frozen=True):
    """What is kept of a token: everything but its secret.

    Attributes:
        id: 12 characters of lower-case Crockford base32; no secret.
        name: What people call it; unique among live tokens.
        secret_hash: SHA-256 of the secret part of its text, 32 bytes.
        roles: What its bearer may do.
        scope: What an emitter may speak about; None for every other token.
        created_at_ms: When it was made.
        created_by: The principal that made it.
        expires_at_ms: From when on it opens nothing; None when it never ends by itself.
        revoked_at_ms: When it was revoked, None while it stands.
        revoked_by: The principal that revoked it, "" while it stands.
    """

    id: str
    name: str
    secret_hash: bytes
    roles: frozenset[Role]
    scope: Scope | None
    created_at_ms: int
    created_by: str
    expires_at_ms: int | None = None
    revoked_at_ms: int | None = None
    revoked_by: str = ""

    def lives(self, now_ms: int) -> bool:
        """Tell whether it opens anything at a time."""
        return self.revoked_at_ms is None and (
            self.expires_at_ms is None or now_ms < self.expires_at_ms
        )


class SessionRecord(Struct, frozen=True):
    """What is kept of the session of a browser: everything but its cookie.

    Attributes:
        cookie_hash: SHA-256 of the cookie's value, 32 bytes.
        token_id: The token that opened it, without which it opens nothing.
        opened_at_ms: When it was opened.
        ends_at_ms: When it ends unless it is used before.
    """

    cookie_hash: bytes
    token_id: str
    opened_at_ms: int
    ends_at_ms: int


class TokenStore(Protocol):
    """Keeps tokens and the sessions that they opened; never a secret, only hashes.

    Safe on any thread and, where the medium is shared, among processes: what one call wrote, every
    later read sees. Every method raises `StoreUnavailableError` when the medium refuses and
    `StateBrokenError` when it is damaged.
    """

    def add(self, token: TokenRecord) -> bool:
        """Keep a new token durably.

        Returns:
            Whether it was kept: not when its id is known, nor when a token that lives at
            `created_at_ms` has its name.
        """
        ...

    def find(self, token_id: str) -> TokenRecord | None:
        """Return a token, revoked and ended ones too; None when it never was."""
        ...

    def all(self) -> list[TokenRecord]:
        """Return every token that ever was, by time of creation, then by id."""
        ...

    def revoke(self, token_id: str, at_ms: int, by: str) -> bool:
        """End a token and its sessions durably, in one step; the first revocation stands.

        Returns:
            Whether this call ended it.
        """
        ...

    def open_session(self, session: SessionRecord, most: int) -> None:
        """Keep a new session durably, and forget the oldest of its token beyond `most`."""
        ...

    def find_session(self, cookie_hash: bytes) -> SessionRecord | None:
        """Return a session, ended ones too unless they were expired; None when it is unknown."""
        ...

    def extend_session(self, cookie_hash: bytes, ends_at_ms: int) -> None:
        """Move the end of a session further away, never nearer; nothing when it is unknown.

        A crash may take this back.
        """
        ...

    def drop_session(self, cookie_hash: bytes) -> None:
        """Forget a session durably, known or not."""
        ...

    def expire_sessions(self, now_ms: int) -> None:
        """Forget the sessions that have ended by then."""
        ...


class LedgerStore(Protocol):
    """Keeps the emitter ledger: small rows by key, as of one position of the log.

    What was accepted can be folded from the log again; what was refused cannot. Every method
    raises `StoreUnavailableError` when the medium refuses and `StateBrokenError` when it is
    damaged.
    """

    def load(self) -> tuple[Position | None, dict[str, bytes]]:
        """Return the position and all rows; None and nothing when it is empty."""
        ...

    def save(self, changes: Mapping[str, bytes | None], position: Position) -> None:
        """Replace these rows, drop those that are None, and move to a position, in one step.

        A loss of power may take the newest steps back, whole ones only.
        """
        ...


# What runs ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ObservedInstance:
    """One instance that runs, as somebody saw it who does not ask it.

    Attributes:
        uid: What tells it from all others, the same text by whoever looks.
        instance: Its name for people.
        digest: Of what it really executes, `sha256:…`; "" when that cannot be known.
        why: Why it cannot be known, a sentence; "" when it is.
    """

    uid: str
    instance: str
    digest: str
    why: str = ""


class Observer(Protocol):
    """Sees the instances of one service in one place, independently of their own words.

    It remembers nothing that it could not find out again: what it says is how things are when it
    is asked.
    """

    @property
    def name(self) -> str:
        """Who looks, as `evidence.observer` names it; stable."""
        ...

    def observe(self) -> Sequence[ObservedInstance]:
        """Return the instances that run now.

        One that ends while it is looked at may be there or not.

        Raises:
            ObservationError: It cannot look at all.
        """
        ...

    def has_ended(self, uid: str) -> bool:
        """Tell whether an instance of this place certainly runs no longer.

        Args:
            uid: Of an instance that ran in this place once, as this observer or another named it.

        Returns:
            False also when it cannot be told.
        """
        ...


# What running software reports ----------------------------------------------------------------


class Place(NamedTuple):
    """Who something was reported by.

    Attributes:
        service, environment: Names; the environment is "" where nobody said it.
        deployment: The deployment id that the instance itself states, "" without one.
        instance: As the instance's markers have it in `target.instance_uid`.
    """

    service: str
    environment: str
    deployment: str
    instance: str


class CountKey(NamedTuple):
    """What requests are counted by.

    Attributes:
        place: Who answered them.
        bucket_s: The beginning of their ten seconds, in seconds since the epoch.
        protocol: `http`, `rpc`, `messaging` or `other`.
        origin: `metric` or `span`: what they were counted from.
    """

    place: Place
    bucket_s: int
    protocol: str
    origin: str


class Counted(Struct, frozen=True):
    """Requests of one bucket.

    Attributes:
        requests: How many; not whole where sampled spans stand for others.
        errors: How many of them failed.
        seen: How many spans or requests were really looked at.
        since_s: When the earliest interval that ended in this bucket began, in whole seconds.
        latency: How long they took.
    """

    requests: float
    errors: float
    seen: int
    since_s: int
    latency: Histogram


class GaugeKey(NamedTuple):
    """What values of a gauge are kept by; `label` tells its attribute sets apart."""

    place: Place
    bucket_s: int
    name: str
    label: str


class Gauged(Struct, frozen=True):
    """Values of a gauge within one bucket."""

    least: float
    most: float
    sum: float
    count: int


class MarkedKey(NamedTuple):
    """What the propagation of deployment ids (M8) is counted by."""

    service: str
    environment: str
    bucket_s: int


class Marked(Struct, frozen=True):
    """Spans, and those of them whose resource carries a deployment id."""

    spans: int
    marked: int


class TraceNote(Struct, frozen=True):
    """One trace that is worth looking at: where to find it, and why.

    Attributes:
        place: Whose entry span it is.
        window_s: The beginning of the minute in which it competes.
        failing: It is kept because it failed, else because it was slow.
        trace_id, span_id: Where to find it, in hexadecimal digits.
        name: Of the span.
        route: Of the request, "" where there is none.
        at_ms: When it ended.
        duration_us: How long it took.
    """

    place: Place
    window_s: int
    failing: bool
    trace_id: str
    span_id: str
    name: str
    route: str
    at_ms: int
    duration_us: int


class Excerpt(Struct, frozen=True):
    """One log record, cut short.

    Attributes:
        place: Who wrote it.
        window_s: The beginning of the minute in which it competes.
        severity: OpenTelemetry's number; 17 and above are errors.
        at_ms: When.
        text: The beginning of its body.
        event: The name of its event or exception, or "".
        trace_id: "" without one.
    """

    place: Place
    window_s: int
    severity: int
    at_ms: int
    text: str
    event: str
    trace_id: str


class Telemetry(Struct, frozen=True):
    """What one commit of the telemetry store adds.

    Attributes:
        counts, gauges, marked: To be added to what is there.
        traces, excerpts: To compete with those there.
        streams: States of metric streams that replace those there; None drops one.
        receipts: Digests of the requests that this came from.
        now_s: The time, which receipts and new places are remembered with.
    """

    now_s: int
    counts: dict[CountKey, Counted]
    gauges: dict[GaugeKey, Gauged]
    marked: dict[MarkedKey, Marked]
    traces: list[TraceNote]
    excerpts: list[Excerpt]
    streams: dict[bytes, bytes | None]
    receipts: list[bytes]


class TelemetryQuery(NamedTuple):
    """Which telemetry is asked for; None asks for any.

    Attributes:
        since_s, until_s: Buckets and windows that begin then or later, and before.
        service, environment, deployment, instance: As in `Place`.
    """

    since_s: int
    until_s: int
    service: str | None = None
    environment: str | None = None
    deployment: str | None = None
    instance: str | None = None


class Measured(NamedTuple):
    """From when to when, in seconds, the metrics of an instance cover one protocol."""

    place: Place
    protocol: str
    since_s: int
    until_s: int


TRACES_KEPT = 10
"""Slow traces, and failing ones, of a deployment in one minute."""

EXCERPTS_KEPT = 20
"""Log excerpts of a deployment in one minute."""


class TelemetryStore(Protocol):
    """Disposable evidence of what runs: bounded, and dropped when it is old or too much.

    One thread saves and trims; any thread may ask. Every method raises `StoreUnavailableError`
    while the medium refuses; nothing of a refused `save` is kept.
    """

    def load(self) -> tuple[dict[bytes, bytes], list[bytes]]:
        """Return the states of all streams, and the receipts, oldest first."""
        ...

    def save(self, telemetry: Telemetry) -> None:
        """Add what one commit adds, whole or not at all.

        Counts add up; latencies as `model.histogram.merge` does. Of the traces of a deployment,
        minute and reason the slowest `TRACES_KEPT` stay, or the newest of those that failed; of
        its excerpts the most severe `EXCERPTS_KEPT`, of these the earliest.
        """
        ...

    def counts(self, query: TelemetryQuery, limit: int) -> list[tuple[CountKey, Counted]]:
        """Return counts by bucket and place, from the earliest, with at most `limit` rows."""
        ...

    def gauges(self, query: TelemetryQuery, limit: int) -> list[tuple[GaugeKey, Gauged]]:
        """Return gauges, ordered and bounded as counts are."""
        ...

    def marked(
        self, query: TelemetryQuery, step_s: int, limit: int
    ) -> list[tuple[MarkedKey, Marked]]:
        """Return how many spans were marked, in buckets of `step_s`; bounded as counts are.

        Deployment and instance choose nothing here.
        """
        ...

    def measured(self, query: TelemetryQuery) -> list[Measured]:
        """Return which instances count their requests by metrics, whenever they did."""
        ...

    def traces(self, query: TelemetryQuery, limit: int) -> list[TraceNote]:
        """Return traces, newest minute first, failing before slow, slowest first."""
        ...

    def excerpts(self, query: TelemetryQuery, limit: int) -> list[Excerpt]:
        """Return excerpts, newest minute first, most severe first."""
        ...

    def trim(self, before_s: int) -> None:
        """Forget everything before a time."""
        ...

    def oldest_s(self) -> int | None:
        """Return the beginning of the earliest thing kept."""
        ...

    def size_bytes(self) -> int:
        """Return how much of the medium is in use."""
        ...

    def close(self) -> None:
        """Release every handle; idempotent."""
        ...
