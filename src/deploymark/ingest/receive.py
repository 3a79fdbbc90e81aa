"""From an envelope to an acknowledged entry, as numbered steps.

1. Parse the envelope. 2. Decode and check what it says. 3. Derive the ids it is filed under.
4. Put what the server knows beside it: the leaf. 5. Verify its signatures. 6. Hand it to the
sequencer, where validity of the key at its index is decided (`ingest.authority`).

Step 5 runs on several threads, because it is most of the work and holds no lock.
"""

import hashlib
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from msgspec import Struct

from deploymark.crypto.dsse import signed_payload
from deploymark.crypto.keyring import KeyRing, SignatureCheck
from deploymark.crypto.scope import said_by
from deploymark.errors import BrokenError, DeploymarkError, MarkerError, UnavailableError
from deploymark.ingest.authority import Claim
from deploymark.log.sequencer import Candidate, Outcome, Sequencer
from deploymark.log.tree import leaf_hash
from deploymark.model.envelope import Envelope, decode_envelope
from deploymark.model.filing import Filing, file_entry
from deploymark.model.instants import format_instant
from deploymark.model.leaf import Leaf, encode_leaf
from deploymark.model.vocabulary import KEY, Assurance
from deploymark.ports import SALT_BYTES, Blob, Clock, LogReader

LOCAL = "local"
"""The principal of someone who writes to the data directory directly."""

Parsed = Envelope | DeploymarkError
"""An envelope, or the error that says why it is none."""

Received = tuple[int, str]
"""One instant in milliseconds and as text."""

_ALONE = 4


