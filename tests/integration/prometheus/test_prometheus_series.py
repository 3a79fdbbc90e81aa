"""Charts from a real Prometheus keep the contract, and every expression is one."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_server import MISSING, PROMTOOL, Sample, fill, prometheus

from deploymark.integrations.prometheus.client import PrometheusSettings
from deploymark.integrations.prometheus.series import PrometheusSeries
from deploymark.ports import MetricQuery, SeriesQuery
from deploymark.ports.series import ERRORS, LATENCY_P95
from deploymark.testing.series_source import (
    BOUNDS,
    SECONDS,
    Load,
    SeriesWorld,
    exercise_series_source,
)

pytestmark = pytest.mark.skipif(PROMTOOL is None, reason=MISSING)

START_S = 1_795_000_020
METRICS = (
    MetricQuery("errors", "events", "requests_total", 'requests_total{code="500"}'),
    MetricQuery("latency", "latency", "duration_seconds"),
    MetricQuery("saturation", "gauge", "cpu_share"),
)


def told(past: Sequence[Load]) -> Iterator[Sample]:
    """Tell what the service showed after each ten seconds."""
    good = bad = fast = slow = 0
    for number, load in enumerate(past, 1):
        second = START_S + number * SECONDS
        good, bad = good + load.requests - load.errors, bad + load.errors
        fast, slow = fast + load.requests - load.slow, slow + load.slow
        yield 'requests_total{code="200"}', good, second
        yield 'requests_total{code="500"}', bad, second
        for le, count in zip(BOUNDS, (fast, fast, fast + slow), strict=True):
            yield f'duration_seconds_bucket{{le="{le}"}}', count, second
        yield 'duration_seconds_bucket{le="+Inf"}', fast + slow, second
        yield "cpu_share{}", load.saturation, second


def drawn(url: str, metrics: tuple[MetricQuery, ...] = METRICS) -> PrometheusSeries:
    settings = PrometheusSettings(url=url, scrape_seconds=SECONDS)
    return PrometheusSeries("prom-1", settings, {("checkout", "prod"): metrics})


def test_it_keeps_the_contract(tmp_path: Path) -> None:
    with ExitStack() as stack:

        def make(past: Sequence[Load]) -> SeriesWorld:
            fill(tmp_path, told(past))
            url = stack.enter_context(prometheus(tmp_path))
            return SeriesWorld(drawn(url), START_S * 1_000, "checkout", "prod")

        exercise_series_source(make)


def test_a_plan_that_counts_no_latency_says_so(tmp_path: Path) -> None:
    query = SeriesQuery(START_S * 1_000, (START_S + 600) * 1_000, 10_000, "checkout", "prod")
    fill(tmp_path, told([Load(100, 1, 0, 0.1)] * 30))
    with prometheus(tmp_path) as url:
        found = drawn(url, METRICS[:1]).sampled(query, (ERRORS, LATENCY_P95))
    assert found[ERRORS].samples
    assert "add the metric `latency`" in found[LATENCY_P95].missing
