"""Worked examples of spec/identity.md: what orchestrators and processes say without a derived id.

The numbers are those of the specification.
"""

import pytest
from broker_checks import (
    DIGEST,
    EXPLICIT,
    LIVE,
    UNPLANNED,
    VERSION,
    arrival_does_not_matter,
    expected,
    finding,
    found,
    ids,
    instances,
    shape,
    stage,
)
from broker_markers import HOUR, MINUTE, ci, digest_of, gone, orchestrated, own_id, pod
from broker_world import World

from deploymark.errors import NotFoundError


def test_7_a_pod_restarted_with_the_same_image_is_a_new_running_marker_only(world: World) -> None:
    applied = world.say(ci("applied", place="eu"), at=0)
    first = world.say(pod("pod/container-1", place="eu"), at=MINUTE)
    ended = world.say(gone("pod/container-1", place="eu"), at=5 * HOUR)
    again = world.say(pod("pod/container-2", place="eu"), at=5 * HOUR + 1)
    broker = world.read()
    assert ids(broker) == {applied.deployment}
    record = broker.deployment(applied.deployment)
    assert stage(record["state"]) == LIVE
    assert len(record["occurrences"]) == 1
    assert record["binding"] == "observed"
    assert record["rules"][DIGEST] == 2
    assert {first.index, again.index} <= {each["index"] for each in record["joins"]}
    assert ended.index >= 0
    assert instances(broker) == {"pod/container-2": (applied.deployment, 1, DIGEST, "confirmed")}
    assert found(broker) == set()


def test_8_a_stateful_set_pod_created_again_under_its_name_is_a_new_marker(world: World) -> None:
    place = {"cluster": "eu", "instance": "pod/db-0"}
    applied = world.say(ci("applied", place="eu"), at=0)
    told = [
        world.say(pod("uid-1", place=place), at=MINUTE),
        world.say(gone("uid-1", place=place), at=2 * MINUTE),
        world.say(pod("uid-2", place=place), at=3 * MINUTE),
    ]
    assert not any(each.duplicate for each in told)
    broker = world.read()
    assert instances(broker) == {"uid-2": (applied.deployment, 1, DIGEST, "confirmed")}
    assert [each["instance"] for each in broker.instances()] == ["pod/db-0"]
    assert shape(broker.deployment(applied.deployment), world) == expected(
        applied,
        "running",
        sources={"ci": 1, "orchestrator": 2},
        places={"eu": "live"},
        joins={told[0].index: DIGEST, told[2].index: DIGEST},
    )
    arrival_does_not_matter(world, [applied, *told])


def test_8_whose_name_was_taken_over_has_ended_also_when_nobody_says_so(world: World) -> None:
    place = {"cluster": "eu", "namespace": "shop", "instance": "pod/db-0"}
    world.say(ci("applied", place="eu"), at=0)
    for uid, at in (("uid-1", MINUTE), ("uid-2", 3 * MINUTE)):
        world.say(pod(uid, place=place), at=at)
    world.say(pod("uid-3", place={**place, "namespace": "other"}), at=4 * MINUTE)
    assert set(instances(world.read())) == {"uid-2", "uid-3"}


def test_9_set_image_without_ci_is_an_unplanned_change(world: World) -> None:
    planned = world.say(ci("applied", "v1", place="eu"), at=0)
    applied = world.say(orchestrated("applied", "v2", place="eu"), at=HOUR)
    running = world.say(pod("uid-2", "v2", place="eu"), at=HOUR + MINUTE)
    broker = world.read()
    own = own_id("v2")
    assert ids(broker) == {planned.deployment, own}
    assert shape(broker.deployment(own), world) == expected(
        own,
        "running",
        sources={"orchestrator": 2},
        places={"eu": "live"},
        joins={applied.index: UNPLANNED, running.index: DIGEST},
        unplanned=True,
    )
    assert shape(broker.deployment(planned.deployment), world) == expected(
        planned, "superseded", sources={"ci": 1}, places={"eu": "ended"}
    )
    assert found(broker) == {("unplanned_change", own)}
    assert applied.index in finding(broker, "unplanned_change")["indexes"]
    assert instances(broker)["uid-2"][:2] == (own, 1)
    arrival_does_not_matter(world, [planned, applied, running])


