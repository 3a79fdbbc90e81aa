"""The contract of `ports.TelemetryStore`, as a suite that any implementation can be put through."""

from collections.abc import Callable
from typing import Any

from deploymark.model.histogram import Histogram
from deploymark.ports import (
    EXCERPTS_KEPT,
    TRACES_KEPT,
    Counted,
    CountKey,
    Excerpt,
    Gauged,
    GaugeKey,
    Marked,
    MarkedKey,
    Measured,
    Place,
    Telemetry,
    TelemetryQuery,
    TelemetryStore,
    TraceNote,
)

Opener = Callable[[], TelemetryStore]
"""Opens the same store again, as after a restart."""

START_S = 1_795_000_000
EVER = TelemetryQuery(0, 2**53)
HERE = Place("shop", "prod", "d-one", "i-1")
THERE = Place("shop", "prod", "d-two", "i-2")
_FINE = Histogram((0.1, 0.5, 1.0), (1, 2, 3, 4), 5.5)
_COARSE = Histogram((0.1, 1.0), (1, 0, 1), 2.0)


def telemetry(now_s: int = START_S, **more: Any) -> Telemetry:  # noqa: ANN401 - any of its parts
    """Return a commit that adds nothing but what is named."""
    nothing: dict[str, Any] = {
        "counts": {},
        "gauges": {},
        "marked": {},
        "traces": [],
        "excerpts": [],
        "streams": {},
        "receipts": [],
    }
    return Telemetry(now_s=now_s, **{**nothing, **more})


def exercise_telemetry_store(opened: Opener) -> None:
    """Put a telemetry store through everything that the room relies on.

    Args:
        opened: Opens the store; empty the first time, and with what was saved after that.

    Raises:
        AssertionError: The adapter breaks the contract.
    """
    store = opened()
    assert store.load() == ({}, [])
    assert store.oldest_s() is None
    store.save(telemetry())
    assert store.load() == ({}, [])
    _adds_counts_up(store)
    _adds_gauges_and_marks_up(store)
    _chooses(store)
    _tells_who_is_new(store)
    _bounds_answers(store)
    _keeps_the_best_traces(store)
    _keeps_the_gravest_excerpts(store)
    _replaces_streams(store)
    again = opened()
    assert again.load() == store.load()
    assert again.counts(EVER, 100) == store.counts(EVER, 100)
    assert again.size_bytes() > 0
    _forgets(again)


def _key(place: Place = HERE, bucket_s: int = START_S, origin: str = "metric") -> CountKey:
    return CountKey(place, bucket_s, "http", origin)


def _adds_counts_up(store: TelemetryStore) -> None:
    store.save(telemetry(counts={_key(): Counted(10, 4, 10, START_S - 60, _FINE)}))
    store.save(telemetry(counts={_key(): Counted(2.5, 0.5, 2, START_S - 9, _COARSE)}))
    ((key, found),) = store.counts(EVER, 10)
    assert key == _key()
    both = Histogram((0.1, 1.0), (2, 5, 5), 7.5)
    assert found == Counted(12.5, 4.5, 12, START_S - 60, both)
    assert store.measured(EVER) == [Measured(HERE, "http", START_S - 60, START_S + 10)]
    store.save(telemetry(counts={_key(origin="span"): Counted(1, 0, 1, START_S, _COARSE)}))
    assert store.measured(EVER) == [Measured(HERE, "http", START_S - 60, START_S + 10)]
    assert [key.origin for key, _ in store.counts(EVER, 10)] == ["metric", "span"]


def _adds_gauges_and_marks_up(store: TelemetryStore) -> None:
    gauge, marked = GaugeKey(HERE, START_S, "cpu", "mode=user"), MarkedKey("shop", "prod", START_S)
    store.save(telemetry(gauges={gauge: Gauged(1.0, 3.0, 4.0, 2)}, marked={marked: Marked(5, 3)}))
    store.save(telemetry(gauges={gauge: Gauged(0.5, 2.0, 2.5, 2)}, marked={marked: Marked(1, 0)}))
    assert store.gauges(EVER, 10) == [(gauge, Gauged(0.5, 3.0, 6.5, 4))]
    assert store.marked(EVER, 10, 10) == [(marked, Marked(6, 3))]
    other = MarkedKey("shop", "prod", START_S + 10)
    store.save(telemetry(marked={other: Marked(4, 4)}))
    (joined,) = store.marked(EVER, 1_000_000_000, 10)
    assert joined == (MarkedKey("shop", "prod", 1_000_000_000), Marked(10, 7))
    assert [key.bucket_s for key, _ in store.marked(EVER, 10, 10)] == [START_S, START_S + 10]
    assert len(store.marked(EVER, 10, 1)) == 1
    assert len(store.marked(EVER._replace(since_s=START_S + 10), 10, 10)) == 1
    # Spans are marked or not; of which deployment they speak is not kept here.
    assert len(store.marked(EVER._replace(deployment="d-none"), 10, 10)) == 2


