"""Every state that a page can be in: signed out, loading, empty, stale, not found, cut off."""

import re
from pathlib import Path
from typing import Any

import pytest
from page_server import TOKEN, Open, PageServer, intercept
from playwright.sync_api import Route, expect


def test_a_token_signs_in_and_the_address_stays(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/deployments?range=24h&q=svc:checkout", token=None, allowed=("401",))
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in to deploymark")
    page.keyboard.type("no token at all")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("ask an administrator of this server")
    expect(page.get_by_role("alert")).not_to_contain_text("Bearer")
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Deployments")
    assert page.url.endswith("/deployments?range=24h&q=svc:checkout")
    expect(page.locator("tbody tr")).to_have_count(2)
    assert story


def test_signing_out_shows_nothing_more(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall", allowed=("401",))
    page.locator(".account summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in to deploymark")
    expect(page.get_by_text("checkout")).to_have_count(0)
    page.reload()
    expect(page.get_by_label("Token")).to_be_visible()
    assert story


def test_a_filter_that_lets_nothing_through_says_what_to_do(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/deployments?q=svc:nobody")
    expect(page.locator("main")).to_contain_text("Choose a longer window, or clear the filter.")
    assert story


def test_a_server_without_data_says_what_to_do_first(open_page: Open, tmp_path: Path) -> None:
    with PageServer(tmp_path, "") as served:
        page = open_page(served, "/services", width=390)
        expect(page.locator("main")).to_contain_text("`deploymark mark` or a pipeline says")
        page.goto("/oncall")
        expect(page.locator(".selection")).to_contain_text("choose a row with j and k")
        expect(page.locator(".selection kbd").first).to_be_visible()
        expect(page.locator(".verdict")).to_contain_text("UTC to")
        page.close()  # before its server ends


def test_what_is_not_there_is_said_with_a_hint(open_page: Open, server: PageServer) -> None:
    page = open_page(server, f"/d/d-{'0' * 26}", allowed=("404",))
    expect(page.get_by_role("heading", level=1)).to_have_text("Not found")
    expect(page.get_by_role("alert")).to_contain_text("not_found")


def test_a_server_that_is_away_leaves_the_old_data_and_says_so(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall", allowed=("ERR_",))
    expect(page.locator(".live-state")).to_have_text("● Live")
    intercept(page, "**/oncall?*", lambda route: route.abort())
    page.get_by_role("link", name="1h", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("The server cannot be reached")
    assert page.get_by_role("alert").inner_text().count("by itself") == 1
    page.unroute("**/oncall?*")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_contain_text("checkout")
    assert story


def test_two_missed_heartbeats_raise_a_banner_and_a_heartbeat_ends_it(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall", token=None)
    # A stream that begins and then says nothing, in the place of the server's.
    page.add_init_script(
        """
        const real = window.fetch;
        let calls = 0;
        window.isSilent = true;
        window.fetch = (address, options) => {
          if (!String(address).startsWith("/v1/stream") || !window.isSilent) {
            return real(address, options);
          }
          calls += 1;
          if (calls > 1) {
            return new Promise((_, fail) => {
              options.signal.addEventListener("abort", () => fail(options.signal.reason));
            });
          }
          const body = new ReadableStream({ start(to) {
            to.enqueue(new TextEncoder().encode(": here\\nid: 1\\n\\n"));
            options.signal.addEventListener("abort", () => to.error(options.signal.reason));
          } });
          return Promise.resolve(new Response(body));
        };
        """
    )
    page.clock.install()
    page.get_by_label("Token").fill(TOKEN)
    page.reload()
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator(".live-state")).to_have_text("● Live")
    page.clock.run_for(15_000)
    expect(page.get_by_text("The server has missed two heartbeats")).to_have_count(0)
    page.clock.run_for(11_000)
    expect(page.get_by_text("The server has missed two heartbeats")).to_be_visible()
    page.evaluate("window.isSilent = false")
    page.clock.run_for(40_000)
    expect(page.locator(".live-state")).to_have_text("● Live")
    expect(page.get_by_text("The server has missed two heartbeats")).to_have_count(0)
    assert story


def test_loading_says_so(open_page: Open, server: PageServer, story: dict[str, str]) -> None:
    page = open_page(server, "/oncall")
    held: list[Any] = []
    intercept(page, "**/fleet", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks it
    page.get_by_role("link", name="Fleet").click()
    expect(page.locator("main[aria-busy=true]")).to_contain_text("Loading")
    held[0].continue_()
    expect(page.get_by_role("heading", level=1)).to_have_text("Fleet")
    assert story


def test_what_is_simulated_says_so_on_paper_too(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/fleet")

    def simulate(route: Route) -> None:
        answer = route.fetch()
        body = answer.text().replace('"simulated":false', '"simulated":true')
        route.fulfill(response=answer, body=body)

    page.route("**/exec", simulate)
    page.goto(f"{server.url}/exec")
    banner = page.get_by_label("Simulated")
    expect(banner).to_be_visible()
    page.emulate_media(media="print")
    expect(banner).to_be_visible()
    assert story


@pytest.mark.parametrize("chosen", [False, True], ids=["by the system", "by hand"])
def test_the_executive_page_prints_without_its_frame(
    open_page: Open, server: PageServer, story: dict[str, str], *, chosen: bool
) -> None:
    page = open_page(server, "/exec", theme="light" if chosen else "dark")
    if chosen:
        page.get_by_role("button", name="Light or dark").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Executive")
    page.emulate_media(media="print")
    expect(page.locator(".top")).to_be_hidden()
    for text in ("h1", ".panel h2", ".figure-value", "td"):  # ink on paper, in the dark theme too
        colour = page.locator(text).first.evaluate("(e) => getComputedStyle(e).color")
        assert max(int(part) for part in re.findall(r"\d+", colour)[:3]) < 128, (text, colour)
    expect(page.get_by_text("Success rate, 30 days")).to_be_visible()
    assert len(page.pdf(format="A4")) > 10_000
    assert story


def test_charts_that_cannot_be_made_anew_are_said_to_be_old(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall", allowed=("503",))
    expect(page.locator(".chart").first).to_be_visible()
    busy = {"title": "Away", "status": 503, "detail": "The store is busy.", "hint": "Wait."}
    intercept(page, "**/v1/series?*", lambda route: route.fulfill(status=503, json=busy))
    page.get_by_role("link", name="1h", exact=True).click()
    figure = page.locator(".figure")
    expect(figure.get_by_role("alert")).to_contain_text("of what was asked before")
    expect(figure.get_by_role("alert")).to_contain_text("The store is busy. Wait.")
    assert story
