"""Worked examples of spec/identity.md: what is sent again, retried, or told in another order.

The numbers are those of the specification.
"""

import pytest
from broker_checks import (
    DIGEST,
    LIVE,
    arrival_does_not_matter,
    expected,
    finding,
    found,
    ids,
    shape,
)
from broker_markers import HOUR, MINUTE, ci, commit_of, id_of, orchestrated
from broker_world import World

from deploymark.errors import NotFoundError


def test_1_an_http_retry_is_a_duplicate(world: World) -> None:
    first = world.say(ci("applied", place="eu"), at=1)
    again = world.send(first.body, at=3 * HOUR)
    assert again.duplicate
    broker = world.read()
    assert ids(broker) == {first.deployment}
    assert shape(broker.deployment(first.deployment), world) == expected(
        first, LIVE, sources={"ci": 1}, places={"eu": "live"}
    )
    assert found(broker) == set()


def test_2_ci_attempt_2_while_attempt_1_is_open_is_the_same_occurrence(world: World) -> None:
    told = [
        world.say(ci("planned", place="eu", attempt=1), at=0),
        world.say(ci("applying", place="eu", attempt=1), at=MINUTE),
        world.say(ci("planned", place="eu", attempt=2), at=5 * MINUTE),
        world.say(ci("applied", place="eu", attempt=2), at=6 * MINUTE),
    ]
    assert [each.duplicate for each in told] == [False, False, True, False]
    broker = world.read()
    assert ids(broker) == {told[0].deployment}
    assert shape(broker.deployment(told[0].deployment), world) == expected(
        told[0], LIVE, sources={"ci": 3}, places={"eu": "live"}
    )
    assert found(broker) == set()
    arrival_does_not_matter(world, [each for each in told if not each.duplicate])


def test_3_ci_attempt_2_after_failed_is_the_second_occurrence(world: World) -> None:
    told = [
        world.say(ci("planned", place="eu", attempt=1), at=0),
        world.say(ci("failed", place="eu", attempt=1), at=MINUTE),
        world.say(ci("planned", place="eu", attempt=2), at=5 * MINUTE),
        world.say(ci("applied", place="eu", attempt=2), at=6 * MINUTE),
    ]
    assert [each.occurrence for each in told] == [1, 1, 2, 2]
    broker = world.read()
    assert ids(broker) == {told[0].deployment}
    assert shape(broker.deployment(told[0].deployment), world) == expected(
        told[0],
        LIVE,
        sources={"ci": 2},
        places={"eu": "live"},
        occurrences=["failed", LIVE],
        redeploy=True,
    )
    assert found(broker) == set()
    arrival_does_not_matter(world, told)


def test_3_late_news_of_the_first_occurrence_does_not_end_the_second(world: World) -> None:
    told = [
        world.say(ci("failed", place="us", attempt=1), at=0),
        world.say(ci("planned", place="eu", attempt=2), at=MINUTE),
        world.say(ci("applied", place="eu", attempt=1), at=2 * MINUTE),
    ]
    assert [each.occurrence for each in told] == [1, 2, 1]
    shown = world.read().deployment(told[0].deployment)
    assert (shown["occurrence"], shown["state"]) == (2, "planned")
    arrival_does_not_matter(world, told)


def test_3_an_occurrence_is_read_by_its_number(world: World) -> None:
    failed = world.say(ci("failed", place="eu", attempt=1), at=MINUTE)
    world.say(ci("applied", place="eu", attempt=2), at=6 * MINUTE)
    broker = world.read()
    first, second = (broker.deployment(f"{failed.deployment}~{n}") for n in (1, 2))
    assert (first["occurrence"], first["state"]) == (1, "failed")
    assert (second["occurrence"], second["state"]) == (2, LIVE)
    assert broker.deployment(failed.deployment) == second
    with pytest.raises(NotFoundError):
        broker.deployment(f"{failed.deployment}~3")


def test_3_what_was_said_of_an_occurrence_stands_with_it(world: World) -> None:
    planned = world.say(ci("planned", place="eu", attempt=1), at=0)
    world.say(ci("failed", place="eu", attempt=1), at=MINUTE)
    world.say(ci("applied", place="eu", attempt=2), at=6 * MINUTE)
    broker = world.read()
    markers = [
        broker.deployment(f"{planned.deployment}~{n}")["sources"]["ci"]["markers"] for n in (1, 2)
    ]
    assert markers == [2, 1]


def test_4_an_old_job_run_again_after_a_newer_deploy_is_the_second_occurrence_and_a_rollback(
    world: World,
) -> None:
    told = [
        world.say(ci("applied", "v1", place="eu", attempt=1), at=0),
        world.say(ci("applied", "v2", place="eu", attempt=1), at=10 * MINUTE),
        world.say(ci("applied", "v1", place="eu", attempt=2), at=20 * MINUTE),
    ]
    old, new, rerun = told
    assert (rerun.deployment, rerun.occurrence) == (old.deployment, 2)
    broker = world.read()
    assert ids(broker) == {old.deployment, new.deployment}
    assert shape(broker.deployment(old.deployment), world) == expected(
        old,
        LIVE,
        sources={"ci": 1},
        places={"eu": "live"},
        occurrences=["superseded", LIVE],
        redeploy=True,
        rollback_of=new.deployment,
    )
    assert shape(broker.deployment(new.deployment), world) == expected(
        new, "superseded", sources={"ci": 1}, places={"eu": "ended"}
    )
    assert found(broker) == set()
    arrival_does_not_matter(world, told)


