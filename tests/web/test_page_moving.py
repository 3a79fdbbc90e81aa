"""From one look to the next: by name, by zooming, by another filter."""

from pathlib import Path

from page_server import Open, PageServer, marker
from playwright.sync_api import Page, expect

from deploymark.model.instants import parse_instant


def span_of(page: Page) -> tuple[int, int]:
    """Return from when until when the charts reach."""
    span = page.evaluate("window.deploymark.span")
    return span["since"], span["until"]


def filter_by(page: Page, text: str) -> None:
    """Write a filter, and wait for what it shows."""
    with page.expect_response("**/oncall?*"):
        page.get_by_label("Filter", exact=True).fill(text)
        page.get_by_label("Filter", exact=True).press("Enter")


def test_the_palette_looks_beyond_the_filter(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall?q=svc:payments")
    expect(page.locator(".verdict")).to_be_visible()
    page.keyboard.press("Control+k")
    page.keyboard.type("gateway")
    expect(page.get_by_role("dialog")).to_contain_text("Nothing on this page has that name.")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Deployments")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_label("Filter", exact=True)).to_have_value("gateway")
    expect(page.locator("tbody tr").first).to_contain_text("gateway")
    assert story


def selected_x(page: Page) -> float:
    """Return where the selected deployment stands."""
    return float(page.evaluate("window.deploymark.drawn.glyphs.find((each) => each.isSelected).x"))


def zoom(page: Page, key: str) -> None:
    """Press a key that zooms, and wait until other instants are drawn."""
    before = span_of(page)
    page.keyboard.press(key)
    while span_of(page) == before:
        page.wait_for_timeout(50)


def test_zooming_keeps_the_selected_deployment_in_place(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, f"/oncall?range=6h&dep={story['payments']}~1")
    expect(page.locator(".selection")).to_contain_text("payments")
    expect(page.locator(".lanes li").first).to_be_visible()
    before = selected_x(page)
    for key in ("+", "-"):
        zoom(page, key)
        assert abs(selected_x(page) - before) < 3, key


def test_zooming_keeps_the_deployment_in_place_on_the_debug_page_too(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, f"/debug?range=6h&dep={story['payments']}~1")
    expect(page.locator(".timeline")).to_be_visible()
    at = parse_instant(server.ask(f"/debug?dep={story['payments']}~1")["selected"]["chip"]["at"])
    shares = []
    for key in ("", "+", "-"):
        if key:
            with page.expect_response("**/debug?*") as answered:
                page.keyboard.press(key)
            window = answered.value.json()["window"]
        else:
            window = server.ask(f"/debug?range=6h&dep={story['payments']}~1")["window"]
        shares.append((at - window["since_ms"]) / (window["until_ms"] - window["since_ms"]))
    assert max(shares) - min(shares) < 0.01, shares


def test_zooming_keeps_the_end_that_is_now_where_nothing_selected_is_in_sight(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, f"/oncall?range=15m&dep={story['payments']}~1")
    expect(page.locator(".lanes li").first).to_be_visible()
    until = span_of(page)[1]
    zoom(page, "+")
    assert abs(span_of(page)[1] - until) < 20_000


def test_a_person_who_said_something_is_named_among_who_was_heard(
    open_page: Open, tmp_path: Path
) -> None:
    with PageServer(tmp_path, "") as served:
        ana = {"kind": "human", "id": "ana"}
        [said] = served.mark(marker("cart", "1.0", "applied", 0, emitter=ana))
        page = open_page(served, f"/oncall?dep={said['deployment_id']}~1")
        expect(page.locator(".fact-heard-from")).to_have_text("Heard fromperson")
        page.goto(f"/d/{said['deployment_id']}")
        expect(page.locator(".facts > div", has_text="Heard from")).to_contain_text("person")
        page.close()  # before its server ends


def test_a_filter_that_excludes_what_is_selected_ends_its_selection(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, f"/oncall?dep={story['payments']}~1")
    bar = page.locator(".selection")
    expect(bar).to_contain_text("payments")
    filter_by(page, "owner:chen")
    expect(page.locator(".suspects li").first).not_to_contain_text("checkout")
    assert f"dep={story['payments']}" in page.url
    filter_by(page, "svc:checkout")
    expect(bar).to_contain_text("checkout")
    assert "dep=" not in page.url


def test_the_history_of_a_service_names_its_window(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/services/checkout")
    expect(page.get_by_role("region", name="History").locator("header")).to_contain_text("UTC")
    assert story
