"""Reads everything that the controller looks at, and makes facts of it.

What all rollouts have in common is read once for each state of the views (`Scene`). It reads
views, evidence and the log through the caller, waits for no source of counts, and decides nothing.
Any thread.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec import Struct

from deploymark.act.budgets import dispersion_of, spent
from deploymark.act.course import ASKED, DEEDS, SUCCEEDED, Course
from deploymark.act.facts import (
    Authority,
    BurnFacts,
    Facts,
    Failure,
    Lease,
    Pair,
    Shadow,
    Target,
    VerdictFacts,
)
from deploymark.act.gather import (
    RANK,
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
from deploymark.judge.placebo import Placebo
from deploymark.judge.rows import arms_of
from deploymark.judge.verdict import Advice, Judgement
from deploymark.model.entries import Decision
from deploymark.model.instants import parse_instant
from deploymark.model.vocabulary import Assurance
from deploymark.projections.broker.rolling import Rolling, RollingQuery, Ruled, Side

_log = logging.getLogger(__name__)

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


class _Replay:
    """Whether a logged verdict follows from what was kept; read afresh once it is asked."""

    def __init__(self, verdicts: Verdicts, course: Course, judgement: Judgement) -> None:
        self._verdicts = verdicts
        self._course = course
        self._judgement = judgement
        self._follows: bool | None = None
        self.lost = ""

    def follows(self) -> bool:
        if self._follows is None:
            self._follows = self._holds()
        return self._follows

    def _holds(self) -> bool:
        logged = self._course.looks[-1].verdict
        try:
            again = self._verdicts.replayed(self._course)
        except (NotFoundError, JudgeError) as error:
            self.lost = error.message
            return False
        said = (logged.result, logged.advice, logged.log_e_fail, logged.log_e_pass)
        found = (again.result, again.advice, again.log_e_fail, again.log_e_pass)
        return said == found and again == self._judgement


class Scene:
    """What all rollouts have in common, as the views see it at one moment or later.

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
        self._failed: dict[str, tuple[Failure, ...]] = {}
        self._open, self._fences = _sorted_out(self.deeds)
        self._exposed = _exposed(self.deeds)

    def unfinished(self, service: str, environment: str) -> list[str]:
        """Return the deployments of which something was decided or asked that did not end."""
        return list(dict.fromkeys(self._open.get((service, environment), {}).values()))

    def exposed(self, service: str, environment: str) -> list[str]:
        """Return the deployments that were given traffic and neither took all nor gave it back."""
        return list(self._exposed.get((service, environment), ()))

    def rehearse(self, course: Course) -> None:
        """Judge again what `facts` will ask for, where that takes time nobody else waits for."""
        try:
            newest = self._verdicts.newest(course)
            if newest is not None and newest[0].advice in ACTS_ON:
                self._verdicts.replayed(course)
        except (NotFoundError, JudgeError):
            return  # `facts` says so

    def highest_fence(self, service: str, environment: str) -> int:
        """Return the highest fence that any decision about a service carries."""
        return self._fences.get((service, environment), 0)

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
        newer: Side | None = None,
    ) -> Facts:
        """Return everything that guards and decisions look at.

        Where what was kept of earlier looks is gone, or not what it was, there is no verdict, and
        the facts say so.

        Args:
            course: How far the rollout is.
            rolling: What is rolled out.
            plan: By which.
            now_ms: The time.
            clock_off_ms: How far the clock has jumped.
            lease_until_ms: Until when the lease is held, None when it is not.
            fence: Of the lease.
            verifiable: Any requests of the service are seen; of use before the first look only.
            newer: The deployment that overtook this one; None: it is the newest.

        Raises:
            StoreUnavailableError: The views or the log refuse now.
        """
        environment = course.environment
        wanted = self._terms.wanted(environment)
        backing = self._backing(rolling.canary, newer)
        history = history_of(self.deeds, environment, course.deployment, now_ms)
        binding = binding_of(course, rolling, plan)
        rollout = rollout_of(course, rolling, plan, "" if newer is None else newer.name)
        newest, placebo, lost = self._known(course)
        replay = None if newest is None else _Replay(self._verdicts, course, newest[0])
        verdict = burn = None
        if newest is not None and replay is not None:
            verdict = _verdict(course, rollout.step, replay, *newest)
            burn = _burn(course, plan, binding.control, replay, *newest)
            lost = replay.lost
        watch = None if placebo is None else placebo.watch
        return Facts(
            now_ms=now_ms,
            clock_off_ms=clock_off_ms,
            plan=plan,
            rollout=rollout,
            verdict=verdict,
            burn=burn,
            authority=Authority(backing.assurance, wanted, backing.in_scope),
            binding=binding,
            target=self._target(rolling, wanted, plan),
            history=history,
            failures=self._failures(environment),
            quarantine=self._quarantine(),
            freezes=self.freezes,
            kill_switch=not self._terms.automation,
            exposure=exposure_of(course, rolling),
            lease=Lease(lease_until_ms, fence, self.highest_fence(course.service, environment)),
            shadow=None
            if watch is None
            else Shadow(watch.seconds, reached=watch.seconds == 0 and watch.factor > 1.0),
            recovery=recovery_of(
                history,
                course.service,
                verifiable=_is_seen(newest[1][-1]) if newest is not None else verifiable,
            ),
            thawed_ms=max(self._thawed.get(environment, 0), self._thawed.get("*", 0)),
            approvals=approvals_of(course),
            request=request_of(course),
            lost=lost,
        )

    def _backing(self, canary: Side, newer: Side | None) -> Backing:
        """Return who stands behind what is done; of two deployments the weaker word."""
        found = self._backed(canary)
        if newer is None:
            return found
        other = self._backed(newer)
        if found.assurance is None or other.assurance is None:
            return Backing(None, None)
        weaker = min(found.assurance, other.assurance, key=lambda each: RANK[each])
        known = found.in_scope is not None and other.in_scope is not None
        return Backing(weaker, found.in_scope and other.in_scope if known else None)

    def _known(
        self, course: Course
    ) -> tuple[tuple[Judgement, list[Look]] | None, Placebo | None, str]:
        try:
            return self._verdicts.newest(course), self._verdicts.placebo(course), ""
        except (NotFoundError, JudgeError) as error:
            _log.warning(
                "what a verdict rests on cannot be read",
                extra={"deployment_id": course.deployment, "why": error.message},
            )
            return None, None, error.message

    def _failures(self, environment: str) -> tuple[Failure, ...]:
        if environment not in self._failed:
            self._failed[environment] = failures_of(self._query.failed(environment))
        return self._failed[environment]

    def _target(self, rolling: Rolling, wanted: Assurance, plan: RolloutPlan) -> Target | None:
        side = rolling.stable or rolling.previous
        if side is None:
            return None
        live = side.document["live_at"] or side.document["opened_at"]
        migrations = self._query.migrations(
            rolling.service, rolling.environment, parse_instant(live)
        )
        return target_of(
            rolling, self._backed(side), wanted, plan, irreversible=is_irreversible(migrations)
        )

    def _quarantine(self) -> frozenset[Pair]:
        if self._pairs is None:
            self._pairs = put_away(self._query, self.orders)
        return self._pairs


