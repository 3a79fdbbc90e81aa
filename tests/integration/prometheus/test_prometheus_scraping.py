"""Counts from a real Prometheus that scrapes real processes are what these truly did."""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL, Popen
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from prometheus_server import (
    MISSING,
    PROMETHEUS,
    SECONDS,
    await_,
    deploymark,
    free_port,
    now,
    prometheus,
    value_of,
)

from deploymark.errors import CountsUnavailableError
from deploymark.integrations.prometheus.client import PrometheusSettings
from deploymark.integrations.prometheus.source import PrometheusCounts
from deploymark.ports import Cohort, CohortCounts, MetricQuery

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason=MISSING)

APP = Path(__file__).with_name("counting_app.py")
ERRORS = MetricQuery("errors", "events", "requests_total", 'requests_total{code="500"}')
LATENCY = MetricQuery("latency", "latency", "seconds")
PODS = {"pod-1": "d-stable", "pod-2": "d-stable", "pod-3": "d-canary"}


class App:
    """A process that serves requests in a pod, and may begin anew.

    Attributes:
        done: What it was asked for, over all its lives.
    """

    def __init__(self, pod: str) -> None:
        self.pod = pod
        self.port = free_port()
        self.done: Counter[str] = Counter()
        self.start()

    def start(self) -> None:
        """Begin, with all counters at 0."""
        self.lived: Counter[str] = Counter()
        self._process = Popen(
            [sys.executable, str(APP), str(self.port), self.pod], stdin=DEVNULL, stdout=DEVNULL
        )
        await_(lambda: self._ask("/metrics"))

    def stop(self) -> None:
        """End at once."""
        self._process.kill()
        self._process.wait(SECONDS)

    def serve(self, **requests: int) -> None:
        """Answer requests of each kind."""
        for kind, many in requests.items():
            for _ in range(many):
                assert self._ask(f"/{kind}")
            self.done[kind] += many
            self.lived[kind] += many

    def _ask(self, path: str) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=SECONDS) as answer:
                return bool(answer.read())
        except (URLError, OSError):
            return False


@pytest.fixture
def apps() -> Iterator[list[App]]:
    made: list[App] = []
    try:
        made.extend(App(pod) for pod in PODS)
        yield made
    finally:
        for app in made:
            app.stop()


def shown(url: str, app: App) -> float:
    """Return how many requests of a pod Prometheus has scraped."""
    return value_of(url, f'sum(requests_total{{pod="{app.pod}"}})')


def await_scrapes(url: str, apps: list[App]) -> None:
    """Wait until everything that was done is scraped."""
    await_(lambda: all(shown(url, app) == app.lived.total() for app in apps))


def counted(url: str, deployment: str, since_s: int, until_s: int) -> CohortCounts:
    counts = PrometheusCounts(
        "prom-1", PrometheusSettings(url=url, scrape_seconds=1, look_back_seconds=60)
    )
    cohort = Cohort("checkout", "prod", (deployment,))
    return counts.count(cohort, [ERRORS, LATENCY], since_s * 1_000, until_s * 1_000, 1_000)


def seen(found: CohortCounts) -> Counter[str]:
    """Return what was counted, in the words of the processes."""
    cells = found.cells["errors"]
    failed = sum(cell.events for cell in cells)
    latencies = found.cells["latency"]
    slow = sum(cell.counts[cell.bounds.index(0.5) + 1] for cell in latencies)
    trials = sum(cell.trials for cell in cells)
    assert trials == sum(sum(cell.counts) for cell in latencies)
    return Counter(fail=failed, slow=slow, work=trials - failed - slow)


def test_counts_are_those_of_the_processes_through_restarts_of_both(
    tmp_path: Path, apps: list[App]
) -> None:
    with deploymark(PODS) as port:
        targets = [f"127.0.0.1:{each}" for each in (port, *(app.port for app in apps))]
        place, own_port = tmp_path / "prometheus", free_port()
        with prometheus(place, targets, port=own_port) as url:
            # 1. Prometheus knows all of them, with nothing done yet.
            await_scrapes(url, apps)
            await_(lambda: counted(url, "d-canary", now() - 5, now()).cells)
            since_s = now()
            # 2. Requests, among them the first errors.
            for round_ in range(3):
                apps[0].serve(work=20, slow=2)
                apps[1].serve(work=10 * round_)
                apps[2].serve(work=10, fail=3, slow=1)
                time.sleep(0.7)
            await_scrapes(url, apps)
            # 3. A process of each arm begins anew; all that it did had been scraped.
            for app in (apps[1], apps[2]):
                app.stop()
                app.start()
                app.serve(work=4)
            apps[2].serve(fail=2)
            await_scrapes(url, apps)
        # 4. Prometheus is away for a while, and work goes on.
        with pytest.raises(CountsUnavailableError):
            counted(url, "d-canary", since_s, since_s + 1)
        for app in apps:
            app.serve(work=7)
        apps[0].serve(fail=1)
        time.sleep(2)
        with prometheus(place, targets, port=own_port) as url:
            await_scrapes(url, apps)
            for app in apps:
                app.serve(work=5)
            await_scrapes(url, apps)
            time.sleep(2)
            until_s = now()
            # 5. Whole windows hold what was done: nothing lost, nothing twice, in any pieces.
            truths = {"d-stable": apps[0].done + apps[1].done, "d-canary": apps[2].done}
            for deployment, truth in truths.items():
                whole = counted(url, deployment, since_s, until_s)
                assert +seen(whole) == truth
                pieces: Counter[str] = Counter()
                for at_s in range(since_s, until_s, 4):
                    pieces += seen(counted(url, deployment, at_s, min(at_s + 4, until_s)))
                assert +pieces == truth
                assert whole == counted(url, deployment, since_s, until_s)
            assert {
                cell.replica for cell in counted(url, "d-stable", since_s, until_s).cells["errors"]
            } == {"shop/pod-1", "shop/pod-2"}
