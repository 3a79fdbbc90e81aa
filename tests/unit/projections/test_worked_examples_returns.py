"""Worked examples of spec/identity.md: what comes back, what stays, and whose it is.

The numbers are those of the specification.
"""

from broker_checks import (
    DIGEST,
    EXPLICIT,
    LIVE,
    UNPLANNED,
    arrival_does_not_matter,
    expected,
    finding,
    found,
    ids,
    instances,
    places_of,
    shape,
    stage,
)
from broker_markers import (
    HOUR,
    MINUTE,
    Fields,
    action_of,
    change,
    ci,
    id_of,
    orchestrated,
    pod,
    stated,
)
from broker_world import World, moment


def test_12_a_config_map_change_with_the_same_image_is_a_config_deployment_of_its_own(
    world: World,
) -> None:
    code = world.say(ci("applied", place="eu"), at=0)
    before = world.say(pod("uid-1", place="eu"), at=MINUTE)
    config = world.say(
        change("applied", "config", "settings", revision="2", place="eu"), at=10 * MINUTE
    )
    after = world.say(pod("uid-2", place="eu"), at=11 * MINUTE)
    broker = world.read()
    assert ids(broker) == {code.deployment, config.deployment}
    assert ids(broker, kind="config") == {config.deployment}
    assert shape(broker.deployment(config.deployment), world) == expected(
        config, LIVE, sources={"ci": 1}, places={"eu": "live"}
    )
    assert shape(broker.deployment(code.deployment), world) == expected(
        code,
        "running",
        sources={"ci": 1, "orchestrator": 2},
        places={"eu": "live"},
        joins={before.index: DIGEST, after.index: DIGEST},
    )
    assert instances(broker) == dict.fromkeys(
        ("uid-1", "uid-2"), (code.deployment, 1, DIGEST, "confirmed")
    )
    assert found(broker) == set()
    arrival_does_not_matter(world, [code, before, config, after])


def test_15_a_clock_ten_minutes_ahead_is_placed_by_received_time_and_its_skew_is_recorded(
    world: World,
) -> None:
    applied = world.say(ci("applied", place="eu"), at=0, claimed=10 * MINUTE)
    broker = world.read()
    record = broker.deployment(applied.deployment)
    assert record["opened_at"] == record["live_at"] == moment(0)
    assert shape(record, world) == expected(applied, LIVE, sources={"ci": 1}, places={"eu": "live"})
    assert {code for code, _ in found(broker)} == {"clock_skew"}
    assert finding(broker, "clock_skew")["indexes"] == [applied.index]


def test_15_what_it_says_supersedes_by_received_time_too(world: World) -> None:
    ahead = world.say(ci("applied", "v1", place="eu"), at=0, claimed=10 * MINUTE)
    later = world.say(ci("applied", "v2", place="eu"), at=5 * MINUTE)
    broker = world.read()
    assert broker.deployment(ahead.deployment)["state"] == "superseded"
    assert stage(broker.deployment(later.deployment)["state"]) == LIVE


def test_23_an_aborted_canary_retried_with_the_same_digest_in_a_new_run_is_a_new_deployment(
    world: World,
) -> None:
    told = [
        world.say(ci("applied", place="eu", weight=5, run="one"), at=0),
        world.say(pod("old", place="eu"), at=MINUTE),
        world.say(ci("rolled_back", place="eu", run="one"), at=10 * MINUTE),
        world.say(ci("applied", place="eu", weight=5, run="two"), at=HOUR),
        world.say(pod("new", place="eu"), at=HOUR + MINUTE),
    ]
    first, old, _, second, new = told
    broker = world.read()
    assert ids(broker) == {first.deployment, second.deployment}
    assert shape(broker.deployment(first.deployment), world) == expected(
        first,
        "rolled_back",
        sources={"ci": 2, "orchestrator": 1},
        places={"eu": "ended"},
        joins={old.index: DIGEST},
    )
    assert shape(broker.deployment(second.deployment), world) == expected(
        second,
        "running",
        sources={"ci": 1, "orchestrator": 1},
        places={"eu": "open"},
        joins={new.index: DIGEST},
    )
    assert instances(broker) == {
        "old": (first.deployment, 1, DIGEST, "confirmed"),
        "new": (second.deployment, 1, DIGEST, "confirmed"),
    }
    assert found(broker) == set()
    arrival_does_not_matter(world, told)


