"""Worked examples of spec/identity.md: one deployment in many places, and changes of one key.

The numbers are those of the specification.
"""

from broker_checks import (
    LIVE,
    arrival_does_not_matter,
    expected,
    found,
    ids,
    places_of,
    shape,
    stage,
)
from broker_markers import DAY, HOUR, MINUTE, change, ci
from broker_world import World

CLUSTERS = ("eu", "us", "ap")


def test_5_one_digest_in_two_clusters_with_one_job_each_is_one_deployment_in_two_places(
    world: World,
) -> None:
    told = [
        world.say(ci("applied", place="eu"), at=0),
        world.say(ci("applied", place="us"), at=MINUTE),
    ]
    broker = world.read()
    assert ids(broker) == {told[0].deployment}
    assert shape(broker.deployment(told[0].deployment), world) == expected(
        told[0], LIVE, sources={"ci": 2}, places={"eu": "live", "us": "live"}
    )
    assert found(broker) == set()
    arrival_does_not_matter(world, told)


def test_6_a_canary_of_5_25_and_100_percent_is_three_markers_and_one_deployment(
    world: World,
) -> None:
    told = [
        world.say(ci("applied", place="eu", weight=weight), at=number * MINUTE)
        for number, weight in enumerate((5, 25, 100))
    ]
    assert [each.duplicate for each in told] == [False, False, False]
    broker = world.read()
    assert ids(broker) == {told[0].deployment}
    assert shape(broker.deployment(told[0].deployment), world) == expected(
        told[0], LIVE, sources={"ci": 3}, places={"eu": "live"}
    )
    assert found(broker) == set()
    arrival_does_not_matter(world, told)


def test_6_a_canary_is_open_and_replaces_nothing_before_it_has_all_traffic(world: World) -> None:
    old = world.say(ci("applied", "v1", place="eu"), at=0)
    new = world.say(ci("applied", "v2", place="eu", weight=5), at=HOUR)
    world.say(ci("applied", "v2", place="eu", weight=25), at=HOUR + MINUTE)
    broker = world.read()
    assert places_of(broker.deployment(new.deployment)) == {"eu": "open"}
    assert places_of(broker.deployment(old.deployment)) == {"eu": "live"}
    assert stage(broker.deployment(old.deployment)["state"]) == LIVE
    world.say(ci("promoted", "v2", place="eu"), at=HOUR + 2 * MINUTE)
    broker = world.read()
    assert places_of(broker.deployment(new.deployment)) == {"eu": "live"}
    assert broker.deployment(old.deployment)["state"] == "superseded"


def test_18_a_lambda_alias_moved_back_is_a_rollback_by_digest(world: World) -> None:
    alias = {"workload": "shop:live"}
    first = world.say(ci("applied", "v1", place=alias), at=0)
    moved = world.say(ci("applied", "v2", place=alias), at=HOUR)
    back = world.say(ci("applied", "v1", place=alias), at=2 * HOUR)
    assert (back.deployment, back.occurrence) == (first.deployment, 2)
    broker = world.read()
    assert ids(broker) == {first.deployment, moved.deployment}
    assert shape(broker.deployment(first.deployment), world) == expected(
        first,
        LIVE,
        sources={"ci": 1},
        places={"shop:live": "live"},
        occurrences=["superseded", LIVE],
        redeploy=True,
        rollback_of=moved.deployment,
    )
    assert shape(broker.deployment(moved.deployment), world) == expected(
        moved, "superseded", sources={"ci": 1}, places={"shop:live": "ended"}
    )
    arrival_does_not_matter(world, [first, moved, back])


def test_18_the_second_lambda_alias_is_another_place(world: World) -> None:
    first = world.say(ci("applied", "v1", place={"workload": "shop:live"}), at=0)
    other = world.say(ci("applied", "v2", place={"workload": "shop:beta"}), at=HOUR)
    broker = world.read()
    assert shape(broker.deployment(first.deployment), world) == expected(
        first, LIVE, sources={"ci": 1}, places={"shop:live": "live"}
    )
    assert shape(broker.deployment(other.deployment), world) == expected(
        other, LIVE, sources={"ci": 1}, places={"shop:beta": "live"}
    )


def test_18_moving_one_alias_back_leaves_the_other_where_it_is(world: World) -> None:
    live, beta = {"workload": "shop:live"}, {"workload": "shop:beta"}
    first = world.say(ci("applied", "v1", place=live), at=0)
    moved = world.say(ci("applied", "v2", place=live), at=HOUR)
    world.say(ci("applied", "v2", place=beta), at=HOUR + MINUTE)
    world.say(ci("applied", "v1", place=live), at=2 * HOUR)
    broker = world.read()
    assert stage(broker.deployment(first.deployment)["state"]) == LIVE
    assert shape(broker.deployment(moved.deployment), world) == expected(
        moved, LIVE, sources={"ci": 2}, places={"shop:live": "ended", "shop:beta": "live"}
    )


def test_19_blue_green_blue_green_with_one_digest_each_is_four_cutovers(world: World) -> None:
    blue, green = {"cluster": "eu", "colour": "blue"}, {"cluster": "eu", "colour": "green"}
    told = [
        world.say(ci("applied", "v1", place=blue, weight=0), at=0),
        world.say(ci("applied", "v2", place=green, weight=0), at=MINUTE),
        world.say(ci("cutover", "v1", place=blue), at=HOUR),
        world.say(ci("cutover", "v2", place=green), at=2 * HOUR),
        world.say(ci("cutover", "v1", place=blue), at=3 * HOUR),
        world.say(ci("cutover", "v2", place=green), at=4 * HOUR),
    ]
    assert not any(each.duplicate for each in told)
    assert [each.repeat for each in told] == [0, 0, 0, 0, 1, 1]
    broker = world.read()
    assert ids(broker) == {told[0].deployment, told[1].deployment}
    for each in told[:2]:
        record = broker.deployment(each.deployment)
        assert record["sources"]["ci"]["markers"] == 3
        assert [one["occurrence"] for one in record["occurrences"]] == [1]
    assert found(broker) == set()


