"""What only pages ask of the rooms behind the door; `runtime.front` fills it."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from deploymark.ports import SeriesSource
from deploymark.projections.broker.fleet_query import FleetBook
from deploymark.projections.broker.marks_query import Marks
from deploymark.projections.broker.run_book import RunBook
from deploymark.projections.error_delta import ErrorDeltas
from deploymark.projections.expectations import Expectations
from deploymark.projections.timeline_stream import Stream
from deploymark.server.built import Assets
from deploymark.server.recent import Recent
from deploymark.telemetry.series import NAME as EMBEDDED


@dataclass(frozen=True, slots=True)
class PageSources:
    """Everything that only pages ask; each waits for the disk.

    Attributes:
        marks: What is drawn.
        book: What is said of runs.
        stream: What is new.
        fleet: What runs where, and what came of deployments by day.
        deltas: Errors after deployments against before; None without telemetry.
        expectations: What should run.
        series: What charts are drawn from, by name.
        drawn_from: Which of these, by service and environment; the embedded one for all others.
        assets: Files of the page; those of this installation when left out.
        rolling: The rollouts under way, asked for once in a moment however many look; None asks
            each time.
        one_commit: Until its end, this thread sees the views as of one commit, and asks them by
            one connection.
        look_seconds: How long a rollout waits between two looks, by service and environment.
    """

    marks: Marks
    book: RunBook
    stream: Stream
    fleet: FleetBook
    deltas: ErrorDeltas | None = None
    series: Mapping[str, SeriesSource] = field(default_factory=dict)
    drawn_from: Mapping[tuple[str, str], str] = field(default_factory=dict)
    assets: Assets | None = None
    expectations: Expectations = field(default_factory=Expectations)
    rolling: Recent[list[Any]] | None = None
    one_commit: Callable[[], AbstractContextManager[object]] = nullcontext
    look_seconds: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def series_of(self, service: str | None, environment: str | None) -> SeriesSource | None:
        """Return what the charts of a service are drawn from; None where nothing is."""
        named = self.drawn_from.get((service or "", environment or ""), EMBEDDED)
        return self.series.get(named)
