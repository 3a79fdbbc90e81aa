"""Whom the page for a person on call suspects first: who harms requests now, then what failed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from page_world import PageDoor, judge, look_at_oncall

from deploymark.model.instants import format_instant
from deploymark.testing.clock import START_MS

MINUTE, HOUR = 60, 3_600


@pytest.fixture
def door(tmp_path: Path) -> Iterator[PageDoor]:
    with PageDoor(tmp_path) as fresh:
        fresh.runner.catch_up()
        yield fresh


def test_errors_that_rose_make_a_healthy_deployment_suspect(door: PageDoor) -> None:
    for second in range(-1_800, 1_200, 10):
        door.count(second, 1 if second < 0 else 30, 100)
    door.say(0, version="2.0", phase="applied")
    door.log.clock.advance(20 * MINUTE)
    page = look_at_oncall(door)
    (suspect,) = page["suspects"]
    assert suspect["delta"]["result"] == "worse"
    assert suspect["delta"]["points"] == pytest.approx(29.0)
    assert suspect["delta"]["after_seconds"] == 20 * MINUTE
    assert page["verdict"]["level"] == "failing"
    assert page["verdict"]["reason"] == (
        "Errors rose from 1.00 % to 30.00 % in the 20 min after it went live."
    )
    assert [each["service"] for each in page["deltas"]] == ["checkout"]


def test_errors_that_did_not_rise_make_nobody_suspect(door: PageDoor) -> None:
    for second in range(-1_800, 1_200, 10):
        door.count(second, 1, 100)
    door.say(0, version="2.0", phase="applied")
    door.log.clock.advance(20 * MINUTE)
    page = look_at_oncall(door)
    assert page["suspects"] == []
    assert page["verdict"]["level"] == "quiet"
    assert page["verdict"]["sentence"] == "No deployment looks wrong"


def test_four_suspects_are_shown_and_all_are_counted(door: PageDoor) -> None:
    for number in range(6):
        phase = "failed" if number == 2 else "applying"
        door.say(number * MINUTE, service=f"s-{number}", version="1", phase=phase)
    page = look_at_oncall(door)
    assert page["suspects"][0]["service"] == "s-2"
    assert (len(page["suspects"]), page["suspects_total"]) == (4, 6)
    assert page["counts"] == [
        {"state": "failed", "count": 1},
        {"state": "rolling_out", "count": 5},
    ]


def test_what_failed_before_the_window_is_suspect_still(door: PageDoor) -> None:
    door.say(0, version="1.0", phase="failed")
    door.log.clock.advance(3 * HOUR)
    page = look_at_oncall(door, "?range=15m")
    assert page["in_view"] == 0
    assert [each["version"] for each in page["suspects"]] == ["1.0"]


def test_the_first_suspect_is_selected_where_the_address_selects_nothing(door: PageDoor) -> None:
    door.say(0, version="1.0", phase="failed")
    page = look_at_oncall(door)
    assert page["selected"]["chip"]["id"] == page["suspects"][0]["id"]
    assert page["selected"] == look_at_oncall(door, f"?dep={page['suspects'][0]['id']}")["selected"]


def test_of_two_that_failed_the_newest_is_the_first_suspect(door: PageDoor) -> None:
    for number in range(4):
        door.say(number * MINUTE, service=f"s{number}", version="1.0", phase="failed")
    assert [chip["service"] for chip in look_at_oncall(door)["suspects"]] == [
        "s3",
        "s2",
        "s1",
        "s0",
    ]


def _rising(door: PageDoor, service: str, live: int, share: int) -> None:
    """Let one request in a hundred fail before a deployment went live, and so many after it."""
    for second in range(live - 1_800, live + 1_200, 10):
        door.count(second, 1 if second < live else share, 100, service=service)
    door.say(live, service=service, version="2.0", phase="applied")


def test_errors_that_rise_now_outrank_what_failed_long_ago(door: PageDoor) -> None:
    door.say(0, service="old", version="1.0", phase="failed")
    door.log.clock.advance(3 * HOUR)
    _rising(door, "new", 3 * HOUR, 5)
    door.log.clock.advance(20 * MINUTE)
    page = look_at_oncall(door)
    assert [each["service"] for each in page["suspects"]] == ["new", "old"]
    assert page["verdict"]["sentence"] == "new 2.0 may be failing"
    assert page["selected"]["chip"]["service"] == "new"


def test_debug_without_a_name_opens_the_worst_suspect_of_the_first_page(door: PageDoor) -> None:
    door.say(0, service="said", version="1.0", phase="applying")
    _rising(door, "new", 0, 5)  # calm by what was said of it, and harmful by its requests
    door.log.clock.advance(20 * MINUTE)
    worst = look_at_oncall(door)["suspects"][0]
    assert worst["service"] == "new"
    assert door.look("/debug").json["selected"]["chip"]["id"] == worst["id"]


def test_the_steeper_rise_outranks_a_failure_that_harmed_fewer(door: PageDoor) -> None:
    _rising(door, "little", 0, 3)
    _rising(door, "much", 60, 30)
    door.say(2 * MINUTE, service="little", version="2.0", phase="failed")
    door.say(3 * MINUTE, service="said", version="1.0", phase="failed")
    door.say(4 * MINUTE, service="undecided", version="1.0", phase="applying")
    door.log.clock.advance(20 * MINUTE)
    order = [each["service"] for each in look_at_oncall(door)["suspects"]]
    assert order == ["much", "little", "said", "undecided"]


def test_what_failed_long_ago_is_no_alarm_and_is_told_with_its_age(door: PageDoor) -> None:
    door.say(0, version="1.0", phase="failed")
    door.log.clock.advance(3 * HOUR)
    verdict = look_at_oncall(door)["verdict"]
    assert verdict["level"] == "suspicious"
    assert verdict["sentence"] == "checkout 1.0 failed 3 h ago, and nothing has replaced it"


def test_a_deployment_of_yesterday_that_failed_just_now_failed_just_now(door: PageDoor) -> None:
    door.say(0, version="1.0", phase="applied")
    door.say(5 * HOUR, service="other", version="1.0", phase="applying")
    door.say(5 * HOUR, version="1.0", phase="failed")
    door.log.clock.advance(MINUTE)
    page = look_at_oncall(door)
    assert [each["service"] for each in page["suspects"]] == ["checkout", "other"]
    assert page["verdict"]["sentence"] == "checkout 1.0 is failing"


def test_many_old_failures_hide_nothing_that_is_under_way(door: PageDoor) -> None:
    for number in range(9):
        door.say(number, service=f"old-{number}", version="1.0", phase="failed")
    door.say(3 * HOUR, service="new", version="1.0", phase="applying")
    door.log.clock.advance(3 * HOUR)
    page = look_at_oncall(door)
    assert page["suspects"][0]["service"] == "new"
    assert page["suspects_total"] == 10


def test_a_look_that_failed_is_never_said_to_speak_for_a_canary(door: PageDoor) -> None:
    door.say(0, version="3.0", phase="applied", rollout={"strategy": "canary", "weight": 5})
    door.say(1, service="cart", version="1", phase="applied", rollout={"strategy": "canary"})
    name = look_at_oncall(door, "?q=svc:checkout")["suspects"][0]["id"]
    judge(door, name, MINUTE, result="fail", score=3.0, reasons=["worse"])
    page = look_at_oncall(door)
    assert [each["service"] for each in page["suspects"]] == ["checkout", "cart"]
    assert page["verdict"]["level"] == "suspicious"
    assert page["verdict"]["sentence"] == "checkout 3.0 was failed by its newest look"


def test_a_window_that_is_over_judges_by_its_own_end(door: PageDoor) -> None:
    _rising(door, "checkout", 0, 30)
    door.log.clock.advance(6 * HOUR)
    since, until = format_instant(START_MS - 1_800_000), format_instant(START_MS + 1_500_000)
    (suspect,) = look_at_oncall(door, f"?since={since}&until={until}")["suspects"]
    assert suspect["reason"].startswith("Errors rose from 1.00 % to 30.00 %")


def test_the_page_of_a_deployment_after_which_errors_rose_says_so(door: PageDoor) -> None:
    _rising(door, "checkout", 0, 30)
    door.log.clock.advance(20 * MINUTE)
    suspect = look_at_oncall(door)["suspects"][0]
    verdict = door.look(f"/d/{suspect['id']}").json["verdict"]
    assert verdict == suspect["reason"]
    assert verdict.startswith("Errors rose from 1.00 % to 30.00 %")


def test_a_rate_is_over_the_time_that_a_report_is_about(door: PageDoor) -> None:
    door.say(0, version="2.0", phase="applied")
    name = look_at_oncall(door)["marks"]["items"][0]["id"]
    for second in range(0, 1_200, 240):
        door.count(second, 0, 2_400, deployment=name.partition("~")[0])
    door.log.clock.advance(20 * MINUTE)
    (aligned,) = door.look(f"/debug?dep={name}").json["aligned"]
    assert aligned["seconds"] == [0, 240, 480, 720, 960]
    assert aligned["requests_per_second"] == [10.0] * 5
