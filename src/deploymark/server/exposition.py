"""The part of `/metrics` counted from the views: what runs, was deployed, is wrong; the measures.

Rendered together and kept for a moment (`recent`): a page of ten thousand instances is not made
again for each of several scrapers. What cannot be counted now is left out of the page, and a
counter says so: a sample that is missing is seen, one that is old is believed. Measures that are
counted seldom because that takes long say how old they are.
"""

from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from deploymark.errors import DeploymarkError
from deploymark.log.reader import LogView
from deploymark.ports import Clock, Meter
from deploymark.projections.broker.census import Census
from deploymark.projections.measures import MEASURES, DeltaReading, Reading
from deploymark.server.metrics import Labels, family, render
from deploymark.server.parts import Runner
from deploymark.server.recent import Recent

KEEP_SECONDS: Final = 2.0
"""How old a page may be."""

Lines = Iterable[str]


class Measured(Protocol):
    """What is counted (`runtime.measuring`); may wait, and raises `DeploymarkError`."""

    def census(self) -> Census:
        """Count what runs and what is wrong."""
        ...

    def readings(self) -> dict[str, Reading]:
        """Return the measures that are shares, as they were counted last."""
        ...

    def delta(self) -> DeltaReading | None:
        """Return the one that is a difference, as above; None without telemetry."""
        ...


class Exposition:
    """Renders the page; call it on a thread.

    Args:
        measures: Counts what runs and what is wrong, and for the measures.
        view: The log.
        runner: Tells how much of it the views have seen.
        clock: Tells the time.
        meter: Counts what could not be counted.
    """

    def __init__(
        self,
        measures: Measured,
        view: LogView,
        runner: Runner,
        *,
        clock: Clock,
        meter: Meter,
    ) -> None:
        self._measures = measures
        self._view = view
        self._runner = runner
        self._clock = clock
        self._meter = meter
        self._page = Recent(self._render, clock, KEEP_SECONDS)

    def __call__(self) -> bytes:
        """Return the lines, at most `KEEP_SECONDS` old."""
        return self._page.read()

    def _render(self) -> bytes:
        found: list[Lines] = []
        for part in (self._lag, self._counted, self._measured, self._compared):
            try:
                found.append(list(part()))
            except DeploymarkError as error:
                self._meter.count("deploymark_measuring_failures_total", code=error.code)
        return render(found)

    def _lag(self) -> Iterator[str]:
        reader, seen = self._view.reader, self._runner.position()
        waits_ms = 0
        if seen < reader.head().size:
            waits_ms = max(0, self._clock.now_ms() - reader.entry(seen).received_at_ms)
        yield from family("view_lag_seconds", "gauge", {(): waits_ms / 1_000})

    def _counted(self) -> Iterator[str]:
        census = self._measures.census()
        findings: dict[Labels, float] = {
            (("code", code), ("severity", severity), ("production", _word(production))): count
            for (code, severity, production), count in census.findings.items()
        }
        yield from family("findings_open", "gauge", findings)
        instances: dict[Labels, float] = {
            (("status", status),): count for status, count in census.instances.items()
        }
        yield from family("instances", "gauge", instances)
        info: dict[Labels, float] = {
            tuple(zip(each._fields, each, strict=True)): 1 for each in census.running
        }
        yield from family("info", "gauge", info)
        omitted: dict[Labels, float] = {
            (("reason", "beyond"),): census.beyond,
            (("reason", "shadowed"),): census.shadowed,
        }
        yield from family("info_omitted", "gauge", omitted)
        yield from _deployed(census)

    def _measured(self) -> Iterator[str]:
        readings = self._measures.readings()
        for part in ("numerator", "denominator"):
            samples: dict[Labels, float] = {
                (("measure", name),): getattr(each.share, part) for name, each in readings.items()
            }
            yield from family(f"measure_{part}", "gauge", samples)
        targets: dict[Labels, float] = {
            (("measure", name),): MEASURES[name].target for name in readings
        }
        yield from family("measure_target", "gauge", targets)
        now_ms = self._clock.now_ms()
        ages: dict[Labels, float] = {
            (("measure", name),): max(0, now_ms - each.until_ms) / 1_000
            for name, each in readings.items()
        }
        yield from family("measure_age_seconds", "gauge", ages)
        times: dict[Labels, float] = {
            (("measure", name), ("quantile", quantile)): seconds
            for name, each in readings.items()
            if each.seconds is not None
            for quantile, seconds in (("0.5", each.seconds.median), ("0.95", each.seconds.p95))
            if seconds is not None
        }
        yield from family("measure_seconds", "gauge", times)

    def _compared(self) -> Iterator[str]:
        delta = self._measures.delta()
        if delta is None:
            return
        windows = delta.difference._asdict().items()
        for name in ("errors", "requests"):
            counts: dict[Labels, float] = {
                (("window", window),): getattr(tally, name) for window, tally in windows
            }
            yield from family(f"post_deploy_{name}", "gauge", counts)
        amounts: dict[Labels, float] = {
            (("result", result),): count for result, count in delta.left_out.items()
        }
        amounts[(("result", "counted"),)] = delta.deployments
        yield from family("post_deploy_deployments", "gauge", amounts)


def _deployed(census: Census) -> Iterator[str]:
    moments: dict[Labels, float] = {
        tuple(zip(each._fields[:-1], each[:-1], strict=True)): each.at_ms / 1_000
        for each in census.moments
    }
    yield from family("deployment_timestamp_seconds", "gauge", moments)
    yield from family("deployment_timestamps_omitted", "gauge", {(): census.unlisted})


def _word(is_so: bool) -> str:  # noqa: FBT001 - that is the value
    return "true" if is_so else "false"