def test_23_old_pods_stay_with_the_old_deployment_whatever_they_say_later(world: World) -> None:
    first = world.say(ci("applied", place="eu", weight=5, run="one"), at=0)
    world.say(pod("old", place="eu"), at=MINUTE)
    world.say(ci("rolled_back", place="eu", run="one"), at=10 * MINUTE)
    world.say(ci("applied", place="eu", weight=5, run="two"), at=HOUR)
    world.say(pod("old", place="eu", basis="declared"), at=2 * HOUR)
    known = instances(world.read())
    assert known == {"old": (first.deployment, 1, DIGEST, "confirmed")}


def test_26_kubectl_rollout_undo_is_the_next_occurrence_of_the_earlier_release_and_unplanned(
    world: World,
) -> None:
    old = world.say(ci("applied", "v1", place="eu"), at=0)
    new = world.say(ci("applied", "v2", place="eu"), at=HOUR)
    undone = world.say(orchestrated("applied", "v1", place="eu"), at=2 * HOUR)
    world.say(pod("uid-1", "v1", place="eu"), at=2 * HOUR + MINUTE)
    broker = world.read()
    assert ids(broker) == {old.deployment, new.deployment}
    assert shape(broker.deployment(old.deployment), world) == expected(
        old,
        "running",
        sources={"orchestrator": 2},
        places={"eu": "live"},
        occurrences=["superseded", "running"],
        redeploy=True,
        unplanned=True,
        rollback_of=new.deployment,
    )
    assert shape(broker.deployment(new.deployment), world) == expected(
        new, "superseded", sources={"ci": 1}, places={"eu": "ended"}
    )
    assert found(broker) == {("unplanned_change", old.deployment)}
    assert undone.index in finding(broker, "unplanned_change")["indexes"]
    assert instances(broker) == {"uid-1": (old.deployment, 2, DIGEST, "confirmed")}


def test_26_the_occurrence_that_was_undone_to_keeps_what_was_said_of_it_before(
    world: World,
) -> None:
    old = world.say(ci("applied", "v1", place="eu"), at=0)
    world.say(pod("uid-0", "v1", place="eu"), at=MINUTE)
    world.say(ci("applied", "v2", place="eu"), at=HOUR)
    world.say(orchestrated("applied", "v1", place="eu"), at=2 * HOUR)
    first = world.read().deployment(f"{old.deployment}~1")
    assert first["state"] == "superseded"
    assert not first["unplanned"]
    assert set(first["sources"]) == {"ci", "orchestrator"}


def test_26_ci_run_again_after_an_undo_is_the_next_occurrence_of_what_was_undone(
    world: World,
) -> None:
    world.say(ci("applied", "v1", place="eu", attempt=1), at=0)
    new = world.say(ci("applied", "v2", place="eu", attempt=1), at=HOUR)
    world.say(orchestrated("applied", "v1", place="eu"), at=2 * HOUR)
    again = world.say(ci("applied", "v2", place="eu", attempt=2), at=3 * HOUR)
    assert (again.deployment, again.occurrence) == (new.deployment, 2)
    record = world.read().deployment(new.deployment)
    assert (record["occurrence"], record["state"]) == (2, LIVE)
    assert record["redeploy"]
    assert not record["unplanned"]


def test_26_an_undo_in_two_clusters_is_one_occurrence_in_two_places(world: World) -> None:
    for hour, release in enumerate(("v1", "v2")):
        for cluster in ("eu", "us"):
            world.say(ci("applied", release, place=cluster), at=hour * HOUR)
    for late, cluster in enumerate(("eu", "us")):
        world.say(orchestrated("applied", "v1", place=cluster), at=2 * HOUR + late)
    record = world.read().deployment(id_of(ci("applied", "v1")))
    assert [each["occurrence"] for each in record["occurrences"]] == [1, 2]
    assert places_of(record) == {"eu": "live", "us": "live"}


