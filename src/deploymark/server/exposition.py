"""The part of `/metrics` that is counted from the views: what runs, what is wrong, the measures.

Rendered together and kept for a moment (`recent`): a page of ten thousand instances is not made
again for each of several scrapers. What cannot be counted now is left out of the page, and a
counter says so: a sample that is missing is seen, one that is old is believed.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from deploymark.errors import DeploymarkError
from deploymark.log.reader import LogView
from deploymark.ports import Clock, Meter
from deploymark.projections.broker.census import Census
from deploymark.projections.measures import MEASURES, Reading
from deploymark.server.metrics import Labels, family, render
from deploymark.server.parts import Runner
from deploymark.server.recent import Recent

KEEP_SECONDS: Final = 2.0
"""How old a page may be."""

Lines = Iterable[str]


class Exposition:
    """Renders the page; call it on a thread.

    Args:
        census: Counts what runs and what is wrong.
        measures: Counts for the measures.
        view: The log.
        runner: Tells how much of it the views have seen.
        clock: Tells the time.
        meter: Counts what could not be counted.
    """

    def __init__(
        self,
        census: Callable[[], Census],
        measures: Callable[[], dict[str, Reading]],
        view: LogView,
        runner: Runner,
        *,
        clock: Clock,
        meter: Meter,
    ) -> None:
        self._census = census
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
        for part in (self._lag, self._counted, self._measured):
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
        census = self._census()
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

    def _measured(self) -> Iterator[str]:
        readings = self._measures()
        for part in ("numerator", "denominator"):
            samples: dict[Labels, float] = {
                (("measure", name),): getattr(each.share, part) for name, each in readings.items()
            }
            yield from family(f"measure_{part}", "gauge", samples)
        targets: dict[Labels, float] = {
            (("measure", name),): MEASURES[name].target for name in readings
        }
        yield from family("measure_target", "gauge", targets)


def _word(is_so: bool) -> str:  # noqa: FBT001 - that is the value
    return "true" if is_so else "false"