def test_4_a_newer_deploy_is_no_rollback(world: World) -> None:
    first = world.say(ci("applied", "v1", place="eu"), at=0)
    world.say(ci("applied", "v2", place="eu"), at=HOUR)
    third = world.say(ci("applied", "v3", place="eu"), at=2 * HOUR)
    broker = world.read()
    assert {each["rollback_of"] for each in broker.deployments()} == {None}
    assert broker.deployment(first.deployment)["state"] == "superseded"
    assert broker.deployment(third.deployment)["previous_deployment_id"] is not None


def test_4_the_same_digest_brought_back_by_a_new_run_is_a_rollback_too(world: World) -> None:
    world.say(ci("applied", "v1", place="eu", run="one"), at=0)
    bad = world.say(ci("applied", "v2", place="eu", run="two"), at=HOUR)
    back = world.say(ci("applied", "v1", place="eu", run="three"), at=2 * HOUR)
    record = world.read().deployment(back.deployment)
    assert (record["occurrence"], record["redeploy"]) == (1, False)
    assert record["rollback_of"].partition("~")[0] == bad.deployment


def test_16_ci_run_again_on_another_runner_with_new_timestamps_while_live_is_a_duplicate(
    world: World,
) -> None:
    first = world.say(ci("applied", place="eu", build_url="https://ci/1"), at=0)
    seen = world.say(orchestrated("applied", place="eu"), at=MINUTE)
    elsewhere = {"kind": "ci", "id": "deploy.yml", "epoch": "runner-2", "sequence": 0}
    again = world.say(
        ci("applied", place="eu", build_url="https://ci/2", emitter=elsewhere), at=2 * HOUR
    )
    assert again.duplicate
    assert again.index == first.index
    broker = world.read()
    assert shape(broker.deployment(first.deployment), world) == expected(
        first,
        LIVE,
        sources={"ci": 1, "orchestrator": 1},
        places={"eu": "live"},
        joins={seen.index: DIGEST},
    )
    assert ids(broker) == {first.deployment}
    assert found(broker) == set()


def test_17_the_same_key_with_another_commit_is_a_conflict(world: World) -> None:
    first = world.say(ci("applied", place="eu", commit_hash="a" * 40), at=0)
    other = world.say(ci("applied", place="eu", commit_hash="b" * 40), at=MINUTE)
    assert other.refused == "marker_conflict"
    world.tell_refusals()
    broker = world.read()
    assert ids(broker) == {first.deployment}
    record = broker.deployment(first.deployment)
    assert record["commit_hash"] == "a" * 40
    assert shape(record, world) == expected(first, LIVE, sources={"ci": 1}, places={"eu": "live"})
    conflict = finding(broker, "marker_conflict", state="all")
    assert first.index in conflict["indexes"]
    assert conflict["service"] == "checkout"


def test_21_a_sentry_deploy_repeated_is_one_deployment(world: World) -> None:
    sentry = ci(
        "applied",
        artifact=None,
        commit_hash=None,
        action=None,
        version="shop@2.31.0",
        emitter={"kind": "gateway"},
        labels={"dialect": "sentry"},
    )
    told = [world.say(sentry, at=minute * MINUTE, numbered=False) for minute in (0, 1, 30)]
    assert [each.duplicate for each in told] == [False, True, True]
    broker = world.read()
    assert ids(broker) == {told[0].deployment}
    assert shape(broker.deployment(told[0].deployment), world) == expected(
        told[0], LIVE, sources={"gateway": 1}
    )
    assert broker.deployment(told[0].deployment)["version"] == "shop@2.31.0"


def test_30_failed_delivered_before_its_own_planned_is_one_occurrence_that_failed(
    world: World,
) -> None:
    failed = world.say(ci("failed", place="eu"), at=31, claimed=30, numbered=False)
    planned = world.say(ci("planned", place="eu"), at=32, claimed=0, numbered=False)
    applying = world.say(ci("applying", place="eu"), at=33, claimed=10, numbered=False)
    assert [each.occurrence for each in (failed, planned, applying)] == [1, 1, 1]
    broker = world.read()
    assert ids(broker) == {failed.deployment}
    assert shape(broker.deployment(failed.deployment), world) == expected(
        failed, "failed", sources={"ci": 3}, places={"eu": "ended"}
    )
    assert found(broker) == set()


def test_31_planned_with_a_commit_and_applied_with_a_digest_is_one_deployment_by_both_ids(
    world: World,
) -> None:
    planned = world.say(ci("planned", place="eu", artifact=None), at=0)
    applied = world.say(ci("applied", place="eu"), at=5 * MINUTE)
    assert planned.deployment != applied.deployment
    broker = world.read()
    assert ids(broker) == {applied.deployment}
    record = broker.deployment(applied.deployment)
    assert shape(record, world) == expected(
        applied,
        LIVE,
        sources={"ci": 2},
        places={"eu": "live"},
        aliases=[planned.deployment],
    )
    assert record["commit_hash"] == commit_of("v1")
    assert broker.deployment(planned.deployment) == record
    assert found(broker) == set()
    arrival_does_not_matter(world, [planned, applied])


def test_31_the_id_that_carries_the_digest_stands_whichever_comes_first(world: World) -> None:
    applied = world.say(ci("applied", place="eu"), at=1)
    planned = world.say(ci("planned", place="eu", artifact=None), at=2, claimed=0, numbered=False)
    broker = world.read()
    assert ids(broker) == {id_of(ci("applied"))} == {applied.deployment}
    assert broker.deployment(planned.deployment)["deployment_id"] == applied.deployment


def test_31_another_commit_of_the_same_action_is_another_deployment(world: World) -> None:
    one = world.say(ci("planned", "v1", place="eu", run="7", artifact=None), at=0)
    other = world.say(ci("planned", "v2", place="eu", run="7", artifact=None), at=MINUTE)
    assert ids(world.read()) == {one.deployment, other.deployment}
