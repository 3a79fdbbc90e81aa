"""One server with a story, one browser, and pages that let nothing pass that should not be.

Chromium is Debian's (tools/system-packages); Playwright brings none. A console error, an error of
a script and a request to any other origin each fail the test in which they happen.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from page_server import TOKEN, Open, PageServer, tell_story
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

MANIFEST = Path(__file__).parents[2] / "src" / "deploymark" / "server" / "assets" / "manifest.json"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

expect.set_options(timeout=20_000)  # how long a busy machine may take


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium.

    Playwright keeps an event loop running, beside which no test of another room has one of its own:
    it ends with the module, because a worker goes on with whatever is left to do.
    """
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    if not MANIFEST.is_file():
        pytest.skip("The page is not built: make web")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    """A server on which checkout 2.31.0 fails."""
    with PageServer(tmp_path_factory.mktemp("page")) as served:
        yield served


@pytest.fixture(scope="session")
def story(server: PageServer) -> dict[str, str]:
    """Ids of the story's deployments, by what they are."""
    return tell_story(server)


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens an address as somebody who is signed in, in a browser of their own."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def opened(  # noqa: PLR0913 - what differs between people's browsers
        server: PageServer,
        path: str,
        *,
        width: int = 1440,
        height: int = 900,
        theme: str = "dark",
        token: str | None = TOKEN,
        allowed: tuple[str, ...] = (),
        zone: str = "UTC",
    ) -> Page:
        context = browser.new_context(
            timezone_id=zone,
            viewport={"width": width, "height": height},
            color_scheme="dark" if theme == "dark" else "light",
            base_url=server.url,
        )
        contexts.append(context)
        if token is not None:
            answer = context.request.post("/v1/session", data={"token": token})
            assert answer.status == 201, answer.text()
        page = context.new_page()
        _watch(page, server.url, wrong, allowed)
        page.goto(path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def _watch(page: Page, url: str, wrong: list[str], allowed: tuple[str, ...]) -> None:
    origin = urlsplit(url).netloc
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on(
        "console",
        lambda message: (
            wrong.append(f"console: {message.text}")
            if message.type in ("error", "warning")
            and not any(part in message.text for part in allowed)
            else None
        ),
    )
    page.on(
        "request",
        lambda request: (
            wrong.append(f"foreign: {request.url}")
            if urlsplit(request.url).netloc != origin
            else None
        ),
    )
