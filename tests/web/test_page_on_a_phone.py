"""On a phone nothing scrolls sideways but what is drawn to scale, and a table stays a table."""

from collections.abc import Iterator

import pytest
from page_server import Open, PageServer, marker
from playwright.sync_api import Page, expect
from test_page_is_accessible import PAGES

WIDTH = 390
# The strip of the navigation and drawings along a line of time are made for it.
SIDEWAYS = """[...document.querySelectorAll("body *")].filter((each) =>
    ["auto", "scroll"].includes(getComputedStyle(each).overflowX)
    && each.scrollWidth > each.clientWidth + 1
    && !each.matches(".nav, .scroll:has(.timeline)")
).map((each) => each.closest(".panel")?.getAttribute("aria-label") + ": " + each.innerText)"""
CUT = """[...document.querySelectorAll("main td, main tbody th, main td *")].filter((each) =>
    each.getBoundingClientRect().right > innerWidth
    || each.getBoundingClientRect().left < 0).map((each) => each.innerText)"""


@pytest.fixture(scope="module")
def wordy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    """A server on which names are as long as they may be, or nearly."""
    with PageServer(tmp_path_factory.mktemp("wordy-phone"), "") as served:
        about = {"owner": "o" * 80, "cluster": "c" * 60, "change_tickets": ["CHG-" + "9" * 60]}
        served.mark(marker("a" * 60, "v" + "1" * 120, "applied", 0, **about))
        yield served


def _opened(page: Page) -> None:
    expect(page.locator("main[aria-busy=true]")).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.evaluate("document.querySelectorAll('main details').forEach((each) => each.open = true)")


@pytest.mark.parametrize("name", PAGES)
def test_nothing_scrolls_sideways(
    open_page: Open, server: PageServer, story: dict[str, str], name: str
) -> None:
    page = open_page(server, PAGES[name].format(**story), width=WIDTH, allowed=("404",))
    _opened(page)
    assert page.evaluate(SIDEWAYS) == []
    assert page.evaluate(CUT) == []


@pytest.mark.parametrize("path", ["/audit", "/exec", "/services", "/deployments", "/fleet"])
def test_long_names_scroll_nothing_sideways(open_page: Open, wordy: PageServer, path: str) -> None:
    page = open_page(wordy, path, width=WIDTH)
    _opened(page)
    assert page.evaluate(SIDEWAYS) == []
    assert page.evaluate(CUT) == []


@pytest.mark.parametrize("width", [WIDTH, 1440])
def test_a_table_is_one_for_those_who_hear_it(
    open_page: Open, server: PageServer, story: dict[str, str], width: int
) -> None:
    page = open_page(server, "/audit", width=width)
    _opened(page)
    heard = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")
    roles = [each["role"]["value"] for each in heard["nodes"] if not each["ignored"]]
    rows = page.locator("main tbody tr").count()
    assert rows > 0
    assert roles.count("table") == 1
    assert roles.count("row") == rows + 1
    assert roles.count("columnheader") == 6
    assert roles.count("rowheader") == rows
    assert roles.count("cell") == rows * 5
    assert story


def test_each_value_of_a_card_stands_below_its_name(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/exec", width=WIDTH)
    _opened(page)
    cells = page.get_by_role("region", name="Teams").locator("tbody tr").first.locator("td")
    shown = cells.evaluate_all("(all) => all.map((e) => getComputedStyle(e, '::before').content)")
    names = ["Success", "Deployments", "Failed", "Rolled back"]
    assert [each.split('"')[1] for each in shown] == names
    page.set_viewport_size({"width": 1440, "height": 900})
    expect(page.get_by_role("columnheader", name="Rolled back")).to_be_visible()
    shown = cells.evaluate_all("(all) => all.map((e) => getComputedStyle(e, '::before').content)")
    assert set(shown) == {"none"}
    assert story
