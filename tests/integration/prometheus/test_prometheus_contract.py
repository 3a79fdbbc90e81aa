"""A source over a real Prometheus keeps the contract, with a past that was written for it."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_server import MISSING, PROMTOOL, Sample, fill, prometheus

from deploymark.integrations.prometheus import source
from deploymark.integrations.prometheus.client import PrometheusSettings
from deploymark.integrations.prometheus.source import PrometheusCounts
from deploymark.ports import Cohort, MetricQuery
from deploymark.testing.counts_source import (
    FAST_SECONDS,
    SLOW_SECONDS,
    CountsWorld,
    Done,
    Story,
    exercise_counts_source,
)

pytestmark = pytest.mark.skipif(PROMTOOL is None, reason=MISSING)

START_S = 1_795_000_020
STEP_S, BUCKET_S = 5, 10
BOUNDS = (0.1, 0.5, 1.0, math.inf)
ERRORS = MetricQuery("errors", "events", "requests_total", 'requests_total{code="500"}')
LATENCY = MetricQuery("latency", "latency", "duration_seconds")
MEMORY = MetricQuery("memory", "gauge", "memory_bytes")
# A sample stands for its own instant only, so that what is not written is missing.
EXACT = ("--query.lookback-delta=2s",)


def labels(pod: str, **more: str) -> str:
    said = {"namespace": "shop", "pod": pod, "job": "shop", "instance": f"{pod}:80", **more}
    return "{" + ",".join(f'{name}="{value}"' for name, value in said.items()) + "}"


def info(pod: str, deployment: str, second: float, **more: str) -> Sample:
    said = labels(
        pod,
        **{
            "deployment_id": deployment,
            "service": "checkout",
            "environment": "prod",
            "track": "stable",
            "job": "deploymark",
            "instance": "deploymark:8420",
            **more,
        },
    )
    return f"deploymark_info{said}", 1, second


def cohort(deployment: str) -> Cohort:
    return Cohort("checkout", "prod", (deployment, f"{deployment}.too"))


def told(story: Story) -> Iterator[Sample]:
    """Tell what a replica showed at each scrape: half of what it does in a bucket, then all."""
    counts: dict[str, list[float]] = {}
    for number, done in enumerate(story.done, story.begins):
        if number in story.restarts:
            counts.clear()
        for half in (0, 1):
            second = START_S + number * BUCKET_S + (half + 1) * STEP_S
            for code, latencies in zip(("200", "500"), took(done), strict=True):
                middle = len(latencies) // 2
                part = latencies[middle:] if half else latencies[:middle]
                if part or code in counts or code == "200":
                    counts.setdefault(code, []).extend(part)
            for code, latencies in counts.items():
                yield f"requests_total{labels(story.replica, code=code)}", len(latencies), second
                for bound in BOUNDS:
                    le = "+Inf" if bound == math.inf else str(bound)
                    held = sum(each <= bound for each in latencies)
                    named = labels(story.replica, code=code, le=le)
                    yield f"duration_seconds_bucket{named}", held, second
            yield f"memory_bytes{labels(story.replica)}", done.memory, second
            yield info(story.replica, story.deployment, second)


def took(done: Done) -> tuple[list[float], list[float]]:
    """Return how long requests that succeeded took, and those that failed."""
    found = [SLOW_SECONDS] * done.slow + [FAST_SECONDS] * (done.requests - done.slow)
    return found[done.errors :], found[: done.errors]


def counts_of(url: str, look_back_seconds: int = 100) -> PrometheusCounts:
    settings = PrometheusSettings(
        url=url, scrape_seconds=STEP_S, look_back_seconds=look_back_seconds
    )
    return PrometheusCounts("prom-1", settings)


@pytest.mark.parametrize("most_steps", [2_000, 22], ids=["at once", "in parts"])
def test_it_keeps_the_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_steps: int
) -> None:
    monkeypatch.setattr(source, "MOST_STEPS", most_steps)
    with ExitStack() as stack:
        exercise_counts_source(lambda history: world(tmp_path, stack, history))


def world(place: Path, stack: ExitStack, history: Sequence[Story]) -> CountsWorld:
    """Run a Prometheus that has scraped a history."""
    fill(place, [sample for story in history for sample in told(story)])
    url = stack.enter_context(prometheus(place, options=EXACT))
    return CountsWorld(
        counts_of(url),
        START_S * 1_000,
        BUCKET_S * 1_000,
        STEP_S * 1_000,
        cohort=cohort,
        replica=lambda replica: f"shop/{replica}",
        errors=ERRORS,
        latency=LATENCY,
        memory=MEMORY,
        unseen=MetricQuery("heap", "gauge", "heap_bytes"),
        nonsense=MetricQuery("rate", "events", "rate(requests_total[5m])", "errors_total"),
    )
