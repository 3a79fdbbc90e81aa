"""Rolls out what has a plan: looks at how things are, and takes each rollout one stage further.

Level-triggered. Every turn reads from the views of the log where each rollout stands, finishes
what was decided and not finished, takes the look that is due, asks what follows, and writes that
down before anything is touched. Nothing is remembered that a restart could lose; a turn that fails
is repeated, and finds what it had already written.

One turn at a time, and only while the lease is held. Nothing happens before the views have seen
everything that was said here.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from msgspec.structs import replace

from deploymark.act.concerns import Wanted
from deploymark.act.course import POLICY, SUCCEEDED, Course, Pending
from deploymark.act.decide import decide, held_by_policy
from deploymark.act.execute import Executor, Say, clipped, order_of, waiting_for
from deploymark.act.gather import course_of, is_rolled_out, weight_of
from deploymark.act.holding import Holding
from deploymark.act.intent import Intent, Move
from deploymark.act.plan import RolloutPlan
from deploymark.act.scene import Backed, Scene, Terms
from deploymark.act.verdicts import Verdicts
from deploymark.act.watching import arms_of, is_seen, is_well
from deploymark.errors import (
    BrokenError,
    DeploymarkError,
    JudgeError,
    NotFoundError,
    RefusedError,
)
from deploymark.model.canonical import encode
from deploymark.model.instants import format_instant
from deploymark.model.vocabulary import MARKER, EmitterKind, Phase
from deploymark.ports import (
    Actuator,
    CountsSource,
    LeaseStore,
    Meter,
    Order,
    Release,
)
from deploymark.projections.broker.rolling import Rolling, RollingQuery, Side

_log = logging.getLogger(__name__)

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
        self._holding = Holding(hands.leases, hands.holder, hands.steady_ms)
        self._said = -1
        self._doubt = False
        self._touched: set[str] = set()
        self._looked: set[Scope] = set()
        self._marked: set[tuple[str, Phase]] = set()
        self._quiet: dict[Scope, tuple[int, int] | None] = {}
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
        if not self._plans or not self._may_act(now_ms):
            return 0
        scene = Scene(self._hands.query, self._hands.verdicts, self._hands.backed, self._terms)
        before = self._hands.size()
        self._touched.clear()
        # If we stop in here, what was said may stand in the log or not.
        self._doubt, doubt = True, False
        standing = self._hands.query.standing()
        for scope, plan in self._plans.items():
            stands, names = standing.get(scope), scene.unfinished(*scope)
            if not names and self._quiet.get(scope, False) == stands:
                continue  # there was nothing to do, and nothing came since
            self._quiet.pop(scope, None)
            if not self._holding.still():
                doubt = True  # somebody else may act by now
                break
            try:
                if not self._further(scene, scope, plan, names, now_ms):
                    self._quiet[scope] = stands
            except BrokenError:
                raise
            except DeploymarkError as error:
                # One rollout that cannot go on keeps none of the others from it.
                doubt = doubt or not isinstance(error, RefusedError)
                self._fails(scope, error)
        self._doubt = doubt
        return self._hands.size() - before

    def _may_act(self, now_ms: int) -> bool:
        """Tell whether this controller acts, and the views have seen all that was said before."""
        fence = self._holding.fence
        if not self._holding.take(now_ms):
            return False
        if self._holding.fence != fence:
            # Somebody else may have acted until now.
            self._hands.executor.forget()
            self._doubt = True
        if self._doubt:
            self._said, self._doubt = self._hands.size() - 1, False
        return self._hands.query.size() > self._said

    def _fails(self, scope: Scope, error: DeploymarkError) -> None:
        self._hands.meter.count("deploymark_rollout_turns_failed_total", code=error.code)
        _log.warning(
            "a rollout cannot go on",
            extra={"service": scope[0], "environment": scope[1], "why": error.message},
        )

    def _further(
        self, scene: Scene, scope: Scope, plan: RolloutPlan, names: Sequence[str], now_ms: int
    ) -> bool:
        """Take a service further, and tell whether there is anything to do."""
        query = self._hands.query
        rolling = query.newest(*scope)
        # What was begun is finished first, also when the deployment stands no longer.
        for name in names:
            if rolling is None or rolling.canary.name != name:
                other = query.named(*scope, name)
                if other is not None:
                    self._of_before(scene, other, plan, now_ms)
        if rolling is None:
            self._wanted.pop(scope, None)
            return False
        course = course_of(rolling)
        self._mark(course, rolling, now_ms)
        if course.pending is not None:
            self._finish(course, rolling, plan, now_ms)
        elif is_rolled_out(course, rolling, plan, now_ms):
            self._advance(scene, course, rolling, plan, now_ms)
        else:
            self._wanted.pop(scope, None)
            return False
        return True

    def _of_before(self, scene: Scene, other: Rolling, plan: RolloutPlan, now_ms: int) -> None:
        """Finish what was begun, or asked, about a deployment that is not the newest."""
        course = course_of(other)
        if course.pending is not None:
            self._finish(course, other, plan, now_ms, overtaken=True)
        elif course.asked:
            self._advance(scene, course, other, plan, now_ms)

    def _advance(
        self, scene: Scene, course: Course, rolling: Rolling, plan: RolloutPlan, now_ms: int
    ) -> None:
        if self._looks(course, rolling, plan, now_ms):
            return  # what follows from it is asked when the views have seen it
        if course.environment in self._touched:
            return  # one service at a time: the views do not show yet what another one does
        source = self._hands.sources[plan.source]
        facts = scene.facts(
            course,
            rolling,
            plan,
            now_ms=now_ms,
            clock_off_ms=self._holding.clock_off_ms(now_ms),
            lease_until_ms=self._holding.until_ms,
            fence=self._holding.fence,
            verifiable=lambda: is_seen(source, plan, rolling, now_ms),
        )
        intent = decide(facts)
        if intent.move is Move.SHIFT and course.step == 0 and not intent.break_glass:
            said = self._hands.objection(rolling, course, now_ms)
            intent = held_by_policy(facts, said) if said else intent
        self._want((course.service, course.environment), intent, now_ms)
        self._do(course, rolling, intent, now_ms)

    def _looks(self, course: Course, rolling: Rolling, plan: RolloutPlan, now_ms: int) -> bool:
        """Take the look that is due, if one is, and tell whether one was taken."""
        scope, verdicts = (course.service, course.environment), self._hands.verdicts
        judged = course.step > 0 or rolling.canary.document["live_at"] is not None
        if not judged or course.ended or course.asked:
            return False  # a person who asks does not wait for a look
        if scope in self._looked:
            # However short a look is, what follows from the last one is asked before the next.
            self._looked.discard(scope)
            return False
        source = self._hands.sources[plan.source]
        try:
            if not verdicts.due(course, plan, source, now_ms):
                return False
            arms = arms_of(plan, rolling, weight_of(course, rolling))
            self._said = verdicts.look(course, plan, source, arms, now_ms).idx
        except (NotFoundError, JudgeError) as error:
            # Nothing more is judged at this step, and a person can still act.
            self._fails(scope, error)
            return False
        self._looked.add(scope)
        return True

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
        executor, scope = self._hands.executor, (course.service, course.environment)
        if intent.deed is not None and scope not in self._hands.actuators:
            if intent.request_index is None:
                return  # whoever tells people reads from `wanted` what they should do
            why = f"The plan has no actuator, so a person does this by hand. {intent.reason}"
            intent = replace(intent, move=Move.REFUSE, reason=why)
        match intent.move:
            case Move.WAIT | Move.HOLD | Move.PAGE:
                return  # whoever tells people reads it from `wanted`
            case Move.PAUSE | Move.RESUME | Move.FREEZE:
                fields = self._decision(course, rolling, intent, now_ms)
                self._said = executor.decide(fields, execute=False)
                if intent.move is Move.FREEZE:
                    self._touched.add(course.environment)
                return
            case Move.REFUSE:
                fields = self._decision(course, rolling, intent, now_ms)
                for only_of_deeds in ("weight", "idempotency_key", "break_glass"):
                    fields.pop(only_of_deeds, None)
                asked = _asked_of(course, intent)
                self._said = executor.refuse({**fields, "action": asked, "actor": POLICY})
                return
            case _:
                self._touched.add(course.environment)
        if intent.quarantine is not None:
            # Before the deed: stopped in between, it is put away twice rather than not at all.
            # It answers no request: the deed does.
            away = {**self._decision(course, rolling, intent, now_ms), "action": "quarantine"}
            for name in ("guards", "decision_index", "idempotency_key", "weight"):
                away.pop(name, None)
            self._said = executor.decide(away, execute=False)
        fields = self._decision(course, rolling, intent, now_ms)
        self._said = executor.decide(fields, execute=True)

    def _decision(
        self, course: Course, rolling: Rolling, intent: Intent, now_ms: int
    ) -> dict[str, Any]:
        target = rolling.stable or rolling.previous
        everywhere = intent.move is Move.FREEZE
        fields = {
            "action": intent.move.value,
            "environment": course.environment,
            "service": None if everywhere else course.service,
            "actor": intent.by,
            "timestamp": format_instant(now_ms),
            "deployment_id": None if everywhere else course.deployment,
            "target_deployment_id": target.name
            if target is not None and intent.move is Move.ROLL_BACK
            else None,
            "reason": clipped(intent.reason),
            "guards": [
                {"name": each.name, "held": each.held, "reason": each.reason}
                for each in intent.guards
            ]
            or None,
            "verdict_index": intent.verdict_index,
            "decision_index": intent.request_index,
            "idempotency_key": intent.key,
            "break_glass": True if intent.break_glass else None,
            "step": intent.step + (intent.move is Move.SHIFT) or None,
            "weight": intent.weight,
            "fence": self._holding.fence,
        }
        return {name: value for name, value in fields.items() if value is not None}

    # What was begun ----------------------------------------------------------------------

    def _finish(
        self,
        course: Course,
        rolling: Rolling,
        plan: RolloutPlan,
        now_ms: int,
        *,
        overtaken: bool = False,
    ) -> None:
        pending, executor = course.pending, self._hands.executor
        if pending is None:
            return
        self._wanted.pop((course.service, course.environment), None)
        if pending.decision.action == "roll_back" and pending.executed is not None:
            source = self._hands.sources[plan.source]
            well = is_well(source, plan, rolling, pending.executed_ms or now_ms, now_ms)
            if well is not None:
                outcome = SUCCEEDED if well else "failed"
                note = "" if well else "Things are not well again in the time that the plan gives."
                self._said = executor.end(pending, outcome, note, now_ms)
            return
        actuator = self._hands.actuators.get((course.service, course.environment))
        if actuator is None:
            note = "The plan has no actuator any more that could tell whether this was done."
            self._said = executor.end(pending, "unknown", note, now_ms)
            return
        order = self._order(course, rolling, pending)
        why_not = self._why_not(pending, overtaken=overtaken)
        settled = executor.settle(actuator, order, pending, now_ms, why_not)
        if settled.index is not None:
            self._said = settled.index
        else:
            intent = waiting_for(course, pending, actuator.name, settled.note, now_ms)
            scope = (course.service, course.environment)
            self._wanted[scope] = Wanted(intent, pending.decided_ms)

    def _why_not(self, pending: Pending, *, overtaken: bool) -> str:
        """Return why what the machine decided is not carried out any more, "" when it is."""
        if pending.decision.actor != POLICY:
            return ""
        if not self._terms.automation:
            return "Automation was switched off before this was carried out."
        return "A later deployment came before this was carried out." if overtaken else ""

    def _order(self, course: Course, rolling: Rolling, pending: Pending) -> Order:
        stable = rolling.stable or rolling.previous
        target = pending.decision.target_deployment_id
        if target is not None and (stable is None or stable.name != target):
            # Something else stands beside it by now; what was decided is what is ordered.
            named = self._hands.query.named(course.service, course.environment, target)
            stable = None if named is None else named.canary
        return order_of(
            course,
            pending,
            _release(rolling.canary),
            None if stable is None else _release(stable),
            self._holding.fence,
        )

    def _mark(self, course: Course, rolling: Rolling, now_ms: int) -> None:
        """Say what happened to the deployment, in the words of markers, if nobody has yet."""
        document = rolling.canary.document
        phase = _MARKED.get(course.ended)
        pending = course.pending
        if pending is not None and pending.decision.action == "roll_back" and pending.executed:
            phase = Phase.ROLLING_BACK
        if phase is None or phase.value in document["phases"]:
            return
        if (course.deployment, phase) in self._marked:
            return  # it was said, or refused, and would be again
        self._marked.add((course.deployment, phase))
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
        except BaseException:
            self._marked.discard((course.deployment, phase))
            raise


def _asked_of(course: Course, intent: Intent) -> str:
    """Return what the person had asked for whom an intent answers."""
    return next(each.decision.action for each in course.asked if each.index == intent.request_index)


def _release(side: Side) -> Release:
    document = side.document
    return Release(side.name, document["version"] or "", document["digest"] or "")
