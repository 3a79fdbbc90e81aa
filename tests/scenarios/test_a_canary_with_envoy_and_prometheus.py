"""A canary in a real Envoy, counted by a real Prometheus: promoted, or rolled back.

Nothing reports to deploymark: the processes show their counters to Prometheus, which joins them
with `deploymark_info`, and Envoy divides the requests as it is told.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any
from urllib.request import urlopen

import counted_shop
import pytest
import requests

from deploymark.emit.release import release_digest
from deploymark.testing.fleet.child import Child

ROOT = Path(__file__).parents[2]
for folder in ("prometheus", "proxies"):
    sys.path.append(str(ROOT / "tests" / "integration" / folder))

from cohorts import Cohorts  # noqa: E402 - they stand in those folders
from prometheus_server import MISSING, PROMETHEUS, free_port, prometheus  # noqa: E402
from proxies import Proxy, running  # noqa: E402

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason=MISSING)

BIN = Path(sys.executable).parent
TOKEN = "an-administrators-token-of-enough-length"  # noqa: S105 - of this test
SECONDS = 180
RATE = 300
USUAL = 0.02
HISTORY_SECONDS = 12
ROUTES = "weights.yaml"

Json = dict[str, Any]


def configuration(prometheus_url: str, proxy: Proxy) -> str:
    return f"""
[act]
turn_seconds = 0.2

[prometheus.main]
url = "{prometheus_url}"
scrape_seconds = 1
look_back_seconds = 60

[rollouts.shop.prod]
source = "main"
steps = [{{ weight = 25 }}]
look_seconds = 2
bucket_seconds = 1
warmup_seconds = 2
block_seconds = [1, 2, 5]
history_seconds = {HISTORY_SECONDS}
max_wait_seconds = 150

[[rollouts.shop.prod.metrics]]
name = "errors"
trials = "requests_total"
events = 'requests_total{{code="500"}}'

[rollouts.shop.prod.actuator]
kind = "envoy_weights"

