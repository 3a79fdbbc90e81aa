"""How evidence without a derived id finds its deployment: the rules of correlation, one by one."""

from typing import Any

import pytest
from broker_checks import (
    COMMIT,
    DIGEST,
    EXPLICIT,
    EXTERNAL,
    LIVE,
    UNPLANNED,
    VERSION,
    expected,
    finding,
    found,
    ids,
    instances,
    order_does_not_matter,
    shape,
    stage,
)
from broker_markers import (
    HOUR,
    MINUTE,
    Fields,
    ci,
    commit_of,
    digest_of,
    id_of,
    orchestrated,
    own_id,
    pod,
)
from broker_truth import joins
from broker_world import World

from deploymark.ingest.callers import ANONYMOUS


def rule_of(world: World, index: int) -> tuple[str, str]:
    """Return the deployment that an entry joined, and by which rule."""
    broker = world.read()
    deployment = joins(broker)[index]
    (rule,) = (
        each["rule"] for each in broker.deployment(deployment)["joins"] if each["index"] == index
    )
    return deployment, rule


def test_the_first_rule_that_gives_candidates_decides(world: World) -> None:
    one = world.say(ci("applied", "v1", place="eu", version="1"), at=0)
    world.say(ci("applied", "v2", place="us", version="2"), at=MINUTE)
    seen = world.say(pod("uid-1", "v1", place="eu", version="2"), at=2 * MINUTE)
    assert rule_of(world, seen.index) == (one.deployment, DIGEST)


@pytest.mark.parametrize(
    ("known", "said", "rule"),
    [
        ({"artifact": None}, {"commit_hash": commit_of("v1")}, COMMIT),
        ({"artifact": None}, {"commit_hash": commit_of("v1"), "version": "1"}, COMMIT),
        ({"artifact": None, "commit_hash": None}, {"version": "1"}, VERSION),
    ],
    ids=["commit", "commit before version", "version"],
)
def test_without_a_known_digest_commit_and_then_version_decide(
    world: World, known: dict[str, Any], said: dict[str, Any], rule: str
) -> None:
    applied = world.say(ci("applied", "v1", place="eu", version="1", **known), at=0)
    seen = world.say(pod("uid-1", "v1", place="eu", **said), at=MINUTE)
    assert rule_of(world, seen.index) == (applied.deployment, rule)
    assert found(world.read()) == set()


def test_a_change_ticket_of_exactly_one_open_deployment_decides_before_the_digest(
    world: World,
) -> None:
    ticket: Fields = {"change_tickets": ["CHG1"]}
    planned = world.say(ci("planned", "v1", place="eu", artifact=None, **ticket), at=0)
    seen = world.say(orchestrated("applied", "v1", place="eu", **ticket), at=MINUTE)
    assert rule_of(world, seen.index) == (planned.deployment, EXTERNAL)


def test_a_change_ticket_of_two_open_deployments_decides_nothing(world: World) -> None:
    ticket: Fields = {"change_tickets": ["CHG1"]}
    one = world.say(ci("planned", "v1", place="eu", **ticket), at=0)
    world.say(ci("planned", "v2", place="eu", **ticket), at=10)
    seen = world.say(orchestrated("applied", "v1", place="eu", **ticket), at=MINUTE)
    assert rule_of(world, seen.index) == (one.deployment, DIGEST)


def test_an_explicit_id_may_be_an_alias(world: World) -> None:
    planned = world.say(ci("planned", place="eu", artifact=None), at=0)
    applied = world.say(ci("applied", place="eu"), at=MINUTE)
    label = {"deployment_id": planned.deployment}
    world.say(pod("uid-1", place="eu", **label), at=2 * MINUTE)
    broker = world.read()
    assert ids(broker) == {applied.deployment}
    assert instances(broker) == {"uid-1": (applied.deployment, 1, EXPLICIT, "confirmed")}


def test_an_explicit_id_alone_is_enough_and_proves_nothing(world: World) -> None:
    applied = world.say(ci("applied", place="eu"), at=0)
    label = {"deployment_id": applied.deployment}
    seen = world.say(pod("uid-1", None, place="eu", basis=None, **label), at=MINUTE)
    broker = world.read()
    assert instances(broker) == {"uid-1": (applied.deployment, 1, EXPLICIT, "unproven")}
    record = broker.deployment(applied.deployment)
    assert record["binding"] == "unproven"
    assert shape(record, world) == expected(
        applied,
        "running",
        sources={"ci": 1, "runtime": 1},
        places={"eu": "live"},
        joins={seen.index: EXPLICIT},
    )


def test_an_explicit_id_that_nobody_announced_is_a_deployment_under_that_id(world: World) -> None:
    world.say(pod("uid-1", place="eu", deployment_id="our-release-7"), at=0)
    broker = world.read()
    assert ids(broker) == {"our-release-7"}
    assert stage(broker.deployment("our-release-7")["state"]) == LIVE
    assert "ci" in broker.deployment("our-release-7")["missing_sources"]


@pytest.mark.parametrize("basis", ["declared", "self_observed"])
def test_a_label_contradicted_by_what_the_process_says_is_a_mismatch_where_it_was_labelled(
    world: World, basis: str
) -> None:
    applied = world.say(ci("applied", "v1", place="eu"), at=0)
    label = {"deployment_id": applied.deployment}
    said = world.say(pod("uid-1", "v2", place="eu", basis=basis, **label), at=MINUTE)
    broker = world.read()
    assert instances(broker) == {"uid-1": (applied.deployment, 1, EXPLICIT, "mismatched")}
    assert broker.deployment(applied.deployment)["binding"] == "mismatched"
    assert found(broker) == {("digest_mismatch", applied.deployment)}
    assert finding(broker, "digest_mismatch")["indexes"] == [said.index]


