"""OpenTelemetry over HTTP: each encoding is answered in its own, and nothing breaks the door."""

import gzip
import zlib
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
from door_samples import Door, ReadMeter, Reply, exchange, serving
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from deploymark.errors import OverloadedError, StoreUnavailableError
from deploymark.ingest.admission import AdmissionRules
from deploymark.model.vocabulary import Role
from deploymark.server.application import Application
from deploymark.server.otlp import GRPC_HINT
from deploymark.server.protocol import HTTP2_HINT
from deploymark.server.settings import Settings
from deploymark.storage.sqlite.telemetry import SqliteTelemetryStore
from deploymark.telemetry.collector import Handed, Taken
from deploymark.telemetry.confirmations import Confirmations
from deploymark.telemetry.limits import BODY_BYTES, GAUGES, MEGABYTE
from deploymark.telemetry.room import Settings as RoomSettings
from deploymark.telemetry.room import TelemetryRoom, make_room
from deploymark.testing.clock import START_MS
from deploymark.testing.otlp import (
    as_json,
    histogram,
    log_record,
    logs,
    metrics,
    resource,
    span,
    traces,
)

START_S = START_MS // 1_000
PROTOBUF, JSON = "application/x-protobuf", "application/json"
REQUEST = traces(resource(), [span(1, START_S), span(2, START_S)])


class OtlpDoor(Door):
    """A door with a telemetry room behind it."""

    def __init__(self, folder: Path, bucket_seconds: int = 10) -> None:
        super().__init__()
        clock, meter = self.log.clock, ReadMeter()
        self.store = SqliteTelemetryStore(folder / "telemetry.db", 64 * MEGABYTE)
        self.room: TelemetryRoom = make_room(
            self.store,
            RoomSettings(172_800, 64 * MEGABYTE, BODY_BYTES, GAUGES, bucket_seconds),
            rules=AdmissionRules(),
            confirmations=Confirmations(self.intake.submit, clock, meter),
            clock=clock,
            meter=meter,
        )
        self.room.reception.start()
        self.use(self.room)

    def use(self, room: TelemetryRoom) -> None:
        """Put another room behind the door."""
        self.app = Application(replace(self.parts, telemetry=room), Settings())

    def send(
        self,
        body: bytes,
        kind: str = PROTOBUF,
        role: Role | None = Role.EMITTER,
        path: str = "/v1/traces",
        **headers: str,
    ) -> Reply:
        """Send what an exporter would."""
        said = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.ask("POST", path, role, body, {"content-type": kind, **said})

    def __exit__(self, *_: object) -> None:
        self.room.reception.stop()
        self.store.close()
        super().__exit__()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[OtlpDoor]:
    """A door with a room."""
    with OtlpDoor(tmp_path) as made:
        yield made


def status_of(reply: Reply) -> tuple[int, str]:
    """Return code and message of a `google.rpc.Status`, in either encoding."""
    if reply.headers["content-type"] == JSON:
        return reply.json["code"], reply.json["message"]
    assert reply.headers["content-type"] == PROTOBUF
    assert reply.body[0] == 0x08
    # The message is field 2; its length is one or two bytes.
    start = 4 if reply.body[3] < 0x80 else 5
    assert reply.body[2] == 0x12
    return reply.body[1], reply.body[start:].decode()


# Taken -------------------------------------------------------------------------------------------


def test_each_encoding_is_answered_in_its_own(door: OtlpDoor) -> None:
    reply = door.send(REQUEST.SerializeToString())
    assert (reply.status, reply.headers["content-type"], reply.body) == (200, PROTOBUF, b"")
    reply = door.send(as_json(traces(resource(), [span(3, START_S)])), JSON)
    assert (reply.status, reply.headers["content-type"], reply.body) == (200, JSON, b"{}")
    (item,) = door.ask("GET", "/v1/telemetry/red", Role.READER).json["items"]
    assert (item["requests"], item["deployment_id"]) == (3, "d-one")


