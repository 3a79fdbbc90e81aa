"""A resource that says what runs becomes a `running` marker, once.

The marker goes through admission like any other, as the word of whoever handed the telemetry in:
its scope decides, the platform signs, the log dedupes. What was sent is remembered here, so that
it is sent once; after a restart it is sent again and is a duplicate. Nobody waits for the answer,
and the telemetry itself is kept whatever becomes of the marker.

Two things would make the log see contradictions where there are none, so nothing is sent: a process
that confirms itself (the SDK knows more than the resource says), and a second resource of one
instance that only leaves the digest out, or only adds it.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final, NamedTuple

import msgspec

from deploymark.errors import DeploymarkError, UnavailableError
from deploymark.ingest.callers import Caller
from deploymark.ingest.intake import Answer
from deploymark.ingest.submission import Submission
from deploymark.model.instants import format_instant
from deploymark.ports import Clock, Meter
from deploymark.telemetry.limits import CONFIRMED
from deploymark.telemetry.resource import Origin

Submit = Callable[[Sequence[Submission]], Future[list[Answer]]]

EMITTER_ID: Final = "otlp"
"""The emitter of these markers, and the observer of their evidence."""

COUNTER: Final = "deploymark_telemetry_confirmations_total"
_AGAIN_MS: Final = 5_000
_REFUSED_AGAIN_MS: Final = 600_000
_WAITING: Final = 2**62


class _Sent(NamedTuple):
    """When to send a confirmation again, and the digest that it stated."""

    again_at_ms: int
    digest: str


def confirmation(origin: Origin, now_ms: int) -> dict[str, Any]:
    """Return the flat marker that a resource amounts to; it must say what runs, and where."""
    now = format_instant(now_ms)
    evidence = {"basis": "declared", "observer": EMITTER_ID, "at": now}
    fields: dict[str, Any] = {
        "service": origin.service,
        "environment": origin.environment,
        "phase": "running",
        "deployment_id": origin.deployment,
        "version": origin.version,
        "commit_hash": origin.commit,
        "target": {**origin.target, "instance_uid": origin.instance},
        "emitter": {"kind": "runtime", "id": EMITTER_ID},
        "timestamp": now,
    }
    if origin.digest:
        fields["artifact"] = {"digest": origin.digest}
        if origin.artifact:
            fields["artifact"]["name"] = origin.artifact
        evidence["digest"] = origin.digest
    if origin.instance_from:
        fields["labels"] = {"instance_from": origin.instance_from}
    return {name: value for name, value in fields.items() if value} | {"evidence": evidence}


class Confirmations:
    """Sends each confirmation once.

    Args:
        submit: Admits markers; `Intake.submit`.
        allow: Raises when the caller has handed in too much; None lets everything pass.
        clock: Tells the time.
        meter: Counts confirmations by what became of them.
        most: How many are remembered.
    """

    def __init__(
        self,
        submit: Submit,
        clock: Clock,
        meter: Meter,
        allow: Callable[[Caller], None] = lambda _: None,
        most: int = CONFIRMED,
    ) -> None:
        self._submit = submit
        self._clock = clock
        self._meter = meter
        self._allow = allow
        self._most = most
        self._lock = threading.Lock()
        self._sent: OrderedDict[tuple[str, ...], _Sent] = OrderedDict()

    def sight(self, origin: Origin, caller: Caller) -> None:
        """Send what this resource confirms, unless it was sent; returns at once."""
        if not origin.says_what_runs:
            return
        if origin.confirms_itself:
            return
        if not origin.environment:
            self._count("no_environment")
            return
        now_ms = self._clock.now_ms()
        key = self._due(origin, caller, now_ms)
        if key is None:
            return
        try:
            self._allow(caller)
            body = msgspec.json.encode(confirmation(origin, now_ms))
            future = self._submit([Submission(body, caller)])
        except DeploymarkError as error:
            self._learn(key, error)
            return
        future.add_done_callback(lambda done: self._learn(key, _answer(done)))

    def _due(self, origin: Origin, caller: Caller, now_ms: int) -> tuple[str, ...] | None:
        """Return what to remember a confirmation by that is to be sent now."""
        # Without a deployment id, what runs is named by all that is said about it.
        subject = origin.deployment or f"{origin.digest} {origin.version} {origin.commit}"
        key: tuple[str, ...] = (
            *(origin.service, origin.environment, subject),
            *(origin.instance, caller.principal),
        )
        with self._lock:
            sent = self._sent.get(key)
            if sent is not None and sent.digest and origin.digest not in {"", sent.digest}:
                key = (*key, origin.digest)  # a true contradiction, which the log shall tell
                sent = self._sent.get(key)
            if sent is not None:
                self._sent.move_to_end(key)
                if now_ms < sent.again_at_ms:
                    return None
            self._sent[key] = _Sent(_WAITING, origin.digest)
            if len(self._sent) > self._most:
                self._sent.popitem(last=False)
        return key

    def _learn(self, key: tuple[str, ...], answer: Answer) -> None:
        """Note what became of one; what was refused may be allowed later, but not soon."""
        if not isinstance(answer, DeploymarkError):
            self._count("duplicate" if answer.duplicate else "new")
            return
        self._count(answer.code)
        wait_ms = _AGAIN_MS if isinstance(answer, UnavailableError) else _REFUSED_AGAIN_MS
        with self._lock:
            if key in self._sent:
                again_at_ms = self._clock.now_ms() + wait_ms
                self._sent[key] = self._sent[key]._replace(again_at_ms=again_at_ms)

    def _count(self, outcome: str) -> None:
        self._meter.count(COUNTER, outcome=outcome)


def _answer(done: "Future[list[Answer]]") -> Answer:
    error = done.exception()
    if error is None:
        return done.result()[0]
    if isinstance(error, DeploymarkError):
        return error
    return UnavailableError("The marker could not be admitted.")
