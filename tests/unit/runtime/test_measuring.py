"""The measures are counted from where they should be."""

from deploymark.ingest.account import Fate, Numbered
from deploymark.ingest.ledger import Ledger
from deploymark.model.distribution import Distribution
from deploymark.model.proportion import Proportion
from deploymark.projections.measures import Reading
from deploymark.runtime.measuring import ingestion, propagation, time_to_marker
from deploymark.storage.memory import MemoryLogStore
from deploymark.storage.memory_ledger import MemoryLedgerStore
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


def test_m8_counts_the_spans_of_the_last_day() -> None:
    asked: list[tuple[int, int]] = []

    def marked(since_s: int, until_s: int) -> tuple[int, int]:
        asked.append((since_s, until_s))
        return 19, 20

    clock = ManualClock(100_000_000_500)
    since_s = 100_000_001 - 86_400
    assert propagation(marked, clock)() == Reading(
        Proportion(19, 20), since_s * 1_000, 100_000_000_500
    )
    assert asked == [(since_s, 100_000_001)]