def test_all_three_signals_are_taken_and_can_be_asked_for(door: OtlpDoor) -> None:
    found = metrics(resource(), [histogram([0.1], START_S, start_s=START_S - 3)])
    assert door.send(found.SerializeToString(), path="/v1/metrics").status == 200
    lines = logs(resource(), [log_record("it broke", START_S)])
    assert door.send(lines.SerializeToString(), path="/v1/logs").status == 200
    assert door.send(REQUEST.SerializeToString()).status == 200
    for name, shown in {
        "red": ("requests", 1),
        "marked": ("numerator", 2),
        "traces": ("duration_ms", 20.0),
        "logs": ("text", "it broke"),
    }.items():
        reply = door.ask("GET", f"/v1/telemetry/{name}?service=shop", Role.READER)
        assert reply.json["items"][0][shown[0]] == shown[1], name
        assert reply.json["next_cursor"] is None


def test_a_resource_becomes_a_marker_in_the_log(door: OtlpDoor) -> None:
    door.send(REQUEST.SerializeToString())
    door.intake.close()
    (found,) = door.ask("GET", "/v1/markers", Role.READER).json["items"]
    assert found["marker"]["phase"] == "running"
    assert found["principal"] == "token:emitter"
    assert found["assurance"] == "attributed"
    assert found["ids"]["deployment_id"] == "d-one"


def test_gzip_is_unpacked(door: OtlpDoor) -> None:
    reply = door.send(gzip.compress(REQUEST.SerializeToString()), content_encoding="gzip")
    assert reply.status == 200
    assert door.ask("GET", "/v1/telemetry/marked", Role.READER).json["items"][0]["numerator"] == 2


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
def test_what_is_refused_in_part_is_told(door: OtlpDoor, kind: str) -> None:
    bad = histogram([0.1], START_S)
    del bad.histogram.data_points[0].bucket_counts[-1]
    found = metrics(resource(), [bad, histogram([0.1], START_S)])
    body = as_json(found) if kind == JSON else found.SerializeToString()
    reply = door.send(body, kind, path="/v1/metrics")
    assert reply.status == 200
    if kind == JSON:
        told = reply.json["partialSuccess"]
        assert told["rejectedDataPoints"] == "1"
        assert "makes no sense" in told["errorMessage"]
    else:
        told = ExportTraceServiceResponse.FromString(reply.body).partial_success
        assert (told.rejected_spans, "makes no sense" in told.error_message) == (1, True)


def test_answers_come_in_pages_of_whole_steps(door: OtlpDoor) -> None:
    found = [span(n, START_S + n * 10) for n in range(5)]
    door.send(traces(resource(), found).SerializeToString())
    path = "/v1/telemetry/red?step=20&by=deployment"
    items = door.ask("GET", path, Role.READER).json["items"]
    assert sum(item["requests"] for item in items) == 5
    assert {item["instance_uid"] for item in items} == {None}
    refused = door.ask("GET", "/v1/telemetry/red?step=15", Role.READER)
    assert (refused.status, "multiple" in refused.json["detail"]) == (400, True)
    refused = door.ask("GET", "/v1/telemetry/red?since=yesterday", Role.READER)
    assert refused.status == 400


def test_a_step_is_as_short_as_the_buckets_are(tmp_path: Path) -> None:
    with OtlpDoor(tmp_path, bucket_seconds=2) as door:
        door.send(traces(resource(), [span(n, START_S + n) for n in range(4)]).SerializeToString())
        for view in ("red?by=deployment", "marked"):
            path = f"/v1/telemetry/{view}"
            items = door.ask("GET", path, Role.READER).json["items"]
            assert {item["seconds"] for item in items} == {2}
        items = door.ask("GET", "/v1/telemetry/red", Role.READER).json["items"]
        assert [item["requests"] for item in items] == [2, 2]
        assert door.ask("GET", "/v1/telemetry/red?step=3", Role.READER).status == 400


# Refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
@pytest.mark.parametrize("body", [b"\xff\xff\xff", b"{", b'{"resourceSpans": 7}'])
def test_garbage_is_refused_as_status(door: OtlpDoor, kind: str, body: bytes) -> None:
    reply = door.send(body, kind)
    assert reply.status == 400
    assert reply.headers["content-type"] == kind
    assert status_of(reply)[0] == 3


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
def test_a_bomb_is_refused_while_it_is_unpacked(door: OtlpDoor, kind: str) -> None:
    bomb = gzip.compress(bytes(BODY_BYTES * 64))
    assert len(bomb) < MEGABYTE
    reply = door.send(bomb, kind, content_encoding="gzip")
    assert reply.status == 413
    assert status_of(reply)[0] == 3


