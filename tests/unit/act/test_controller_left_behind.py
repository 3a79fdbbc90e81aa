"""A canary that its own pipeline gives up while it has traffic."""

from collections.abc import Iterator

import pytest
from rollout_world import SCOPE, RolloutWorld
from test_requests import People

from deploymark.act.alerts import AlertCode
from deploymark.act.concerns import of_wanted
from deploymark.cli.canary_show import next_of
from deploymark.ports import Deed, Urgency


@pytest.fixture
def world() -> Iterator[RolloutWorld]:
    with RolloutWorld() as world:
        world.stable()
        yield world


def _given_up(world: RolloutWorld, phase: str = "failed") -> str:
    """Let a canary get traffic, and its pipeline say that it is over; return its id."""
    canary = world.deploy("v2", weight=0)
    while world.splitter.deeds != ["shift"]:
        world.go_on(1)
    world.say(
        phase=phase, version="v2", action="ci/checkout/v2", emitter={"kind": "ci", "id": "ci"}
    )
    world.go_on(5)
    return canary


@pytest.mark.parametrize("phase", ["failed", "removed"])
def test_a_person_is_asked_to_return_its_traffic(world: RolloutWorld, phase: str) -> None:
    canary = _given_up(world, phase)
    assert world.deployment(canary)["state"] == phase
    assert world.wants == ("hold", "left_behind")
    assert world.splitter.deeds == ["shift"], "The machine takes nothing back by itself."
    wanted = People(world).rollouts.show(canary)["wants"]
    assert "10 % of the traffic" in wanted["reason"]
    (concern,) = of_wanted(world.controller.wanted[SCOPE], *SCOPE, f"{canary}~1")
    assert concern.code is AlertCode.LEFT_BEHIND
    assert world.controller.wanted[SCOPE].intent.urgency is Urgency.PAGE


def test_it_is_listed_beside_what_is_rolled_out(world: RolloutWorld) -> None:
    canary = _given_up(world)
    listed = [each["deployment_id"] for each in People(world).rollouts.newest()]
    assert listed[1:] == [f"{canary}~1"]
    shown = People(world).rollouts.show(canary)
    assert [what for what, _ in next_of(shown)] == ["Return to the old release:"]


def test_the_person_can_return_it_and_is_asked_no_more(world: RolloutWorld) -> None:
    canary = _given_up(world)
    People(world).ask("roll_back", canary)
    world.go_on(70)
    assert world.splitter.deeds == ["shift", "roll_back"]
    assert world.traffic.changes[-1][1][canary] == 0
    assert SCOPE not in world.controller.wanted
    assert People(world).rollouts.show(canary)["ended"] == "rolled_back"


def test_after_a_restart_the_person_is_asked_again(world: RolloutWorld) -> None:
    _given_up(world)
    world.restart()
    world.go_on(1)
    assert world.wants == ("hold", "left_behind")


def test_a_newer_release_goes_on_beside_it(world: RolloutWorld) -> None:
    _given_up(world)
    newer = world.deploy("v3", weight=0)
    world.go_on(10)
    assert [order.deed for order in world.splitter.orders] == [Deed.SHIFT, Deed.SHIFT]
    assert world.splitter.orders[-1].canary.deployment == f"{newer}~1"


def test_one_that_was_promoted_before_it_failed_is_left_alone(world: RolloutWorld) -> None:
    canary = world.deploy("v2", weight=0)
    world.go_on(400)
    assert world.splitter.deeds[-1] == "promote"
    world.say(
        phase="failed", version="v2", action="ci/checkout/v2", emitter={"kind": "ci", "id": "ci"}
    )
    world.go_on(5)
    assert world.deployment(canary)["state"] == "failed"
    assert SCOPE not in world.controller.wanted
