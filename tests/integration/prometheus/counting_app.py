"""A process that answers requests and shows Prometheus how many: `counting_app.py PORT POD`.

`GET /work` succeeds, `/fail` fails, `/slow` says that it took long; `/metrics` shows the counters,
which begin at 0 with the process. A label set is there once something has been counted in it.
"""

import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any

BOUNDS = ("0.1", "0.5", "+Inf")
POD = sys.argv[2]
counts = {"200": {"fast": 0, "slow": 0}}
lock = Lock()


def page() -> str:
    """Return the exposition."""
    lines = []
    with lock:
        for code, apart in counts.items():
            labels = f'namespace="shop",pod="{POD}",code="{code}"'
            total = apart["fast"] + apart["slow"]
            lines.append(f"requests_total{{{labels}}} {total}")
            held = (apart["fast"], apart["fast"], total)
            lines += [
                f'seconds_bucket{{{labels},le="{le}"}} {many}'
                for le, many in zip(BOUNDS, held, strict=True)
            ]
    return "".join(f"{line}\n" for line in lines)


class Handler(BaseHTTPRequestHandler):
    """Answers."""

    def do_GET(self) -> None:
        body = page().encode() if self.path == "/metrics" else b"done\n"
        if self.path != "/metrics":
            with lock:
                code = "500" if self.path == "/fail" else "200"
                apart = counts.setdefault(code, {"fast": 0, "slow": 0})
                apart["slow" if self.path == "/slow" else "fast"] += 1
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as its base
        """Say nothing."""


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler) as server:
        server.serve_forever()
