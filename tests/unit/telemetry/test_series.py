"""The embedded source of charts: the contract, and how much one answer reads."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from deploymark.model.histogram import Histogram
from deploymark.ports import (
    Counted,
    CountKey,
    Gauged,
    GaugeKey,
    Place,
    SeriesQuery,
    Telemetry,
    TelemetryQuery,
)
from deploymark.ports.series import REQUESTS
from deploymark.storage.sqlite.telemetry import SqliteTelemetryStore
from deploymark.telemetry import series
from deploymark.telemetry.query import TelemetryReader
from deploymark.telemetry.series import EmbeddedSeries, quantile
from deploymark.testing.clock import START_MS
from deploymark.testing.series_source import (
    BOUNDS,
    FAST_SECONDS,
    SECONDS,
    SLOW_SECONDS,
    Load,
    SeriesWorld,
    exercise_series_source,
)

START_S = START_MS // 1_000


class Asked(TelemetryReader):
    """A reader that remembers which hours were read."""

    def __init__(self, store: SqliteTelemetryStore) -> None:
        super().__init__(store)
        self.hours: list[int] = []

    def requests(self, query: TelemetryQuery) -> tuple[list[tuple[CountKey, Counted]], int | None]:
        self.hours.append(query.since_s // 3_600)
        return super().requests(query)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteTelemetryStore]:
    found = SqliteTelemetryStore(tmp_path / "telemetry.db", 64_000_000)
    yield found
    found.close()


def _save(store: SqliteTelemetryStore, at_s: int, load: Load, protocol: str = "http") -> None:
    place = Place("checkout", "prod", "d-one", "a")
    counts = (load.requests - load.slow, 0, load.slow, 0)
    seconds = load.slow * SLOW_SECONDS + (load.requests - load.slow) * FAST_SECONDS
    latency = Histogram(BOUNDS, counts, seconds)
    counted = Counted(load.requests, load.errors, load.requests, at_s, latency)
    gauged = Gauged(0.0, load.saturation, load.saturation, 1)
    store.save(
        Telemetry(
            at_s,
            {CountKey(place, at_s, protocol, "metric"): counted},
            {
                GaugeKey(place, at_s, "process.cpu.utilization", ""): gauged,
                GaugeKey(place, at_s, "process.memory.usage", ""): Gauged(9e9, 9e9, 9e9, 1),
            },
            {},
            [],
            [],
            {},
            [],
        )
    )


def test_it_keeps_the_contract(store: SqliteTelemetryStore) -> None:
    def make(past: Sequence[Load]) -> SeriesWorld:
        for number, load in enumerate(past):
            _save(store, START_S + number * SECONDS, load)
        embedded = EmbeddedSeries(TelemetryReader(store), SECONDS)
        return SeriesWorld(embedded, START_MS, "checkout", "prod")

    exercise_series_source(make)


def _hours(count: int) -> SeriesQuery:
    end_s = (START_S // 3_600 + count) * 3_600
    return SeriesQuery((end_s - count * 3_600) * 1_000, end_s * 1_000, 10_000)


def test_hours_that_are_over_are_read_once(store: SqliteTelemetryStore) -> None:
    for hour in range(4):
        _save(store, (START_S // 3_600 + hour) * 3_600, Load(10, 0, 0, 0.1))
    reader = Asked(store)
    embedded = EmbeddedSeries(reader, 10)
    query = _hours(4)
    first = embedded.sampled(query, (REQUESTS,))
    assert len(reader.hours) == 4
    assert embedded.sampled(query, (REQUESTS,)) == first
    assert reader.hours[4:] == [reader.hours[0]]  # the newest may still change


def test_what_one_answer_may_not_read_comes_with_the_next(
    store: SqliteTelemetryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "MAX_ROWS", 1)
    for hour in range(4):
        _save(store, (START_S // 3_600 + hour) * 3_600, Load(10, 0, 0, 0.1))
    embedded = EmbeddedSeries(TelemetryReader(store), 10)
    found = [embedded.sampled(_hours(4), (REQUESTS,))[REQUESTS] for _ in range(3)]
    assert [bool(each.missing) for each in found] == [True, True, False]
    assert [len(each.samples) for each in found] == [2, 3, 4]


def test_what_is_reported_seldom_is_spread_over_the_time_since_the_report_before(
    store: SqliteTelemetryStore,
) -> None:
    first = START_S // 3_600 * 3_600
    for at_s in (0, 60, 120, 130, 1_800):
        _save(store, first + at_s, Load(60, 0, 0, 0.1))
    embedded = EmbeddedSeries(TelemetryReader(store), 10)
    found = embedded.sampled(_hours(1), (REQUESTS,))[REQUESTS].samples
    # After a silence nobody knows since when it was counted.
    assert [value for _, value in found] == [1.0, 1.0, 1.0, 6.0, 6.0]


def test_a_request_is_counted_of_one_protocol(store: SqliteTelemetryStore) -> None:
    begin_s = START_S // 3_600 * 3_600
    _save(store, begin_s, Load(10, 0, 0, 0.1), "rpc")
    _save(store, begin_s, Load(30, 0, 0, 0.1), "http")
    found = EmbeddedSeries(TelemetryReader(store), 10).sampled(_hours(1), (REQUESTS,))
    assert found[REQUESTS].samples == [(begin_s * 1_000, 3.0)]


_QUANTILES = {
    "all in the first": ((10, 0, 0, 0), 0.1),
    "a twentieth above": ((95, 5, 0, 0), 0.1),
    "more than a twentieth above": ((94, 0, 6, 0), 1.0),
    "above all bounds": ((0, 0, 0, 5), 1.0),
    "nothing": ((0, 0, 0, 0), None),
}


@pytest.mark.parametrize("case", _QUANTILES.values(), ids=_QUANTILES)
def test_a_quantile_is_the_bound_that_holds_it(
    case: tuple[tuple[float, ...], float | None],
) -> None:
    counts, expected = case
    assert quantile(Histogram(BOUNDS, counts), 0.95) == expected