def _chooses(store: TelemetryStore) -> None:
    later = START_S + 10
    store.save(telemetry(counts={_key(THERE, later): Counted(1, 0, 1, later, _COARSE)}))

    def found(**asked: Any) -> list[Place]:  # noqa: ANN401 - any filter
        return [key.place for key, _ in store.counts(EVER._replace(**asked), 10)]

    assert found(since_s=later) == [THERE]
    assert found(until_s=later, deployment="d-two") == []
    assert found(deployment="d-two") == found(instance="i-2") == [THERE]
    assert found(service="shop", environment="prod") == [HERE, HERE, THERE]
    assert found(service="other") == found(environment="' OR '1'='1") == []


def _tells_who_is_new(store: TelemetryStore) -> None:
    quiet = Place("shop", "prod", "d-two", "i-3")
    for at_s in (START_S + 20, START_S + 10):
        gauge = GaugeKey(quiet, at_s, "cpu", "")
        store.save(telemetry(gauges={gauge: Gauged(1.0, 1.0, 1.0, 1)}))
    found = store.first_seen(EVER)
    assert found == [(HERE, START_S), (THERE, START_S + 10), (quiet, START_S + 10)]
    later = EVER._replace(since_s=START_S + 100, deployment="d-two")
    assert store.first_seen(later) == found[1:]


def _bounds_answers(store: TelemetryStore) -> None:
    assert len(store.counts(EVER, 1)) == 1
    assert store.counts(EVER, 1)[0][0].bucket_s == START_S


def _keeps_the_best_traces(store: TelemetryStore) -> None:
    def note(number: int, *, failing: bool) -> TraceNote:
        return TraceNote(
            *(HERE, START_S, failing, f"{number:032x}", f"{number:016x}", "GET /", "/"),
            at_ms=START_S * 1_000 + number,
            duration_us=1_000 - number,
        )

    many = TRACES_KEPT * 2
    for number in (*range(many), 3):
        store.save(telemetry(traces=[note(number, failing=False), note(number, failing=True)]))
    found = store.traces(EVER, 100)
    slow = [int(each.trace_id, 16) for each in found if not each.failing]
    failing = [int(each.trace_id, 16) for each in found if each.failing]
    assert slow == list(range(TRACES_KEPT))
    assert sorted(failing) == list(range(many - TRACES_KEPT, many))
    assert [each.failing for each in found] == [True] * TRACES_KEPT + [False] * TRACES_KEPT
    assert store.traces(EVER, 3) == found[:3]
    assert store.traces(EVER._replace(deployment="d-two"), 100) == []


def _keeps_the_gravest_excerpts(store: TelemetryStore) -> None:
    def excerpt(number: int, severity: int) -> Excerpt:
        at_ms = START_S * 1_000 + number
        return Excerpt(HERE, START_S, severity, at_ms, f"text {number} \u2014", "Event", "")

    for number in range(EXCERPTS_KEPT):
        store.save(telemetry(excerpts=[excerpt(number, 9), excerpt(number, 9)]))
    store.save(telemetry(excerpts=[excerpt(50, 17), excerpt(51, 17), excerpt(60, 9)]))
    found = store.excerpts(EVER, 100)
    assert [each.text for each in found[:2]] == ["text 50 \u2014", "text 51 \u2014"]
    assert [each.at_ms - START_S * 1_000 for each in found[2:]] == [*range(EXCERPTS_KEPT - 2)]


def _replaces_streams(store: TelemetryStore) -> None:
    store.save(telemetry(streams={b"one": b"1", b"two": b"2"}, receipts=[b"a", b"b"]))
    store.save(telemetry(streams={b"one": b"changed", b"two": None}, receipts=[b"c"]))
    assert store.load() == ({b"one": b"changed"}, [b"a", b"b", b"c"])


def _forgets(store: TelemetryStore) -> None:
    assert store.oldest_s() == START_S
    store.trim(START_S)
    assert len(store.counts(EVER, 10)) == 3
    store.trim(START_S + 1)
    assert [key.place for key, _ in store.counts(EVER, 10)] == [THERE]
    assert store.oldest_s() == START_S + 10
    assert (store.traces(EVER, 10), store.excerpts(EVER, 10)) == ([], [])
    assert [key.bucket_s for key, _ in store.marked(EVER, 10, 10)] == [START_S + 10]
    assert [key.bucket_s for key, _ in store.gauges(EVER, 10)] == [START_S + 10, START_S + 20]
    store.trim(START_S + 1_000)
    assert store.oldest_s() is None
    assert store.measured(EVER) == []
    assert store.first_seen(EVER) == []
    assert store.load()[0] == {}
    store.close()
    store.close()
