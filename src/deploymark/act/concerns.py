"""What people should know of rollouts, from what was ruled and from what is wanted now. Pure.

What the log says has its times there: a canary that failed and was rolled back within a second is
told after a restart as well. What a rollout waits for is nowhere written; it is told as long as it
is so, and that it was is remembered by this process alone (`Lately`).
"""

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct, structs

from deploymark.act.alerts import HORIZON_MS, AlertCode, Concern, key_of
from deploymark.act.course import DEEDS, POLICY, SUCCEEDED
from deploymark.act.execute import AWAY
from deploymark.act.intent import Intent, Move
from deploymark.judge.verdict import Advice
from deploymark.model.entries import Decision, Verdict
from deploymark.model.instants import parse_instant
from deploymark.projections.broker.rolling import Ruled

_STOPS: Final = frozenset({"pause", "roll_back"})
_BAD: Final = frozenset({Advice.PAUSE.value, Advice.ROLL_BACK.value})
_TOLD: Final = {
    "undecided": AlertCode.VERDICT_OPEN,
    "outcome_unknown": AlertCode.OUTCOME_UNKNOWN,
    "not_carried_out": AlertCode.OUTCOME_UNKNOWN,
    "recovery_failed": AlertCode.RECOVERY_FAILED,
    "canary_failed": AlertCode.CANARY_FAILED,
    "budget_burns": AlertCode.BUDGET_BURNING,
    "left_behind": AlertCode.LEFT_BEHIND,
    AWAY: AlertCode.ACTUATOR_AWAY,
}
_WAITS: Final = frozenset({Move.HOLD, Move.PAGE})
_UNTIL_RESUMED: Final = (
    AlertCode.CANARY_FAILED,
    AlertCode.GUARD_HELD,
    AlertCode.BUDGET_BURNING,
    AlertCode.OUTCOME_UNKNOWN,
    AlertCode.RECOVERY_FAILED,
    AlertCode.ROLLOUT_HELD,
)


NEWEST: Final = 2**63 - 1
"""More entries than any log has."""


class Wanted(Struct, frozen=True):
    """What the controller wants of a rollout, and since when it has wanted that.

    Attributes:
        intent: What.
        since_ms: Since when.
        as_of: How many entries the views had seen when it was last thought of.
    """

    intent: Intent
    since_ms: int
    as_of: int = NEWEST


class _Open:
    """The concerns about one deployment, while its entries are gone through."""

    def __init__(self, service: str, environment: str, deployment: str) -> None:
        self._about = (service, environment, deployment)
        self._open: dict[AlertCode, Concern] = {}
        self.over: list[Concern] = []

    def begin(self, code: AlertCode, seen: str, at_ms: int, index: int) -> None:
        known = self._open.get(code)
        if known is None:
            self._open[code] = Concern(code, *self._about, seen, at_ms, None, (index,))
        else:
            self._open[code] = structs.replace(known, seen=seen)

    def end(self, at_ms: int, *codes: AlertCode) -> None:
        for code in codes or tuple(self._open):
            known = self._open.pop(code, None)
            if known is not None:
                self.over.append(structs.replace(known, ended_ms=at_ms))

    def all(self) -> list[Concern]:
        return [*self.over, *self._open.values()]


def of_rollout(
    service: str, environment: str, deployment: str, ruled: Iterable[Ruled]
) -> list[Concern]:
    """Return what was ruled about one deployment that people should know.

    Args:
        service: Of the deployment.
        environment: Of the deployment.
        deployment: `d-…~1`.
        ruled: In the order of the log.
    """
    found = _Open(service, environment, deployment)
    executed: set[int] = set()
    advised: dict[int | None, str] = {}
    for each in ruled:
        at_ms = parse_instant(each.received_at)
        if isinstance(each.said, Verdict):
            advised[each.idx] = each.said.advice
            if each.said.advice in _BAD:
                seen = f"Look {each.said.look} says {each.said.result}, score {each.said.score:g}."
                found.begin(AlertCode.CANARY_FAILED, seen, at_ms, each.idx)
            continue
        said = each.said
        if said.stage == "executed" and said.decision_index is not None:
            executed.add(said.decision_index)
        if _is_for_budget(said, advised.get(said.verdict_index)):
            found.begin(AlertCode.BUDGET_BURNING, said.reason or "", at_ms, each.idx)
        _after(found, said, at_ms, each.idx, is_executed=said.decision_index in executed)
    return found.all()


def _is_for_budget(said: Decision, advice: str | None) -> bool:
    """Tell whether the machine stopped or returned a rollout although its verdict was not bad.

    Then it was for the budget: there is no other reason, and the entry has no word for it.
    """
    mine = said.stage == "decided" and said.actor == POLICY
    return mine and said.action in _STOPS and advice is not None and advice not in _BAD


