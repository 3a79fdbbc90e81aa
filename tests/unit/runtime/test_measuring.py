"""The measures are counted from where they should be."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from broker_markers import ci
from outcome_stories import Story

from deploymark.errors import MeasuresCountingError, NotFoundError, StoreUnavailableError
from deploymark.ingest.account import Fate, Numbered
from deploymark.ingest.admission import AdmissionRules
from deploymark.ingest.ledger import Ledger
from deploymark.model.distribution import Distribution
from deploymark.model.instants import format_instant
from deploymark.model.proportion import Proportion
from deploymark.ports import Marked, MarkedKey, Telemetry
from deploymark.projections.broker.census import BrokerCensus
from deploymark.projections.expectations import Expectations
from deploymark.projections.measures import Reading
from deploymark.projections.outcome_questions import SliQuery
from deploymark.projections.outcomes_query import Outcomes, Taken
from deploymark.runtime import measuring as measuring_module
from deploymark.runtime.measuring import (
    Measuring,
    deltas_of,
    ingestion,
    propagation,
    time_to_marker,
)
from deploymark.storage.memory import MemoryLogStore
from deploymark.storage.memory_ledger import MemoryLedgerStore
from deploymark.storage.sqlite.telemetry import SqliteTelemetryStore
from deploymark.telemetry.confirmations import Confirmations
from deploymark.telemetry.room import Settings, TelemetryRoom, make_room
from deploymark.testing.clock import START_MS, ManualClock
from deploymark.testing.meter import ListMeter
from deploymark.testing.whole_log import WholeLog

PATIENCE_SECONDS = 10


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


# The measures together ---------------------------------------------------------------------------


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    """A log with one deployment, which was live an hour before it is asked."""
    found = Story(tmp_path)
    found.say(ci("applied"), 0)
    yield found
    found.close()


def measuring_of(story: Story, clock: ManualClock, room: TelemetryRoom | None) -> Measuring:
    views = story.log.views
    census = BrokerCensus(views, Expectations())
    return Measuring(census, {}, Outcomes(views), deltas_of(views, room), clock)


def asked_clock() -> ManualClock:
    return ManualClock(START_MS + 3_600_000)


def test_the_measures_stand_in_the_order_of_their_ids(story: Story, room: TelemetryRoom) -> None:
    slis = measuring_of(story, asked_clock(), room).slis(SliQuery())
    assert [each["measure"] for each in slis] == ["M1", "M4", "M6", "M7", "M9", "M10", "M11", "M14"]
    assert (slis[0]["numerator"], slis[0]["denominator"]) == (1, 1)
    assert slis[1]["left_out"] == {"no_telemetry": 1}


def test_without_telemetry_errors_are_not_compared(story: Story) -> None:
    measuring = measuring_of(story, asked_clock(), None)
    assert measuring.delta() is None
    assert "M4" not in [each["measure"] for each in measuring.slis(SliQuery())]
    with pytest.raises(NotFoundError):
        measuring.items(SliQuery(measure="M4"))


def test_a_measure_is_as_fresh_as_is_asked_for(story: Story) -> None:
    measuring = measuring_of(story, asked_clock(), None)
    assert measuring.readings()["M7"].share == Proportion(0, 1)
    index = story.say(ci("rolled_back"), 60)
    assert measuring.readings()["M7"].share == Proportion(0, 1)
    assert measuring.slis(SliQuery())[2]["numerator"] == 0
    assert measuring.slis(SliQuery(), index)[2]["numerator"] == 1


def test_the_window_and_the_environment_choose(story: Story) -> None:
    story.say(ci("applied", environment="staging"), 60)
    measuring = measuring_of(story, asked_clock(), None)
    (item,) = measuring.items(SliQuery(measure="M1", environment=("staging",))).items
    assert item["environment"] == "staging"
    asked = SliQuery(environment=("staging",))
    assert measuring.slis(asked)[0]["denominator"] == 1
    early = SliQuery(until=format_instant(START_MS))
    assert measuring.slis(early)[0]["denominator"] == 0
    assert measuring.slis(early)[0]["window"]["until"] == format_instant(START_MS)


@pytest.mark.parametrize(
    ("measure", "hint"), [("M10", "/v1/instances"), ("M3", "/v1/emitters"), ("M99", "M14, M4")]
)
def test_who_asks_for_a_list_that_is_not_there_is_told_where_to_look(
    story: Story, measure: str, hint: str
) -> None:
    with pytest.raises(NotFoundError) as refused:
        measuring_of(story, asked_clock(), None).items(SliQuery(measure=measure))
    assert hint in refused.value.hint


class Slow:
    """Lets a week be counted when it shall.

    Args:
        measuring: Counts it.
    """

    def __init__(self, measuring: Measuring) -> None:
        self._count = measuring._take
        self.go_on = threading.Event()
        self.counted = 0

    def __call__(self, query: SliQuery) -> Taken:
        assert self.go_on.wait(PATIENCE_SECONDS)
        self.counted += 1
        return self._count(query)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let nobody wait for what is being counted."""
    for name in ("_PAGE_SECONDS", "_PATIENCE_SECONDS", "_FIRST_SECONDS"):
        monkeypatch.setattr(measuring_module, name, 0.0)
    return monkeypatch


def wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everybody wait."""
    for name in ("_PAGE_SECONDS", "_PATIENCE_SECONDS", "_FIRST_SECONDS"):
        monkeypatch.setattr(measuring_module, name, float(PATIENCE_SECONDS))


def test_who_shows_measures_waits_for_none_that_take_long(
    story: Story, hasty: pytest.MonkeyPatch
) -> None:
    measuring = measuring_of(story, asked_clock(), None)
    slow = Slow(measuring)
    hasty.setattr(measuring, "_take", slow)
    assert measuring.lately() is None
    assert measuring.lately() is None
    for ask in (measuring.readings, measuring.delta, lambda: measuring.slis(SliQuery())):
        with pytest.raises(MeasuresCountingError):
            ask()
    slow.go_on.set()
    wait_for(hasty)
    found = measuring.lately()
    assert found == measuring.slis(SliQuery())
    assert slow.counted == 1
    measuring.close()


def test_while_a_week_is_counted_again_everybody_gets_the_last_one(
    story: Story, hasty: pytest.MonkeyPatch
) -> None:
    clock = asked_clock()
    measuring = measuring_of(story, clock, None)
    wait_for(hasty)
    first = measuring.slis(SliQuery())
    slow = Slow(measuring)
    hasty.setattr(measuring, "_take", slow)
    for name in ("_PAGE_SECONDS", "_PATIENCE_SECONDS"):
        hasty.setattr(measuring_module, name, 0.0)
    clock.advance(3_600)  # whatever the first count took
    assert measuring.lately() == first
    assert measuring.slis(SliQuery())[0] == first[0]
    told = measuring.readings()["M1"]
    assert clock.now_ms() - told.until_ms == 3_600_000
    slow.go_on.set()
    wait_for(hasty)
    assert measuring.readings()["M1"].until_ms == clock.now_ms()
    assert slow.counted == 1
    measuring.close()


def test_a_refusal_is_told_and_counted_again(story: Story, hasty: pytest.MonkeyPatch) -> None:
    measuring = measuring_of(story, asked_clock(), None)
    wait_for(hasty)
    count, refuses = measuring._take, [True]

    def refuse(query: SliQuery) -> Taken:
        if refuses.pop():
            raise StoreUnavailableError("The disk is away.")
        return count(query)

    hasty.setattr(measuring, "_take", refuse)
    with pytest.raises(StoreUnavailableError):
        measuring.readings()
    refuses.append(False)
    assert measuring.readings()["M1"].share == Proportion(1, 1)
    measuring.close()
