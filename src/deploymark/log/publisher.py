"""Publishes checkpoints: signs them in full, remembers them twice, has them witnessed.

Every commit carries an Ed25519 head (the provisional receipt); a *published* checkpoint adds the
log's ML-DSA-44 signature and the cosignatures of witnesses, at most one a second. The order is
fixed: guard, store, witnesses. So nothing is shown that a restart could fail to notice missing.
"""

from collections.abc import Sequence
from dataclasses import replace

from deploymark.crypto.note import SignatureLine, VerifierKey, parse_note
from deploymark.errors import (
    DeploymarkError,
    NoteError,
    NotFoundError,
    RolledBackError,
    SignatureError,
    WitnessBehindError,
    WitnessConfigurationError,
    WitnessUnavailableError,
)
from deploymark.log.reader import LogView
from deploymark.ports import (
    Clock,
    LogStore,
    Meter,
    NoteSigner,
    PublishedCheckpoint,
    RollbackGuard,
    Witness,
)

DAY_SECONDS = 86_400
HOUR_SECONDS = 3_600
_ATTEMPTS = 3


class Publisher:
    """Turns the head into a published checkpoint.

    Args:
        store: The log.
        signer: The log's ML-DSA-44 key; the Ed25519 line is in the head already.
        guard: The second memory of what was published.
        witnesses: Who is asked to cosign; each may be away.
        clock: Time of the ML-DSA-44 signature.
        meter: Counts what witnesses answered.
    """

    def __init__(
        self,
        store: LogStore,
        signer: NoteSigner,
        guard: RollbackGuard,
        witnesses: Sequence[Witness],
        clock: Clock,
        meter: Meter,
    ) -> None:
        self._store = store
        self._view = LogView(store)
        self._signer = signer
        self._guard = guard
        self._witnesses = witnesses
        self._clock = clock
        self._meter = meter
        self._witnessed: dict[str, int] = {}

    def publish(self) -> PublishedCheckpoint:
        """Publish the head, unless it is published already, and ask missing witnesses.

        Returns:
            The newest published checkpoint with the cosignatures it has by now.

        Raises:
            RolledBackError: A witness has seen more of this log than is here.
            WitnessRefusedError: A witness has seen another log under this name.
            StoreUnavailableError: Guard or store could not be written.
        """
        head = self._store.head()
        newest = self._newest()
        if newest is None or newest.size != head.size:
            seconds = self._clock.now_ms() // 1000
            text = parse_note(head.note).text
            checkpoint = PublishedCheckpoint(
                size=head.size,
                previous_size=newest.size if newest else 0,
                published_at_s=seconds,
                note=head.note + self._signer.sign_note(text, now_seconds=seconds),
            )
            # If we stop after the guard, the next start finds the guard's tree inside the log,
            # because the head was committed before; the checkpoint is published again.
            self._guard.write(head.origin, head.size, head.root)
            self._store.publish(checkpoint)
            if (
                newest is not None
                and newest.published_at_s // HOUR_SECONDS != seconds // HOUR_SECONDS
            ):
                self.thin()  # once an hour is often enough
            newest = checkpoint
        return self._ask_witnesses(newest)

    def _newest(self) -> PublishedCheckpoint | None:
        try:
            newest = self._store.checkpoint(self._store.head().published_size)
        except NotFoundError:
            return None
        return newest

    def _ask_witnesses(self, checkpoint: PublishedCheckpoint) -> PublishedCheckpoint:
        lines = dict(checkpoint.cosignatures)
        for witness in self._witnesses:
            if witness.vkey in lines:
                continue
            try:
                line = self._ask(witness, checkpoint)
            except (
                WitnessUnavailableError,
                WitnessBehindError,
                WitnessConfigurationError,
            ) as error:
                self._meter.count("deploymark_witness_answers_total", code=error.code)
                continue
            except DeploymarkError as error:
                self._meter.count("deploymark_witness_answers_total", code=error.code)
                raise
            self._meter.count("deploymark_witness_answers_total", code="cosigned")
            self._store.cosign(checkpoint.size, witness.vkey, line)
            lines[witness.vkey] = line
        return replace(checkpoint, cosignatures=lines)

    def _ask(self, witness: Witness, checkpoint: PublishedCheckpoint) -> str:
        """Return the one cosignature line of a witness, asking again from where it stands."""
        old = self._witnessed.get(witness.vkey, 0)
        for _ in range(_ATTEMPTS):
            proof = self._view.consistency(old, checkpoint.size)
            try:
                answer = witness.add_checkpoint(old, proof, checkpoint.note)
            except WitnessBehindError as error:
                if error.size > self._store.head().size:
                    raise RolledBackError(
                        f"The witness {witness.vkey.partition('+')[0]} has cosigned "
                        f"{error.size} entries of this log; here are only "
                        f"{self._store.head().size}."
                    ) from error
                if error.size > checkpoint.size:
                    raise
                old = error.size
                continue
            self._witnessed[witness.vkey] = checkpoint.size
            return pick_line(checkpoint.note, answer, VerifierKey.parse(witness.vkey))
        raise WitnessUnavailableError("The witness kept naming other sizes.")

    def thin(self) -> None:
        """Keep every checkpoint of the last day and one an hour of those before."""
        border = self._clock.now_ms() // 1000 - DAY_SECONDS
        kept_hours: set[int] = set()
        drop: list[int] = []
        for checkpoint in self._store.checkpoints():
            hour = checkpoint.published_at_s // HOUR_SECONDS
            if checkpoint.published_at_s >= border:
                break
            if hour in kept_hours:
                drop.append(checkpoint.size)
            kept_hours.add(hour)
        if drop:
            self._store.thin(drop)


def pick_line(note: str, answer: str, key: VerifierKey) -> str:
    """Return the newest line of `key` from a witness's answer; lines of others are ignored.

    Raises:
        WitnessUnavailableError: There is no valid, timed line of that key in it.
    """
    text = parse_note(note).text
    try:
        lines = parse_answer(text, answer)
        own = [line for line in lines if (line.name, line.key_id) == (key.name, key.key_id)]
        timed = {key.verify(text, line): line for line in own}
    except (NoteError, SignatureError) as error:
        raise WitnessUnavailableError(
            f"The witness {key.name} answered without a valid cosignature: {error.message}"
        ) from error
    newest = max(timed, default=0)
    if newest == 0:
        raise WitnessUnavailableError(
            f"The witness {key.name} gave no line that states a time, so none speaks of the newest "
            "tree."
        )
    return str(timed[newest])


def parse_answer(text: str, answer: str) -> tuple[SignatureLine, ...]:
    """Return the signature lines of a witness's answer; NoteError when it is anything else."""
    signed = parse_note(f"{text}\n{answer}")
    if signed.text != text:
        raise NoteError("it is more than signature lines.")
    return signed.signatures
