"""What comes in is counted once, for whom it speaks, and only if its caller may say so."""

from pathlib import Path
from typing import Any

import pytest
from telemetry_samples import ANYONE, CALLER, EVER, START_S, Room

from deploymark.errors import (
    ForbiddenError,
    RequestError,
    TooLargeError,
    UnauthenticatedError,
)
from deploymark.ingest.callers import Caller
from deploymark.model.entries import Scope
from deploymark.model.vocabulary import Role
from deploymark.ports import EXCERPTS_KEPT, Place
from deploymark.telemetry.collector import Taken
from deploymark.telemetry.limits import (
    GAUGE_LABELS,
    INSTANCES_PER_DEPLOYMENT,
    OTHER,
    RESOURCES,
)
from deploymark.telemetry.places import Places
from deploymark.telemetry.signals import Signal
from deploymark.testing.otlp import (
    CLIENT,
    CONSUMER,
    DELTA,
    FAILED,
    OK,
    exponential,
    gauge,
    histogram,
    log_record,
    logs,
    metrics,
    resource,
    span,
    traces,
)

NOBODY = Caller("", frozenset())
SHOP_ONLY = Caller(
    "token:shop", frozenset({Role.EMITTER}), Scope(services=("shop",), environments=("prod",))
)


# Who may -----------------------------------------------------------------------------------------


def test_a_token_speaks_for_its_services_and_environments_only(room: Room) -> None:
    request = traces(resource(), [span(1, START_S)])
    other = traces(resource(service="bank"), [span(2, START_S), span(3, START_S)])
    request.resource_spans.extend(other.resource_spans)
    taken = room.send(request, caller=SHOP_ONLY)
    assert (taken.items, taken.refused) == (1, 2)
    assert "bank" in taken.why
    with pytest.raises(ForbiddenError, match="bank"):
        room.send(other, caller=SHOP_ONLY)
    assert [item["service"] for item in room.red()] == ["shop"]
    assert {marker["service"] for marker in room.intake.markers} == {"shop"}


def test_strangers_speak_where_policy_lets_them(room: Room) -> None:
    with pytest.raises(UnauthenticatedError, match="token"):
        room.send(traces(resource(), [span(1, START_S)]), caller=NOBODY)
    room.send(traces(resource(environment="sandbox-1"), [span(1, START_S)]), caller=NOBODY)
    assert [item["environment"] for item in room.red()] == ["sandbox-1"]


def test_a_reader_may_not_send(room: Room) -> None:
    reader = Caller("token:r", frozenset({Role.READER}), ANYONE)
    with pytest.raises(ForbiddenError):
        room.send(traces(resource(), [span(1, START_S)]), caller=reader)


# Requests ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("json", [False, True], ids=["protobuf", "json"])
def test_server_spans_are_requests(room: Room, *, json: bool) -> None:
    found = [
        span(1, START_S, seconds=0.02),
        span(2, START_S + 1, seconds=0.3, attributes=FAILED),
        span(3, START_S + 9, seconds=0.3, failed=True),
        span(4, START_S, kind=CLIENT),
        span(5, START_S + 10, kind=CONSUMER, attributes={"messaging.system": "kafka"}),
    ]
    assert room.send(traces(resource(), found), json=json) == Taken(5)
    first, second = room.red()
    assert (first["requests"], first["errors"], first["from"]) == (3, 2, "span")
    assert (first["protocol"], first["deployment_id"]) == ("http", "d-one")
    below = dict(zip(first["latency"]["bounds"], first["latency"]["counts"], strict=False))
    assert {bound: count for bound, count in below.items() if count} == {0.025: 1, 0.5: 2}
    assert (second["protocol"], second["requests"]) == ("messaging", 1)


def test_sampled_spans_stand_for_those_that_were_dropped(room: Room) -> None:
    room.send(traces(resource(), [span(1, START_S, trace_state="ot=th:c", attributes=FAILED)]))
    (item,) = room.red()
    assert (item["requests"], item["errors"], item["seen"]) == (4, 4, 1)
    assert sum(item["latency"]["counts"]) == 4


