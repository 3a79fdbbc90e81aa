"""OpenTelemetry over HTTP: spans and points a second, what each costs, and what memory it takes.

Run alone: `python benchmarks/otlp.py [--quick] [--json]`. Quiet machine, please: load and server
share its cores. Bare limits of the same run: reading the same protobuf whole with
opentelemetry-proto and looking at nothing, and inserting a row for each item into SQLite.
"""

import asyncio
import gzip
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from loading import cpu_seconds, press, request
from measuring import Row, median_seconds, options, report
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from deploymark.testing.otlp import (
    CLIENT,
    SERVER,
    any_value,
    as_json,
    histogram,
    metrics,
    resource,
    span,
    traces,
)

COMMAND = Path(sys.executable).parent / "deploymark"
TOKEN = f"dmk_{'0' * 12}_{'a' * 43}"
SPANS, POINTS, CONNECTIONS, INSTANCES = 512, 200, 4, 50
MEGABYTE = 1_024 * 1_024
_ATTRIBUTES = {
    "http.request.method": "GET",
    "http.response.status_code": 200,
    "http.route": "/cart/{id}",
    "url.scheme": "http",
    "server.address": "shop.example.com",
    "network.protocol.version": "1.1",
    "user_agent.original": "curl/8.5.0",
}


def span_requests(count: int, now_s: float, start: int) -> list[Any]:
    """Return requests as an SDK's batch processor sends them; every second span is an entry."""
    found = []
    for number in range(start, start + count):
        spans = [
            span(
                number * SPANS + each,
                now_s - each / SPANS,
                seconds=0.01 + each / 10_000,
                kind=SERVER if each % 2 else CLIENT,
                attributes={**_ATTRIBUTES, "url.path": f"/cart/{each}"},
            )
            for each in range(SPANS)
        ]
        found.append(traces(resource(instance=f"i-{number % INSTANCES}"), spans))
    return found


def point_requests(rounds: int, start_s: float, first_round: int) -> list[Any]:
    """Return exports of growing histograms: so many attribute sets of each instance."""
    found = []
    for turn in range(first_round, first_round + rounds):
        template = histogram(
            [0.02] * turn + [0.3] * turn, start_s + turn, start_s=start_s - 5, attributes={}
        )
        for instance in range(INSTANCES):
            made = metrics(resource(instance=f"m-{instance}"), [template])
            points = made.resource_metrics[0].scope_metrics[0].metrics[0].histogram.data_points
            for number in range(POINTS):
                point = points[0] if number == 0 else points.add()
                if number:
                    point.CopyFrom(points[0])
                    del point.attributes[:]
                point.attributes.add(key="http.route", value=any_value(f"/route/{number}"))
                point.attributes.add(key="http.response.status_code", value=any_value(200))
            found.append(made)
    return found


def bare_parse(message: Callable[[bytes], object], bodies: Sequence[bytes]) -> float:
    """Return seconds that reading the bodies whole takes."""
    return median_seconds(lambda: [message(body) for body in bodies], 3)