def test_9_with_a_stale_label_it_is_a_digest_mismatch_plus_an_unplanned_change(
    world: World,
) -> None:
    planned = world.say(ci("applied", "v1", place="eu"), at=0)
    label = {"deployment_id": planned.deployment}
    good = world.say(pod("uid-1", "v1", place="eu", **label), at=MINUTE)
    stale = world.say(pod("uid-2", "v2", place="eu", **label), at=HOUR)
    broker = world.read()
    own = own_id("v2")
    assert found(broker) == {
        ("digest_mismatch", planned.deployment),
        ("unplanned_change", own),
    }
    assert finding(broker, "digest_mismatch")["indexes"] == [stale.index]
    assert ids(broker) == {planned.deployment, own}
    known = instances(broker)
    assert known["uid-1"] == (planned.deployment, 1, EXPLICIT, "confirmed")
    assert known["uid-2"] == (own, 1, UNPLANNED, "mismatched")
    assert shape(broker.deployment(planned.deployment), world) == expected(
        planned,
        "running",
        sources={"ci": 1, "orchestrator": 1},
        places={"eu": "live"},
        joins={good.index: EXPLICIT},
    )


def test_10_an_intent_40_seconds_after_the_orchestrator_is_merged_and_the_alias_resolves(
    world: World,
) -> None:
    applied = world.say(orchestrated("applied", place="eu"), at=0)
    own = own_id("v1")
    assert found(world.read()) == {("unplanned_change", own)}
    planned = world.say(ci("planned", place="eu"), at=40)
    broker = world.read()
    assert ids(broker) == {planned.deployment}
    record = broker.deployment(planned.deployment)
    assert shape(record, world) == expected(
        planned,
        LIVE,
        sources={"ci": 1, "orchestrator": 1},
        places={"eu": "live"},
        aliases=[own],
        joins={applied.index: DIGEST},
    )
    assert broker.deployment(own) == record
    assert found(broker) == set()


def test_10_an_intent_a_quarter_of_an_hour_later_does_not_excuse_the_change(world: World) -> None:
    world.say(orchestrated("applied", place="eu"), at=0)
    planned = world.say(ci("planned", place="eu"), at=16 * MINUTE)
    broker = world.read()
    own = own_id("v1")
    assert ids(broker) == {planned.deployment, own}
    assert found(broker) == {("unplanned_change", own)}


def test_11_one_digest_from_two_pipelines_and_pods_before_either_is_live_are_ambiguous(
    world: World,
) -> None:
    one = world.say(ci("planned", place="eu", run="one"), at=0)
    two = world.say(ci("planned", place="eu", run="two"), at=10)
    early = world.say(pod("uid-1", place="eu"), at=MINUTE)
    broker = world.read()
    assert ids(broker) == {one.deployment, two.deployment}
    assert instances(broker) == {"uid-1": (two.deployment, 1, DIGEST, "confirmed")}
    assert found(broker) == {("correlation_ambiguous", two.deployment)}
    ambiguous = finding(broker, "correlation_ambiguous")
    assert ambiguous["indexes"] == [early.index]
    said = f"{ambiguous['about']} {ambiguous['message']}"
    assert one.deployment in said
    assert two.deployment in said


def test_11_once_one_of_them_is_live_its_pods_are_not_ambiguous(world: World) -> None:
    one = world.say(ci("applied", place="eu", run="one"), at=0)
    world.say(ci("planned", place="eu", run="two"), at=10)
    world.say(pod("uid-1", place="eu"), at=MINUTE)
    broker = world.read()
    assert instances(broker) == {"uid-1": (one.deployment, 1, DIGEST, "confirmed")}
    assert found(broker) == set()


def test_13_the_digest_of_a_platform_that_is_listed_matches(world: World) -> None:
    platforms = {"linux/amd64": digest_of("amd64"), "linux/arm64": digest_of("arm64")}
    index = {"digest": digest_of("v1"), "platforms": platforms}
    applied = world.say(ci("applied", place="eu", artifact=index), at=0)
    told = [world.say(pod(name, name, place="eu"), at=MINUTE) for name in ("amd64", "arm64")]
    broker = world.read()
    assert ids(broker) == {applied.deployment}
    assert instances(broker) == dict.fromkeys(
        ("amd64", "arm64"), (applied.deployment, 1, DIGEST, "confirmed")
    )
    record = broker.deployment(applied.deployment)
    assert record["platforms"] == platforms
    assert record["digest"] == digest_of("v1")
    assert record["binding"] == "observed"
    assert found(broker) == set()
    arrival_does_not_matter(world, [applied, *told])


