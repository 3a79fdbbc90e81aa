"""Asks HTTP servers much and often, from one process: the load of the benchmarks over HTTP.

Requests are made before the clock runs and written as they are; answers are only counted and
their status looked at. What is left is what the server costs.
"""

import asyncio
import json
import os
import re
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def request(
    path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, method: str = "POST"
) -> bytes:
    """Return the bytes of one request."""
    given = {"Host": "127.0.0.1", "Content-Length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def cpu_seconds(pid: int) -> float:
    """Return what a process has used of all cores so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


@dataclass
class Load:
    """What a load came to.

    Attributes:
        requests: How many were answered.
        seconds: How long it took.
        server_cpu: CPU seconds that the server used meanwhile.
        statuses: How often each status came.
        latencies_ms: Of each request, when asked for.
    """

    requests: int = 0
    seconds: float = 0.0
    server_cpu: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Requests answered in a second."""
        return self.requests / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU microseconds that the server spent on a request."""
        return self.server_cpu / self.requests * 1e6

    def quantile_ms(self, share: float) -> float:
        """Return the latency that a share of the requests did not exceed."""
        return statistics.quantiles(self.latencies_ms, n=1000)[round(share * 1000) - 1]


class Asker:
    """One connection that asks one thing after another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, port: int) -> "Asker":
        """Open a connection to a server of this machine."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, raw: bytes) -> int:
        """Write one request and return the status of its answer."""
        self._writer.write(raw)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if length is not None and int(length[1]):
            await self._reader.readexactly(int(length[1]))
        return int(head[9:12])

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


async def press(
    port: int, pid: int, requests: Sequence[bytes], connections: int, *, timed: bool = False
) -> Load:
    """Ask everything as fast as the answers come, on so many connections at once."""
    askers = [await Asker.connect(port) for _ in range(connections)]
    load = Load()
    waiting = iter(requests)

    async def work(asker: Asker) -> None:
        for raw in waiting:
            start = time.perf_counter()
            status = await asker.ask(raw)
            if timed:
                load.latencies_ms.append((time.perf_counter() - start) * 1e3)
            load.statuses[status] = load.statuses.get(status, 0) + 1
            load.requests += 1

    cpu, start = cpu_seconds(pid), time.perf_counter()
    await asyncio.gather(*(work(asker) for asker in askers))
    load.seconds = time.perf_counter() - start
    load.server_cpu = cpu_seconds(pid) - cpu
    for asker in askers:
        asker.close()
    return load


async def pace(port: int, pid: int, requests: Sequence[bytes], per_second: int) -> Load:
    """Ask at a fixed pace, whatever the answers do; a late answer counts from when it was due."""
    askers = [await Asker.connect(port) for _ in range(64)]
    free: asyncio.Queue[Asker] = asyncio.Queue()
    for asker in askers:
        free.put_nowait(asker)
    load = Load()

    async def one(raw: bytes, due: float) -> None:
        asker = await free.get()
        status = await asker.ask(raw)
        load.latencies_ms.append((time.perf_counter() - due) * 1e3)
        load.statuses[status] = load.statuses.get(status, 0) + 1
        load.requests += 1
        free.put_nowait(asker)

    cpu, start = cpu_seconds(pid), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number, raw in enumerate(requests):
            due = start + number / per_second
            if (ahead := due - time.perf_counter()) > 0:
                await asyncio.sleep(ahead)
            group.create_task(one(raw, due))
    load.seconds = time.perf_counter() - start
    load.server_cpu = cpu_seconds(pid) - cpu
    for asker in askers:
        asker.close()
    return load


class Follower(asyncio.Protocol):
    """One client of the stream: notes when each event comes."""

    def __init__(self, raw: bytes, heard: dict[int, list[float]]) -> None:
        self._raw = raw
        self._heard = heard
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        transport.write(self._raw)

    def data_received(self, data: bytes) -> None:
        """Note events that are whole."""
        now = time.perf_counter()
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            at = event.find(b"data: ")
            if at >= 0:
                identity = event.find(b"id: ")
                self._heard.setdefault(int(event[identity + 4 : at]), []).append(now)


def index_of(body: bytes) -> int:
    """Return the index in an acknowledgement."""
    return int(json.loads(body)["index"])