def test_27_a_rollback_of_ours_marks_the_bad_occurrence_and_the_release_returned_to_counts_once(
    world: World,
) -> None:
    platform = {"kind": "platform", "id": "deploymark"}
    good = world.say(ci("applied", "v1", place="eu"), at=0)
    bad = world.say(ci("applied", "v2", place="eu"), at=HOUR)
    begun = HOUR + 10 * MINUTE
    returned = {"rollback_of": bad.deployment}
    world.say(stated({**ci("rolling_back", "v2", place="eu"), "emitter": platform}), at=begun)
    intent = world.say(
        {**ci("planned", "v1", place="eu", rollout=returned), "emitter": platform}, at=begun + 1
    )
    done = world.say(orchestrated("applied", "v1", place="eu"), at=begun + MINUTE)
    world.say(pod("uid-9", "v1", place="eu"), at=begun + MINUTE + 5)
    world.say({**ci("rolled_back", "v2", place="eu"), "emitter": platform}, at=begun + 2 * MINUTE)
    assert (intent.deployment, intent.occurrence) == (good.deployment, 2)
    broker = world.read()
    assert ids(broker) == {good.deployment, bad.deployment}
    assert shape(broker.deployment(good.deployment), world) == expected(
        good,
        "running",
        sources={"platform": 1, "orchestrator": 2},
        places={"eu": "live"},
        occurrences=["superseded", "running"],
        redeploy=True,
        rollback_of=bad.deployment,
    )
    assert shape(broker.deployment(bad.deployment), world) == expected(
        bad, "rolled_back", sources={"ci": 1, "platform": 2}, places={"eu": "ended"}
    )
    joined = {each["index"]: each["rule"] for each in broker.deployment(good.deployment)["joins"]}
    assert joined[done.index] == DIGEST
    assert found(broker) == set()


def test_27_until_it_is_done_the_bad_one_is_rolling_back(world: World) -> None:
    world.say(ci("applied", "v1", place="eu"), at=0)
    bad = world.say(ci("applied", "v2", place="eu"), at=HOUR)
    platform = {"kind": "platform", "id": "deploymark"}
    world.say({**ci("rolling_back", "v2", place="eu"), "emitter": platform}, at=HOUR + MINUTE)
    assert world.read().deployment(bad.deployment)["state"] == "rolling_back"


def test_29_two_services_that_share_an_image_are_joined_by_service_never_by_image_alone(
    world: World,
) -> None:
    shop: Fields = {"service": "checkout"}
    cart: Fields = {"service": "cart"}
    told = [
        world.say(ci("applied", place="eu", **shop), at=0),
        world.say(ci("applied", place="eu", **cart), at=1),
        world.say(pod("shop-1", place="eu", **shop), at=MINUTE),
        world.say(pod("cart-1", place="eu", **cart), at=MINUTE + 1),
    ]
    broker = world.read()
    assert ids(broker) == {told[0].deployment, told[1].deployment}
    assert instances(broker) == {
        "shop-1": (told[0].deployment, 1, DIGEST, "confirmed"),
        "cart-1": (told[1].deployment, 1, DIGEST, "confirmed"),
    }
    assert set(instances(broker, service="cart")) == {"cart-1"}
    for each, seen in zip(told[:2], told[2:], strict=True):
        assert shape(broker.deployment(each.deployment), world) == expected(
            each,
            "running",
            sources={"ci": 1, "orchestrator": 1},
            places={"eu": "live"},
            joins={seen.index: DIGEST},
        )
    assert found(broker) == set()
    arrival_does_not_matter(world, told)


def test_29_the_image_of_another_service_is_an_unplanned_change(world: World) -> None:
    shop = world.say(ci("applied", place="eu"), at=0)
    world.say(pod("cart-1", place="eu", service="cart"), at=MINUTE)
    broker = world.read()
    (own,) = ids(broker, service="cart")
    assert ids(broker) == {shop.deployment, own}
    assert instances(broker) == {"cart-1": (own, 1, UNPLANNED, "confirmed")}
    assert found(broker) == {("unplanned_change", own)}


def test_an_explicit_id_joins_long_after_the_deployment_has_ended(world: World) -> None:
    old = world.say(ci("applied", "v1", place="eu"), at=0)
    world.say(ci("applied", "v2", place="eu"), at=HOUR)
    label = {"deployment_id": old.deployment}
    world.say(pod("uid-1", "v1", place="eu", **label), at=5 * HOUR)
    broker = world.read()
    assert instances(broker) == {"uid-1": (old.deployment, 1, EXPLICIT, "confirmed")}
    assert found(broker) == set()
    assert action_of("v1") == broker.deployment(old.deployment)["action"]
