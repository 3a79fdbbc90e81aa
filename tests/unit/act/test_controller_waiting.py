"""What the controller does where nothing can be known: it says so, waits, and never acts."""

from collections.abc import Iterator

import pytest
from rollout_world import SCOPE, RolloutWorld

from deploymark.act.scene import Terms
from deploymark.ports import Deed


@pytest.fixture
def world() -> Iterator[RolloutWorld]:
    with RolloutWorld() as world:
        world.stable()
        yield world


def test_a_source_that_goes_down_in_the_middle_holds_the_rollout_and_says_why(
    world: RolloutWorld,
) -> None:
    world.deploy("v2", weight=0)
    world.go_on(20)
    world.traffic.away = True
    world.go_on(700, tick=5)
    assert world.splitter.deeds == ["shift"]
    assert world.wants == ("hold", "undecided")
    last = world.entries("verdict")[-1]
    assert (last.result, last.advice) == ("inconclusive", "hold")
    assert "no_data" in last.reasons


def test_a_source_that_comes_back_lets_the_rollout_go_on(world: RolloutWorld) -> None:
    world.deploy("v2", weight=0)
    world.go_on(20)
    world.traffic.away = True
    world.go_on(120)
    world.traffic.away = False
    world.go_on(400)
    assert world.splitter.deeds == ["shift", "shift", "promote"]


def test_a_source_that_is_down_from_the_beginning_gives_no_first_traffic(
    world: RolloutWorld,
) -> None:
    world.traffic.away = True
    world.deploy("v2", weight=0)
    world.go_on(700, tick=5)
    assert world.splitter.deeds == []
    assert world.wants == ("hold", "guarded")


def test_without_a_control_nothing_passes_and_nothing_is_rolled_back(world: RolloutWorld) -> None:
    canary = world.deploy("v2", weight=0)
    while not world.splitter.deeds:
        world.go_on(1)
    world.traffic.share({**dict.fromkeys(world.traffic.changes[0][1], 0.0), canary: 50.0})
    world.traffic.errors[canary] = 0.5
    world.go_on(700, tick=5)
    assert world.splitter.deeds == ["shift"]
    assert world.wants == ("hold", "undecided")
    assert "no_control" in world.entries("verdict")[-1].reasons


def test_a_trickle_of_traffic_ends_with_a_person_and_not_with_a_deed(world: RolloutWorld) -> None:
    world.splitter.rate = 2.0
    world.deploy("v2", weight=0)
    world.go_on(800, tick=5)
    assert world.splitter.deeds == ["shift"]
    assert world.wants == ("hold", "undecided")
    assert {each.result for each in world.entries("verdict")} == {"inconclusive"}


@pytest.mark.parametrize("seconds", [3_600, -3_600])
def test_a_clock_that_jumps_by_an_hour_moves_nothing(world: RolloutWorld, seconds: float) -> None:
    canary = world.deploy("v2", weight=0)
    world.go_on(12)
    world.jump(seconds)
    world.traffic.errors[canary] = 0.3
    world.go_on(200, tick=2)
    assert world.splitter.deeds == ["shift"]
    # When the hour has come again it goes on with what it sees, and still changes nothing.
    world.go_on(4_000, tick=10)
    assert world.splitter.deeds == ["shift"]
    assert world.wants[0] == "hold"
    clock = next(
        each for each in world.controller.wanted[SCOPE].intent.guards if each.name == "no_loops"
    )
    assert not clock.held


@pytest.mark.parametrize("seconds", [3_600, -3_600])
@pytest.mark.parametrize("before", [0, 12])
def test_a_clock_that_jumped_holds_a_healthy_rollout_and_says_by_how_much(
    world: RolloutWorld, seconds: float, before: int
) -> None:
    world.go_on(1)
    world.deploy("v2", weight=0)
    world.go_on(before)
    world.jump(seconds)
    world.go_on(30)
    deeds = list(world.splitter.deeds)
    assert world.wants == ("hold", "clock_jumped")
    wanted = world.controller.wanted[SCOPE].intent
    assert "jumped by 1 h" in wanted.reason
    assert wanted.urgency == "ticket"
    world.go_on(60)
    assert world.splitter.deeds == deeds


