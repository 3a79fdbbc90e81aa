"""Everything that a page shows follows from its address, and the address from what is done."""

import re
import time
from urllib.parse import parse_qs, urlsplit

from page_server import Open, PageServer, drawn, intercept
from playwright.sync_api import Request, Route, expect

from deploymark.model.instants import parse_instant

QUARTER_HOUR = 900
HOUR_MS = 3_600_000


def test_a_link_shows_the_same_window_selection_and_filter(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall?range=24h")
    expect(page.get_by_role("heading", level=1)).to_contain_text("checkout")
    page.keyboard.press("/")
    page.keyboard.type("svc:checkout")
    page.keyboard.press("Enter")
    expect(page.locator(".stream li").first).to_contain_text("checkout")
    page.locator(f".stream a[href*='{story['before']}']").first.click()
    page.keyboard.press("+")
    expect(page.locator(".selection")).to_contain_text("2.30.4")
    expect(page.locator("main[aria-busy=true]")).to_have_count(0)
    address = page.url
    for part in ("since=", "until=", "q=svc:checkout", f"dep={story['before']}~1"):
        assert part in address
    shown = page.locator(".window-text").inner_text()
    list_drawn = drawn(page)
    again = open_page(server, address.removeprefix(server.url))
    expect(again.locator(".selection")).to_contain_text("2.30.4")
    expect(again.locator(".window-text")).to_have_text(shown)
    expect(again.get_by_label("Filter")).to_have_value("svc:checkout")
    again.wait_for_function("window.deploymark")
    assert drawn(again)["glyphs"] == list_drawn["glyphs"]


def test_back_and_forward_restore_pages_and_windows(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall")
    page.get_by_role("link", name="1h", exact=True).click()
    page.get_by_role("link", name="Fleet").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Fleet")
    page.go_back()
    expect(page.locator(".ranges [aria-current]")).to_have_text("1h")
    page.go_back()
    expect(page.locator(".ranges [aria-current]")).to_have_text("6h")
    page.go_forward()
    expect(page.locator(".ranges [aria-current]")).to_have_text("1h")
    assert story


def test_keys_go_everywhere(open_page: Open, server: PageServer, story: dict[str, str]) -> None:
    page = open_page(server, "/oncall")
    expect(page.locator(".selection")).to_contain_text("checkout")
    for keys, heading in (
        ("gd", "Deployments"),
        ("gs", "Services"),
        ("gf", "Fleet"),
        ("ga", "Audit"),
        ("ge", "Executive"),
    ):
        for key in keys:
            page.keyboard.press(key)
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
    page.keyboard.press("g")
    page.keyboard.press("o")
    expect(page.get_by_role("heading", level=1)).to_contain_text("checkout 2.31.0")
    # Suspects are walked first, in their order, and what was chosen is the first of them.
    suspects = page.locator(".suspects li").evaluate_all("rows => rows.map(row => row.dataset.id)")
    page.keyboard.press("j")
    expect(page).to_have_url(re.compile(re.escape(f"dep={suspects[1]}")))
    first = page.url
    page.keyboard.press("j")
    expect(page).not_to_have_url(first)
    page.keyboard.press("k")
    expect(page).to_have_url(first)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/d/d-"))
    page.go_back()
    page.keyboard.press("[")
    expect(page).to_have_url(re.compile("until="))
    assert story


def test_keys_can_be_switched_off(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall")
    expect(page.locator(".selection")).to_contain_text("checkout")
    page.keyboard.press("?")
    page.get_by_label("Single keys do something").uncheck()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("g")
    page.keyboard.press("f")
    page.keyboard.press("Control+k")
    expect(page.get_by_role("dialog")).to_be_visible()  # and nothing else has happened
    page.keyboard.type("fleet")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Fleet")
    assert story


def test_the_theme_is_chosen_and_kept(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall", theme="dark")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Light or dark").click()
    light = page.evaluate(ground)
    assert dark != light
    page.reload()
    expect(page.locator(".suspects")).to_be_visible()
    assert page.evaluate(ground) == light
    assert story


def test_every_mark_of_the_document_is_drawn_at_its_instant(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall")
    page.wait_for_function("window.deploymark && window.deploymark.drawn.glyphs.length > 10")
    shown = drawn(page)
    span = page.evaluate("window.deploymark.span")
    marks = server.ask("/oncall")["marks"]["items"]
    width = page.evaluate("document.querySelector('.figure').clientWidth") - 52 - 18
    assert sum(int(str(each["count"])) for each in shown["glyphs"]) == sum(
        each["count"] for each in marks
    )
    for glyph in shown["glyphs"]:
        at = next(each["at_ms"] for each in marks if each["id"] == glyph["id"])
        place = 52 + (at - span["since"]) / (span["until"] - span["since"]) * width
        assert abs(place - float(str(glyph["x"]))) <= 4, glyph
    [chosen] = [each for each in shown["glyphs"] if each["isSelected"]]
    assert (chosen["id"], chosen["state"]) == (f"{story['checkout']}~1", "canary")


def test_the_proof_of_an_entry_is_verified_in_the_browser(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/audit/5")
    steps = page.locator(".steps")
    expect(steps).to_have_attribute("data-proof", "holds")
    expect(steps.locator("li")).to_have_count(4)
    receipt = server.ask("/audit/5")["receipt"]
    other = server.ask("/audit/6")["receipt"]
    document = server.ask("/audit/5")
    forged = {**document, "receipt": receipt.replace(receipt.split("\n")[1], other.split("\n")[1])}
    intercept(page, "**/audit/5", lambda route: route.fulfill(json=forged))
    page.get_by_role("link", name="6 →").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Entry 6")
    expect(steps).to_have_attribute("data-proof", "holds")
    page.get_by_role("link", name="← 5").click()
    expect(steps).to_have_attribute("data-proof", "fails")
    assert story


def test_the_palette_finds_a_service_before_its_deployments(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall")
    page.keyboard.press("Control+k")
    page.keyboard.type("checkout")
    options = page.get_by_role("option")
    expect(options.first).to_contain_text("service")
    expect(options.nth(1)).to_contain_text("prod")
    assert "undefined" not in page.get_by_role("listbox").inner_text()
    assert story


def length_of(url: str) -> int:
    """Return how long the window is that an address names, in milliseconds."""
    query = parse_qs(urlsplit(url).query)
    return parse_instant(query["until"][0]) - parse_instant(query["since"][0])


def test_a_key_that_is_held_down_asks_for_where_it_ends(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall")
    expect(page.locator(".suspects")).to_be_visible()
    page.clock.install()
    page.clock.pause_at(time.time() + QUARTER_HOUR)
    page.clock.run_for(1_000)
    asked: list[str] = []
    wanted = re.compile(r"/oncall\?.*width=")

    def hear(request: Request) -> None:
        if wanted.search(request.url):
            asked.append(request.url)

    page.on("request", hear)
    with page.expect_response(wanted):  # the first at once
        for _ in range(5):
            page.keyboard.press("-")
    page.clock.run_for(100)
    assert len(asked) == 1
    with page.expect_request(wanted):
        page.clock.run_for(100)
    assert [length_of(each) for each in asked] == [12 * HOUR_MS, 6 * 2**5 * HOUR_MS]
    assert length_of(page.url) == 6 * 2**5 * HOUR_MS
    page.go_back()  # all of it is one entry of the history
    expect(page).to_have_url(f"{server.url}/oncall")
    assert story


def test_who_goes_back_while_a_document_is_on_its_way_sees_what_the_address_names(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall")
    expect(page.locator(".suspects")).to_be_visible()
    page.keyboard.press("l")  # held: no news makes the page ask anew meanwhile
    expect(page.locator(".live-state")).to_contain_text("Held")
    shown = page.locator(".window-text").inner_text()
    drawn_until = page.evaluate("window.deploymark.span.until")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    intercept(page, re.compile(r"/oncall\?.*since=.*width="), hold)
    for _ in range(3):
        page.keyboard.press("[")
    expect(page.locator("main[aria-busy=true]")).to_have_count(1)
    page.wait_for_timeout(300)
    # Nothing was answered, and each press led half a window further all the same.
    until = parse_qs(urlsplit(page.url).query)["until"][0]
    assert drawn_until - parse_instant(until) == 9 * HOUR_MS
    page.go_back()
    expect(page).to_have_url(f"{server.url}/oncall")
    expect(page.locator("main[aria-busy=true]")).to_have_count(0)
    assert held
    for route in held:
        route.continue_()
    page.wait_for_timeout(300)
    expect(page.get_by_role("heading", level=1)).to_have_text("checkout 2.31.0 may be failing")
    assert page.locator(".window-text").inner_text()[:11] == shown[:11]
    assert story


def test_a_window_with_one_end_stays_what_it_was_asked_for(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    since = "2026-01-01T00:00:00Z"
    page = open_page(server, f"/oncall?since={since}")
    expect(page.locator(".suspects")).to_be_visible()
    page.keyboard.press("j")
    expect(page).to_have_url(re.compile(r"since=2026-01-01T00:00:00.*until=.*dep="))
    expect(page.get_by_role("link", name="6h", exact=True)).not_to_have_attribute(
        "aria-current", "true"
    )
    assert story