def bare_insert(folder: Path, rows: int) -> float:
    """Return seconds that inserting a row for each item takes, a request a commit."""
    database = sqlite3.connect(folder / "bare.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=NORMAL")
    database.execute("CREATE TABLE IF NOT EXISTS item (a INT, b INT, c TEXT, d REAL, e BLOB)")
    batch = [(n, n % 7, "http", 0.02, b"x" * 64) for n in range(SPANS)]

    def insert() -> None:
        for _ in range(rows // SPANS):
            database.execute("BEGIN")
            database.executemany("INSERT INTO item VALUES (?, ?, ?, ?, ?)", batch)
            database.execute("COMMIT")

    took = median_seconds(insert, 3)
    database.close()
    return took


def resident_megabytes(pid: int, field: str = "VmHWM") -> float:
    """Return how much memory a process has, or has had at most."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(each for each in status.splitlines() if each.startswith(field))
    return int(line.split()[1]) / 1_024


class Bench:
    """One server, asked by one load."""

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self.pid = pid

    def requests(self, path: str, bodies: Sequence[bytes], kind: str) -> list[bytes]:
        """Return whole requests."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
        return [request(path, body, headers) for body in bodies]

    def press(self, raw: list[bytes]) -> tuple[float, float]:
        """Return seconds and CPU seconds of the server."""
        load = asyncio.run(press(self.port, self.pid, raw, CONNECTIONS))
        if set(load.statuses) != {200}:
            raise SystemExit(f"Not everything was taken: {load.statuses}")
        return load.seconds, load.server_cpu


def throughput(bench: Bench, folder: Path, *, quick: bool) -> Iterator[Row]:
    """Measure spans and points a second, in both encodings."""
    count = 60 if quick else 240
    rounds = 4 if quick else 12
    now_s = time.time()  # noqa: TID251 - a benchmark asks the real clock
    kinds = (("protobuf", "application/x-protobuf"), ("json", "application/json"))
    insert_us = bare_insert(folder, SPANS * count) / (SPANS * count) * 1e6
    for place, (name, kind) in enumerate(kinds):
        for what, path, made, items, message in (
            (
                "spans",
                "/v1/traces",
                span_requests(count, now_s, place * count),
                SPANS,
                ExportTraceServiceRequest.FromString,
            ),
            (
                "points",
                "/v1/metrics",
                point_requests(rounds, now_s - 120, 1 + place * rounds),
                POINTS,
                ExportMetricsServiceRequest.FromString,
            ),
        ):
            plain = [each.SerializeToString() for each in made]
            bodies = plain if name == "protobuf" else [as_json(each) for each in made]
            total = items * len(made)
            parse = bare_parse(message, plain)
            seconds, cpu = bench.press(bench.requests(path, bodies, kind))
            note = (
                f"{items} a request, {CONNECTIONS} connections, "
                f"{sum(map(len, bodies)) / total:.0f} bytes each; server CPU "
                f"{cpu / total * 1e6:.1f} us each; limit: parsing alone in protobuf, "
                f"{parse / total * 1e6:.2f} us; inserting a row alone {insert_us:.2f} us"
            )
            rate = total / seconds
            goal, met = "none", True
            if name == "protobuf":
                least = {"spans": 20_000, "points": 10_000}[what]
                goal, met = f">= {least:,}", rate >= least
            yield Row(f"{what}/s, {name}", rate, total / parse, "/s", goal, met, note)


def memory(bench: Bench, before: float) -> Iterator[Row]:
    """Measure what it took, and what the worst bodies take."""
    peak = resident_megabytes(bench.pid)
    note = f"{before:.0f} MB before; {INSTANCES} instances with {POINTS} streams each, and spans"
    yield Row("memory under load", peak, before, "MB", "<= 250", peak <= 250, note)
    empty = b"\x12\x00" * 2_000_000
    for _ in range(2):
        size = bytearray()
        value = len(empty)
        while value > 0x7F:
            size.append(value & 0x7F | 0x80)
            value >>= 7
        empty = (b"\x12" if _ == 0 else b"\x0a") + bytes([*size, value]) + empty
    bombs = [gzip.compress(empty), gzip.compress(bytes(256 * MEGABYTE))]
    headers = {
        "Authorization": f"Bearer {TOKEN}",
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": "gzip",
    }
    raw = [request("/v1/traces", each, headers) for each in bombs * 8]
    cpu = cpu_seconds(bench.pid)
    load = asyncio.run(press(bench.port, bench.pid, raw, CONNECTIONS))
    worst = resident_megabytes(bench.pid)
    note = (
        f"16 bombs (2 million empty spans; 256 MB of zeros), 4 at once: {load.statuses}; "
        f"{(cpu_seconds(bench.pid) - cpu) / 16 * 1e3:.0f} ms of CPU each"
    )
    yield Row("memory under bombs", worst, peak, "MB", "<= 450", worst <= 450, note)


def rows(folder: Path, *, quick: bool) -> Iterator[Row]:
    """Measure everything."""
    config = folder / "config.toml"
    config.write_text("[auth]\nrequests_per_second = 1000000\nrequests_burst = 1000000\n")
    command: list[str | Path] = [COMMAND, "up", "--data", folder / "data"]
    command += ["--listen", "127.0.0.1:0", "--config", config, "--json"]
    environment = {"DEPLOYMARK_ADMIN_TOKEN": TOKEN, "PATH": str(COMMAND.parent)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            assert server.stdout is not None  # noqa: S101
            url = json.loads(server.stdout.readline())["url"]
            bench = Bench(int(url.rpartition(":")[2]), server.pid)
            warm = [each.SerializeToString() for each in span_requests(2, 1e6, 10**6)]
            bench.press(bench.requests("/v1/traces", warm, "application/x-protobuf"))
            before = resident_megabytes(server.pid, "VmRSS")
            yield from throughput(bench, folder, quick=quick)
            yield from memory(bench, before)
        finally:
            server.terminate()


def main() -> None:
    """Run and report."""
    chosen = options(__doc__ or "")
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        measured = list(rows(Path(folder), quick=chosen.quick))
    report(measured, as_json=chosen.json)


if __name__ == "__main__":
    main()
