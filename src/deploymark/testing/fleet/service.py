"""A small service that answers HTTP, fails and dawdles as its release says, and reports metrics.

This file is copied into each release and runs there on its own, with the standard library only:
`release.json` beside it says how it behaves, one line of JSON on its standard input says who it is.
It prints its port as JSON, and ends when it is told to (SIGTERM) or its standard input ends, so it
never outlives whoever started it.
"""

import asyncio
import http.client
import json
import math
import random
import signal
import sys
import threading
import time
from bisect import bisect_left
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
DELTA = 1
FAILED = 500
MOST_UNSENT = 60
POST_SECONDS = 5
REASONS = {200: "OK", 500: "Internal Server Error"}
REFUSED = 400
TRY_LATER = (408, 429, 503)


class Measured:
    """Latencies of requests since the last report, by method and status."""

    def __init__(self) -> None:
        self._since_ns = now_ns()
        self._counts: dict[tuple[str, int], list[int]] = {}
        self._seconds: dict[tuple[str, int], float] = {}

    def add(self, method: str, status: int, seconds: float) -> None:
        """Count one request."""
        key = (method, status)
        if key not in self._counts:
            self._counts[key] = [0] * (len(BOUNDS) + 1)
            self._seconds[key] = 0.0
        self._counts[key][bisect_left(BOUNDS, seconds)] += 1
        self._seconds[key] += seconds

    def taken(self) -> list[dict[str, Any]]:
        """Return the points of what came since the last time, and begin anew."""
        counts, seconds, since = self._counts, self._seconds, self._since_ns
        self._counts, self._seconds, self._since_ns = {}, {}, now_ns()
        return [
            {
                "startTimeUnixNano": str(since),
                "timeUnixNano": str(self._since_ns),
                "count": str(sum(buckets)),
                "sum": seconds[method, status],
                "bucketCounts": [str(each) for each in buckets],
                "explicitBounds": BOUNDS,
                "attributes": attributes(
                    {
                        "http.request.method": method,
                        "http.response.status_code": status,
                        **({"error.type": str(status)} if status >= FAILED else {}),
                    }
                ),
            }
            for (method, status), buckets in counts.items()
        ]


class Service:
    """What all connections share."""

    def __init__(self, behaviour: dict[str, Any], told: dict[str, Any]) -> None:
        self.measured = Measured()
        self._behaviour = behaviour
        self._chance = random.Random(f"{behaviour['seed']} {told['seed']}")  # noqa: S311 - no secret
        self._mean = math.log(behaviour["typical_seconds"])
        shown = {"version": behaviour["version"], "deployment": told["deployment"]}
        self._bodies = {
            status: self._answer(status, json.dumps({**shown, "status": status}).encode(), told)
            for status in REASONS
        }

    def decide(self) -> tuple[int, float]:
        """Return the status of the next request, and how many seconds it takes."""
        chance, behaviour = self._chance, self._behaviour
        seconds = chance.lognormvariate(self._mean, 0.3)
        if chance.random() < behaviour["slow_share"]:
            seconds += behaviour["slow_seconds"]
        return 500 if chance.random() < behaviour["error_rate"] else 200, seconds

    def answer(self, status: int) -> bytes:
        """Return the whole answer of a status."""
        return self._bodies[status]

    def _answer(self, status: int, body: bytes, told: dict[str, Any]) -> bytes:
        head = (
            f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nX-Deployment-Id: {told['deployment']}\r\n\r\n"
        )
        return head.encode() + body


class Connection(asyncio.Protocol):
    """One client; its requests are answered one after the other."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._buffer = b""
        self._busy = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        """Forget whoever has gone."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Take what comes."""
        self._buffer += data
        self._next()

    def _next(self) -> None:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if self._busy or not end:
            return
        length = content_length(head)
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        self._busy = True
        method = head.split(b" ", 1)[0].decode("latin-1")
        status, seconds = self._service.decide()
        loop = asyncio.get_running_loop()
        loop.call_later(seconds, self._answer, method, status, loop.time())

    def _answer(self, method: str, status: int, began: float) -> None:
        self._busy = False
        took = asyncio.get_running_loop().time() - began
        self._service.measured.add(method, status, took)
        if self._transport is not None:
            self._transport.write(self._service.answer(status))
            self._next()


