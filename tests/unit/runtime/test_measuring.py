"""The measures are counted from where they should be."""

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from deploymark.ingest.account import Fate, Numbered
from deploymark.ingest.admission import AdmissionRules
from deploymark.ingest.ledger import Ledger
from deploymark.model.distribution import Distribution
from deploymark.model.proportion import Proportion
from deploymark.ports import Marked, MarkedKey, Telemetry
from deploymark.projections.measures import Reading
from deploymark.runtime.measuring import ingestion, propagation, time_to_marker
from deploymark.storage.memory import MemoryLogStore
from deploymark.storage.memory_ledger import MemoryLedgerStore
from deploymark.storage.sqlite.telemetry import SqliteTelemetryStore
from deploymark.telemetry.confirmations import Confirmations
from deploymark.telemetry.room import Settings, TelemetryRoom, make_room
from deploymark.testing.clock import START_MS, ManualClock
from deploymark.testing.meter import ListMeter
from deploymark.testing.whole_log import WholeLog


def test_m2_counts_what_came_within_a_minute_since_the_process_started() -> None:
    clock, late = ManualClock(), Distribution()
    read = time_to_marker(lambda: {"deploymark_time_to_marker_seconds": late}, clock)
    for seconds in (0.2, 59.9, 60.0, 60.1, 9_000.0):
        late.add(seconds)
    clock.advance(90)
    assert read() == Reading(Proportion(3, 5), START_MS, START_MS + 90_000)


def test_m2_of_a_process_that_took_no_marker_has_no_value() -> None:
    assert time_to_marker(dict, ManualClock())().share == Proportion(0, 0)


def test_m3_is_what_the_ledger_says() -> None:
    store, clock = MemoryLogStore(), ManualClock()
    log = WholeLog(store, clock=clock)
    ledger = Ledger(MemoryLedgerStore(), store, ListMeter())
    ledger.saw(Numbered("ci", "one", 3), "token:ci", Fate.REFUSED, clock.now_ms())
    # Nothing of this epoch stands in the log, so nobody vouches for its numbers.
    assert ingestion(ledger, clock)() == Reading(Proportion(0, 0), None, START_MS)
    log.close()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[TelemetryRoom]:
    """Telemetry that is kept for two days, and of which nobody sends any."""
    clock, meter = ManualClock(), ListMeter()
    store = SqliteTelemetryStore(tmp_path / "telemetry.db", 16_000_000)
    confirmations = Confirmations(lambda _: Future(), clock, meter, lambda _: None)
    settings = Settings(172_800, 16_000_000, 65_536)
    yield make_room(
        store,
        settings,
        rules=AdmissionRules(),
        confirmations=confirmations,
        clock=clock,
        meter=meter,
    )
    store.close()


def save_spans(room: TelemetryRoom, hours_ago: float, spans: int, marked: int) -> None:
    bucket_s = START_MS // 1_000 - round(hours_ago * 3_600)
    for service in ("shop", "cart"):
        key = MarkedKey(service, "prod", bucket_s - bucket_s % 10)
        now_s = START_MS // 1_000
        room.store.save(Telemetry(now_s, {}, {}, {key: Marked(spans, marked)}, [], [], {}, []))


def test_m8_counts_the_spans_of_the_last_day(room: TelemetryRoom) -> None:
    save_spans(room, 0, 10, 9)
    save_spans(room, 23.9, 10, 10)
    save_spans(room, 25, 10, 0)
    since_ms = START_MS + 1_000 - 86_400_000
    reading = propagation(room, ManualClock())()
    assert reading == Reading(Proportion(38, 40), since_ms, START_MS)


def test_m8_is_added_up_once_a_minute(room: TelemetryRoom) -> None:
    clock = ManualClock()
    read = propagation(room, clock)
    assert read().share == Proportion(0, 0)
    save_spans(room, 0, 10, 9)
    assert read().share == Proportion(0, 0)
    clock.advance(60)
    assert read().share == Proportion(18, 20)
