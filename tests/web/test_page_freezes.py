"""A view is frozen by one key, and shows the same from then on."""

import re
from itertools import product
from typing import Literal

import pytest
from page_server import Open, PageServer, marker
from playwright.sync_api import expect
from test_page_is_accessible import violations

FROZEN = re.compile(r"/s/[0-9a-f]{64}$")


def test_a_frozen_view_stays_as_it_was_and_takes_no_action(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall")
    expect(page.locator("[data-action=roll_back][aria-disabled=false]")).to_be_visible()
    shown = page.get_by_role("heading", level=1).inner_text()
    page.keyboard.press("f")
    expect(page).to_have_url(FROZEN)
    expect(page.locator(".banner.warn")).to_contain_text("Frozen.")
    expect(page.get_by_role("heading", level=1)).to_have_text(shown)
    rows = page.locator(".stream li").count()
    page.keyboard.press("r")
    expect(page.get_by_role("status")).to_contain_text("This is a frozen view")
    expect(page.get_by_role("dialog")).to_have_count(0)
    [new] = server.mark(marker("identity", "9.9.9", "applied", 0))
    live = open_page(server, "/oncall")
    expect(live.locator(f".stream li[data-index='{new['index']}']")).to_have_count(1)
    expect(page.locator(".stream li")).to_have_count(rows)
    page.reload()
    expect(page.locator(".stream li").first).to_be_visible()
    expect(page.locator(f".stream li[data-index='{new['index']}']")).to_have_count(0)
    page.get_by_role("link", name="See it as it is now").click()
    expect(page.locator(f".stream li[data-index='{new['index']}']")).to_have_count(1)
    assert story


def test_another_suspect_is_chosen_on_a_frozen_view(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall")
    expect(page.locator(".selected-name")).to_contain_text("checkout 2.31.0")
    page.keyboard.press("f")
    expect(page).to_have_url(FROZEN)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.locator(".suspects a", has_text="catalog").click()
    expect(page.locator(".selected-name")).to_contain_text("catalog 4.8.9")
    expect(page.locator(".suspects [aria-current]")).to_contain_text("catalog")
    page.reload()
    expect(page.locator(".selected-name")).to_contain_text("catalog 4.8.9")
    expect(page.locator(".selection")).to_contain_text("not kept")
    assert [url for url in asked if "/d/d-" in url] == []
    assert story


def test_the_palette_freezes_too(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, f"/d/{story['checkout']}~1")
    expect(page.get_by_role("heading", level=1)).to_contain_text("checkout")
    page.keyboard.press("Control+k")
    page.keyboard.type("freeze")
    page.keyboard.press("Enter")
    expect(page).to_have_url(FROZEN)
    page.go_back()
    expect(page).to_have_url(re.compile(r"/d/d-"))


@pytest.mark.parametrize("page_name", ["/oncall", "/d/{checkout}~1", "/exec", "/fleet"])
def test_axe_finds_nothing_on_frozen_views(
    open_page: Open, server: PageServer, story: dict[str, str], page_name: str
) -> None:
    # A caller keeps ten views at once, and the other tests keep some as well.
    somebody = server.token(f"freezes-{page_name.split('/')[1]}", "operator")
    page = open_page(server, page_name.format(**story), token=somebody)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.keyboard.press("f")
    expect(page).to_have_url(FROZEN)
    expect(page.locator("main[aria-busy=true]")).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    schemes: tuple[Literal["dark", "light"], ...] = ("dark", "light")
    for scheme, width in product(schemes, (390, 1440)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        assert violations(page) == [], (scheme, width)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
