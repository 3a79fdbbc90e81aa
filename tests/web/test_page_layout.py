"""Nothing sticks out, is cut off or pushed away, whatever is called how, at any width."""

from collections.abc import Iterator

import pytest
from page_server import Open, PageServer, marker
from playwright.sync_api import expect

LONG = "v" + "1234567890" * 25
NAMED = "a-service-with-quite-a-long-name-that-somebody-in-platform-engineering-liked-very-much"
WIDTHS = (390, 768, 1024, 1440, 1920)


@pytest.fixture(scope="module")
def wordy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    """A server of its own, because names on it are as long as they may be."""
    with PageServer(tmp_path_factory.mktemp("wordy"), "") as served:
        rolling = {"rollout": {"strategy": "canary", "track": "canary", "weight": 10}}
        served.mark(
            marker(NAMED, LONG, "applying", 0, owner="o" * 80, cluster="c" * 60, **rolling),
            marker("short", "1.0", "applied", 0, owner="ana", cluster="eu-1"),
        )
        yield served


@pytest.mark.parametrize("path", ["/deployments", "/services", "/fleet"])
def test_a_long_version_pushes_no_column_out_of_sight(
    open_page: Open, wordy: PageServer, path: str
) -> None:
    page = open_page(wordy, path, width=1920)
    version = page.locator(".version").filter(has_text=LONG)
    expect(version).to_have_attribute("title", LONG)
    box = version.bounding_box()
    assert box is not None
    assert box["width"] < 300


def test_panels_keep_what_is_in_them(open_page: Open, wordy: PageServer) -> None:
    page = open_page(wordy, "/oncall")
    expect(page.locator(".list li").first).to_contain_text(NAMED)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        wide = page.evaluate(
            "[...document.querySelectorAll('.panel:has(> .list)')]"
            ".filter((panel) => panel.scrollWidth > panel.clientWidth + 1).length"
        )
        assert wide == 0, width


def test_the_frame_takes_one_line_from_1024_px_on(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall", width=1024)
    expect(page.locator(".ranges")).to_be_visible()
    for width in (1024, 1200, 1280, 1379, 1380, 1440, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.querySelector('.top').clientHeight") < 50, width
    assert story


def test_the_frame_takes_two_lines_on_a_tablet(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall", width=768)
    expect(page.locator(".ranges")).to_be_visible()
    assert page.evaluate("document.querySelector('.top').clientHeight") < 90
    assert story


def test_on_a_phone_the_newest_of_a_timeline_is_seen_first(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, f"/debug?dep={story['checkout']}~1", width=390)
    newest = page.locator(".timeline circle").last
    expect(newest).to_be_attached()
    newest.scroll_into_view_if_needed()
    page.locator(".timeline").scroll_into_view_if_needed()
    page.reload()
    expect(newest).to_be_attached()
    inside = newest.evaluate(
        "(dot) => dot.getBoundingClientRect().right <="
        " dot.closest('.scroll').getBoundingClientRect().right + 1"
    )
    assert inside
    names = page.locator(".timeline-names li")
    expect(names.first).to_be_in_viewport(ratio=1)
    row = names.nth(1).bounding_box()
    dot = page.locator(".timeline circle.dot-good").first.bounding_box()
    assert row is not None
    assert dot is not None
    assert abs(row["y"] + row["height"] / 2 - dot["y"] - dot["height"] / 2) < 6


def test_what_is_said_for_a_moment_covers_no_button(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall")
    bar = page.locator(".selection")
    expect(bar).to_be_visible()
    expect(bar.locator(".fact-heard-from")).to_contain_text("CI, orchestrator, runtime")
    expect(bar.locator(".fact-heard-from")).to_be_in_viewport(ratio=1)
    page.keyboard.press("l")
    toast, below = page.locator(".toast").bounding_box(), bar.bounding_box()
    assert toast is not None
    assert below is not None
    assert toast["y"] + toast["height"] <= below["y"]
    assert story


def test_on_a_phone_the_navigation_shows_where_one_is(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/audit", width=390)
    expect(page.get_by_role("link", name="Audit", exact=True)).to_be_in_viewport(ratio=1)
    page.keyboard.press("g")
    page.keyboard.press("o")
    expect(page.get_by_role("link", name="On-call", exact=True)).to_be_in_viewport(ratio=1)
    assert story


def test_the_name_of_a_suspect_is_whole(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall", width=1440)
    names = page.locator(".suspects .suspect-head .clip")
    expect(names.first).to_contain_text("checkout 2.31.0")
    cut = names.evaluate_all("(all) => all.filter((e) => e.scrollWidth > e.clientWidth).length")
    assert cut == 0
    assert story


def test_the_first_suspect_costs_no_request_of_its_own(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/exec")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/oncall")
    expect(page.locator("[data-action=roll_back][aria-disabled=false]")).to_be_visible()
    assert [url for url in asked if "/d/d-" in url] == []
    assert story


def test_on_a_phone_nothing_stands_over_the_charts(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall", width=390, height=844)
    chart = page.locator(".chart").first
    chart.scroll_into_view_if_needed()
    chart.evaluate("(chart) => chart.scrollIntoView({ block: 'end' })")
    covered = chart.evaluate(
        "(chart) => { const box = chart.getBoundingClientRect();"
        " const on = document.elementFromPoint(box.left + box.width / 2, box.bottom - 8);"
        " return on?.closest('.selection') !== null; }"
    )
    assert not covered
    expect(page.locator("[data-action=roll_back][aria-disabled=false]")).to_be_visible()
    assert story


def test_on_a_phone_a_row_of_the_stream_opens_the_deployment(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/oncall", width=390, height=844)
    page.locator(".stream li", has_text="payments").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("payments 4.27.4")
    assert story


def test_on_a_phone_the_fleet_is_read_without_scrolling_aside(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/fleet", width=390, height=844)
    checkout = page.locator(".list > li", has_text="checkout")
    expect(checkout).to_contain_text("eu-1")
    expect(checkout.get_by_role("link", name="2.31.0").first).to_be_visible()
    assert page.evaluate("document.querySelector('main').scrollWidth <= innerWidth")
    assert page.locator("main .scroll").count() == 0
    page.set_viewport_size({"width": 1440, "height": 900})
    expect(page.get_by_role("columnheader", name="eu-1")).to_be_visible()
    assert story


def test_on_a_wide_screen_the_executive_page_leaves_little_empty(
    open_page: Open, server: PageServer, story: dict[str, str]
) -> None:
    page = open_page(server, "/exec", width=1440)
    teams = page.get_by_role("region", name="Teams")
    measures = page.get_by_role("region", name="All measures")
    left, right = teams.bounding_box(), measures.bounding_box()
    assert left is not None
    assert right is not None
    assert left["y"] == right["y"]
    incidents = page.get_by_role("region", name="Incidents")
    expect(incidents).to_contain_text("Time to repair (MTTR): not known.")
    expect(incidents.get_by_text("Incidents are not shown yet")).to_have_count(1)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert story


@pytest.mark.parametrize("height", [700, 900])
def test_a_banner_pushes_the_selected_deployment_nowhere(
    open_page: Open, server: PageServer, story: dict[str, str], height: int
) -> None:
    page = open_page(server, "/oncall", width=1440, height=height)
    bar = page.locator(".selection")
    expect(bar).to_be_in_viewport(ratio=1)
    page.keyboard.press("f")
    expect(page.locator(".banner.warn")).to_contain_text("Frozen.")
    expect(bar).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    assert story
