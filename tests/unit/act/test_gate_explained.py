"""The gate says what keeps it from knowing, and what is frozen."""

from collections.abc import Iterator

import pytest
from gate_world import Gate
from msgspec.structs import replace
from rollout_world import PLAN, SCOPE, RolloutWorld

from deploymark.act.plan import Objective
from deploymark.errors import CountsUnavailableError
from deploymark.ports import Cohort


@pytest.fixture
def world() -> Iterator[RolloutWorld]:
    with RolloutWorld() as world:
        yield world


def test_a_source_that_does_not_answer_is_named_by_what_it_keeps_open(
    world: RolloutWorld,
) -> None:
    world.stable()
    plan = replace(PLAN, objective=Objective(target=0.99, window_days=1))
    asked = Gate(world, plans={SCOPE: plan})
    world.traffic.away = True
    answer = asked.look().answer
    said = {each.about: each.reason for each in answer.reasons if each.counts}
    assert said["error_budget"] == "The source is away."
    assert "source" not in said  # once is enough
    assert answer.decision.value == "inconclusive"
    without = Gate(world)
    with pytest.raises(CountsUnavailableError):
        without.hearing.count(Cohort(*SCOPE, ()), (), 0, 0, 1)
    assert without.reasons()["source"] == "unknown"
    world.traffic.away = False
    without.hearing.count(Cohort(*SCOPE, ()), (), 0, 0, 1)
    world.clock.advance(120)
    assert "source" not in without.reasons()


def test_a_freeze_is_said_and_makes_no_other_answer(world: RolloutWorld) -> None:
    world.stable()
    asked = Gate(world)
    before = asked.says()
    world.rule("freeze", service=None, reason="A sale goes on.")
    world.clock.advance(2)
    (frozen,) = [each for each in asked.look().answer.reasons if each.about == "freeze"]
    assert frozen.reason.startswith("Frozen by ada: A sale goes on. Nothing is done by itself")
    assert not frozen.counts
    assert asked.says() == before
    world.rule("unfreeze", service=None)
    world.clock.advance(2)
    assert "freeze" not in {each.about for each in asked.look().answer.reasons}
