"""What follows from time: the watchers' findings about what is missing, late or silent."""

from typing import Any

import pytest
from broker_checks import (
    LIVE,
    order_does_not_matter,
    stage,
)
from broker_markers import DAY, HOUR, MINUTE, ci, gone, pod
from broker_reading import Broker
from broker_world import World

from deploymark.projections.broker import standing, watch
from deploymark.projections.broker.watch import _unknown
from deploymark.projections.expectations import ExpectedEnvironment

CLUSTERS = ("eu", "us", "ap")
EXPECTED = {
    "services": {
        "checkout": {"environments": {"prod": {"clusters": list(CLUSTERS)}}},
    }
}


def open_codes(broker: Broker, deployment: str) -> set[str]:
    return {each["code"] for each in broker.findings(state="open", deployment_id=deployment)}


def test_20_the_applied_that_was_lost_is_missing_until_it_comes(world: World) -> None:
    planned = world.say(ci("planned", place="eu"), at=0)
    world.say(pod("uid-1", place="eu"), at=MINUTE)
    broker = world.watch(2 * HOUR)
    assert "marker_missing" in open_codes(broker, planned.deployment)
    assert stage(broker.deployment(planned.deployment)["state"]) == LIVE
    world.say(ci("applied", place="eu"), at=2 * HOUR + MINUTE, claimed=30)
    broker = world.watch(2 * HOUR + 5 * MINUTE)
    assert "marker_missing" not in open_codes(broker, planned.deployment)


def test_a_complete_deployment_has_no_findings_a_day_later(world: World) -> None:
    applied = world.say(ci("planned", place="eu"), at=0)
    world.say(ci("applied", place="eu"), at=MINUTE)
    world.say(pod("uid-1", place="eu", basis="declared"), at=MINUTE + 5)
    world.say(pod("uid-1", place="eu"), at=MINUTE + 10)
    for at in (2 * MINUTE, HOUR, 2 * DAY):
        assert world.watch(at).findings(state="all") == []
    assert stage(world.read().deployment(applied.deployment)["state"]) == LIVE


def test_an_intent_of_which_nothing_more_is_heard_is_unconfirmed_until_something_is(
    world: World,
) -> None:
    planned = world.say(ci("planned", place="eu"), at=0)
    assert "intent_unconfirmed" not in open_codes(world.watch(14 * MINUTE), planned.deployment)
    assert "intent_unconfirmed" in open_codes(world.watch(16 * MINUTE), planned.deployment)
    world.say(ci("applied", place="eu"), at=20 * MINUTE)
    assert "intent_unconfirmed" not in open_codes(world.watch(21 * MINUTE), planned.deployment)


def test_24_a_rollout_is_partial_while_an_expected_cluster_is_late() -> None:
    with World(EXPECTED) as world:
        told = [world.say(ci("planned", place=cluster), at=0) for cluster in CLUSTERS]
        for cluster in CLUSTERS[:2]:
            world.say(ci("applied", place=cluster), at=MINUTE)
        deployment = told[0].deployment
        assert "rollout_partial" not in open_codes(world.watch(10 * MINUTE), deployment)
        assert "rollout_partial" in open_codes(world.watch(20 * HOUR), deployment)
        world.say(ci("applied", place="ap"), at=DAY)
        assert "rollout_partial" not in open_codes(world.watch(DAY + MINUTE), deployment)
        order_does_not_matter(world)


def replaced(world: World, **more: Any) -> str:  # noqa: ANN401 - any field
    """Deploy v1 with two instances, then v2 with one; return the id of v2."""
    world.say(ci("applied", "v1", place="eu", **more), at=0)
    for uid in ("old-1", "old-2"):
        world.say(pod(uid, "v1", place="eu"), at=MINUTE)
    new = world.say(ci("applied", "v2", place="eu", **more), at=HOUR)
    world.say(pod("new-1", "v2", place="eu"), at=HOUR + MINUTE)
    return new.deployment


def test_a_version_that_runs_on_beside_the_new_one_leaves_the_rollout_partial_until_it_ends(
    world: World,
) -> None:
    new = replaced(world)
    assert "rollout_partial" not in open_codes(world.watch(HOUR + 20 * MINUTE), new)
    broker = world.watch(HOUR + 40 * MINUTE)
    assert "rollout_partial" in open_codes(broker, new)
    (finding,) = broker.findings(code="rollout_partial")
    assert (
        f"{new}~1 of checkout in prod is live, and instances run on: 2 of d-"
        in (finding["message"])
    )
    assert finding["message"].endswith("~1 in eu.")
    world.say(gone("old-1", "v1", place="eu"), at=2 * HOUR)
    assert "rollout_partial" in open_codes(world.watch(2 * HOUR + MINUTE), new)
    world.say(gone("old-2", "v1", place="eu"), at=2 * HOUR + 2 * MINUTE)
    assert "rollout_partial" not in open_codes(world.watch(2 * HOUR + 3 * MINUTE), new)


def test_instances_that_end_within_the_deadline_are_nothing(world: World) -> None:
    new = replaced(world)
    for uid in ("old-1", "old-2"):
        world.say(gone(uid, "v1", place="eu"), at=HOUR + 10 * MINUTE)
    for at in (HOUR + 20 * MINUTE, 3 * HOUR):
        assert "rollout_partial" not in open_codes(world.watch(at), new)


def test_what_a_cut_off_cluster_never_ended_is_laid_to_no_later_deployment(world: World) -> None:
    # The cluster is silent while v2 comes: nobody says that the instances of v1 have ended.
    replaced(world)
    world.say(gone("new-1", "v2", place="eu"), at=2 * HOUR)
    newest = world.say(ci("applied", "v3", place="eu"), at=2 * HOUR)
    world.say(pod("newest-1", "v3", place="eu"), at=2 * HOUR + MINUTE)
    assert "rollout_partial" not in open_codes(world.watch(4 * HOUR), newest.deployment)


