"""The queue before the receiver: what many callers hand in at once becomes one commit.

A caller queues and gets a future. One thread takes everything that waits, up to a bound, reads and
verifies it and hands it to the writer; for large groups another one answers, so that the next group
is verified while one is written. What each caller is answered (`Admitted`) is made here from what
the log acknowledged.
"""

import hashlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Queue
from typing import Final

from msgspec import Struct

from deploymark.crypto.dsse import sign_envelope
from deploymark.errors import DeploymarkError, LogBusyError, UnexpectedError
from deploymark.ingest.authority import marker_fields
from deploymark.ingest.callers import Caller
from deploymark.ingest.privacy import check_secrets
from deploymark.ingest.receive import Receiver, Started
from deploymark.ingest.submission import Submission, open_submission
from deploymark.log.sequencer import Acknowledgement, Outcome
from deploymark.model.canonical import encode
from deploymark.model.equality import ignored
from deploymark.model.filing import MARKER_TYPES, file_entry
from deploymark.model.instants import format_instant
from deploymark.model.leaf import decode_leaf, read_columns
from deploymark.model.vocabulary import DETAIL
from deploymark.ports import SALT_BYTES, Blob, Clock, EnvelopeSigner

MAX_GROUP: Final = 1_024
MAX_WAITING: Final = 32_768
SMALL_GROUP: Final = 64
"""A smaller group is committed before the next one is begun."""

_AHEAD: Final = 4
"""How many groups may be verified while the writer is at an earlier one."""

_log = logging.getLogger(__name__)


class Admitted(Struct, frozen=True, gc=False):
    """One entry that stands durably in the log.

    Attributes:
        index: Its position; the first one's for a duplicate.
        duplicate: It stood there already.
        ids: What it is filed under: `marker_id` and `deployment_id`, or `entry_id`.
        occurrence: Of the deployment, counted from 1; 0 for other entries.
        repeat: How often this very marker had come before by right.
        received_at: When the log admitted it.
        ignored: Descriptive fields of a duplicate that differ from the first and are not kept.
        note: A checkpoint that covers it, signed by the log.
        principal: Who is recorded as having handed it in.
    """

    index: int
    duplicate: bool
    ids: dict[str, str]
    occurrence: int
    repeat: int
    received_at: str
    ignored: tuple[str, ...]
    note: str
    principal: str


Answer = Admitted | DeploymarkError
Observer = Callable[[Sequence[Submission], Sequence[Answer]], None]
"""Told of every answer, on the intake's thread and after it was given; may not raise."""


class _Waiting(Struct):
    submissions: Sequence[Submission]
    future: "Future[list[Answer]]"


class _Begun(Struct):
    """A group that the writer has, or what kept it from getting there."""

    group: Sequence[_Waiting]
    submissions: Sequence[Submission]
    started: Started | Exception

    def answers(self) -> list[Answer]:
        if isinstance(self.started, Exception):
            raise self.started
        outcomes = self.started.outcomes()
        return [_answer(*each) for each in zip(self.submissions, outcomes, strict=True)]


