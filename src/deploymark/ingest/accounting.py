"""Counts what was answered: numbers into the emitters' ledger, refusals into findings.

Told of every answer after it was given, so it slows nobody down. What is accepted the ledger
reads from the log itself; here it hears of repetitions and refusals, which the log does not hold.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from deploymark.errors import ConflictError, DeploymarkError, RefusedError
from deploymark.ingest.account import Fate, Numbered
from deploymark.ingest.callers import Caller
from deploymark.ingest.intake import Admitted, Answer
from deploymark.ingest.ledger import Ledger
from deploymark.ingest.privacy import PrivacyRules, check_privacy
from deploymark.ingest.refusals import Attempt, Refusals
from deploymark.ingest.submission import Submission, numbers_of
from deploymark.model.leaf import decode_leaf
from deploymark.ports import Clock, Meter


class Accounting:
    """Keeps the books of the front door; safe on any thread.

    Args:
        ledger: Which numbers of which emitter have come.
        refusals: What was refused, summed up.
        clock: Tells when.
        meter: Counts outcomes.
    """

    def __init__(self, ledger: Ledger, refusals: Refusals, clock: Clock, meter: Meter) -> None:
        self._ledger = ledger
        self._refusals = refusals
        self._clock = clock
        self._meter = meter

    def answered(self, submissions: Sequence[Submission], answers: Sequence[Answer]) -> None:
        """Take note of answers; see `intake.Observer`."""
        now_ms = self._clock.now_ms()
        accepted = 0
        for submission, answer in zip(submissions, answers, strict=True):
            if isinstance(answer, Admitted) and not answer.duplicate:
                accepted += 1
                if submission.sent_at_ms is not None:
                    self._measure_skew(submission, now_ms)
            else:
                self._take_note(submission, answer, now_ms)
        if accepted:
            self._meter.count("deploymark_entries_total", accepted, outcome="accepted")

    def turned_away(self, error: DeploymarkError, caller: Caller) -> None:
        """Take note of a request that was refused before anything in it was looked at."""
        self._refusals.refused(error, caller, self._clock.now_ms())

    def _measure_skew(self, submission: Submission, now_ms: int) -> None:
        number = Numbered.of(numbers_of(submission.body))
        if number is not None:
            principal, sent_at_ms = submission.caller.principal, submission.sent_at_ms
            self._ledger.saw(number, principal, Fate.ACCEPTED, now_ms, sent_at_ms=sent_at_ms)

    def _take_note(self, submission: Submission, answer: Answer, now_ms: int) -> None:
        fields = numbers_of(submission.body)
        number, caller = _keepable(Numbered.of(fields)), submission.caller
        if isinstance(answer, Admitted):
            self._meter.count("deploymark_entries_total", outcome="duplicate")
            if number is not None:
                self._ledger.saw(number, caller.principal, Fate.DUPLICATE, now_ms)
        elif isinstance(answer, RefusedError):
            self._meter.count("deploymark_entries_total", outcome="refused")
            if number is not None:
                self._ledger.saw(number, caller.principal, Fate.REFUSED, now_ms)
            self._refusals.refused(answer, caller, now_ms, _attempt(answer, fields))


def _attempt(error: RefusedError, fields: Mapping[str, Any]) -> Attempt:
    digests, index = None, None
    if isinstance(error, ConflictError) and error.leaves is not None:
        first, second = (_content(leaf) for leaf in error.leaves)
        digests, index = (first, second), error.index
    return Attempt(
        _sayable(fields.get("service")),
        _sayable(fields.get("environment")),
        _sayable(fields.get("deployment_id")),
        digests,
        index,
    )


def _keepable(number: Numbered | None) -> Numbered | None:
    """Return a number under names that may be kept: a secret in a name is kept as its hash."""
    if number is None:
        return None
    return Numbered(_or_hash(number.emitter), _or_hash(number.epoch), number.sequence)


def _or_hash(name: str) -> str:
    return name if _sayable(name) is not None else f"sha256:{sha256(name.encode()).hexdigest()}"


def _sayable(text: str | None) -> str | None:
    """Return what was sent, None where it may not stand in a finding: the log would refuse it."""
    try:
        check_privacy({"text": text}, PrivacyRules())
    except RefusedError:
        return None
    return text


def _content(leaf: bytes) -> str:
    return f"sha256:{sha256(decode_leaf(leaf).dsse.payload_bytes()).hexdigest()}"