def test_13_the_digest_of_a_platform_that_is_not_listed_is_a_mismatch(world: World) -> None:
    index = {"digest": digest_of("v1"), "platforms": {"linux/amd64": digest_of("amd64")}}
    applied = world.say(ci("applied", place="eu", artifact=index, version="2.31.0"), at=0)
    other = world.say(pod("riscv", "riscv", place="eu", version="2.31.0"), at=MINUTE)
    broker = world.read()
    assert ids(broker) == {applied.deployment}
    assert instances(broker) == {"riscv": (applied.deployment, 1, VERSION, "mismatched")}
    assert broker.deployment(applied.deployment)["binding"] == "mismatched"
    assert found(broker) == {("digest_mismatch", applied.deployment)}
    assert finding(broker, "digest_mismatch")["indexes"] == [other.index]


def test_14_a_tag_without_a_digest_is_unresolved_until_an_observer_reports_one(
    world: World,
) -> None:
    tagged = {"name": "registry.example.com/shop", "tag": "2.31.0"}
    applied = world.say(
        ci("applied", place="eu", artifact=tagged, commit_hash=None, version="2.31.0"), at=0
    )
    broker = world.read()
    assert found(broker) == {("artifact_unresolved", applied.deployment)}
    record = broker.deployment(applied.deployment)
    assert (record["digest"], record["tag"], record["binding"]) == (None, "2.31.0", "none")
    seen = world.say(pod("uid-1", "v1", place="eu", version="2.31.0"), at=MINUTE)
    broker = world.read()
    assert ids(broker) == {applied.deployment}
    record = broker.deployment(applied.deployment)
    assert record["digest"] == digest_of("v1")
    assert shape(record, world) == expected(
        applied,
        "running",
        sources={"ci": 1, "orchestrator": 1},
        places={"eu": "live"},
        joins={seen.index: VERSION},
    )
    assert found(broker) == set()
    arrival_does_not_matter(world, [applied, seen])


def test_14_a_digest_that_a_process_declares_resolves_nothing(world: World) -> None:
    tagged = {"tag": "2.31.0"}
    applied = world.say(
        ci("applied", place="eu", artifact=tagged, commit_hash=None, version="2.31.0"), at=0
    )
    world.say(pod("uid-1", "v1", place="eu", version="2.31.0", basis="declared"), at=MINUTE)
    broker = world.read()
    assert found(broker) == {("artifact_unresolved", applied.deployment)}
    assert broker.deployment(applied.deployment)["binding"] == "unproven"


def test_20_pods_of_a_deployment_whose_applied_was_lost_make_it_running(world: World) -> None:
    planned = world.say(ci("planned", place="eu"), at=0)
    applying = world.say(ci("applying", place="eu"), at=10)
    told = [world.say(pod(f"uid-{n}", place="eu"), at=MINUTE + n) for n in range(3)]
    broker = world.read()
    assert ids(broker) == {planned.deployment}
    assert shape(broker.deployment(planned.deployment), world) == expected(
        planned,
        "running",
        sources={"ci": 2, "orchestrator": 3},
        places={"eu": "open"},
        joins={each.index: DIGEST for each in told},
    )
    assert found(broker) == set()
    arrival_does_not_matter(world, [planned, applying, *told])


def test_22_a_scale_up_hours_later_brings_instances_and_nothing_new(world: World) -> None:
    applied = world.say(ci("applied", place="eu"), at=0)
    told = [world.say(pod("uid-0", place="eu"), at=MINUTE)]
    before = world.read()
    told += [world.say(pod(f"uid-{n}", place="eu"), at=(4 + n) * HOUR) for n in range(1, 4)]
    broker = world.read()
    assert ids(broker) == ids(before) == {applied.deployment}
    assert shape(broker.deployment(applied.deployment), world) == expected(
        applied,
        "running",
        sources={"ci": 1, "orchestrator": 4},
        places={"eu": "live"},
        joins={each.index: DIGEST for each in told},
    )
    assert instances(broker) == {
        f"uid-{n}": (applied.deployment, 1, DIGEST, "confirmed") for n in range(4)
    }
    assert found(broker) == found(before) == set()
    arrival_does_not_matter(world, [applied, *told])


def test_22_the_id_that_admission_gave_to_evidence_names_no_deployment(world: World) -> None:
    world.say(ci("applied", place="eu"), at=0)
    world.say(pod("uid-0", place="eu"), at=MINUTE)
    with pytest.raises(NotFoundError):
        world.read().deployment(own_id("v1"))
