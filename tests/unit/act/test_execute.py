"""How a deed comes from its decision to its outcome, once."""

import json
from typing import Any

import pytest

from deploymark.act.course import Course, Pending
from deploymark.act.execute import TRY_SECONDS, WITHHELD, Executor, clipped, order_of
from deploymark.errors import (
    ActuatorRefusedError,
    ActuatorUnavailableError,
    DeploymarkError,
    MarkerError,
    OutcomeUnknownError,
)
from deploymark.model.entries import Decision, decode_entry
from deploymark.model.instants import format_instant
from deploymark.ports import Deed, Found, Order, Release

NOW = 1_795_000_000_000
COURSE = Course("d-2~1", "checkout", "prod", step=1)
CANARY, STABLE = Release("d-2~1", "v2", ""), Release("d-1~1", "v1", "")
FIELDS = {
    "action": "shift",
    "environment": "prod",
    "service": "checkout",
    "deployment_id": "d-2~1",
    "actor": "policy",
    "timestamp": format_instant(NOW),
    "weight": 10,
    "fence": 3,
}


class _Log:
    """Takes what is said, as the log would."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []

    def __call__(self, kind: str, payload: bytes) -> int:
        assert isinstance(decode_entry(payload, kind), Decision)
        self.said.append(json.loads(payload))
        return len(self.said) - 1

    @property
    def stages(self) -> list[str]:
        return [" ".join((each["stage"], each.get("outcome", ""))).strip() for each in self.said]


class _Actuator:
    """Finds what it is told to find, and fails as it is told to."""

    name = "mesh"

    def __init__(self, found: Found = Found.NOT_DONE, error: DeploymarkError | None = None) -> None:
        self.found = found
        self.error = error
        self.looked = 0
        self.done: list[Order] = []

    def look(self, _order: Order) -> Found:
        self.looked += 1
        return self.found

    def carry_out(self, order: Order) -> str:
        if self.error is not None:
            raise self.error
        self.done.append(order)
        return "The route has two parts."


class _Blind(_Actuator):
    def look(self, _order: Order) -> Found:
        raise ActuatorUnavailableError("It is away.")


def _decided(log: _Log, executor: Executor, *, execute: bool = True) -> Pending:
    index = executor.decide(FIELDS, execute=execute)
    decision = decode_entry(json.dumps(log.said[index]).encode(), _TYPE)
    assert isinstance(decision, Decision)
    return Pending(index, decision, NOW)


_TYPE = "application/vnd.deploymark.decision.v1+json"


def _order(pending: Pending, fence: int = 3) -> Order:
    return order_of(COURSE, pending, CANARY, STABLE, fence=fence)


def test_what_was_just_decided_is_carried_out_without_looking() -> None:
    log, actuator = _Log(), _Actuator()
    executor = Executor(log)
    pending = _decided(log, executor)
    settled = executor.settle(actuator, _order(pending), pending, NOW)
    assert (settled.stage, settled.index) == ("executed", 1)
    assert (actuator.looked, len(actuator.done)) == (0, 1)
    assert log.said[1]["decision_index"] == 0


@pytest.mark.parametrize("found", list(Found))
def test_what_somebody_else_decided_is_looked_at_first(found: Found) -> None:
    log, actuator = _Log(), _Actuator(found)
    executor = Executor(log)
    pending = _decided(log, executor, execute=False)
    executor.settle(actuator, _order(pending), pending, NOW)
    assert actuator.looked == 1
    assert len(actuator.done) == (found is Found.NOT_DONE)
    ended = "outcome unknown" if found is Found.UNKNOWN else "executed"
    assert log.stages == ["decided", ended]


def test_who_may_have_been_replaced_meanwhile_looks_at_its_own_deeds_too() -> None:
    log, actuator = _Log(), _Actuator(Found.DONE)
    executor = Executor(log)
    pending = _decided(log, executor)
    executor.settle(actuator, _order(pending, fence=4), pending, NOW)
    assert actuator.done == []
    assert log.stages == ["decided", "executed"]


def test_what_was_executed_ends_well() -> None:
    log, actuator = _Log(), _Actuator()
    executor = Executor(log)
    pending = _decided(log, executor)
    done = Pending(pending.index, pending.decision, NOW, executed=5, executed_ms=NOW)
    executor.settle(actuator, _order(done), done, NOW)
    assert actuator.done == []
    assert log.stages == ["decided", "outcome succeeded"]


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (ActuatorRefusedError("No."), "outcome failed"),
        (OutcomeUnknownError("Who knows."), "outcome unknown"),
    ],
)
def test_what_did_not_go_well_ends_so(error: DeploymarkError, ended: str) -> None:
    log = _Log()
    executor = Executor(log)
    pending = _decided(log, executor)
    executor.settle(_Actuator(error=error), _order(pending), pending, NOW)
    assert log.stages == ["decided", ended]
    assert log.said[1]["reason"] == error.message


def test_an_actuator_that_is_away_is_asked_again_and_not_for_ever() -> None:
    log, actuator = _Log(), _Actuator(error=ActuatorUnavailableError("It is away."))
    executor = Executor(log)
    pending = _decided(log, executor)
    late_ms = NOW + TRY_SECONDS * 1_000
    for now_ms in (NOW, late_ms):
        assert executor.settle(actuator, _order(pending), pending, now_ms).index is None
    executor.settle(actuator, _order(pending), pending, late_ms + 1)
    assert log.stages == ["decided", "outcome failed"]
    assert actuator.looked == 0


def test_what_cannot_be_looked_at_in_time_is_not_known() -> None:
    log = _Log()
    executor = Executor(log)
    pending = _decided(log, executor, execute=False)
    late_ms = NOW + TRY_SECONDS * 1_000 + 1
    executor.settle(_Blind(), _order(pending), pending, late_ms)
    assert log.stages == ["decided", "outcome unknown"]


@pytest.mark.parametrize(
    ("found", "ended"), [(Found.NOT_DONE, "outcome failed"), (Found.DONE, "executed")]
)
def test_what_was_overtaken_is_not_carried_out_any_more(found: Found, ended: str) -> None:
    log, actuator = _Log(), _Actuator(found)
    executor = Executor(log)
    pending = _decided(log, executor, execute=False)
    executor.settle(actuator, _order(pending), pending, NOW, "It was overtaken.")
    assert actuator.done == []
    assert log.stages == ["decided", ended]


def test_a_log_that_is_away_when_it_was_carried_out_lets_it_be_looked_at() -> None:
    log, actuator = _Log(), _Actuator()

    def away(_kind: str, _payload: bytes) -> int:
        raise ActuatorUnavailableError("No matter which.")

    executor = Executor(log)
    pending = _decided(log, executor)
    executor._say = away
    with pytest.raises(ActuatorUnavailableError):
        executor.settle(actuator, _order(pending), pending, NOW)
    executor._say = log
    actuator.found = Found.DONE
    executor.settle(actuator, _order(pending), pending, NOW)
    assert len(actuator.done) == 1
    assert log.stages == ["decided", "executed"]


def test_words_that_the_log_refuses_are_withheld_and_the_outcome_stands() -> None:
    log = _Log()

    def strict(kind: str, payload: bytes) -> int:
        if b"No." in payload:
            raise MarkerError("Not that.")
        return log(kind, payload)

    executor = Executor(strict)
    pending = _decided(log, executor)
    executor.settle(_Actuator(error=ActuatorRefusedError("No.")), _order(pending), pending, NOW)
    assert log.said[1]["outcome"] == "failed"
    assert log.said[1]["reason"] == WITHHELD


def test_a_refusal_answers_a_request_and_decides_nothing() -> None:
    log = _Log()
    Executor(log).refuse({**FIELDS, "action": "promote", "decision_index": 7})
    assert log.stages == ["outcome failed"]
    assert log.said[0]["decision_index"] == 7


@pytest.mark.parametrize(
    ("action", "weight"), [("shift", 10.0), ("promote", 100.0), ("roll_back", 0.0)]
)
def test_an_order_says_what_shall_be(action: str, weight: float) -> None:
    decision = Decision(
        action=action,  # type: ignore[arg-type]
        stage="decided",
        environment="prod",
        actor="policy",
        timestamp=format_instant(NOW),
        weight=10.0 if action == "shift" else None,
        idempotency_key="a-key",
    )
    order = order_of(COURSE, Pending(4, decision, NOW), CANARY, STABLE, fence=3)
    assert (order.deed, order.weight, order.key) == (Deed(action), weight, "a-key")
    assert (order.decision_index, order.fence, order.stable) == (4, 3, STABLE)


def test_a_reason_is_cut_between_letters() -> None:
    assert clipped("ü" * 2_000) == "ü" * 1_024
