"""What the metrics count of the views: findings, instances, places, and M10."""

import pytest
from broker_census import census_of
from broker_markers import HOUR, MINUTE, change, ci, gone, pod
from broker_reading import Settings
from broker_world import World

from deploymark.model.proportion import Proportion
from deploymark.projections.broker.census import Running


def expecting(instances: int | dict[str, int], *clusters: str) -> Settings:
    prod = {"clusters": list(clusters), "instances": instances}
    return {"services": {"checkout": {"environments": {"prod": prod}}}}


def test_where_nothing_was_deployed_every_status_is_counted_as_none() -> None:
    with World() as world:
        census = census_of(world)
    assert census.instances == {"confirmed": 0, "unproven": 0, "mismatched": 0}
    assert (census.findings, census.running, census.as_of) == ({}, [], world.store.head().size)
    assert census.covered == Proportion(0, 0)


def test_instances_are_counted_by_status_until_they_end() -> None:
    with World() as world:
        world.say(ci("applied", place="eu"), at=0)
        world.say(pod("eu-1", place="eu"), at=MINUTE)
        world.say(pod("eu-2", place="eu", basis="declared"), at=MINUTE)
        world.say(pod("eu-3", place="eu"), at=MINUTE)
        world.say(gone("eu-3", place="eu"), at=HOUR)
        census = census_of(world)
    assert census.instances == {"confirmed": 1, "unproven": 1, "mismatched": 0}


def test_open_findings_are_counted_by_code_severity_and_production() -> None:
    with World() as world:
        world.say(ci("applied", "v1", place="eu", version="1"), at=0)
        world.say(pod("eu-1", "other", place="eu", version="1"), at=MINUTE)
        for environment in ("prod", "staging"):
            world.say(pod("ghost", place="eu", service="ghost", environment=environment), at=HOUR)
        census = census_of(world)
    assert census.findings == {
        ("digest_mismatch", "critical", True): 1,
        ("unplanned_change", "warning", True): 1,
        ("unplanned_change", "warning", False): 1,
    }


def test_a_finding_that_closed_is_counted_no_more() -> None:
    with World() as world:
        world.say(pod("eu-1", place="eu"), at=0)
        world.say(ci("planned", place="eu"), at=MINUTE)
        assert census_of(world).findings == {}


def test_a_running_instance_tells_its_deployment_and_place() -> None:
    with World() as world:
        applied = world.say(ci("applied", place="eu"), at=0)
        target = {"cluster": "eu", "namespace": "shop", "instance": "checkout-7f-x"}
        world.say(pod("u-1", place=target, rollout={"track": "canary"}), at=MINUTE)
        world.say(pod("u-2", place="eu"), at=MINUTE)
        census = census_of(world)
    scope = ("1", "checkout", "prod")
    assert set(census.running) == {
        Running(applied.deployment, *scope, "canary", "eu", "shop", "checkout-7f-x"),
        Running(applied.deployment, *scope, "", "eu", "", "u-2"),
    }


def test_two_services_that_claim_one_pod_are_told_as_one_the_younger() -> None:
    target = {"cluster": "eu", "namespace": "shop", "instance": "pod-1"}
    with World() as world:
        world.say(pod("u-1", place=target), at=0)
        world.say(pod("u-2", place=target, service="sidecar"), at=MINUTE)
        world.say(pod("u-1", place=target), at=HOUR)
        census = census_of(world)
    assert [each.service for each in census.running] == ["sidecar"]
    assert (census.beyond, census.shadowed) == (0, 1)
    assert sum(census.instances.values()) == 2


def test_only_so_many_are_told_the_newest_and_the_others_counted() -> None:
    with World() as world:
        world.say(ci("applied", place="eu"), at=0)
        for number in range(5):
            world.say(pod(f"eu-{number}", place="eu"), at=MINUTE + number)
        census = census_of(world, most=2)
    assert [each.pod for each in census.running] == ["eu-4", "eu-3"]
    assert (census.beyond, census.shadowed) == (3, 0)


# M10 ---------------------------------------------------------------------------------------------


def test_an_instance_is_covered_when_its_deployment_was_announced() -> None:
    with World() as world:
        world.say(ci("applied", place="eu"), at=0)
        world.say(pod("eu-1", place="eu"), at=MINUTE)
        world.say(pod("eu-2", place="eu", basis="declared"), at=MINUTE)
        world.say(pod("ghost-1", place="eu", service="ghost"), at=MINUTE)
        assert census_of(world).covered == Proportion(2, 3)


def test_an_instance_that_runs_something_else_is_not_covered() -> None:
    with World() as world:
        world.say(ci("applied", "v1", place="eu", version="1"), at=0)
        world.say(pod("eu-1", "v1", place="eu", version="1"), at=MINUTE)
        world.say(pod("eu-2", "other", place="eu", version="1"), at=MINUTE)
        assert census_of(world).covered == Proportion(1, 2)


def test_what_runs_outside_production_is_no_part_of_the_measure() -> None:
    with World() as world:
        world.say(ci("applied", place="eu", environment="staging"), at=0)
        world.say(pod("eu-1", place="eu", environment="staging"), at=MINUTE)
        census = census_of(world)
    assert census.covered == Proportion(0, 0)
    assert census.instances["confirmed"] == 1


def test_another_kind_of_change_does_not_cover_an_instance() -> None:
    with World() as world:
        world.say(change("applied", "config", "limits", revision="7", place="eu"), at=0)
        world.say(pod("eu-1", place="eu"), at=MINUTE)
        assert census_of(world).covered == Proportion(0, 1)


@pytest.mark.parametrize(
    ("settings", "covered"),
    [
        (expecting(4, "eu", "us"), (3, 4)),
        (expecting(2, "eu", "us"), (3, 3)),
        (expecting({"eu": 1, "us": 2}, "eu", "us"), (3, 5)),
        (expecting({"us": 2}, "us"), (3, 5)),
    ],
    ids=[
        "fewer run than are expected",
        "more run than are expected",
        "too many in one cluster do not make up for another",
        "a cluster of which nothing is said counts with what runs there",
    ],
)
def test_what_is_expected_and_does_not_run_counts(
    settings: Settings, covered: tuple[int, int]
) -> None:
    with World(settings) as world:
        world.say(ci("applied", place="eu"), at=0)
        for number in range(3):
            world.say(pod(f"eu-{number}", place="eu"), at=MINUTE)
        assert census_of(world).covered == Proportion(*covered)


def test_what_is_expected_and_was_never_heard_of_counts() -> None:
    with World(expecting(3, "eu")) as world:
        assert census_of(world).covered == Proportion(0, 3)
