"""What the controller does with a rollout, from the first traffic to its end."""

from collections.abc import Iterator

import pytest
from rollout_world import RolloutWorld


@pytest.fixture
def world() -> Iterator[RolloutWorld]:
    with RolloutWorld() as world:
        yield world


def _stable(world: RolloutWorld) -> str:
    """Let a release run for a while that is good to return to."""
    stable = world.deploy("v1")
    world.adopt(stable)
    world.traffic.share({stable: 200.0})
    world.clock.advance(400)
    return stable


def test_a_healthy_release_gets_more_and_more_traffic_and_is_promoted(world: RolloutWorld) -> None:
    _stable(world)
    canary = world.deploy("v2", weight=0)
    world.go_on(500)
    assert world.splitter.deeds == ["shift", "shift", "promote"]
    assert world.deployment(canary)["state"] == "running"
    assert world.deployment(canary)["phases"]["promoted"]


def test_a_release_that_fails_is_rolled_back(world: RolloutWorld) -> None:
    stable = _stable(world)
    canary = world.deploy("v2", weight=0)
    world.traffic.errors[canary] = 0.2
    world.go_on(300)
    assert world.splitter.deeds == ["shift", "roll_back"]
    assert world.deployment(canary)["state"] == "rolled_back"
    assert world.deployment(stable)["state"] == "running"
