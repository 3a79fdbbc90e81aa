"""Who is suspected first on the page for a person on call: who harms requests now."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page_world import PageDoor

from deploymark.model.instants import format_instant
from deploymark.testing.clock import START_MS

MINUTE, HOUR = 60, 3_600


@pytest.fixture
def door(tmp_path: Path) -> Iterator[PageDoor]:
    with PageDoor(tmp_path) as fresh:
        fresh.runner.catch_up()
        yield fresh


def _oncall(door: PageDoor, query: str = "") -> dict[str, Any]:
    document: dict[str, Any] = door.look(f"/oncall{query}").json
    return document


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
    page = _oncall(door)
    assert [each["service"] for each in page["suspects"]] == ["new", "old"]
    assert page["verdict"]["sentence"] == "new 2.0 may be failing"
    assert page["selected"]["chip"]["service"] == "new"


def test_the_page_of_a_deployment_after_which_errors_rose_says_so(door: PageDoor) -> None:
    _rising(door, "checkout", 0, 30)
    door.log.clock.advance(20 * MINUTE)
    suspect = _oncall(door)["suspects"][0]
    verdict = door.look(f"/d/{suspect['id']}").json["verdict"]
    assert verdict == suspect["reason"]
    assert verdict.startswith("Errors rose from 1.00 % to 30.00 %")


def test_the_steeper_rise_outranks_a_failure_that_harmed_fewer(door: PageDoor) -> None:
    _rising(door, "little", 0, 3)
    _rising(door, "much", 60, 30)
    door.say(2 * MINUTE, service="little", version="2.0", phase="failed")
    door.say(3 * MINUTE, service="said", version="1.0", phase="failed")
    door.say(4 * MINUTE, service="undecided", version="1.0", phase="applying")
    door.log.clock.advance(20 * MINUTE)
    order = [each["service"] for each in _oncall(door)["suspects"]]
    assert order == ["much", "little", "said", "undecided"]


def test_what_failed_long_ago_is_no_alarm_and_is_told_with_its_age(door: PageDoor) -> None:
    door.say(0, version="1.0", phase="failed")
    door.log.clock.advance(3 * HOUR)
    verdict = _oncall(door)["verdict"]
    assert verdict["level"] == "suspicious"
    assert verdict["sentence"] == "checkout 1.0 failed 3 h ago, and nothing has replaced it"


def test_a_deployment_of_yesterday_that_failed_just_now_failed_just_now(door: PageDoor) -> None:
    door.say(0, version="1.0", phase="applied")
    door.say(5 * HOUR, service="other", version="1.0", phase="applying")
    door.say(5 * HOUR, version="1.0", phase="failed")
    door.log.clock.advance(MINUTE)
    page = _oncall(door)
    assert [each["service"] for each in page["suspects"]] == ["checkout", "other"]
    assert page["verdict"]["sentence"] == "checkout 1.0 is failing"


def test_many_old_failures_hide_nothing_that_is_under_way(door: PageDoor) -> None:
    for number in range(9):
        door.say(number, service=f"old-{number}", version="1.0", phase="failed")
    door.say(3 * HOUR, service="new", version="1.0", phase="applying")
    door.log.clock.advance(3 * HOUR)
    page = _oncall(door)
    assert page["suspects"][0]["service"] == "new"
    assert page["suspects_total"] == 10


def test_a_window_that_is_over_judges_by_its_own_end(door: PageDoor) -> None:
    _rising(door, "checkout", 0, 30)
    door.log.clock.advance(6 * HOUR)
    since, until = format_instant(START_MS - 1_800_000), format_instant(START_MS + 1_500_000)
    (suspect,) = _oncall(door, f"?since={since}&until={until}")["suspects"]
    assert suspect["reason"].startswith("Errors rose from 1.00 % to 30.00 %")
