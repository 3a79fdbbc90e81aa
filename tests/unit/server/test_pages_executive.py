"""Which environment the executive page shows, and where it sends people when that one is empty."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page_world import PageDoor

from deploymark.server.pages.executive import ELSEWHERE


@pytest.fixture
def door(tmp_path: Path) -> Iterator[PageDoor]:
    with PageDoor(tmp_path) as door:
        door.runner.catch_up()
        yield door


def _exec(door: PageDoor, query: str = "") -> dict[str, Any]:
    reply = door.look(f"/exec{query}")
    assert reply.status == 200, reply.body
    document: dict[str, Any] = reply.json
    return document


def _total(document: dict[str, Any]) -> int:
    return sum(day["succeeded"] + day["failed"] + day["rolled_back"] for day in document["days"])


def test_the_only_environment_is_shown_and_the_page_says_so(door: PageDoor) -> None:
    door.say(0, environment="demo", version="1", phase="applied")
    page = _exec(door)
    assert (page["environment"], _total(page), page["elsewhere"]) == ("demo", 1, [])
    assert page["notice"] == (
        "No environment is production by its name: demo is shown, the only one."
    )
    assert page["success"]["denominator"] == 1


def test_production_is_shown_without_a_word(door: PageDoor) -> None:
    door.say(0, environment="eu-prod", version="1", phase="applied")
    door.say(1, environment="staging", version="1", phase="applied")
    page = _exec(door)
    assert (page["environment"], _total(page)) == ("production", 1)
    assert (page["notice"], page["elsewhere"], page["elsewhere_total"]) == (None, [], 0)


def test_where_no_environment_is_production_those_with_deployments_are_named(
    door: PageDoor,
) -> None:
    door.say(0, environment="demo", version="1", phase="applied")
    door.say(1, environment="staging", version="1", phase="applied")
    door.say(2, environment="staging", version="2", phase="applied")
    page = _exec(door)
    assert (page["environment"], _total(page)) == ("production", 0)
    assert page["notice"] == (
        "No environment is production by its name:"
        " none has live, prd, prod or production as a word."
    )
    assert page["elsewhere"] == [
        {"environment": "staging", "deployments": 2, "address": "/exec?environment=staging"},
        {"environment": "demo", "deployments": 1, "address": "/exec?environment=demo"},
    ]
    there = _exec(door, page["elsewhere"][0]["address"].removeprefix("/exec"))
    assert (there["environment"], _total(there), there["notice"]) == ("staging", 2, None)


def test_an_environment_without_deployments_names_the_others_for_the_same_days(
    door: PageDoor,
) -> None:
    door.say(0, version="1", phase="applied")
    until = _exec(door)["window"]["until_at"]
    page = _exec(door, f"?environment=staging&until={until}")
    assert page["notice"] == (
        "No deployment of these 30 days went live in staging, or failed there."
    )
    (other,) = page["elsewhere"]
    assert (other["environment"], other["deployments"]) == ("prod", 1)
    assert _total(_exec(door, other["address"].removeprefix("/exec"))) == 1


def test_of_many_environments_the_first_are_named_and_all_are_counted(door: PageDoor) -> None:
    for number in range(ELSEWHERE + 2):
        door.say(number, environment=f"preview-{number}", version="1", phase="applied")
    page = _exec(door)
    assert (len(page["elsewhere"]), page["elsewhere_total"]) == (ELSEWHERE, ELSEWHERE + 2)


def test_an_empty_log_is_told_nothing_of_environments(door: PageDoor) -> None:
    page = _exec(door)
    assert (page["environment"], page["notice"], page["elsewhere"]) == ("production", None, [])