def test_24_of_three_clusters_the_one_that_is_a_day_late_is_open_until_it_applies(
    world: World,
) -> None:
    told = [world.say(ci("planned", place=cluster), at=0) for cluster in CLUSTERS]
    told += [
        world.say(ci("applied", place="eu"), at=MINUTE),
        world.say(ci("applied", place="us"), at=2 * MINUTE),
    ]
    broker = world.read()
    assert shape(broker.deployment(told[0].deployment), world) == expected(
        told[0],
        LIVE,
        sources={"ci": 5},
        places={"eu": "live", "us": "live", "ap": "open"},
    )
    told.append(world.say(ci("applied", place="ap"), at=DAY))
    broker = world.read()
    assert ids(broker) == {told[0].deployment}
    assert shape(broker.deployment(told[0].deployment), world) == expected(
        told[0],
        LIVE,
        sources={"ci": 6},
        places=dict.fromkeys(CLUSTERS, "live"),
    )
    assert found(broker) == set()
    arrival_does_not_matter(world, told)


def test_24_the_late_place_may_still_apply_after_the_others_have_gone_on(world: World) -> None:
    told = [world.say(ci("planned", "v1", place=cluster), at=0) for cluster in CLUSTERS]
    for number, release in enumerate(("v1", "v2")):
        for cluster in ("eu", "us"):
            world.say(ci("applied", release, place=cluster), at=(1 + number) * HOUR)
    world.say(ci("applied", "v1", place="ap"), at=DAY)
    broker = world.read()
    assert shape(broker.deployment(told[0].deployment), world) == expected(
        told[0],
        LIVE,
        sources={"ci": 6},
        places={"eu": "ended", "us": "ended", "ap": "live"},
    )


def test_25_failed_in_eu_and_applied_in_us_is_one_occurrence_with_two_place_states(
    world: World,
) -> None:
    told = [
        world.say(ci("planned", place="eu"), at=0),
        world.say(ci("planned", place="us"), at=0),
        world.say(ci("failed", place="eu"), at=MINUTE),
        world.say(ci("applied", place="us"), at=2 * MINUTE),
    ]
    assert [each.occurrence for each in told] == [1, 1, 1, 1]
    broker = world.read()
    assert ids(broker) == {told[0].deployment}
    assert shape(broker.deployment(told[0].deployment), world) == expected(
        told[0], LIVE, sources={"ci": 4}, places={"eu": "ended", "us": "live"}
    )
    assert found(broker) == set()
    arrival_does_not_matter(world, told)


def test_25_failed_in_every_cluster_is_failed(world: World) -> None:
    planned = world.say(ci("planned", place="eu"), at=0)
    world.say(ci("planned", place="us"), at=0)
    world.say(ci("failed", place="eu"), at=MINUTE)
    world.say(ci("failed", place="us"), at=2 * MINUTE)
    broker = world.read()
    assert shape(broker.deployment(planned.deployment), world) == expected(
        planned, "failed", sources={"ci": 4}, places={"eu": "ended", "us": "ended"}
    )


def test_28_a_flag_toggled_ten_times_is_ten_changes_of_one_key_and_supersedes_no_code(
    world: World,
) -> None:
    code = world.say(ci("applied", place="eu"), at=0)
    toggles = [
        world.say(
            change(
                "applied",
                "feature_flag",
                "new-checkout",
                value="on" if hour % 2 else "off",
                place="eu",
            ),
            at=hour * HOUR,
        )
        for hour in range(1, 11)
    ]
    assert not any(each.duplicate for each in toggles)
    broker = world.read()
    assert shape(broker.deployment(code.deployment), world) == expected(
        code, LIVE, sources={"ci": 1}, places={"eu": "live"}
    )
    changes = broker.deployments(kind="feature_flag")
    assert {each["key"] for each in changes} == {"new-checkout"}
    assert sum(len(each["occurrences"]) for each in changes) == 10
    on, off = (broker.deployment(each.deployment) for each in toggles[:2])
    assert (on["state"], off["state"]) == ("superseded", LIVE)
    assert {each["rollback_of"] for each in changes} == {None}
    assert ids(broker) == {code.deployment, *(each.deployment for each in toggles)}
    assert found(broker) == set()


def test_28_ten_revisions_of_one_flag_replace_each_other_and_nothing_else(world: World) -> None:
    code = world.say(ci("applied", place="eu"), at=0)
    other = world.say(change("applied", "feature_flag", "old", revision="1", place="eu"), at=1)
    told = [
        world.say(
            change("applied", "feature_flag", "new", revision=str(hour), place="eu"),
            at=hour * HOUR,
        )
        for hour in range(1, 11)
    ]
    broker = world.read()
    states = [broker.deployment(each.deployment)["state"] for each in told]
    assert states == ["superseded"] * 9 + [LIVE]
    assert stage(broker.deployment(code.deployment)["state"]) == LIVE
    assert stage(broker.deployment(other.deployment)["state"]) == LIVE
