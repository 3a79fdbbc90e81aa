"""From an envelope to an acknowledged entry, as numbered steps.

1. Parse the envelope. 2. Decode and check what it says. 3. Derive the ids it is filed under.
4. Put what the server knows beside it: the leaf. 5. Verify its signatures. 6. Hand it to the
sequencer, where validity of the key at its index is decided (`ingest.authority`).

Steps 1 to 5 run on threads, because verifying is most of the work and holds no lock.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from deploymark.crypto.keyring import KeyRing
from deploymark.errors import DeploymarkError, MarkerError, TooLargeError
from deploymark.ingest.authority import MARKER_TYPES, Claim
from deploymark.log.sequencer import Candidate, Outcome, Sequencer
from deploymark.log.tiles import MAX_ENTRY_BYTES
from deploymark.log.tree import leaf_hash
from deploymark.model.entries import DetailEntry, Verdict, decode_entry
from deploymark.model.envelope import Envelope, decode_envelope
from deploymark.model.ids import entry_id, ids_of_marker
from deploymark.model.instants import format_instant
from deploymark.model.leaf import Leaf, encode_leaf
from deploymark.model.marker import decode_marker
from deploymark.model.vocabulary import KEY, Assurance
from deploymark.ports import Blob, Clock, LogReader

LOCAL = "local"
"""The principal of someone who writes to the data directory directly."""

_CHUNK = 64


class Receiver:
    """Admits envelopes into one log.

    Args:
        sequencer: The log's writer.
        reader: The log, to look for content that entries name.
        ring: The keys of the log.
        clock: Tells when an envelope was received.
        threads: How many envelopes are verified at once.
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
            envelopes: DSSE envelopes, as JSON or parsed.
            principal: Who handed them in, for the leaf.

        Returns:
            One outcome per envelope, in order: an acknowledgement, or the error that refused it.

        Raises:
            UnavailableError: The store refused; nothing of the batch is acknowledged.
            BrokenError: The log does not add up; nothing is written any more.
        """
        chunks = [envelopes[i : i + _CHUNK] for i in range(0, len(envelopes), _CHUNK)]
        jobs = [self._pool.submit(self._prepare_all, chunk, principal) for chunk in chunks]
        prepared = [result for job in jobs for result in job.result()]
        return self._sequence(prepared)

    def keep(self, envelope: bytes | Envelope, blob: Blob, principal: str = LOCAL) -> Outcome:
        """Admit one entry together with the content that it names by digest.

        Raises:
            RefusedError: The entry is refused, or it does not name this content.
            UnavailableError, BrokenError: As `receive`.
        """
        candidate = self.prepare(envelope, principal, self._clock.now_ms(), blob)
        return self._sequence([candidate])[0]

    def _prepare_all(
        self, envelopes: Sequence[bytes | Envelope], principal: str
    ) -> list[Candidate | DeploymarkError]:
        received_at_ms = self._clock.now_ms()
        results: list[Candidate | DeploymarkError] = []
        for envelope in envelopes:
            try:
                results.append(self.prepare(envelope, principal, received_at_ms))
            except DeploymarkError as error:
                results.append(error)
        return results

    def prepare(
        self,
        envelope: bytes | Envelope,
        principal: str,
        received_at_ms: int,
        blob: Blob | None = None,
    ) -> Candidate:
        """Run steps 1 to 5 for one envelope.

        Raises:
            EnvelopeError, MarkerError, TooLargeError, SignatureError, KeyUntrustedError: As the
                step that refused it.
            NotFoundError: It names content that is not stored.
        """
        parsed = decode_envelope(envelope) if isinstance(envelope, bytes) else envelope
        fields, ids, erased = _read(parsed)
        if blob is not None or "detail" in ids:
            self._check_content(ids.get("detail", ""), blob)
        leaf = Leaf(
            assurance=Assurance.SIGNED,
            dsse=parsed,
            ids=ids,
            occurrence=0 if fields is None else 1,
            principal=principal,
            received_at=format_instant(received_at_ms),
        )
        body = encode_leaf(leaf)
        if len(body) > MAX_ENTRY_BYTES:
            raise TooLargeError(
                f"The entry has {len(body)} bytes in the log; the limit is {MAX_ENTRY_BYTES}.",
                field="/payload",
            )
        is_key = parsed.payloadType == KEY
        # A key entry may be signed by the very key it registers; the ring judges it as a whole.
        for check in () if is_key else self._ring.plan(leaf):
            check.verify()
        return Candidate(
            leaf=body,
            leaf_hash=leaf_hash(body),
            dedupe=leaf.dedupe,
            key_id=leaf.key_id,
            received_at_ms=received_at_ms,
            blobs=() if blob is None else (blob,),
            erasures=erased,
            alone=is_key,
            claim=Claim(leaf, fields),
        )

    def _check_content(self, named: str, blob: Blob | None) -> None:
        """Refuse an entry whose content is not there, so that an audit can demand it."""
        if blob is None:
            self._reader.blob(bytes.fromhex(named.removeprefix("sha256:")))
            return
        whole = (blob.salt or b"") + (blob.content or b"")
        if hashlib.sha256(whole).digest() != blob.digest or named != f"sha256:{blob.digest.hex()}":
            raise MarkerError(
                f"The entry names {named or 'no content'}, the content handed in with it is "
                f"sha256:{blob.digest.hex()}.",
                field="/details_digest",
            )

    def _sequence(self, prepared: Sequence[Candidate | DeploymarkError]) -> list[Outcome]:
        """Submit the admitted ones in order, key entries by themselves, and wait."""
        admitted = [item for item in prepared if isinstance(item, Candidate)]
        futures = [self._sequencer.submit(run) for run in _runs(admitted)]
        outcomes = iter([outcome for future in futures for outcome in future.result()])
        return [next(outcomes) if isinstance(item, Candidate) else item for item in prepared]


def _read(
    envelope: Envelope,
) -> tuple[dict[str, object] | None, dict[str, str], tuple[bytes, ...]]:
    """Decode what an envelope says: the flat marker if it is one, its ids, what it erases."""
    payload = envelope.payload_bytes()
    if envelope.payloadType in MARKER_TYPES:
        fields = decode_marker(payload, envelope.payloadType).fields()
        deployment, marker = ids_of_marker(fields)
        ids = {"deployment_id": deployment, "marker_id": marker}
        if digest := fields.get("details_digest"):
            ids["detail"] = digest
        return fields, dict(sorted(ids.items())), ()
    entry = decode_entry(payload, envelope.payloadType)
    ids = {"entry_id": entry_id(envelope.payloadType, payload)}
    erased: tuple[bytes, ...] = ()
    if isinstance(entry, DetailEntry):
        ids["detail"] = entry.digest
        if entry.action == "erased":
            erased = (bytes.fromhex(entry.digest.removeprefix("sha256:")),)
    elif isinstance(entry, Verdict):
        ids["detail"] = entry.inputs_digest
    return None, dict(sorted(ids.items())), erased


def _runs(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Cut at key entries, which commit alone."""
    runs: list[list[Candidate]] = []
    for candidate in candidates:
        if candidate.alone or not runs or runs[-1][-1].alone:
            runs.append([])
        runs[-1].append(candidate)
    return runs
