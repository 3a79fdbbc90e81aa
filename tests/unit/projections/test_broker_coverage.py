"""How many of the expected instances run what was deployed, and where."""

from broker_checks import (
    LIVE,
    counts,
    instances,
    order_does_not_matter,
    stage,
)
from broker_markers import HOUR, MINUTE, ci, gone, pod
from broker_reading import Item, Settings
from broker_world import World


def expecting(instances: int | dict[str, int], *clusters: str) -> Settings:
    prod = {"clusters": list(clusters), "instances": instances}
    return {"services": {"checkout": {"environments": {"prod": prod}}}}


def by_cluster(record: Item) -> dict[str, tuple[int | None, int, int]]:
    return {each["cluster"]: counts(each) for each in record["coverage"]["by"]}


def test_expected_confirmed_and_mismatched_are_counted_by_cluster() -> None:
    with World(expecting({"eu": 3, "us": 1}, "eu", "us")) as world:
        applied = [
            world.say(ci("applied", "v1", place=cluster, version="1"), at=0)
            for cluster in ("eu", "us")
        ]
        for uid, release, cluster in (
            ("eu-1", "v1", "eu"),
            ("eu-2", "v1", "eu"),
            ("us-1", "other", "us"),
        ):
            world.say(pod(uid, release, place=cluster, version="1"), at=MINUTE)
        broker = world.read()
        record = broker.deployment(applied[0].deployment)
        assert counts(record["coverage"]) == (4, 2, 1)
        assert by_cluster(record) == {"eu": (3, 2, 0), "us": (1, 0, 1)}
        rows = {each["cluster"]: counts(each) for each in broker.coverage(by="cluster")}
        assert rows == {"eu": (3, 2, 0), "us": (1, 0, 1)}
        order_does_not_matter(world)


def test_coverage_of_many_places_comes_page_by_page() -> None:
    with World() as world:
        world.say(ci("applied"), at=0)
        places = [f"c{number:02}" for number in range(60)]
        for place in places:
            world.say(pod(f"uid-{place}", place=place), at=MINUTE)
        found = world.read().coverage(by="cluster")
        assert [each["cluster"] for each in found] == places


def test_what_only_declares_itself_confirms_nothing() -> None:
    with World(expecting({"eu": 2}, "eu")) as world:
        applied = world.say(ci("applied", place="eu"), at=0)
        world.say(pod("eu-1", place="eu", basis="declared"), at=MINUTE)
        world.say(pod("eu-2", place="eu"), at=MINUTE)
        record = world.read().deployment(applied.deployment)
        assert counts(record["coverage"]) == (2, 1, 0)


def test_an_instance_that_ended_is_neither_listed_nor_counted() -> None:
    with World(expecting({"eu": 2}, "eu")) as world:
        applied = world.say(ci("applied", place="eu"), at=0)
        for uid in ("eu-1", "eu-2"):
            world.say(pod(uid, place="eu"), at=MINUTE)
        world.say(gone("eu-1", place="eu"), at=HOUR)
        broker = world.read()
        assert set(instances(broker)) == {"eu-2"}
        assert counts(broker.deployment(applied.deployment)["coverage"]) == (2, 1, 0)
        assert stage(broker.deployment(applied.deployment)["state"]) == LIVE
        order_does_not_matter(world)


def test_the_end_of_the_old_instances_is_no_mismatch_of_the_new_release() -> None:
    with World(expecting({"eu": 1}, "eu")) as world:
        world.say(ci("applied", "v1", place="eu"), at=0)
        world.say(pod("old", "v1", place="eu"), at=MINUTE)
        new = world.say(ci("applied", "v2", place="eu"), at=HOUR)
        world.say(pod("new", "v2", place="eu"), at=HOUR + 10)
        world.say(gone("old", "v1", place="eu"), at=HOUR + MINUTE)
        broker = world.read()
        assert counts(broker.deployment(new.deployment)["coverage"]) == (1, 1, 0)
        assert broker.findings(state="open", code="digest_mismatch") == []


def test_instances_are_found_by_place_status_and_deployment() -> None:
    with World() as world:
        applied = world.say(ci("applied"), at=0)
        world.say(pod("eu-1", place={"cluster": "eu", "zone": "a"}), at=MINUTE)
        world.say(pod("us-1", place="us", basis="declared"), at=MINUTE)
        broker = world.read()
        assert set(instances(broker, cluster="eu")) == {"eu-1"}
        assert set(instances(broker, status="unproven")) == {"us-1"}
        assert set(instances(broker, deployment_id=applied.deployment)) == {"eu-1", "us-1"}
        assert broker.instances(cluster="eu")[0]["zone"] == "a"
