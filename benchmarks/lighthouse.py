"""What Lighthouse says of the pages: its scores for performance, accessibility and good practice.

Run alone: `python benchmarks/lighthouse.py [--json]`; needs Chromium, the built page, and a Node
with `npx`, which fetches Lighthouse from npm. The pages show the simulated fleet's history. Each
page is loaded as by a desktop, which takes most of a minute: the live stream never falls silent.
"""

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests
from measuring import Row, options, report
from web import ASSETS, TOKEN, fill, serving

PAGES = ("oncall", "debug", "exec", "deployments", "services", "fleet", "audit")
GOALS = {"performance": 98, "accessibility": 100, "best-practices": 100}
_LIGHTHOUSE = "lighthouse@12"
_CHROMIUM = "--headless=new --no-sandbox"
_COUNT, _RUNS, _SECONDS, _TRIES = 10_000, 1, 180, 3


def session(url: str) -> str:
    """Return the cookie of somebody who is signed in, once the week's measures are counted.

    Who is the first to ask after a start is shown them when they are there, seconds later.
    """
    answer = requests.post(f"{url}/v1/session", json={"token": TOKEN}, timeout=_SECONDS)
    answer.raise_for_status()
    while not requests.get(f"{url}/services", cookies=answer.cookies, timeout=_SECONDS).json()[
        "measures"
    ]:
        time.sleep(0.2)
    return "; ".join(f"{name}={value}" for name, value in answer.cookies.items())


def scores(place: Path, address: str, npx: str, chromium: str) -> dict[str, float]:
    """Return the scores of one load, of 100, tried again when Lighthouse has lost its own trace."""
    for _ in range(_TRIES - 1):
        with suppress(subprocess.CalledProcessError):
            return _scores(place, address, npx, chromium)
    return _scores(place, address, npx, chromium)


def _scores(place: Path, address: str, npx: str, chromium: str) -> dict[str, float]:
    said = place / "said.json"
    words = ("--preset=desktop", "--quiet", "--extra-headers", str(place / "headers.json"))
    only = f"--only-categories={','.join(GOALS)}"
    to = ("--output", "json", "--output-path", str(said), f"--chrome-flags={_CHROMIUM}")
    subprocess.run(
        [
            "/usr/bin/env",
            f"CHROME_PATH={chromium}",
            npx,
            "--yes",
            _LIGHTHOUSE,
            address,
            *words,
            only,
            *to,
        ],
        cwd=place,
        check=True,
        timeout=_SECONDS,
        stdout=subprocess.DEVNULL,
    )
    found: dict[str, Any] = json.loads(said.read_text(encoding="utf-8"))
    return {name: found["categories"][name]["score"] * 100 for name in GOALS}


def rows(place: Path) -> Iterator[Row]:
    """Measure all of it."""
    npx, chromium = shutil.which("npx"), shutil.which("chromium")
    if chromium is None or npx is None or not ASSETS.is_dir():
        raise SystemExit("Needs Chromium, npx of Node, and the page (make web).")
    fill(place, _COUNT)
    with serving(place) as (url, _):
        (place / "headers.json").write_text(json.dumps({"Cookie": session(url)}))
        for page in PAGES:
            found = [scores(place, f"{url}/{page}", npx, chromium) for _ in range(_RUNS)]
            for name, goal in GOALS.items():
                worst = min(each[name] for each in found)
                said = f"loaded as by a desktop, {_COUNT:,} deployments, measures counted"
                yield Row(f"/{page}, {name}", worst, 0, "of 100", f">= {goal}", worst >= goal, said)


def main() -> None:
    """Run and report."""
    chosen = options(__doc__ or "")
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        measured = list(rows(Path(folder).resolve()))
    report(measured, as_json=chosen.json)


if __name__ == "__main__":
    main()
