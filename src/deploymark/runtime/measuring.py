"""Connects the measures that the server takes of itself with what they are counted from.

A measure is plugged in here: one source, by its id; those of outcomes come together. What has no
source does not appear.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from deploymark.errors import MeasuresCountingError, NotFoundError
from deploymark.ingest.ledger import Ledger
from deploymark.model.distribution import BOUNDS, Distribution
from deploymark.model.proportion import Proportion
from deploymark.ports import Clock, TelemetryQuery
from deploymark.projections.broker.census import BrokerCensus, Census
from deploymark.projections.broker.questions import Item, Items
from deploymark.projections.database import Views
from deploymark.projections.error_delta import MEASURE as DELTA
from deploymark.projections.error_delta import ErrorDeltas
from deploymark.projections.measures import (
    MEASURES,
    VISIBLE_WITHIN_SECONDS,
    DeltaReading,
    Reading,
    Source,
    read_all,
    shown,
    shown_delta,
)
from deploymark.projections.outcome_questions import SliQuery, window_of
from deploymark.projections.outcomes_query import COUNTERS, Outcomes, Taken
from deploymark.runtime.counting import Counting
from deploymark.server.exposition import KEEP_SECONDS
from deploymark.server.recent import Recent
from deploymark.telemetry.room import TelemetryRoom

M8_WINDOW_SECONDS: Final = 86_400
"""How far back spans are counted, unless less is kept."""

_SPANS_KEEP_SECONDS: Final = 60.0  # a day of spans is added up once a minute
_WEEK_KEEP_SECONDS: Final = 15.0  # and a week of deployments for each scrape, if that is quick
_PAGE_SECONDS: Final = 0.25
"""How long a page waits for measures that are being counted."""

_PATIENCE_SECONDS: Final = 1.0
"""How long others wait for measures that are counted again, before they get the last ones."""

_FIRST_SECONDS: Final = 5.0
"""And for those that were never counted; a scrape gives up after ten."""

_LISTS: Final = {
    "M2": "GET /v1/emitters tells how late each emitter is.",
    "M3": "GET /v1/emitters names the numbers that are missing.",
    "M8": "GET /v1/telemetry/marked tells it by service.",
    "M10": "GET /v1/instances lists what runs.",
}
"""Where to look at what a measure counts, if it has no list of its own."""
_SERVICES: Final = 100_000

_TIME_TO_MARKER: Final = "deploymark_time_to_marker_seconds"
_MS: Final = 1_000

Distributions = Callable[[], Mapping[str, Distribution]]


class _Week(NamedTuple):
    """The measures of the last week, counted together.

    Attributes:
        taken: What came of deployments.
        readings: All that are shares, as of then.
        delta: M4; None without telemetry.
    """

    taken: Taken
    readings: dict[str, Reading]
    delta: DeltaReading | None


class Measuring:
    """Takes the measures; every method waits for the disk, and is safe on any thread.

    Args:
        census: Counts what runs and what is wrong.
        sources: Of the measures that are counted neither from the census nor from the outcomes.
        outcomes: Counts what came of deployments.
        deltas: Compares errors after them with before; None without telemetry.
        clock: Tells the time.
    """

    def __init__(
        self,
        census: BrokerCensus,
        sources: Mapping[str, Source],
        outcomes: Outcomes,
        deltas: ErrorDeltas | None,
        clock: Clock,
    ) -> None:
        self._census = Recent(census.take, clock, KEEP_SECONDS)
        self._week = Counting(self._count, clock, _WEEK_KEEP_SECONDS)
        self._delta = Recent(lambda: self._compare(SliQuery()), clock, _SPANS_KEEP_SECONDS)
        self._sources = sources
        self._outcomes = outcomes
        self._deltas = deltas
        self._clock = clock

    def census(self) -> Census:
        """Return what was counted a moment ago, or now.

        Raises:
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        return self._census.read()

    def readings(self) -> dict[str, Reading]:
        """Return what was counted last for each share, in the last week; `until_ms` says when.

        Raises:
            MeasuresCountingError: They are being counted for the first time.
            StoreUnavailableError: As `census`, or a source's medium refuses.
        """
        return self._readings(self._last().taken, -1)

    def delta(self) -> DeltaReading | None:
        """Return M4 of the last week as it was counted last; None without telemetry.

        Raises:
            MeasuresCountingError, StoreUnavailableError: As `readings`.
        """
        return self._last().delta

    def slis(self, query: SliQuery, after: int = -1) -> list[Item]:
        """Return the measures as the interface shows them, as of an entry or later.

        Those of the last week as they were counted last, unless an entry is named.

        Raises:
            QueryError: The window is none.
            MeasuresCountingError, StoreUnavailableError: As `readings`.
        """
        if query == SliQuery() and after < 0:
            last = self._last()
            return _shown(self._readings(last.taken, -1), last.delta)
        return _shown(self._readings(self._take(query), after), self._compare(query))

    def lately(self) -> list[Item] | None:
        """Return the measures of the last week as they were counted last, all as of then.

        Returns:
            As `slis`; None while they are counted for the first time.

        Raises:
            StoreUnavailableError: As `readings`.
        """
        week = self._week.read(_PAGE_SECONDS, _PAGE_SECONDS)
        return None if week is None else _shown(week.readings, week.delta)

    def close(self) -> None:
        """Count no more, and wait for what is being counted."""
        self._week.close()

    def items(self, query: SliQuery) -> Items:
        """Return what a measure counts, one by one, the latest first.

        Raises:
            NotFoundError: There is no such measure, or no list of it.
            QueryError: A filter, the limit or the cursor is not what it may be.
            StoreUnavailableError: As `readings`.
        """
        now_ms = self._clock.now_ms()
        if query.measure in COUNTERS:
            return self._outcomes.items(query, now_ms)
        if query.measure == DELTA and self._deltas is not None:
            return self._deltas.items(query, now_ms)
        raise NotFoundError(
            f"There is no list of a measure {query.measure[:16]!r}.",
            hint=_LISTS.get(query.measure, f"There is one of {', '.join((*COUNTERS, DELTA))}."),
        )

    def _last(self) -> _Week:
        week = self._week.read(_PATIENCE_SECONDS, _FIRST_SECONDS)
        if week is None:
            raise MeasuresCountingError("The measures of the last week are being counted.")
        return week

    def _count(self) -> _Week:
        taken = self._take(SliQuery())
        return _Week(taken, self._readings(taken, -1), self._delta.read())

    def _take(self, query: SliQuery) -> Taken:
        return self._outcomes.take(window_of(query, self._clock.now_ms()))

    def _compare(self, query: SliQuery) -> DeltaReading | None:
        if self._deltas is None:
            return None
        return self._deltas.take(window_of(query, self._clock.now_ms()))

    def _readings(self, taken: Taken, after: int) -> dict[str, Reading]:
        census = self._census.read(lambda each: each.as_of > after)
        now_ms = self._clock.now_ms()
        covered = Reading(census.covered, now_ms, now_ms)
        found = {**taken.readings, **read_all(self._sources), "M10": covered}
        return {name: found[name] for name in MEASURES if name in found}


def _shown(readings: Mapping[str, Reading], delta: DeltaReading | None) -> list[Item]:
    found = {name: shown(MEASURES[name], each) for name, each in readings.items()}
    if delta is not None:
        found[DELTA] = shown_delta(MEASURES[DELTA], delta)
    return [found[name] for name in MEASURES if name in found]


def sources_of(
    distributions: Distributions, ledger: Ledger, telemetry: TelemetryRoom | None, clock: Clock
) -> dict[str, Source]:
    """Return the sources of the measures that are counted from the books and from telemetry."""
    found = {"M2": time_to_marker(distributions, clock), "M3": ingestion(ledger, clock)}
    if telemetry is not None:
        found["M8"] = propagation(telemetry, clock)
    return found


def deltas_of(views: Views, telemetry: TelemetryRoom | None) -> ErrorDeltas | None:
    """Return what compares errors after deployments with before; None without telemetry."""
    if telemetry is None:
        return None
    return ErrorDeltas(views, telemetry.reader, telemetry.settings.retention_seconds)


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
