"""A real Prometheus on a folder of its own: filled with a past, or scraping the present."""

import json
import math
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen, TimeoutExpired, run
from threading import Thread
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
MISSING = "prometheus (Debian: prometheus) is not installed"
SECONDS = 60
AGES = "100y"

Sample = tuple[str, float, float]
"""A series as it is written, its value, and the second at which it had it."""


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def fill(place: Path, samples: Iterable[Sample]) -> None:
    """Write samples as the past of a Prometheus that is not running yet."""
    families: dict[str, list[str]] = {}
    for series, value, second in samples:
        shown = "NaN" if value != value else f"{value:.17g}"  # noqa: PLR0124 - the only such number
        family = families.setdefault(series.partition("{")[0], [])
        family.append(f"{series} {shown} {second:.3f}\n")
    lines = [line for family in families.values() for line in family]
    place.mkdir(exist_ok=True)
    (place / "past.om").write_text("".join([*lines, "# EOF\n"]))
    made = run(
        [PROMTOOL or "", "tsdb", "create-blocks-from", "openmetrics", "past.om", "tsdb"],
        cwd=place,
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert made.returncode == 0, made.stderr


@contextmanager
def prometheus(
    place: Path, targets: Sequence[str] = (), *, options: Sequence[str] = (), port: int = 0
) -> Iterator[str]:
    """Run Prometheus in a folder; gives its address. It scrapes targets every second."""
    port = port or free_port()
    place.mkdir(exist_ok=True)
    (place / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        "scrape_configs:\n"
        "  - job_name: test\n"
        "    honor_labels: true\n"
        f"    static_configs: [{{targets: {list(targets)}}}]\n"
    )
    command = [
        *(PROMETHEUS or "", "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb"),
        *(f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.retention.time={AGES}"),
        *options,
    ]
    with (place / "prometheus.log").open("a") as log:
        process = Popen(
            command,
            cwd=place,
            env={"PATH": os.defpath, "HOME": str(place)},
            stdin=DEVNULL,
            stdout=log,
            stderr=STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + SECONDS
        while not _is_ready(url):
            said = (place / "prometheus.log").read_text()
            assert process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(SECONDS)
        except TimeoutExpired:
            process.kill()
            process.wait(SECONDS)


@contextmanager
def serving(page: Callable[[], bytes], kind: str = "text/plain; version=0.0.4") -> Iterator[int]:
    """Serve a page of metrics; gives the port."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = page()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as its base
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join(SECONDS)


@contextmanager
def deploymark(pods: Mapping[str, str]) -> Iterator[int]:
    """Serve `deploymark_info` as deploymark does, by pod and deployment; gives the port."""
    page = "".join(
        f'deploymark_info{{deployment_id="{deployment}",service="checkout",environment="prod",'
        f'namespace="shop",pod="{pod}"}} 1\n'
        for pod, deployment in pods.items()
    ).encode()
    with serving(lambda: page) as port:
        yield port


def value_of(url: str, expression: str) -> float:
    """Return what an expression is now, -1 where there is nothing."""
    asked = f"{url}/api/v1/query?query={quote(expression)}"
    with urlopen(asked, timeout=SECONDS) as answer:  # noqa: S310 - our own address
        found = json.load(answer)["data"]["result"]
    return float(found[0]["value"][1]) if found else -1.0


def await_(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def now() -> int:
    """Return the second that began last."""
    return math.floor(time.time())


def _is_ready(url: str) -> bool:
    try:
        with urlopen(f"{url}/-/ready", timeout=SECONDS):  # noqa: S310 - our own address
            return True
    except (URLError, OSError):
        return False
