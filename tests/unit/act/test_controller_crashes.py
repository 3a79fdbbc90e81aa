"""Whatever stops in between, every deed is done once, or a person hears that nobody knows."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from gate_world import Gate
from rollout_world import RolloutWorld

from deploymark.act.execute import AWAY_SECONDS
from deploymark.errors import (
    ActuatorRefusedError,
    ActuatorUnavailableError,
    OutcomeUnknownError,
)
from deploymark.model.vocabulary import DECISION, MARKER, VERDICT
from deploymark.ports import Found

GOOD, BAD = "promoted", "rolled back"
DEEDS = {GOOD: ["shift", "shift", "promote"], BAD: ["shift", "roll_back"]}
TICK = 5.0
TICKS = {GOOD: 28, BAD: 13}

Disturb = Callable[[RolloutWorld, int], None]


@pytest.fixture
def world() -> Iterator[RolloutWorld]:
    with RolloutWorld() as world:
        world.stable()
        yield world


def _story(end: str, disturb: Disturb) -> tuple[list[str], list[str], list[str]]:
    """Roll out to an end, disturbed at each tick; return deeds, decisions and digests of looks."""
    with RolloutWorld() as world:
        world.stable()
        canary = world.deploy("v2", weight=0)
        world.traffic.errors[canary] = 0.3 if end == BAD else 0.01
        for number in range(TICKS[end]):
            disturb(world, number)
            world.go_on(TICK, TICK)
        looks = [each.inputs_digest for each in world.entries("verdict")]
        return [str(deed) for deed in world.splitter.deeds], world.told(), looks


@cache
def _undisturbed(end: str) -> tuple[list[str], list[str], list[str]]:
    return _story(end, lambda *_: None)


@pytest.mark.parametrize("end", DEEDS)
def test_the_stories_come_to_their_end(end: str) -> None:
    assert _undisturbed(end)[0] == DEEDS[end]


@pytest.mark.parametrize("end", DEEDS)
def test_a_controller_that_is_new_at_every_turn_does_and_says_the_same(end: str) -> None:
    assert _story(end, lambda world, _: world.restart()) == _undisturbed(end)


@pytest.mark.parametrize(
    ("end", "at"), [(end, at) for end, ticks in TICKS.items() for at in range(ticks)]
)
def test_a_restart_at_any_tick_changes_nothing(end: str, at: int) -> None:
    def restart(world: RolloutWorld, number: int) -> None:
        if number == at:
            world.restart()

    assert _story(end, restart) == _undisturbed(end)


@pytest.mark.parametrize("end", DEEDS)
@pytest.mark.parametrize("what", ["decided", "executed", "outcome", "verdict", "shift"])
def test_an_answer_of_the_log_that_is_lost_does_nothing_twice(end: str, what: str) -> None:
    def lose(world: RolloutWorld, number: int) -> None:
        if number % 4 == 0:
            world.lost.add(what)

    deeds, told, _ = _story(end, lose)
    assert deeds == DEEDS[end]
    assert told.count("shift outcome succeeded") == DEEDS[end].count("shift")


@pytest.mark.parametrize("end", DEEDS)
@pytest.mark.parametrize(
    "deaf",
    [DECISION, VERDICT, MARKER],
)
def test_a_log_that_refuses_for_a_while_does_nothing_twice(end: str, deaf: str) -> None:
    def refuse(world: RolloutWorld, number: int) -> None:
        world.deaf = {deaf} if number % 3 else set()

    deeds, told, _ = _story(end, refuse)
    assert deeds == DEEDS[end][: len(deeds)]
    assert len(deeds) > 0
    assert told.count("shift executed") == min(deeds.count("shift"), DEEDS[end].count("shift"))


@pytest.mark.parametrize("end", DEEDS)
def test_of_two_controllers_one_acts(end: str) -> None:
    others: dict[int, Any] = {}

    def both(world: RolloutWorld, _: int) -> None:
        other = others.setdefault(id(world), world.new_controller("two"))
        other.turn()

    deeds, told, looks = _story(end, both)
    assert (deeds, told) == _undisturbed(end)[:2]
    assert len(looks) == len(set(looks))


@pytest.mark.parametrize("end", DEEDS)
@pytest.mark.parametrize("lag", [False, True])
def test_a_lease_that_goes_to_and_fro_does_nothing_twice(
    end: str,
    lag: bool,  # noqa: FBT001 - a case
) -> None:
    others: dict[int, Any] = {}

    def change(world: RolloutWorld, number: int) -> None:
        other = others.setdefault(id(world), world.new_controller("two"))
        world.lag = lag and number % 3 != 0
        for holder in ("one", "two"):
            world.leases.drop("rollouts", holder)
        if number % 2:
            world.turn(other)

    deeds, told, _ = _story(end, change)
    assert deeds == DEEDS[end][: len(deeds)]
    assert told.count("shift decided") == told.count("shift executed")


def test_a_controller_whose_lease_ended_in_a_long_turn_touches_nothing_more() -> None:
    with RolloutWorld(services=("cart", "checkout")) as world:
        for service in ("cart", "checkout"):
            world.stable(service)
        world.deploy("v2", weight=0)
        world.go_on(8)
        world.deploy("v2", weight=0, service="cart")
        while world.told()[-1] != "shift decided":
            world.go_on(1)
        other = world.new_controller("two")

        def meanwhile() -> None:
            world.clock.advance(200)
            for _ in range(3):
                world.turn(other)

        world.splitter.meanwhile = [meanwhile]
        world.go_on(1)
        assert world.splitter.deeds == ["shift", "shift"]
        looks = [
            (each.step, each.look)
            for each in world.entries("verdict")
            if each.service == "checkout"
        ]
        assert looks
        assert len(looks) == len(set(looks))


def test_what_may_stand_in_the_log_is_waited_for_and_not_decided_again(
    world: RolloutWorld,
) -> None:
    world.deploy("v2", weight=0)
    world.lost.add("decided")
    world.lag = True
    world.go_on(10)
    world.lag = False
    world.go_on(10)
    assert world.told().count("shift decided") == 1
    assert world.splitter.deeds == ["shift"]


def test_who_gets_the_lease_back_looks_at_what_another_may_have_done(
    world: RolloutWorld,
) -> None:
    world.deploy("v2", weight=0)
    world.go_on(1)
    assert world.told()[-1] == "shift decided"
    world.leases.drop("rollouts", "one")
    other = world.new_controller("two")
    world.deaf = {DECISION}
    world.turn(other)
    assert world.splitter.deeds == ["shift"]  # and it crashes before it can say so
    world.deaf = set()
    world.leases.drop("rollouts", "two")
    world.go_on(5)
    assert world.splitter.deeds == ["shift"]
    assert world.told()[-1] == "shift outcome succeeded"


def test_a_crash_after_it_was_decided_executes_it_once(world: RolloutWorld) -> None:
    world.deploy("v2", weight=0)
    world.go_on(1)
    assert world.told()[-1] == "shift decided"
    world.restart()
    world.go_on(5)
    assert world.splitter.deeds == ["shift"]
    assert world.told()[-1] == "shift outcome succeeded"


def test_a_crash_after_it_was_carried_out_does_not_carry_it_out_again(
    world: RolloutWorld,
) -> None:
    world.deploy("v2", weight=0)
    world.go_on(1)
    world.deaf = {DECISION}
    world.go_on(1)
    assert world.splitter.deeds == ["shift"]
    world.deaf = set()
    world.restart()
    world.go_on(5)
    assert world.splitter.deeds == ["shift"]
    assert world.told()[-2:] == ["shift executed", "shift outcome succeeded"]


def test_a_crash_of_which_nobody_sees_what_came_of_it_is_told_to_a_person(
    world: RolloutWorld,
) -> None:
    world.deploy("v2", weight=0)
    world.go_on(1)
    world.restart()
    world.splitter.seen = Found.UNKNOWN
    world.go_on(60)
    assert world.splitter.deeds == []
    assert world.told()[-1] == "shift outcome unknown"
    assert world.wants == ("page", "outcome_unknown")


def test_an_actuator_that_cannot_be_asked_after_a_crash_is_no_proof_that_nothing_was_done(
    world: RolloutWorld,
) -> None:
    world.deploy("v2", weight=0)
    world.go_on(1)
    world.restart()
    world.splitter.blind = [ActuatorUnavailableError("It is away.")] * 1_000
    world.go_on(320, tick=5)
    assert world.told()[-1] == "shift outcome unknown"


def test_an_actuator_that_is_away_for_minutes_is_asked_again(world: RolloutWorld) -> None:
    world.splitter.before = [ActuatorUnavailableError("It is away.")] * 120
    world.deploy("v2", weight=0)
    world.go_on(130)
    assert world.splitter.deeds == ["shift"]


def test_an_actuator_that_stays_away_has_not_done_it(world: RolloutWorld) -> None:
    world.splitter.before = [ActuatorUnavailableError("It is away.")] * 1_000
    world.deploy("v2", weight=0)
    world.go_on(400, tick=2)
    assert world.splitter.deeds == []
    assert world.told().count("shift decided") == 1
    assert world.told()[-1] == "shift outcome failed"


def test_an_actuator_that_refuses_is_not_asked_again(world: RolloutWorld) -> None:
    world.splitter.before = [ActuatorRefusedError("There is no such route.")]
    world.deploy("v2", weight=0)
    world.go_on(120)
    assert world.splitter.deeds == []
    assert world.told()[-1] == "shift outcome failed"
    assert world.wants[0] == "hold"


def test_what_may_have_been_done_is_not_done_again_and_a_person_hears_of_it(
    world: RolloutWorld,
) -> None:
    world.splitter.after = [OutcomeUnknownError("The connection broke.")]
    world.deploy("v2", weight=0)
    world.go_on(120)
    assert world.splitter.deeds == ["shift"]
    assert world.told()[-1] == "shift outcome unknown"
    assert world.wants == ("page", "outcome_unknown")


def test_what_an_actuator_says_and_the_log_refuses_does_not_stop_the_rollout(
    world: RolloutWorld,
) -> None:
    secret = "AKIA" + "ABCDEFGHIJKLMNOP"
    world.splitter.before = [ActuatorRefusedError(f"Denied for {secret}.")]
    world.deploy("v2", weight=0)
    world.go_on(10)
    assert world.told()[-1] == "shift outcome failed"
    assert secret not in str(world.entries("decision")[-1])


def test_what_a_later_release_overtook_is_not_carried_out_late(world: RolloutWorld) -> None:
    canary = world.deploy("v2", weight=0)
    world.go_on(1)
    world.clock.advance(1)
    world.deploy("v3", weight=0)
    world.restart()
    world.go_on(20)
    named = [order.canary.deployment for order in world.splitter.orders]
    assert f"{canary}~1" not in named
    assert "shift outcome failed" in world.told()


def test_what_was_decided_is_ordered_also_when_something_else_stands_there_by_then(
    world: RolloutWorld,
) -> None:
    canary = world.deploy("v2", weight=0)
    world.go_on(10)
    world.ask("roll_back", canary, reason="It is bad.")
    world.go_on(1)
    assert world.told()[-1] == "roll_back decided"
    decided = world.entries("decision")[-1].target_deployment_id
    world.say(phase="removed", version="v1", action="ci/checkout/v1")
    world.go_on(5)
    stable = world.splitter.orders[-1].stable
    assert stable is not None
    assert stable.deployment == decided


def test_an_actuator_that_cannot_be_asked_is_told_of_after_a_while_and_until_it_answers(
    world: RolloutWorld,
) -> None:
    world.splitter.before = [ActuatorUnavailableError("It is away.")] * 60
    world.deploy("v2", weight=0)
    rollouts = Gate(world).rollouts

    def told() -> list[tuple[str, bool]]:
        found = rollouts.concerns(world.clock.now_ms())
        return [(each.code.value, each.ended_ms is None) for each in found]

    world.go_on(AWAY_SECONDS)
    assert world.wants == ("wait", "actuator_away")
    assert told() == []
    world.go_on(10)
    assert world.wants == ("hold", "actuator_away")
    assert told() == [("actuator_away", True)]
    world.go_on(60)
    assert world.splitter.deeds == ["shift"]
    assert told() == [("actuator_away", False)]
