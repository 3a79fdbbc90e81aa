"""Rolls out what has a plan: looks at how things are, and takes each rollout one stage further.

Level-triggered. Every turn reads from the views of the log where each rollout stands, finishes
what was decided and not finished, takes the look that is due, asks what follows, and writes that
down before anything is touched. Nothing is remembered that a restart could lose; a turn that fails
is repeated, and finds what it had already written.

One turn at a time, and only while the lease is held. Nothing happens before the views have seen
everything that was said here.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from deploymark.act.concerns import Wanted
from deploymark.act.course import SUCCEEDED, Course, Pending, fold
from deploymark.act.decide import decide, held_by_policy
from deploymark.act.execute import Executor, Say, order_of
from deploymark.act.gather import controlled
from deploymark.act.intent import Intent, Move
from deploymark.act.plan import RolloutPlan, counted_by
from deploymark.act.scene import Backed, Scene, Terms
from deploymark.act.verdicts import Arms, Verdicts
from deploymark.errors import (
    BrokenError,
    CountsUnavailableError,
    DeploymarkError,
    RefusedError,
)
from deploymark.model.canonical import encode
from deploymark.model.instants import format_instant, parse_instant
from deploymark.model.vocabulary import MARKER, EmitterKind, Phase
from deploymark.ports import (
    Actuator,
    Cohort,
    CountsSource,
    LeaseStore,
    Meter,
    Order,
    Release,
)
from deploymark.projections.broker.rolling import Rolling, RollingQuery, Side

_log = logging.getLogger(__name__)

LEASE: Final = "rollouts"
LEASE_SECONDS: Final = 120
"""How long the lease is held without being prolonged: longer than any actuator may take."""

_MS: Final = 1_000
_MARKED: Final = {"promoted": Phase.PROMOTED, "rolled_back": Phase.ROLLED_BACK}

Scope = tuple[str, str]
"""Service and environment."""


def _none(*_: object) -> str:
    """Object to nothing."""
    return ""


@dataclass(frozen=True, slots=True)
class Hands:
    """What the controller works with.

    Attributes:
        query: Asks the views what is rolled out.
        size: Returns how many entries the log has; answers from memory.
        say: Appends an entry.
        verdicts: Takes looks.
        executor: Carries out deeds.
        leases: Lets one controller act.
        holder: Who this controller is.
        backed: Tells who stands behind the markers of a deployment.
        sources: Of counts, by the names that plans give.
        actuators: By service and environment; one that is absent has none.
        meter: Counts what went wrong.
        steady_ms: A clock that never jumps.
        objection: Tells what the policy has against beginning a rollout, "" for nothing.
    """

    query: RollingQuery
    size: Callable[[], int]
    say: Say
    verdicts: Verdicts
    executor: Executor
    leases: LeaseStore
    holder: str
    backed: Backed
    sources: Mapping[str, CountsSource]
    actuators: Mapping[Scope, Actuator]
    meter: Meter
    steady_ms: Callable[[], int]
    objection: Callable[[Rolling, Course, int], str] = _none


class Controller:
    """Takes rollouts further, a turn at a time.

    Args:
        plans: By service and environment.
        terms: What the configuration says of actions.
        hands: What it works with.
    """

    def __init__(self, plans: Mapping[Scope, RolloutPlan], terms: Terms, hands: Hands) -> None:
        self._plans = plans
        self._terms = terms
        self._hands = hands
        self._said = -1
        self._fence = 0
        self._lease_until_ms: int | None = None
        self._began: tuple[int, int] | None = None
        self._wanted: dict[Scope, Wanted] = {}

    @property
    def wanted(self) -> Mapping[Scope, Wanted]:
        """What was last wanted of each rollout; for people who ask why it waits."""
        return dict(self._wanted)

    def turn(self, now_ms: int) -> int:
        """Take every rollout further, and return how many entries were appended.

        Raises:
            StoreUnavailableError: The views, the log or the lease refuse now.
            BrokenError: The log does not add up.
        """
        if not self._plans or not self._holds(now_ms):
            return 0
        if self._hands.query.size() <= self._said:
            return 0  # the views have not seen yet what was said here
        scene = Scene(self._hands.query, self._hands.verdicts, self._hands.backed, self._terms)
        before = self._hands.size()
        for scope, plan in self._plans.items():
            try:
                self._further(scene, scope, plan, now_ms)
            except BrokenError:
                raise
            except DeploymarkError as error:
                # One rollout that cannot go on keeps none of the others from it.
                self._hands.meter.count("deploymark_rollout_turns_failed_total", code=error.code)
                _log.warning(
                    "a rollout cannot go on",
                    extra={"service": scope[0], "environment": scope[1], "why": error.message},
                )
        return self._hands.size() - before

    def _holds(self, now_ms: int) -> bool:
        """Take or prolong the lease; without it nothing is touched."""
        until_ms = now_ms + LEASE_SECONDS * _MS
        fence = self._hands.leases.take(LEASE, self._hands.holder, now_ms, until_ms)
        self._lease_until_ms = None if fence is None else until_ms
        self._fence = fence or self._fence
        return fence is not None

    def _further(self, scene: Scene, scope: Scope, plan: RolloutPlan, now_ms: int) -> None:
        query = self._hands.query
        rolling = query.newest(*scope)
        names = scene.unfinished(*scope)
        # What was begun is finished first, also when the deployment stands no longer.
        for name in names:
            if rolling is None or rolling.canary.name != name:
                other = query.named(*scope, name)
                if other is not None:
                    self._finish(course_of(other), other, plan, now_ms)
        if rolling is None:
            return
        course = course_of(rolling)
        self._mark(course, rolling, now_ms)
        if course.pending is not None:
            self._finish(course, rolling, plan, now_ms)
        elif self._is_rolled_out(course, rolling, plan, now_ms):
            self._advance(scene, course, rolling, plan, now_ms)

    def _is_rolled_out(
        self, course: Course, rolling: Rolling, plan: RolloutPlan, now_ms: int
    ) -> bool:
        """Tell whether the newest deployment is on its way, so that there is something to do."""
        if course.ended or rolling.canary.is_over:
            return bool(course.asked)
        if course.newest >= 0 or rolling.canary.document["live_at"] is None:
            return True
        # It has all of the traffic already. Only a written rule looks at it, and not for ever.
        rule, live = plan.roll_back.without_control, rolling.canary.document["live_at"]
        return (
            rule is not None
            and rolling.canary.document["previous_deployment_id"] is not None
            and now_ms - parse_instant(live) <= rule.minutes * 60 * _MS
        )

    def _advance(
        self, scene: Scene, course: Course, rolling: Rolling, plan: RolloutPlan, now_ms: int
    ) -> None:
        source = self._hands.sources[plan.source]
        judged = course.step > 0 or rolling.canary.document["live_at"] is not None
        if judged and not course.ended and self._hands.verdicts.due(course, plan, source, now_ms):
            taken = self._hands.verdicts.look(course, plan, source, arms_of(plan, rolling), now_ms)
            self._said = taken.idx
            return  # what follows from it is asked when the views have seen it
        facts = scene.facts(
            course,
            rolling,
            plan,
            now_ms=now_ms,
            clock_off_ms=self._clock_off_ms(now_ms),
            lease_until_ms=self._lease_until_ms,
            fence=self._fence,
            verifiable=self._is_seen(course, rolling, plan, now_ms),
        )
        intent = decide(facts)
        if intent.move is Move.SHIFT and course.step == 0 and not intent.break_glass:
            said = self._hands.objection(rolling, course, now_ms)
            intent = held_by_policy(facts, said) if said else intent
        self._want((course.service, course.environment), intent, now_ms)
        self._do(course, rolling, intent, now_ms)

    def _is_seen(
        self, course: Course, rolling: Rolling, plan: RolloutPlan, now_ms: int
    ) -> bool | None:
        """Tell whether requests of the service are seen at all, so that a recovery would be."""
        newest = self._hands.verdicts.newest(course)
        if newest is not None:
            return bool(newest[1][-1].seen)
        source, grain = self._hands.sources[plan.source], plan.bucket_seconds * _MS
        until_ms = (now_ms - source.lag_ms) // grain * grain
        since_ms = until_ms - plan.look_seconds * _MS
        arms = arms_of(plan, rolling)
        try:
            seen = source.count(
                arms.stable or arms.canary, counted_by(plan), since_ms, until_ms, grain
            )
        except CountsUnavailableError:
            return None
        return _trials(seen.cells) > 0

    def _clock_off_ms(self, now_ms: int) -> int:
        """Return how far the clock has jumped since this controller began."""
        steady_ms = self._hands.steady_ms()
        if self._began is None:
            self._began = (now_ms, steady_ms)
        return abs((now_ms - self._began[0]) - (steady_ms - self._began[1]))

    def _want(self, scope: Scope, intent: Intent, now_ms: int) -> None:
        before = self._wanted.get(scope)
        same = before is not None and (before.intent.key, before.intent.code) == (
            intent.key,
            intent.code,
        )
        since_ms = before.since_ms if before is not None and same else now_ms
        self._wanted[scope] = Wanted(intent, since_ms)

    # What follows ------------------------------------------------------------------------

    def _do(self, course: Course, rolling: Rolling, intent: Intent, now_ms: int) -> None:
        match intent.move:
            case Move.WAIT | Move.HOLD | Move.PAGE:
                return  # whoever tells people reads it from `wanted`
            case Move.PAUSE | Move.RESUME | Move.FREEZE:
                fields = self._decision(course, rolling, intent, now_ms)
                self._said = self._hands.executor.decide(fields, execute=False)
                return
            case _:
                if (course.service, course.environment) not in self._hands.actuators:
                    return
        if intent.quarantine is not None:
            # Before the deed: stopped in between, it is put away twice rather than not at all.
            away = {**self._decision(course, rolling, intent, now_ms), "action": "quarantine"}
            away.pop("guards", None)
            self._said = self._hands.executor.decide(away, execute=False)
        fields = self._decision(course, rolling, intent, now_ms)
        self._said = self._hands.executor.decide(fields, execute=True)

    def _decision(
        self, course: Course, rolling: Rolling, intent: Intent, now_ms: int
    ) -> dict[str, Any]:
        stable = rolling.stable
        everywhere = intent.move is Move.FREEZE
        fields = {
            "action": intent.move.value,
            "environment": course.environment,
            "service": None if everywhere else course.service,
            "actor": intent.by,
            "timestamp": format_instant(now_ms),
            "deployment_id": None if everywhere else course.deployment,
            "target_deployment_id": stable.name
            if stable is not None and intent.move is Move.ROLL_BACK
            else None,
            "reason": intent.reason,
            "guards": [
                {"name": each.name, "held": each.held, "reason": each.reason}
                for each in intent.guards
            ]
            or None,
            "verdict_index": intent.verdict_index,
            "decision_index": intent.request_index,
            "idempotency_key": intent.key,
            "break_glass": True if intent.break_glass else None,
            "step": course.step + (intent.move is Move.SHIFT) or None,
            "weight": intent.weight,
            "fence": self._fence,
        }
        return {name: value for name, value in fields.items() if value is not None}

    # What was begun ----------------------------------------------------------------------

    def _finish(self, course: Course, rolling: Rolling, plan: RolloutPlan, now_ms: int) -> None:
        pending = course.pending
        if pending is None:
            return
        actuator = self._hands.actuators.get((course.service, course.environment))
        if actuator is None:
            return  # the plan lost it; a person sees a deed that does not end
        if pending.decision.action == "roll_back" and pending.executed is not None:
            well = self._is_well(rolling, plan, pending, now_ms)
            if well is None:
                return
            self._said = self._recovered(pending, now_ms, well=well)
            return
        settled = self._hands.executor.settle(
            actuator, self._order(course, rolling, pending), pending, now_ms
        )
        if settled.index is not None:
            self._said = settled.index

    def _recovered(self, pending: Pending, now_ms: int, *, well: bool) -> int:
        outcome = SUCCEEDED if well else "failed"
        note = "" if well else "Things are not well again in the time that the plan gives."
        return self._hands.executor.end(pending, outcome, note, now_ms)

    def _order(self, course: Course, rolling: Rolling, pending: Pending) -> Order:
        stable = rolling.stable
        return order_of(
            course,
            pending,
            _release(rolling.canary),
            None if stable is None else _release(stable),
            self._fence,
        )

    def _is_well(
        self, rolling: Rolling, plan: RolloutPlan, pending: Pending, now_ms: int
    ) -> bool | None:
        """Tell whether the traffic has left the canary and is served; None while that is open."""
        executed_ms = pending.executed_ms or now_ms
        late = now_ms - executed_ms > plan.roll_back.recovery_seconds * _MS
        source, grain = self._hands.sources[plan.source], plan.bucket_seconds * _MS
        since_ms = -(-executed_ms // grain) * grain
        until_ms = (now_ms - source.lag_ms) // grain * grain
        # The newest look's worth of buckets: requests that were on their way are forgiven.
        since_ms = max(since_ms, until_ms - plan.look_seconds * _MS)
        if until_ms - since_ms >= plan.look_seconds * _MS:
            arms, metrics = arms_of(plan, rolling), counted_by(plan)
            try:
                left = source.count(arms.canary, metrics, since_ms, until_ms, grain)
                serves = source.count(
                    arms.stable or arms.canary, metrics, since_ms, until_ms, grain
                )
            except CountsUnavailableError:
                return False if late else None
            if not _trials(left.cells) and (arms.stable is None or _trials(serves.cells)):
                return True
        return False if late else None

    def _mark(self, course: Course, rolling: Rolling, now_ms: int) -> None:
        """Say what happened to the deployment, in the words of markers, if nobody has yet."""
        document = rolling.canary.document
        phase = _MARKED.get(course.ended)
        pending = course.pending
        if phase is None and pending is not None and pending.decision.action == "roll_back":
            phase = Phase.ROLLING_BACK
        if phase is None or phase.value in document["phases"]:
            return
        marker: dict[str, Any] = {
            "service": course.service,
            "environment": course.environment,
            "kind": document["kind"],
            "phase": phase.value,
            "deployment_id": rolling.canary.ids[0],
            "emitter": {"kind": EmitterKind.PLATFORM.value},
            "timestamp": format_instant(now_ms),
            "version": document["version"],
            "commit_hash": document["commit_hash"],
        }
        if document["digest"] is not None:
            marker["artifact"] = {"digest": document["digest"]}
        stated = {name: value for name, value in marker.items() if value is not None}
        try:
            self._said = self._hands.say(MARKER, encode(stated))
        except RefusedError as error:
            _log.warning("the end of a rollout could not be marked", extra={"why": error.message})


def course_of(rolling: Rolling) -> Course:
    """Return how far a rollout has come."""
    document = rolling.canary.document
    began = Course(
        rolling.canary.name,
        rolling.service,
        rolling.environment,
        since_ms=parse_instant(document["live_at"] or document["opened_at"]),
    )
    return fold(began, ((each.idx, each.received_at, each.said) for each in rolling.ruled))


def arms_of(plan: RolloutPlan, rolling: Rolling) -> Arms:
    """Return whose requests are compared."""
    scope = (rolling.service, rolling.environment)
    canary = Cohort(*scope, rolling.canary.ids)
    if rolling.stable is None or not controlled(plan, rolling):
        return Arms(canary, None, None)
    stable = Cohort(*scope, rolling.stable.ids)
    if plan.control == "baseline":
        fresh = stable._replace(instances=rolling.baseline, track="baseline")
        return Arms(canary, fresh, stable)
    return Arms(canary, stable, stable)


def _release(side: Side) -> Release:
    document = side.document
    return Release(side.name, document["version"] or "", document["digest"] or "")


def _trials(cells: Mapping[str, Any]) -> int:
    return sum(each.trials or sum(each.counts) for found in cells.values() for each in found)
