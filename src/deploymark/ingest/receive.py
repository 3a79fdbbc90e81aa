"""From what a caller hands in to an acknowledged entry, as numbered steps.

1. Open it: its size, its form, JSON. 2. Whose word is it: a producer's signature, an authenticated
caller's, or nobody's. 3. Decode and check what it says. 4. May this caller say it?
5. Refuse secrets and personal data. 6. Derive the ids it is filed under. 7. Verify its signatures,
or sign for the caller. 8. Put what the server knows beside it: the leaf. 9. Hand it to the
sequencer, where validity of the key at its index, its occurrence, and whether it is a duplicate
are decided (`ingest.authority`).

Step 7 runs on several threads, because it is most of the work and holds no lock.
"""

import hashlib
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from msgspec import Struct

from deploymark.crypto.dsse import sign_envelope, signed_payload
from deploymark.crypto.keyring import KeyRing, SignatureCheck
from deploymark.crypto.scope import said_by
from deploymark.errors import (
    BrokenError,
    DeploymarkError,
    KeyUntrustedError,
    MarkerError,
    NotFoundError,
    UnavailableError,
)
from deploymark.ingest.admission import AdmissionRules, check_authority
from deploymark.ingest.authority import Claim
from deploymark.ingest.callers import LOCAL, LOCAL_PRINCIPAL, Caller
from deploymark.ingest.correcting import CORRECTIONS, check_correction
from deploymark.ingest.sighting import sighting_of
from deploymark.ingest.submission import Opened, Submission, open_submission
from deploymark.log.sequencer import Candidate, Outcome, Sequencer
from deploymark.log.tree import leaf_hash
from deploymark.model.envelope import Envelope
from deploymark.model.filing import Filing, file_entry, file_marker
from deploymark.model.instants import format_instant
from deploymark.model.leaf import Leaf, encode_leaf
from deploymark.model.vocabulary import IN_TOTO, KEY, Assurance
from deploymark.ports import SALT_BYTES, Blob, Clock, EnvelopeSigner, LogReader

_ALONE: Final = 16


class Read(Struct, frozen=True, gc=False):
    """A submission after step 6: what it says, and what must be verified or signed.

    Attributes:
        opened: Its payload and, when a producer signed it, the envelope.
        payload: The signed bytes.
        filing: Its ids and fields.
        assurance: Who stands behind it.
        principal: Who handed it in.
        received_ms: When.
        blob: Content that is kept with it.
        checks: Signatures to verify.
    """

    opened: Opened
    payload: bytes
    filing: Filing
    assurance: Assurance
    principal: str
    received_ms: int
    blob: Blob | None = None
    checks: list[SignatureCheck] = []


class Started(Struct, frozen=True):
    """A batch that the writer has, but for what was refused before.

    Attributes:
        finished: For each submission what the writer got, or why it got nothing.
        decided: What the writer says; None when it got nothing.
        before: Outcomes of earlier pieces of the batch.
    """

    finished: Sequence[Candidate | DeploymarkError]
    decided: "Future[list[Outcome]] | None" = None
    before: list[Outcome] = []

    def outcomes(self) -> list[Outcome]:
        """Wait until all of it is durable and return one outcome per submission.

        Raises:
            UnavailableError, BrokenError: As `Receiver.receive_all`.
        """
        decided = iter(() if self.decided is None else self.decided.result())
        found = [next(decided) if isinstance(i, Candidate) else i for i in self.finished]
        return [*self.before, *found]


