"""Runs the real witness server inside a test process, on a free loopback port."""

import contextlib
import socket
import threading
from collections.abc import Iterator

from starlette.applications import Starlette

from deploymark.server.listening import LOOPBACK
from deploymark.server.witness import build_server

_STOP_SECONDS = 30


@contextlib.contextmanager
def running_witness(app: Starlette) -> Iterator[str]:
    """Serve an application until the block ends.

    Yields:
        The URL it answers under, without a final slash.
    """
    # The socket listens before the server runs, so nobody has to wait for it.
    with socket.create_server((LOOPBACK, 0)) as listener:
        server = build_server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(_STOP_SECONDS)
