"""What a store of telemetry counts for verdicts, of whom, and how it refuses."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from telemetry_samples import START_S, Room

from deploymark.errors import CountsUnavailableError, QueryError
from deploymark.model.histogram import Histogram
from deploymark.ports import (
    Cell,
    Cohort,
    Counted,
    CountKey,
    Gauged,
    GaugeKey,
    MetricQuery,
    Place,
)
from deploymark.telemetry.cohorts import EmbeddedCounts
from deploymark.telemetry.limits import OTHER
from deploymark.telemetry.query import TelemetryReader
from deploymark.testing.counts_source import (
    FAST_SECONDS,
    SLOW_SECONDS,
    CountsWorld,
    Done,
    Story,
    exercise_counts_source,
)
from deploymark.testing.otlp import FAILED, OK, gauge, histogram, metrics, resource, span, traces
from deploymark.testing.telemetry_store import telemetry

ERRORS = MetricQuery("errors", "events")
LATENCY = MetricQuery("latency", "latency")
MEMORY = MetricQuery("process.memory.usage", "gauge")
BEGAN_S = START_S - START_S % 120 + 120
HERE = Place("shop", "prod", "d-one", "i-1")
COHORT = Cohort("shop", "prod", ("d-one", "release-1"))
_FLAT = Histogram((0.1, 0.5), (10, 0, 0))


def took(done: Done) -> tuple[list[float], list[float]]:
    """Return how long requests that succeeded took, and those that failed."""
    all_ = [SLOW_SECONDS] * done.slow + [FAST_SECONDS] * (done.requests - done.slow)
    return all_[done.errors :], all_[: done.errors]


def world(room: Room) -> CountsWorld:
    return CountsWorld(
        room.room.counts,
        BEGAN_S * 1_000,
        room.settings.bucket_seconds * 1_000,
        room.settings.bucket_seconds * 1_000,
        cohort=lambda deployment: Cohort("shop", "prod", (deployment, f"{deployment}-too")),
        replica=lambda replica: replica,
        errors=ERRORS,
        latency=LATENCY,
        memory=MEMORY._replace(name="memory"),
        unseen=MetricQuery("heap", "gauge"),
        nonsense=MetricQuery("orders", "events"),
    )


def tell_metrics(room: Room, history: Sequence[Story]) -> CountsWorld:
    """Report a history as an SDK does: one cumulative histogram for each status."""
    step_s = room.settings.bucket_seconds
    room.clock.advance(2_000)
    for story in history:
        good: list[float] = []
        bad: list[float] = []
        start_s = float(BEGAN_S + story.begins * step_s)
        for number, done in enumerate(story.done, story.begins):
            if number in story.restarts:
                good, bad, start_s = [], [], float(BEGAN_S + number * step_s)
            fine, failed = took(done)
            good, bad = good + fine, bad + failed
            at_s = BEGAN_S + number * step_s + step_s / 2
            found = [histogram(good, at_s, start_s=start_s, attributes=OK)]
            if bad:
                found.append(histogram(bad, at_s, start_s=start_s, attributes=FAILED))
            found.append(gauge("memory", done.memory, at_s))
            room.send(metrics(resource(deployment=story.deployment, instance=story.replica), found))
    return world(room)


def tell_spans(room: Room, history: Sequence[Story]) -> CountsWorld:
    """Report a history span by span."""
    step_s, number = room.settings.bucket_seconds, 0
    room.clock.advance(2_000)
    for story in history:
        for bucket, done in enumerate(story.done, story.begins):
            at_s = BEGAN_S + bucket * step_s + step_s / 2
            spans = []
            for latencies, attributes in zip(took(done), (OK, FAILED), strict=True):
                for seconds in latencies:
                    number += 1
                    spans.append(span(number, at_s, seconds=seconds, attributes=attributes))
            said = resource(deployment=story.deployment, instance=story.replica)
            room.send(traces(said, spans))
            room.send(metrics(said, [gauge("memory", done.memory, at_s)]))
    return world(room)


@pytest.mark.parametrize("seconds", [10, 1, 60])
@pytest.mark.parametrize("tell", [tell_metrics, tell_spans])
def test_it_keeps_the_contract(tmp_path: Path, tell: object, seconds: int) -> None:
    assert callable(tell)
    with Room(tmp_path, bucket_seconds=seconds, gauges=("memory",), lag_seconds=2) as room:
        exercise_counts_source(lambda history: tell(room, history))
        assert (room.room.counts.name, room.room.counts.lag_ms) == ("telemetry", 2_000)


def keep(
    room: Room,
    numbers: tuple[float, float, int] = (10, 0, 10),
    *,
    place: Place = HERE,
    protocol: str = "http",
    at_s: int = BEGAN_S,
    latency: Histogram = _FLAT,
) -> None:
    """Keep requests in the store: how many, how many failed and how many were seen."""
    key = CountKey(place, at_s, protocol, "span")
    room.store.save(telemetry(counts={key: Counted(*numbers, at_s, latency)}))


def counted(room: Room, metric: MetricQuery = ERRORS, cohort: Cohort = COHORT) -> tuple[Cell, ...]:
    window_ms = (BEGAN_S * 1_000, (BEGAN_S + 60) * 1_000)
    found = room.room.counts.count(cohort, [metric], *window_ms, 10_000)
    return found.cells[metric.name]


def test_of_several_protocols_one_is_counted_the_same_for_both_arms(room: Room) -> None:
    other = HERE._replace(deployment="d-two", instance="i-2")
    keep(room, (30, 3, 30))
    keep(room, (20, 0, 20), protocol="rpc")
    keep(room, (5, 1, 5), place=other)
    keep(room, (50, 2, 50), place=other, protocol="rpc")
    # Of both arms together there were more calls, whatever one arm alone had.
    assert [(cell.trials, cell.events) for cell in counted(room)] == [(20, 0)]
    theirs = counted(room, cohort=COHORT._replace(deployments=("d-two",)))
    assert [(cell.trials, cell.events) for cell in theirs] == [(50, 2)]
    named = counted(room, ERRORS._replace(trials="http"))
    assert [(cell.trials, cell.events) for cell in named] == [(30, 3)]
    assert counted(room, ERRORS._replace(trials="messaging")) == ()


def test_sampled_requests_are_evidence_of_those_that_were_seen(room: Room) -> None:
    latency = Histogram((0.1, 0.5), (700.0, 200.0, 100.0))
    keep(room, (1_000.0, 300.0, 10), latency=latency)
    # Rates that differ within a bucket do not come out even: down, and to the fast side.
    uneven = Histogram((0.1, 0.5), (95.0, 1.0, 5.0))
    keep(room, (101.0, 99.0, 2), at_s=BEGAN_S + 10, latency=uneven)
    assert [(cell.trials, cell.events) for cell in counted(room)] == [(10, 3), (2, 1)]
    assert [cell.counts for cell in counted(room, LATENCY)] == [(7, 2, 1), (2, 0, 0)]


def test_a_histogram_without_bounds_says_nothing_of_latency(room: Room) -> None:
    keep(room, (10, 1, 10), latency=Histogram((), (10,)))
    assert counted(room, LATENCY) == ()
    assert [cell.trials for cell in counted(room)] == [10]
    keep(room, (10, 1, 10), at_s=BEGAN_S + 10, latency=Histogram((0.1, 0.5), (1, 2, 7)))
    keep(room, (10, 1, 10), at_s=BEGAN_S + 10, latency=Histogram((0.5,), (3, 7)))
    (cell,) = counted(room, LATENCY)
    assert (cell.bounds, cell.counts) == ((0.5,), (6, 14))


def test_only_instances_of_the_cohort_are_counted(room: Room) -> None:
    keep(room, (1, 0, 1))
    keep(room, (2, 0, 2), place=HERE._replace(deployment="release-1", instance="i-2"))
    keep(room, (4, 0, 4), place=HERE._replace(deployment="", instance="i-3"))
    keep(room, (8, 0, 8), place=HERE._replace(environment="staging"))
    keep(room, (16, 0, 16), place=HERE._replace(service="bank"))
    keep(room, (32, 0, 32), place=HERE._replace(instance=OTHER))
    assert [(cell.replica, cell.trials) for cell in counted(room)] == [("i-1", 1), ("i-2", 2)]
    only = COHORT._replace(instances=frozenset({"i-2", "i-3"}))
    assert [cell.replica for cell in counted(room, cohort=only)] == ["i-2"]


def test_one_instance_under_both_names_of_a_deployment_is_one_replica(room: Room) -> None:
    keep(room, (1, 0, 1))
    keep(room, (2, 0, 2), place=HERE._replace(deployment="release-1"))
    assert [(cell.replica, cell.trials) for cell in counted(room)] == [("i-1", 3)]


def test_attribute_sets_of_a_gauge_weigh_the_same(room: Room) -> None:
    values = {"used": Gauged(1.0, 3.0, 4.0, 2), "free": Gauged(8.0, 8.0, 8.0, 1)}
    gauges = {GaugeKey(HERE, BEGAN_S, MEMORY.name, label): each for label, each in values.items()}
    room.store.save(telemetry(gauges=gauges))
    assert [cell.value for cell in counted(room, MEMORY)] == [5.0]


def test_an_instance_is_born_when_it_was_first_heard_even_long_before(room: Room) -> None:
    keep(room, at_s=BEGAN_S - 80_000)
    keep(room)
    keep(room, place=HERE._replace(deployment="d-two"), at_s=BEGAN_S - 90_000)
    quiet = HERE._replace(instance="i-quiet")
    keep(room, place=quiet, at_s=BEGAN_S + 60)
    found = room.room.counts.count(
        COHORT, [ERRORS], BEGAN_S * 1_000, BEGAN_S * 1_000 + 10_000, 10_000
    )
    assert found.born_ms == {"i-1": (BEGAN_S - 80_000) * 1_000}


def test_answers_of_many_pages_are_whole(room: Room) -> None:
    for number in range(6):
        for instance in ("i-1", "i-2"):
            keep(room, at_s=BEGAN_S + number * 10, place=HERE._replace(instance=instance))
    small = EmbeddedCounts(TelemetryReader(room.store, page_rows=3))
    window_ms = (BEGAN_S * 1_000, (BEGAN_S + 60) * 1_000)
    found = small.count(COHORT, [ERRORS], *window_ms, 10_000).cells["errors"]
    assert len(found) == 12
    assert found == counted(room)


def test_what_cannot_be_counted_is_refused_for_good(room: Room) -> None:
    for metric in (
        MetricQuery("errors", "latency"),
        MetricQuery("latency", "events"),
        MetricQuery("errors", "events", "http_requests_total"),
        MetricQuery("errors", "events", "", "http_errors_total"),
        MetricQuery("process.memory.usage", "gauge", "http"),
        MetricQuery("errors", "percentile"),
    ):
        with pytest.raises(QueryError):
            counted(room, metric)
    with pytest.raises(QueryError, match=r"kept by 10000 ms"):
        room.room.counts.count(COHORT, [ERRORS], 0, 15_000, 5_000)


def test_a_store_that_refuses_is_a_source_that_cannot_be_asked(room: Room) -> None:
    room.store.close()
    with pytest.raises(CountsUnavailableError, match="closed"):
        counted(room)


def test_counts_from_before_the_setting_changed_count_once(tmp_path: Path) -> None:
    with Room(tmp_path) as room:
        room.clock.advance(200)
        room.send(traces(resource(), [span(1, BEGAN_S + 1), span(2, BEGAN_S + 9)]))
    with Room(tmp_path, bucket_seconds=1) as room:
        room.clock.advance(200)
        room.send(traces(resource(), [span(3, BEGAN_S + 11), span(4, BEGAN_S + 19)]))
        found = room.room.counts.count(
            COHORT, [ERRORS], BEGAN_S * 1_000, (BEGAN_S + 20) * 1_000, 1_000
        )
        seen = [(cell.at_ms // 1_000 - BEGAN_S, cell.trials) for cell in found.cells["errors"]]
        assert seen == [(0, 2), (11, 1), (19, 1)]
