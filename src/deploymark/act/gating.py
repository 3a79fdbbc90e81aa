"""Answers whether something may go on: gathers what `judge.gate` looks at, and asks it.

It reads the views, the log, evidence and counts, and writes nothing: that an answer was given is
written by `gate_book`. Any thread may ask. What cannot be read makes an answer inconclusive, never
a pass.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import msgspec
from msgspec import Struct, structs

from deploymark.act.budgets import Budgets, Scope, dispersion_of, spent
from deploymark.act.course import Course
from deploymark.act.facts import Pair
from deploymark.act.gather import course_of
from deploymark.act.plan import RolloutPlan
from deploymark.act.policing import (
    against,
    explained,
    facts_of,
    facts_without,
    glass_of,
    gone,
    is_put_away,
    missing,
    put_away_result,
    rules_of,
    state_of,
)
from deploymark.act.scene import Backed, put_away
from deploymark.decoding import decode_json
from deploymark.errors import JudgeError, NotFoundError
from deploymark.judge import replay
from deploymark.judge.budget import burn
from deploymark.judge.counts import Look
from deploymark.judge.gate import (
    BreakGlass,
    BudgetState,
    GateAnswer,
    GateDecision,
    GateReason,
    RolloutState,
    VerdictState,
    gate,
)
from deploymark.judge.policy import PolicyFacts, Rule
from deploymark.judge.ruling import Known, RuleResult, rule_on
from deploymark.judge.verdict import Judgement, Result
from deploymark.projections.broker.gated import GateQuery
from deploymark.projections.broker.rolling import Rolling, RollingQuery, Ruled

MAX_KEPT: Final = 256
"""Answers, and reviews of verdicts, that are held in memory."""

SAME_MS: Final = 1_000
"""How long an answer stands for the next who asks the same of the same views."""

T = TypeVar("T")

Load = Callable[[str], bytes]
"""Returns evidence by its digest; raises `NotFoundError`."""


class Told(Struct, frozen=True):
    """What the gate says, and about what.

    Attributes:
        service, environment: That were asked about.
        name: The deployment `d-…~1`, None when none was found.
        known: Something was said of the service here before, or it has a plan; False as well while
            that cannot be told.
        answer: With everything that was looked at.
        rules: What every rule says, also those that do not apply.
        state: How far the rollout has come, None when that is not known.
        step: Of the rollout.
        verdict_index: The newest verdict at that step.
        glass: A person's word that opens it.
        as_of: How many entries the views had seen.
    """

    service: str
    environment: str
    name: str | None
    known: bool
    answer: GateAnswer
    rules: tuple[RuleResult, ...] = ()
    state: RolloutState | None = None
    step: int = 0
    verdict_index: int | None = None
    glass: BreakGlass | None = None
    as_of: int = 0


@dataclass(frozen=True, slots=True)
class Grounds:
    """What the gate works with.

    Attributes:
        plans: By service and environment.
        rules: Of the policy.
        known: Who is who, and time zones.
        rolling: Asks the views what is rolled out.
        query: Asks them what else the gate looks at.
        backed: Tells who stands behind the markers of a deployment.
        load: Returns evidence.
        budgets: Counts error budgets.
        silence: Tells that the source of a plan does not answer.
    """

    plans: Mapping[Scope, RolloutPlan]
    rules: Sequence[Rule]
    known: Known
    rolling: RollingQuery
    query: GateQuery
    backed: Backed
    load: Load
    budgets: Budgets
    silence: Callable[[Scope], str]


class _Review(Struct, frozen=True):
    """What the looks of a step say when they are read again; None: they cannot be."""

    follows: bool
    judgement: Judgement | None = None
    looks: tuple[Look, ...] = ()


class Gating:
    """Answers for deployments; every method waits for the disk, or for a source of counts.

    Args:
        grounds: What it works with.
    """

    def __init__(self, grounds: Grounds) -> None:
        self._grounds = grounds
        self._answers: _Memory[Told] = _Memory()
        self._reviews: _Memory[_Review] = _Memory()
        self._pairs: _Memory[frozenset[Pair]] = _Memory()

    def look(
        self,
        service: str,
        environment: str,
        deployment: str | None,
        now_ms: int,
        least_size: int = 0,
    ) -> Told:
        """Return what the gate says now.

        Args:
            service: Its name.
            environment: Its name.
            deployment: An id or an alias, or one occurrence of it; None for the one that opened
                last.
            now_ms: The time.
            least_size: How many entries of the log the views must have seen.

        Raises:
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        size = self._grounds.rolling.size()
        if size < least_size:
            said = f"The views have seen {size} entries, and the log has {least_size}."
            return _nothing(service, environment, said, size)
        key = (service, environment, deployment, size, now_ms // SAME_MS)
        found = self._answers.get(key)
        if found is None:
            told = self._told(service, environment, deployment, now_ms)
            found = structs.replace(told, as_of=size)
            self._answers.put(key, found)
        return found

    def objection(self, rolling: Rolling, course: Course, now_ms: int) -> str:
        """Return what the policy has against beginning a rollout, "" when nothing.

        Raises:
            StoreUnavailableError: As `look`.
        """
        if glass_of(rolling, self._grounds.rolling.glasses()) is not None:
            return ""
        return self._taken_back(rolling) or against(self._rules_on(rolling, course, now_ms))

    def _taken_back(self, rolling: Rolling) -> str:
        """Return that nothing stands of what was said of a deployment, "" while something does."""
        scope, name = (rolling.service, rolling.environment), rolling.canary.name
        said = self._grounds.query.taken_back(*scope, name)
        return said and f"All that was said of it was retracted, at last {said}"

    def _told(self, service: str, environment: str, deployment: str | None, now_ms: int) -> Told:
        grounds, scope = self._grounds, (service, environment)
        if scope not in grounds.plans and not grounds.query.is_known(*scope):
            said = f"Nothing is known of {service} in {environment}."
            return _nothing(*scope, said)
        name = (
            grounds.query.latest(*scope)
            if deployment is None
            else grounds.query.named(*scope, deployment)
        )
        rolling = None if name is None else grounds.rolling.named(*scope, name)
        if rolling is None:
            return self._without(scope, now_ms)
        course, taken = course_of(rolling), self._taken_back(rolling)
        results = self._rules_on(rolling, course, now_ms)
        state = None if taken else state_of(course, rolling)
        review = self._review(course)
        glass = glass_of(rolling, grounds.rolling.glasses())
        verdict, budget = _verdict(course, review), self._budget(scope, state, review, now_ms)
        answer = gate(results, verdict, budget, state, glass)
        answer = explained(answer, grounds.silence(scope), scope, grounds.rolling.orders())
        over = taken or gone(rolling)
        return Told(
            *scope,
            rolling.canary.name,
            known=True,
            answer=_with(answer, missing(over)) if over else answer,
            rules=results,
            state=state,
            step=course.step,
            verdict_index=None if course.last is None else course.last.index,
            glass=glass,
        )

    def _without(self, scope: Scope, now_ms: int) -> Told:
        """Return what is said of a deployment that nobody has marked: never a pass."""
        grounds = self._grounds
        left = grounds.budgets.left(scope, now_ms)
        facts = facts_without(*scope, budget_left=left, now_ms=now_ms)
        results = self._results(scope, facts)
        answer = gate(results, None, None, None)
        reason = missing("No such deployment of it is known here: mark what shall be deployed.")
        return Told(*scope, None, known=True, answer=_with(answer, reason), rules=results)

    def _rules_on(self, rolling: Rolling, course: Course, now_ms: int) -> tuple[RuleResult, ...]:
        grounds, scope = self._grounds, (rolling.service, rolling.environment)
        orders = grounds.rolling.orders()
        assurance = grounds.backed(rolling.canary).assurance
        requires = rolling.canary.document["schema"]["requires"]
        facts = facts_of(
            rolling,
            course,
            assurance=assurance,
            put_away=is_put_away(rolling, self._put_away(orders), orders),
            applied=None if requires is None else grounds.query.applied(*scope),
            budget_left=grounds.budgets.left(scope, now_ms),
            now_ms=now_ms,
        )
        return self._results(scope, facts)

    def _results(self, scope: Scope, facts: PolicyFacts) -> tuple[RuleResult, ...]:
        rules = rules_of(self._grounds.rules, self._grounds.plans.get(scope))
        return (*rule_on(rules, facts, self._grounds.known), *put_away_result(facts))

    def _put_away(self, orders: Sequence[Ruled]) -> frozenset[Pair]:
        key = orders[-1].idx if orders else -1
        found = self._pairs.get(key)
        if found is None:
            found = put_away(self._grounds.rolling, orders)
            self._pairs.put(key, found)
        return found

    def _budget(
        self, scope: Scope, state: RolloutState | None, review: _Review | None, now_ms: int
    ) -> BudgetState | None:
        """Return how the budget burns: by the rollout's own looks while it goes on."""
        plan = self._grounds.plans.get(scope)
        objective = None if plan is None else plan.objective
        if objective is None:
            return None
        going = state in (RolloutState.GOING, RolloutState.PAUSED)
        if not going or review is None or review.judgement is None:
            return self._grounds.budgets.burning(scope, now_ms)
        budget = 1.0 - objective.target
        dispersion = dispersion_of(review.judgement, objective.metric)
        test, bad, requests = spent(budget, objective.metric, review.looks, dispersion)
        if not requests:
            return BudgetState(None, why=self._grounds.silence(scope))
        return BudgetState(round(test.log_e, 6), burn(budget, bad, requests))

    def _review(self, course: Course) -> _Review | None:
        """Judge the looks of a step again, once for every look; None where there are none."""
        last = course.last
        if last is None:
            return None
        key = (last.index, course.plan_digest, len(course.looks))
        found = self._reviews.get(key)
        if found is None:
            found = self._reviewed(course)
            self._reviews.put(key, found)
        return found

    def _reviewed(self, course: Course) -> _Review:
        load, logged = self._grounds.load, course.looks[-1].verdict
        try:
            head = decode_json(load(course.plan_digest), replay.Head)
            texts = [load(each.digest) for each in course.looks]
            whole = structs.replace(head, looks=tuple(each.digest for each in course.looks))
            judgement = replay.replay(replay.text_of(whole), texts)
            looks = tuple(decode_json(each, Look) for each in texts)
        except (NotFoundError, JudgeError, msgspec.MsgspecError):
            return _Review(follows=False)
        said = (logged.result, logged.advice, logged.log_e_fail, logged.log_e_pass)
        found = (
            judgement.result,
            judgement.advice,
            judgement.log_e_fail,
            judgement.log_e_pass,
        )
        return _Review(said == found, judgement, looks)


class _Memory(Generic[T]):
    """The newest of what was worked out, by what it follows from."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable) -> T | None:
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def put(self, key: Hashable, value: T) -> None:
        with self._lock:
            self._kept[key] = value
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)


def _verdict(course: Course, review: _Review | None) -> VerdictState | None:
    last = course.last
    if last is None or review is None:
        return None
    said = last.verdict
    return VerdictState(Result(said.result), said.reasons or (), review.follows)


def _with(answer: GateAnswer, reason: GateReason) -> GateAnswer:
    """Return an answer that also says what is not known; whoever broke the glass overrode that."""
    counts = answer.decision is not GateDecision.PASS
    return GateAnswer(answer.decision, (*answer.reasons, structs.replace(reason, counts=counts)))


def _nothing(service: str, environment: str, said: str, size: int = 0) -> Told:
    answer = GateAnswer(GateDecision.INCONCLUSIVE, (missing(said),))
    return Told(service, environment, None, known=False, answer=answer, as_of=size)
