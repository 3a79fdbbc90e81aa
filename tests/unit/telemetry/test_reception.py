"""Backpressure, failures of the store, trimming, and memory that stays within its bounds."""

import contextlib
import threading
import tracemalloc
from pathlib import Path

import pytest
from telemetry_samples import CALLER, EVER, PATIENCE_SECONDS, START_S, Room

from deploymark.errors import (
    OverloadedError,
    RequestError,
    StoreUnavailableError,
    TooLargeError,
    UnexpectedError,
)
from deploymark.ports import Telemetry
from deploymark.telemetry.collector import Handed, Taken
from deploymark.telemetry.limits import BODY_BYTES, MEGABYTE
from deploymark.telemetry.signals import Signal
from deploymark.testing.otlp import (
    DELTA,
    as_json,
    exponential,
    histogram,
    log_record,
    logs,
    metrics,
    resource,
    span,
    traces,
)


def handed(number: int) -> Handed:
    """Return a request with one span that no other number has."""
    body = traces(resource(), [span(number, START_S)]).SerializeToString()
    return Handed(Signal.TRACES, "protobuf", body, CALLER)


def requests_in(room: Room) -> float:
    """Return how many requests the store has."""
    return sum(counted.requests for _, counted in room.store.counts(EVER, 100_000))


class Hooked:
    """A store whose saving waits, or fails, when told."""

    def __init__(self, room: Room) -> None:
        self._save = room.store.save
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.error: Exception | None = None
        room.store.save = self.save  # type: ignore[method-assign]

    def save(self, telemetry: Telemetry) -> None:
        """Save as told."""
        self.entered.set()
        assert self.go_on.wait(PATIENCE_SECONDS)
        if self.error is not None:
            raise self.error
        self._save(telemetry)


def test_a_full_queue_asks_to_come_back_and_what_was_taken_is_kept(room: Room) -> None:
    hooked = Hooked(room)
    reception = room.room.reception
    reception._queue_bytes = 5 * len(handed(0).body)
    futures = [reception.hand_in(handed(0))]
    assert hooked.entered.wait(PATIENCE_SECONDS)
    refused = 0
    for number in range(1, 20):
        try:
            futures.append(reception.hand_in(handed(number)))
        except OverloadedError:
            refused += 1
    assert refused == 14
    assert reception.gauges()["telemetry_queue_bytes"] == 5 * len(handed(1).body)
    hooked.go_on.set()
    assert [future.result(PATIENCE_SECONDS).items for future in futures] == [1] * 6
    assert requests_in(room) == 6
    assert room.dropped()["queue"] == 14


def test_what_the_store_refuses_is_not_acknowledged_and_counts_once_when_it_comes_again(
    room: Room,
) -> None:
    hooked = Hooked(room)
    hooked.go_on.set()
    total = metrics(resource(instance="m"), [histogram([0.1] * 3, START_S, start_s=START_S - 5)])
    delta = metrics(
        resource(instance="d"),
        [histogram([0.1] * 3, START_S, start_s=START_S - 5, temporality=DELTA)],
    )
    hooked.error = StoreUnavailableError("The disk is full.")
    for request in (total, delta):
        with pytest.raises(StoreUnavailableError):
            room.send(request)
    hooked.error = OSError("something else")
    with pytest.raises(UnexpectedError):
        room.send(total)
    hooked.error = None
    for request in (total, delta, total, delta):
        room.send(request)
    assert requests_in(room) == 6


def test_a_reception_that_stops_counts_what_waits_and_takes_no_more(room: Room) -> None:
    hooked = Hooked(room)
    reception = room.room.reception
    futures = [reception.hand_in(handed(number)) for number in range(3)]
    hooked.go_on.set()
    reception.stop()
    assert [future.result(0).items for future in futures] == [1, 1, 1]
    with pytest.raises(OverloadedError):
        reception.hand_in(handed(9))
    reception.stop()


def test_many_requests_become_few_commits(room: Room) -> None:
    hooked = Hooked(room)
    reception = room.room.reception
    first = reception.hand_in(handed(0))
    assert hooked.entered.wait(PATIENCE_SECONDS)
    others = [reception.hand_in(handed(number)) for number in range(1, 50)]
    saves: list[int] = []
    save = hooked._save

    def counted(telemetry: Telemetry) -> None:
        saves.append(len(telemetry.receipts))
        save(telemetry)

    hooked._save = counted
    hooked.go_on.set()
    for future in (first, *others):
        future.result(PATIENCE_SECONDS)
    assert saves == [1, 49]


def test_what_is_old_is_forgotten_and_then_the_oldest_while_there_is_too_much(
    tmp_path: Path,
) -> None:
    with Room(tmp_path, max_bytes=MEGABYTE, retention_seconds=3_600) as room:
        for minute in range(30):
            found = [
                log_record(f"{n} " + "x" * 500, room.clock.now_ms() / 1_000 + n) for n in range(20)
            ]
            for number in range(3):
                room.send(logs(resource(deployment=f"d-{minute}-{number}"), found))
            room.clock.advance(60)
        room.room.trim()
        assert room.store.size_bytes() <= MEGABYTE
        kept = room.store.excerpts(EVER, 10_000)
        assert 0 < len(kept) < 30 * 3 * 20
        newest = max(each.window_s for each in kept)
        assert newest >= room.clock.now_ms() // 1_000 - 121
        room.clock.advance(7_200)
        room.room.trim()
        assert room.store.oldest_s() is None