class Receiver:
    """Admits envelopes into one log.

    Args:
        sequencer: The log's writer.
        reader: The log, to look for content that entries name.
        ring: The keys of the log.
        clock: Tells when an envelope was received.
        threads: How many signatures are verified at once.
    """

    def __init__(
        self,
        sequencer: Sequencer,
        reader: LogReader,
        ring: KeyRing,
        clock: Clock,
        threads: int = 2,
    ) -> None:
        self._sequencer = sequencer
        self._reader = reader
        self._ring = ring
        self._clock = clock
        self._threads = threads
        self._turn = threading.Lock()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="verify")

    def close(self) -> None:
        """Stop the verifying threads; the sequencer is closed by its owner."""
        self._pool.shutdown()

    def receive(
        self,
        envelopes: Sequence[bytes | Envelope],
        principal: str = LOCAL,
    ) -> list[Outcome]:
        """Admit a batch and wait until all of it is durable.

        Args:
            envelopes: DSSE envelopes, as JSON or parsed. A key entry among them counts for those
                after it; the batch is then committed in as many pieces.
            principal: Who handed them in, for the leaf.

        Returns:
            One outcome per envelope, in order: an acknowledgement, or the error that refused it.

        Raises:
            UnavailableError: The store refused; nothing of the batch, or of the piece in
                question, is acknowledged.
            BrokenError: The log does not add up; nothing is written any more.
        """
        parsed = [_parse(envelope) for envelope in envelopes]
        outcomes: list[Outcome] = []
        for run in _runs(parsed):
            outcomes += self._receive_run(run, principal)
        return outcomes

    def keep(self, envelope: bytes | Envelope, blob: Blob, principal: str = LOCAL) -> Outcome:
        """Admit one entry together with the content that it names by digest.

        Raises:
            UnavailableError, BrokenError: As `receive`.
        """
        return self._receive_run([_parse(envelope)], principal, blob)[0]

    def _receive_run(
        self, run: Sequence[Parsed], principal: str, blob: Blob | None = None
    ) -> list[Outcome]:
        now_ms = self._clock.now_ms()
        received_at = (now_ms, format_instant(now_ms))
        # One batch at a time is read, then verified: reading holds the interpreter's lock and
        # verifying does not, so mixing the two of several batches makes both wait. Meanwhile the
        # writer commits the batch before.
        with self._turn:
            read = [self._read_one(envelope, principal, received_at, blob) for envelope in run]
            verified = self._verify(read)
        admitted = [item for item in verified if isinstance(item, Candidate)]
        if not admitted:
            return [item for item in verified if isinstance(item, DeploymarkError)]
        decided = iter(self._sequencer.submit(admitted).result())
        return [next(decided) if isinstance(item, Candidate) else item for item in verified]

    def _read_one(
        self, envelope: Parsed, principal: str, received_at: Received, blob: Blob | None
    ) -> "_Read | DeploymarkError":
        if isinstance(envelope, DeploymarkError):
            return envelope
        try:
            return self._read(envelope, principal, received_at, blob)
        except (UnavailableError, BrokenError):
            raise
        except DeploymarkError as error:
            return error

    def _read(
        self, envelope: Envelope, principal: str, received_at: Received, blob: Blob | None
    ) -> "_Read":
        """Run steps 2 to 4 for one envelope."""
        payload = signed_payload(envelope)
        filing = file_entry(envelope.payloadType, payload)
        detail = filing.ids.get("detail", "")
        if blob is not None or detail:
            self._check_content(filing, blob)
        leaf = Leaf(
            assurance=Assurance.SIGNED,
            dsse=envelope,
            ids=filing.ids,
            occurrence=0 if filing.fields is None else 1,
            principal=principal,
            received_at=received_at[1],
        )
        body = encode_leaf(leaf)
        is_key = envelope.payloadType == KEY
        candidate = Candidate(
            leaf=body,
            leaf_hash=leaf_hash(body),
            dedupe=leaf.dedupe,
            key_id=leaf.key_id,
            received_at_ms=received_at[0],
            blobs=() if blob is None else (blob,),
            erasures=(_digest_bytes(detail),) if filing.erases else (),
            alone=is_key,
            claim=Claim(
                said_by(envelope.payloadType, filing.fields),
                key_entry=leaf if is_key else None,
                signed_along=leaf if len(envelope.signatures) > 1 else None,
            ),
        )
        # A key entry may be signed by the very key it registers; the ring judges it as a whole.
        return _Read(candidate, [] if is_key else self._ring.plan(leaf, payload))

    def _verify(
        self, read: Sequence["_Read | DeploymarkError"]
    ) -> list[Candidate | DeploymarkError]:
        """Run step 5 on all threads; a few signatures are not worth waking them."""
        if len(read) <= _ALONE:
            return _verify_all(read)
        size = -(-len(read) // self._threads)
        parts = [read[i : i + size] for i in range(0, len(read), size)]
        return [item for part in self._pool.map(_verify_all, parts) for item in part]

    def _check_content(self, filing: Filing, blob: Blob | None) -> None:
        """Refuse an entry whose content is not there, so that an audit can demand it."""
        named = filing.ids.get("detail", "")
        if blob is None:
            self._reader.blob(_digest_bytes(named))
            return
        salt, content = blob.salt or b"", blob.content or b""
        digest = f"sha256:{hashlib.sha256(salt + content).hexdigest()}"
        if not named == digest == f"sha256:{blob.digest.hex()}":
            raise MarkerError(
                f"The entry names {named or 'no content'}, the content handed in with it is "
                f"{digest}.",
                field="/details_digest",
            )
        # A fixed length: otherwise a byte could move between salt and content unnoticed.
        if len(salt) != (SALT_BYTES if filing.erasable else 0):
            raise MarkerError(
                f"Erasable content has a salt of {SALT_BYTES} bytes, and evidence has none; here "
                f"are {len(salt)}."
            )
        if filing.size not in (None, len(content)):
            raise MarkerError(f"The content has {len(content)} bytes, not {filing.size}.")


class _Read(Struct, frozen=True):
    """An envelope after step 4: what it will be, and what must be verified first."""

    candidate: Candidate
    checks: list[SignatureCheck]


def _parse(envelope: bytes | Envelope) -> Parsed:
    """Run step 1."""
    if not isinstance(envelope, bytes):
        return envelope
    try:
        return decode_envelope(envelope)
    except DeploymarkError as error:
        return error


def _verify_all(read: Sequence[_Read | DeploymarkError]) -> list[Candidate | DeploymarkError]:
    results: list[Candidate | DeploymarkError] = []
    for item in read:
        if isinstance(item, DeploymarkError):
            results.append(item)
            continue
        try:
            for check in item.checks:
                check.verify()
        except DeploymarkError as error:
            results.append(error)
        else:
            results.append(item.candidate)
    return results


def _digest_bytes(digest: str) -> bytes:
    return bytes.fromhex(digest.removeprefix("sha256:"))


def _runs(parsed: Sequence[Parsed]) -> list[list[Parsed]]:
    """Cut at key entries, which commit alone and count for those after them."""
    runs: list[list[Parsed]] = []
    previous_is_key = True
    for item in parsed:
        is_key = isinstance(item, Envelope) and item.payloadType == KEY
        if is_key or previous_is_key:
            runs.append([])
        runs[-1].append(item)
        previous_is_key = is_key
    return runs
