"""The room of telemetry is opened as its section of the configuration says."""

from pathlib import Path

from deploymark.ingest.admission import AdmissionRules
from deploymark.ingest.intake import Intake
from deploymark.ingest.throttle import Throttle
from deploymark.runtime.config import TelemetrySection
from deploymark.runtime.telemetry import open_telemetry
from deploymark.telemetry.room import Settings
from deploymark.testing.clock import ManualClock
from deploymark.testing.meter import ListMeter


def test_every_setting_reaches_the_room(tmp_path: Path) -> None:
    section = TelemetrySection(
        retention_hours=2,
        max_bytes=32_000_000,
        max_body_bytes=100_000,
        gauges=("cpu",),
        bucket_seconds=1,
        lag_seconds=2,
    )
    clock, meter = ManualClock(), ListMeter()
    throttle = Throttle(clock, 1, 1)

    class NoIntake(Intake):
        def __init__(self) -> None:
            """Admit nothing: nothing is confirmed here."""

    with open_telemetry(
        tmp_path / "telemetry.db",
        section,
        AdmissionRules(),
        NoIntake(),
        throttle,
        clock=clock,
        meter=meter,
    ) as room:
        assert room is not None
        assert room.settings == Settings(7_200, 32_000_000, 100_000, ("cpu",), 1, 2)
        assert room.counts.lag_ms == 2_000