def test_what_a_person_agrees_to_is_done_although_the_clock_jumped(world: RolloutWorld) -> None:
    canary = world.deploy("v2", weight=0)
    world.go_on(12)
    world.jump(3_600)
    world.go_on(10)
    assert world.splitter.deeds == ["shift"]
    world.ask("approve", canary)
    world.go_on(10)
    assert world.splitter.deeds == ["shift", "shift"]


def test_a_jump_of_the_clock_is_forgotten_after_a_day(world: RolloutWorld) -> None:
    world.deploy("v2", weight=0)
    world.jump(3_600)
    world.go_on(10)
    # The stable release serves on; the controller was not stopped meanwhile.
    world.go_on(90_000, tick=3_000)
    world.deploy("v3", weight=0)
    world.go_on(30)
    assert "shift" in world.splitter.deeds


def test_views_that_lag_behind_see_nothing_done_twice(world: RolloutWorld) -> None:
    world.deploy("v2", weight=0)
    for number in range(400):
        world.lag = number % 7 != 0
        world.go_on(1)
    assert world.splitter.deeds == ["shift", "shift", "promote"]
    keys = [each.key for each in world.splitter.orders]
    assert len(keys) == len(set(keys))
    assert world.told().count("promote decided") == 1


def test_with_the_kill_switch_nothing_is_changed_but_by_a_person() -> None:
    with RolloutWorld(terms=Terms(automation=False)) as world:
        world.stable()
        canary = world.deploy("v2", weight=0)
        world.go_on(100)
        assert world.splitter.deeds == []
        assert world.wants == ("hold", "guarded")
        world.ask("promote", canary, reason="I looked at it.")
        world.go_on(10)
        assert world.splitter.deeds == ["promote"]


def test_what_was_decided_before_the_kill_switch_is_not_carried_out_after_it(
    world: RolloutWorld,
) -> None:
    world.deploy("v2", weight=0)
    world.go_on(1)
    assert world.told()[-1] == "shift decided"
    world.terms = Terms(automation=False)
    world.restart()
    world.go_on(20)
    assert world.splitter.deeds == []
    assert world.told()[-1] == "shift outcome failed"


def test_a_freeze_holds_and_what_was_frozen_goes_on_when_it_is_lifted(
    world: RolloutWorld,
) -> None:
    world.rule("freeze", service=None, reason="A sale goes on.")
    world.deploy("v2", weight=0)
    world.go_on(60)
    assert world.splitter.deeds == []
    assert "A sale goes on." in world.controller.wanted[SCOPE].intent.reason
    world.rule("unfreeze", service=None)
    world.go_on(60)
    assert world.splitter.deeds[0] == "shift"


def test_a_return_that_does_not_help_has_failed_and_everything_waits(world: RolloutWorld) -> None:
    canary = world.deploy("v2", weight=0)
    world.traffic.errors[canary] = 0.3
    while not world.splitter.deeds.count(Deed.ROLL_BACK):
        world.go_on(1)
    world.traffic.share({canary: 50.0})  # its traffic does not leave
    world.go_on(120)
    assert world.told()[-1] == "roll_back outcome failed"
    assert world.wants == ("hold", "canary_failed")
    world.go_on(200)
    assert world.splitter.deeds == ["shift", "roll_back"]
    world.deploy("v3", weight=0)
    world.go_on(60)
    assert world.splitter.deeds == ["shift", "roll_back"]
    assert "did not help" in world.controller.wanted[SCOPE].intent.reason


