"""What only pages ask of the rooms behind the door; `runtime.front` fills it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from deploymark.projections.broker.marks_query import Marks
from deploymark.projections.broker.run_book import RunBook
from deploymark.projections.error_delta import ErrorDeltas
from deploymark.projections.expectations import Expectations
from deploymark.projections.timeline_stream import Stream
from deploymark.server.pages.built import Assets


@dataclass(frozen=True, slots=True)
class PageSources:
    """Everything that only pages ask; each waits for the disk.

    Attributes:
        marks: What is drawn.
        book: What is said of runs.
        stream: What is new.
        deltas: Errors after deployments against before; None without telemetry.
        expectations: What should run.
        assets: Files of the page; those of this installation when left out.
        look_seconds: How long a rollout waits between two looks, by service and environment.
    """

    marks: Marks
    book: RunBook
    stream: Stream
    deltas: ErrorDeltas | None = None
    assets: Assets | None = None
    expectations: Expectations = field(default_factory=Expectations)
    look_seconds: Mapping[tuple[str, str], int] = field(default_factory=dict)
