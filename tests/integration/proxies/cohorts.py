"""A stable and a canary cohort of one service, which say how they were asked."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from math import comb
from typing import NamedTuple

SAYS_ITSELF = "/says-itself"
"""A path at which a service names its deployment by itself."""


_ONE_IN_A_BILLION = 1e-9


class Cohorts(NamedTuple):
    """Two services that answer.

    Attributes:
        stable: The port of the one.
        canary: The port of the other.
    """

    stable: int
    canary: int


class _Answering(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, _Cohort)
        asked = {"headers": self.headers.items()}
        content = json.dumps(asked).encode()
        self.send_response(200)
        self.send_header("X-Answered-By", server.cohort)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Vary", "accept")
        if self.path.startswith(SAYS_ITSELF):
            self.send_header("X-Deployment-Id", f"d-itself-{server.cohort}")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


class _Cohort(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, cohort: str) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.cohort = cohort

    def handle_error(self, *_: object) -> None:
        """A proxy that ends hangs up; that is no news."""


@contextmanager
def _serving(cohort: str) -> Iterator[int]:
    with _Cohort(cohort) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def cohorts() -> Iterator[Cohorts]:
    """Serve as both cohorts until the block ends."""
    with _serving("stable") as stable, _serving("canary") as canary:
        yield Cohorts(stable, canary)


def plausible(count: int, tries: int, share: float) -> bool:
    """Whether a count is one that chance gives more often than once in a billion runs."""
    weights = [
        comb(tries, each) * share**each * (1 - share) ** (tries - each) for each in range(tries + 1)
    ]
    return min(sum(weights[: count + 1]), sum(weights[count:])) > _ONE_IN_A_BILLION
