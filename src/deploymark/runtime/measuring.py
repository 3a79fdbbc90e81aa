"""Connects the measures that the server takes of itself with what they are counted from.

A measure is plugged in here: one source, by its id. What has no source does not appear.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from deploymark.ingest.ledger import Ledger
from deploymark.model.distribution import BOUNDS, Distribution
from deploymark.model.proportion import Proportion
from deploymark.ports import Clock
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

M8_WINDOW_SECONDS: Final = 86_400
"""How far back spans are counted."""

_TIME_TO_MARKER: Final = "deploymark_time_to_marker_seconds"
_MS: Final = 1_000

Distributions = Callable[[], Mapping[str, Distribution]]
Marked = Callable[[int, int], tuple[int, int]]
"""Counts spans received from one second of the epoch until before another: marked, and all."""


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


def propagation(marked: Marked, clock: Clock, seconds: int = M8_WINDOW_SECONDS) -> Source:
    """Return the source of M8: spans of the last day, by the time of receipt."""

    def read() -> Reading:
        now_ms = clock.now_ms()
        until_s = now_ms // _MS + 1
        return Reading(
            Proportion(*marked(until_s - seconds, until_s)), (until_s - seconds) * _MS, now_ms
        )

    return read
