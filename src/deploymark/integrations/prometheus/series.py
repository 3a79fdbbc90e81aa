"""Draws charts from a Prometheus, for services whose rollout plan says what to count there.

For people to look at: rates and quantiles as PromQL gives them. Verdicts are taken from raw
counters (`source`), never from these. Each value is the greatest of its step, asked finer than it
is drawn, so that no spike is lost between two pixels.
"""

from collections.abc import Mapping
from typing import Final

from deploymark.errors import QueryError
from deploymark.integrations.prometheus.client import PrometheusClient, PrometheusSettings
from deploymark.integrations.prometheus.question import Selector
from deploymark.ports import MetricQuery, Sampled, SeriesQuery
from deploymark.ports.series import ERRORS, LATENCY_P95, REQUESTS, SATURATION

MOST_STEPS: Final = 10_000
"""Values of one series in one answer; a Prometheus gives 11,000 at most."""

_MS: Final = 1_000
_SCRAPES: Final = 4
_BUCKET: Final = "_bucket"
_NO_PLAN: Final = (
    "The rollout plan of this service does not say what counts it in {name}: add the metric"
    " `{metric}` to the plan."
)
_ALL: Final = "{name} is asked for one service at a time: filter for one (`svc:`, `env:`)."
_NOTHING: Final = "{name} has nothing of it in this window."


class PrometheusSeries:
    """Draws from one Prometheus; see `ports.SeriesSource`.

    Deployments are not told apart: what a plan selects is drawn, whichever it is of.

    Args:
        name: Which one, for people.
        settings: Where it is.
        metrics: Of the plans that count there, by service and environment.

    Raises:
        UsageError: The settings make no sense.
    """

    def __init__(
        self,
        name: str,
        settings: PrometheusSettings,
        metrics: Mapping[tuple[str, str], tuple[MetricQuery, ...]],
    ) -> None:
        self._name = name
        self._client = PrometheusClient(name, settings)
        self._scrape_ms = settings.scrape_seconds * _MS
        self._metrics = metrics

    @property
    def name(self) -> str:
        """See `SeriesSource.name`."""
        return self._name

    def sampled(self, query: SeriesQuery, names: tuple[str, ...]) -> dict[str, Sampled]:
        """See `SeriesSource.sampled`."""
        scope = (query.service or "", query.environment or "")
        metrics = self._metrics.get(scope)
        if metrics is None:
            return {name: Sampled([], _ALL.format(name=self._name)) for name in names}
        span_ms = query.until_ms - query.since_ms
        step_ms = max(self._scrape_ms, query.step_ms // _SCRAPES, span_ms // MOST_STEPS + 1)
        return {name: self._one(name, metrics, query, step_ms) for name in names}

    def _one(
        self, name: str, metrics: tuple[MetricQuery, ...], query: SeriesQuery, step_ms: int
    ) -> Sampled:
        window = f"{max(_SCRAPES * self._scrape_ms, step_ms) // _MS}s"
        expression = expression_of(name, metrics, window)
        if expression is None:
            return Sampled([], _NO_PLAN.format(name=self._name, metric=_WANTED[name]))
        found = self._client.ask(expression, query.since_ms, query.until_ms, step_ms)
        values = sorted(pair for series in found for pair in series.values.items())
        return Sampled(values, "" if values else _NOTHING.format(name=self._name))


_WANTED: Final = {
    ERRORS: "errors",
    REQUESTS: "errors",
    LATENCY_P95: "latency",
    SATURATION: "saturation",
}


def expression_of(name: str, metrics: tuple[MetricQuery, ...], window: str) -> str | None:
    """Return the PromQL of a measure; None when no metric of the plan says what counts it.

    Raises:
        QueryError: A selector of the plan is none.
    """
    by_name = {metric.name: metric for metric in metrics}
    found = by_name.get(_WANTED[name])
    if found is None or not found.trials:
        return None
    trials = Selector(found.trials)
    match name:
        case "requests":
            return f"sum(rate({trials}[{window}]))"
        case "errors":
            if not found.events:
                return None
            events = Selector(found.events)
            failed = f"(sum(rate({events}[{window}])) or vector(0))"
            return f"{failed} / (sum(rate({trials}[{window}])) > 0)"
        case "latency_p95":
            native = f"histogram_quantile(0.95, sum(rate({trials}[{window}])))"
            classic = (
                trials if trials.name.endswith(_BUCKET) else trials.named(trials.name + _BUCKET)
            )
            said = f"histogram_quantile(0.95, sum by (le) (rate({classic}[{window}])))"
            return said if classic is trials else f"{said} or {native}"
        case "saturation":
            return f"max(max_over_time({trials}[{window}]))"
        case _:
            raise QueryError(f"There is no series {name[:64]!r}.")