BESIDE: dict[str, dict[str, Any]] = {
    "blue and green": {"rollout": {"strategy": "blue_green"}},
    "a canary": {"rollout": {"strategy": "canary"}},
    "a shadow": {"rollout": {"strategy": "shadow"}},
    "a colour": {"target": {"cluster": "eu", "colour": "green"}},
}


@pytest.mark.parametrize("more", BESIDE.values(), ids=BESIDE)
def test_what_is_meant_to_stand_beside_the_one_before_is_not_partial(
    world: World, more: dict[str, Any]
) -> None:
    new = replaced(world, **more)
    assert "rollout_partial" not in open_codes(world.watch(3 * HOUR), new)


@pytest.mark.parametrize("track", ["canary", "baseline", "blue", "green"])
def test_instances_of_another_track_are_not_left_over(world: World, track: str) -> None:
    world.say(ci("applied", "v1", place="eu"), at=0)
    world.say(pod("old-1", "v1", place="eu", rollout={"track": track}), at=MINUTE)
    new = world.say(ci("applied", "v2", place="eu"), at=HOUR)
    assert "rollout_partial" not in open_codes(world.watch(3 * HOUR), new.deployment)


def test_the_same_artifact_under_another_deployment_need_not_start_again(world: World) -> None:
    world.say(ci("applied", "v1", run="1", place="eu"), at=0)
    world.say(pod("old-1", "v1", place="eu"), at=MINUTE)
    again = world.say(ci("applied", "v1", run="2", place="eu"), at=HOUR)
    assert "rollout_partial" not in open_codes(world.watch(3 * HOUR), again.deployment)


def test_who_only_says_itself_that_it_began_may_have_ended_without_a_word(world: World) -> None:
    world.say(ci("applied", "v1", place="eu"), at=0)
    world.say(pod("old-1", "v1", place="eu", basis="self_observed"), at=MINUTE)
    new = world.say(ci("applied", "v2", place="eu"), at=HOUR)
    assert "rollout_partial" not in open_codes(world.watch(3 * HOUR), new.deployment)


def test_what_is_open_and_silent_for_a_day_is_failed_by_a_watcher_that_says_so(
    world: World,
) -> None:
    planned = world.say(ci("planned", place="eu"), at=0)
    assert world.watch(23 * HOUR).deployment(planned.deployment)["state"] == "planned"
    record = world.watch(25 * HOUR).deployment(planned.deployment)
    assert record["state"] == "failed"
    assert "platform" in record["sources"]


def test_what_is_live_may_be_silent_for_a_week(world: World) -> None:
    applied = world.say(ci("applied", place="eu"), at=0)
    assert stage(world.watch(7 * DAY).deployment(applied.deployment)["state"]) == LIVE


def test_a_watcher_that_looks_again_appends_nothing(world: World) -> None:
    world.say(ci("planned", place="eu"), at=0)
    world.watch(HOUR)
    size = len(world.leaves())
    world.watch(HOUR + 1)
    world.watch(2 * HOUR)
    assert len(world.leaves()) == size


@pytest.mark.parametrize(
    ("known", "lacking"),
    [
        ({"eu": 2, "us": 1}, []),
        ({"eu": 2}, ["us"]),
        ({None: 3}, []),
        ({None: 1, "eu": 1}, ["us"]),
        ({None: 1, "eu": 2}, []),
    ],
)
def test_who_did_not_say_in_which_cluster_it_runs_may_run_in_any(
    known: dict[str | None, int], lacking: list[str]
) -> None:
    expected = ExpectedEnvironment(clusters=("eu", "us"), instances={"eu": 2, "us": 1})
    assert [cluster for cluster, _ in _unknown(expected, known)] == lacking


def test_what_was_not_looked_at_is_not_healed(monkeypatch: pytest.MonkeyPatch) -> None:
    with World() as world:
        lost = world.say(pod("uid-1", place="eu"), at=0)
        assert "marker_missing" in open_codes(world.watch(HOUR), lost.deployment)
        monkeypatch.setattr(standing, "MAX_RUNS", 2)
        for number in range(6):
            world.say({**ci("planned", f"v{number}"), "service": f"another-{number}"}, at=HOUR)
        assert "marker_missing" in open_codes(world.watch(HOUR + 1, idle=8), lost.deployment)
        world.say(ci("applied", "v1", place="eu"), at=HOUR + 10)
        broker = world.watch(HOUR + 20, idle=8)
        assert "marker_missing" not in open_codes(broker, lost.deployment)


def test_what_one_look_may_not_say_the_next_one_says(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[int] = []
    look = watch.Watchers.look

    def counted(watchers: watch.Watchers, now_ms: int) -> int:
        said.append(look(watchers, now_ms))
        return said[-1]

    monkeypatch.setattr(watch.Watchers, "look", counted)
    monkeypatch.setattr(watch, "MAX_SAID", 2)
    with World() as world:
        for number in range(5):
            world.say({**ci("planned", f"v{number}"), "service": f"another-{number}"}, at=0)
        assert len(world.watch(HOUR).findings(code="intent_unconfirmed")) == 5
    assert said == [0, 2, 2, 1, 0, 0]


def test_what_comes_late_with_its_neighbours_behind_it_is_no_trouble() -> None:
    with World() as world:
        # Its clock is ten minutes behind; `applied` is a moment behind it.
        said = world.say(pod("uid-1", place="eu"), at=0)
        assert "marker_missing" not in open_codes(world.watch(HOUR, idle=1), said.deployment)
        assert "marker_missing" in open_codes(world.watch(HOUR, idle=2), said.deployment)
