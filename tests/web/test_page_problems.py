"""What is not there, refused or not ready yet: said in the usual frame, asked again if it helps."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from page_server import Open, PageServer, intercept
from playwright.sync_api import Page, Route, expect

QUARTER_HOUR = 900
BAD_REQUEST = 400
BOOT = re.compile(r'(<script type="application/json" id="boot">)(.*?)(</script>)', re.DOTALL)

Json = dict[str, Any]


def problem(status: int, code: str, detail: str, *, retryable: bool = False) -> Json:
    """Return a problem as boot data and answers tell it."""
    return {
        "status": status,
        "code": code,
        "title": "It was refused",
        "detail": detail,
        "hint": "Do something else.",
        "retryable": retryable,
        "instead": None,
        "again_seconds": None,
    }


def with_boot(page: Page, server: PageServer, path: str, change: Callable[[Json], Json]) -> None:
    """Open an address whose HTML carries other boot data than its own, or than on-call's."""
    kept, own = path if path == "/exec" else "/oncall", server.url

    def told(route: Route) -> None:
        answer = route.fetch(url=f"{own}{kept}")
        match = BOOT.search(answer.text())
        assert match is not None
        boot = change(json.loads(match[2]))
        text = json.dumps(boot).replace("<", "\\u003c")
        body = answer.text().replace(match[0], f"{match[1]}{text}{match[3]}")
        route.fulfill(
            response=answer, status=(boot["problem"] or {"status": 200})["status"], body=body
        )

    page.route(lambda url: url == f"{own}{path}", told, times=1)
    page.goto(path)


def wrong(told: Json, page: str | None = None) -> Callable[[Json], Json]:
    """Return what makes boot data those of a problem."""
    return lambda boot: boot | {"page": page, "document": None, "problem": told}


def refused_once(page: Page, told: Json, seconds: int) -> list[str]:
    """Let on-call's document be refused the first time; return what is asked, as it grows."""
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) == 1:
            route.fulfill(status=told["status"], json=told, headers={"Retry-After": str(seconds)})
        else:
            route.continue_()

    intercept(page, "**/oncall?*width=*", answer)
    return asked


@pytest.mark.parametrize(
    ("path", "status", "heading"),
    [
        ("/nowhere", 404, "There is no such page"),
        ("/s/abc", 404, "Not found"),
        ("/oncall?range=3d", 400, "That did not work"),
        ("/oncall?since=yesterday", 400, "That did not work"),
    ],
)
def test_who_is_signed_in_reads_what_is_wrong_and_can_go_on(
    open_page: Open,
    server: PageServer,
    story: dict[str, str],
    path: str,
    status: int,
    heading: str,
) -> None:
    page = open_page(server, "/fleet", allowed=(str(status),))
    named = {"/nowhere": None, "/s/abc": "frozen"}.get(path, "oncall")
    found = problem(status, "refused", "It is not what it should be.")
    found["instead"] = "/oncall" if status == BAD_REQUEST else None
    with_boot(page, server, path, wrong(found, named))
    expect(page.get_by_role("alert")).to_contain_text("It is not what it should be.")
    expect(page.get_by_role("alert")).to_contain_text("Do something else.")
    expect(page.get_by_role("heading", level=1)).to_have_text(heading)
    expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
    on = "Show the page without it" if found["instead"] else "On-call"
    page.locator("main").get_by_role("link", name=on).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("checkout 2.31.0")
    assert story


def test_a_sign_in_link_that_is_over_says_so_and_leaves_the_address(
    open_page: Open, server: PageServer
) -> None:
    page = open_page(server, "/oncall", token=None, allowed=("401",))
    told = problem(401, "link_expired", "This link was used, or is too old.")
    with_boot(page, server, "/oncall?link=expired", wrong(told, "oncall"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in to deploymark")
    expect(page.get_by_role("alert")).to_contain_text("This link was used, or is too old.")
    expect(page).to_have_url(f"{server.url}/oncall")


def test_a_first_load_that_came_too_often_is_asked_again_when_the_server_says(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/fleet", allowed=("429",))
    expect(page.get_by_role("heading", level=1)).to_have_text("Fleet")
    page.clock.install()
    page.clock.pause_at(time.time() + QUARTER_HOUR)
    told = problem(429, "rate_limited", "Too many requests.", retryable=True)
    asked = refused_once(page, told, 30)
    with_boot(page, server, "/oncall", wrong(told | {"again_seconds": 40}, "oncall"))
    expect(page.locator("main")).to_contain_text("asks again by itself after 40 s")
    page.clock.run_for(39_900)
    assert asked == []
    page.clock.run_for(200)
    expect(page.locator("main")).to_contain_text("asks again by itself after 30 s")
    page.clock.run_for(29_900)
    assert len(asked) == 1
    page.clock.run_for(200)
    expect(page.locator(".suspects")).to_be_visible()
    assert story


def test_a_busy_server_is_asked_again_when_it_says(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall", allowed=("429",))
    expect(page.locator(".suspects")).to_be_visible()
    told = problem(429, "rate_limited", "Too many requests.", retryable=True)
    asked = refused_once(page, told, 2)
    # The page's own clock: nothing here waits, and nothing comes too early on a slow machine.
    page.clock.install()
    page.clock.pause_at(time.time() + QUARTER_HOUR)
    page.get_by_role("link", name="24h", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Too many requests.")
    page.clock.run_for(1_900)
    assert len(asked) == 1
    page.clock.run_for(200)
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.locator(".suspects")).to_be_visible()
    assert len(asked) == 2
    assert story


def test_measures_that_are_being_counted_are_shown_when_they_are_there(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/fleet")
    sentence = "The measures are being counted; they are shown here when that is done."
    missing = [{"what": "measures", "sentence": sentence, "again_seconds": 2}]

    def counting(boot: Json) -> Json:
        document = boot["document"] | {"measures": [], "coverage": [], "missing": missing}
        return boot | {"document": document}

    page.clock.install()
    with_boot(page, server, "/exec", counting)
    expect(page.locator("main").get_by_text(sentence).first).to_be_visible()
    page.clock.run_for(2_500)
    expect(page.locator("main")).to_contain_text("Marker audit coverage")
    expect(page.get_by_text(sentence)).to_have_count(0)
    assert story
