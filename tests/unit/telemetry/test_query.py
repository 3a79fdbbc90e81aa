"""Answers come in whole steps, count each request once, and say where they go on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from telemetry_samples import EVER, START_S, Room

from deploymark.errors import QueryError
from deploymark.model.histogram import Histogram
from deploymark.ports import Counted, CountKey, Measured, Place, TelemetryQuery
from deploymark.telemetry.query import Page, TelemetryReader, combined, requests_of
from deploymark.testing.otlp import resource, span, traces
from deploymark.testing.telemetry_store import telemetry

HERE = Place("shop", "prod", "d-one", "i-1")
Ask = Callable[[TelemetryQuery], Page]
THERE = HERE._replace(instance="i-2")
_LATENCY = Histogram((0.1, 1.0), (1, 1, 0), 0.5)


def row(place: Place, bucket_s: int, origin: str = "span") -> tuple[CountKey, Counted]:
    """Return two requests."""
    return CountKey(place, bucket_s, "http", origin), Counted(2, 1, 2, bucket_s, _LATENCY)


def test_spans_that_metrics_cover_are_left_out_and_others_are_not() -> None:
    rows = [row(HERE, START_S + 10 * n) for n in range(-2, 20)]
    rows += [row(HERE, START_S, "metric"), row(THERE, START_S)]
    covered = [Measured(HERE, "http", START_S, START_S + 10)]
    found = requests_of(rows, covered)
    spans = [key.bucket_s - START_S for key, _ in found if key == (HERE, *key[1:3], "span")]
    assert spans == [-20, -10, 170, 180, 190]
    assert [key.place for key, _ in found][-2:] == [HERE, THERE]
    other = [Measured(HERE, "rpc", START_S, START_S + 10)]
    assert requests_of(rows, other) == rows


def test_instances_and_buckets_add_up_exactly() -> None:
    rows = [row(HERE, START_S), row(THERE, START_S), row(HERE, START_S + 10)]
    ((key, found),) = combined(rows, 100_000_000, by_instance=False)
    assert (key.place.instance, key.place.deployment) == ("", "d-one")
    both = Histogram((0.1, 1.0), (3, 3, 0), 1.5)
    assert found == Counted(6, 3, 6, START_S, both)
    assert len(combined(rows, 10, by_instance=True)) == 3


def test_pages_end_at_the_edge_of_a_step_and_go_on_there(room: Room) -> None:
    for number in range(20):
        room.clock.advance(10)
        for service in ("shop", "bank"):
            said = resource(service=service)
            at = room.clock.now_ms() / 1_000
            room.send(traces(said, [span(number * 2 + (service == "bank"), at)]))
    reader = TelemetryReader(room.store, page_rows=5)
    asks: list[Ask] = [
        lambda asked: reader.red(asked, 20, by_instance=True),
        lambda asked: reader.marked(asked, 20),
    ]
    for ask in asks:
        asked, pages = EVER, 0
        items: list[dict[str, Any]] = []
        while True:
            page = ask(asked)
            items += page.items
            pages += 1
            if page.next_since_s is None:
                break
            assert page.next_since_s % 20 == 0
            asked = asked._replace(since_s=page.next_since_s)
        assert pages > 3
        assert len({(item["at"], item["service"]) for item in items}) == len(items)
        counted = sum(item.get("requests", 0) + item.get("denominator", 0) for item in items)
        assert counted == 40


def test_a_step_that_does_not_fit_a_page_says_what_to_do(room: Room) -> None:
    reader = TelemetryReader(room.store, page_rows=3)
    for number in range(5):
        at = START_S + number * 10
        room.send(traces(resource(), [span(number, at)]))
    with pytest.raises(QueryError, match="step"):
        reader.red(EVER, 86_400, by_instance=True)
    for number in range(5):
        room.send(traces(resource(instance=f"j-{number}"), [span(100 + number, START_S)]))
    with pytest.raises(QueryError, match="The bucket of"):
        reader.red(EVER, 10, by_instance=True)
    assert reader.red(EVER._replace(instance="j-1"), 10, by_instance=True).items


def test_spans_before_the_metrics_count_to_the_length_of_a_bucket(room: Room) -> None:
    key, counted = row(HERE, START_S)
    later = CountKey(HERE, START_S + 6, "http", "metric")
    measured = Counted(2, 1, 2, START_S + 5, _LATENCY)
    room.store.save(telemetry(counts={key: counted, later: measured}))
    for seconds, found in ((10, [later]), (5, [key, later]), (1, [key, later])):
        reader = TelemetryReader(room.store, bucket_seconds=seconds)
        assert [each for each, _ in reader.requests(EVER)[0]] == found


def test_the_reader_of_a_room_knows_how_long_its_buckets_are(tmp_path: Path) -> None:
    with Room(tmp_path, bucket_seconds=1) as room:
        key, counted = row(HERE, START_S)
        later = CountKey(HERE, START_S + 6, "http", "metric")
        measured = Counted(2, 1, 2, START_S + 5, _LATENCY)
        room.store.save(telemetry(counts={key: counted, later: measured}))
        assert len(room.room.reader.requests(EVER)[0]) == 2
