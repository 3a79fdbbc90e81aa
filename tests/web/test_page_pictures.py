"""Pictures of every page, for whoever wants to look: build/screenshots, anew with each run.

Whether they are pretty is not asserted; that each page has come to rest, in both themes, is.
"""

from pathlib import Path

import pytest
from page_server import Open, PageServer
from playwright.sync_api import expect
from test_page_is_accessible import PAGES

PICTURES = Path(__file__).parents[2] / "build" / "screenshots"
SIZES = {"wide": (1440, 900), "phone": (390, 844)}


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_photographed(
    open_page: Open, server: PageServer, story: dict[str, str], name: str, theme: str
) -> None:
    page = open_page(server, PAGES[name].format(**story), theme=theme, allowed=("404",))
    PICTURES.mkdir(parents=True, exist_ok=True)
    for size, (width, height) in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        expect(page.locator("[aria-busy=true]")).to_have_count(0)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        picture = PICTURES / f"{name.replace(' ', '-')}-{size}-{theme}.png"
        page.screenshot(path=picture, animations="disabled")
        assert picture.read_bytes().startswith(b"\x89PNG")
