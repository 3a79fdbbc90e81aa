"""Connects the measures that the server takes of itself with what they are counted from.

A measure is plugged in here: one source, by its id. What has no source does not appear.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from deploymark.ingest.ledger import Ledger
from deploymark.model.distribution import BOUNDS, Distribution
from deploymark.model.proportion import Proportion
from deploymark.ports import Clock, TelemetryQuery
from deploymark.projections.broker.census import BrokerCensus, Census
from deploymark.projections.measures import (
    MEASURES,
    VISIBLE_WITHIN_SECONDS,
    Reading,
    Source,
    read_all,
    shown,
)
from deploymark.server.exposition import KEEP_SECONDS
from deploymark.server.recent import Recent
from deploymark.telemetry.room import TelemetryRoom

M8_WINDOW_SECONDS: Final = 86_400
"""How far back spans are counted, unless less is kept."""

_SPANS_KEEP_SECONDS: Final = 60.0  # a day of spans is added up once a minute
_SERVICES: Final = 100_000

_TIME_TO_MARKER: Final = "deploymark_time_to_marker_seconds"
_MS: Final = 1_000

Distributions = Callable[[], Mapping[str, Distribution]]


class Measuring:
    """Takes the measures; every method waits for the disk, and is safe on any thread.

    Args:
        census: Counts what runs and what is wrong.
        sources: Of the measures that are not counted from the census.
        clock: Tells the time.
    """

    def __init__(self, census: BrokerCensus, sources: Mapping[str, Source], clock: Clock) -> None:
        self._census = Recent(census.take, clock, KEEP_SECONDS)
        self._sources = sources
        self._clock = clock

    def census(self) -> Census:
        """Return what was counted a moment ago, or now.

        Raises:
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        return self._census.read()

    def readings(self, after: int = -1) -> dict[str, Reading]:
        """Return what was counted for each measure, as of an entry or later.

        Raises:
            StoreUnavailableError: As `census`, or a source's medium refuses.
        """
        census = self._census.read(lambda each: each.as_of > after)
        now_ms = self._clock.now_ms()
        covered = Reading(census.covered, now_ms, now_ms)
        return read_all({**self._sources, "M10": lambda: covered})

    def slis(self, after: int) -> Sequence[dict[str, Any]]:
        """Return the measures as the interface shows them; as `readings`."""
        return [shown(MEASURES[name], each) for name, each in self.readings(after).items()]


def sources_of(
    distributions: Distributions, ledger: Ledger, telemetry: TelemetryRoom | None, clock: Clock
) -> dict[str, Source]:
    """Return the sources of all measures that are not counted from the census."""
    found = {"M2": time_to_marker(distributions, clock), "M3": ingestion(ledger, clock)}
    if telemetry is not None:
        found["M8"] = propagation(telemetry, clock)
    return found


def time_to_marker(distributions: Distributions, clock: Clock) -> Source:
    """Return the source of M2: what this process has observed since now."""
    since_ms = clock.now_ms()
    within = BOUNDS.index(VISIBLE_WITHIN_SECONDS)

    def read() -> Reading:
        steps = distributions().get(_TIME_TO_MARKER, Distribution()).cumulative()
        return Reading(Proportion(steps[within][1], steps[-1][1]), since_ms, clock.now_ms())

    return read


def ingestion(ledger: Ledger, clock: Clock) -> Source:
    """Return the source of M3: the ledger, over all that it remembers."""

    def read() -> Reading:
        now_ms = clock.now_ms()
        rates = ledger.rates(now_ms)
        return Reading(Proportion(rates.received, rates.emitted), None, now_ms)

    return read


def propagation(room: TelemetryRoom, clock: Clock) -> Source:
    """Return the source of M8: spans of the last day, by the time of receipt."""
    seconds = min(M8_WINDOW_SECONDS, room.settings.retention_seconds)

    def count() -> Reading:
        now_ms = clock.now_ms()
        until_s = now_ms // _MS + 1
        asked = TelemetryQuery(until_s - seconds, until_s)
        found = [each for _, each in room.store.marked(asked, seconds, _SERVICES)]
        share = Proportion(sum(each.marked for each in found), sum(each.spans for each in found))
        return Reading(share, (until_s - seconds) * _MS, now_ms)

    return Recent(count, clock, _SPANS_KEEP_SECONDS).read