def test_metrics_count_instead_of_spans(room: Room) -> None:
    room.send(traces(resource(), [span(1, START_S)]))
    assert room.totals()["requests"] == 1
    room.send(metrics(resource(), [histogram([0.1] * 7, START_S + 55, start_s=START_S - 5)]))
    # The span was one of the seven, which were counted from before it on.
    assert room.totals()["requests"] == 7
    room.send(traces(resource(), [span(2, START_S + 60)]))
    room.send(traces(resource(instance="i-2"), [span(3, START_S + 60)]))
    assert [(item["instance_uid"], item["requests"]) for item in room.red()] == [
        ("i-1", 7),
        ("i-2", 1),
    ]


def test_old_and_new_metrics_of_the_same_requests_count_once(room: Room) -> None:
    old = histogram(
        [20.0, 30.0],
        START_S,
        start_s=START_S - 5,
        name="http.server.duration",
        unit="ms",
        bounds=[each * 1_000 for each in (0.005, 0.025, 0.5)],
    )
    new = histogram([0.02, 0.03], START_S, start_s=START_S - 5)
    room.send(metrics(resource(), [old, new]))
    assert room.totals()["requests"] == 2
    later = histogram(
        [20.0] * 9, START_S + 9, start_s=START_S - 5, name="http.server.duration", unit="ms"
    )
    room.send(metrics(resource(), [later]))
    assert room.totals()["requests"] == 2
    room.send(metrics(resource(instance="i-old"), [old]))
    assert room.totals()["requests"] == 4
    assert room.red(instance="i-old")[0]["latency"]["bounds"] == (0.005, 0.025, 0.5)


@pytest.mark.parametrize("make", [histogram, exponential])
def test_cumulative_and_delta_histograms_say_the_same(room: Room, make: Any) -> None:  # noqa: ANN401
    latencies = [0.02, 0.2, 0.2, 7.0]
    for number in range(1, 5):
        end = START_S + number * 10
        room.send(metrics(resource(), [make(latencies[:number], end, start_s=START_S)]))
        room.send(
            metrics(
                resource(instance="delta"),
                [make(latencies[number - 1 : number], end, start_s=end - 10, temporality=DELTA)],
            )
        )
    said = ("at", "requests", "errors", "latency")
    one, other = (
        [{name: item[name] for name in said} for item in room.red(instance=instance)]
        for instance in ("i-1", "delta")
    )
    for item in (*one, *other):
        item["latency"]["seconds"] = pytest.approx(item["latency"]["seconds"])
    assert one == other
    assert room.totals()["requests"] == 8


def test_an_increase_stands_where_its_interval_ended_and_says_when_it_began(room: Room) -> None:
    room.send(metrics(resource(), [histogram([0.1], START_S, start_s=START_S - 3)]))
    room.send(metrics(resource(), [histogram([0.1] * 5, START_S + 60, start_s=START_S - 3)]))
    first, second = room.red()
    assert (first["requests"], second["requests"]) == (1, 4)
    assert second["since"] == first["at"]


def test_a_request_that_comes_again_counts_once(room: Room) -> None:
    for _ in range(3):
        room.send(traces(resource(), [span(1, START_S)]))
        room.send(
            metrics(
                resource(instance="m"),
                [histogram([0.1], START_S, start_s=START_S - 9, temporality=DELTA)],
            )
        )
    assert room.totals()["requests"] == 2
    assert room.dropped()["repeated"] == 4


def test_a_restart_counts_nothing_twice_and_loses_nothing(tmp_path: Path) -> None:
    span_request = traces(resource(instance="s"), [span(1, START_S)])
    for number in range(1, 5):
        with Room(tmp_path) as room:
            room.send(span_request)
            total = histogram([0.1] * number, START_S + number * 10, start_s=START_S)
            room.send(metrics(resource(), [total]))
            assert room.totals()["requests"] == number + 1


