"""Takes pictures of every page in both themes: of a simulated fleet, by its seed, into a folder.

A server of its own in a throw-away directory is told the history of `testing.simulation` up to now,
so with the same seed pictures differ from run to run only in times and in what follows from them.
They are artefacts, not sources: nothing under build/ is committed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from deploymark.runtime.system import SystemClock
from deploymark.testing.gameday.door import Door
from deploymark.testing.simulation.history import History
from deploymark.testing.simulation.player import simulating
from deploymark.testing.simulation.services import configuration

TOP = Path(__file__).resolve().parents[1]
FOLDER = TOP / "build" / "screenshots"
TOKEN = "the-administrator-of-the-screenshots"  # noqa: S105 - of a server that is thrown away
THEMES: tuple[Literal["dark", "light"], ...] = ("dark", "light")
SIZE: ViewportSize = {"width": 1440, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
# Until it is found that a zone is silent and that a marker was forged.
SETTLE_SECONDS = 75
SETTLE_MS = 1_200
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run")


def main() -> int:
    """Take them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the fleet (default: 1)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where they go")
    parser.add_argument(
        "--at-once", action="store_true", help="wait for no finding that needs a minute"
    )
    chosen = parser.parse_args()
    program = shutil.which("chromium")
    if program is None:
        print("Chromium is not installed: apt-get install chromium", file=sys.stderr)
        return 1
    chosen.folder.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory() as place,
        _server(Path(place)) as url,
        closing(Door(url, TOKEN)) as door,
        simulating(door, chosen.seed, SystemClock()) as told,
        sync_playwright() as playwright,
    ):
        time.sleep(0 if chosen.at_once else SETTLE_SECONDS)
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        for file in _take(browser, url, _pages(door, told.past), chosen.folder):
            print(file)
        browser.close()
    return 0


@contextmanager
def _server(place: Path) -> Iterator[str]:
    (place / "deploymark.toml").write_text(configuration(), encoding="utf-8")
    words = ("--data", "data", "--config", "deploymark.toml", "--listen", "127.0.0.1:0", "--json")
    with (place / "server.log").open("w") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "deploymark", "up", *words],
            cwd=place,
            env={"PATH": os.defpath, "DEPLOYMARK_ADMIN_TOKEN": TOKEN},
            stdout=subprocess.PIPE,
            stderr=log,
            encoding="utf-8",
        )
    try:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.terminate()
        process.wait()


def _pages(door: Door, past: History) -> dict[str, str]:
    """Return the address of each page, by the name of its picture."""
    suspect = door.found("/oncall")["suspects"][0]["id"]
    before = next(
        each.id
        for each in reversed(past.told)
        if each.service.name == "checkout" and each.id != suspect.partition("~")[0]
    )
    index = door.found("/v1/markers", service="checkout", limit=1)["items"][0]["index"]
    return {
        "oncall": f"/oncall?dep={suspect}",
        "oncall-7d": "/oncall?range=7d",
        "debug": f"/debug?dep={suspect}",
        "exec": "/exec",
        "deployments": "/deployments?range=7d",
        "deployment": f"/d/{suspect}",
        "compare": f"/compare/{before}~1..{suspect}",
        "services": "/services",
        "service": "/services/checkout",
        "fleet": "/fleet",
        "audit": "/audit",
        "entry": f"/audit/{index}",
    }


def _take(browser: Browser, url: str, pages: dict[str, str], folder: Path) -> Iterator[Path]:
    for theme in THEMES:
        for width, size in (("", SIZE), ("-phone", PHONE)):
            context = browser.new_context(
                viewport=size, color_scheme=theme, base_url=url, reduced_motion="reduce"
            )
            page = context.new_page()
            page.goto("/oncall")
            yield _picture(page, folder / f"sign-in{width}-{theme}.png")
            context.request.post("/v1/session", data={"token": TOKEN})
            wanted = pages if not width else {"oncall": pages["oncall"]}
            for name, address in wanted.items():
                page.goto(address)
                yield _picture(page, folder / f"{name}{width}-{theme}.png")
            context.close()


def _picture(page: Page, file: Path) -> Path:
    page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=file, full_page=True)
    return file


if __name__ == "__main__":
    sys.exit(main())
