"""A telemetry room over a real store, with a clock that stands and an intake that remembers."""

import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import msgspec

from deploymark.ingest.admission import AdmissionRules
from deploymark.ingest.callers import Caller
from deploymark.ingest.intake import Admitted, Answer
from deploymark.ingest.submission import Submission, open_submission
from deploymark.model.entries import Scope
from deploymark.model.vocabulary import Role
from deploymark.ports import TelemetryQuery
from deploymark.storage.sqlite.telemetry import SqliteTelemetryStore
from deploymark.telemetry.collector import Handed, Taken
from deploymark.telemetry.confirmations import Confirmations
from deploymark.telemetry.limits import GAUGES, MEGABYTE
from deploymark.telemetry.room import Settings, TelemetryRoom, make_room
from deploymark.telemetry.signals import Signal
from deploymark.testing.clock import START_MS, ManualClock
from deploymark.testing.meter import ListMeter
from deploymark.testing.otlp import as_json

START_S = START_MS // 1_000
EVER = TelemetryQuery(0, 2**53)
ANYONE = Scope(services=("*",), environments=("*",))
CALLER = Caller("token:otel", frozenset({Role.EMITTER}), ANYONE)
PATIENCE_SECONDS = 30
_SIGNALS = {
    "ExportTraceServiceRequest": Signal.TRACES,
    "ExportMetricsServiceRequest": Signal.METRICS,
    "ExportLogsServiceRequest": Signal.LOGS,
}


class RememberingIntake:
    """Admits whatever is well formed, and remembers it.

    Attributes:
        markers: What was admitted.
        refusal: What everything is refused with, when set.
    """

    def __init__(self) -> None:
        self.markers: list[dict[str, Any]] = []
        self.refusal: Answer | None = None

    def submit(self, submissions: Sequence[Submission]) -> "Future[list[Answer]]":
        """Answer at once."""
        done: Future[list[Answer]] = Future()
        answers: list[Answer] = []
        for each in submissions:
            assert isinstance(each.body, bytes)
            open_submission(each.body)
            said = msgspec.json.decode(each.body)
            again = said in self.markers
            if self.refusal is None:
                self.markers.append(said)
            ids = {"deployment_id": "d", "marker_id": "m"}
            admitted = Admitted(0, again, ids, 1, 0, "", (), "", each.caller.principal)
            answers.append(self.refusal or admitted)
        done.set_result(answers)
        return done


class Room:
    """A room to put requests into.

    Args:
        folder: Where its store lies; another room may be opened there later.
        settings: Differences from the usual ones.
    """

    def __init__(self, folder: Path | None = None, **settings: Any) -> None:  # noqa: ANN401
        self._stack = ExitStack()
        if folder is None:
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.clock = ManualClock()
        self.meter = ListMeter()
        self.intake = RememberingIntake()
        self.rules = AdmissionRules(anonymous_environments=("sandbox-*",))
        usual: dict[str, Any] = {
            "retention_seconds": 172_800,
            "max_bytes": 64 * MEGABYTE,
            "max_body_bytes": 4 * MEGABYTE,
            "gauges": GAUGES,
        }
        self.settings = Settings(**{**usual, **settings})
        self.store = SqliteTelemetryStore(folder / "telemetry.db", self.settings.max_bytes)
        self._stack.callback(self.store.close)
        self.room: TelemetryRoom = make_room(
            self.store,
            self.settings,
            rules=self.rules,
            confirmations=Confirmations(self.intake.submit, self.clock, self.meter),
            clock=self.clock,
            meter=self.meter,
        )
        self.room.reception.start()
        self._stack.callback(self.room.reception.stop)

    def send(self, request: Any, *, json: bool = False, caller: Caller = CALLER) -> Taken:  # noqa: ANN401 - any message
        """Hand a request in and wait until it is counted."""
        body = as_json(request) if json else request.SerializeToString()
        signal = _SIGNALS[type(request).__name__]
        return self.send_bytes(signal, body, json=json, caller=caller)

    def send_bytes(
        self, signal: Signal, body: bytes, *, json: bool = False, caller: Caller = CALLER
    ) -> Taken:
        """Hand bytes in and wait until they are counted."""
        handed = Handed(signal, "json" if json else "protobuf", body, caller)
        return self.room.reception.hand_in(handed).result(PATIENCE_SECONDS)

    def red(self, **asked: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any filter
        """Return what was counted, by bucket and instance."""
        return self.room.reader.red(EVER._replace(**asked), 10, by_instance=True).items

    def totals(self) -> Mapping[str, float]:
        """Return requests and errors of everything together."""
        items = self.red()
        return {name: sum(item[name] for item in items) for name in ("requests", "errors")}

    def dropped(self) -> dict[str, int]:
        """Return what was dropped, by reason."""
        start = "deploymark_telemetry_dropped_total{why="
        return {
            name.removeprefix(start).rstrip("}"): count
            for name, count in self.meter.counts.items()
            if name.startswith(start)
        }

    def close(self) -> None:
        """Count what waits, and close."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
