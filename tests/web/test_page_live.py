"""The live stream: none missed, none twice, nothing moves under the pointer."""

import re
import threading
import time
from pathlib import Path

import pytest
from page_server import Open, PageServer, marker
from playwright.sync_api import Page, expect

PER_SECOND = 20


def indexes(page: Page) -> list[int]:
    """Return the log indexes of the rows, as shown."""
    found: list[int] = page.evaluate(
        "[...document.querySelectorAll('.stream li')].map((row) => Number(row.dataset.index))"
    )
    return found


def keep_marking(server: PageServer, count: int, wave: str) -> list[int]:
    """Emit so many markers, as many a second as the goal says; return their indexes."""
    found: list[int] = []
    for number in range(count // 4):
        said = [
            marker(f"svc-{number % 9}", f"{wave}.{number}.{each}", "applied", 0)
            for each in range(4)
        ]
        found += [result["index"] for result in server.mark(*said)]
        time.sleep(4 / PER_SECOND)
    return found


def follow(open_page: Open, server: PageServer, seconds: int) -> None:
    page = open_page(server, "/oncall")
    expect(page.locator(".live-state")).to_have_text("● Live")
    before = indexes(page)
    told: list[int] = []
    emitting = threading.Thread(
        target=lambda: told.extend(keep_marking(server, PER_SECOND * seconds, f"live{seconds}"))
    )
    emitting.start()
    while emitting.is_alive():
        shown = indexes(page)
        assert shown == sorted(set(shown), reverse=True)
        page.wait_for_timeout(500)
    emitting.join()
    expect(page.locator(f".stream li[data-index='{told[-1]}']")).to_have_count(1)
    shown = indexes(page)
    assert shown == sorted(set(shown), reverse=True)
    assert [each for each in shown if each in told] == sorted(told, reverse=True)[:500]
    assert [each for each in shown if each in before] == before[: len(shown) - len(told)] or len(
        shown
    ) == 500


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lively")


@pytest.fixture(scope="module")
def busy(lively: Path) -> object:
    """A server of its own, because much is said to it."""
    with PageServer(lively, "") as served:
        yield served


@pytest.mark.long
def test_a_minute_of_20_events_a_second_is_shown_whole(open_page: Open, busy: PageServer) -> None:
    follow(open_page, busy, 60)


@pytest.mark.soak
def test_ten_minutes_of_20_events_a_second_are_shown_whole(
    open_page: Open, busy: PageServer
) -> None:
    follow(open_page, busy, 600)


def test_rows_stay_under_the_pointer_until_it_leaves(open_page: Open, busy: PageServer) -> None:
    busy.mark(*(marker("still", f"0.{each}", "applied", 0) for each in range(5)))
    page = open_page(busy, "/oncall")
    expect(page.locator(".live-state")).to_have_text("● Live")
    row = page.locator(".stream li").nth(1)
    row.hover()
    before, place = indexes(page), row.bounding_box()
    [result] = busy.mark(marker("still", "1.0", "applied", 0))
    waiting = page.locator(".stream .waiting")
    expect(waiting).to_have_text(re.compile(r"\d+ new"))
    assert (indexes(page), row.bounding_box()) == (before, place)
    page.mouse.move(400, 500)
    expect(page.locator(".stream li").first).to_have_attribute("data-index", re.compile(r"\d+"))
    expect(page.locator(f".stream li[data-index='{result['index']}']")).to_have_count(1)
    expect(waiting).to_have_count(0)


def test_a_row_shows_what_was_said_then_not_how_its_deployment_stands_now(
    open_page: Open, busy: PageServer
) -> None:
    phases = ("planned", "applying", "applied", "failed")
    said = [busy.mark(marker("told", "1.0", phase, 0))[0]["index"] for phase in phases]
    page = open_page(busy, "/oncall")
    for index, phase in zip(said, phases, strict=True):
        row = page.locator(f".stream li[data-index='{index}'] .how")
        expect(row).to_have_text(re.compile(rf"^\W*{phase}$"))


def test_a_held_stream_goes_on_where_it_was(open_page: Open, busy: PageServer) -> None:
    page = open_page(busy, "/oncall")
    expect(page.locator(".live-state")).to_have_text("● Live")
    page.keyboard.press("l")
    expect(page.locator(".live-state")).to_have_text("‖ Held")
    before = indexes(page)
    results = busy.mark(*(marker("held", f"2.{each}", "applied", 0) for each in range(3)))
    expect(page.locator(".stream .waiting")).to_have_text("3 new")
    assert indexes(page) == before
    page.keyboard.press("l")
    expect(page.locator(f".stream li[data-index='{results[-1]['index']}']")).to_have_count(1)
    assert indexes(page)[:3] == sorted((each["index"] for each in results), reverse=True)


def test_a_server_that_comes_back_is_followed_from_where_it_was(
    open_page: Open, tmp_path: Path
) -> None:
    with PageServer(tmp_path, "") as served:
        served.mark(marker("cart", "1.0", "applied", 0))
        page = open_page(served, "/oncall", allowed=("ERR_", "503", "502"))
        expect(page.locator(".live-state")).to_have_text("● Live")
        served.stop()
        expect(page.locator(".live-state")).not_to_have_text("● Live")
        served.serve()
        missed = served.mark(*(marker("cart", f"1.{each}", "applied", 0) for each in range(1, 4)))
        expect(page.locator(f".stream li[data-index='{missed[-1]['index']}']")).to_have_count(
            1, timeout=30_000
        )
        expect(page.locator(".live-state")).to_have_text("● Live")
        shown = indexes(page)
        assert shown == sorted(set(shown), reverse=True)
        assert {each["index"] for each in missed} <= set(shown)
