"""A planned day: the same every time, true in itself, told by witnesses that leave nothing out."""

from collections import Counter
from itertools import groupby

import pytest

from deploymark.model.ids import ids_of_marker
from deploymark.testing.gameday.configuration import configuration
from deploymark.testing.gameday.deploy import Shape
from deploymark.testing.gameday.faults import ALL
from deploymark.testing.gameday.fleet import PREFIX, build_fleet
from deploymark.testing.gameday.message import Message
from deploymark.testing.gameday.plan import Day, Size, plan_day
from deploymark.testing.gameday.timing import Timing
from deploymark.testing.gameday.truth import LIVE

SIZE = Size(deployments=300, faults=63, services=15)
CODE_THAT_SUCCEEDS = {
    Shape.ROLLING,
    Shape.CANARY,
    Shape.BLUE_GREEN,
    Shape.MULTI_CLUSTER,
    Shape.ROLLBACK,
    Shape.RERUN,
}


@pytest.fixture(scope="module")
def day() -> Day:
    return plan_day(SIZE, seed=7, name="day")


@pytest.fixture(scope="module")
def quiet() -> Day:
    return plan_day(Size(300, 0, 15), seed=7, name="day")


def _said(day: Day) -> list[tuple[object, ...]]:
    return [
        (each.fields, each.emitter, each.sequence, each.at, each.leaves_at, each.lost)
        for each in day.messages
    ]


def test_the_same_seed_gives_the_same_day_and_another_one_another() -> None:
    first, again = (plan_day(SIZE, seed=7, name="day") for _ in range(2))
    other = plan_day(SIZE, seed=8, name="day")
    assert _said(first) == _said(again)
    assert [each.fault for each in first.injections] == [each.fault for each in again.injections]
    assert _said(first) != _said(other)


def test_two_days_share_no_deployment(day: Day) -> None:
    other = plan_day(SIZE, seed=7, name="other")
    ids = [{ids_of_marker(each.fields)[0] for each in one.messages} for one in (day, other)]
    assert ids[0].isdisjoint(ids[1])


def test_a_day_is_as_large_as_it_was_asked_to_be(day: Day, quiet: Day) -> None:
    assert len(day.world.deploys) == len(quiet.world.deploys) == SIZE.deployments
    assert len(day.injections) == SIZE.faults
    assert not quiet.injections
    assert {each.shape for each in quiet.world.deploys} == set(Shape) - {Shape.ABANDONED}


def test_every_kind_of_fault_is_injected_equally_often(day: Day) -> None:
    counted = Counter(each.fault for each in day.injections)
    assert counted.keys() == {each.name for each in ALL}
    assert set(counted.values()) == {SIZE.faults // len(ALL)}


def test_faults_do_not_begin_a_lane_and_fit_the_deploy(day: Day) -> None:
    kinds = {each.name: each for each in ALL}
    first = {each.lane.key: each for each in reversed(day.world.deploys)}
    for injection in day.injections:
        deploy, kind = injection.deploy, kinds[injection.fault]
        assert deploy is not first[deploy.lane.key]
        assert kind.fits(deploy.lane)


# The truth ---------------------------------------------------------------------------------------


def test_whatever_happened_the_expected_instances_run_at_the_end_of_each_deploy(quiet: Day) -> None:
    for deploy in quiet.world.deploys:
        running = quiet.world.running_at(deploy.ends).values()
        here = [each for each in running if each.deploy.lane is deploy.lane]
        assert len(here) == deploy.lane.instances, deploy
        if deploy.shape in CODE_THAT_SUCCEEDS:
            assert {each.deploy for each in here} == {deploy}


def test_deploys_of_a_lane_follow_each_other(day: Day) -> None:
    for _, group in groupby(day.world.deploys, key=lambda each: each.lane.key):
        deploys = list(group)
        ends = [each.ends for each in deploys[:-1]]
        starts = [each.starts for each in deploys[1:]]
        assert all(end < start for end, start in zip(ends, starts, strict=True))


def test_a_failing_deploy_leaves_what_ran_before(quiet: Day) -> None:
    failing = [each for each in quiet.world.deploys if each.fails]
    assert failing
    for deploy in failing:
        assert len(deploy.born) == 1
        assert deploy.born[0].ended is not None


def test_one_record_of_a_line_is_live_at_the_end(quiet: Day) -> None:
    lines: dict[object, list[frozenset[str]]] = {}
    for record in quiet.records:
        lines.setdefault(record.deploy.line, []).append(record.states)
    for states in lines.values():
        assert sum(each == LIVE for each in states) == (1 if states.count(LIVE) else 0)


def test_a_rerun_is_the_next_occurrence_of_the_same_deployment(quiet: Day) -> None:
    again = [each for each in quiet.records if each.deploy.shape is Shape.RERUN]
    ids = Counter(each.id for each in quiet.records)
    assert again
    assert all(ids[each.id] == each.occurrence == 2 for each in again)


def test_after_a_fault_the_lane_rests_until_it_must_have_been_found(day: Day) -> None:
    starts = {each.number: each.starts for each in day.world.deploys}
    for injection in day.injections:
        follower = starts.get(injection.deploy.number + 1)
        if follower is not None and follower > injection.deploy.starts:
            assert injection.held_until(day.timing) < follower


# The witnesses -----------------------------------------------------------------------------------


def _of(day: Day, number: int) -> list[Message]:
    return [each for each in day.messages if each.deploy == number]


def test_witnesses_of_a_quiet_day_leave_nothing_out(quiet: Day) -> None:
    for deploy in quiet.world.deploys:
        said = _of(quiet, deploy.number)
        running = Counter(each.instance_uid for each in said if each.phase == "running")
        assert running == {each.uid: 2 for each in deploy.born}
        gone = {each.instance_uid for each in said if each.phase == "removed"}
        assert gone == {each.uid for each in deploy.born if each.ended is not None}
        if deploy.shape in CODE_THAT_SUCCEEDS:
            assert {each.emitter.kind for each in said} == {"ci", "orchestrator", "runtime"}


def test_each_emitter_numbers_what_it_makes_without_a_gap(day: Day) -> None:
    made: dict[tuple[str, str | None], list[Message]] = {}
    for message in day.messages:
        made.setdefault((message.emitter.id, message.emitter.epoch), []).append(message)
    for (_, epoch), messages in made.items():
        in_order = sorted(messages, key=lambda each: each.at)
        wanted = range(len(messages)) if epoch else [None]
        assert [each.sequence for each in in_order] == list(wanted)


def test_every_marker_is_about_a_game_day(day: Day) -> None:
    for message in day.messages:
        assert message.fields["service"].startswith(PREFIX)
        assert message.fields["environment"].startswith(PREFIX)


# The pace and the configuration ------------------------------------------------------------------


def test_deadlines_are_compressed_and_clocks_are_not() -> None:
    timing = Timing(compression=150)
    text = configuration(7, 3, timing)
    assert "marker = 4\n" in text
    assert "rollout = 12\n" in text
    assert "stale = 2.5\n" in text
    assert "skew" not in text


def test_the_configuration_expects_the_fleet_that_is_played() -> None:
    text = configuration(7, 3, Timing())
    for lane in build_fleet(7, 3):
        assert f"[services.{lane.service.name}.environments.{lane.environment}]" in text
        for site in lane.sites:
            assert f"{site.cluster} = {site.instances}" in text