def _bombs() -> dict[str, tuple[Signal, bytes, bool]]:
    empty_spans = b"\x12\x00" * ((BODY_BYTES - 64) // 2)
    scope = b"\x12" + _varint(len(empty_spans)) + empty_spans
    many_spans = b"\x0a" + _varint(len(scope)) + scope
    attribute = b"\x4a\x00" * 2_000_000
    fat = b"\x12" + _varint(len(attribute)) + attribute
    scope = b"\x12" + _varint(len(fat)) + fat
    return {
        "two million empty spans": (Signal.TRACES, many_spans, False),
        "two million empty resources": (Signal.LOGS, b"\x0a\x00" * (BODY_BYTES // 2), False),
        "one span of two million attributes": (
            Signal.TRACES,
            b"\x0a" + _varint(len(scope)) + scope,
            False,
        ),
        "a million empty spans in JSON": (
            Signal.TRACES,
            b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b"{}," * 1_390_000 + b"{}]}]}]}",
            True,
        ),
        "JSON that nests deeply": (Signal.METRICS, b'{"resourceMetrics":' + b"[" * 4_000_000, True),
    }


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


@pytest.mark.parametrize("name", _bombs())
def test_a_body_made_to_fill_memory_is_refused_and_does_not(room: Room, name: str) -> None:
    signal, body, is_json = _bombs()[name]
    room.send(traces(resource(), [span(1, START_S)]))  # what is loaded once is loaded now
    tracemalloc.start()
    try:
        with pytest.raises((TooLargeError, RequestError)):
            room.send_bytes(signal, body, json=is_json)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 * len(body)
    assert requests_in(room) == 1


def test_memory_stays_within_its_bounds_whatever_names_come(tmp_path: Path) -> None:
    with Room(tmp_path) as room:

        def flood(start: int, count: int) -> None:
            for number in range(start, start + count, 50):
                request = traces(resource(), [])
                for each in range(number, number + 50):
                    said = resource(f"s-{each}", f"e-{each}", f"d-{each}", f"i-{each}", x="y" * 200)
                    one = traces(said, [span(each, START_S, attributes={"a": f"{each}" * 40})])
                    request.resource_spans.extend(one.resource_spans)
                room.send(request)

        flood(0, 500)
        collector = room.room.reception._collector
        assert collector is not None
        collector._places._most = 600
        collector._origins.clear()
        flood(500, 500)
        tracemalloc.start()
        try:
            flood(1_000, 2_000)
            grown = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert len(collector._places) <= 600
        # What is remembered by name has its own bounds: origins, contests, what was confirmed.
        assert grown < 16 * MEGABYTE


def test_a_huge_batch_is_counted_whole(room: Room) -> None:
    found = [span(n, START_S + n % 30) for n in range(20_000)]
    assert room.send(traces(resource(), found)) == Taken(20_000)
    assert requests_in(room) == 20_000


def test_whatever_is_cut_off_is_refused_or_read(room: Room) -> None:
    request = metrics(resource(), [histogram([0.1], START_S, start_s=START_S - 1)])
    for body, is_json in ((request.SerializeToString(), False), (as_json(request), True)):
        for size in range(0, len(body), 7):
            with contextlib.suppress(RequestError):
                room.send_bytes(Signal.METRICS, body[:size], json=is_json)


def _odd(name: str) -> object:
    """Return a request that a sender can make and nobody can mean."""
    if name == "a status of 5,000 digits":
        status = {"http.request.method": "GET", "http.response.status_code": "9" * 5_000}
        return traces(resource(), [span(1, START_S, attributes=status)])
    if name == "more counted than there is":
        metric = histogram([0.1], START_S, temporality=DELTA)
        point = metric.histogram.data_points[0]
        point.count = 2**63
        point.bucket_counts[:] = [2**63 for _ in point.bucket_counts]
        return metrics(resource(), [metric])
    metric = exponential([0.1], START_S, temporality=DELTA)
    metric.exponential_histogram.data_points[0].scale = -(2**31)
    return metrics(resource(), [metric])


@pytest.mark.parametrize(
    "name", ["a status of 5,000 digits", "more counted than there is", "a scale that overflows"]
)
def test_an_odd_item_is_refused_or_counted_and_harms_no_other(room: Room, name: str) -> None:
    with contextlib.suppress(RequestError):
        room.send(_odd(name))
    assert room.send(traces(resource(), [span(2, START_S)])).refused == 0
    assert room.dropped().get("defect") is None


def test_a_request_that_shows_a_defect_is_alone_in_it(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooked = Hooked(room)
    first = room.room.reception.hand_in(handed(1))
    assert hooked.entered.wait(PATIENCE_SECONDS)
    collector = room.room.reception._collector
    assert collector is not None
    take = collector.take

    def broken(given: Handed, now_s: int) -> Taken:
        if given.body == handed(2).body:
            raise ZeroDivisionError("a defect")
        return take(given, now_s)

    monkeypatch.setattr(collector, "take", broken)
    others = [room.room.reception.hand_in(handed(number)) for number in (2, 3)]
    hooked.go_on.set()
    assert first.result(PATIENCE_SECONDS).items == 1
    with pytest.raises(UnexpectedError):
        others[0].result(PATIENCE_SECONDS)
    assert others[1].result(PATIENCE_SECONDS).items == 1
    assert requests_in(room) == 2
    assert room.dropped() == {"defect": 1}
