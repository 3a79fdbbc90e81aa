"""What the controller does where everything is switched at once, and nothing runs beside it."""

from msgspec.structs import replace
from rollout_world import PLAN, SCOPE, RolloutWorld

from deploymark.act.plan import Objective, RollBackPlan, RolloutPlan, WithoutControl

RULE = WithoutControl(burn=2.0, minutes=5)
OBJECTIVE = Objective(target=0.98)
SWITCHED = replace(PLAN, objective=OBJECTIVE)
RULED = replace(
    SWITCHED, roll_back=RollBackPlan(recovery_seconds=60, max_traffic=25, without_control=RULE)
)
COLOURS = replace(SWITCHED, strategy="blue_green", steps=())
RULED_COLOURS = replace(RULED, strategy="blue_green", steps=())


def _switch(world: RolloutWorld, errors: float) -> str:
    """Deploy a release that gets all of the traffic at once."""
    stable = world.stable()
    canary = world.deploy("v2")
    world.traffic.errors[canary] = errors
    world.traffic.share({canary: 200.0, stable: 0.0})
    return canary


def _cut_over(plan: RolloutPlan, world: RolloutWorld, errors: float) -> str:
    assert world.plan == plan
    world.stable()
    canary = world.deploy("v2", weight=0)
    world.traffic.errors[canary] = errors
    world.go_on(30)
    assert world.splitter.deeds == []
    assert world.wants == ("hold", "awaits_approval")
    world.ask("approve", canary)
    world.go_on(5)
    assert world.splitter.deeds == ["shift"]
    assert world.splitter.orders[0].weight == 100
    return canary


def test_a_switch_of_everything_without_a_rule_is_not_looked_at() -> None:
    with RolloutWorld(SWITCHED) as world:
        _switch(world, errors=0.5)
        world.go_on(120)
        assert world.splitter.deeds == []
        assert not world.entries("verdict")
        assert not world.controller.wanted


def test_a_switch_of_everything_that_burns_the_budget_is_returned_by_a_written_rule() -> None:
    with RolloutWorld(RULED) as world:
        canary = _switch(world, errors=0.5)
        world.go_on(200)
        assert world.splitter.deeds == ["roll_back"]
        stable = world.splitter.orders[0].stable
        assert stable is not None
        assert stable.version == "v1"
        assert world.told()[-1] == "roll_back outcome succeeded"
        assert world.deployment(canary)["state"] == "rolled_back"


def test_a_switch_of_everything_that_is_well_is_left_alone_when_the_rule_has_ended() -> None:
    with RolloutWorld(RULED) as world:
        _switch(world, errors=0.001)
        world.go_on(280, tick=5)
        looks = len(world.entries("verdict"))
        assert looks > 0
        assert world.splitter.deeds == []
        world.go_on(200, tick=5)
        assert len(world.entries("verdict")) <= looks + 3
        assert not world.controller.wanted


def test_a_cutover_waits_for_a_person_and_then_for_a_proof_that_there_cannot_be() -> None:
    with RolloutWorld(COLOURS) as world:
        _cut_over(COLOURS, world, errors=0.001)
        world.go_on(700, tick=5)
        assert world.splitter.deeds == ["shift"]
        assert world.wants == ("hold", "undecided")
        assert "no_control" in world.entries("verdict")[-1].reasons


def test_a_cutover_that_burns_the_budget_without_a_rule_is_a_persons() -> None:
    with RolloutWorld(COLOURS) as world:
        canary = _cut_over(COLOURS, world, errors=0.5)
        world.go_on(120)
        assert world.splitter.deeds == ["shift"]
        assert "pause decided" in world.told()
        world.ask("roll_back", canary, reason="It burns.")
        world.go_on(60)
        assert world.splitter.deeds == ["shift", "roll_back"]


def test_a_cutover_that_burns_the_budget_is_cut_back_by_a_written_rule() -> None:
    with RolloutWorld(RULED_COLOURS) as world:
        canary = _cut_over(RULED_COLOURS, world, errors=0.5)
        world.go_on(200)
        assert world.splitter.deeds == ["shift", "roll_back"]
        assert world.deployment(canary)["state"] == "rolled_back"


def test_a_budget_that_burns_pauses_a_canary() -> None:
    with RolloutWorld(SWITCHED) as world:
        stable = world.stable()
        canary = world.deploy("v2", weight=0)
        for name in (stable, canary):
            world.traffic.errors[name] = 0.3  # both: the release is not the cause
        world.go_on(200)
        assert world.splitter.deeds == ["shift"]
        assert "pause decided" in world.told()
        assert SCOPE in world.controller.wanted


def test_a_clock_that_jumps_does_not_end_a_written_rule_in_silence() -> None:
    with RolloutWorld(RULED) as world:
        world.go_on(1)
        _switch(world, errors=0.001)
        world.go_on(30)
        world.jump(3_600)
        world.go_on(30)
        assert world.wants == ("hold", "clock_jumped")