def _verdict(
    course: Course, step: int, replay: _Replay, judgement: Judgement, looks: Sequence[Look]
) -> VerdictFacts:
    return VerdictFacts(
        deployment=course.deployment,
        step=step,
        judgement=judgement,
        index=course.looks[-1].index,
        until_ms=looks[-1].until_ms,
        replayed=replay.follows() if judgement.advice in ACTS_ON else None,
    )


def _burn(
    course: Course,
    plan: RolloutPlan,
    control: bool | None,  # noqa: FBT001 - a fact, as it stands in the others
    replay: _Replay,
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
        replayed=replay.follows() if test.log_e > 0 else None,
    )


def put_away(query: RollingQuery, orders: Sequence[Ruled]) -> frozenset[Pair]:
    """Return what was put away and not released.

    Raises:
        StoreUnavailableError: The views are being built, or their medium refuses.
    """
    found = set()
    for service, environment, name in quarantined(orders):
        side = query.named(service, environment, name)
        pair = None if side is None else pair_of(side.canary)
        if pair is not None:
            found.add(pair)
    return frozenset(found)


def _sorted_out(
    deeds: Iterable[Ruled],
) -> tuple[dict[tuple[str, str], dict[int, str]], dict[tuple[str, str], int]]:
    """Return by service and environment what is open, by its index, and the highest fence."""
    waiting: dict[tuple[str, str], dict[int, str]] = {}
    fences: dict[tuple[str, str], int] = {}
    for each in deeds:
        said = each.said
        if not isinstance(said, Decision) or said.service is None or said.deployment_id is None:
            continue
        scope = (said.service, said.environment)
        fences[scope] = max(fences.get(scope, 0), said.fence or 0)
        opened = waiting.setdefault(scope, {})
        if said.stage in ("decided", "outcome") and said.decision_index is not None:
            opened.pop(said.decision_index, None)  # it answers a request, or ends a deed
        decided = said.stage == "decided" and said.action in DEEDS
        if decided or (said.stage == "approved" and said.action in ASKED):
            opened[each.idx] = said.deployment_id
    return waiting, fences


def _exposed(deeds: Iterable[Ruled]) -> dict[tuple[str, str], dict[str, None]]:
    """Return by service and environment which canaries may have traffic, as far as deeds say."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for each in deeds:
        said = each.said
        if not isinstance(said, Decision) or said.service is None or said.deployment_id is None:
            continue
        known = found.setdefault((said.service, said.environment), {})
        succeeded = (said.stage, said.outcome) == ("outcome", SUCCEEDED)
        if said.action == "shift" and said.outcome != "failed":
            known[said.deployment_id] = None
        elif said.action == "promote" and succeeded:
            known.clear()  # it has everything
        elif said.action == "roll_back" and succeeded:
            known.pop(said.deployment_id, None)
    return found


def _is_seen(look: Look) -> bool:
    return any(sum(arms_of(each)) > 0 for each in look.seen.values())
