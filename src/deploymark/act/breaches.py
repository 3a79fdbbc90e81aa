"""Looks at the budgets of services to which a deployment came lately, for people who are told.

What is counted is kept, so that every look counts what is new alone; what follows from it is
decided elsewhere (`spending`). A service to which nothing came is not counted at all. Counts that
cannot be had change nothing of what is told: that they cannot is logged and counted. A source may
take long to answer, so whoever tells people reads what was found last, and waits for nobody.
"""

import logging
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from deploymark.act.alerts import Concern
from deploymark.act.concerns import Lately
from deploymark.act.plan import Objective, RolloutPlan, counted_by, pairs_of
from deploymark.act.spending import Counted, Rules, concerns_of
from deploymark.errors import CountsUnavailableError, DeploymarkError, JudgeError, QueryError
from deploymark.ports import Cohort, CountsSource, Meter
from deploymark.projections.broker.gated import Arrival, GateQuery

REACH_MS: Final = 36 * 3_600_000
"""A deployment that came longer ago is told of no more: what is kept of telemetry unless somebody
says otherwise reaches behind it, so that a restart finds the same."""

PARTS: Final = 5
"""The shortest window of a plan has so many parts of time, or consists of single buckets."""

MOST_PARTS: Final = 1_000
"""Parts that a source is asked for at once."""

_MS: Final = 1_000
_log = logging.getLogger(__name__)

Scope = tuple[str, str]


class _Book(Struct):
    """What is known of one service.

    Attributes:
        ids: Under which its requests were counted.
        since_ms: From when on.
        parts: (bad, requests) of each part since then.
        looked_ms: Up to when everything was looked at.
        told: What followed from it.
        failing: Why nothing is seen now, "" when something is.
    """

    ids: tuple[str, ...] = ()
    since_ms: int = 0
    parts: list[tuple[int, int]] = []
    looked_ms: int = 0
    told: list[Concern] = []
    failing: str = ""


class Breaches:
    """Tells which budgets break since which deployment; looks on one thread, is read on any.

    Args:
        plans: By service and environment; those without an objective are never counted.
        sources: Of counts, by the names that plans give.
        query: Asks the views what came, and whose requests are counted.
        meter: Counts what could not be counted.

    Attributes:
        concerns: What people should know, as of the last look: what lasts, and what was over
            lately.
    """

    def __init__(
        self,
        plans: Mapping[Scope, RolloutPlan],
        sources: Mapping[str, CountsSource],
        query: GateQuery,
        meter: Meter,
    ) -> None:
        self._plans = {
            scope: (plan, plan.objective)
            for scope, plan in plans.items()
            if plan.objective is not None
        }
        self._sources = sources
        self._query = query
        self._meter = meter
        self._books = {scope: _Book() for scope in self._plans}
        self._lately = Lately()
        self.concerns: tuple[Concern, ...] = ()

    def look(self, now_ms: int) -> None:
        """Count what is new, and see what follows from it.

        Raises:
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        for scope, (plan, objective) in self._plans.items():
            self._look(scope, plan, objective, now_ms)
        found = [concern for book in self._books.values() for concern in book.told]
        self.concerns = tuple(self._lately.after(found, now_ms))

    def _look(self, scope: Scope, plan: RolloutPlan, objective: Objective, now_ms: int) -> None:
        book, grain_ms = self._books[scope], grain_of(plan, objective)
        until_ms = (now_ms - self._sources[plan.source].lag_ms) // grain_ms * grain_ms
        if book.looked_ms == until_ms:
            return
        arrivals = self._query.arrived(*scope, now_ms - REACH_MS)
        if not arrivals:
            self._books[scope] = _Book(looked_ms=until_ms)
            return
        rules = Rules(1.0 - objective.target, pairs_of(objective), objective.blamed_seconds * _MS)
        # Also when nothing could be counted: the next time is soon enough.
        book.looked_ms = until_ms
        try:
            self._count(scope, plan, objective, book, (arrivals, rules, until_ms))
            counted = Counted(book.since_ms, grain_ms, book.parts)
            book.told = concerns_of(rules, *scope, counted, arrivals)
        except (CountsUnavailableError, QueryError, JudgeError) as error:
            self._fails(scope, book, error)
        else:
            self._sees(scope, book)

    def _count(
        self,
        scope: Scope,
        plan: RolloutPlan,
        objective: Objective,
        book: _Book,
        what: tuple[list[Arrival], Rules, int],
    ) -> None:
        """Bring the book up to a time; what stands in it is counted again for other ids alone."""
        arrivals, rules, until_ms = what
        grain_ms = grain_of(plan, objective)
        since_ms = (arrivals[0].came_ms - rules.longest_ms) // grain_ms * grain_ms - grain_ms
        ids = self._query.lived(*scope, since_ms).ids
        if ids != book.ids or not book.since_ms <= since_ms:
            book.ids, book.since_ms, book.parts = ids, since_ms, []
        gone = (since_ms - book.since_ms) // grain_ms
        book.since_ms, book.parts = since_ms, book.parts[gone:]
        at_ms = since_ms + len(book.parts) * grain_ms
        while at_ms < until_ms:
            end_ms = min(until_ms, at_ms + MOST_PARTS * grain_ms)
            cohort = Cohort(*scope, ids)
            book.parts += self._parts(cohort, plan, objective, at_ms, end_ms)
            at_ms = end_ms

    def _parts(
        self, cohort: Cohort, plan: RolloutPlan, objective: Objective, since_ms: int, until_ms: int
    ) -> list[tuple[int, int]]:
        grain_ms = grain_of(plan, objective)
        metrics = [each for each in counted_by(plan) if each.name == objective.metric]
        source = self._sources[plan.source]
        found = source.count(cohort, metrics, since_ms, until_ms, grain_ms)
        cells = found.cells.get(objective.metric)
        if cells is None:
            raise CountsUnavailableError(f"{objective.metric} cannot be seen.")
        parts = [(0, 0)] * ((until_ms - since_ms) // grain_ms)
        for cell in cells:
            place = (cell.at_ms - since_ms) // grain_ms
            bad, requests = parts[place]
            parts[place] = (bad + cell.events, requests + cell.trials)
        return parts

    def _fails(self, scope: Scope, book: _Book, error: DeploymarkError) -> None:
        self._meter.count("deploymark_budgets_unseen_total", code=error.code)
        if book.failing != error.code:  # once, not at every look
            book.failing = error.code
            _log.warning(
                "a budget cannot be seen",
                extra={"service": scope[0], "environment": scope[1], "why": error.message},
            )

    def _sees(self, scope: Scope, book: _Book) -> None:
        nothing = "" if any(requests for _, requests in book.parts) else "no_requests"
        if nothing and book.failing != nothing:
            _log.warning(
                "a budget cannot be seen",
                extra={
                    "service": scope[0],
                    "environment": scope[1],
                    "why": "A deployment came, and no request of the service is counted.",
                },
            )
        elif book.failing and not nothing:
            _log.warning(
                "a budget is seen again", extra={"service": scope[0], "environment": scope[1]}
            )
        book.failing = nothing


def grain_of(plan: RolloutPlan, objective: Objective) -> int:
    """Return by which parts of time a service is counted, in milliseconds: whole buckets."""
    shortest = min(pair.short_seconds for pair in objective.pages)
    return max(1, shortest // PARTS // plan.bucket_seconds) * plan.bucket_seconds * _MS
