"""Numbers of the charts are those of the server, wherever one looks from."""

import re

from page_server import Open, PageServer
from playwright.sync_api import Page, expect

NAMES = ("errors", "latency_p95", "requests")


def told(page: Page) -> dict[str, str]:
    """Return before and after as the charts tell them, without how long was looked at."""
    found = {}
    for name in NAMES:
        words = page.locator(f".chart[data-series={name}] .change")
        expect(words).to_contain_text("→")
        found[name] = re.sub(r" in \d+ .*", "", words.inner_text())
    return found


def test_what_changed_is_the_same_in_every_window_and_width(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    looks = [
        told(open_page(server, f"/oncall?range={span}", width=width))
        for width, span in ((1440, "6h"), (900, "1h"), (600, "24h"))
    ]
    assert looks[1:] == looks[:1] * 2
    assert story


def test_errors_before_and_after_are_the_servers(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall")
    words = told(page)["errors"]
    delta = server.ask(f"/d/{story['checkout']}~1")["selected"]["chip"]["delta"]
    before, after = (float(each) for each in re.findall(r"\d+\.?\d*", words)[:2])
    assert abs(before - 100 * delta["before"]) < 0.01
    assert abs(after - 100 * delta["after"]) < 0.01


def test_means_are_drawn_where_something_was_measured(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall?range=1h")
    told(page)
    means = page.evaluate("window.deploymark.means")
    assert len(means) == 2 * len(NAMES)
    span = page.evaluate("window.deploymark.span")
    live = page.evaluate("window.deploymark.drawn.glyphs.find((glyph) => glyph.isSelected).x")
    for before, after in zip(means[::2], means[1::2], strict=True):
        assert before["left"] < before["right"] <= live + 1
        assert live - 1 <= after["left"] < after["right"]
    assert span["until"] - span["since"] == 3_600_000
    assert story