class Receiver:
    """Admits submissions into one log.

    Args:
        sequencer: The log's writer.
        reader: The log, to look for content that entries name.
        ring: The keys of the log.
        clock: Tells when something was received.
        gateway: Signs for authenticated callers; None where everything must come signed.
        rules: What is admitted at all.
        threads: How many signatures are verified at once.
    """

    def __init__(  # noqa: PLR0913 - one argument for each part that the steps need
        self,
        sequencer: Sequencer,
        reader: LogReader,
        ring: KeyRing,
        clock: Clock,
        *,
        gateway: EnvelopeSigner | None = None,
        rules: AdmissionRules | None = None,
        threads: int = 2,
    ) -> None:
        self._sequencer = sequencer
        self._reader = reader
        self._ring = ring
        self._clock = clock
        self._gateway = gateway
        self._rules = rules or AdmissionRules()
        self._threads = threads
        self._turn = threading.Lock()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="verify")

    def check_writing(self) -> None:
        """Raise what keeps the log from being written, if anything does; see `Sequencer.check`."""
        self._sequencer.check()

    def stop_writing(self, error: BrokenError) -> None:
        """Write nothing any more; see `Sequencer.stop_writing`."""
        self._sequencer.stop_writing(error)

    def close(self) -> None:
        """Stop the verifying threads; the sequencer is closed by its owner."""
        self._pool.shutdown()

    def receive(self, bodies: Sequence[bytes | Envelope], caller: Caller = LOCAL) -> list[Outcome]:
        """Admit a batch of one caller; as `receive_all`."""
        return self.receive_all([Submission(body, caller) for body in bodies])

    def receive_all(self, submissions: Sequence[Submission]) -> list[Outcome]:
        """Admit a batch and wait until all of it is durable.

        Args:
            submissions: In order. A key entry among them counts for those after it; the batch is
                then committed in as many pieces.

        Returns:
            One outcome per submission, in order: an acknowledgement, or the error that refused it.

        Raises:
            UnavailableError: The store refused; nothing of the batch, or of the piece in
                question, is acknowledged.
            BrokenError: The log does not add up; nothing is written any more.
        """
        return self.start(submissions).outcomes()

    def start(self, submissions: Sequence[Submission]) -> "Started":
        """Read and verify a batch and hand it to the writer, without waiting for the last commit.

        Raises:
            UnavailableError, BrokenError: As `receive_all`.
        """
        opened = [_open(submission) for submission in submissions]
        outcomes: list[Outcome] = []
        *before, last = _runs(opened) or [[]]
        start = 0
        for run in before:
            outcomes += self._start(run, submissions[start : start + len(run)]).outcomes()
            start += len(run)
        started = self._start(last, submissions[start:])
        return Started(started.finished, started.decided, outcomes)

    def keep(self, body: bytes | Envelope, blob: Blob, caller: Caller = LOCAL) -> Outcome:
        """Admit one entry together with the content that it names by digest.

        Raises:
            UnavailableError, BrokenError: As `receive_all`.
        """
        submission = Submission(body, caller)
        return self._start([_open(submission)], [submission], blob).outcomes()[0]

    def _start(
        self,
        run: Sequence[Opened | DeploymarkError],
        submissions: Sequence[Submission],
        blob: Blob | None = None,
    ) -> "Started":
        now_ms = self._clock.now_ms()
        # One batch at a time is read, then verified: reading holds the interpreter's lock and
        # verifying does not, so mixing the two of several batches makes both wait. Meanwhile the
        # writer commits the batch before.
        with self._turn:
            read = [
                self._read_one(opened, submission.caller, now_ms, blob)
                for opened, submission in zip(run, submissions, strict=True)
            ]
            finished = self._finish(read, format_instant(now_ms))
        admitted = [item for item in finished if isinstance(item, Candidate)]
        return Started(finished, self._sequencer.submit(admitted) if admitted else None)

    def _read_one(
        self, opened: Opened | DeploymarkError, caller: Caller, now_ms: int, blob: Blob | None
    ) -> Read | DeploymarkError:
        if isinstance(opened, DeploymarkError):
            return opened
        try:
            return self._read(opened, caller, now_ms, blob)
        except (UnavailableError, BrokenError):
            raise
        except DeploymarkError as error:
            return error

    def _read(self, opened: Opened, caller: Caller, now_ms: int, blob: Blob | None) -> Read:
        """Run steps 2 to 6."""
        envelope = opened.envelope
        payload = opened.payload if envelope is None else signed_payload(envelope)
        if opened.fields is None:
            filing = file_entry(opened.payload_type, payload)
        else:
            filing = file_marker(opened.fields)
        assurance = check_authority(self._rules, caller, filing.fields, signed=envelope is not None)
        if not caller.is_platform:
            in_statement = opened.payload_type == IN_TOTO and opened.fields is None
            self._rules.check_content(payload, filing.fields, in_statement=in_statement)
        if blob is not None or "detail" in filing.ids:
            self._check_detail(filing, blob)
        self._check_signer(envelope, filing, caller)
        checks: list[SignatureCheck] = []
        # The first key of a log signs its own registration; whatever comes later must carry the
        # signature of a known key before the ring looks at it.
        is_first_key = opened.payload_type == KEY and self._ring.applied_index is None
        if envelope is not None and not is_first_key:
            leaf = _leaf(filing, envelope, assurance, "", "")
            checks = self._ring.plan(leaf, payload)
            if opened.payload_type in CORRECTIONS:
                check_correction(self._reader, self._ring, caller, leaf, payload)
        return Read(opened, payload, filing, assurance, caller.principal, now_ms, blob, checks)

    def _check_signer(self, envelope: Envelope | None, filing: Filing, caller: Caller) -> None:
        """Refuse what nobody would sign, and what the platform signed for somebody else.

        The log is readable: a marker that the platform signed for a caller, handed in again, would
        otherwise come back as a producer's own word.
        """
        if self._gateway is None:
            if envelope is None:
                raise MarkerError(
                    "The marker is not signed, and nobody signs for callers here.",
                    hint="Sign it with a producer key, or send it to a server (`deploymark up`).",
                    field="/signatures",
                )
            return
        if envelope is None or filing.fields is None or caller.principal == LOCAL_PRINCIPAL:
            return
        if any(each.keyid == self._gateway.key_id for each in envelope.signatures):
            raise KeyUntrustedError(
                f"The key {self._gateway.key_id} is the platform's, which signs markers for "
                "callers; its signature is nobody's own word.",
                hint="Send the marker itself with a token, or sign it with a producer key.",
                field="/signatures",
            )

    def _finish(
        self, read: Sequence[Read | DeploymarkError], received_at: str
    ) -> list[Candidate | DeploymarkError]:
        """Run steps 7 and 8 on all threads; a few signatures are not worth waking them."""
        if len(read) <= _ALONE:
            return self._finish_all(read, received_at)
        size = -(-len(read) // self._threads)
        parts = [read[i : i + size] for i in range(0, len(read), size)]
        finished = self._pool.map(lambda part: self._finish_all(part, received_at), parts)
        return [item for part in finished for item in part]

    def _finish_all(
        self, read: Sequence[Read | DeploymarkError], received_at: str
    ) -> list[Candidate | DeploymarkError]:
        results: list[Candidate | DeploymarkError] = []
        for item in read:
            if isinstance(item, DeploymarkError):
                results.append(item)
                continue
            try:
                results.append(self._candidate(item, received_at))
            except DeploymarkError as error:
                results.append(error)
        return results

    def _candidate(self, read: Read, received_at: str) -> Candidate:
        for check in read.checks:
            check.verify()
        envelope = read.opened.envelope
        if envelope is None:
            assert self._gateway is not None  # noqa: S101 - step 6 refused it otherwise
            envelope = sign_envelope(read.opened.payload_type, read.payload, [self._gateway])
        filing = read.filing
        leaf = _leaf(filing, envelope, read.assurance, read.principal, received_at)
        body = encode_leaf(leaf)
        fields = filing.fields
        detail = filing.ids.get("detail", "")
        return Candidate(
            leaf=body,
            leaf_hash=leaf_hash(body),
            dedupe=leaf.dedupe,
            key_id=leaf.key_id,
            received_at_ms=read.received_ms,
            blobs=() if read.blob is None else (read.blob,),
            erasures=(_digest_bytes(detail),) if filing.erases else (),
            alone=envelope.payloadType == KEY,
            claim=Claim(
                said_by(envelope.payloadType, fields),
                leaf,
                None if fields is None else sighting_of(filing.ids, fields, read.received_ms),
            ),
        )

    def _check_detail(self, filing: Filing, blob: Blob | None) -> None:
        """Refuse an entry whose content is not there, so that an audit can demand it."""
        named = filing.ids.get("detail", "")
        if blob is None:
            try:
                self._reader.blob(_digest_bytes(named))
            except NotFoundError as error:
                if filing.fields is None:
                    raise
                raise MarkerError(
                    error.message,
                    hint="Send the content to POST /v1/details first; the answer has its digest.",
                    field="/details_digest",
                ) from error
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


def _leaf(
    filing: Filing, envelope: Envelope, assurance: Assurance, principal: str, received_at: str
) -> Leaf:
    # The first occurrence is right for most; the writer decides (`ingest.authority`).
    occurrence = 0 if filing.fields is None else 1
    return Leaf(assurance, envelope, filing.ids, occurrence, principal, received_at)


def _open(submission: Submission) -> Opened | DeploymarkError:
    """Run step 1."""
    try:
        return open_submission(submission.body)
    except DeploymarkError as error:
        return error


def _digest_bytes(digest: str) -> bytes:
    return bytes.fromhex(digest.removeprefix("sha256:"))


def _runs(opened: Sequence[Any]) -> list[list[Any]]:
    """Cut at key entries, which commit alone and count for those after them."""
    runs: list[list[Any]] = []
    previous_is_key = True
    for item in opened:
        is_key = isinstance(item, Opened) and item.payload_type == KEY
        if is_key or previous_is_key:
            runs.append([])
        runs[-1].append(item)
        previous_is_key = is_key
    return runs
