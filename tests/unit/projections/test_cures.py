"""A digest that should not run is a finding for as long as it runs."""

from broker_markers import HOUR, MINUTE, ci, gone, pod, target_of
from broker_reading import Broker
from broker_world import World, moment


def mismatches(broker: Broker, deployment: str) -> list[tuple[str, str | None]]:
    """Return state and end of the findings of mismatched digests of a deployment."""
    found = broker.deployment(deployment)["findings"]
    return [
        (each["state"], each["closed_at"]) for each in found if each["code"] == "digest_mismatch"
    ]


def test_a_mismatch_is_over_when_the_last_instance_that_had_it_has_ended(world: World) -> None:
    applied = world.say(ci("applied", "v1", place="eu"), at=0)
    label = {"deployment_id": applied.deployment}
    world.say(pod("uid-1", "v1", place="eu", **label), at=MINUTE)
    world.say(pod("uid-2", "v2", place="eu", **label), at=HOUR)
    world.say(pod("uid-3", "v2", place="eu", **label), at=HOUR + 1)
    world.say(gone("uid-2", "v2", place="eu"), at=2 * HOUR)
    assert mismatches(world.read(), applied.deployment) == [("open", None)]
    world.say(gone("uid-3", "v2", place="eu"), at=3 * HOUR)
    assert mismatches(world.read(), applied.deployment) == [("closed", moment(3 * HOUR))]


def test_it_is_open_again_when_another_instance_has_it(world: World) -> None:
    applied = world.say(ci("applied", "v1", place="eu"), at=0)
    label = {"deployment_id": applied.deployment}
    world.say(pod("uid-2", "v2", place="eu", **label), at=HOUR)
    world.say(gone("uid-2", "v2", place="eu"), at=2 * HOUR)
    world.say(pod("uid-4", "v2", place="eu", **label), at=3 * HOUR)
    assert mismatches(world.read(), applied.deployment) == [("open", None)]


def test_an_instance_that_another_one_replaced_under_its_name_has_ended(world: World) -> None:
    applied = world.say(ci("applied", "v1", place="eu"), at=0)
    label = {"deployment_id": applied.deployment}
    first, second = (
        {**target_of("eu"), "instance": "shop-0", "instance_uid": uid} for uid in ("uid-2", "uid-3")
    )
    world.say(pod("uid-2", "v2", target=first, **label), at=HOUR)
    assert mismatches(world.read(), applied.deployment) == [("open", None)]
    world.say(pod("uid-3", "v1", target=second, **label), at=2 * HOUR)
    (found,) = mismatches(world.read(), applied.deployment)
    assert found[0] == "closed"
