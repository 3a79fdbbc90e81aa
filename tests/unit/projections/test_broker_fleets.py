"""The broker's records of random fleets, held to what really happened there.

Histories are drawn; the witnesses' complete accounts follow from them; what arrives is drawn
again. So every expectation is known without looking at what the broker makes of it.
"""

from typing import Any

import pytest
from broker_checks import LIVE, counts, found, instances, order_does_not_matter, places_of, stage
from broker_fleet import Fleet, Loss, all_of, deliver, fleets, losses
from broker_markers import own_id
from broker_reading import Broker, Item
from broker_truth import by_id, complete_records, expected_instances, score
from broker_world import World
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

# A smaller fleet explains little more, and looking for one takes minutes.
_PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
_FEW, _MANY = (settings(max_examples=examples, phases=_PHASES) for examples in (5, 12))

WHAT_IT_IS = ("deployment_id", "occurrence", "service", "environment", "kind", "key", "action")
"""The identity of a record, which no loss of one witness may change."""


def looked_at(record: Item) -> dict[str, Any]:
    """Return what `complete_records` states."""
    state = stage(record["state"])
    running = state == LIVE
    sources = {kind: each["markers"] for kind, each in record["sources"].items()}
    return {
        "service": record["service"],
        "state": state,
        "occurrences": len(record["occurrences"]),
        "unplanned": record["unplanned"],
        "redeploy": record["redeploy"],
        "rollback_of": (record["rollback_of"] or "").partition("~")[0] or None,
        "aliases": record["aliases"],
        "places": places_of(record),
        "spoke": {kind: n for kind, n in sources.items() if kind != "orchestrator"},
        "orchestrator": "orchestrator" in sources,
        "binding": record["binding"] if running else None,
        "missing": None if record["state"] == "failed" else record["missing_sources"],
        "coverage": counts(record["coverage"]) if running else None,
    }


def is_complete(broker: Broker, fleet: Fleet) -> None:
    records = {name: looked_at(each) for name, each in by_id(broker).items()}
    assert records == complete_records(fleet)
    assert instances(broker) == expected_instances(fleet)
    assert found(broker) == set()


@_MANY
@given(fleet=fleets())
def test_when_nothing_is_lost_the_records_are_the_history(fleet: Fleet) -> None:
    with World(fleet.settings()) as world:
        told = deliver(world, fleet, all_of(fleet), Loss())
        broker = world.read()
        is_complete(broker, fleet)
        result = score(told, broker)
        assert (result.precision, result.recall) == (1.0, 1.0)


@_FEW
@given(fleet=fleets(), how=losses(losing=False))
def test_what_comes_late_twice_and_out_of_order_gives_the_same_deployments(
    fleet: Fleet, how: Loss
) -> None:
    with World(fleet.settings()) as world:
        told = deliver(world, fleet, all_of(fleet), how)
        broker = world.read()
        result = score(told, broker)
        assert (result.precision, result.recall) == (1.0, 1.0)
        records, expected = by_id(broker), complete_records(fleet)
        assert set(records) == set(expected)
        for name, record in records.items():
            spoke = looked_at(record)["spoke"]
            if record["occurrence"] == 1:
                assert spoke == expected[name]["spoke"]
        assert {uid: each[0] for uid, each in instances(broker).items()} == {
            uid: each[0] for uid, each in expected_instances(fleet).items()
        }


@_MANY
@given(fleet=fleets(ending=False), how=losses(losing=True))
def test_whatever_is_lost_evidence_is_joined_to_the_right_deployment(
    fleet: Fleet, how: Loss
) -> None:
    with World(fleet.settings()) as world:
        told = deliver(world, fleet, all_of(fleet), how)
        result = score(told, world.read())
        assert (result.precision, result.recall) == (1.0, 1.0)


@_FEW
@given(
    fleet=fleets(labelled=False, distinct=False, failing=False, ending=False),
    how=losses(losing=False),
)
def test_releases_that_share_a_digest_are_told_apart_by_time(fleet: Fleet, how: Loss) -> None:
    with World(fleet.settings()) as world:
        told = deliver(world, fleet, all_of(fleet), how)
        broker = world.read()
        result = score(told, broker)
        assert (result.precision, result.recall) == (1.0, 1.0)
        rollbacks = {name for name, each in by_id(broker).items() if each["rollback_of"]}
        returned = {each.deployment for each in fleet.releases if each.run.endswith("-2")}
        assert rollbacks == returned


