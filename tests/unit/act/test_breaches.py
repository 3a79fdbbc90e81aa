"""Budgets are looked at when a deployment came: what is told, asked, and what cannot be seen."""

import logging
from collections.abc import Iterator
from itertools import pairwise

import pytest
from msgspec.structs import replace
from rollout_world import PLAN, SCOPE, RolloutWorld

from deploymark.act.breaches import REACH_MS, Breaches, grain_of
from deploymark.act.plan import BurnPlan, MetricPlan, Objective, RolloutPlan
from deploymark.errors import MarkerError, QueryError
from deploymark.projections.broker.gated import Arrival, GateQuery

OBJECTIVE = Objective(target=0.99)
PLANNED = replace(PLAN, objective=OBJECTIVE)
MINUTE = 60_000


@pytest.fixture
def world() -> Iterator[RolloutWorld]:
    with RolloutWorld() as world:
        yield world


class Looking:
    """Looks at the budgets of a world, as the server does."""

    def __init__(self, world: RolloutWorld, plan: RolloutPlan = PLANNED) -> None:
        self.world = world
        self.plan = plan
        self.restart()

    def restart(self) -> None:
        """Go on with one that remembers nothing."""
        sources = {"telemetry": self.world.traffic}
        query = GateQuery(self.world.views)
        self.breaches = Breaches({SCOPE: self.plan}, sources, query, self.world.meter)

    def look(self, minutes: int = 0) -> list[tuple[str, str, bool]]:
        """Let time pass, a look each minute; return code, deployment and whether it lasts."""
        for _ in range(minutes):
            self.world.clock.advance(60)
            self.breaches.look(self.world.clock.now_ms())
        self.breaches.look(self.world.clock.now_ms())
        return [
            (each.code.value, each.deployment, each.ended_ms is None)
            for each in self.breaches.concerns
        ]


def replaced(world: RolloutWorld, errors: float) -> tuple[str, str]:
    """Let a good release run for an hour, and another one take its place; return both."""
    old = world.deploy("v1")
    world.traffic.errors[old] = 0.0
    world.traffic.share({old: 2.0})
    world.clock.advance(3_600)
    new = world.deploy("v2")
    world.traffic.errors[new] = errors
    world.traffic.share({old: 0.0, new: 2.0})
    return old, new


def test_a_budget_breaks_and_a_release_regresses_and_both_are_over(world: RolloutWorld) -> None:
    _, new = replaced(world, errors=1.0)
    looking = Looking(world)
    assert looking.look(1) == []
    breached, regressed = (
        (code, f"{new}~1", True) for code in ("budget_breached", "production_regressed")
    )
    assert set(looking.look(14)) == {breached, regressed}
    (found,) = (each for each in looking.breaches.concerns if "breach" in each.code)
    first = found.began_ms
    assert found.seen.endswith("it did not burn so before.")

    # Killed, and back: the same is found, with the same beginning.
    looking.restart()
    assert set(looking.look()) == {breached, regressed}
    (again,) = {each.began_ms for each in looking.breaches.concerns if "breach" in each.code}
    assert again == first

    # Another release takes its place and is well.
    third = world.deploy("v3")
    world.traffic.errors[third] = 0.0
    world.traffic.share({new: 0.0, third: 2.0})
    assert set(looking.look(40)) == {(*each[:2], False) for each in (breached, regressed)}


def test_what_is_well_is_told_nothing_of(world: RolloutWorld) -> None:
    replaced(world, errors=0.0)
    assert Looking(world).look(20) == []


def test_a_service_without_an_objective_is_never_counted(world: RolloutWorld) -> None:
    replaced(world, errors=1.0)
    world.traffic.refuses = MarkerError("It was asked.")
    assert Looking(world, PLAN).look(15) == []


