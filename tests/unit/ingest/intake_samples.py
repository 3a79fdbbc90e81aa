"""An intake behind a gate, and what callers hand in there; shared by the tests of the intake."""

import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

from deploymark.ingest.callers import LOCAL, Caller
from deploymark.ingest.intake import Admitted, Answer, Intake
from deploymark.ingest.receive import Receiver, Started
from deploymark.ingest.submission import Submission
from deploymark.log.sequencer import Outcome
from deploymark.model.envelope import Envelope
from deploymark.model.vocabulary import Role
from deploymark.ports import Blob
from deploymark.testing.whole_log import WholeLog, sample_marker

PATIENCE_SECONDS = 30
POISON = b'"poison"'
TOKENS = [Caller(f"token:ci-{n}", frozenset({Role.EMITTER})) for n in range(4)]
READER = Caller("token:reader", frozenset({Role.READER}))


class Gate(Receiver):
    """The real receiver behind a gate, which remembers what came through together."""

    def __init__(self, inner: Receiver) -> None:
        self._inner = inner
        self._open = threading.Event()
        self._open.set()
        self._entered = threading.Semaphore(0)
        self.groups: list[int] = []

    def start(self, submissions: Sequence[Submission]) -> Started:
        self.groups.append(len(submissions))
        self._entered.release()
        assert self._open.wait(PATIENCE_SECONDS), "nobody opened the gate"
        if any(POISON in each.body for each in submissions if isinstance(each.body, bytes)):
            raise ZeroDivisionError
        return self._inner.start(submissions)

    def keep(self, body: bytes | Envelope, blob: Blob, caller: Caller = LOCAL) -> Outcome:
        return self._inner.keep(body, blob, caller)

    def open(self) -> None:
        self._open.set()

    def shut(self) -> None:
        self._open.clear()

    def wait_until_entered(self) -> None:
        assert self._entered.acquire(timeout=PATIENCE_SECONDS), "nothing came"


class Watcher:
    """An observer that remembers, and raises when told."""

    def __init__(self) -> None:
        self.told: list[tuple[Submission, Answer]] = []
        self.raises = False
        self._heard = threading.Semaphore(0)

    def __call__(self, submissions: Sequence[Submission], answers: Sequence[Answer]) -> None:
        self.told += zip(submissions, answers, strict=True)
        self._heard.release()
        if self.raises:
            raise ZeroDivisionError

    def wait_until_told(self) -> None:
        assert self._heard.acquire(timeout=PATIENCE_SECONDS), "nothing was told"


def open_intake(log: WholeLog, gate: Gate, watcher: Watcher) -> Iterator[Intake]:
    """An intake in front of a whole log."""
    salts = iter(range(100))

    def salt(size: int) -> bytes:
        return bytes([next(salts)]) * size

    intake = Intake(gate, log.admin, log.clock, salt, watcher)
    yield intake
    gate.open()
    intake.close()


def flat(number: int, **changes: object) -> bytes:
    return json.dumps(sample_marker(number, **changes)).encode()


def batch(caller: Caller, *bodies: bytes) -> list[Submission]:
    return [Submission(body, caller) for body in bodies]


def shown(answers: Sequence[Answer]) -> list[str]:
    """Return "new", "again" or the code of a refusal for each answer."""
    return [
        ("again" if each.duplicate else "new") if isinstance(each, Admitted) else each.code
        for each in answers
    ]


def result(future: Future[list[Answer]]) -> list[Answer]:
    return future.result(PATIENCE_SECONDS)


def occupy(intake: Intake, gate: Gate) -> list[Future[list[Answer]]]:
    """Shut the gate with a group behind it, so that what comes now waits together."""
    gate.shut()
    futures = [intake.submit(batch(LOCAL, flat(900)))]
    gate.wait_until_entered()
    gate.groups.clear()
    return futures
