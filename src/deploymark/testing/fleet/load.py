"""Sends requests at a rate that does not depend on how fast they are answered; its own process.

Open loop: a request is due when chance says so (Poisson), and its latency counts from then on, so
that a service that dawdles cannot hide it by slowing the load down. Commands: `{"do": "rate",
"rate": N}` and `{"do": "tell"}`; both are answered with what was sent, answered and lost so far,
and the latencies of the last requests.
"""

import asyncio
import random
from collections import Counter, deque
from typing import Final

from deploymark.testing.fleet.commands import Said, first_line, follow, say
from deploymark.testing.fleet.service import content_length

_KEPT: Final = 10_000
_CONNECTIONS: Final = 512
_IDLE_SECONDS: Final = 0.1
_END: Final = b"\r\n\r\n"


class Load:
    """The requests of one run."""

    def __init__(self, told: Said) -> None:
        self._port: int = told["port"]
        self._rate: float = told["rate"]
        self._chance = random.Random(told["seed"])  # noqa: S311 - no secret
        self._request = b"GET / HTTP/1.1\r\nHost: fleet\r\n\r\n"
        self._sent = self._lost = self._open = 0
        self._answered: Counter[str] = Counter()
        self._latencies: deque[float] = deque(maxlen=_KEPT)
        self._waiting: deque[float] = deque()
        self._tasks: set[asyncio.Task[object]] = set()
        self.idle: list[Client] = []

    def obey(self, said: Said) -> Said:
        """Do what a command says."""
        if said["do"] == "rate":
            self._rate = said["rate"]
        ordered = sorted(self._latencies)
        return {
            "sent": self._sent,
            "answered": dict(self._answered),
            "lost": self._lost,
            "waiting": len(self._waiting),
            "p50_seconds": ordered[len(ordered) // 2] if ordered else 0.0,
            "p99_seconds": ordered[len(ordered) * 99 // 100] if ordered else 0.0,
        }

    async def run(self) -> None:
        """Send until it is cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            if self._rate <= 0:
                await asyncio.sleep(_IDLE_SECONDS)
                due = loop.time()
                continue
            due += self._chance.expovariate(self._rate)
            await asyncio.sleep(max(due - loop.time(), 0))
            if self._rate > 0:  # it may have been ended meanwhile
                self._send(due)

    def done(self, client: "Client", status: str, seconds: float) -> None:
        """Count an answer, and use its connection for whoever waits for one."""
        self._answered[status] += 1
        self._latencies.append(seconds)
        if self._waiting:
            client.ask(self._request, self._waiting.popleft())
        else:
            self.idle.append(client)

    def gone(self, *, asked: bool) -> None:
        """Count a connection that has ended, with or without an answer missing."""
        self._open -= 1
        self._lost += asked

    def _send(self, due: float) -> None:
        self._sent += 1
        if self.idle:
            self.idle.pop().ask(self._request, due)
        elif self._open < _CONNECTIONS:
            self._open += 1
            task = asyncio.get_running_loop().create_task(self._connect(due))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._waiting.append(due)

    async def _connect(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, client = await loop.create_connection(lambda: Client(self), "127.0.0.1", self._port)
        except OSError:
            self.gone(asked=True)
        else:
            client.ask(self._request, due)


class Client(asyncio.Protocol):
    """A connection that is kept."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = b""
        self._due: float | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def ask(self, request: bytes, due: float) -> None:
        """Send a request that was due at a moment of the loop's clock."""
        self._due = due
        if self._transport is not None:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take what comes, until the answer is whole."""
        self._buffer += data
        head, end, rest = self._buffer.partition(_END)
        if not end or len(rest) < content_length(head) or self._due is None:
            return
        seconds = asyncio.get_running_loop().time() - self._due
        self._due, self._buffer = None, b""
        self._load.done(self, head[9:12].decode("latin-1"), seconds)

    def connection_lost(self, _: Exception | None) -> None:
        """Tell that it has ended."""
        if self in self._load.idle:
            self._load.idle.remove(self)
        self._load.gone(asked=self._due is not None)


async def send(told: Said) -> None:
    """Send until whoever started this ends it."""
    load = Load(told)
    running = asyncio.get_running_loop().create_task(load.run())
    say({"port": told["port"]})
    await follow(load.obey)
    running.cancel()


if __name__ == "__main__":
    asyncio.run(send(first_line()))