def test_a_return_after_which_nobody_is_served_has_not_helped(world: RolloutWorld) -> None:
    canary = world.deploy("v2", weight=0)
    world.traffic.errors[canary] = 0.3
    while Deed.ROLL_BACK not in world.splitter.deeds:
        world.go_on(1)
    world.traffic.share(dict.fromkeys(world.traffic.changes[-1][1], 0.0))
    world.go_on(120)
    assert world.told()[-1] == "roll_back outcome failed"


@pytest.mark.parametrize("how", ["gone", "changed"])
@pytest.mark.parametrize("what", ["look", "basis"])
def test_evidence_that_is_lost_or_changed_is_no_ground_and_a_person_can_still_act(
    world: RolloutWorld, how: str, what: str
) -> None:
    canary = world.deploy("v2", weight=0)
    world.go_on(20)
    first = world.entries("verdict")[0]
    digest = first.inputs_digest if what == "look" else first.plan_digest
    if how == "gone":
        world.gone.add(digest)
    else:
        world.forged[digest] = world.evidence(digest).replace(b"1", b"2")
    world.traffic.errors[canary] = 0.3
    world.go_on(100)
    assert world.splitter.deeds == ["shift"]
    # It is judged from memory, and stops; to act on it, it would have to be judged again.
    assert world.wants == ("hold", "canary_failed")
    replay = world.controller.wanted[SCOPE].intent.guards[0]
    assert not replay.held
    assert "cannot be judged again" in str(replay.reason)
    world.restart()
    world.go_on(60)
    assert world.splitter.deeds == ["shift"]
    world.ask("roll_back", canary, reason="It is bad.")
    world.go_on(30)
    assert world.splitter.deeds == ["shift", "roll_back"]


@pytest.mark.parametrize("what", ["look", "basis"])
@pytest.mark.parametrize("how", ["gone", "changed"])
def test_lost_evidence_is_a_reason_of_its_own_for_a_rollout_that_waits(
    world: RolloutWorld, how: str, what: str
) -> None:
    canary = world.deploy("v2", weight=0)
    while not world.entries("verdict"):
        world.go_on(1)
    first = world.entries("verdict")[0]
    digest = first.inputs_digest if what == "look" else first.plan_digest
    if how == "gone":
        world.gone.add(digest)
    else:
        world.forged[digest] = world.evidence(digest).replace(b"1", b"2")
    world.restart()
    world.go_on(60)
    assert len(world.entries("verdict")) == 1
    assert world.wants == ("hold", "evidence_lost")
    wanted = world.controller.wanted[SCOPE].intent
    assert ("gone" if how == "gone" else "is not what it was") in wanted.reason
    assert wanted.urgency == "ticket"
    assert world.splitter.deeds == ["shift"]
    # A person goes on, and the next step is judged anew.
    world.ask("approve", canary)
    world.go_on(30)
    assert world.splitter.deeds == ["shift", "shift"]
    assert world.wants[1] != "evidence_lost"


def _returning(world: RolloutWorld) -> str:
    world.go_on(1)
    canary = world.deploy("v2", weight=0)
    world.traffic.errors[canary] = 0.3
    while world.told()[-1] != "roll_back executed":
        world.go_on(1)
    return canary


def test_a_clock_that_jumps_ahead_makes_no_return_late(world: RolloutWorld) -> None:
    _returning(world)
    world.traffic.away = True  # nothing was counted in the time that the clock left out
    world.jump(3_600)
    world.go_on(30)
    assert world.told()[-1] == "roll_back executed"
    world.traffic.away = False
    world.go_on(5)
    assert world.told()[-1] == "roll_back outcome succeeded"


def test_a_clock_that_is_set_back_keeps_no_return_open_for_longer_than_it_may_take(
    world: RolloutWorld,
) -> None:
    _returning(world)
    world.traffic.away = True
    world.jump(-3_600)
    world.go_on(50)
    assert world.told()[-1] == "roll_back executed"
    world.go_on(20)
    assert world.told()[-1] == "roll_back outcome failed"