def test_times_ahead_count_as_now_and_old_ones_do_not_count(room: Room) -> None:
    room.send(traces(resource(), [span(1, START_S + 3_600)]))
    (item,) = room.red()
    assert item["at"] == room.room.reader.marked(EVER, 10).items[0]["at"]
    room.send(traces(resource(), [span(2, START_S - 200_000)]))
    assert room.totals()["requests"] == 1
    assert room.dropped() == {"old": 1}


# The rest ----------------------------------------------------------------------------------------


def test_m8_is_the_share_of_spans_whose_resource_is_marked(room: Room) -> None:
    room.send(traces(resource(), [span(n, START_S, kind=CLIENT) for n in range(3)]))
    room.send(traces(resource(deployment=""), [span(n, START_S) for n in range(10, 15)]))
    room.send(traces(resource(service="bank"), [span(20, START_S)]))
    found = room.room.reader.marked(EVER, 10).items
    assert [(i["service"], i["numerator"], i["denominator"]) for i in found] == [
        ("bank", 1, 1),
        ("shop", 3, 8),
    ]


def test_gauges_are_kept_as_least_most_sum_and_count(room: Room) -> None:
    name = "process.cpu.utilization"
    found = [gauge(name, value, START_S, mode="user") for value in (0.5, 0.25, 1.0)]
    room.send(metrics(resource(), [*found, gauge("unknown", 1.0, START_S)]))
    ((key, values),) = room.room.reader.gauges(EVER)[0]
    assert (key.name, key.label) == (name, "mode=user")
    assert (values.least, values.most, values.sum, values.count) == (0.25, 1.0, 1.75, 3)


def test_attribute_sets_of_a_gauge_are_bounded(room: Room) -> None:
    name = "process.cpu.utilization"
    found = [gauge(name, 1.0, START_S, cpu=str(n)) for n in range(GAUGE_LABELS + 5)]
    assert room.send(metrics(resource(), found)) == Taken(GAUGE_LABELS + 5)
    assert len(room.room.reader.gauges(EVER)[0]) == GAUGE_LABELS
    assert room.dropped() == {"gauge_labels": 5}


def test_the_slowest_and_the_failing_traces_are_kept(room: Room) -> None:
    found = [span(n, START_S, seconds=n / 100, attributes=OK) for n in range(1, 40)]
    found += [span(n, START_S, seconds=0.001, attributes=FAILED) for n in range(100, 103)]
    for each in found:
        room.send(traces(resource(), [each]))
    items = room.room.reader.traces(EVER).items
    failing = [int(i["trace_id"], 16) for i in items if i["why"] == "failing"]
    slow = [int(i["trace_id"], 16) for i in items if i["why"] == "slow"]
    assert sorted(failing) == [100, 101, 102]
    assert slow == list(range(39, 29, -1))


def test_log_excerpts_put_errors_first_and_refuse_secrets(room: Room) -> None:
    room.send(
        logs(
            resource(),
            [
                log_record("noise", START_S, 5),
                log_record("hello " + "x" * 2_000, START_S, 9),
                log_record("it broke", START_S + 1, 17, "OutOfStock"),
                log_record("password=hunter2hunter2", START_S, 17),
                log_record("token ghp_" + "a1B2" * 9, START_S, 21),
                log_record("mail to jane.doe@example.com", START_S, 17),
            ],
        )
    )
    items = room.room.reader.logs(EVER).items
    assert [item["text"][:8] for item in items] == ["it broke", "hello xx"]
    assert items[0]["event"] == "OutOfStock"
    assert len(items[1]["text"]) == 512
    assert room.dropped() == {"secret_refused": 2, "personal_data_refused": 1}


def test_a_flood_of_logs_costs_few_rows(room: Room) -> None:
    for start in range(0, 400, 100):
        found = [
            log_record(f"line {n}", START_S + 1 + n / 1_000) for n in range(start, start + 100)
        ]
        room.send(logs(resource(), found))
    assert len(room.room.reader.logs(EVER, 1_000).items) == EXCERPTS_KEPT


