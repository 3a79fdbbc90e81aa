"""Opens the sources of counts that plans name, and refuses a plan that its source cannot count.

What a source cannot count is said when the server starts: later it would be a rollout that never
knows anything.
"""

from collections.abc import Mapping
from typing import Final

from deploymark.act.plan import EMBEDDED, RolloutPlan, counted_by
from deploymark.errors import DeploymarkError, UsageError
from deploymark.integrations.prometheus.client import PrometheusSettings
from deploymark.integrations.prometheus.question import Selector
from deploymark.integrations.prometheus.series import PrometheusSeries
from deploymark.integrations.prometheus.source import PrometheusCounts
from deploymark.ports import CountsSource, SeriesSource
from deploymark.runtime.config import Configuration
from deploymark.telemetry.room import TelemetryRoom
from deploymark.telemetry.series import EmbeddedSeries

_SLACK_SECONDS: Final = 60


def open_sources(
    configuration: Configuration, telemetry: TelemetryRoom | None
) -> dict[str, CountsSource]:
    """Return every source by its name; nothing is asked yet.

    Args:
        configuration: Names each Prometheus.
        telemetry: The embedded source; None where it is switched off.

    Raises:
        UsageError: A Prometheus cannot be reached as it is described, or has the name of the
            embedded source; or a plan names a source that there is not, or one that cannot count
            what it compares.
    """
    found: dict[str, CountsSource] = {
        **check_sources(configuration, embedded=telemetry is not None)
    }
    if telemetry is not None:
        found[EMBEDDED] = telemetry.counts
    return found


def check_sources(configuration: Configuration, *, embedded: bool) -> dict[str, PrometheusCounts]:
    """Refuse what cannot be counted from, or by; nothing is opened or asked.

    Args:
        configuration: Names each Prometheus, and the plans.
        embedded: What is reported to this server can be counted.

    Returns:
        Every Prometheus by its name.

    Raises:
        UsageError: As `open_sources`.
    """
    found: dict[str, PrometheusCounts] = {}
    for name, settings in configuration.prometheus.items():
        if name == EMBEDDED:
            raise UsageError(
                f"A Prometheus cannot be called {name}: that is what is reported to this server.",
                hint="Choose another name, and write it into the plans.",
                field=f"/prometheus/{name}",
            )
        try:
            found[name] = PrometheusCounts(name, settings)
        except DeploymarkError as error:
            raise UsageError(error.message, hint=error.hint, field=f"/prometheus/{name}") from error
    known = [*([EMBEDDED] if embedded else ()), *found]
    for (service, environment), plan in configuration.plans.items():
        field = f"/rollouts/{service}/{environment}"
        if plan.source not in known:
            raise UsageError(
                f"The plan of {service} in {environment} counts from {plan.source!r}, which is no "
                f"source; known: {', '.join(known) or 'none'}.",
                hint="Name one of those, or describe another as [prometheus.NAME].",
                field=f"{field}/source",
            )
        if plan.source == EMBEDDED:
            _check_grain(plan, configuration.telemetry.bucket_seconds, "telemetry", field)
        else:
            _check_prometheus(plan, configuration.prometheus, field)
    return found


def open_series(
    configuration: Configuration, telemetry: TelemetryRoom | None
) -> dict[str, SeriesSource]:
    """Return what charts are drawn from, by name; nothing is asked yet.

    Args:
        configuration: Names each Prometheus, and what plans count there.
        telemetry: The embedded source; None where it is switched off.
    """
    found: dict[str, SeriesSource] = {}
    if telemetry is not None:
        found[EMBEDDED] = EmbeddedSeries(telemetry.reader, telemetry.settings.bucket_seconds)
    for name, settings in configuration.prometheus.items():
        metrics = {
            scope: counted_by(plan)
            for scope, plan in configuration.plans.items()
            if plan.source == name
        }
        found[name] = PrometheusSeries(name, settings, metrics)
    return found


def _check_prometheus(
    plan: RolloutPlan, known: Mapping[str, PrometheusSettings], field: str
) -> None:
    settings = known[plan.source]
    _check_grain(plan, settings.scrape_seconds, f"prometheus.{plan.source}", field)
    if settings.look_back_seconds < plan.warmup_seconds:
        raise UsageError(
            f"Who is young is not known: warmup_seconds is {plan.warmup_seconds}, and the "
            f"Prometheus {plan.source} looks back for {settings.look_back_seconds} s.",
            hint=f"Let it look back for {plan.warmup_seconds + _SLACK_SECONDS} s, or more.",
            field=f"/prometheus/{plan.source}/look_back_seconds",
        )
    for place, metric in enumerate(plan.metrics):
        wants_events = metric.kind == "events"
        if not metric.trials or bool(metric.events) != wants_events:
            raise UsageError(
                f"The metric {metric.name} does not say what counts it in a Prometheus.",
                hint="Events have selectors `trials` and `events`; others have `trials` only.",
                field=f"{field}/metrics/{place}",
            )
        for name, selector in (("trials", metric.trials), ("events", metric.events)):
            try:
                if selector:
                    Selector(selector)
            except DeploymarkError as error:
                raise UsageError(
                    error.message, hint=error.hint, field=f"{field}/metrics/{place}/{name}"
                ) from error


def _check_grain(plan: RolloutPlan, seconds: int, name: str, field: str) -> None:
    if plan.bucket_seconds % seconds:
        raise UsageError(
            f"It counts by {plan.bucket_seconds} s, and [{name}] counts {seconds} s together.",
            hint=f"Choose bucket_seconds as a multiple of {seconds}.",
            field=f"{field}/bucket_seconds",
        )
