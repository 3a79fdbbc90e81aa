"""Listens and serves until told to stop: what every HTTP server of deploymark has in common."""

import contextlib
import errno
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from deploymark.errors import UsageError
from deploymark.server.protocol import Bounds, bounded_protocol

LOOPBACK = "127.0.0.1"
STOP_SECONDS = 10
KEEP_ALIVE_SECONDS = 30

_BACKLOG = 1_024
_MAX_PORT = 65_535


def _nothing() -> None:
    """Close nothing."""


class Server(uvicorn.Server):
    """uvicorn's server, which says when it stops, so that what lasts can end.

    Args:
        config: uvicorn's configuration.
        closing: Called on the event loop, once no new connections are taken.
    """

    def __init__(self, config: uvicorn.Config, closing: Callable[[], None] = _nothing) -> None:
        super().__init__(config)
        self._closing = closing

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: streams end, requests are finished, connections closed."""
        self._closing()
        await super().shutdown(sockets)


def build_server(
    app: ASGIApp,
    bounds: Bounds | None = None,
    closing: Callable[[], None] = _nothing,
) -> Server:
    """Return the HTTP server of an application, not started yet.

    It stops when `should_exit` is set: it takes no new requests and finishes those it has.

    Args:
        app: What it serves.
        bounds: Of its connections; the usual ones when left out.
        closing: As in `Server`.
    """
    config = uvicorn.Config(
        app,
        http=bounded_protocol(bounds or Bounds()),
        lifespan="off",
        ws="none",
        log_config=None,  # the program decides about logging, not the server
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    return Server(config, closing)


def serve(
    server: uvicorn.Server,
    host: str = LOOPBACK,
    port: int = 0,
    *,
    listening: Callable[[str, int], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what was begun and return.

    Args:
        server: What `build_server` built.
        host: Address to listen on.
        port: Port to listen on; 0 lets the system choose one.
        listening: Told host and port once connections are accepted.

    Raises:
        UsageError: The address cannot be listened on.
    """
    listener = listen(host, port)
    with listener, stopping(server):
        if listening is not None:
            listening(host, listener.getsockname()[1])
        server.run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that accepts connections.

    Raises:
        UsageError: The address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if not 0 <= port <= _MAX_PORT:
        raise UsageError(f"A port is a number from 0 to {_MAX_PORT}, not {port}.")
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        why, hint = _why(error)
        raise UsageError(f"Nothing can listen on {host} port {port}: {why}.", hint=hint) from error


def _why(error: OSError) -> tuple[str, str]:
    """Return why nothing can listen, and what to do about it."""
    number = error.errno or 0
    if number < 0:  # of getaddrinfo; `create_server` raises it as another class
        return "there is no such name", "Name an address of this machine, such as 127.0.0.1."
    match number:
        case errno.EADDRINUSE:
            return "somebody listens there", "Choose another port, or stop what listens there."
        case errno.EADDRNOTAVAIL:
            return (
                "this machine does not have the address",
                "Name one that it has, or 0.0.0.0 for all of them.",
            )
        case errno.EACCES:
            return "this user may not", "Choose a port from 1024."
        case _:
            return os.strerror(number), "Choose another address or port."


@contextlib.contextmanager
def stopping(server: uvicorn.Server) -> Iterator[None]:
    """Let signals stop the server and nothing more.

    The server raises a signal again once it has stopped, for the handler that stood before. That
    one is ours, so `serve` returns instead of dying.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, server.handle_exit)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
