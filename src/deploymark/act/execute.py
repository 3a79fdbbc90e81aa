"""Carries out what was decided and logged: once, or says that nobody knows.

    decided ──► carried out ──► executed ──► outcome
        1            2              3           4

1 stands in the log before anything is touched. If we stop between 1 and 3, whoever comes next
finds a deed that is decided and not executed, and looks: what is so is written down, what is not
so is carried out again (the same order again changes nothing), and what cannot be seen ends as
`unknown` and is a person's. So nothing is done twice, and nothing is forgotten. What has been
overtaken since is not carried out late: it ends as `failed`, once it is seen that it is not so.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from deploymark.act.course import POLICY, Course, Pending
from deploymark.act.intent import Intent, Move
from deploymark.errors import (
    ActuatorRefusedError,
    ActuatorUnavailableError,
    OutcomeUnknownError,
    RefusedError,
)
from deploymark.ingest.privacy import check_secrets
from deploymark.model.canonical import encode
from deploymark.model.instants import format_instant
from deploymark.model.limits import TEXT_BYTES
from deploymark.model.vocabulary import DECISION
from deploymark.ports import Actuator, Deed, Found, Order, Release, Urgency

TRY_SECONDS: Final = 300
"""How long an actuator that cannot be asked is asked again before the deed has failed."""

AWAY_SECONDS: Final = 30
"""How long it cannot be asked before a person is told: what is shorter repairs itself."""

AWAY: Final = "actuator_away"
"""The code of what is wanted of a rollout whose actuator cannot be asked."""

WITHHELD: Final = "What the actuator said cannot be kept in the log."

_MS: Final = 1_000

Say = Callable[[str, bytes], int]
"""Appends a payload of a type and returns its index."""


def _always() -> bool:
    return True


class Settled(Struct, frozen=True):
    """What became of a deed just now.

    Attributes:
        stage: `executed` or `outcome`; "" while it waits for an actuator that cannot be asked, or
            for somebody else who acts by now.
        outcome: `succeeded`, `failed`, `unknown`, or "".
        index: The entry that says so; None while it waits.
        note: What the actuator said, one sentence.
    """

    stage: str
    outcome: str
    index: int | None
    note: str


class Executor:
    """Brings deeds from `decided` to their outcome; any thread, each deed one at a time.

    Args:
        say: Appends an entry.
    """

    def __init__(self, say: Say) -> None:
        self._say = say
        self._ours: dict[int, int] = {}

    def decide(self, fields: Mapping[str, Any], *, execute: bool) -> int:
        """Write down what was decided, and return its index.

        Args:
            fields: Of a decision, without its stage.
            execute: This process carries it out at once, so that nothing can have happened yet.
        """
        # If we stop before this is durable, nothing was decided; after it, see above.
        index = self._say(DECISION, encode({**fields, "stage": "decided"}))
        if execute:
            self._ours[index] = fields.get("fence", 0)
        return index

    def refuse(self, fields: Mapping[str, Any]) -> int:
        """Write down that what a person asked for does not happen, and return the index.

        Args:
            fields: Of a decision, without its stage; `decision_index` names the request.
        """
        answer = {**fields, "stage": "outcome", "outcome": "failed"}
        return self._say(DECISION, encode(answer))

    def settle(
        self,
        actuator: Actuator,
        order: Order,
        pending: Pending,
        now_ms: int,
        why_not: str = "",
        acts: Callable[[], bool] = _always,
    ) -> Settled:
        """Take a deed one stage further.

        It may take as long as the actuator does. Who acts no more when that has ended says only
        what it did; how it ended is said by who acts then, and looks first.

        Args:
            actuator: Of the service.
            order: What was decided.
            pending: How far it is.
            now_ms: The time.
            why_not: Why it is not carried out any more if it was not yet, "" when it is.
            acts: Tells whether this process is still the one that acts.
        """
        if pending.executed is not None:
            return self._ended(pending, "succeeded", "", now_ms)
        try:
            became, note = self._tried(actuator, order, pending, why_not)
        except ActuatorUnavailableError as error:
            if not acts():
                return Settled("", "", None, error.message)
            return self._waits(pending, order.fence, error.message, now_ms)
        except OutcomeUnknownError as error:
            became, note = "unknown", error.message
        except ActuatorRefusedError as error:
            became, note = "failed", error.message
        except Exception as error:  # noqa: BLE001 - whatever an adapter does, somebody hears of it
            became, note = "unknown", f"{actuator.name} failed by itself: {error!r}."
        if became != "executed" and not acts():
            return Settled("", "", None, note)
        if became == "executed":
            return self._executed(pending, note, now_ms)
        return self._ended(pending, became, note, now_ms)

    def _tried(
        self, actuator: Actuator, order: Order, pending: Pending, why_not: str
    ) -> tuple[str, str]:
        """Look, and carry out what is not so; return `executed` or how it ended, and why."""
        match self._found(actuator, order, pending):
            case Found.DONE:
                return "executed", f"{actuator.name} had done it."
            case Found.UNKNOWN:
                return "unknown", f"Whether {actuator.name} did it cannot be seen."
            case Found.NOT_DONE if why_not:
                return "failed", why_not
            case Found.NOT_DONE:
                return "executed", self._carry_out(actuator, order, pending)

    def _found(self, actuator: Actuator, order: Order, pending: Pending) -> Found:
        """Tell whether a deed is done already; who has just decided it knows that it is not."""
        # Under another holding of the lease than it was decided, somebody else may have acted.
        ours = self._ours.get(pending.index) == order.fence
        return Found.NOT_DONE if ours else actuator.look(order)

    def _carry_out(self, actuator: Actuator, order: Order, pending: Pending) -> str:
        # Whatever happens in there, the next one to come looks first; unless nothing was done.
        self._ours.pop(pending.index, None)
        try:
            return actuator.carry_out(order)
        except ActuatorUnavailableError:
            self._ours[pending.index] = order.fence
            raise

    def _waits(self, pending: Pending, fence: int, why: str, now_ms: int) -> Settled:
        if now_ms - pending.decided_ms <= TRY_SECONDS * _MS:
            return Settled("", "", None, why)
        # Where another process began it, nobody knows that nothing was done.
        outcome = "failed" if self._ours.get(pending.index) == fence else "unknown"
        return self._ended(pending, outcome, why, now_ms)

    def _executed(self, pending: Pending, note: str, now_ms: int) -> Settled:
        fields = _following(pending, "executed", note, now_ms)
        return Settled("executed", "", self._tell(fields), note)

    def end(self, pending: Pending, outcome: str, note: str, now_ms: int) -> int:
        """Write down how a deed ended, and return the index of that entry."""
        fields = _following(pending, "outcome", note, now_ms)
        index = self._tell({**fields, "outcome": outcome})
        self._ours.pop(pending.index, None)
        return index

    def _tell(self, fields: Mapping[str, Any]) -> int:
        try:
            check_secrets(fields.get("reason", ""))
            return self._say(DECISION, encode(fields))
        except RefusedError:
            # An actuator's words may be what no log should keep. What came of the deed must stand
            # there all the same.
            return self._say(DECISION, encode({**fields, "reason": WITHHELD}))

    def _ended(self, pending: Pending, outcome: str, note: str, now_ms: int) -> Settled:
        return Settled("outcome", outcome, self.end(pending, outcome, note, now_ms), note)


def waiting_for(course: Course, pending: Pending, actuator: str, why: str, now_ms: int) -> Intent:
    """Return what is wanted while an actuator cannot be asked; a person is told after a while.

    Args:
        course: Of the rollout.
        pending: What was ordered.
        actuator: Its name.
        why: What it said, or what is known of it.
        now_ms: The time.
    """
    late = now_ms - pending.decided_ms > AWAY_SECONDS * _MS
    return Intent(
        move=Move.HOLD if late else Move.WAIT,
        code=AWAY,
        reason=f"{actuator} cannot do what entry {pending.index} orders: {why}",
        key=f"{course.deployment}:{AWAY}:{pending.index}",
        step=course.step,
        urgency=Urgency.TICKET if late else None,
    )


def order_of(
    course: Course, pending: Pending, canary: Release, stable: Release | None, fence: int
) -> Order:
    """Return what an actuator is told."""
    decision = pending.decision
    weight = {"promote": 100.0, "roll_back": 0.0}.get(decision.action, decision.weight or 0.0)
    return Order(
        deed=Deed(decision.action),
        key=decision.idempotency_key or f"{course.deployment}:{decision.action}:{course.step}",
        service=course.service,
        environment=course.environment,
        canary=canary,
        stable=stable,
        weight=weight,
        reason=decision.reason or "",
        decision_index=pending.index,
        fence=fence,
    )


def clipped(text: str) -> str:
    """Return as much of a text as a reason may hold."""
    return text.encode()[:TEXT_BYTES].decode(errors="ignore")


def _following(pending: Pending, stage: str, note: str, now_ms: int) -> dict[str, Any]:
    """Return the next stage of a decision: what it said, and what came of it."""
    decision = pending.decision
    fields: dict[str, Any] = {
        "action": decision.action,
        "stage": stage,
        "environment": decision.environment,
        "service": decision.service,
        "actor": decision.actor,
        "timestamp": format_instant(now_ms),
        "deployment_id": decision.deployment_id,
        "target_deployment_id": decision.target_deployment_id,
        "decision_index": pending.index,
        "step": decision.step,
        "weight": decision.weight,
        "reason": clipped(note) or None,
        "superseded_by": decision.superseded_by,
    }
    return {name: value for name, value in fields.items() if value is not None}


def why_not_late(pending: Pending, *, automation: bool, overtaken: bool) -> str:
    """Return why what the machine decided is not carried out any more, "" when it is.

    Args:
        pending: What was decided.
        automation: The machine may change something at all.
        overtaken: A later deployment is the newest by now.
    """
    if pending.decision.actor != POLICY:
        return ""
    if not automation:
        return "Automation was switched off before this was carried out."
    if pending.decision.superseded_by is not None or not overtaken:
        return ""  # what makes room for a later one is not overtaken by it
    return "A later deployment came before this was carried out."
