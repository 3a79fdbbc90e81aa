"""A plan that its source cannot count is refused when the server starts, and says what is wrong."""

from typing import Any

import pytest

from deploymark.errors import UsageError
from deploymark.integrations.prometheus.source import PrometheusCounts
from deploymark.runtime.config import parse_configuration
from deploymark.runtime.sources import open_sources

ERRORS = {"name": "errors", "trials": "requests_total", "events": 'requests_total{code="500"}'}
LATENCY = {"name": "latency", "kind": "latency", "trials": "seconds"}


def configured(plan: dict[str, Any], **prometheus: Any) -> dict[str, Any]:  # noqa: ANN401 - settings
    usual = {"source": "main", "metrics": [ERRORS, LATENCY], "bucket_seconds": 15}
    return {
        "prometheus": {"main": {"url": "http://127.0.0.1:9090", **prometheus}},
        "rollouts": {"shop": {"prod": {**usual, **plan}}},
    }


def test_a_plan_counts_in_the_prometheus_that_it_names() -> None:
    found = open_sources(parse_configuration(configured({})), None)
    (source,) = found.values()
    assert isinstance(source, PrometheusCounts)
    assert (source.name, source.lag_ms) == ("main", 30_000)


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "a source that there is not": (
        configured({"source": "other"}),
        "/rollouts/shop/prod/source",
        "known: main",
    ),
    "telemetry where it is switched off": (
        {"rollouts": {"shop": {"prod": {}}}},
        "/rollouts/shop/prod/source",
        "known: none",
    ),
    "a Prometheus with the name of the embedded source": (
        {"prometheus": {"telemetry": {"url": "http://127.0.0.1:9090"}}},
        "/prometheus/telemetry",
        "cannot be called",
    ),
    "an address that is none": (
        configured({}, url="ftp://127.0.0.1"),
        "/prometheus/main",
        "ftp",
    ),
    "buckets that are no whole scrapes": (
        configured({"bucket_seconds": 10}),
        "/rollouts/shop/prod/bucket_seconds",
        "counts 15 s together",
    ),
    "errors without what counts them": (
        configured({"metrics": [{"name": "errors", "trials": "requests_total"}]}),
        "/rollouts/shop/prod/metrics/0",
        "does not say what counts it",
    ),
    "a latency with events": (
        configured({"metrics": [ERRORS, {**LATENCY, "events": "requests_total"}]}),
        "/rollouts/shop/prod/metrics/1",
        "does not say what counts it",
    ),
    "a selector that is none": (
        configured({"metrics": [{**ERRORS, "events": "rate(requests_total[1m])"}]}),
        "/rollouts/shop/prod/metrics/0/events",
        "rate",
    ),
    "a warm-up that nobody looks back to": (
        configured({"warmup_seconds": 120}, look_back_seconds=60),
        "/prometheus/main/look_back_seconds",
        "Who is young is not known",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_counted_is_refused_with_its_place(what: str) -> None:
    content, field, said = REFUSED[what]
    with pytest.raises(UsageError, match=said) as caught:
        open_sources(parse_configuration(content), None)
    assert caught.value.field == field