[rollouts.shop.prod.actuator.options]
file = "{proxy.place / ROUTES}"
route_config = "shop"
admin = ["http://127.0.0.1:{proxy.ports["admin"]}"]
canary = "shop_canary"
stable = "shop_stable"
"""


def routes(canary: int) -> str:
    clusters = [
        {"name": "shop_stable", "weight": 100 - canary},
        {"name": "shop_canary", "weight": canary},
    ]
    route = {"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": clusters}}}
    config = {
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": "shop",
        "virtual_hosts": [{"name": "shop", "domains": ["*"], "routes": [route]}],
    }
    return json.dumps({"version_info": "1", "resources": [config]})


def weight_of(proxy: Proxy) -> float:
    """Ask Envoy how much the canary gets."""
    with urlopen(f"http://127.0.0.1:{proxy.ports['admin']}/config_dump", timeout=30) as answer:
        dumped = json.load(answer)["configs"]
    (dump,) = (each for each in dumped if "dynamic_route_configs" in each)
    (route,) = dump["dynamic_route_configs"][0]["route_config"]["virtual_hosts"][0]["routes"]
    weights = {
        each["name"]: float(each["weight"])
        for each in route["route"]["weighted_clusters"]["clusters"]
    }
    return 100 * weights["shop_canary"] / sum(weights.values())


class World:
    """Processes of the shop behind an Envoy, and a server that knows them."""

    def __init__(self, place: Path, stack: ExitStack) -> None:
        self._place = place
        self._stack = stack
        self._cohorts = Cohorts(free_port(), free_port())
        self._metrics = [free_port() for _ in range(3)]
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.proxy = stack.enter_context(running("envoy", place / "envoy", self._cohorts))
        new = self.proxy.place / "moved"
        new.write_text(routes(0))
        new.rename(self.proxy.place / ROUTES)
        targets = [f"127.0.0.1:{each}" for each in (self.port, *self._metrics)]
        prometheus_url = stack.enter_context(prometheus(place / "prometheus", targets))
        (place / "deploymark.toml").write_text(configuration(prometheus_url, self.proxy))

    def run(self, *words: str | Path, at: Path | None = None, name: str = "") -> Popen[bytes]:
        """Run a process until the test ends."""
        said = self._place / f"{name or words[1]}.log"
        with said.open("ab") as log:
            process = Popen(
                words,
                cwd=at or self._place,
                env={
                    "PATH": os.defpath,
                    "DEPLOYMARK_ADMIN_TOKEN": TOKEN,
                    "DEPLOYMARK_TOKEN": TOKEN,
                    "DEPLOYMARK_URL": self.url,
                    "DEPLOYMARK_SPOOL": str(self._place / "spool"),
                },
                stdout=log,
                stderr=log,
            )
        self._stack.callback(process.wait, 30)
        self._stack.callback(process.terminate)
        return process

    def ask(self, method: str, path: str, body: Json | None = None) -> Json:
        reply = requests.request(
            method,
            f"{self.url}{path}",
            json=body,
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=30,
        )
        assert reply.status_code < 400, reply.text
        found: Json = reply.json()
        return found

    def deploy(self, version: str, errors: float, *, canary: bool) -> str:
        """Start a release, and say so as a pipeline does; return its deployment."""
        release = self._place / "releases" / version
        release.mkdir(parents=True)
        shutil.copy(counted_shop.__file__, release)
        (release / "errors").write_text(str(errors))
        (release / "VERSION").write_text(version)  # the same content would be the same release
        port = self._cohorts.canary if canary else self._cohorts.stable
        for metrics_port in self._metrics[2:] if canary else self._metrics[:2]:
            words = (sys.executable, "-I", "-B", "counted_shop.py", str(port), str(metrics_port))
            self.run(*words, at=release, name=f"shop-{version}")
        marker = {
            "service": "shop",
            "environment": "prod",
            "phase": "applied",
            "version": version,
            "artifact": {"digest": release_digest(str(release))},
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "emitter": {"kind": "ci", "id": "deploy.yml"},
            **({"rollout": {"strategy": "canary", "weight": 0}} if canary else {}),
        }
        return str(self.ask("POST", "/v1/markers", marker)["deployment_id"])

    def rollout(self, deployment: str) -> Json:
        """Return a rollout by its deployment; what the views have not seen yet is empty."""
        items = self.ask("GET", "/v1/rollouts?service=shop")["items"]
        names = {each["deployment_id"].partition("~")[0] for each in items}
        return self.ask("GET", f"/v1/rollouts/{deployment}") if deployment in names else {}

    def wait_until(self, deployment: str, holds: Callable[[Json], object]) -> Json:
        deadline = time.monotonic() + SECONDS
        while not ((shown := self.rollout(deployment)) and holds(shown)):
            log = (self._place / "up.log").read_text()
            assert time.monotonic() < deadline, f"{json.dumps(shown, indent=1)}\n{log}"
            time.sleep(0.2)
        return shown


@contextmanager
def world(place: Path) -> Iterator[World]:
    """Run a shop with two processes, which somebody has adopted, under load."""
    with ExitStack() as stack:
        shop = World(place, stack)
        up = ("--listen", f"127.0.0.1:{shop.port}", "--data", "data", "--config", "deploymark.toml")
        shop.run(BIN / "deploymark", "up", *up)
        await_answer(shop.url)
        (place / "releases").mkdir()
        observed = ("--service", "shop", "--environment", "prod", "--interval", "1")
        where = ("--directory", str(place / "releases"), "--release", "cwd")
        named = ("--node", counted_shop.NODE, "--namespace", counted_shop.NAMESPACE)
        shop.run(BIN / "deploymark", "observe", *observed, *where, *named)
        stable = shop.deploy("1", USUAL, canary=False)
        shop.wait_until(stable, lambda shown: shown["instances"]["observed"] == 2)
        shop.ask("POST", "/v1/actions", {"action": "adopt", "deployment_id": stable})
        load = Child(["-m", "deploymark.testing.fleet.load"], place)
        stack.callback(load.end)
        load.begin({"port": shop.proxy.ports["edge"], "rate": RATE, "seed": 1})
        time.sleep(HISTORY_SECONDS + 6)  # placebos are learned of what is that old
        yield shop


def await_answer(url: str) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            requests.get(f"{url}/readyz", timeout=30).raise_for_status()
        except requests.RequestException:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return


def deeds(shown: Json) -> list[str]:
    """Return what was done, in its order."""
    return [each["action"] for each in shown["decisions"] if each.get("outcome") == "succeeded"]


@pytest.mark.soak  # a pass takes its time here; a local fleet shows one in every run
def test_a_healthy_canary_gets_all_of_the_traffic(tmp_path: Path) -> None:
    with world(tmp_path) as shop:
        canary = shop.deploy("2", USUAL, canary=True)
        shown = shop.wait_until(canary, lambda shown: shown["ended"])
        assert shown["ended"] == "promoted"
        assert deeds(shown) == ["shift", "promote"]
        assert weight_of(shop.proxy) == 100


@pytest.mark.long
def test_a_failing_canary_gets_none_of_the_traffic(tmp_path: Path) -> None:
    with world(tmp_path) as shop:
        canary = shop.deploy("2", 0.2, canary=True)
        shown = shop.wait_until(canary, lambda shown: shown["ended"])
        assert shown["ended"] == "rolled_back"
        assert deeds(shown) == ["shift", "roll_back"]
        assert weight_of(shop.proxy) == 0
        replayed = shop.ask("GET", f"/v1/verdicts/{shown['verdict']['index']}/evidence")
        assert replayed["verdict"]["result"] == "fail"