def test_what_is_no_gzip_is_refused(door: OtlpDoor) -> None:
    for body in (b"plain", zlib.compress(b"x"), gzip.compress(b"x")[:-4], b""):
        assert door.send(body, content_encoding="gzip").status == 400


@pytest.mark.parametrize("kind", ["text/plain", "", "application/x-ndjson"])
def test_other_types_are_refused(door: OtlpDoor, kind: str) -> None:
    reply = door.send(b"x", kind)
    assert reply.status == 415
    assert PROTOBUF in status_of(reply)[1]


@pytest.mark.parametrize("kind", ["application/grpc", "application/grpc+proto"])
def test_grpc_is_told_what_to_set(door: OtlpDoor, kind: str) -> None:
    reply = door.send(b"\x00\x00\x00\x00\x00", kind)
    assert reply.status == 415
    assert GRPC_HINT in status_of(reply)[1]


def test_http2_is_told_what_to_set(door: OtlpDoor) -> None:
    with serving(door) as port:
        answer = exchange(
            port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
        )
        ordinary = exchange(
            port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
    settings, go_away = answer[:9], answer[9:]
    assert settings == b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    assert int.from_bytes(go_away[:3]) == len(go_away) - 9
    assert (go_away[3], int.from_bytes(go_away[13:17])) == (7, 13)  # GOAWAY, HTTP_1_1_REQUIRED
    assert go_away[17:].decode() == HTTP2_HINT
    assert ordinary.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("role", "expected"), [(None, (401, 16)), (Role.READER, (403, 7))], ids=["nobody", "a reader"]
)
def test_who_may_not_is_told_as_status(
    door: OtlpDoor, role: Role | None, expected: tuple[int, int]
) -> None:
    for body, kind in ((REQUEST.SerializeToString(), PROTOBUF), (as_json(REQUEST), JSON)):
        reply = door.send(body, kind, role)
        assert (reply.status, status_of(reply)[0]) == expected
    assert door.ask("GET", "/v1/telemetry/red", Role.READER).json["items"] == []


def test_a_wrong_token_is_told_as_status(door: OtlpDoor) -> None:
    reply = door.send(b"", role=None, authorization="Bearer dmk_wrong")
    assert (reply.status, status_of(reply)[0]) == (401, 16)
    assert reply.headers["www-authenticate"].startswith("Bearer")


class Unable:
    """A reception that cannot follow."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def hand_in(self, _: Handed) -> "Future[Taken]":
        """Refuse, at once or later."""
        if isinstance(self._error, OverloadedError):
            raise self._error
        refused: Future[Taken] = Future()
        refused.set_exception(self._error)
        return refused


@pytest.mark.parametrize("error", [OverloadedError("Full."), StoreUnavailableError("Disk.")])
def test_a_store_that_cannot_follow_asks_to_come_back(door: OtlpDoor, error: Exception) -> None:
    door.use(replace(door.room, reception=Unable(error)))  # type: ignore[arg-type]
    for kind in (PROTOBUF, JSON):
        reply = door.send(b"", kind)
        assert reply.status == 503
        assert int(reply.headers["retry-after"]) >= 1
        assert status_of(reply)[0] == 14


def test_where_telemetry_is_switched_off_it_is_not_there(door: OtlpDoor) -> None:
    door.use(None)  # type: ignore[arg-type]
    reply = door.send(b"")
    assert (reply.status, status_of(reply)[0]) == (404, 5)
    assert door.ask("GET", "/v1/telemetry/red", Role.READER).status == 404


def test_metrics_tell_how_full_the_room_is(door: OtlpDoor) -> None:
    door.send(REQUEST.SerializeToString())
    page = door.ask("GET", "/metrics", Role.READER).body.decode()
    assert "\ndeploymark_telemetry_queue_bytes 0" in page
    assert "\ndeploymark_telemetry_instances 1" in page
    assert "\ndeploymark_telemetry_store_bytes " in page


def test_the_retelling_of_a_problem_says_what_to_do(door: OtlpDoor) -> None:
    code, message = status_of(door.send(b"x", "text/plain"))
    assert code == 3
    assert "Send Content-Type" in message
