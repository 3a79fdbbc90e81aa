"""An application with the real OpenTelemetry SDK reports to a server as its environment says."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import requests

TOKEN = "an-administrators-token-of-enough-length"  # noqa: S105 - of this test
SECONDS = 60
_UP = (sys.executable, "-m", "deploymark", "up", "--data", "data", "--json", "--listen")
APPLICATION = """
import logging, sys
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

traces, logs = TracerProvider(), LoggerProvider()
traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
reader = PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=3_600_000)
metrics = MeterProvider([reader])
tracer, logger = traces.get_tracer("shop"), logs.get_logger("shop")
latency = metrics.get_meter("shop").create_histogram(
    "http.server.request.duration", unit="s",
    explicit_bucket_boundaries_advisory=[0.01, 0.1, 1.0],
)
memory = metrics.get_meter("shop").create_up_down_counter("process.memory.usage", unit="By")
memory.add(1_000_000)
for line in sys.stdin:
    for number in range(10):
        status = 500 if number == 0 else 200
        said = {"http.request.method": "GET", "http.response.status_code": status}
        with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER, attributes=said) as span:
            if status == 500:
                span.set_status(Status(StatusCode.ERROR))
        latency.record(0.05, said)
    logger.emit(LogRecord(severity_number=SeverityNumber.ERROR, body="the basket is lost"))
    flushed = [provider.force_flush() for provider in (traces, metrics, logs)]
    print(*flushed, flush=True)
"""


class Server:
    """A server on a data directory; started and stopped at will."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> None:
        """Start it, at the same address each time."""
        listen = self.url.removeprefix("http://") or "127.0.0.1:0"
        self._process = subprocess.Popen(
            [*_UP, listen],
            cwd=self._place,
            env={"DEPLOYMARK_ADMIN_TOKEN": TOKEN, "PATH": os.defpath},
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        assert self._process.stdout is not None
        self.url = json.loads(self._process.stdout.readline())["url"]

    def stop(self) -> None:
        """Stop it by its process id."""
        if self._process is not None:
            self._process.terminate()
            assert self._process.wait(SECONDS) == 0
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def kill(self) -> None:
        """End it without a word."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None

    def ask(self, path: str) -> list[dict[str, Any]]:
        """Return the items of an answer."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        reply = requests.get(f"{self.url}{path}", headers=headers, timeout=SECONDS)
        assert reply.status_code == HTTPStatus.OK, reply.text
        items: list[dict[str, Any]] = reply.json()["items"]
        return items


class Application:
    """A process that does something each time it is told to."""

    def __init__(self, url: str, temporality: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", APPLICATION],
            env={
                "PATH": os.defpath,
                "OTEL_EXPORTER_OTLP_ENDPOINT": url,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
                "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{TOKEN}",
                "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": temporality,
                "OTEL_SERVICE_NAME": "shop",
                "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=prod,deployment.id=d-one",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def work(self) -> None:
        """Handle ten requests, one of which fails, and send everything."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "True True True\n"

    def stop(self) -> None:
        """End it."""
        self._process.communicate(timeout=SECONDS)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _counted(server: Server) -> tuple[float, float]:
    items = [each for each in server.ask("/v1/telemetry/red") if each["from"] == "metric"]
    return sum(each["requests"] for each in items), sum(each["errors"] for each in items)


def test_an_application_shows_up_with_all_that_it_reports(server: Server) -> None:
    application = Application(server.url, "cumulative")
    application.work()
    application.stop()
    (item,) = server.ask("/v1/telemetry/red?step=86400")
    assert (item["service"], item["environment"], item["deployment_id"]) == (
        "shop",
        "prod",
        "d-one",
    )
    assert (item["requests"], item["errors"], item["from"]) == (10, 1, "metric")
    assert item["latency"]["bounds"] == [0.01, 0.1, 1.0]
    assert item["latency"]["counts"] == [0, 10, 0, 0]
    (marked,) = server.ask("/v1/telemetry/marked?step=86400")
    assert (marked["numerator"], marked["denominator"]) == (10, 10)
    whys = [each["why"] for each in server.ask("/v1/telemetry/traces")]
    assert (whys.count("failing"), whys.count("slow")) == (1, 10)
    (line,) = server.ask("/v1/telemetry/logs")
    assert (line["text"], line["severity"]) == ("the basket is lost", 17)
    deadline = time.monotonic() + SECONDS
    while not (markers := server.ask("/v1/markers?phase=running")) and time.monotonic() < deadline:
        time.sleep(0.05)
    (marker,) = markers
    assert marker["ids"]["deployment_id"] == "d-one"
    assert marker["marker"]["target"]["instance_uid"] == item["instance_uid"]
    assert marker["marker"]["emitter"]["kind"] == "runtime"


@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
def test_a_server_that_is_killed_and_started_again_counts_each_request_once(
    server: Server, temporality: str
) -> None:
    application = Application(server.url, temporality)
    for turn in range(1, 4):
        application.work()
        assert _counted(server) == (10 * turn, turn)
        server.kill()
        server.start()
        assert _counted(server) == (10 * turn, turn)
    application.stop()
    assert len(server.ask("/v1/markers?phase=running")) == 1
