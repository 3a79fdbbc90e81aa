"""A newer deployment of a service that comes while an older canary has traffic."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from rollout_world import PLAN, SCOPE, RolloutWorld
from test_requests import People

from deploymark.act.plan import RollBackPlan
from deploymark.act.scene import Terms
from deploymark.errors import ActionRefusedError, ActuatorRefusedError, OutcomeUnknownError
from deploymark.ports import Deed

RETURNED = ["roll_back decided", "roll_back executed", "roll_back outcome succeeded"]


@pytest.fixture
def world() -> Iterator[RolloutWorld]:
    with RolloutWorld() as world:
        world.stable()
        yield world


def _overtaken(world: RolloutWorld) -> tuple[str, str]:
    """Let a newer release come while an older canary has traffic; return the ids of both."""
    older = world.deploy("v2", weight=0)
    while world.splitter.deeds != ["shift"]:
        world.go_on(1)
    world.go_on(3)
    newer = world.deploy("v3", weight=0)
    return older, newer


def _rates(world: RolloutWorld) -> dict[str, float]:
    return world.traffic.changes[-1][1]


def _reason(world: RolloutWorld) -> str:
    return world.controller.wanted[SCOPE].intent.reason


def test_the_older_canary_gives_its_traffic_back_before_the_newer_gets_any(
    world: RolloutWorld,
) -> None:
    older, newer = _overtaken(world)
    world.go_on(60)
    orders = [(order.deed, order.canary.deployment) for order in world.splitter.orders]
    assert orders[1:3] == [(Deed.ROLL_BACK, f"{older}~1"), (Deed.SHIFT, f"{newer}~1")]
    assert _rates(world)[older] == 0
    (decided,) = [
        each
        for each in world.entries("decision")
        if (each.action, each.stage) == ("roll_back", "decided")
    ]
    assert decided.superseded_by == f"{newer}~1"
    assert decided.actor == "policy"
    assert decided.reason == f"{newer}~1 came while it was on its way."
    assert {each.name for each in decided.guards} >= {"target", "blast_radius", "exposure", "once"}
    assert all(each.held for each in decided.guards)
    told = world.told()
    assert told[told.index(RETURNED[0]) :][:3] == RETURNED


def test_the_newer_release_goes_all_the_way_without_waiting_for_a_cool_down(
    world: RolloutWorld,
) -> None:
    _, newer = _overtaken(world)
    world.go_on(400)
    assert world.splitter.deeds == ["shift", "roll_back", "shift", "shift", "promote"]
    assert world.deployment(newer)["phases"]["promoted"]


def test_what_made_room_is_neither_put_away_nor_marked_as_bad(world: RolloutWorld) -> None:
    older, newer = _overtaken(world)
    world.go_on(400)
    assert "quarantine decided" not in world.told()
    assert not {"rolling_back", "rolled_back"} & set(world.deployment(older)["phases"])
    assert world.deployment(older)["state"] == "superseded"
    shown = People(world).rollouts.show(older)
    assert (shown["ended"], shown["superseded_by"]) == ("rolled_back", f"{newer}~1")


def test_what_made_room_is_not_marked_as_bad_either_when_the_newer_one_is_gone(
    world: RolloutWorld,
) -> None:
    older, _ = _overtaken(world)
    while world.told()[-1] != RETURNED[-1]:
        world.go_on(1)
    world.say(phase="removed", version="v3", action="ci/checkout/v3")
    world.go_on(10)
    assert not {"rolling_back", "rolled_back"} & set(world.deployment(older)["phases"])


def test_what_made_room_does_not_count_as_the_one_rollback_of_the_day(world: RolloutWorld) -> None:
    _, newer = _overtaken(world)
    world.traffic.errors[newer] = 0.3
    world.go_on(200)
    assert world.splitter.deeds == ["shift", "roll_back", "shift", "roll_back"]
    assert world.deployment(newer)["state"] == "rolled_back"


def test_a_failing_canary_that_a_person_was_to_return_makes_room_for_its_repair() -> None:
    # The machine does not roll back a second time in a day, but nobody waits for that here.
    with RolloutWorld() as world:
        world.stable()
        world.traffic.errors[world.deploy("v2", weight=0)] = 0.3
        world.go_on(120)
        world.clock.advance(3_600)
        older = world.deploy("v3", weight=0)
        world.traffic.errors[older] = 0.3
        world.go_on(120)
        assert world.wants == ("hold", "canary_failed")
        newer = world.deploy("v4", weight=0)
        world.go_on(30)
        assert world.splitter.orders[-2].canary.deployment == f"{older}~1"
        assert world.splitter.orders[-1].canary.deployment == f"{newer}~1"


def test_an_older_canary_without_traffic_is_in_nobodys_way(world: RolloutWorld) -> None:
    world.rule("freeze", service=None, reason="A sale goes on.")
    world.deploy("v2", weight=0)
    world.go_on(5)
    newer = world.deploy("v3", weight=0)
    world.rule("unfreeze", service=None)
    world.go_on(5)
    assert [each.canary.deployment for each in world.splitter.orders] == [f"{newer}~1"]


@pytest.mark.parametrize(
    ("terms", "plan", "why"),
    [
        (Terms(), replace(PLAN, roll_back=RollBackPlan(automatic=False)), "to a person"),
        (
            Terms(),
            replace(PLAN, roll_back=RollBackPlan(max_traffic=5, recovery_seconds=60)),
            "above 5 % a person decides",
        ),
    ],
)
def test_where_a_guard_stands_against_it_a_person_is_asked_and_nothing_moves(
    terms: Terms, plan: object, why: str
) -> None:
    with RolloutWorld(plan, terms) as world:  # type: ignore[arg-type]
        world.stable()
        older, newer = _overtaken(world)
        world.go_on(30)
        assert world.splitter.deeds == ["shift"]
        assert world.wants == ("hold", "superseded")
        assert why in _reason(world)
        assert f"{older}~1 has 10 % of the traffic still" in _reason(world)
        shown = People(world).rollouts.show(newer)
        assert shown["wants"]["urgency"] == "ticket"
        assert shown["wants"]["older_deployment_id"] == f"{older}~1"
        # The person can do it, although this is not the newest deployment any more.
        People(world).ask("roll_back", older)
        world.go_on(30)
        assert world.splitter.deeds == ["shift", "roll_back", "shift"]
        assert _rates(world)[older] == 0


def test_of_an_older_deployment_without_traffic_nothing_can_be_asked(world: RolloutWorld) -> None:
    older, _ = _overtaken(world)
    world.go_on(60)
    with pytest.raises(ActionRefusedError):
        People(world).ask("roll_back", older)


def test_a_return_that_was_refused_is_a_persons_and_the_newer_waits(world: RolloutWorld) -> None:
    older = world.deploy("v2", weight=0)
    world.go_on(6)
    world.splitter.before = [ActuatorRefusedError("The route is locked.")]
    world.deploy("v3", weight=0)
    world.go_on(60)
    assert world.splitter.deeds == ["shift"]
    assert world.wants == ("hold", "superseded")
    assert "was refused" in _reason(world)
    People(world).ask("roll_back", older)
    world.go_on(30)
    assert world.splitter.deeds == ["shift", "roll_back", "shift"]


def test_an_older_canary_of_which_nobody_knows_what_it_has_keeps_the_newer_waiting(
    world: RolloutWorld,
) -> None:
    world.splitter.after = [OutcomeUnknownError("The connection broke.")]
    older = world.deploy("v2", weight=0)
    world.go_on(6)
    assert world.told()[-1] == "shift outcome unknown"
    world.deploy("v3", weight=0)
    world.go_on(30)
    assert world.splitter.deeds == ["shift"]
    assert world.wants == ("page", "outcome_unknown")
    People(world).ask("roll_back", older)
    world.go_on(30)
    assert world.splitter.deeds == ["shift", "roll_back", "shift"]


def test_a_return_that_does_not_help_keeps_the_newer_from_beginning(world: RolloutWorld) -> None:
    older, _ = _overtaken(world)
    while Deed.ROLL_BACK not in world.splitter.deeds:
        world.go_on(1)
    world.traffic.share({older: 20.0})  # its traffic does not leave
    world.go_on(120)
    assert world.told()[-1] == "roll_back outcome failed"
    assert world.splitter.deeds == ["shift", "roll_back"]
    assert world.wants == ("hold", "superseded")


def test_a_person_who_promotes_the_newer_release_waits_for_no_return(world: RolloutWorld) -> None:
    _, newer = _overtaken(world)
    world.ask("promote", newer, reason="I looked at it.")
    world.go_on(30)
    assert world.splitter.deeds == ["shift", "promote"]


def test_a_restart_at_any_second_returns_the_older_canary_once() -> None:
    for at in range(12):
        with RolloutWorld() as world:
            world.stable()
            _overtaken(world)
            world.go_on(at)
            world.restart()
            world.go_on(60 - at)
            assert world.splitter.deeds[:3] == ["shift", "roll_back", "shift"]
            assert world.told().count("roll_back decided") == 1
