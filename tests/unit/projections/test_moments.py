"""What the metrics tell of the moments of deployments, to be drawn over metrics of others."""

from contextlib import closing
from pathlib import Path

from broker_census import census_of
from broker_markers import DAY, HOUR, MINUTE, change, ci, pod
from broker_reading import broker_views
from broker_world import World

from deploymark.projections.broker.moments import MAX_DEPLOYMENTS, WINDOW_MS, moments_of
from deploymark.projections.database import open_views
from deploymark.projections.runner import Runner
from deploymark.testing.clock import START_MS
from deploymark.testing.meter import ListMeter

Told = list[tuple[str, str, int]]


def told(world: World) -> Told:
    """Return version, event and second of each moment, the latest deployment first."""
    return [
        (each.version, each.event, (each.at_ms - START_MS) // 1_000)
        for each in census_of(world).moments
    ]


def test_a_deployment_that_goes_live_has_a_moment_that_says_whose_it_is() -> None:
    with World() as world:
        said = ci("applied", place="eu", version="2.31", owner="team:payments")
        applied = world.say(said, at=MINUTE)
        world.say(ci("promoted", place="eu"), at=HOUR)
        (moment,) = census_of(world).moments
    scope = (applied.deployment, "1", "checkout", "prod", "true")
    assert moment == (*scope, "live", "2.31", "team:payments", START_MS + 1_000 * MINUTE)


def test_a_rollback_is_a_moment_of_its_own() -> None:
    with World() as world:
        world.say(ci("applied", version="1"), at=0)
        world.say(ci("rolled_back"), at=HOUR)
        assert told(world) == [("1", "live", 0), ("1", "rolled_back", HOUR)]


def test_what_was_never_live_failed_or_was_rolled_back_at_one_moment() -> None:
    with World() as world:
        world.say(ci("applying", "v1", version="1"), at=0)
        world.say(ci("failed", "v1"), at=MINUTE)
        world.say(ci("applying", "v2", version="2"), at=HOUR)
        world.say(ci("rolled_back", "v2"), at=HOUR + MINUTE)
        assert told(world) == [
            ("2", "rolled_back", HOUR + MINUTE),
            ("2", "begun", HOUR),
            ("1", "failed", MINUTE),
            ("1", "begun", 0),
        ]


def test_a_canary_is_told_from_its_beginning_and_when_it_is_live() -> None:
    canary = {"strategy": "canary", "track": "canary"}
    with World() as world:
        world.say(ci("planned", version="1"), at=0)
        world.say(ci("applied", version="1", rollout={"weight": 25, **canary}), at=MINUTE)
        assert told(world) == [("1", "begun", MINUTE)]
        world.say(pod("eu-1", place="eu", rollout=canary), at=2 * MINUTE)
        assert told(world) == [("1", "begun", MINUTE)]
        world.say(ci("applied", version="1", rollout={"weight": 100, **canary}), at=HOUR)
        assert told(world) == [("1", "live", HOUR), ("1", "begun", MINUTE)]


def test_an_intent_and_a_change_of_another_kind_have_none() -> None:
    with World() as world:
        world.say(ci("planned", version="1"), at=0)
        world.say(change("applied", "config", "limits", revision="7"), at=MINUTE)
        assert told(world) == []


def test_a_deployment_is_told_for_a_week_and_says_whether_it_is_of_production() -> None:
    with World() as world:
        world.say(ci("applied", version="1"), at=0)
        world.say(ci("applied", "v2", version="2", environment="staging"), at=7 * DAY - 1)
        assert [each.production for each in census_of(world).moments] == ["false", "true"]
        world.say(ci("applied", "v3", version="3", environment="staging"), at=7 * DAY)
        assert [version for version, _, _ in told(world)] == ["3", "2"]
    assert WINDOW_MS == 7 * DAY * 1_000


def test_of_too_many_the_latest_are_told_and_the_others_counted(tmp_path: Path) -> None:
    with World() as world, closing(open_views(tmp_path / "views.db")) as views:
        for number in range(4):
            world.say(ci("applied", f"v{number}", version=str(number)), at=number * MINUTE)
        for number in range(2, 6):
            begun = ci("applying", f"v{number}", environment="staging", version=str(number))
            world.say(begun, at=number * HOUR)
        Runner(world.store, views, broker_views(world.settings), ListMeter()).catch_up()
        with views.reading() as connection:
            moments, unlisted = moments_of(connection, most=2)
            everything, none = moments_of(connection)
    assert ([each.version for each in moments], unlisted) == (["3", "2", "5", "4"], 4)
    assert (len(everything), none) == (8, 0)
    assert MAX_DEPLOYMENTS == 1_000
