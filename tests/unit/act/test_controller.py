"""What the controller does with a rollout, from the first traffic to its end."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from rollout_world import PLAN, SCOPE, RolloutWorld, digest_of

from deploymark.act.plan import MetricPlan
from deploymark.errors import QueryError
from deploymark.ingest.callers import ANONYMOUS
from deploymark.model.vocabulary import MARKER
from deploymark.ports import Deed


@pytest.fixture
def world() -> Iterator[RolloutWorld]:
    with RolloutWorld() as world:
        yield world


def test_a_healthy_release_gets_more_and_more_traffic_and_is_promoted(world: RolloutWorld) -> None:
    world.stable()
    canary = world.deploy("v2", weight=0)
    world.go_on(500)
    assert world.splitter.deeds == ["shift", "shift", "promote"]
    assert [order.weight for order in world.splitter.orders] == [10, 25, 100]
    assert world.deployment(canary)["state"] == "complete"
    assert world.deployment(canary)["phases"]["promoted"]


def test_a_release_that_passed_its_last_step_is_verified_until_a_person_promotes_it(
    world: RolloutWorld,
) -> None:
    world.plans[SCOPE] = replace(PLAN, promotion="person")
    world.restart()
    world.stable()
    canary = world.deploy("v2", weight=0)
    seen = set()
    for _ in range(100):
        world.go_on(5)
        shown = world.deployment(canary)
        seen.add((shown["verdicts"][0]["step"] if shown["verdicts"] else 0, shown["state"]))
    assert world.splitter.deeds == ["shift", "shift"]
    # A pass of the first step verifies nothing.
    assert seen == {(0, "running"), (1, "running"), (2, "running"), (2, "verified")}
    assert {(each.step, each.steps) for each in world.entries("verdict")} == {(1, 2), (2, 2)}
    rolling = world.controller.wanted[SCOPE].intent
    assert rolling.code == "awaits_approval"
    world.ask("promote", canary)
    world.go_on(5)
    assert world.deployment(canary)["state"] == "complete"


def test_a_plan_that_was_cut_short_ends_with_the_step_that_the_rollout_is_at(
    world: RolloutWorld,
) -> None:
    world.plans[SCOPE] = replace(PLAN, promotion="person")
    world.restart()
    world.stable()
    canary = world.deploy("v2", weight=0)
    while world.splitter.deeds != ["shift", "shift"]:
        world.go_on(5)
    looks = len(world.entries("verdict"))
    world.plans[SCOPE] = replace(PLAN, promotion="person", steps=PLAN.steps[:1])
    world.restart()
    world.go_on(300)
    assert {(each.step, each.steps) for each in world.entries("verdict")[looks:]} == {(2, 2)}
    assert world.deployment(canary)["state"] == "verified"


def test_a_release_that_fails_is_rolled_back_and_put_away(world: RolloutWorld) -> None:
    stable = world.stable()
    canary = world.deploy("v2", weight=0)
    world.traffic.errors[canary] = 0.2
    world.go_on(300)
    assert world.splitter.deeds == ["shift", "roll_back"]
    assert world.deployment(canary)["state"] == "rolled_back"
    assert world.deployment(stable)["state"] == "running"
    last = world.told().index("quarantine decided")
    assert world.told()[last + 1 :] == [
        "roll_back decided",
        "roll_back executed",
        "roll_back outcome succeeded",
    ]


def test_a_release_that_is_not_rolled_out_is_neither_looked_at_nor_touched(
    world: RolloutWorld,
) -> None:
    world.stable()
    world.go_on(120)
    assert not world.entries("verdict")
    assert world.told() == ["adopt decided"]
    assert not world.controller.wanted


def test_nothing_is_looked_at_and_nothing_wanted_when_a_rollout_has_ended(
    world: RolloutWorld,
) -> None:
    world.stable()
    world.deploy("v2", weight=0)
    world.go_on(500)
    looks = len(world.entries("verdict"))
    world.go_on(120)
    assert len(world.entries("verdict")) == looks
    assert not world.controller.wanted


def test_what_somebody_else_promoted_is_left_alone(world: RolloutWorld) -> None:
    world.stable()
    world.deploy("v2", weight=0)
    world.go_on(20)
    world.say(phase="promoted", version="v2", action="ci/checkout/v2")
    assert world.splitter.deeds == ["shift"]
    told = world.told()
    world.go_on(200)
    assert world.told() == told
    assert not world.controller.wanted


def test_an_end_that_cannot_be_marked_is_not_said_again_and_again(world: RolloutWorld) -> None:
    world.refused = {MARKER}
    world.stable()
    world.traffic.errors[world.deploy("v2", weight=0)] = 0.3
    world.go_on(120)
    assert world.told()[-1] == "roll_back outcome succeeded"
    assert world.attempts == 2  # rolling back, and rolled back


def test_what_follows_is_asked_after_each_look_however_short_looks_are() -> None:
    plan = replace(PLAN, look_seconds=1, bucket_seconds=1, block_seconds=(1, 5))
    with RolloutWorld(plan) as world:
        world.stable()
        world.deploy("v2", weight=0)
        world.go_on(400)
        assert world.splitter.deeds == ["shift", "shift", "promote"]


def test_a_wrong_digest_keeps_everything_from_happening(world: RolloutWorld) -> None:
    world.stable()
    world.deploy("v2", weight=0, seen="v9")
    world.go_on(700, tick=5)
    assert world.splitter.deeds == []
    assert world.wants == ("hold", "guarded")
    assert "No instance of it was seen to start" in world.controller.wanted[SCOPE].intent.reason


def test_a_wrong_digest_in_the_middle_of_a_rollout_holds_it(world: RolloutWorld) -> None:
    world.stable()
    canary = world.deploy("v2", weight=0)
    world.go_on(20)
    world.say(
        phase="running",
        deployment_id=canary,
        artifact={"digest": digest_of("v2")},
        target={"instance_uid": "checkout-v2-4"},
        evidence={"basis": "observed", "digest": digest_of("v9")},
        emitter={"kind": "orchestrator", "id": "observer"},
    )
    world.traffic.errors[canary] = 0.3
    world.go_on(200)
    assert world.splitter.deeds == ["shift"]
    assert "pause decided" in world.told()
    assert world.wants == ("hold", "canary_failed")


def test_an_instance_that_nobody_announced_does_not_hide_the_rollout(world: RolloutWorld) -> None:
    world.stable()
    canary = world.deploy("v2", weight=0)
    world.go_on(20)
    world.say(
        phase="running",
        artifact={"digest": digest_of("v9")},
        target={"instance_uid": "stray"},
        evidence={"basis": "observed", "digest": digest_of("v9")},
        emitter={"kind": "orchestrator", "id": "observer"},
    )
    world.traffic.errors[canary] = 0.3
    world.go_on(200)
    assert world.splitter.deeds == ["shift", "roll_back"]


def test_markers_of_nobody_move_nothing_where_somebody_is_asked_for(world: RolloutWorld) -> None:
    world.stable()
    world.deploy("v2", weight=0, caller=ANONYMOUS)
    world.go_on(60)
    assert world.splitter.deeds == []
    assert "anonymous" in world.controller.wanted[SCOPE].intent.reason


def test_what_was_put_away_is_not_rolled_out_again(world: RolloutWorld) -> None:
    world.stable()
    canary = world.deploy("v2", weight=0)
    world.traffic.errors[canary] = 0.3
    world.go_on(200)
    assert world.splitter.deeds == ["shift", "roll_back"]
    world.clock.advance(2 * 86_400)
    again = world.deploy("v2", weight=0, action="ci/checkout/v2-again")
    assert again != canary
    world.go_on(120)
    assert world.splitter.deeds == ["shift", "roll_back"]
    assert "put away" in world.controller.wanted[SCOPE].intent.reason
    world.rule("release", deployment_id=f"{canary}~1")
    world.go_on(60)
    assert world.splitter.deeds == ["shift", "roll_back", "shift"]


def test_a_second_failure_of_a_service_in_a_day_is_a_persons(world: RolloutWorld) -> None:
    world.stable()
    world.traffic.errors[world.deploy("v2", weight=0)] = 0.3
    world.go_on(200)
    world.clock.advance(3_600)
    world.traffic.errors[world.deploy("v3", weight=0)] = 0.3
    world.go_on(300)
    assert world.splitter.deeds == ["shift", "roll_back", "shift"]
    assert world.wants == ("hold", "canary_failed")


def test_a_metric_that_makes_no_sense_to_its_source_ends_with_a_person(
    world: RolloutWorld,
) -> None:
    world.stable()
    world.deploy("v2", weight=0)
    world.go_on(20)
    world.traffic.refuses = QueryError("There is no such counter.")
    world.go_on(700, tick=5)
    assert world.splitter.deeds == ["shift"]
    assert world.wants == ("hold", "undecided")
    assert world.entries("verdict")[-1].reasons


def test_a_plan_that_was_changed_in_the_middle_of_a_step_changes_it_not() -> None:
    with RolloutWorld() as world:
        world.stable()
        world.deploy("v2", weight=0)
        world.go_on(20)
        before = world.entries("verdict")
        world.plans[SCOPE] = replace(
            PLAN,
            metrics=(MetricPlan(name="errors"), MetricPlan(name="latency", kind="latency")),
        )
        world.restart()
        world.go_on(30)
        after = [each for each in world.entries("verdict") if each.step == 1]
        assert len(after) > len(before)
        assert {each.plan_digest for each in after} == {before[0].plan_digest}
        assert [each.look for each in after] == list(range(1, len(after) + 1))


def test_three_services_that_fail_together_are_frozen_once_and_not_returned() -> None:
    services = ("cart", "checkout", "search")
    with RolloutWorld(services=services) as world:
        for service in services:
            world.stable(service)
        for service in services:
            world.traffic.errors[world.deploy("v2", weight=0, service=service)] = 0.3
        world.go_on(300)
        assert world.told().count("freeze decided") == 1
        # One was returned before the third failed.
        assert world.splitter.deeds.count(Deed.ROLL_BACK) <= 1


def test_one_service_at_a_time_is_changed_however_many_are_ready() -> None:
    services = ("cart", "checkout", "search")
    with RolloutWorld(services=services) as world:
        for service in services:
            world.stable(service)
        for service in services:
            world.deploy("v2", weight=0, service=service)
        world.go_on(60)
        assert len(world.splitter.orders) >= len(services)
        open_deeds: set[str] = set()
        for said in world.entries("decision"):
            if said.stage == "decided" and said.action == "shift":
                assert not open_deeds, said.service
                open_deeds.add(said.service)
            elif said.stage == "outcome":
                open_deeds.discard(said.service)