@pytest.mark.parametrize("lost", ["ci", "orchestrator", "runtime"])
@_FEW
@given(fleet=fleets(labelled=True))
def test_losing_one_witness_changes_no_identity_and_is_said(lost: str, fleet: Fleet) -> None:
    with World(fleet.settings()) as world:
        deliver(world, fleet, all_of(fleet), Loss())
        whole = by_id(world.read())
    with World(fleet.settings()) as world:
        deliver(world, fleet, all_of(fleet, but=lost), Loss())
        broker = world.read()
    partial = by_id(broker)
    # What only CI ever spoke of is not known without it.
    spoken_of = {name for name, each in whole.items() if set(each["sources"]) - {lost}}
    assert set(partial) == spoken_of
    for name, record in partial.items():
        before = whole[name]
        kept = [part for part in WHAT_IT_IS if not (part == "action" and lost == "ci")]
        assert {part: record[part] for part in kept} == {part: before[part] for part in kept}
        assert record["digest"] == before["digest"]
        assert set(record["sources"]) == set(before["sources"]) - {lost}
        assert stage(record["state"]) == stage(before["state"])
        if lost in before["sources"]:
            assert lost in record["missing_sources"]
            assert lost not in before["missing_sources"]
    assert {uid: each[:3] for uid, each in instances(broker).items()}.items() <= {
        uid: each[:3] for uid, each in _all_instances(fleet).items()
    }.items()


def _all_instances(fleet: Fleet) -> dict[str, tuple[str, int, str, str]]:
    """As `expected_instances`, with those that ended: without the orchestrator nobody says so."""
    every = dict(expected_instances(fleet))
    for number in range(1, len(fleet.releases) + 1):
        every |= expected_instances(
            Fleet(fleet.releases[:number], fleet.clusters, fleet.size, fleet.labelled)
        )
    return every


@_FEW
@given(fleet=fleets(labelled=True))
def test_without_an_observer_the_binding_of_what_runs_is_unproven(fleet: Fleet) -> None:
    with World(fleet.settings()) as world:
        deliver(world, fleet, all_of(fleet, but="orchestrator"), Loss())
        broker = world.read()
        for service in fleet.services:
            latest = broker.deployment(fleet.live(service)[-1].deployment)
            assert latest["binding"] == "unproven"
        assert {each[3] for each in instances(broker).values()} == {"unproven"}


@_FEW
@given(fleet=fleets(labelled=False))
def test_without_ci_and_without_labels_every_release_is_an_unplanned_change_of_its_own(
    fleet: Fleet,
) -> None:
    with World(fleet.settings()) as world:
        deliver(world, fleet, all_of(fleet, but="ci"), Loss())
        broker = world.read()
        lines = [fleet.live(service) for service in fleet.services]
        own = {own_id(each.artifact, each.service) for line in lines for each in line}
        again = {
            own_id(line[-1].artifact, line[-1].service) for line in lines if line[-1].attempt > 1
        }
        records = by_id(broker)
        assert set(records) == own
        assert all(each["unplanned"] for each in records.values())
        assert all("ci" in each["missing_sources"] for each in records.values())
        running = {name for name, each in records.items() if stage(each["state"]) == LIVE}
        assert running == {own_id(line[-1].artifact, line[-1].service) for line in lines}
        every = broker.findings(state="all", code="unplanned_change")
        assert {each["deployment_id"].partition("~")[0] for each in every} == own
        # What was replaced is no longer anybody's to excuse.
        assert found(broker) == {("unplanned_change", name) for name in running}
        assert {name for name, each in records.items() if each["occurrence"] == 2} == again


@_FEW
@given(fleet=fleets(), how=losses(losing=True), data=st.data())
def test_views_that_follow_the_log_in_any_batches_equal_a_replay_byte_for_byte(
    fleet: Fleet, how: Loss, data: st.DataObject
) -> None:
    with World(fleet.settings()) as world:
        deliver(world, fleet, all_of(fleet), how)
        size = len(world.leaves())
        cuts = data.draw(st.lists(st.integers(0, size), max_size=12), label="batches")
        replayed = world.read()
        for batches, restarting in ((cuts, False), (range(0, size, 5), False), (cuts, True)):
            followed = world.read(batches=batches, restarting=restarting)
            assert followed.dump() == replayed.dump()
            assert followed.deployments() == replayed.deployments()
            assert followed.findings(state="all") == replayed.findings(state="all")


@settings(max_examples=3, phases=_PHASES)
@given(fleet=fleets(), how=losses(losing=True))
def test_the_same_leaves_in_another_order_give_the_same_fleet(fleet: Fleet, how: Loss) -> None:
    with World(fleet.settings()) as world:
        deliver(world, fleet, all_of(fleet), how)
        order_does_not_matter(world)