# What is wrong -----------------------------------------------------------------------------------


def test_an_item_that_cannot_be_read_spoils_no_other(room: Room) -> None:
    request = traces(resource(), [span(1, START_S)])
    body = request.SerializeToString()
    bad = b"\x12\x02\x2a\xff"  # a span whose name runs beyond its end
    scope = request.resource_spans[0].scope_spans[0].SerializeToString() + bad
    told = request.resource_spans[0].resource.SerializeToString()
    inner = b"\x0a" + bytes([len(told)]) + told + b"\x12" + _varint(len(scope)) + scope
    body = b"\x0a" + _varint(len(inner)) + inner
    taken = room.send_bytes(Signal.TRACES, body)
    assert (taken.items, taken.refused) == (1, 1)
    assert "protobuf" in taken.why
    assert room.totals()["requests"] == 1


def _varint(value: int) -> bytes:
    return bytes([value & 0x7F | 0x80, value >> 7]) if value > 0x7F else bytes([value])


@pytest.mark.parametrize("json", [False, True], ids=["protobuf", "json"])
@pytest.mark.parametrize("body", [b"\xff\xff", b"{", b"[]", b"\x0a\x05ab"])
def test_garbage_is_refused(room: Room, body: bytes, *, json: bool) -> None:
    with pytest.raises(RequestError):
        room.send_bytes(Signal.TRACES, body, json=json)
    assert room.red() == []


def test_an_empty_request_is_a_success(room: Room) -> None:
    assert room.send_bytes(Signal.METRICS, b"") == Taken(0)
    assert room.send_bytes(Signal.METRICS, b"{}", json=True) == Taken(0)


def test_a_request_of_too_many_parts_is_refused(room: Room) -> None:
    body = b"\x0a\x00" * (RESOURCES + 1)
    with pytest.raises(TooLargeError):
        room.send_bytes(Signal.TRACES, body)


def test_a_histogram_that_makes_no_sense_is_refused_alone(room: Room) -> None:
    bad = histogram([0.1], START_S)
    del bad.histogram.data_points[0].bucket_counts[-1]
    taken = room.send(metrics(resource(), [bad, histogram([0.1], START_S, start_s=START_S - 1)]))
    assert (taken.items, taken.refused) == (1, 1)
    assert room.totals()["requests"] == 1


def test_instances_are_told_apart_up_to_a_limit_and_counted_beyond_it(room: Room) -> None:
    for start in range(0, INSTANCES_PER_DEPLOYMENT + 10, 1_000):
        request = traces(resource(), [])
        for number in range(start, min(start + 1_000, INSTANCES_PER_DEPLOYMENT + 10)):
            one = traces(resource(instance=f"i-{number}"), [span(number, START_S)])
            request.resource_spans.extend(one.resource_spans)
        room.send(request, caller=CALLER)
    items = room.red()
    assert sum(item["requests"] for item in items) == INSTANCES_PER_DEPLOYMENT + 10
    others = [item for item in items if item["instance_uid"] == OTHER]
    assert [item["requests"] for item in others] == [10]
    assert room.dropped() == {"places": 10}


def test_places_of_all_kinds_are_bounded_and_idle_ones_make_room() -> None:
    places = Places(most=4, deployments=2, instances=2)
    one = Place("shop", "prod", "d-1", "i-1")
    assert places.admit(one, START_S) == one
    for deployment in ("d-2", "d-3"):
        places.admit(one._replace(deployment=deployment), START_S)
    assert places.admit(one._replace(deployment="d-3"), START_S).deployment == OTHER
    bank = one._replace(service="bank")
    assert places.admit(bank, START_S) == bank
    assert places.admit(one._replace(service="third"), START_S) == (OTHER, OTHER, OTHER, OTHER)
    assert len(places) == 4
    assert places.admit(one._replace(service="third"), START_S + 1_000).service == "third"
    assert len(places) == 1
