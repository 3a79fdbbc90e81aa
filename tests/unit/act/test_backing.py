"""Who stands behind the markers of a deployment, as the log knows it now."""

from collections.abc import Iterator

import pytest
from rollout_world import ENVIRONMENT, SCOPE, SERVICE, RolloutWorld, digest_of

from deploymark.act.backing import LogBacking
from deploymark.act.gather import Backing
from deploymark.ingest.callers import ANONYMOUS, PLATFORM
from deploymark.ingest.key_entries import revocation
from deploymark.model.instants import format_instant
from deploymark.model.vocabulary import Assurance
from deploymark.projections.broker.rolling import RollingQuery, Side
from deploymark.testing.whole_log import producer, sign


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


@pytest.mark.parametrize("before", [False, True])
def test_a_key_that_is_revoked_from_before_it_spoke_stands_behind_nothing(
    world: RolloutWorld,
    before: bool,  # noqa: FBT001 - a case
) -> None:
    key = producer("ci")
    world.log.register(key, "ci")
    marker = {
        "phase": "applied",
        "artifact": {"digest": digest_of("v1")},
        "environment": ENVIRONMENT,
        "service": SERVICE,
        "timestamp": format_instant(world.clock.now_ms()),
        "action": "ci/1",
        "emitter": {"kind": "ci"},
    }
    (entry,) = world.log.append(sign(marker, key))
    world.runner.catch_up()
    backed = LogBacking(world.store, world.log.ring)
    assert backed(_canary(world)) == Backing(Assurance.SIGNED, in_scope=True)
    since = entry.index if before else None
    world.log.append_key(revocation(key.key_id, world.clock.now_ms(), distrust_from=since))
    assert backed(_canary(world)) == Backing(Assurance.SIGNED, in_scope=not before)


def _first(side: Side) -> int:
    return int(side.document["joins"][0]["index"])
