"""Clocks that are wrong, zones far away, sessions that end and servers that are busy."""

import re
import time

from page_server import TOKEN, Open, PageServer
from playwright.sync_api import expect

QUARTER_HOUR = 900
SECONDS = 1_000


def test_ages_are_right_in_a_browser_whose_clock_is_wrong(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/fleet")
    right = open_page(server, "/oncall").locator(".suspects li").first
    expect(right).to_contain_text(re.compile(r"\d+m ago"))
    page.clock.set_fixed_time((time.time() + QUARTER_HOUR) * SECONDS)
    page.goto("/oncall")
    told = re.compile(r"(\d+)m ago")
    wrong = page.locator(".suspects li").first
    expect(wrong).to_contain_text(told)
    ages = [int(told.findall(each.inner_text())[0]) for each in (wrong, right)]
    assert abs(ages[0] - ages[1]) <= 1
    assert story


def test_a_session_that_ends_while_a_page_is_open_asks_for_a_token_and_goes_on(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall", allowed=("401",))
    expect(page.locator(".suspects")).to_be_visible()
    page.context.clear_cookies()
    page.get_by_role("link", name="Fleet").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in to deploymark")
    expect(page.get_by_text("checkout")).to_have_count(0)
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Fleet")
    assert story


def test_times_are_those_of_utc_wherever_one_sits(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    here = open_page(server, f"/d/{story['checkout']}~1")
    there = open_page(server, f"/d/{story['checkout']}~1", zone="Pacific/Apia")
    texts = []
    for page in (here, there):
        expect(page.locator(".deployment time").first).to_be_visible()
        texts.append(page.locator(".deployment time").all_inner_texts())
    assert texts[0] == texts[1]
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", there.locator(".verdict-line").inner_text())