@pytest.mark.parametrize(
    ("basis", "status"),
    [("declared", "unproven"), ("self_observed", "unproven"), ("observed", "confirmed")],
)
def test_an_equal_digest_proves_the_binding_only_when_it_was_observed(
    world: World, basis: str, status: str
) -> None:
    applied = world.say(ci("applied", place="eu"), at=0)
    world.say(pod("uid-1", place="eu", basis=basis), at=MINUTE)
    broker = world.read()
    assert instances(broker) == {"uid-1": (applied.deployment, 1, DIGEST, status)}
    binding = broker.deployment(applied.deployment)["binding"]
    assert binding == ("observed" if status == "confirmed" else "unproven")


def test_an_instance_that_declares_and_is_observed_is_one_confirmed_instance(
    world: World,
) -> None:
    applied = world.say(ci("applied", place="eu"), at=0)
    world.say(pod("uid-1", place="eu", basis="declared"), at=MINUTE)
    world.say(pod("uid-1", place="eu", basis="observed"), at=2 * MINUTE)
    broker = world.read()
    assert instances(broker) == {"uid-1": (applied.deployment, 1, DIGEST, "confirmed")}
    (only,) = broker.instances()
    assert (only["basis"], only["digest"]) == ("observed", digest_of("v1"))


def test_a_pod_that_drains_still_belongs_to_what_was_replaced(world: World) -> None:
    old = world.say(ci("applied", "v1", place="eu"), at=0)
    world.say(ci("applied", "v2", place="eu"), at=HOUR)
    world.say(pod("uid-1", "v1", place="eu"), at=HOUR + 9 * MINUTE)
    broker = world.read()
    assert instances(broker) == {"uid-1": (old.deployment, 1, DIGEST, "confirmed")}
    assert broker.deployment(old.deployment)["state"] == "superseded"
    assert found(broker) == set()


def test_of_several_live_or_ended_candidates_it_is_the_latest(world: World) -> None:
    world.say(ci("applied", place="eu", run="one"), at=0)
    two = world.say(ci("applied", place="eu", run="two"), at=HOUR)
    world.say(pod("uid-1", place="eu"), at=HOUR + 3 * MINUTE)
    broker = world.read()
    assert instances(broker) == {"uid-1": (two.deployment, 1, DIGEST, "confirmed")}
    assert found(broker) == set()


def test_a_deployment_that_names_another_cluster_is_no_candidate(world: World) -> None:
    applied = world.say(ci("applied", place="eu"), at=0)
    world.say(pod("uid-1", place="us"), at=MINUTE)
    broker = world.read()
    assert ids(broker) == {applied.deployment, own_id("v1")}
    assert instances(broker) == {"uid-1": (own_id("v1"), 1, UNPLANNED, "confirmed")}
    assert found(broker) == {("unplanned_change", own_id("v1"))}


def test_a_deployment_that_names_no_place_is_a_candidate_everywhere(world: World) -> None:
    applied = world.say(ci("applied"), at=0)
    for cluster in ("eu", "us"):
        world.say(pod(f"uid-{cluster}", place=cluster), at=MINUTE)
    broker = world.read()
    assert {each[0] for each in instances(broker).values()} == {applied.deployment}
    assert found(broker) == set()


def test_another_environment_is_never_joined(world: World) -> None:
    applied = world.say(ci("applied", place="eu"), at=0)
    world.say(pod("uid-1", place="eu", environment="staging"), at=MINUTE)
    broker = world.read()
    assert ids(broker, environment="prod") == {applied.deployment}
    (own,) = ids(broker, environment="staging")
    assert found(broker) == {("unplanned_change", own)}


def test_evidence_may_use_another_name_of_the_service() -> None:
    with World({"services": {"checkout": {"aliases": ["shop-checkout"]}}}) as world:
        applied = world.say(ci("applied", place="eu"), at=0)
        world.say(pod("uid-1", place="eu", service="shop-checkout"), at=MINUTE)
        broker = world.read()
        assert instances(broker) == {"uid-1": (applied.deployment, 1, DIGEST, "confirmed")}
        assert ids(broker, service="checkout") == ids(broker) == {applied.deployment}
        order_does_not_matter(world)


def test_who_stands_behind_the_words_does_not_change_where_they_belong(world: World) -> None:
    key = world.trusted("pipeline")
    applied = world.say(ci("applied", place="eu"), at=0, key=key)
    seen = world.say(pod("uid-1", place="eu"), at=MINUTE)
    assert rule_of(world, seen.index) == (applied.deployment, DIGEST)


def test_what_strangers_say_of_a_sandbox_is_shown_as_said(world: World) -> None:
    sandbox: Fields = {"environment": "sandbox-7"}
    applied = world.say(ci("applied", place="eu", **sandbox), at=0, caller=ANONYMOUS)
    broker = world.read()
    assert shape(broker.deployment(applied.deployment), world) == expected(
        id_of(ci("applied", **sandbox)), LIVE, sources={"ci": 1}, places={"eu": "live"}
    )