def test_a_service_to_which_nothing_came_lately_is_not_counted(world: RolloutWorld) -> None:
    old = world.deploy("v1")
    world.traffic.share({old: 2.0})
    world.clock.advance(REACH_MS // 1_000 + 60)
    world.traffic.refuses = MarkerError("It was asked.")
    assert Looking(world).look(2) == []


def asked_of(world: RolloutWorld) -> list[tuple[int, int]]:
    """Note for which times the source is asked from now on."""
    asked: list[tuple[int, int]] = []
    count = world.traffic.count

    def counting(*words: object) -> object:
        asked.append(words[2:4])  # type: ignore[arg-type]  # since and until
        return count(*words)  # type: ignore[arg-type]

    world.traffic.count = counting  # type: ignore[method-assign,assignment]
    return asked


def test_every_request_is_counted_once_and_nothing_is_asked_twice(world: RolloutWorld) -> None:
    replaced(world, errors=1.0)
    asked, looking = asked_of(world), Looking(world)
    looking.look(5)
    assert [until - since for since, until in asked[1:]] == [MINUTE] * 4
    assert all(one[1] == two[0] for one, two in pairwise(asked))
    looking.look()
    assert len(asked) == 5


def test_what_is_not_complete_is_not_counted_yet(world: RolloutWorld) -> None:
    replaced(world, errors=1.0)
    asked, looking = asked_of(world), Looking(world)
    to_the_minute = MINUTE - world.clock.now_ms() % MINUTE
    world.clock.advance(to_the_minute / 1_000)
    looking.look()
    assert asked[-1][1] == world.clock.now_ms() - MINUTE
    world.clock.advance(world.traffic.lag_ms / 1_000)
    looking.look()
    assert asked[-1][1] == world.clock.now_ms() - world.traffic.lag_ms


def test_everything_is_counted_again_when_the_service_has_another_id(world: RolloutWorld) -> None:
    replaced(world, errors=0.0)
    asked, looking = asked_of(world), Looking(world)
    looking.look(2)
    world.deploy("v3")
    looking.look(1)
    first, _, again = asked
    assert again[0] == first[0]


def test_what_ran_for_long_before_a_deployment_is_counted_too(world: RolloutWorld) -> None:
    old = world.deploy("v1")
    world.traffic.errors[old] = 0.0
    world.traffic.share({old: 2.0})
    world.clock.advance(REACH_MS / 1_000 + 600)
    new, came_ms = world.deploy("v2"), world.clock.now_ms()
    world.traffic.errors[new] = 1.0
    world.traffic.share({old: 0.0, new: 2.0})
    looking = Looking(world)
    looking.look(15)
    (breach,) = (each for each in looking.breaches.concerns if "breach" in each.code)
    assert breach.deployment == f"{new}~1"
    assert breach.began_ms - came_ms > 8 * MINUTE  # of an hour that was well
    assert breach.seen.endswith("it did not burn so before.")


def test_a_breach_is_told_of_for_36_hours(world: RolloutWorld) -> None:
    _, new = replaced(world, errors=1.0)
    looking = Looking(world)
    assert ("budget_breached", f"{new}~1", True) in looking.look(15)
    world.clock.advance(REACH_MS / 1_000)
    assert ("budget_breached", f"{new}~1", False) in looking.look()


def test_what_is_kept_stays_right_when_the_oldest_deployment_is_forgotten(
    world: RolloutWorld,
) -> None:
    first = world.deploy("v0")
    world.traffic.errors[first] = 0.0
    world.traffic.share({first: 0.5})
    world.clock.advance(REACH_MS / 1_000 - 3_900)
    replaced(world, errors=1.0)
    looking = Looking(world)
    looking.look(15)
    kept = looking.breaches.concerns
    looking.restart()
    looking.look()
    assert looking.breaches.concerns == kept != ()


def test_what_cannot_be_counted_ends_nothing_and_is_said_once(
    world: RolloutWorld, caplog: pytest.LogCaptureFixture
) -> None:
    replaced(world, errors=1.0)
    looking = Looking(world)
    before = looking.look(15)
    assert len(before) == 2
    world.traffic.away = True
    with caplog.at_level(logging.WARNING):
        assert looking.look(10) == before
    assert [record.message for record in caplog.records] == ["a budget cannot be seen"]
    assert world.meter.counts["deploymark_budgets_unseen_total{code=counts_unavailable}"] == 10
    world.traffic.away = False
    with caplog.at_level(logging.WARNING):
        assert looking.look(1) == before
    assert caplog.records[-1].message == "a budget is seen again"


def test_what_makes_no_sense_to_a_source_is_said_too(
    world: RolloutWorld, caplog: pytest.LogCaptureFixture
) -> None:
    replaced(world, errors=1.0)
    world.traffic.refuses = QueryError("No such selector.")
    with caplog.at_level(logging.WARNING):
        assert Looking(world).look(2) == []
    assert "No such selector." in caplog.records[0].__dict__["why"]


def test_a_service_of_which_no_request_is_counted_tells_nothing_and_is_named_once(
    world: RolloutWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world.deploy("v1")
    looking = Looking(world)
    with caplog.at_level(logging.WARNING):
        assert looking.look(5) == []
    (record,) = caplog.records
    assert record.message == "a budget cannot be seen"
    assert record.__dict__["service"] == SCOPE[0]


@pytest.mark.parametrize(
    ("bucket", "short", "grain"),
    [(10, 300, 60), (10, 30, 10), (60, 300, 60), (1, 5, 1), (7, 300, 56)],
)
def test_parts_are_whole_buckets_and_several_make_a_window(
    bucket: int, short: int, grain: int
) -> None:
    pages = (BurnPlan(rate=2, long_seconds=3_600, short_seconds=short),)
    plan = replace(PLAN, bucket_seconds=bucket)
    assert grain_of(plan, replace(OBJECTIVE, pages=pages)) == grain * 1_000


def test_the_metric_of_the_objective_is_counted(world: RolloutWorld) -> None:
    replaced(world, errors=1.0)
    asked: set[str] = set()
    count = world.traffic.count

    def counting(*words: object) -> object:
        asked.update(each.name for each in words[1])  # type: ignore[attr-defined]
        return count(*words)  # type: ignore[arg-type]

    world.traffic.count = counting  # type: ignore[method-assign,assignment]
    metrics = (MetricPlan(name="errors"), MetricPlan(name="orders"))
    Looking(
        world, replace(PLANNED, metrics=metrics, objective=replace(OBJECTIVE, metric="orders"))
    ).look(1)
    assert asked == {"orders"}


# What came --------------------------------------------------------------------------------------


def arrived(world: RolloutWorld, since_ms: int = 0) -> list[Arrival]:
    return GateQuery(world.views).arrived(*SCOPE, since_ms)


def test_deployments_arrive_when_they_are_more_than_an_intent(world: RolloutWorld) -> None:
    began = world.clock.now_ms()
    one = world.deploy("v1")
    world.clock.advance(60)
    planned = world.say(phase="planned", version="v2", action="ci/v2")
    assert arrived(world) == [Arrival(f"{one}~1", began, began, None, replaces=False)]
    world.clock.advance(60)
    world.say(phase="applying", deployment_id=planned, version="v2", action="ci/v2")
    came = world.clock.now_ms()
    assert arrived(world)[1:] == [Arrival(f"{planned}~1", came, None, None, replaces=False)]
    assert [each.name for each in arrived(world, came)] == [f"{planned}~1"]


def test_what_is_over_has_arrived_all_the_same(world: RolloutWorld) -> None:
    one = world.deploy("v1")
    world.clock.advance(60)
    world.deploy("v2")
    first, second = arrived(world)
    assert (first.name, first.ended_ms) == (f"{one}~1", second.live_ms)
    assert second.replaces


def test_what_nobody_announced_has_not_arrived(world: RolloutWorld) -> None:
    world.say(
        phase="running",
        target={"instance_uid": "stray"},
        artifact={"digest": "sha256:" + "5" * 64},
        emitter={"kind": "orchestrator", "id": "observer"},
    )
    assert arrived(world) == []
