"""Reads everything that one turn of the controller looks at, and makes facts of it.

What all rollouts of a turn have in common is read once (`Scene`). It reads views, evidence and
the log through the caller, and decides nothing.
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from deploymark.act.budgets import dispersion_of, spent
from deploymark.act.course import Course
from deploymark.act.facts import (
    Authority,
    BurnFacts,
    Facts,
    Lease,
    Pair,
    Shadow,
    Target,
    VerdictFacts,
)
from deploymark.act.gather import (
    Backing,
    approvals_of,
    binding_of,
    exposure_of,
    failures_of,
    freezes_of,
    history_of,
    is_irreversible,
    pair_of,
    quarantined,
    recovery_of,
    request_of,
    rollout_of,
    target_of,
)
from deploymark.act.plan import RolloutPlan
from deploymark.act.verdicts import Verdicts
from deploymark.errors import JudgeError, NotFoundError
from deploymark.judge.budget import FACTOR
from deploymark.judge.counts import Look
from deploymark.judge.verdict import Advice, Judgement
from deploymark.model.entries import Decision
from deploymark.model.instants import parse_instant
from deploymark.model.vocabulary import Assurance
from deploymark.projections.broker.rolling import Rolling, RollingQuery, Ruled, Side

ACTS_ON: Final = frozenset({Advice.PROMOTE, Advice.PAUSE, Advice.ROLL_BACK})
"""Advice on which something may be done, so that it is judged again before."""

Backed = Callable[[Side], Backing]
"""Tells who stands behind the markers of a deployment; may wait."""


class Terms(Struct, frozen=True):
    """What the configuration says of actions.

    Attributes:
        automation: Anything may be changed automatically at all: the kill switch is off.
        assurances: What an environment's actions ask of markers.
    """

    automation: bool = True
    assurances: dict[str, Assurance] = {}

    def wanted(self, environment: str) -> Assurance:
        """Return the least assurance that an action in an environment asks for."""
        return self.assurances.get(environment, Assurance.ATTRIBUTED)


class Scene:
    """What all rollouts of one turn have in common.

    Args:
        query: Asks the views.
        verdicts: What was seen and judged.
        backed: Who stands behind markers.
        terms: What the configuration says.

    Raises:
        StoreUnavailableError: The views are being built, or their medium refuses.
    """

    def __init__(
        self, query: RollingQuery, verdicts: Verdicts, backed: Backed, terms: Terms
    ) -> None:
        self._query = query
        self._verdicts = verdicts
        self._backed = backed
        self._terms = terms
        self.deeds = query.deeds()
        self.orders = query.orders()
        self.freezes, self._thawed = freezes_of(self.orders)
        self._pairs: frozenset[Pair] | None = None

    def unfinished(self, service: str, environment: str) -> list[str]:
        """Return the deployments that a deed was decided about and did not end, oldest first."""
        open_deeds: dict[int, str] = {}
        for each in self.deeds:
            said = each.said
            if not isinstance(said, Decision) or said.deployment_id is None:
                continue
            if (said.service, said.environment) != (service, environment):
                continue
            if said.stage == "decided" and said.action in ("shift", "promote", "roll_back"):
                open_deeds[each.idx] = said.deployment_id
            elif said.stage == "outcome" and said.decision_index is not None:
                open_deeds.pop(said.decision_index, None)
        return list(dict.fromkeys(open_deeds.values()))

    def highest_fence(self, service: str, environment: str) -> int:
        """Return the highest fence that any decision about a service carries."""
        fences = [
            each.said.fence or 0
            for each in self.deeds
            if isinstance(each.said, Decision)
            and (each.said.service, each.said.environment) == (service, environment)
        ]
        return max(fences, default=0)

    def facts(  # noqa: PLR0913 - one argument for each thing that is looked at
        self,
        course: Course,
        rolling: Rolling,
        plan: RolloutPlan,
        *,
        now_ms: int,
        clock_off_ms: int | None,
        lease_until_ms: int | None,
        fence: int,
        verifiable: bool | None,
    ) -> Facts:
        """Return everything that guards and decisions look at.

        Raises:
            StoreUnavailableError: The views or the log refuse now.
            NotFoundError, JudgeError: What was kept of earlier looks is not what it was.
        """
        environment = course.environment
        wanted = self._terms.wanted(environment)
        backing = self._backed(rolling.canary)
        history = history_of(self.deeds, environment)
        binding = binding_of(rolling)
        newest = self._verdicts.newest(course)
        placebo = self._verdicts.placebo(course)
        watch = None if placebo is None else placebo.watch
        return Facts(
            now_ms=now_ms,
            clock_off_ms=clock_off_ms,
            plan=plan,
            rollout=rollout_of(course, rolling),
            verdict=None if newest is None else self._verdict(course, *newest),
            burn=None if newest is None else self._burn(course, plan, binding.control, *newest),
            authority=Authority(backing.assurance, wanted, backing.in_scope),
            binding=binding,
            target=self._target(rolling, wanted),
            history=history,
            failures=failures_of(self._query.failed(environment)),
            quarantine=self._quarantine(),
            freezes=self.freezes,
            kill_switch=not self._terms.automation,
            exposure=exposure_of(course, rolling),
            lease=Lease(lease_until_ms, fence, self.highest_fence(course.service, environment)),
            shadow=None
            if watch is None
            else Shadow(watch.seconds, reached=watch.seconds == 0 and watch.factor > 1.0),
            recovery=recovery_of(history, course.service, verifiable=verifiable),
            thawed_ms=max(self._thawed.get(environment, 0), self._thawed.get("*", 0)),
            approvals=approvals_of(course),
            request=request_of(course),
        )

    def _verdict(self, course: Course, judgement: Judgement, looks: list[Look]) -> VerdictFacts:
        last = course.looks[-1]
        replayed = None
        if judgement.advice in ACTS_ON:
            replayed = self._follows(course, judgement)
        return VerdictFacts(
            deployment=course.deployment,
            step=course.step,
            judgement=judgement,
            index=last.index,
            until_ms=looks[-1].until_ms,
            replayed=replayed,
        )

    def _follows(self, course: Course, judgement: Judgement) -> bool | None:
        """Tell whether the logged verdict follows from what was kept, read afresh."""
        logged = course.looks[-1].verdict
        try:
            again = self._verdicts.replayed(course.looks, course.plan_digest)
        except (NotFoundError, JudgeError):
            return False
        said = (logged.result, logged.advice, logged.log_e_fail, logged.log_e_pass)
        found = (again.result, again.advice, again.log_e_fail, again.log_e_pass)
        return said == found and again == judgement

    def _burn(
        self,
        course: Course,
        plan: RolloutPlan,
        control: bool | None,  # noqa: FBT001 - a fact, as it stands in the others
        judgement: Judgement,
        looks: Sequence[Look],
    ) -> BurnFacts | None:
        objective, rule = plan.objective, plan.roll_back.without_control
        if objective is None:
            return None
        factor = rule.burn if rule is not None and control is False else FACTOR
        # The test is against twice its budget, so another factor is another budget.
        budget = (1.0 - objective.target) * factor / FACTOR
        dispersion = dispersion_of(judgement, objective.metric)
        test, _, _ = spent(budget, objective.metric, looks, dispersion)
        return BurnFacts(
            factor=factor,
            log_e=round(test.log_e, 6),
            since_ms=looks[0].since_ms,
            until_ms=looks[-1].until_ms,
            index=course.looks[-1].index,
            # It is a sum over the very looks that the verdict replays from.
            replayed=self._follows(course, judgement) if test.log_e > 0 else None,
        )

    def _target(self, rolling: Rolling, wanted: Assurance) -> Target | None:
        stable = rolling.stable
        if stable is None:
            return None
        live = stable.document["live_at"] or stable.document["opened_at"]
        migrations = self._query.migrations(
            rolling.service, rolling.environment, parse_instant(live)
        )
        return target_of(
            rolling,
            self._backed(stable),
            wanted,
            self.deeds,
            self.orders,
            irreversible=is_irreversible(migrations),
        )

    def _quarantine(self) -> frozenset[Pair]:
        if self._pairs is None:
            self._pairs = put_away(self._query, self.orders)
        return self._pairs


def put_away(query: RollingQuery, orders: Sequence[Ruled]) -> frozenset[Pair]:
    """Return what was put away and not released.

    Raises:
        StoreUnavailableError: The views are being built, or their medium refuses.
    """
    names, found = quarantined(orders), set()
    scopes = {
        (said.service or "", said.environment, said.deployment_id)
        for said in (each.said for each in orders)
        if isinstance(said, Decision) and said.deployment_id in names
    }
    for service, environment, name in scopes:
        side = query.named(service, environment, name or "")
        pair = None if side is None else pair_of(side.canary)
        if pair is not None:
            found.add(pair)
    return frozenset(found)
