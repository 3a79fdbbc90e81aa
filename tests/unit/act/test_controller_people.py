"""What people ask of a rollout, and what the controller answers: always something."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from rollout_world import PLAN, SCOPE, RolloutWorld

from deploymark.act.gather import course_of
from deploymark.act.plan import StepPlan
from deploymark.errors import ActuatorRefusedError, OutcomeUnknownError
from deploymark.projections.broker.rolling import RollingQuery


@pytest.fixture
def world() -> Iterator[RolloutWorld]:
    with RolloutWorld() as world:
        world.stable()
        yield world


def _answers(world: RolloutWorld, index: int) -> list[str]:
    """Return what answers a request."""
    return [
        " ".join(filter(None, (each.action, each.stage, each.outcome)))
        for each in world.entries("decision")
        if each.decision_index == index
    ]


def _asked(world: RolloutWorld, deployment: str) -> list[int]:
    rolling = RollingQuery(world.views).named(*SCOPE, f"{deployment}~1")
    assert rolling is not None
    return [each.index for each in course_of(rolling).asked]


def test_a_person_pauses_and_resumes(world: RolloutWorld) -> None:
    canary = world.deploy("v2", weight=0)
    world.go_on(10)
    paused = world.ask("pause", canary, reason="Let me look.")
    world.go_on(300, tick=5)
    assert world.splitter.deeds == ["shift"]
    assert world.wants == ("hold", "paused")
    assert _answers(world, paused) == ["pause decided"]
    resumed = world.ask("resume", canary, reason="It is fine.")
    world.go_on(300, tick=5)
    assert _answers(world, resumed) == ["resume decided"]
    assert world.splitter.deeds == ["shift", "shift", "promote"]


def test_a_failing_canary_is_rolled_back_also_while_it_is_paused(world: RolloutWorld) -> None:
    canary = world.deploy("v2", weight=0)
    world.go_on(10)
    world.ask("pause", canary, reason="Let me look.")
    world.traffic.errors[canary] = 0.3
    world.go_on(200)
    assert world.splitter.deeds == ["shift", "roll_back"]


def test_a_person_promotes_what_was_not_proven(world: RolloutWorld) -> None:
    canary = world.deploy("v2", weight=0)
    world.go_on(10)
    asked = world.ask("promote", canary, reason="We need it now.")
    world.go_on(10)
    assert world.splitter.deeds == ["shift", "promote"]
    assert _answers(world, asked) == ["promote decided"]
    assert world.entries("decision")[-1].actor == "ada"
    assert world.deployment(canary)["phases"]["promoted"]


def test_a_person_returns_to_the_old_release(world: RolloutWorld) -> None:
    canary = world.deploy("v2", weight=0)
    world.go_on(10)
    asked = world.ask("roll_back", canary, reason="The button is gone.")
    world.go_on(60)
    assert world.splitter.deeds == ["shift", "roll_back"]
    assert _answers(world, asked) == ["roll_back decided"]
    assert world.deployment(canary)["state"] == "rolled_back"


def test_a_person_approves_where_the_plan_asks_for_one() -> None:
    plan = replace(PLAN, steps=(StepPlan(weight=10, approval=True),))
    with RolloutWorld(plan) as world:
        world.stable()
        canary = world.deploy("v2", weight=0)
        world.go_on(200, tick=2)
        assert world.splitter.deeds == ["shift"]
        assert world.wants == ("hold", "awaits_approval")
        world.ask("approve", canary, step=1)
        world.go_on(20)
        assert world.splitter.deeds == ["shift", "promote"]
        assert world.entries("decision")[-1].actor == "ada"


def test_a_request_that_makes_no_sense_is_refused_in_the_log_and_only_once(
    world: RolloutWorld,
) -> None:
    canary = world.deploy("v2", weight=0)
    world.go_on(10)
    asked = world.ask("resume", canary, reason="Go on.")
    world.go_on(20)
    assert _answers(world, asked) == ["resume outcome failed"]
    assert "going" in world.entries("decision")[-1].reason
    assert not _asked(world, canary)


def test_pausing_twice_is_pausing_once(world: RolloutWorld) -> None:
    canary = world.deploy("v2", weight=0)
    world.go_on(10)
    world.ask("pause", canary, reason="Wait.")
    world.go_on(5)
    second = world.ask("pause", canary, reason="Wait!", actor="bob")
    world.go_on(5)
    assert _answers(world, second) == ["pause decided"]
    rolling = RollingQuery(world.views).named(*SCOPE, f"{canary}~1")
    assert rolling is not None
    assert course_of(rolling).paused_by == "ada"
    world.ask("resume", canary, reason="Go on.")
    world.go_on(300, tick=5)
    assert world.splitter.deeds == ["shift", "shift", "promote"]


def test_a_request_about_a_release_that_was_replaced_is_answered_too(world: RolloutWorld) -> None:
    canary = world.deploy("v2", weight=0)
    world.go_on(10)
    world.clock.advance(1)
    world.deploy("v3", weight=0)
    asked = world.ask("pause", canary, reason="Wait.")
    world.go_on(5)
    assert _answers(world, asked)
    assert not _asked(world, canary)


def test_a_request_without_an_actuator_is_refused_and_not_forgotten(world: RolloutWorld) -> None:
    world.actuators.clear()
    canary = world.deploy("v2", weight=0)
    world.go_on(10)
    assert world.wants == ("shift", "begins")
    asked = world.ask("promote", canary, reason="Now.")
    world.go_on(5)
    assert _answers(world, asked) == ["promote outcome failed"]
    assert "by hand" in world.entries("decision")[-1].reason


def test_words_that_are_too_long_for_the_log_are_cut_and_not_lost(world: RolloutWorld) -> None:
    canary = world.deploy("v2", weight=0)
    world.go_on(10)
    asked = world.ask("pause", canary, reason="ü" * 1_024)
    world.go_on(5)
    assert _answers(world, asked) == ["pause decided"]


@pytest.mark.parametrize("error", [ActuatorRefusedError, OutcomeUnknownError])
def test_after_a_deed_that_did_not_succeed_nothing_follows_before_a_person_resumes(
    world: RolloutWorld, error: type[ActuatorRefusedError | OutcomeUnknownError]
) -> None:
    world.splitter.before.append(error("The mesh did not answer as it should."))
    canary = world.deploy("v2", weight=0)
    world.go_on(120)
    assert world.splitter.deeds == []
    assert world.told().count("shift decided") == 1
    world.ask("resume", canary, reason="I mended the mesh.")
    world.go_on(120)
    assert world.splitter.deeds[0] == "shift"


def test_a_crash_between_putting_away_and_returning_forgets_no_request(
    world: RolloutWorld,
) -> None:
    world.terms = replace(world.terms, automation=False)
    world.restart()
    canary = world.deploy("v2", weight=0)
    world.ask("approve", canary)
    world.traffic.errors[canary] = 0.3
    world.go_on(60)
    assert world.splitter.deeds == ["shift"]
    asked = world.ask("roll_back", canary, reason="It is bad.")
    world.lost.add("quarantine")
    world.go_on(30)
    assert not world.lost
    assert world.splitter.deeds == ["shift", "roll_back"]
    assert _answers(world, asked) == ["roll_back decided"]


def test_a_promoted_release_is_returned_to_the_one_that_it_replaced(world: RolloutWorld) -> None:
    canary = world.deploy("v2", weight=0)
    world.go_on(500, tick=2)
    assert world.splitter.deeds[-1] == "promote"
    asked = world.ask("roll_back", canary, reason="It is slow.")
    world.go_on(60)
    assert _answers(world, asked) == ["roll_back decided"]
    stable = world.splitter.orders[-1].stable
    assert stable is not None
    assert stable.version == "v1"
    assert world.deployment(canary)["state"] == "rolled_back"


def test_a_promoted_release_that_replaced_an_unknown_one_is_returned_by_who_breaks_the_glass() -> (
    None
):
    with RolloutWorld() as world:
        stable = world.deploy("v1")
        world.traffic.share({stable: 200.0})
        world.clock.advance(400)
        canary = world.deploy("v2", weight=0)
        world.go_on(500, tick=2)
        assert world.splitter.deeds[-1] == "promote"
        refused = world.ask("roll_back", canary, reason="It is slow.")
        world.go_on(10)
        assert _answers(world, refused) == ["roll_back outcome failed"]
        assert "runs beside it" not in world.entries("decision")[-1].reason
        asked = world.ask("roll_back", canary, reason="It is slow.", break_glass=True)
        world.go_on(60)
        assert _answers(world, asked) == ["roll_back decided"]
