"""Stories that make no sense, which the broker must nevertheless take for what they are.

No truth is known here. What must hold of every story: the order of its leaves and the batches in
which they are read change nothing, no word is lost, and what one answer says fits the others.
"""

from dataclasses import dataclass
from typing import Any

from broker_checks import order_does_not_matter
from broker_markers import HOUR, MINUTE, Fields, change, ci, gone, id_of, orchestrated, pod
from broker_reading import Broker
from broker_world import World
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

_FEW = settings(
    max_examples=10,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)
_RELEASES = ("v1", "v2")
_PLACES = (None, "eu", "us", {"cluster": "eu", "workload": "deploy/shop"})
_PHASES = ("planned", "applying", "applied", "applied", "promoted", "failed", "rolled_back")


@dataclass(frozen=True)
class Word:
    """One marker, when it is received, and how much later than claimed."""

    fields: Fields
    at: int
    late: int
    numbered: bool


@st.composite
def words(draw: st.DrawFn, at: int) -> Word:
    """Draw something that somebody says."""
    release, place = draw(st.sampled_from(_RELEASES)), draw(st.sampled_from(_PLACES))
    more: Fields = draw(
        st.sampled_from(({}, {"version": "1"}, {"change_tickets": ["CHG1"], "version": "2"}))
    )
    label: Fields = draw(
        st.sampled_from(({}, {}, {"deployment_id": id_of(ci("planned", "v1"))}, _GIVEN))
    )
    basis = draw(st.sampled_from(("observed", "declared")))
    uid = f"uid-{draw(st.integers(1, 3))}"
    phase = draw(st.sampled_from(_PHASES))
    weight = draw(st.sampled_from((None, None, 5, 100)))
    attempt = draw(st.sampled_from((None, 1, 2)))
    run = draw(st.sampled_from((None, None, "again")))
    kind = draw(st.integers(0, 5))
    fields = (
        ci(phase, release, run=run, place=place, weight=weight, attempt=attempt, **more),
        ci(phase, release, run=run, place=place, attempt=attempt, artifact=None),
        orchestrated("applied", release, place=place, **more, **label),
        pod(uid, release, place=place, basis=basis, **more, **label),
        gone(uid, release, place=place, **label),
        change(phase, "config", "settings", revision=release, place=place),
    )[kind]
    late = draw(st.sampled_from((0, 0, 0, 30, 20 * MINUTE, -10 * MINUTE)))
    return Word(fields, at, late, numbered=draw(st.booleans()))


_GIVEN: Fields = {"deployment_id": "given-by-hand"}


@st.composite
def stories(draw: st.DrawFn) -> list[Word]:
    """Draw what is said, in the order in which it arrives."""
    told, at = [], 0
    for _ in range(draw(st.integers(3, 14))):
        at += draw(st.sampled_from((0, 1, MINUTE, 12 * MINUTE, HOUR)))
        told.append(draw(words(at)))
    return told


def tell(world: World, story: list[Word]) -> list[int]:
    """Say all of it and return the indexes at which something new stands."""
    said = [
        world.say(word.fields, at=word.at, claimed=word.at - word.late, numbered=word.numbered)
        for word in story
    ]
    return [each.index for each in said if not each.refused and not each.duplicate]


def every_record(broker: Broker) -> list[dict[str, Any]]:
    """Return all occurrences of all deployments."""
    return [
        broker.deployment(f"{record['deployment_id']}~{each['occurrence']}")
        for record in broker.deployments()
        for each in record["occurrences"]
    ]


@_FEW
@given(story=stories())
def test_the_order_of_the_leaves_changes_nothing(story: list[Word]) -> None:
    with World() as world:
        tell(world, story)
        order_does_not_matter(world)


@_FEW
@given(story=stories())
def test_the_batches_change_nothing(story: list[Word]) -> None:
    with World() as world:
        tell(world, story)
        size = len(world.leaves())
        replayed = world.read()
        for batches, restarting in ((range(size), False), (range(0, size, 3), True)):
            followed = world.read(batches=batches, restarting=restarting)
            assert followed.dump() == replayed.dump()


@_FEW
@given(story=stories())
def test_what_one_answer_says_fits_the_others(story: list[Word]) -> None:
    with World() as world:
        new = tell(world, story)
        broker = world.read()
        records = every_record(broker)
    names = [record["deployment_id"] for record in broker_ids(records)]
    assert len(names) == len(set(names))
    assert {record["occurrence"] for record in records} <= set(range(1, len(new) + 1))
    for record in records:
        numbers = [each["occurrence"] for each in record["occurrences"]]
        assert numbers == sorted(set(numbers))
        assert sum(each["markers"] for each in record["sources"].values()) >= 1
        assert {each["index"] for each in record["joins"]} <= set(new)
    joined = [each["index"] for record in records for each in record["joins"]]
    assert len(joined) == len(set(joined))
    spoken = sum(each["markers"] for record in records for each in record["sources"].values())
    assert spoken <= len(new)


def broker_ids(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one record of each deployment and kind."""
    return [each for each in records if each["occurrence"] == each["occurrences"][-1]["occurrence"]]


@_FEW
@given(story=stories())
@example(story=[])
def test_every_instance_belongs_to_a_deployment_that_can_be_read(story: list[Word]) -> None:
    with World() as world:
        tell(world, story)
        broker = world.read()
        for each in broker.instances():
            name = f"{each['deployment_id']}~{each['occurrence']}"
            record = broker.deployment(name)
            assert record["occurrence"] == each["occurrence"]
            assert set(record["sources"]) & {"orchestrator", "runtime"}
        for each in broker.findings(state="all"):
            if each["deployment_id"] is not None:
                broker.deployment(each["deployment_id"])
