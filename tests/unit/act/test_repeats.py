"""A request that is sent once more is written once; another one never passes for it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from rollout_world import SCOPE, RolloutWorld

from deploymark.act.rollouts import ActionRequest, Rollouts
from deploymark.errors import ActionRefusedError, QueryError
from deploymark.ingest.callers import PLATFORM
from deploymark.model.vocabulary import DECISION
from deploymark.projections.broker.rolling import RollingQuery


@pytest.fixture
def world() -> Iterator[RolloutWorld]:
    with RolloutWorld() as world:
        yield world


@pytest.fixture
def rollouts(world: RolloutWorld) -> Rollouts:
    return Rollouts(
        {SCOPE: world.plan},
        RollingQuery(world.views),
        world.store,
        lambda _: b"",
        lambda fields: world.intake.say(DECISION, dict(fields), PLATFORM).index,
        lambda: world.controller.wanted,
        next_looks=lambda: world.controller.next_looks,
        silence=lambda _: "",
    )


def freeze(place: str = "prod", key: str | None = "k1", reason: str = "storm") -> ActionRequest:
    return ActionRequest(action="freeze", environment=place, idempotency_key=key, reason=reason)


@pytest.mark.parametrize("is_seen", [False, True], ids=["before-views", "in-views"])
def test_the_same_request_again_is_the_same_entry(
    world: RolloutWorld, rollouts: Rollouts, *, is_seen: bool
) -> None:
    index = rollouts.ask(freeze(), "ada", 0)
    if is_seen:
        world.runner.catch_up()
    assert rollouts.ask(freeze(), "ada", 5) == index
    assert rollouts.ask(freeze(key=None), "ada", 5) > index


@pytest.mark.parametrize("is_seen", [False, True], ids=["before-views", "in-views"])
@pytest.mark.parametrize(
    "other",
    [freeze("staging"), freeze(reason="flood")],
    ids=["place", "reason"],
)
def test_another_request_does_not_pass_for_the_one_that_bears_its_key(
    world: RolloutWorld, rollouts: Rollouts, other: ActionRequest, *, is_seen: bool
) -> None:
    index = rollouts.ask(freeze(), "ada", 0)
    if is_seen:
        world.runner.catch_up()
    with pytest.raises(ActionRefusedError, match=f"belongs to another request, in entry {index}"):
        rollouts.ask(other, "ada", 5)


def test_several_people_approve_with_one_key(world: RolloutWorld, rollouts: Rollouts) -> None:
    world.deploy("v1")
    named = world.deploy("v2")
    asked = ActionRequest(action="approve", deployment_id=named, idempotency_key="k", step=0)
    indexes = [rollouts.ask(asked, person, 0) for person in ("ana", "ben", "ana")]
    assert indexes[2] == indexes[0] != indexes[1]
    with pytest.raises(ActionRefusedError, match="belongs to another request"):
        rollouts.ask(
            ActionRequest(action="approve", deployment_id=named, idempotency_key="k", step=1),
            "ana",
            0,
        )


def test_retries_that_overtake_each_other_are_one_request(
    world: RolloutWorld, rollouts: Rollouts
) -> None:
    together = Barrier(8)

    def ask(number: int) -> int:
        together.wait()
        return rollouts.ask(freeze(key=f"k{number}"), "ada", 0)

    for number in range(20):
        with ThreadPoolExecutor(8) as people:
            found = set(people.map(ask, [number] * 8))
        assert len(found) == 1
    written = [each.action for each in world.entries("decision")]
    assert written.count("freeze") == 20


@pytest.mark.parametrize("key", ["", " "])
def test_an_empty_key_is_refused(rollouts: Rollouts, key: str) -> None:
    with pytest.raises(QueryError, match="not empty"):
        rollouts.ask(freeze(key=key), "ada", 0)


def test_who_breaks_the_glass_says_why_in_words(world: RolloutWorld, rollouts: Rollouts) -> None:
    named = world.deploy("v1")
    asked = ActionRequest(action="roll_back", deployment_id=named, reason=" \t", break_glass=True)
    with pytest.raises(QueryError, match="says why"):
        rollouts.ask(asked, "ada", 0)
