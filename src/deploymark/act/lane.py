"""Takes one service in one environment one stage further; one thread at a time.

`controller` says when, and why lanes hold up nobody and never act two at once. What waits for an
actuator or a source waits here, outside of the lock of the environment; what is decided or judged
is said within it, after another look at how things are.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from deploymark.act.concerns import Wanted
from deploymark.act.course import POLICY, SUCCEEDED, Course, Pending
from deploymark.act.decide import decide, held_by_policy
from deploymark.act.draft import left_behind, overtaking
from deploymark.act.execute import order_of, waiting_for, why_not_late
from deploymark.act.gather import course_of, is_left_behind, is_rolled_out, weight_of
from deploymark.act.guards import CLOCK_OFF_MS
from deploymark.act.hands import Footing, Hands
from deploymark.act.intent import Intent, Move
from deploymark.act.plan import RolloutPlan, Scope
from deploymark.act.record import asked_of, decision_of, marker_of, phase_of, release_of
from deploymark.act.scene import Scene
from deploymark.act.verdicts import Seen
from deploymark.act.watching import arms_of, is_seen, is_well
from deploymark.errors import (
    BrokenError,
    DeploymarkError,
    JudgeError,
    NotFoundError,
    RefusedError,
)
from deploymark.model.canonical import encode
from deploymark.model.vocabulary import MARKER, Phase
from deploymark.ports import Order
from deploymark.projections.broker.rolling import Rolling, Side

_log = logging.getLogger(__name__)

_ONLY_OF_DEEDS: Final = ("weight", "idempotency_key", "break_glass", "superseded_by")

Reread = Callable[[], Rolling | None]
"""Returns how a rollout stands now, None when it is not to be gone on with."""


class NextLook(NamedTuple):
    """When a rollout is looked at again.

    Attributes:
        deployment: `d-…~1`.
        due_ms: The earliest moment; a look that is late stays due.
    """

    deployment: str
    due_ms: int


class Lane:
    """Takes the rollouts of one scope further.

    Args:
        scope: Which.
        plan: By which it is rolled out.
        hands: What it works with.
        footing: What it shares with the other lanes.

    Attributes:
        wanted: What was last wanted of the newest rollout, None where nothing is rolled out.
        next_look: When the newest rollout is looked at again, None when it is not.
    """

    def __init__(self, scope: Scope, plan: RolloutPlan, hands: Hands, footing: Footing) -> None:
        self._scope = scope
        self._plan = plan
        self._hands = hands
        self._footing = footing
        self._fence = 0
        self._looked = False
        self._marked: set[tuple[str, Phase]] = set()
        self._stood: tuple[int, int] | None = None
        self._watched: tuple[int, int] | None = None
        self._quiet: tuple[tuple[int, int] | None] | None = None
        self.wanted: Wanted | None = None
        self.next_look: NextLook | None = None

    def has_work(self, unfinished: Sequence[str], stands: tuple[int, int] | None) -> bool:
        """Tell whether there may be something to do; asked by the one who takes the turns.

        Args:
            unfinished: Deployments of which something was decided or asked that did not end.
            stands: How many deployments stand, and their newest entry.
        """
        if not unfinished and self._quiet == (stands,):
            return False  # there was nothing to do, and nothing came since
        self._stood = stands
        return True

    def take(self) -> None:
        """Take it one stage further, if the lease is held and the views have seen what was said.

        Raises:
            UnavailableError: The views refuse now.
            BrokenError: The log does not add up.
        """
        grip, stood = self._footing.holding.grip, self._stood
        if grip is None:
            return
        self._fence = grip.fence
        seen = self._footing.echo.is_seen(self._scope, self._hands.query.size())
        if not seen or not self._acts():
            return
        self._quiet = None
        try:
            if not self._further():
                self._quiet = (stood,)
        except BrokenError:
            raise
        except DeploymarkError as error:
            # One rollout that cannot go on keeps none of the others from it.
            self._fails(error)

    def _acts(self) -> bool:
        """Tell whether the lease is held as it was when this began."""
        return self._footing.holding.holds(self._fence, self._now_ms())

    def _now_ms(self) -> int:
        return self._hands.clock.now_ms()

    def _fails(self, error: DeploymarkError) -> None:
        self._hands.meter.count("deploymark_rollout_turns_failed_total", code=error.code)
        service, environment = self._scope
        _log.warning(
            "a rollout cannot go on",
            extra={"service": service, "environment": environment, "why": error.message},
        )

    def _further(self) -> bool:
        """Take the scope further, and tell whether there is anything to do."""
        query, scene = self._hands.query, self._footing.scene()
        rolling = query.newest(*self._scope)
        # What was begun is finished first, also when the deployment stands no longer.
        unfinished = scene.unfinished(*self._scope)
        for name in unfinished:
            if rolling is None or rolling.canary.name != name:
                other = query.named(*self._scope, name)
                if other is not None:
                    self._of_before(other, rolling)
        if rolling is None:
            return self._rests(scene, unfinished)
        self._mark(course := course_of(rolling), rolling)
        if course.pending is not None:
            self.wanted = self.next_look = None
            self._finish(course, course.pending, rolling)
        elif self._goes_on(course, rolling):
            if not self._makes_room(scene, course, rolling) and not self._looks(course, rolling):
                # What follows from a look is asked when the views have seen it.
                self._advance(course, rolling, self._newest)
        else:
            return self._rests(scene, unfinished)
        return True

    def _rests(self, scene: Scene, unfinished: Sequence[str]) -> bool:
        """Ask at most for a person, and tell whether the next turn may know of more to do."""
        self.next_look = None
        for name in scene.exposed(*self._scope):
            older = self._hands.query.named(*self._scope, name)
            if older is not None and is_left_behind(course := course_of(older), older):
                self._want(course, left_behind(course), None, self._hands.query.size())
                break
        else:
            self.wanted = None
        return bool(unfinished)  # what was finished just now is seen a moment later

    def _goes_on(self, course: Course, rolling: Rolling) -> bool:
        now_ms = self._now_ms()
        # A clock that jumped ends nothing; it is said that it did.
        surely_ms = now_ms - self._footing.holding.clock_off_ms(now_ms)
        return is_rolled_out(course, rolling, self._plan, surely_ms)

    def _newest(self) -> Rolling | None:
        rolling = self._hands.query.newest(*self._scope)
        if rolling is None or not self._goes_on(course_of(rolling), rolling):
            return None
        return rolling

    def _of_before(self, other: Rolling, newest: Rolling | None) -> None:
        """Finish what was begun, or asked, about a deployment that is not the newest."""
        course = course_of(other)
        if course.pending is not None:
            self._finish(course, course.pending, other, overtaken=True)
        elif course.asked:
            newer = newest.canary if newest is not None and self._is_to_begin(newest) else None
            self._advance(course, other, self._named(course.deployment), newer)

    def _is_to_begin(self, newest: Rolling) -> bool:
        course = course_of(newest)
        return course.step == 0 and self._goes_on(course, newest)

    def _named(self, name: str) -> Reread:
        return lambda: self._hands.query.named(*self._scope, name)

    def _makes_room(self, scene: Scene, course: Course, rolling: Rolling) -> bool:
        """Return the traffic of an older canary before a newer one begins; tell whether one has it.

        What a person asks of the newer one comes before that.
        """
        switched = rolling.canary.document["live_at"] is not None
        if course.step > 0 or course.asked or switched:
            return False
        for name in scene.exposed(*self._scope):
            older = None
            if name != rolling.canary.name:
                older = self._hands.query.named(*self._scope, name)
            if older is None or older.canary.is_over:
                continue
            past = course_of(older)
            if past.ended or not (past.weight or past.pending or past.unknown is not None):
                continue
            self.next_look = None
            if past.pending is None and not past.asked:
                self._advance(past, older, self._named(name), rolling.canary)
            return True
        return False

    # What is seen -------------------------------------------------------------------------

    def _looks(self, course: Course, rolling: Rolling) -> bool:
        """Take the look that is due, if one is, and tell whether one was taken."""
        verdicts, plan = self._hands.verdicts, self._plan
        judged = course.step > 0 or rolling.canary.document["live_at"] is not None
        if not judged or course.ended or course.asked:
            self.next_look = None
            return False  # a person who asks does not wait for a look
        source, now_ms = self._hands.sources[plan.source], self._now_ms()
        self.next_look = None
        # However short a look is, what follows from the last one is asked before the next.
        looked, self._looked = self._looked, False
        try:
            due_ms = verdicts.due_ms(course, plan, source, now_ms)
            if due_ms is None:
                return False
            self.next_look = NextLook(course.deployment, due_ms)
            if looked or now_ms < due_ms:
                return False
            arms = arms_of(plan, rolling, weight_of(course, rolling))
            self._rule(course, verdicts.see(course, plan, source, arms, now_ms))
        except (NotFoundError, JudgeError) as error:
            # Nothing more is judged at this step, and a person can still act.
            self._fails(error)
            return False
        return True

    def _rule(self, course: Course, seen: Seen) -> None:
        with self._footing.deciding(course.environment):
            if not self._acts():
                return  # whoever acts by now looks for itself
            with self._footing.echo.saying(self._scope):
                taken = self._hands.verdicts.rule(course, seen, self._now_ms())
            self._footing.echo.note(self._scope, taken.idx, decided=False)
            self._looked = True

    # What follows -------------------------------------------------------------------------

    def _advance(
        self, course: Course, rolling: Rolling, reread: Reread, newer: Side | None = None
    ) -> None:
        """Ask what follows, and write it down.

        Args:
            course: How far the rollout is.
            rolling: What is rolled out.
            reread: Asks how it stands when it is decided.
            newer: The deployment that overtook it; None: none did.
        """
        source = self._hands.sources[self._plan.source]
        seen = None if course.looks else is_seen(source, self._plan, rolling, self._now_ms())
        self._footing.scene().rehearse(course)
        if not self._decides(course, reread, newer, seen):
            said = self._hands.objection(rolling, course, self._now_ms())
            self._decides(course, reread, newer, seen, said)

    def _decides(
        self,
        course: Course,
        reread: Reread,
        newer: Side | None,
        seen: bool | None,  # noqa: FBT001 - a fact
        objection: str | None = None,
    ) -> bool:
        """Decide within the environment's lock; False: the policy must be asked for that first."""
        footing, query = self._footing, self._hands.query
        with footing.deciding(course.environment):
            if not footing.echo.is_seen_within(course.environment, query.size()):
                return True  # another lane, or this one, has just said something
            size, rolling = query.size(), reread()
            if rolling is None or rolling.canary.name != course.deployment:
                return True
            if course_of(rolling).newest != course.newest or not self._acts():
                return True  # it is another question by now
            now_ms, grip = self._now_ms(), footing.holding.grip
            facts = footing.scene().facts(
                course,
                rolling,
                self._plan,
                now_ms=now_ms,
                clock_off_ms=footing.holding.clock_off_ms(now_ms),
                lease_until_ms=None if grip is None else grip.until_ms,
                fence=self._fence,
                verifiable=seen,
                newer=newer,
            )
            intent = decide(facts)
            if intent.move is Move.SHIFT and course.step == 0 and not intent.break_glass:
                if objection is None:
                    return False
                intent = held_by_policy(facts, objection) if objection else intent
            self._want(course, intent, newer, size)
            self._do(course, rolling, intent, newer)
        return True

    def _want(self, course: Course, intent: Intent, newer: Side | None, as_of: int) -> None:
        if newer is not None:
            intent = overtaking(intent, course, newer.name)
        before, now_ms = self.wanted, self._now_ms()
        same = before is not None and (before.intent.key, before.intent.code) == (
            intent.key,
            intent.code,
        )
        since_ms = before.since_ms if before is not None and same else now_ms
        self.wanted = Wanted(intent, since_ms, as_of)

    def _do(self, course: Course, rolling: Rolling, intent: Intent, newer: Side | None) -> None:
        executor = self._hands.executor
        if intent.deed is not None and self._scope not in self._hands.actuators:
            if intent.request_index is None:
                return  # whoever tells people reads from `wanted` what they should do
            why = f"The plan has no actuator, so a person does this by hand. {intent.reason}"
            intent = replace(intent, move=Move.REFUSE, reason=why)
        overtaken_by = "" if newer is None else newer.name
        fields = decision_of(course, rolling, intent, self._now_ms(), self._fence, overtaken_by)
        match intent.move:
            case Move.WAIT | Move.HOLD | Move.PAGE:
                return  # whoever tells people reads it from `wanted`
            case Move.PAUSE | Move.RESUME | Move.FREEZE:
                self._says(lambda: executor.decide(fields, execute=False))
                return
            case Move.REFUSE:
                for only_of_deeds in _ONLY_OF_DEEDS:
                    fields.pop(only_of_deeds, None)
                answer = {**fields, "action": asked_of(course, intent), "actor": POLICY}
                self._says(lambda: executor.refuse(answer))
                return
            case _:
                pass
        if intent.quarantine is not None:
            # Before the deed: stopped in between, it is put away twice rather than not at all.
            # It answers no request: the deed does.
            away = {**fields, "action": "quarantine"}
            for name in ("guards", "decision_index", "idempotency_key", "weight", "superseded_by"):
                away.pop(name, None)
            self._says(lambda: executor.decide(away, execute=False))
        self._says(lambda: executor.decide(fields, execute=True))

    def _says(self, say: Callable[[], int]) -> None:
        with self._footing.echo.saying(self._scope):
            index = say()
        self._footing.echo.note(self._scope, index)

    # What was begun -----------------------------------------------------------------------

    def _finish(
        self, course: Course, pending: Pending, rolling: Rolling, *, overtaken: bool = False
    ) -> None:
        executor, now_ms = self._hands.executor, self._now_ms()
        if pending.decision.action == "roll_back" and pending.executed is not None:
            source = self._hands.sources[self._plan.source]
            executed_ms = pending.executed_ms or now_ms
            late = self._is_late(pending.index, executed_ms, now_ms)
            well = is_well(source, self._plan, rolling, executed_ms, now_ms, late=late)
            if well is not None and self._acts():
                outcome = SUCCEEDED if well else "failed"
                note = "" if well else "Things are not well again in the time that the plan gives."
                self._says(lambda: executor.end(pending, outcome, note, now_ms))
            return
        actuator = self._hands.actuators.get(self._scope)
        if actuator is None:
            note = "The plan has no actuator any more that could tell whether this was done."
            self._says(lambda: executor.end(pending, "unknown", note, now_ms))
            return
        order = self._order(course, rolling, pending)
        terms = self._footing.terms
        why_not = why_not_late(pending, automation=terms.automation, overtaken=overtaken)
        if not self._acts():
            return
        echo = self._footing.echo
        with echo.saying(self._scope):
            settled = executor.settle(actuator, order, pending, now_ms, why_not, self._acts)
        if settled.index is not None:
            echo.note(self._scope, settled.index)
        else:
            waits = waiting_for(course, pending, actuator.name, settled.note, now_ms)
            self.wanted = Wanted(waits, pending.decided_ms)

    def _is_late(self, index: int, executed_ms: int, now_ms: int) -> bool:
        """Tell whether a return had its time; by the clock that never jumps where the other did."""
        steady_ms = self._hands.steady_ms()
        longest_ms = self._plan.roll_back.recovery_seconds * 1_000
        if self._watched is None or self._watched[0] != index:
            self._watched = (index, steady_ms)
        if self._footing.holding.clock_off_ms(now_ms) <= CLOCK_OFF_MS:
            return now_ms - executed_ms > longest_ms
        return steady_ms - self._watched[1] > longest_ms

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
            release_of(rolling.canary),
            None if stable is None else release_of(stable),
            self._fence,
        )

    def _mark(self, course: Course, rolling: Rolling) -> None:
        """Say what happened to the deployment, in the words of markers, if nobody has yet."""
        phase = phase_of(course)
        if phase is None or phase.value in rolling.canary.document["phases"]:
            return
        said = (course.deployment, phase)
        if said in self._marked:
            return  # it was said, or refused, and would be again
        self._marked.add(said)
        marker = marker_of(course, rolling.canary, phase, self._now_ms())
        try:
            with self._footing.echo.saying(self._scope):
                index = self._hands.say(MARKER, encode(marker))
        except RefusedError as error:
            _log.warning("the end of a rollout could not be marked", extra={"why": error.message})
        except BaseException:
            self._marked.discard(said)
            raise
        else:
            self._footing.echo.note(self._scope, index, decided=False)
