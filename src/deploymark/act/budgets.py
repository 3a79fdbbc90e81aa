"""How an error budget stands, from the counts of a service: what is left of it, how fast it burns.

What was counted is kept for a minute, so that asking often asks the source seldom. What cannot be
counted is None, never a guess: a source that does not reach back to the beginning of the window
(or of the service) cannot tell what was spent in it.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from deploymark.act.plan import Objective, RolloutPlan, counted_by
from deploymark.errors import CountsUnavailableError, QueryError
from deploymark.judge.budget import BudgetTest, burn
from deploymark.judge.counts import Events, Look
from deploymark.judge.dispersion import COLD
from deploymark.judge.gate import BudgetState
from deploymark.judge.verdict import Judgement
from deploymark.ports import Cohort, CountsSource
from deploymark.projections.broker.gated import GateQuery

KEPT_MS: Final = 60_000
"""How long a count is good for another question."""

BURN_MS: Final = 3_600_000
"""Over which it is seen how fast a budget burns where no rollout is looked at."""

COARSE_MS: Final = 3_600_000
"""Windows of days are counted by about this grain."""

REACH_MS: Final = 86_400_000
"""Within so much of its beginning a window must show requests."""

_DAY_MS: Final = 86_400_000
_WAIT_SECONDS: Final = 2.0

Scope = tuple[str, str]


class Budgets:
    """Counts what was spent of the budgets of services that have an objective; any thread may ask.

    Args:
        plans: By service and environment; those without an objective are never counted.
        sources: Of counts, by the names that plans give.
        query: Asks the views whose requests are counted.
    """

    def __init__(
        self,
        plans: Mapping[Scope, RolloutPlan],
        sources: Mapping[str, CountsSource],
        query: GateQuery,
    ) -> None:
        self._plans = plans
        self._sources = sources
        self._query = query
        self._left = _Kept(plans)
        self._burning = _Kept(plans)

    def left(self, scope: Scope, now_ms: int) -> float | None:
        """Return the share of a budget that is left over its window, at least 0; None: not known.

        Raises:
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        plan = self._plans.get(scope)
        if plan is None or plan.objective is None:
            return None
        objective, known = plan.objective, plan
        found: float | None = self._left.of(
            scope, now_ms, lambda: self._counted_left(scope, known, objective, now_ms)
        )
        return found

    def burning(self, scope: Scope, now_ms: int) -> BudgetState | None:
        """Return how fast a budget burnt in the last hour; None: the service has no objective.

        Raises:
            StoreUnavailableError: As `left`.
        """
        plan = self._plans.get(scope)
        if plan is None or plan.objective is None:
            return None
        objective, known = plan.objective, plan
        found: BudgetState | None = self._burning.of(
            scope, now_ms, lambda: self._counted_burn(scope, known, objective, now_ms)
        )
        # Another one counts, and has not had an answer yet.
        return found or BudgetState(None, why=f"The source {plan.source} has not answered yet.")

    def _counted_left(
        self, scope: Scope, plan: RolloutPlan, objective: Objective, now_ms: int
    ) -> float | None:
        source, grain = self._sources[plan.source], plan.bucket_seconds * 1_000
        coarse = max(1, COARSE_MS // grain) * grain
        until_ms = (now_ms - source.lag_ms) // grain * grain
        since_ms = (until_ms - objective.window_days * _DAY_MS) // coarse * coarse
        lived = self._query.lived(*scope, since_ms)
        if lived.first_ms is None or not lived.whole:
            return None
        cohort = Cohort(*scope, lived.ids)
        # What lies before the first deployment needs no counts; what lies behind it does.
        since_ms = max(since_ms, lived.first_ms // coarse * coarse)
        whole_ms = max(since_ms, until_ms // coarse * coarse)
        reached_ms = min(whole_ms, since_ms + -(-REACH_MS // coarse) * coarse)
        try:
            trials, bad = self._sum(cohort, plan, objective, since_ms, reached_ms, coarse)
            if whole_ms > since_ms and not trials:
                return None
            for start, end, step in ((reached_ms, whole_ms, coarse), (whole_ms, until_ms, grain)):
                more, worse = self._sum(cohort, plan, objective, start, end, step)
                trials, bad = trials + more, bad + worse
        except (CountsUnavailableError, QueryError):
            return None
        budget = (1.0 - objective.target) * trials
        return max(0.0, 1.0 - bad / budget) if trials else None

    def _counted_burn(
        self, scope: Scope, plan: RolloutPlan, objective: Objective, now_ms: int
    ) -> BudgetState:
        source, grain = self._sources[plan.source], plan.bucket_seconds * 1_000
        until_ms = (now_ms - source.lag_ms) // grain * grain
        since_ms = until_ms - max(1, BURN_MS // grain) * grain
        cohort = Cohort(*scope, self._query.lived(*scope, since_ms).ids)
        try:
            trials, bad = self._sum(cohort, plan, objective, since_ms, until_ms, grain)
        except (CountsUnavailableError, QueryError) as error:
            return BudgetState(None, why=error.message)
        if not trials:
            return BudgetState(None)
        budget = 1.0 - objective.target
        # Nothing was learned here of how clumped its errors are.
        test = BudgetTest(budget).after(bad, trials, COLD)
        return BudgetState(round(test.log_e, 6), burn(budget, bad, trials))

    def _sum(
        self,
        cohort: Cohort,
        plan: RolloutPlan,
        objective: Objective,
        since_ms: int,
        until_ms: int,
        grain_ms: int,
    ) -> tuple[int, int]:
        """Return requests and bad ones among them."""
        if since_ms >= until_ms:
            return 0, 0
        metrics = [each for each in counted_by(plan) if each.name == objective.metric]
        source = self._sources[plan.source]
        counted = source.count(cohort, metrics, since_ms, until_ms, grain_ms)
        cells = counted.cells.get(objective.metric)
        if cells is None:
            raise CountsUnavailableError(f"{objective.metric} cannot be seen.")
        return sum(each.trials for each in cells), sum(each.events for each in cells)


class _Kept:
    """What was last counted of each scope; one at a time counts it anew."""

    def __init__(self, scopes: Iterable[Scope]) -> None:
        self._locks = {scope: threading.Lock() for scope in scopes}
        self._found: dict[Scope, tuple[int, Any]] = {}

    def of(self, scope: Scope, now_ms: int, count: Callable[[], Any]) -> Any:  # noqa: ANN401 - of `count`
        """Return what was counted within the last minute, or count; None while another does."""
        lock = self._locks[scope]
        # A source that hangs must not hold every thread of those who ask.
        if not lock.acquire(timeout=_WAIT_SECONDS):
            return None
        try:
            at_ms, found = self._found.get(scope, (0, None))
            if scope not in self._found or not 0 <= now_ms - at_ms < KEPT_MS:
                found = count()
                self._found[scope] = (now_ms, found)
            return found
        finally:
            lock.release()


def spent(
    budget: float, metric: str, looks: Iterable[Look], dispersion: float
) -> tuple[BudgetTest, int, int]:
    """Return the budget test over the looks of a rollout, with its bad requests and all of them."""
    test, bad, requests = BudgetTest(budget), 0, 0
    for look in looks:
        seen = look.seen.get(metric)
        if isinstance(seen, Events):
            worse = seen.canary.events + seen.control.events
            more = seen.canary.trials + seen.control.trials
            test = test.after(worse, more, dispersion)
            bad, requests = bad + worse, requests + more
    return test, bad, requests


def dispersion_of(judgement: Judgement, metric: str) -> float:
    """Return by how much evidence about a metric is divided, 1 where it was not judged."""
    return max((each.dispersion for each in judgement.metrics if each.name == metric), default=1.0)
