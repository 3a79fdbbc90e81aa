"""Who stands behind the markers of a deployment, as the log knows it now."""

from collections.abc import Iterator

import pytest
from rollout_world import SCOPE, RolloutWorld, digest_of

from deploymark.act.backing import LogBacking
from deploymark.act.gather import Backing
from deploymark.ingest.callers import ANONYMOUS, PLATFORM
from deploymark.model.vocabulary import Assurance
from deploymark.projections.broker.rolling import RollingQuery, Side


@pytest.fixture
def world() -> Iterator[RolloutWorld]:
    with RolloutWorld() as world:
        yield world


def _canary(world: RolloutWorld) -> Side:
    rolling = RollingQuery(world.views).newest(*SCOPE)
    assert rolling is not None
    return rolling.canary


def _backing(world: RolloutWorld) -> Backing:
    return LogBacking(world.store, world.log.ring)(_canary(world))


def test_what_a_known_caller_announced_is_attributed(world: RolloutWorld) -> None:
    world.deploy("v1")
    assert _backing(world) == Backing(Assurance.ATTRIBUTED, in_scope=True)


def test_the_weakest_word_counts(world: RolloutWorld) -> None:
    canary = world.deploy("v1")
    world.say(
        ANONYMOUS,
        phase="applying",
        deployment_id=canary,
        artifact={"digest": digest_of("v1")},
        emitter={"kind": "ci"},
    )
    assert _backing(world).assurance is Assurance.ANONYMOUS


def test_who_calls_itself_the_platform_is_none(world: RolloutWorld) -> None:
    canary = world.deploy("v1")
    world.say(
        ANONYMOUS,
        phase="applying",
        deployment_id=canary,
        artifact={"digest": digest_of("v1")},
        emitter={"kind": "platform"},
    )
    assert _backing(world).assurance is Assurance.ANONYMOUS


def test_what_the_platform_says_of_it_stands_behind_nobody(world: RolloutWorld) -> None:
    canary = world.deploy("v1", caller=ANONYMOUS)
    world.say(
        PLATFORM,
        phase="promoted",
        deployment_id=canary,
        artifact={"digest": digest_of("v1")},
        emitter={"kind": "platform"},
    )
    assert _backing(world).assurance is Assurance.ANONYMOUS


def test_what_only_instances_say_is_announced_by_nobody(world: RolloutWorld) -> None:
    canary = world.deploy("v1")
    side = _canary(world)
    joins = [each for each in side.document["joins"] if each["index"] != _first(side)]
    unannounced = side._replace(document={**side.document, "joins": joins})
    assert canary
    assert LogBacking(world.store, world.log.ring)(unannounced) == Backing(None, None)


def _first(side: Side) -> int:
    return int(side.document["joins"][0]["index"])
