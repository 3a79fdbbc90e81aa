"""A server that keeps every request as it came, and answers as a test says."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

POLL_SECONDS = 0.01


class Request(NamedTuple):
    """One POST as it came; names of headers in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes


class Listener:
    """What came, and what is answered.

    Attributes:
        port: Where it listens.
        requests: Everything that came, in order.
        status: What it answers.
        answer: With this body.
    """

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[Request] = []
        self.status = 200
        self.answer = b""


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[Listener]:
    """Let a listener listen on this machine, at the port where it was before if it was."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): text for name, text in self.headers.items()}
            listener.requests.append(Request(self.path, headers, body))
            # As many simple receivers do: HTTP/1.0, and no word of where the body ends.
            self.send_response(listener.status)
            self.end_headers()
            self.wfile.write(listener.answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", listener.port), Handler) as server:
        listener.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,))
        thread.start()
        try:
            yield listener
        finally:
            server.shutdown()
            thread.join()
