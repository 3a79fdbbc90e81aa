"""What the charts are drawn from: four measures of one window, least and greatest per column."""

from collections.abc import Sequence
from typing import Final

from deploymark.errors import DeploymarkError
from deploymark.model.instants import format_instant
from deploymark.ports import Sampled, SeriesQuery, SeriesSource
from deploymark.server.pages.asked import Asked
from deploymark.server.pages.shapes import Window
from deploymark.server.pages.shapes_series import Series, SeriesName, SeriesSet, Unit

_UNITS: Final = {
    SeriesName.ERRORS: Unit.SHARE,
    SeriesName.LATENCY_P95: Unit.MILLISECONDS,
    SeriesName.REQUESTS: Unit.PER_SECOND,
    SeriesName.SATURATION: Unit.SHARE,
}
_FACTORS: Final = {SeriesName.LATENCY_P95: 1_000.0}
_OFF: Final = (
    "Nothing reports requests here: switch telemetry on ([telemetry] in the configuration), or name"
    " a Prometheus in the rollout plan of the service."
)


def series(asked: Asked) -> SeriesSet:
    """Return the series of a window.

    A source that does not answer is told as missing: charts stay empty, and the page stands.

    Raises:
        RequestError: The window is none.
    """
    window = asked.window()
    names = tuple(asked.parameters.get("names") or SeriesName)
    service = asked.parameters.get("service")
    environment = asked.parameters.get("environment")
    deployment = asked.parameters.get("deployment_id")
    source = asked.sources.series_of(service, environment)
    step_ms = max(1, (window.until_ms - window.since_ms) // window.width)
    query = SeriesQuery(
        window.since_ms,
        window.until_ms,
        step_ms,
        service,
        environment,
        None if deployment is None else deployment.partition("~")[0],
    )
    found = _sampled(source, query, names)
    return SeriesSet(
        window=window,
        source=None if source is None else source.name,
        service=service,
        environment=environment,
        deployment_id=deployment,
        items=[_merged(name, found[name.value], window, step_ms) for name in names],
        now_at=format_instant(asked.now_ms),
    )


def _sampled(
    source: SeriesSource | None, query: SeriesQuery, names: Sequence[SeriesName]
) -> dict[str, Sampled]:
    said = tuple(name.value for name in names)
    if source is None:
        return {name: Sampled([], _OFF) for name in said}
    try:
        return source.sampled(query, said)
    except DeploymarkError as error:
        # Its message may name addresses of this network; the hint is for everybody.
        why = f"{source.name} does not answer now. {error.hint}".strip()
        return {name: Sampled([], why) for name in said}


def _merged(name: SeriesName, found: Sampled, window: Window, step_ms: int) -> Series:
    """Return one series with least and greatest of each column, no spike lost."""
    factor = _FACTORS.get(name, 1.0)
    low: dict[int, float] = {}
    high: dict[int, float] = {}
    for at_ms, value in found.samples:
        column = (at_ms - window.since_ms) // step_ms
        low[column] = min(value, low.get(column, value))
        high[column] = max(value, high.get(column, value))
    columns = sorted(low)
    latest = found.samples[-1][1] if found.samples else None
    return Series(
        name=name,
        unit=_UNITS[name],
        step_ms=step_ms,
        at_ms=[window.since_ms + column * step_ms for column in columns],
        low=[_short(low[column] * factor) for column in columns],
        high=[_short(high[column] * factor) for column in columns],
        latest=None if latest is None else _short(latest * factor),
        missing=found.missing or None,
    )


def _short(value: float) -> float:
    """Return four digits of a value: more than a screen shows, and a third of the bytes."""
    return float(f"{value:.4g}")
