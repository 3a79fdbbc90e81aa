"""axe finds nothing on any page, in both themes and at three widths; nothing sticks out."""

from pathlib import Path

import pytest
from page_server import Open, PageServer
from playwright.sync_api import Page, expect

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
PAGES = {
    "oncall": "/oncall",
    "oncall of a week": "/oncall?range=7d",
    "debug": "/debug?dep={checkout}~1",
    "exec": "/exec",
    "deployments": "/deployments",
    "deployment": "/d/{checkout}~1",
    "compare": "/compare/{before}~1..{checkout}~1",
    "services": "/services",
    "service": "/services/checkout",
    "fleet": "/fleet",
    "audit": "/audit",
    "entry": "/audit/5",
    "an unknown page": "/nowhere",
    "a filter that is not understood": "/deployments?q=colour:red",
}
WIDTHS = (390, 1024, 1440)
RUN = "async () => (await axe.run(document, {resultTypes: ['violations']})).violations"


def violations(page: Page) -> list[str]:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: tools/web installs it")
    # As a script of the page's own world, past its content security policy, which forbids it.
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(RUN)
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(
    open_page: Open, server: PageServer, story: dict[str, str], name: str, theme: str
) -> None:
    page = open_page(
        server, PAGES[name].format(**story), theme=theme, width=WIDTHS[0], allowed=("404",)
    )
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        expect(page.locator("main[aria-busy=true]")).to_have_count(0)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert violations(page) == [], f"{name}, {theme}, {width} px"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("key", ["?", "Control+k", "r"])
def test_axe_finds_nothing_in_dialogs(
    open_page: Open, server: PageServer, story: dict[str, str], key: str, theme: str
) -> None:
    page = open_page(server, "/oncall", theme=theme)
    expect(page.locator("[data-action=roll_back]")).to_be_visible()
    page.keyboard.press(key)
    expect(page.get_by_role("dialog")).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert story


def test_axe_finds_nothing_on_the_form_to_sign_in(open_page: Open, server: PageServer) -> None:
    page = open_page(server, "/oncall", token=None)
    expect(page.get_by_label("Token")).to_be_focused()
    assert violations(page) == []
