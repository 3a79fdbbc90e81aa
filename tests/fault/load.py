"""Writes as fast as several threads can, until it is killed."""

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from promises import Emit, acknowledged, line_of, published
from script import NOW_MS, sign_markers

from deploymark.crypto.dsse import sign_envelope
from deploymark.crypto.signer import Ed25519EnvelopeSigner
from deploymark.ingest.key_entries import registration
from deploymark.log.sequencer import Acknowledgement
from deploymark.model.entries import Scope
from deploymark.model.envelope import Envelope
from deploymark.model.vocabulary import KEY
from deploymark.runtime.compose import OpenLog, open_log

_THREADS = 4
_PUBLISH_EVERY_SECONDS = 0.02
_MAX_BATCH = 24
_RECENT = 16


class Load:
    """Several producers and a publisher on one log.

    Args:
        signer: The platform's key.
        emit: Tells the parent process.
        seed: Decides what is written.
        reopened: Wraps the log, for a test that plants a fault in it.
    """

    def __init__(
        self,
        signer: Ed25519EnvelopeSigner,
        emit: Emit,
        seed: int,
        opener: Callable[[OpenLog], None] = lambda _: None,
    ) -> None:
        self._signer = signer
        self._emit = emit
        self._seed = seed
        self._opener = opener
        # What others have handed in lately, acknowledged or not, to be handed in again.
        self._recent: list[Sequence[Envelope]] = []
        self._lock = threading.Lock()

    def run(self, path: Path) -> None:
        """Open the log and write; only a kill or a finding ends it."""
        with open_log(path) as log, ThreadPoolExecutor(_THREADS + 1) as pool:
            self._opener(log)
            jobs = [pool.submit(self._publish, log)]
            jobs += [pool.submit(self._produce, log, number) for number in range(_THREADS)]
            for job in jobs:
                job.result()

    def _publish(self, log: OpenLog) -> None:
        pause = threading.Event()
        while True:
            self._tell(line_of(published(log.publisher.publish())))
            pause.wait(_PUBLISH_EVERY_SECONDS)

    def _produce(self, log: OpenLog, number: int) -> None:
        chance = random.Random(f"{self._seed}/{number}")
        for turn in range(1_000_000):
            envelopes = self._next(chance, f"{self._seed}/{number}/{turn}")
            outcomes = log.receiver.receive(envelopes)
            promises = []
            for envelope, outcome in zip(envelopes, outcomes, strict=True):
                if isinstance(outcome, Acknowledgement):
                    promises.append(acknowledged(log.view.reader, envelope, outcome))
                else:
                    self._tell({"wrong": f"{envelope.payloadType} was refused: {outcome!r}"})
            self._tell(line_of(*promises))

    def _next(self, chance: random.Random, name: str) -> Sequence[Envelope]:
        with self._lock:
            recent = list(self._recent)
        kind = chance.random()
        if kind < 0.2 and recent:
            return chance.choice(recent)
        if kind < 0.25:
            return [self._key()]
        count = 1 if kind < 0.7 else chance.randint(2, _MAX_BATCH)
        envelopes = sign_markers(name, count, self._signer)
        with self._lock:
            self._recent = [*self._recent[-_RECENT:], envelopes]
        return envelopes

    def _key(self) -> Envelope:
        public = Ed25519EnvelopeSigner(Ed25519PrivateKey.generate()).public
        scope = Scope(services=("*",), environments=("*",))
        return sign_envelope(KEY, registration(public, "load", scope, NOW_MS), [self._signer])

    def _tell(self, line: dict[str, object]) -> None:
        with self._lock:
            self._emit(line)