def _after(found: _Open, said: Decision, at_ms: int, index: int, *, is_executed: bool) -> None:
    if said.break_glass and said.stage == "decided":
        found.begin(AlertCode.GLASS_BROKEN, _told_by(said), at_ms, index)
        found.end(at_ms, AlertCode.GLASS_BROKEN)
    if said.stage == "outcome":
        _ended(found, said, at_ms, index, is_executed=is_executed)
    elif said.stage == "decided" and said.action in DEEDS:
        # Somebody acts again, so what was not known before matters no more.
        found.end(at_ms, AlertCode.OUTCOME_UNKNOWN)
    elif said.stage == "decided" and said.action == "resume":
        found.end(at_ms, *_UNTIL_RESUMED)
    elif said.stage == "decided" and said.action == "pause" and said.actor == POLICY:
        held_back = [each for each in said.guards or () if not each.held]
        if held_back:
            why = " ".join(each.reason or each.name for each in held_back)
            found.begin(AlertCode.GUARD_HELD, why, at_ms, index)


def _told_by(said: Decision) -> str:
    """Return who asked and why; the reason of an answered request begins with that already."""
    reason = said.reason or ""
    told = reason if reason.startswith(f"{said.actor} ") else f"{said.actor}: {reason}"
    return told if told.endswith((".", "!", "?")) else f"{told}."


def _ended(found: _Open, said: Decision, at_ms: int, index: int, *, is_executed: bool) -> None:
    if said.outcome == SUCCEEDED and said.action != "shift":
        found.end(at_ms)
    elif said.outcome == "unknown":
        found.begin(AlertCode.OUTCOME_UNKNOWN, said.reason or "", at_ms, index)
    elif said.outcome == "failed" and said.action == "roll_back":
        code = AlertCode.RECOVERY_FAILED if is_executed else AlertCode.GUARD_HELD
        found.begin(code, said.reason or "", at_ms, index)
    elif said.outcome == "failed" and said.action in DEEDS:
        # That nothing was paused or resumed is told whoever asked; the rollout waits for nobody.
        found.begin(AlertCode.ROLLOUT_HELD, said.reason or "", at_ms, index)


def of_wanted(wanted: Wanted, service: str, environment: str, deployment: str) -> list[Concern]:
    """Return what a rollout waits for, if somebody is to be told.

    Args:
        wanted: What the controller wants.
        service: Of the deployment.
        environment: Of the deployment.
        deployment: `d-…~1`.
    """
    intent = wanted.intent
    # Where nothing carries a return out, a person must; elsewhere it is ordered within a moment.
    returns = intent.move is Move.ROLL_BACK and intent.automatic
    if intent.urgency is None or not (intent.move in _WAITS or returns):
        return []
    code = _TOLD.get(intent.code, AlertCode.ROLLOUT_HELD)
    return [Concern(code, service, environment, deployment, intent.reason, wanted.since_ms)]


class Lately:
    """Remembers what was told of the present alone, so that its end is told too.

    After a restart nothing of it is known; who was told before hears no end, and an Alertmanager
    takes it to be over after a while.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], Concern] = {}

    def after(self, found: Iterable[Concern], now_ms: int) -> list[Concern]:
        """Return what lasts now, and what was over within `HORIZON_MS`.

        Args:
            found: What is so now; what was so and is not among it is over.
            now_ms: Milliseconds since the Unix epoch.
        """
        now = {(key_of(each), each.began_ms): each for each in found}
        for place, known in self._known.items():
            if place not in now:
                over = known.ended_ms is not None
                now[place] = known if over else structs.replace(known, ended_ms=now_ms)
        self._known = {
            place: each
            for place, each in now.items()
            if each.ended_ms is None or now_ms - each.ended_ms <= HORIZON_MS
        }
        return list(self._known.values())


def of_orders(orders: Iterable[Ruled]) -> Iterator[Concern]:
    """Yield the freezes that the machine made, and when a person lifted them."""
    standing: dict[str, Concern] = {}
    for each in orders:
        said, at_ms = each.said, parse_instant(each.received_at)
        if not isinstance(said, Decision):
            continue
        if said.action == "freeze" and said.actor == POLICY:
            standing.setdefault(
                said.environment,
                Concern(
                    AlertCode.AUTOMATION_FROZEN,
                    "",
                    said.environment,
                    "",
                    said.reason or "",
                    at_ms,
                    None,
                    (each.idx,),
                ),
            )
        elif said.action == "unfreeze" and said.service is None:
            thawed = [name for name in standing if said.environment in ("*", name)]
            for name in thawed:
                yield structs.replace(standing.pop(name), ended_ms=at_ms)
    yield from standing.values()
