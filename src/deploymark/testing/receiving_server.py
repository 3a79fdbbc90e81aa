"""A server that takes markers as deploymark does, keeps them, and answers as a test tells it to.

Standard library only, for tests of emitters: ours and those of whoever uses deploymark. It checks
no marker and keeps no log; indexes are counted up.
"""

import contextlib
import gzip
import json
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

_PATH: Final = "/v1/markers"
_POLL_SECONDS: Final = 0.01

Item = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """One request as it came.

    Attributes:
        path: What was asked.
        headers: Names in lower case.
        items: The JSON objects in its body, as they were sent.
    """

    path: str
    headers: Mapping[str, str]
    items: Sequence[Item]


@dataclass(frozen=True)
class Answer:
    """What to answer.

    Attributes:
        status: Of HTTP.
        content: Sent as JSON; bytes are sent as they are.
        headers: Beside Content-Type and Content-Length.
    """

    status: int
    content: object = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Script = Callable[[Request], Answer | None]
"""Decides about a request; None means that the markers are taken."""


class ReceivingServer:
    """What came in, and the rule for what goes out.

    Attributes:
        url: What `DEPLOYMARK_URL` must be.
        requests: All requests, in order.
        script: Decides about each; may be replaced at any time.
    """

    def __init__(self, script: Script | None = None) -> None:
        self.url = ""
        self.requests: list[Request] = []
        self.script = script
        self._lock = threading.Lock()
        self._indexes: dict[str, int] = {}
        self._taken: list[Item] = []

    def markers(self) -> list[Item]:
        """Return the flat markers that were taken, each once, in the order of their indexes."""
        with self._lock:
            return [flat_marker(item) for item in self._taken]

    def take(self, item: Item) -> dict[str, Any]:
        """Take one marker and return what the real server would say of it."""
        body = json.dumps(item, sort_keys=True)
        with self._lock:
            duplicate = body in self._indexes
            index = self._indexes.setdefault(body, len(self._indexes))
            if not duplicate:
                self._taken.append(item)
        return {
            "index": index,
            "duplicate": duplicate,
            "occurrence": 1,
            "ignored": [],
            "status": 200 if duplicate else 201,
        }

    def answer(self, request: Request) -> Answer:
        """Decide about a request."""
        with self._lock:
            self.requests.append(request)
        decided = self.script(request) if self.script is not None else None
        if decided is not None:
            return decided
        if request.path != _PATH:
            return Answer(404, {"title": "Not found", "code": "not_found"})
        results = [self.take(item) for item in request.items]
        statuses = {result["status"] for result in results}
        status = statuses.pop() if len(statuses) == 1 else 207
        return Answer(status, results[0] if len(results) == 1 else {"results": results})


@contextlib.contextmanager
def receiving_server(script: Script | None = None, *, port: int = 0) -> Iterator[ReceivingServer]:
    """Run a server on a loopback port until the block ends.

    Args:
        script: Decides about each request; without one every marker is taken.
        port: Where to listen; any free port when left out.
    """
    state = ReceivingServer(script)

    class Handler(_Handler):
        server_state = state

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.daemon_threads = True
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


def problem(status: int, code: str, detail: str = "", **more: object) -> dict[str, Any]:
    """Return a problem as the real server writes it (RFC 9457)."""
    return {
        "type": f"/problems/{code}",
        "title": code,
        "status": status,
        "detail": detail or code,
        "code": code,
        **more,
    }


def flat_marker(item: Item) -> Item:
    """Return the flat marker in what was sent: itself, a Statement's, or an envelope's."""
    if "payload" in item:
        item = json.loads(b64decode(item["payload"]))
    flat: Item = item["predicate"] if "predicateType" in item else item
    return flat


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # in one piece: two small ones would wait for each other's acknowledgement
    server_state: ReceivingServer

    def do_POST(self) -> None:
        """Answer a request."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        value = json.loads(body)
        headers = {name.lower(): text for name, text in self.headers.items()}
        items = value if isinstance(value, list) else [value]
        answer = self.server_state.answer(Request(self.path, headers, items))
        content = answer.content
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        for name, text in answer.headers.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(raw)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Say nothing."""