class Intake:
    """Admits what callers hand in, many at once.

    Args:
        receiver: Runs the steps.
        signer: The platform's key, for entries that the platform itself says.
        clock: The time that those entries state.
        salt: Returns so many random bytes, for erasable content.
        observer: Told of every answer.
    """

    def __init__(
        self,
        receiver: Receiver,
        signer: EnvelopeSigner,
        clock: Clock,
        salt: Callable[[int], bytes],
        observer: Observer = lambda *_: None,
    ) -> None:
        self._receiver = receiver
        self._signer = signer
        self._clock = clock
        self._salt = salt
        self._observer = observer
        self._condition = threading.Condition()
        self._queue: deque[_Waiting] = deque()
        self._waiting = 0
        self._closing = False
        self._begun: Queue[_Begun | None] = Queue(_AHEAD)
        self._threads = [
            threading.Thread(target=run, name=name, daemon=True)
            for run, name in ((self._read, "intake-read"), (self._serve, "intake-answer"))
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, submissions: Sequence[Submission]) -> "Future[list[Answer]]":
        """Queue a batch of one caller; returns at once.

        Returns:
            A future of one answer per submission, in order. It raises `UnavailableError` or
            `BrokenError` as a whole; nothing of the batch is acknowledged then.

        Raises:
            LogBusyError: Too much waits already, or this is closing.
        """
        waiting = _Waiting(submissions, Future())
        with self._condition:
            if self._closing:
                raise LogBusyError("The log is shutting down.", hint="Send again after restart.")
            if self._waiting and self._waiting + len(submissions) > MAX_WAITING:
                raise LogBusyError(
                    f"{self._waiting} entries wait to be admitted; no more are taken now.",
                    hint="Wait a second and send again.",
                )
            self._queue.append(waiting)
            self._waiting += len(submissions)
            self._condition.notify()
        return waiting.future

    def keep_detail(self, content: bytes, caller: Caller) -> tuple[str, Admitted]:
        """Store erasable content, with the entry that says so.

        Returns:
            The digest, `sha256:…` over salt and content, that markers name in `details_digest`.

        Raises:
            SecretRefusedError: It holds a secret, which would be copied with every backup.
            ForbiddenError: The caller may not write.
            UnavailableError, BrokenError: As `submit`.
        """
        # Personal text may be kept here, because it can be erased; a secret may be kept nowhere.
        check_secrets(content.decode("utf-8", "replace"))
        salt = self._salt(SALT_BYTES)
        digest = hashlib.sha256(salt + content)
        named = f"sha256:{digest.hexdigest()}"
        payload = {
            "action": "stored",
            "digest": named,
            "erasable": True,
            "size": len(content),
            "timestamp": format_instant(self._clock.now_ms()),
        }
        blob = Blob(digest.digest(), salt, content)
        return named, self._keep(DETAIL, encode(payload), blob, caller)

    def keep_evidence(self, content: bytes, caller: Caller) -> str:
        """Store what verdicts rest on, never to be erased, and return its digest `sha256:…`.

        Raises:
            UnavailableError, BrokenError: As `submit`.
        """
        digest = hashlib.sha256(content)
        named = f"sha256:{digest.hexdigest()}"
        payload = {
            "action": "stored",
            "digest": named,
            "erasable": False,
            "size": len(content),
            "timestamp": format_instant(self._clock.now_ms()),
        }
        self._keep(DETAIL, encode(payload), Blob(digest.digest(), b"", content), caller)
        return named

    def say_with(
        self, payload_type: str, payload: bytes, content: bytes, caller: Caller
    ) -> Admitted:
        """Append an entry that names evidence by its digest, together with that evidence.

        Raises:
            RefusedError: It breaks its schema, or names other content.
            UnavailableError, BrokenError: As `submit`.
        """
        blob = Blob(hashlib.sha256(content).digest(), b"", content)
        return self._keep(payload_type, payload, blob, caller)

    def _keep(self, payload_type: str, payload: bytes, blob: Blob, caller: Caller) -> Admitted:
        envelope = sign_envelope(payload_type, payload, [self._signer])
        return _expected(self._receiver.keep(envelope, blob, caller))

    def erase_detail(self, digest: str, reason: str, caller: Caller) -> Admitted:
        """Erase content that was stored, with the entry that says so and why.

        Raises:
            NotFoundError: Nothing is stored under the digest.
            UnavailableError, BrokenError: As `submit`.
        """
        return self.say(
            DETAIL,
            {
                "action": "erased",
                "digest": digest,
                "reason": reason,
                "timestamp": format_instant(self._clock.now_ms()),
            },
            caller,
        )

    def say(self, payload_type: str, fields: dict[str, object], caller: Caller) -> Admitted:
        """Append an entry in the platform's own name.

        Raises:
            RefusedError: It breaks its schema.
            UnavailableError, BrokenError: As `submit`.
        """
        return self.say_payload(payload_type, encode(fields), caller)

    def say_payload(self, payload_type: str, payload: bytes, caller: Caller) -> Admitted:
        """Append an entry whose payload is at hand; as `say`."""
        envelope = sign_envelope(payload_type, payload, [self._signer])
        return _expected(self._receiver.receive([envelope], caller)[0])

    def close(self) -> None:
        """Admit what waits, then stop; idempotent."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        for thread in self._threads:
            thread.join()

    # The intake's threads ------------------------------------------------------------------------

    def _read(self) -> None:
        """Read and verify group after group; the writer commits the one before meanwhile."""
        while (group := self._take()) is not None:
            begun = self._begin(group)
            if len(begun.submissions) < SMALL_GROUP and not self._begun.unfinished_tasks:
                # Verifying ahead would save little here. What comes meanwhile is the next group,
                # and one commit for all of it costs less than one for each.
                self._answer(begun)
            else:
                self._begun.put(begun)
        self._begun.put(None)

    def _begin(self, group: Sequence[_Waiting]) -> _Begun:
        submissions = [each for waiting in group for each in waiting.submissions]
        try:
            return _Begun(group, submissions, self._receiver.start(submissions))
        except Exception as error:  # noqa: BLE001 - every caller must hear of it
            return _Begun(group, submissions, error)

    def _serve(self) -> None:
        """Answer group after group, in the order in which they were begun."""
        while (begun := self._begun.get()) is not None:
            self._answer(begun)
            self._begun.task_done()

    def _answer(self, begun: _Begun) -> None:
        try:
            answers = begun.answers()
        except DeploymarkError as error:
            _fail(begun.group, error)
        except Exception:  # noqa: BLE001 - as above
            self._divide(begun.group)
        else:
            start = 0
            for waiting in begun.group:
                end = start + len(waiting.submissions)
                waiting.future.set_result(answers[start:end])
                start = end
            self._tell(begun.submissions, answers)

    def _divide(self, group: Sequence[_Waiting]) -> None:
        """Try callers one by one after something unforeseen; what is in already is a duplicate."""
        _log.exception("a group could not be admitted", extra={"callers": len(group)})
        if len(group) == 1:
            _fail(group, UnexpectedError("The intake failed."))
            return
        for waiting in group:
            self._answer(self._begin([waiting]))

    def _tell(self, submissions: Sequence[Submission], answers: Sequence[Answer]) -> None:
        try:
            self._observer(submissions, answers)
        except Exception:  # noqa: BLE001 - the callers have their answers; others wait for theirs
            _log.exception("answers could not be taken note of", extra={"answers": len(answers)})

    def _take(self) -> list[_Waiting] | None:
        """Wait for work and return one group; None when closing and done."""
        with self._condition:
            while not self._queue:
                if self._closing:
                    return None
                self._condition.wait()
            group: list[_Waiting] = []
            count = 0
            while self._queue:
                size = len(self._queue[0].submissions)
                if group and count + size > MAX_GROUP:
                    break
                waiting = self._queue.popleft()
                self._waiting -= size
                if waiting.future.set_running_or_notify_cancel():
                    group.append(waiting)
                    count += size
            return group


def _fail(group: Sequence[_Waiting], error: DeploymarkError) -> None:
    for waiting in group:
        waiting.future.set_exception(error)


def _answer(submission: Submission, outcome: Outcome) -> Answer:
    if isinstance(outcome, DeploymarkError):
        return outcome
    return _admitted(outcome, _ignored(submission, outcome.leaf) if outcome.duplicate else ())


def _admitted(outcome: Acknowledgement, dropped: tuple[str, ...] = ()) -> Admitted:
    stands = read_columns(outcome.leaf)
    return Admitted(
        outcome.index,
        outcome.duplicate,
        stands.ids,
        stands.occurrence,
        stands.repeat,
        stands.received_at,
        dropped,
        outcome.note,
        stands.principal,
    )


def _expected(outcome: Outcome) -> Admitted:
    if isinstance(outcome, DeploymarkError):
        raise outcome
    return _admitted(outcome)


def _ignored(submission: Submission, first: bytes) -> tuple[str, ...]:
    """Return which descriptions of a duplicate are not kept."""
    leaf = decode_leaf(first)
    if leaf.dsse.payloadType not in MARKER_TYPES:
        return ()
    opened = open_submission(submission.body)
    payload = opened.payload if opened.envelope is None else opened.envelope.payload_bytes()
    fields = file_entry(opened.payload_type, payload).fields or {}
    return tuple(ignored(marker_fields(leaf), fields))