class Reporter:
    """Posts what was measured over OTLP, from a thread of its own."""

    def __init__(self, measured: Measured, told: dict[str, Any]) -> None:
        self._measured = measured
        self._told = told
        self._resource = {"attributes": attributes(told["attributes"])}
        self._unsent: list[bytes] = []
        self._stopping = threading.Event()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to report."""
        if self._told["telemetry_url"]:
            self._thread.start()

    def stop(self) -> None:
        """Report the rest and end."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(POST_SECONDS)

    def _run(self) -> None:
        while not self._stopping.wait(self._told["report_seconds"]):
            self._report()
        self._report()

    def _report(self) -> None:
        points = self._measured.taken()
        uptime = {"timeUnixNano": str(now_ns()), "asDouble": time.monotonic() - self._began}
        metrics: list[dict[str, Any]] = [
            {"name": "process.uptime", "unit": "s", "gauge": {"dataPoints": [uptime]}}
        ]
        if points:
            histogram = {"aggregationTemporality": DELTA, "dataPoints": points}
            duration = {"name": "http.server.request.duration", "unit": "s"}
            metrics.append({**duration, "histogram": histogram})
        scopes = [{"scope": {"name": "deploymark.fleet"}, "metrics": metrics}]
        request = {"resourceMetrics": [{"resource": self._resource, "scopeMetrics": scopes}]}
        # What could not be sent is sent later, with the times at which it was measured.
        self._unsent = [*self._unsent, json.dumps(request).encode()][-MOST_UNSENT:]
        while self._unsent and self._post(self._unsent[0]):
            del self._unsent[0]

    def _post(self, body: bytes) -> bool:
        there = urlsplit(self._told["telemetry_url"])
        headers = {"Content-Type": "application/json"}
        if self._told["token"]:
            headers["Authorization"] = f"Bearer {self._told['token']}"
        connection = http.client.HTTPConnection(there.netloc, timeout=POST_SECONDS)
        try:
            connection.request("POST", "/v1/metrics", body, headers)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        if status >= REFUSED and status not in TRY_LATER:
            print(f"Nobody counts this service: status {status}.", file=sys.stderr)  # noqa: T201
        return status not in TRY_LATER


def attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return attributes as OTLP's JSON has them."""
    return [
        {
            "key": key,
            "value": {"intValue": value} if isinstance(value, int) else {"stringValue": value},
        }
        for key, value in values.items()
    ]


def content_length(head: bytes) -> int:
    """Return how long the body behind a head is."""
    for line in head.split(b"\r\n"):
        if line[:15].lower() == b"content-length:":
            return int(line[15:])
    return 0


def now_ns() -> int:
    """Return nanoseconds since the Unix epoch."""
    return time.time_ns()  # noqa: TID251 - it runs on its own, and knows no Clock


async def serve(behaviour: dict[str, Any], told: dict[str, Any]) -> None:
    """Serve until somebody ends it."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_reader(sys.stdin, ended.set)  # nothing more is said, so it can only have ended
    service = Service(behaviour, told)
    reporter = Reporter(service.measured, told)
    server = await loop.create_server(lambda: Connection(service), "127.0.0.1", told["port"])
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)  # noqa: T201
    reporter.start()
    await ended.wait()
    server.close()
    reporter.stop()


def main() -> None:
    """Run as one instance of the release in this folder."""
    behaviour = json.loads(Path("release.json").read_text(encoding="utf-8"))
    told = json.loads(sys.stdin.readline())
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(behaviour, told))


if __name__ == "__main__":
    main()
