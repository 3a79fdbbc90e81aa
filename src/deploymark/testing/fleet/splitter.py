"""Divides requests among releases by weight; a process of its own.

Each request is given to a release by chance (the same seed, the same chances) and to its backends
in turn. It understands as much HTTP/1.1 as the fleet speaks: bodies have a Content-Length.
Commands: `{"do": "set", "weights": {NAME: W}, "backends": {NAME: [PORT, …]}}` and
`{"do": "tell"}`; both are answered with weights, counts by release, and requests in flight by port.
"""

import asyncio
import random
from collections import Counter, deque
from itertools import accumulate
from typing import Final

from deploymark.testing.fleet.commands import Said, first_line, follow, say
from deploymark.testing.fleet.service import content_length

_SERVER_FAILED: Final = b"5"
_UNREACHABLE: Final = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
_END: Final = b"\r\n\r\n"


class Splitter:
    """Who gets how much, and what came of it."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - no secret
        self._weights: dict[str, float] = {}
        self._backends: dict[str, deque[int]] = {}
        self._names: list[str] = []
        self._edges: list[float] = []
        self.requests: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.in_flight: Counter[int] = Counter()
        self.idle: dict[int, list[Upstream]] = {}

    def obey(self, said: Said) -> Said:
        """Do what a command says."""
        if said["do"] == "set":
            self._weights = said["weights"]
            self._backends = {name: deque(ports) for name, ports in said["backends"].items()}
            self._names = [name for name, ports in self._backends.items() if ports]
            weights = [self._weights.get(name, 0.0) for name in self._names]
            self._edges = list(accumulate(weights))
            wanted = {port for ports in self._backends.values() for port in ports}
            for port in set(self.idle) - wanted:
                for each in self.idle.pop(port):
                    each.close()
        return {
            "weights": self._weights,
            "backends": {name: sorted(ports) for name, ports in self._backends.items()},
            "requests": dict(self.requests),
            "failed": dict(self.failed),
            "in_flight": {str(port): count for port, count in self.in_flight.items() if count},
        }

    def pick(self) -> tuple[str, int] | None:
        """Return the release and the port for the next request; None when there is nobody."""
        if not self._edges or self._edges[-1] <= 0:
            return None
        drawn = self._chance.random() * self._edges[-1]
        place = next(i for i, edge in enumerate(self._edges) if drawn < edge)
        ports = self._backends[self._names[place]]
        ports.rotate(-1)
        return self._names[place], ports[0]


class Downstream(asyncio.Protocol):
    """A client; its requests are answered one after the other."""

    def __init__(self, splitter: Splitter) -> None:
        self._splitter = splitter
        self._buffer = b""
        self._release = ""
        self._port = 0
        self._request = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        """Forget whoever has gone; the answer to the last request goes nowhere."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Take what comes."""
        self._buffer += data
        self._next()

    def answered(self, answer: bytes) -> None:
        """Pass an answer on, and go on with the next request."""
        splitter, name = self._splitter, self._release
        splitter.in_flight[self._port] -= 1
        splitter.requests[name] += 1
        splitter.failed[name] += answer[9:10] == _SERVER_FAILED
        self._pass_on(answer)

    def lost(self, *, fresh: bool) -> None:
        """Ask again where an idle connection had ended; else say that nobody answers."""
        if fresh:
            self.answered(_UNREACHABLE)
        else:
            self._connect()

    def _next(self) -> None:
        head, end, rest = self._buffer.partition(_END)
        if self._request or not end:
            return
        length = content_length(head)
        if len(rest) < length:
            return
        self._request = head + end + rest[:length]
        self._buffer = rest[length:]
        picked = self._splitter.pick()
        if picked is None:
            self._pass_on(_UNREACHABLE)
            return
        self._release, self._port = picked
        self._splitter.in_flight[self._port] += 1
        idle = self._splitter.idle.get(self._port)
        if idle:
            idle.pop().ask(self, self._request)
        else:
            self._connect()

    def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        port = self._port
        making = loop.create_connection(lambda: Upstream(self._splitter, port), "127.0.0.1", port)
        self._making = loop.create_task(making)
        self._making.add_done_callback(self._connected)

    def _connected(self, made: "asyncio.Task[tuple[asyncio.Transport, Upstream]]") -> None:
        if made.cancelled() or made.exception() is not None:
            self.answered(_UNREACHABLE)
        else:
            made.result()[1].ask(self, self._request, fresh=True)

    def _pass_on(self, answer: bytes) -> None:
        self._request = b""
        if self._transport is not None:
            self._transport.write(answer)
            self._next()


class Upstream(asyncio.Protocol):
    """A connection to a backend, kept for the next request."""

    def __init__(self, splitter: Splitter, port: int) -> None:
        self._splitter = splitter
        self._port = port
        self._buffer = b""
        self._asked_by: Downstream | None = None
        self._fresh = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def ask(self, client: Downstream, request: bytes, *, fresh: bool = False) -> None:
        """Send a request for a client."""
        self._asked_by, self._fresh, self._buffer = client, fresh, b""
        if self._transport is not None:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take what comes, until the answer is whole."""
        self._buffer += data
        head, end, rest = self._buffer.partition(_END)
        if not end or len(rest) < content_length(head) or self._asked_by is None:
            return
        client, answer = self._asked_by, self._buffer
        self._asked_by, self._buffer = None, b""
        self._splitter.idle.setdefault(self._port, []).append(self)
        client.answered(answer)

    def connection_lost(self, _: Exception | None) -> None:
        """Tell whoever waits."""
        idle = self._splitter.idle.get(self._port, [])
        if self in idle:
            idle.remove(self)
        client, self._asked_by = self._asked_by, None
        if client is not None:
            client.lost(fresh=self._fresh or bool(self._buffer))

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()


async def split(told: Said) -> None:
    """Split until whoever started this ends it."""
    splitter = Splitter(told["seed"])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Downstream(splitter), "127.0.0.1", told["port"])
    say({"port": server.sockets[0].getsockname()[1]})
    await follow(splitter.obey)
    server.close()


if __name__ == "__main__":
    asyncio.run(split(first_line()))
