"""What a person on call does at 3 am: sees which, whose and how bad, and rolls it back."""

import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from page_server import Open, PageServer, intercept, marker
from playwright.sync_api import Route, expect

WIDTHS = [pytest.param(1440, 900, id="desktop"), pytest.param(390, 844, id="phone")]


@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_which_whose_and_how_bad_are_readable_without_a_click(
    open_page: Open, server: PageServer, story: dict[str, str], width: int, height: int
) -> None:
    page = open_page(server, "/oncall", width=width, height=height)
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("checkout 2.31.0 may be failing")
    suspect = page.locator(".suspects li").first
    for said in ("checkout", "2.31.0", "canary", "ana", "eu-1"):
        expect(suspect).to_contain_text(said)
    expect(suspect).to_contain_text(re.compile(r"errors \+2\.\d pp · \d+m ago"))
    expect(suspect).to_be_in_viewport(ratio=1)
    reason = page.locator(".verdict")
    expect(reason).to_contain_text(re.compile(r"Errors rose from 0\.\d+ % to 3\.00 %"))
    assert suspect.get_attribute("data-id") == f"{story['checkout']}~1"


@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_a_roll_back_is_one_key_and_the_typed_name(
    open_page: Open, server: PageServer, story: dict[str, str], width: int, height: int
) -> None:
    page = open_page(server, "/oncall", width=width, height=height)
    expect(page.locator("[data-action=roll_back]")).to_be_in_viewport()
    sent: list[Any] = []

    def answered(route: Route) -> None:
        # The story has to stand for the tests after this one, so the request goes no further.
        sent.append((route.request.headers, route.request.post_data_json))
        route.fulfill(status=202, json={"decision_index": 77, "action": "roll_back"})

    intercept(page, "**/v1/actions", answered)
    page.keyboard.press("r")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Roll back checkout 2.31.0 in prod?")
    page.keyboard.type("checkou")
    page.keyboard.press("Enter")
    assert sent == []  # what was typed is not the name yet
    page.keyboard.type("t")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("asked for, entry 77")
    expect(dialog).to_have_count(0)
    [(headers, told)] = sent
    assert headers["x-csrf-token"]
    assert told["action"] == "roll_back"
    assert told["deployment_id"] == f"{story['checkout']}~1"
    assert told["idempotency_key"]


def test_a_pause_is_asked_for_carried_out_and_shown(open_page: Open, tmp_path: Path) -> None:
    with PageServer(tmp_path) as served:
        served.mark(marker("checkout", "2.30.4", "applied", 0))
        [new] = served.mark(marker("checkout", "2.31.0", "applied", 0))
        page = open_page(served, f"/d/{new['deployment_id']}~1")
        page.locator("[data-action=pause][aria-disabled=false]").click()
        page.keyboard.type("checkout")
        with page.expect_response("**/v1/actions") as answered:
            page.keyboard.press("Enter")
        assert answered.value.status == HTTPStatus.ACCEPTED, answered.value.text()
        # What was decided comes by the stream; nobody loads the page again.
        expect(page.locator(".page-head")).to_contain_text("paused", timeout=20_000)
        expect(page.locator("[data-action=resume]")).to_have_attribute("aria-disabled", "false")
        page.close()  # before its server ends


def test_what_was_asked_too_late_is_shown_anew_and_asked_again_with_a_key(
    open_page: Open, tmp_path: Path
) -> None:
    with PageServer(tmp_path) as served:
        served.mark(marker("checkout", "2.30.4", "applied", 0))
        [new] = served.mark(marker("checkout", "2.31.0", "applied", 0))
        page = open_page(served, f"/d/{new['deployment_id']}~1", allowed=("409",))
        stale = {
            "type": "/problems/stale_action",
            "title": "Stale action",
            "status": 409,
            "detail": "You had seen 1; the newest entry is 2.",
            "code": "stale_action",
            "field": "/expected_index",
            "hint": "Look at the rollout again.",
            "retryable": False,
        }
        intercept(
            page, "**/v1/actions", lambda route: route.fulfill(status=409, json=stale), times=1
        )
        page.locator("[data-action=pause][aria-disabled=false]").click()
        page.keyboard.type("checkout")
        with page.expect_response(f"**/d/{new['deployment_id']}**") as looked:
            page.keyboard.press("Enter")
        assert looked.value.ok
        expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("You had seen 1")
        with page.expect_response("**/v1/actions") as answered:
            page.keyboard.press("Enter")
        assert answered.value.status == HTTPStatus.ACCEPTED, answered.value.text()
        page.close()  # before its server ends


def test_who_may_not_act_reads_why(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall", token=server.token("reader-at-night", "reader"))
    button = page.locator("[data-action=roll_back]")
    expect(button).to_have_attribute("aria-disabled", "true")
    page.keyboard.press("r")
    expect(page.get_by_role("status")).to_contain_text("needs the role operator")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert story


def test_an_action_that_is_refused_says_why_and_what_to_do(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall", allowed=("409",))
    problem = {
        "type": "/problems/action_refused",
        "title": "Action refused",
        "status": 409,
        "detail": "It is over.",
        "code": "action_refused",
        "field": "",
        "hint": "Look at the list.",
        "retryable": False,
    }
    intercept(page, "**/v1/actions", lambda route: route.fulfill(status=409, json=problem))
    expect(page.locator("[data-action=roll_back]")).to_be_visible()
    page.keyboard.press("r")
    page.keyboard.type("checkout")
    page.keyboard.press("Enter")
    told = page.get_by_role("dialog").get_by_role("alert")
    expect(told).to_contain_text("It is over.")
    expect(told).to_contain_text("Look at the list.")
    assert story
