"""M4: how often requests failed after a deployment, and before."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from broker_markers import DAY, HOUR, MINUTE, ci
from msgspec import structs
from outcome_stories import NOW_MS, Story, named

from deploymark.model.difference import Difference, Tally
from deploymark.model.histogram import Histogram
from deploymark.model.instants import format_instant
from deploymark.ports import Counted, CountKey, Place, Telemetry
from deploymark.projections import error_delta
from deploymark.projections.error_delta import ErrorDeltas
from deploymark.projections.measures import DeltaReading
from deploymark.projections.outcome_questions import SliQuery, window_of
from deploymark.storage.sqlite.telemetry import SqliteTelemetryStore
from deploymark.telemetry.query import TelemetryReader
from deploymark.testing.clock import START_MS
from generated_pages import ROOT

START_S = START_MS // 1_000
LIVE = 4 * DAY  # a day before it is asked
KEPT_SECONDS = 2 * DAY


class Measured(Story):
    """A story with telemetry beside it."""

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__(folder)
        self.store = SqliteTelemetryStore(folder / "telemetry.db", 16_000_000)
        self.deltas = ErrorDeltas(self.log.views, TelemetryReader(self.store), KEPT_SECONDS)

    def count(self, at: float, errors: float, requests: float, **more: Any) -> None:  # noqa: ANN401
        """Let requests of ten seconds be counted."""
        names = {"service": "checkout", "environment": "prod", "protocol": "http", "pod": "a"}
        service, environment, protocol, pod = {**names, **more}.values()
        bucket_s = START_S + round(at)
        place = Place(service, environment, "d-any", pod)
        key = CountKey(place, bucket_s - bucket_s % 10, protocol, "metric")
        histogram = Histogram((1.0,), (round(requests), 0), 1.0)
        counted = Counted(requests, errors, round(requests), bucket_s, histogram)
        self.store.save(Telemetry(START_S, {key: counted}, {}, {}, [], [], {}, []))

    def take(self, now_ms: int = NOW_MS, **asked: Any) -> DeltaReading:  # noqa: ANN401
        return self.deltas.take(window_of(SliQuery(**asked), now_ms))

    def compared(self, limit: int = 50, **asked: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        query = SliQuery(measure="M4", limit=limit, **asked)
        items: list[dict[str, Any]] = []
        while True:
            page = self.deltas.items(query, NOW_MS)
            items += page.items
            if page.next_cursor is None:
                return items
            query = structs.replace(query, cursor=page.next_cursor)

    def close(self) -> None:
        self.store.close()
        super().close()


@pytest.fixture
def story(tmp_path: pathlib.Path) -> Iterator[Measured]:
    found = Measured(tmp_path)
    yield found
    found.close()


def test_the_example_of_the_docs_is_counted_as_there(story: Measured) -> None:
    story.say(ci("applied"), LIVE)
    story.count(LIVE - 20 * MINUTE, 4, 1_000)
    story.count(LIVE + 10 * MINUTE, 10, 500)
    story.count(LIVE + 20 * MINUTE, 6, 500, pod="b")
    reading = story.take()
    assert reading.difference == Difference(Tally(4, 1_000, 1_000), Tally(16, 1_000, 1_000))
    assert (reading.deployments, reading.left_out) == (1, {})
    assert reading.difference.value == pytest.approx(0.012)
    assert reading.difference.interval() == pytest.approx((0.0033, 0.0221), abs=5e-5)
    page = " ".join((ROOT / "docs" / "reference" / "measures.md").read_text().split())
    assert "4 of 1,000 requests failed before, 16 of 1,000 after. The delta is 0.012," in page
    assert "the interval is 0.0033 to 0.0221." in page


def test_requests_are_counted_thirty_minutes_on_either_side(story: Measured) -> None:
    story.say(ci("applied"), LIVE + 5)
    for before in (10, 30 * MINUTE, 30 * MINUTE + 10):
        story.count(LIVE - before, 1, 10)
    story.count(LIVE, 1, 10)  # the ten seconds in which it went live
    for after in (10, 30 * MINUTE, 30 * MINUTE + 10):
        story.count(LIVE + after, 1, 100)
    assert story.take().difference == Difference(Tally(2, 20, 20), Tally(2, 200, 200))


def test_only_requests_of_the_service_in_the_environment_are_counted(story: Measured) -> None:
    story.say(ci("applied"), LIVE)
    for at in (LIVE - MINUTE, LIVE + MINUTE):
        story.count(at, 1, 10)
        story.count(at, 9, 10, service="cart")
        story.count(at, 9, 10, environment="staging")
    assert story.take().difference == Difference(Tally(1, 10, 10), Tally(1, 10, 10))


def test_protocols_are_never_added_up(story: Measured) -> None:
    story.say(ci("applied"), LIVE)
    for at in (LIVE - MINUTE, LIVE + MINUTE):
        story.count(at, 5, 10, protocol="http")
        story.count(at, 1, 100, protocol="rpc")
    assert story.take().difference.after == Tally(1, 100, 100)


def test_what_is_left_out_says_why(story: Measured) -> None:
    story.say(ci("applied", "old"), 2 * DAY)
    story.say(ci("applied", "silent"), 3 * DAY + HOUR)
    story.say(ci("applied", "one-sided"), LIVE)
    story.count(LIVE - MINUTE, 1, 10)
    story.say(ci("applied", "new"), 5 * DAY - 20 * MINUTE)
    story.say(ci("planned", "next"), 5 * DAY - 10 * MINUTE)
    reading = story.take()
    assert reading.left_out == {"not_kept": 1, "no_telemetry": 2, "not_over": 1}
    assert (reading.deployments, reading.difference.value) == (0, None)
    results = [item["result"] for item in story.compared(limit=1)]
    assert results == ["not_over", "no_telemetry", "no_telemetry", "not_kept"]


def test_a_window_is_over_two_minutes_after_its_end(story: Measured) -> None:
    story.say(ci("applied"), LIVE)
    for at in (LIVE - MINUTE, LIVE + MINUTE):
        story.count(at, 1, 10)
    over_ms = START_MS + 1_000 * (LIVE + 32 * MINUTE)
    assert story.take(over_ms - 1_000).left_out == {"not_over": 1}
    assert story.take(over_ms).deployments == 1


def test_what_only_failed_or_was_a_canary_is_not_compared(story: Measured) -> None:
    story.say(ci("applied", "v1", weight=25), LIVE)
    story.say(ci("failed", "v2"), LIVE + MINUTE)
    assert story.compared() == []
    story.say(ci("failed", "v1", weight=25), LIVE + HOUR)
    assert story.compared() == []


def test_the_list_adds_up_to_the_measure(story: Measured) -> None:
    for number in range(5):
        live = LIVE + number * HOUR
        story.say(ci("applied", f"v{number}"), live)
        story.count(live - MINUTE, number, 100 + number)
        story.count(live + MINUTE, 2 * number, 200)
    story.say(ci("applied", "else", environment="staging"), LIVE)
    items, reading = story.compared(limit=2), story.take()
    assert len(items) == reading.deployments == 5
    for window, tally in reading.difference._asdict().items():
        assert sum(item[window]["numerator"] for item in items) == tally.errors
        assert sum(item[window]["denominator"] for item in items) == tally.requests
    assert [i["deployment_id"] for i in items] == [
        named(ci("applied", f"v{number}")) for number in (4, 3, 2, 1, 0)
    ]
    asked: dict[str, Any] = {"since": format_instant(START_MS + 1_000 * (LIVE + HOUR))}
    assert (len(story.compared(**asked)), story.take(**asked).deployments) == (4, 4)


def test_so_many_are_counted_at_once_and_the_others_later(
    story: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(error_delta, "MAX_COUNTED", 2)
    for number in range(5):
        live = LIVE + number * HOUR
        story.say(ci("applied", f"v{number}"), live)
        for at in (live - MINUTE, live + MINUTE):
            story.count(at, 1, 10)
    taken = [story.take() for _ in range(3)]
    assert [each.deployments for each in taken] == [2, 4, 5]
    assert [each.left_out for each in taken] == [{"waiting": 3}, {"waiting": 1}, {}]


def test_no_more_than_so_many_are_remembered(
    story: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(error_delta, "MAX_KEPT", 1)
    for number in range(3):
        story.say(ci("applied", f"v{number}"), LIVE + number * HOUR)
    assert story.take().left_out == {"no_telemetry": 3}
    assert len(story.deltas._known) == 1


# A deployment that has just gone live ------------------------------------------------------------


def _so_far(story: Measured, seconds: float) -> error_delta.SoFar:
    now_ms = START_MS + round((LIVE + seconds) * 1_000)
    return story.deltas.so_far("checkout", "prod", START_MS + LIVE * 1_000, now_ms)


def test_what_is_live_is_compared_as_far_as_it_is(story: Measured) -> None:
    story.count(LIVE - 60, 1, 100)
    story.count(LIVE + 60, 30, 100)
    story.count(LIVE + 20 * MINUTE, 100, 100)
    found = _so_far(story, 5 * MINUTE + 7)
    assert (found.result, found.seconds) == ("counted", 300)
    assert found.difference == Difference(Tally(1, 100, 100), Tally(30, 100, 100))
    assert _so_far(story, 25 * MINUTE).difference.after == Tally(130, 200, 200)


def test_after_half_an_hour_it_is_what_the_measure_counts(story: Measured) -> None:
    story.say(ci("applied"), LIVE)
    story.count(LIVE - 60, 1, 100)
    story.count(LIVE + 60, 30, 100)
    found = _so_far(story, DAY)
    assert found.seconds == error_delta.WINDOW_SECONDS
    assert found.difference == story.take().difference


_NOT_COMPARED = {
    "it is too early": (30, "not_over"),
    "nobody reported": (5 * MINUTE, "no_telemetry"),
    "it is no longer kept": (3 * DAY, "not_kept"),
}


@pytest.mark.parametrize(("seconds", "result"), _NOT_COMPARED.values(), ids=_NOT_COMPARED)
def test_it_says_why_it_does_not_compare(story: Measured, seconds: float, result: str) -> None:
    assert _so_far(story, seconds).result == result
