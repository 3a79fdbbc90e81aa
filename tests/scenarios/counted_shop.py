"""A shop that shows Prometheus what it answered: `counted_shop.py PORT METRICS_PORT`.

Copied into each release, and run there on its own; `errors` beside it is the share of requests that
fail. Several processes share PORT, and each answer ends its connection, so that the kernel divides
the requests among them. Every process has its own METRICS_PORT.
"""

import asyncio
import os
import random
import sys
from collections import Counter
from pathlib import Path

NODE = "box"
NAMESPACE = "shop"

answered: Counter[str] = Counter({"200": 0})
errors = 0.0


def head(status: str, body: bytes) -> bytes:
    """Return a whole answer."""
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", "", "")
    return "\r\n".join(lines).encode() + body


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a request of the shop."""
    await _answer(reader, writer, shop)


async def show(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a scrape."""
    await _answer(reader, writer, metrics)


def shop() -> bytes:
    """Answer, or fail."""
    code = "500" if random.random() < errors else "200"
    answered[code] += 1
    return head("500 Internal Server Error" if code == "500" else "200 OK", b"")


def metrics() -> bytes:
    """Return the exposition."""
    pod = f"{NODE}:{os.getpid()}"
    lines = [
        f'requests_total{{namespace="{NAMESPACE}",pod="{pod}",code="{code}"}} {many}\n'
        for code, many in answered.items()
    ]
    return head("200 OK\r\nContent-Type: text/plain; version=0.0.4", "".join(lines).encode())


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, made: object) -> None:
    try:
        await reader.readuntil(b"\r\n\r\n")
        assert callable(made)
        writer.write(made())
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main() -> None:
    """Serve until somebody ends it."""
    port, metrics_port = map(int, sys.argv[1:])
    async with (
        await asyncio.start_server(serve, "127.0.0.1", port, reuse_port=True, backlog=512),
        await asyncio.start_server(show, "127.0.0.1", metrics_port),
    ):
        await asyncio.Event().wait()


if __name__ == "__main__":
    errors = float(Path("errors").read_text(encoding="ascii"))
    asyncio.run(main())
