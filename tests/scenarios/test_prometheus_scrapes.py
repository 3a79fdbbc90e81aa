"""A real Prometheus scrapes a real server, joins with its metrics, and evaluates its alerts."""

import http.client
import http.server
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from subprocess import STDOUT, Popen, TimeoutExpired
from typing import Any
from urllib.parse import quote

import pytest
from team import SECONDS, SERVICE, Json, Team, free_port
from telling import pod, say

PROMETHEUS = shutil.which("prometheus")
ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "alerts" / "deploymark.rules.yml"
ODD = 'pod-"3"\\x'

pytestmark = pytest.mark.skipif(
    PROMETHEUS is None, reason="prometheus (Debian: prometheus) is not installed"
)

Sample = tuple[dict[str, str], float]


class Prometheus:
    """A running Prometheus."""

    def __init__(self, port: int) -> None:
        self._port = port

    def get(self, path: str) -> Json:
        """Ask its API; what it refuses is an error."""
        status, content = self._ask(path)
        assert status == HTTPStatus.OK, content
        data: Json = json.loads(content)["data"]
        return data

    def is_ready(self) -> bool:
        """Tell whether it answers queries."""
        try:
            return self._ask("/-/ready")[0] == HTTPStatus.OK
        except OSError:
            return False

    def _ask(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=SECONDS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def query(self, expression: str) -> list[Sample]:
        """Return what an expression is now."""
        found = self.get(f"/api/v1/query?query={quote(expression)}")["result"]
        return [(each["metric"], float(each["value"][1])) for each in found]

    def await_query(self, expression: str, enough: Callable[[list[Sample]], bool]) -> list[Sample]:
        """Return what an expression is, once that is enough."""
        found: list[Sample] = []
        for _ in range(SECONDS * 5):
            found = self.query(expression)
            if enough(found):
                return found
            time.sleep(0.2)
        raise AssertionError(found)


@contextmanager
def application(pods: dict[str, int]) -> Iterator[int]:
    """Serve the metrics of an application that knows nothing of deployments; gives its port."""
    lines = []
    for name, count in pods.items():
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'app_requests{{namespace="shop",pod="{escaped}"}} {count}\n')

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = "".join(lines).encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as its base
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join(SECONDS)


def configure(team: Team, place: Path, application_port: int) -> None:
    """Write the configuration that the docs give, with the addresses of this test."""
    page = (ROOT / "docs" / "howto" / "scrape-with-prometheus.md").read_text(encoding="utf-8")
    (given,) = re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    for documented, here in (
        ("scrape_interval: 15s", "scrape_interval: 1s\n  evaluation_interval: 1s"),
        ("127.0.0.1:8420", team.url.removeprefix("http://")),
    ):
        assert documented in given
        given = given.replace(documented, here)
    place.mkdir()
    more = "  - job_name: application\n    honor_labels: true\n    static_configs:\n"
    more += f'      - targets: ["127.0.0.1:{application_port}"]\n'
    (place / "prometheus.yml").write_text(given + more)
    (place / "deploymark.token").write_text(team._tokens["people"])
    shutil.copy(RULES, place)


@contextmanager
def prometheus(place: Path) -> Iterator[Prometheus]:
    """Run Prometheus in a folder with its configuration."""
    port = free_port()
    with (place / "prometheus.log").open("w") as log:
        process = Popen(
            [
                *(PROMETHEUS or "", "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb"),
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            cwd=place,
            env={"PATH": os.defpath, "HOME": str(place)},
            stdout=log,
            stderr=STDOUT,
        )
    try:
        running = Prometheus(port)
        deadline = time.monotonic() + SECONDS
        while not running.is_ready():
            said = (place / "prometheus.log").read_text()
            assert process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.1)
        yield running
    finally:
        process.terminate()
        try:
            process.wait(SECONDS)
        except TimeoutExpired:
            process.kill()
            process.wait(SECONDS)


def test_any_metric_is_joined_with_its_deployment(team: Team) -> None:
    # 1. A stable release and a canary run, three pods in all.
    stable = say(team, "applied", "a", "ci", action="github/acme/shop/1")["deployment_id"]
    pod(team, "pod-1", "a", "stable")
    pod(team, "pod-2", "a", "stable")
    canary = say(
        team,
        "applied",
        "b",
        "ci",
        action="github/acme/shop/2",
        rollout={"weight": 25, "strategy": "canary", "track": "canary"},
    )["deployment_id"]
    last = pod(team, ODD, "b", "canary")["index"]
    with application({"pod-1": 10, "pod-2": 20, ODD: 40}) as port:
        # 2. Prometheus scrapes deploymark and the application, which knows nothing of it.
        configure(team, team.place / "prometheus", port)
        with prometheus(team.place / "prometheus") as prom:
            prom.await_query("deploymark_info", lambda found: len(found) == 3)
            prom.await_query("app_requests", lambda found: len(found) == 3)

            # 3. The join of the docs, word for word.
            join = "app_requests * on(namespace,pod) group_left(deployment_id) deploymark_info"
            joined = {labels["pod"]: (labels["deployment_id"], n) for labels, n in prom.query(join)}
            assert joined == {"pod-1": (stable, 10), "pod-2": (stable, 20), ODD: (canary, 40)}
            by_track = (
                "sum by (track) (app_requests * on (namespace, pod) group_left (track)"
                f' deploymark_info{{service="{SERVICE}"}})'
            )
            assert {labels["track"]: n for labels, n in prom.query(by_track)} == {
                "stable": 30,
                "canary": 40,
            }

            # 4. The measures are the same here and there.
            slis = {each["measure"]: each for each in team._items(f"/v1/slis?after={last}")}
            assert list(slis) == [
                "M1",
                "M2",
                "M3",
                "M4",
                "M6",
                "M7",
                "M8",
                "M9",
                "M10",
                "M11",
                "M14",
            ]
            assert (slis["M1"]["numerator"], slis["M1"]["denominator"]) == (1, 1)
            (item,) = team._items("/v1/slis/M1/items")
            assert (item["deployment_id"], item["result"]) == (f"{stable}~1", "succeeded")
            assert (slis["M10"]["numerator"], slis["M10"]["denominator"]) == (3, 3)
            found = prom.query('deploymark_measure_numerator{measure="M10"}')
            assert [n for _, n in found] == [3]

            # 5. Every alert rule can be evaluated, and an artifact that is swapped is seen.
            pod(team, "pod-4", "c", "stable")
            swapped = 'ALERTS{alertname="DeploymarkDigestMismatch"}'
            unplanned = 'ALERTS{alertname="DeploymarkUnplannedChange"}'
            prom.await_query(f"{swapped} or {unplanned}", lambda found: len(found) > 0)
            groups = prom.get("/api/v1/rules")["groups"]
            rules = [rule for group in groups for rule in group["rules"]]
            assert len(rules) > 15
            assert {rule["name"]: rule.get("lastError") for rule in rules} == {
                rule["name"]: None for rule in rules
            }
            assert "DeploymarkDown" not in {each["alertname"] for each, _ in prom.query("ALERTS")}
