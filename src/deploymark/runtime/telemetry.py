"""Opens the telemetry room of a server: its store, its threads, and what trims it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploymark.ingest.admission import AdmissionRules
from deploymark.ingest.callers import Caller
from deploymark.ingest.intake import Intake
from deploymark.ingest.throttle import Throttle
from deploymark.ports import Clock, Meter
from deploymark.runtime.config import TelemetrySection
from deploymark.runtime.housekeeping import Housekeeper, Task
from deploymark.storage.sqlite.telemetry import SqliteTelemetryStore
from deploymark.telemetry.confirmations import Confirmations
from deploymark.telemetry.room import Settings, TelemetryRoom, make_room

_TRIM_SECONDS = 15.0
_HOUR = 3_600


@contextmanager
def open_telemetry(  # noqa: PLR0913 - one argument for each neighbour
    path: Path,
    section: TelemetrySection,
    rules: AdmissionRules,
    intake: Intake,
    throttle: Throttle,
    *,
    clock: Clock,
    meter: Meter,
) -> Iterator[TelemetryRoom | None]:
    """Open the room, or None where it is switched off; on leaving, what waits is counted.

    Args:
        path: The file that it keeps.
        section: How it is set up.
        rules: What callers without a token may speak about, and which personal data is allowed.
        intake: Admits the markers that resources confirm.
        throttle: Bounds them, as markers that are handed in.
        clock: Tells the time.
        meter: Counts.

    Raises:
        StoreUnavailableError: The file cannot be created.
    """
    if not section.enabled:
        yield None
        return

    def allow(caller: Caller) -> None:
        throttle.demand(caller.principal or caller.network, "markers")

    store = SqliteTelemetryStore(path, section.max_bytes)
    try:
        room = make_room(
            store,
            Settings(
                retention_seconds=int(section.retention_hours * _HOUR),
                max_bytes=section.max_bytes,
                max_body_bytes=section.max_body_bytes,
                gauges=section.gauges,
                bucket_seconds=section.bucket_seconds,
                lag_seconds=section.lag_seconds,
            ),
            rules=rules,
            confirmations=Confirmations(intake.submit, clock, meter, allow),
            clock=clock,
            meter=meter,
        )
        keeper = Housekeeper([Task("telemetry", _TRIM_SECONDS, room.trim)], meter)
        keeper.start()
        room.reception.start()
        try:
            yield room
        finally:
            room.reception.stop()
            keeper.stop()
    finally:
        store.close()
