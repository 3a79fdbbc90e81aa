"""What whoever acts is told of what is rolled out, from the views of a real log.

It stands beside the controller because it is asked about rollouts, which its world makes.
"""

from collections.abc import Iterator

import pytest
from rollout_world import ENVIRONMENT, SCOPE, SERVICE, RolloutWorld, digest_of

from deploymark.errors import IdError
from deploymark.ingest.callers import PLATFORM, Caller
from deploymark.model.instants import format_instant
from deploymark.model.vocabulary import DECISION, Role
from deploymark.projections.broker.rolling import Bound, Rolling, RollingQuery


@pytest.fixture
def world() -> Iterator[RolloutWorld]:
    with RolloutWorld() as world:
        yield world


@pytest.fixture
def query(world: RolloutWorld) -> RollingQuery:
    return RollingQuery(world.views)


def _newest(query: RollingQuery) -> Rolling:
    rolling = query.newest(*SCOPE)
    assert rolling is not None
    return rolling


def test_nothing_is_rolled_out_where_nothing_was_deployed(query: RollingQuery) -> None:
    assert query.newest(*SCOPE) is None
    assert query.named(*SCOPE, "d-0gkndpb2v1kx1krspdwsyqej55~1") is None
    assert query.deeds() == query.orders() == query.failed(ENVIRONMENT) == []
    assert query.standing() == {}


def test_a_name_that_is_none_is_refused(query: RollingQuery) -> None:
    with pytest.raises(IdError):
        query.named(*SCOPE, "no name")


def test_a_canary_stands_beside_what_was_live_when_it_came(
    world: RolloutWorld, query: RollingQuery
) -> None:
    stable = world.stable()
    canary = world.deploy("v2", weight=0, instances=3)
    rolling = _newest(query)
    assert rolling.canary.name == f"{canary}~1"
    assert rolling.canary.ids == (canary,)
    assert rolling.canary.bound == Bound(3, 3, 3, 0)
    assert rolling.stable is not None
    assert rolling.stable.name == f"{stable}~1"
    assert rolling.previous is None
    assert [each.said.action for each in rolling.past if hasattr(each.said, "action")] == ["adopt"]


def test_an_intent_is_not_rolled_out(world: RolloutWorld, query: RollingQuery) -> None:
    stable = world.stable()
    world.say(phase="planned", version="v2", action="ci/2", artifact={"digest": digest_of("v2")})
    assert _newest(query).canary.name == f"{stable}~1"


def test_what_nobody_announced_is_not_rolled_out(world: RolloutWorld, query: RollingQuery) -> None:
    stable = world.stable()
    world.say(
        phase="running",
        artifact={"digest": digest_of("v9")},
        target={"instance_uid": "stray"},
        evidence={"basis": "observed", "digest": digest_of("v9")},
        emitter={"kind": "orchestrator", "id": "observer"},
    )
    assert _newest(query).canary.name == f"{stable}~1"


def test_what_replaced_everything_knows_what_it_replaced(
    world: RolloutWorld, query: RollingQuery
) -> None:
    stable = world.stable()
    world.deploy("v2")
    rolling = _newest(query)
    assert rolling.stable is None
    assert rolling.previous is not None
    assert rolling.previous.name == f"{stable}~1"
    assert rolling.previous.is_over
    assert len(rolling.past) == 1


def test_an_older_deployment_stands_beside_what_was_older_still(
    world: RolloutWorld, query: RollingQuery
) -> None:
    stable = world.stable()
    canary = world.deploy("v2", weight=0)
    world.clock.advance(1)
    world.deploy("v3", weight=0)
    rolling = query.named(*SCOPE, f"{canary}~1")
    assert rolling is not None
    assert rolling.stable is not None
    assert rolling.stable.name == f"{stable}~1"


def test_an_instance_that_runs_something_else_is_counted_against_the_deployment(
    world: RolloutWorld, query: RollingQuery
) -> None:
    canary = world.deploy("v2", instances=2)
    world.say(
        phase="running",
        deployment_id=canary,
        target={"instance_uid": "other"},
        evidence={"basis": "observed", "digest": digest_of("v9")},
    )
    assert _newest(query).canary.bound.other == 1


def test_only_what_the_platform_wrote_is_acted_on(world: RolloutWorld, query: RollingQuery) -> None:
    canary = world.deploy("v2", weight=0)
    fields: dict[str, object] = {
        "action": "promote",
        "stage": "approved",
        "environment": ENVIRONMENT,
        "service": SERVICE,
        "deployment_id": f"{canary}~1",
        "actor": "mallory",
        "timestamp": format_instant(world.clock.now_ms()),
    }
    operator = Caller("token:mallory", frozenset({Role.ADMIN, Role.EMITTER, Role.OPERATOR}))
    world.intake.say(DECISION, {**fields, "actor": "ada"}, PLATFORM)
    world.intake.say(DECISION, fields, operator)
    world.runner.catch_up()
    actors = [each.said.actor for each in query.deeds() if hasattr(each.said, "actor")]
    assert actors == ["ada"]
    assert len(_newest(query).ruled) == 1


def test_what_was_read_before_is_told_again_with_what_came_since(
    world: RolloutWorld, query: RollingQuery
) -> None:
    canary = world.deploy("v2", weight=0)
    world.ask("pause", canary)
    assert len(query.deeds()) == 1
    world.ask("resume", canary)
    world.rule("freeze")
    assert query.deeds() == RollingQuery(world.views).deeds()
    assert [each.idx for each in query.deeds()] == sorted(each.idx for each in query.deeds())
    assert query.orders() == RollingQuery(world.views).orders()
    assert len(query.orders()) == 1


def test_a_deployment_is_looked_up_again_only_when_something_came_since(
    world: RolloutWorld, query: RollingQuery
) -> None:
    name = f"{world.deploy('v2', weight=0)}~1"
    before = _newest(query)
    assert query.newest(*SCOPE) is before
    known = query.named(*SCOPE, name)
    assert known is query.named(*SCOPE, name)
    world.rule("freeze")
    assert _newest(query) is not before
    assert _newest(query) == RollingQuery(world.views).newest(*SCOPE)
    assert query.named(*SCOPE, name) == known


def test_the_newest_failures_of_an_environment_are_told(world: RolloutWorld) -> None:
    world.stable()
    world.traffic.errors[world.deploy("v2", weight=0)] = 0.3
    world.go_on(60)
    query = RollingQuery(world.views)
    assert query.failed(ENVIRONMENT)
    assert query.failed("test") == []


def test_a_migration_counts_from_when_it_went_live(
    world: RolloutWorld, query: RollingQuery
) -> None:
    def say(phase: str) -> None:
        fields = {"kind": "schema_migration", "key": "orders", "revision": "7", "action": "ci/m"}
        world.say(phase=phase, **fields)  # type: ignore[arg-type]

    say("applying")
    world.clock.advance(600)
    since_ms = world.clock.now_ms()
    world.clock.advance(600)
    assert query.migrations(*SCOPE, since_ms) == []
    say("applied")
    (document,) = query.migrations(*SCOPE, since_ms)
    assert document["schema"]["step"] is None
    assert query.migrations(*SCOPE, world.clock.now_ms() + 1) == []


def test_who_stands_where_changes_with_every_deployment(
    world: RolloutWorld, query: RollingQuery
) -> None:
    world.stable()
    before = query.standing()
    assert before.keys() == {SCOPE}
    world.deploy("v2", weight=0)
    assert query.standing() != before
