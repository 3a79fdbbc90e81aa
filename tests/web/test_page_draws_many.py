"""20,000 markers in view are drawn exactly, from a short list that leaves out none that matters."""

from math import floor
from typing import Any

from page_server import Json, Open, PageServer, drawn, intercept
from playwright.sync_api import Page, Route, expect

MANY = 20_000
MARKS = 4_000
"""As many as the server sends at most; each stands for some markers of its column."""

LEFT, RIGHT, FAINT_APART = 52, 18, 4
LOUD_EACH = 250


def crowd(document: Json) -> list[Json]:
    """Put 20,000 markers into a document in place of its own, and return them as marks."""
    window = document["window"]
    since, until = window["since_ms"], window["until_ms"]
    lanes = len(document["lanes"])
    marks = [
        {
            "at_ms": since + (until - since) * number // MARKS,
            "lane": number % lanes,
            "state": "failed" if number % LOUD_EACH == 0 else "healthy",
            "id": f"d-{number:026}~1",
            "service": f"svc-{number % 97}",
            "version": f"1.{number}",
            "count": MANY // MARKS,
        }
        for number in range(MARKS)
    ]
    document["marks"] = {"items": marks, "total": MANY, "left_out": 0}
    document["in_view"] = document["total"] = MANY
    return marks


def expected(page: Page, marks: list[Json]) -> dict[tuple[int, float], tuple[str, str, int]]:
    """Return what is drawn where: state and id of the worst and first told, and how many."""
    span = page.evaluate("window.deploymark.span")
    width = page.evaluate("document.querySelector('.figure').clientWidth") - LEFT - RIGHT
    found: dict[tuple[int, float], tuple[str, str, int]] = {}
    for mark in marks:
        place = (mark["at_ms"] - span["since"]) / (span["until"] - span["since"]) * width
        is_faint = mark["state"] == "healthy"
        column = floor(place / FAINT_APART) * FAINT_APART if is_faint else floor(place + 0.5)
        key = (mark["lane"], LEFT + column)
        state, name, count = found.get(key, (mark["state"], mark["id"], 0))
        if state == "healthy" and not is_faint:
            state, name = mark["state"], mark["id"]
        found[key] = (state, name, count + mark["count"])
    return found


def test_20000_markers_are_drawn_exactly_from_a_short_list(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall")
    expect(page.locator(".suspects")).to_be_visible()
    told: list[list[Json]] = []

    def crowded(route: Route) -> None:
        document: dict[str, Any] = route.fetch().json()
        told.append(crowd(document))
        route.fulfill(json=document)

    intercept(page, "**/oncall?*width=*", crowded)
    page.get_by_role("link", name="24h", exact=True).click()
    expect(page.locator(".verdict")).to_contain_text("20,000 deployments in view of 20,000")
    page.keyboard.press("l")  # held: nothing is drawn anew between the looks
    glyphs = drawn(page)["glyphs"]
    places = {(g["lane"], g["x"]): (g["state"], g["id"], g["count"]) for g in glyphs}
    assert len(places) == len(glyphs)
    assert places == expected(page, told[-1])
    assert len(glyphs) < MARKS
    assert sum(g["state"] == "failed" for g in glyphs) == MARKS // LOUD_EACH
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    figure = page.locator(".figure").bounding_box()
    assert figure is not None
    for x in range(120, 900, 40):
        page.mouse.move(x, figure["y"] + 20)
    expect(page.get_by_role("tooltip")).to_be_visible()
    assert drawn(page)["glyphs"] == glyphs
    assert [url for url in asked if "/oncall" in url] == []
    assert story
