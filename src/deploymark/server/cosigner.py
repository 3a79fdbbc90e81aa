"""The acting half of a witness: decide, sign, remember, answer.

Decisions are made in `deploymark.log.witness`; HTTP is spoken in `deploymark.server.witness`. The
order is fixed: a cosignature is made, then remembered by compare-and-swap, and only then shown.
So two requests that race for one state never both get an answer of 200.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploymark.crypto.note import SignatureType, VerifierKey
from deploymark.errors import NoteError, StoreUnavailableError, UsageError, WitnessUnavailableError
from deploymark.log.witness import AddCheckpoint, Decision, Status, decide, parse_request
from deploymark.ports import Clock, NoteSigner, WitnessState

TEXT = "text/plain; charset=utf-8"
TREE_SIZE = "text/x.tlog.size"

_ATTEMPTS = 3
_COSIGNER_TYPES = (SignatureType.COSIGNATURE_V1, SignatureType.ML_DSA_44)
_MAX_SENTENCE = 300

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer without the HTTP."""

    status: int
    body: str
    media_type: str = TEXT


class Cosigner:
    """Answers add-checkpoint requests. Safe on any thread, and beside other processes.

    Args:
        logs: The keys that are trusted, by origin.
        signers: The witness's keys: Ed25519 cosignatures, ML-DSA-44, or both.
        state: What the witness remembers.
        clock: The time that cosignatures state.

    Raises:
        UsageError: There is no key, one makes no cosignatures, or one key serves twice.
    """

    def __init__(
        self,
        logs: Mapping[str, Sequence[VerifierKey]],
        signers: Sequence[NoteSigner],
        state: WitnessState,
        clock: Clock,
    ) -> None:
        _check_keys(logs, signers)
        self.origins = tuple(logs)
        self.vkeys = tuple(signer.vkey for signer in signers)
        self._logs = logs
        self._signers = signers
        self._state = state
        self._clock = clock

    def answer(self, body: bytes) -> Answer:
        """Answer one request; blocks for signatures and the disk.

        Raises:
            UnavailableError: State, signer or clock are not usable now; nothing was said.
            BrokenError: The state is damaged.
        """
        try:
            request = parse_request(body)
        except NoteError as error:
            return Answer(Status.MALFORMED, _sentence(error.message))
        origin = request.checkpoint.origin
        for _ in range(_ATTEMPTS):
            recorded = self._state.read(origin) if origin in self._logs else None
            decision = decide(request, self._logs, recorded)
            if decision.record is None:
                return _refusal(request, decision)
            try:
                lines = self._sign(request.note.text)
            except NoteError as error:
                return Answer(Status.MALFORMED, _sentence(error.message))
            # If we stop here, nothing was remembered and nothing said: the log asks again.
            if self._state.compare_and_swap(origin, recorded, decision.record):
                # If we stop here, the log asks again from the old size, is told the new one, and
                # then gets the same checkpoint cosigned with an empty proof.
                return Answer(Status.COSIGNED, lines)
            # Another request was faster. What we signed is dropped; its size decides anew.
        raise StoreUnavailableError(f"The witness state of {origin!r} never stood still.")

    def ready(self) -> None:
        """Find out whether the state can be read; raises what `answer` would."""
        for origin in self.origins[:1]:
            self._state.read(origin)

    def _sign(self, text: str) -> str:
        """Return the lines of all keys that can cover this text; NoteError when none can.

        Our ML-DSA-44 keys cover neither extension lines nor origins beyond 255 bytes. They leave
        out their line then, and an Ed25519 key still signs.
        """
        now_seconds = self._clock.now_ms() // 1000
        if now_seconds <= 0:
            raise WitnessUnavailableError("The clock of the witness is not set.")
        lines: list[str] = []
        refusals: list[NoteError] = []
        for signer in self._signers:
            try:
                lines.append(signer.sign_note(text, now_seconds=now_seconds))
            except NoteError as error:
                refusals.append(error)
        if not lines:
            raise refusals[0]
        return "".join(lines)


def _refusal(request: AddCheckpoint, decision: Decision) -> Answer:
    if decision.status is Status.ELSEWHERE:
        return Answer(decision.status, decision.body, TREE_SIZE)
    if decision.status is Status.INCONSISTENT:
        # The log's own signature stands under it: kept, because it may prove misbehaviour.
        _log.warning(
            "a signed checkpoint is not consistent with what was witnessed",
            extra={
                "origin": request.checkpoint.origin,
                "old_size": request.old_size,
                "note": request.note_text,
            },
        )
    return Answer(decision.status, _sentence(decision.body))


def _sentence(message: str) -> str:
    """Return a message as one line of bounded length; it may quote what was sent."""
    line = " ".join(message.split())
    return (line if len(line) <= _MAX_SENTENCE else f"{line[:_MAX_SENTENCE]}…") + "\n"


def _check_keys(logs: Mapping[str, Sequence[VerifierKey]], signers: Sequence[NoteSigner]) -> None:
    keys = [VerifierKey.parse(signer.vkey) for signer in signers]
    if not keys:
        raise UsageError("A witness needs a key to cosign with.")
    if any(key.algorithm not in _COSIGNER_TYPES for key in keys):
        raise UsageError(
            "A witness key makes timestamped cosignatures, a plain Ed25519 key does not.",
            hint="Use the key as an Ed25519 cosigner (type 0x04) or an ML-DSA-44 key (0x06).",
        )
    publics = [key.public for key in keys]
    publics_of_logs = {key.public for trusted in logs.values() for key in trusted}
    # An Ed25519 cosignature does not name its cosigner, so one key must not speak for two.
    if len(set(publics)) != len(publics) or publics_of_logs.intersection(publics):
        raise UsageError("Each key of a witness has one name and is no key of a log.")
