"""People are told of what the machine stopped, and of what it may not or cannot do by itself."""

from collections.abc import Iterator

import pytest
from gate_world import Gate
from msgspec.structs import replace
from rollout_world import PLAN, SCOPE, RolloutWorld

from deploymark.act.plan import Objective, WithoutControl

OBJECTIVE = Objective(target=0.99)
BURNT = replace(PLAN, objective=OBJECTIVE)


@pytest.fixture
def world() -> Iterator[RolloutWorld]:
    with RolloutWorld(BURNT) as world:
        yield world


class Ears:
    """Whoever is told of a world's rollouts."""

    def __init__(self, world: RolloutWorld) -> None:
        self._world = world
        self._rollouts = Gate(world).rollouts

    def told(self) -> dict[str, bool]:
        """Return what was told, by its code, and whether it lasts."""
        found = self._rollouts.concerns(self._world.clock.now_ms())
        return {each.code.value: each.ended_ms is None for each in found}


def test_a_budget_that_burns_in_a_rollout_pauses_it_and_is_told_until_somebody_resumes(
    world: RolloutWorld,
) -> None:
    stable, ears = world.stable(), Ears(world)
    canary = world.deploy("v2", weight=0)
    # The canary is no worse than what runs beside it: both burn.
    world.traffic.errors |= {stable: 0.08, canary: 0.08}
    world.go_on(60)
    assert "pause decided" in world.told()
    assert ears.told() == {"budget_burning": True}
    world.ask("resume", canary)
    world.go_on(5)
    assert ears.told() == {"budget_burning": False}


def test_a_return_that_has_no_target_is_told_beside_the_failure(world: RolloutWorld) -> None:
    stable, ears = world.deploy("v1"), Ears(world)
    world.traffic.share({stable: 200.0})
    world.clock.advance(400)
    canary = world.deploy("v2", weight=0)
    world.traffic.errors[canary] = 0.4
    world.go_on(90)
    assert world.splitter.deeds == ["shift"]
    told = ears.told()
    assert told["canary_failed"]
    assert told["guard_held"]


def test_a_return_for_the_budget_that_nothing_carries_out_is_told() -> None:
    rule = replace(PLAN.roll_back, without_control=WithoutControl())
    with RolloutWorld(replace(BURNT, roll_back=rule)) as world:
        old, ears = world.stable(), Ears(world)
        del world.actuators[SCOPE]
        world.restart()
        new = world.deploy("v2")
        world.traffic.errors[new] = 0.4
        world.traffic.share({old: 0.0, new: 200.0})
        world.go_on(90)
        assert world.wants == ("roll_back", "budget_burns")
        assert ears.told()["budget_burning"]
