"""What is said of a request that the server could not take: whether it was written."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from subprocess import CompletedProcess
from threading import Thread

import pytest

from deploymark.testing.receiving_server import problem

Run = Callable[..., CompletedProcess[str]]

NOT_WRITTEN, NOT_KNOWN = "The request was not written: ", "Whether the request was written is not "
SHOWN = {"deployment_id": "d-1~1", "decisions": []}


@contextmanager
def refusing(method: str, code: str) -> Iterator[str]:
    """A server that shows a rollout, and cannot do what is asked by one method."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            refused = problem(503, code, "The service could not do this.")
            status, content = (503, refused) if self.command == method else (200, SHOWN)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Keep what is asked out of what the command says."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("method", "code", "said"),
    [
        ("GET", "views_behind", NOT_WRITTEN),
        ("GET", "store_unavailable", NOT_WRITTEN),
        ("POST", "views_behind", NOT_WRITTEN),
        ("POST", "store_unavailable", NOT_KNOWN),
    ],
)
def test_a_request_that_could_not_be_taken_is_said_to_be_written_or_not(
    run: Run, method: str, code: str, said: str
) -> None:
    with refusing(method, code) as url:
        refused = run("approve d-1 --url", url)
    assert refused.returncode == 69
    assert refused.stderr.startswith(f"deploymark: {said}")
    assert f"[{code}]" in refused.stderr
    assert "`after`" not in refused.stderr
