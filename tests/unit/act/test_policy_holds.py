"""A rollout does not begin while a rule that denies does not pass."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from gate_world import FREEZE, Gate, stable_of
from rollout_world import SCOPE, RolloutWorld, digest_of

from deploymark.act.intent import Move
from deploymark.judge.policy import BudgetRule, OwnerRule, Rule
from deploymark.ports import Deed


@contextmanager
def policed(*rules: Rule) -> Iterator[tuple[RolloutWorld, Gate]]:
    """Yield a world whose controller asks a policy before it begins."""
    with RolloutWorld() as world:
        gate = Gate(world, rules)
        world.objection = gate.gating.objection
        world.controller = world.new_controller("one")
        yield world, gate


HELD = {
    "a rule that fails": (FREEZE, "frozen: It is "),
    "a rule that nobody can answer": (BudgetRule(name="left"), "left: How much of the error"),
}


@pytest.mark.parametrize(("rule", "said"), HELD.values(), ids=HELD)
def test_a_rollout_is_held_by(rule: Rule, said: str) -> None:
    with policed(rule) as (world, _):
        stable_of(world)
        world.deploy("v2", weight=0)
        world.go_on(120)
        assert world.splitter.deeds == []
        wanted = world.controller.wanted[SCOPE].intent
        assert (wanted.move, wanted.code) == (Move.HOLD, "policy")
        assert said in wanted.reason
        assert "shift" not in str(world.told())


def test_a_rule_that_only_warns_holds_nothing() -> None:
    with policed(OwnerRule(name="owner", effect="warn")) as (world, _):
        stable_of(world)
        world.deploy("v2", weight=0)
        world.go_on(20)
        assert world.splitter.deeds == [Deed.SHIFT]


def test_what_was_taken_back_does_not_begin() -> None:
    with policed() as (world, _):
        stable_of(world)
        first = world.store.head().size
        world.deploy("v2", weight=0)
        for index in range(first, world.store.head().size):
            world.retract(index)
        world.go_on(20)
        assert world.splitter.deeds == []
        assert "was retracted, at last by " in world.controller.wanted[SCOPE].intent.reason


def test_it_begins_once_the_rule_passes() -> None:
    with policed(OwnerRule(name="owner")) as (world, _):
        stable_of(world)
        canary = world.deploy("v2", weight=0)
        world.go_on(20)
        assert world.splitter.deeds == []
        world.say(
            phase="planned",
            artifact={"digest": digest_of("v2")},
            version="v2",
            deployment_id=canary,
            owner="team:shop",
            emitter={"kind": "ci", "id": "deploy.yml"},
        )
        world.go_on(20)
        assert world.splitter.deeds == [Deed.SHIFT]


def test_it_begins_when_a_person_breaks_the_glass() -> None:
    with policed(FREEZE) as (world, gate):
        stable_of(world)
        canary = world.deploy("v2", weight=0)
        world.go_on(20)
        assert world.splitter.deeds == []
        gate.break_glass(canary)
        world.go_on(20)
        assert world.splitter.deeds == [Deed.SHIFT]


def test_what_has_begun_is_not_held_by_a_window_that_closes() -> None:
    with policed() as (world, _):
        stable_of(world)
        world.deploy("v2", weight=0)
        world.go_on(20)
        world.objection = Gate(world, [FREEZE]).gating.objection
        world.restart()
        world.go_on(400)
        assert world.splitter.deeds == [Deed.SHIFT, Deed.SHIFT, Deed.PROMOTE]


def test_a_person_is_told_once_it_has_waited_as_long_as_the_plan_bears() -> None:
    with policed(FREEZE) as (world, _):
        stable_of(world)
        world.deploy("v2", weight=0)
        world.go_on(20)
        assert world.controller.wanted[SCOPE].intent.urgency is None
        world.clock.advance(world.plan.max_wait_seconds)
        world.go_on(2)
        assert world.controller.wanted[SCOPE].intent.urgency == "ticket"
