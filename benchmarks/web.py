"""What the web page costs: the goals of its specification, in a real browser and a real server.

Run alone: `python benchmarks/web.py [--quick] [--soak] [--json]`; needs Chromium and the built
page. The views hold 100,000 deployments of a week: the simulated fleet's, copied in the database,
since telling them takes minutes; --quick only watches the live page for less long, --soak also
watches its heap for half an hour. CPU is that of the browser's main thread or of the server's
process, by their ticks. Only what the goal itself states in wall time is measured in it.
"""

import json
import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any, cast

import requests
from measuring import Row, options, report
from playwright.sync_api import Page, sync_playwright

from deploymark.model.instants import format_instant
from deploymark.runtime.system import SystemClock
from deploymark.testing.gameday.door import Door
from deploymark.testing.simulation.player import tell
from deploymark.testing.simulation.services import configuration

TOKEN = "the-administrator-of-the-benchmark"  # noqa: S105 - of a server that is thrown away
ASSETS = Path(__file__).parents[1] / "src" / "deploymark" / "server" / "assets"
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run")
COUNT = 100_000
WEEK_MS = 7 * 86_400_000
_RUNS, _ALONE, _LOADS, _MOVES, _PER_SECOND = 60, 20, 7, 60, 20
_TICK = os.sysconf("SC_CLK_TCK")


def bundles() -> Iterator[Row]:
    """Weigh what a browser loads."""
    manifest = json.loads((ASSETS / "manifest.json").read_text(encoding="utf-8"))
    first = manifest["pages"]["oncall"]
    names = {name for each in (manifest, first) for name in (*each["scripts"], *each["styles"])}
    oncall = sum((ASSETS / f"{name}.br").stat().st_size for name in names) / 1e3
    whole = sum(each.stat().st_size for each in ASSETS.glob("*.br")) / 1e3
    said = "brotli, files as served"
    yield Row("JS and CSS of on-call", oncall, 0, "KB", "<= 60", oncall <= 60, said)
    yield Row("JS and CSS of all pages", whole, 0, "KB", "<= 120", whole <= 120, said)


@contextmanager
def serving(place: Path) -> Iterator[tuple[str, int]]:
    """Run a server over the data there; yield its address and process."""
    (place / "deploymark.toml").write_text(configuration(), encoding="utf-8")
    words = ("--data", "data", "--config", "deploymark.toml", "--listen", "127.0.0.1:0", "--json")
    process = subprocess.Popen(
        [sys.executable, "-m", "deploymark", "up", *words],
        cwd=place,
        env={"PATH": os.defpath, "DEPLOYMARK_ADMIN_TOKEN": TOKEN},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    )
    try:
        yield json.loads(cast("IO[str]", process.stdout).readline())["url"], process.pid
    finally:
        process.terminate()
        process.wait()


def fill(place: Path, count: int) -> None:
    """Tell a server the simulated fleet, then copy its deployments until there are so many."""
    with serving(place) as (url, _), closing(Door(url, TOKEN)) as door:
        size = tell(door, 1, SystemClock().now_ms()).markers
        while door.found("/oncall")["as_of"] < size:
            time.sleep(0.2)
    with closing(sqlite3.connect(place / "data" / "views.db")) as base:
        _copy(base, count)
        base.commit()


def _copy(base: sqlite3.Connection, count: int) -> None:
    """Copy runs and marks under other ids, at times spread over the last week."""
    chance, now_ms = random.Random(1), SystemClock().now_ms()
    base.row_factory = sqlite3.Row
    # Those that are over: what is under way by the hundred is no ordinary day.
    wanted = "select * from broker_run where state = 'superseded' and settled_ms is not null"
    runs = base.execute(wanted).fetchall()
    marks: dict[tuple[str, str], list[sqlite3.Row]] = {}
    for row in base.execute("select * from broker_mark").fetchall():
        marks.setdefault((row["service"], row["id"]), []).append(row)
    for number in range(count):
        run = runs[number % len(runs)]
        name = f"{run['id'][:-6]}{number:06}"
        shift = now_ms - chance.randrange(60_000, WEEK_MS) - run["settled_ms"]
        _insert(base, "broker_run", run, name, shift)
        for each in marks.get((run["service"], run["id"]), ()):
            _insert(base, "broker_mark", each, name, shift)
            if each["first"]:
                more = "update broker_tally set count = count + 1 where rank = ?"
                base.execute(more, (each["rank"],))


def _insert(base: sqlite3.Connection, table: str, row: sqlite3.Row, name: str, shift: int) -> None:
    before, values = row["id"], []
    for column in row.keys():  # noqa: SIM118 - rows yield values
        value = row[column]
        if column == "id":
            value = name
        elif column.endswith("_ms") and value is not None:
            value += shift
        elif isinstance(value, str):
            value = value.replace(before, name)
        elif isinstance(value, bytes):
            value = value.replace(before.encode(), name.encode())
        values.append(value)
    holes = ", ".join("?" * len(values))
    base.execute(f"insert into {table} values ({holes})", values)  # noqa: S608 - our own names


def cpu_seconds(process: int) -> float:
    """Return the CPU that a process, or thread, has taken."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def shells(url: str, process: int, runs: int, count: int) -> Iterator[Row]:
    """Time the shell of the first page, and look at pages that show measures of the week."""
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {TOKEN}"

        def ask(path: str, accept: str) -> requests.Response:
            headers = {"Accept": accept, "Accept-Encoding": "gzip"}
            answer = session.get(f"{url}{path}", headers=headers, timeout=120)
            answer.raise_for_status()
            return answer

        for path in ("/services", "/exec"):
            before, began = cpu_seconds(process), time.perf_counter()
            ask(path, "application/json")
            took = time.perf_counter() - began
            while (counted := ask("/services", "application/json").json())["measures"] == []:
                time.sleep(0.1)
            spent = cpu_seconds(process) - before
            yield Row(
                f"{path} asked first, {count:,} deployments",
                took * 1e3,
                0,
                "ms",
                "<= 1,000",
                took <= 1,
                f"until the measures of the week are counted {spent:.1f} s of CPU "
                f"of the server; {len(counted['measures'])} measures",
            )
        packed = int(ask("/oncall", "text/html").headers["Content-Length"])
        # Looks within a second share a part of the work: one behind the other, and each alone.
        for what, times, rest_seconds in (("server time", runs, 0.0), ("alone", _ALONE, 1.1)):
            walls, before = [], cpu_seconds(process)
            for _ in range(times):
                time.sleep(rest_seconds)
                began = time.perf_counter()
                ask("/oncall", "text/html")
                walls.append((time.perf_counter() - began) * 1e3)
            spent = (cpu_seconds(process) - before) / times * 1e3
            late = statistics.quantiles(walls, n=20)[-1]
            yield Row(
                f"shell, {what} p95, {count:,} deployments",
                late,
                0,
                "ms",
                "<= 15",
                late <= 15,
                f"wall, {times} times; p50 {statistics.median(walls):.1f} ms, CPU {spent:.1f} ms "
                "each, with all that the server does meanwhile",
            )
        yield Row(
            "shell HTML, compressed", packed / 1e3, 0, "KB", "<= 25", packed <= 25_000, "gzip"
        )


class Browser:
    """A page, and the CPU of its main thread.

    Args:
        page: Signed in.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self._session = page.context.new_cdp_session(page)
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def metric(self, name: str) -> float:
        """Return one of the browser's own metrics; `TaskDuration` is CPU of the main thread."""
        found = self._session.send("Performance.getMetrics")["metrics"]
        return float(next(each["value"] for each in found if each["name"] == name))

    def heap(self) -> float:
        """Return the bytes of the heap that are in use after collecting."""
        for _ in range(2):
            self._session.send("HeapProfiler.collectGarbage")
        return float(self._session.send("Runtime.getHeapUsage")["usedSize"])

    def cpu_of(self, act: Callable[[int], object], times: int) -> float:
        """Return milliseconds of main-thread CPU per act."""
        before = self.metric("TaskDuration")
        for number in range(times):
            act(number)
            self.page.wait_for_timeout(40)
        return (self.metric("TaskDuration") - before) / times * 1e3


_CHARTS = 4
_WATCH_CHARTS = f"""
const look = () => {{
  const charts = document.querySelectorAll(".plot canvas").length;
  if (charts === {_CHARTS} && window.deploymark) window.chartsAt = performance.now();
  else requestAnimationFrame(look);
}};
requestAnimationFrame(look);
"""
"""Notes the first frame that begins with all charts, and what lies over them, drawn."""


def paints(page: Page, loads: int) -> Iterator[Row]:
    """Time first paints, and when all charts are there."""
    page.add_init_script(_WATCH_CHARTS)
    first, charts = [], []
    for _ in range(loads):
        page.goto("/oncall", wait_until="load")
        while (painted := page.evaluate("window.chartsAt")) is None:
            page.wait_for_timeout(50)
        script = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN"
        first.append(float(page.evaluate(script)))
        charts.append(float(painted))
    for what, times, goal in (
        ("first contentful paint", first, 350),
        ("charts painted", charts, 600),
    ):
        median = statistics.median(times)
        yield Row(
            f"{what} p50",
            median,
            0,
            "ms",
            f"<= {goal}",
            median <= goal,
            f"wall, {loads} loads, the files in the browser's cache after the first",
        )


def operations(browser: Browser, moves: int) -> Iterator[Row]:
    """Weigh what a person does on the charts."""
    page = browser.page
    page.goto("/oncall?range=24h")
    page.wait_for_timeout(2_000)
    box = page.locator("canvas").first.bounding_box()
    if box is None:
        raise SystemExit("The page draws nothing.")
    x, y, width = box["x"], box["y"] + box["height"] / 2, box["width"]
    idle = browser.cpu_of(lambda _: None, moves)
    acts: tuple[tuple[str, Callable[[int], object], int], ...] = (
        ("hover", lambda n: page.mouse.move(x + width * (0.1 + 0.8 * n / moves), y), 8),
        ("select", lambda _: page.keyboard.press("j"), 12),
        ("zoom", lambda n: page.keyboard.press("+-"[n % 2]), 25),
    )
    for name, act, goal in acts:
        spent = max(0.0, browser.cpu_of(act, moves) - idle)
        yield Row(
            f"{name}, CPU of the main thread",
            spent,
            0,
            "ms",
            f"<= {goal}",
            spent <= goal,
            f"{moves} times, less {idle:.1f} ms that the idle page takes in the same time; "
            "TaskDuration by threadTicks",
        )


def live(browser: Browser, url: str, seconds: int) -> Iterator[Row]:
    """Let 20 markers a second come, and see what that takes and when they are shown."""
    page, door = browser.page, Door(url, TOKEN)
    page.goto("/oncall?range=15m")
    page.wait_for_timeout(2_000)
    before, began = browser.metric("TaskDuration"), time.perf_counter()
    for number in range(seconds * _PER_SECOND):
        door.post("/v1/markers", _marker(f"9.{number}.0"))
        page.wait_for_timeout(
            max(0.0, (began + (number + 1) / _PER_SECOND - time.perf_counter()) * 1e3)
        )
    took = time.perf_counter() - began
    spent = (browser.metric("TaskDuration") - before) / took * 100
    rate = seconds * _PER_SECOND / took
    yield Row(
        "20 events/s live, CPU of the main thread",
        spent,
        0,
        "%",
        "<= 7",
        spent <= 7 and rate > 0.95 * _PER_SECOND,
        f"{took:.0f} s at {rate:.1f}/s; TaskDuration by threadTicks",
    )
    delays = []
    for number in range(20):
        version = f"8.{number}.0"
        began = time.perf_counter()
        door.post("/v1/markers", _marker(version))
        page.get_by_text(version).first.wait_for(timeout=20_000)
        delays.append((time.perf_counter() - began) * 1e3)
    late = statistics.quantiles(delays, n=20)[-1]
    yield Row(
        "log append to on screen p95",
        late,
        0,
        "ms",
        "<= 1,000",
        late <= 1_000,
        f"wall, {len(delays)} times; p50 {statistics.median(delays):.0f} ms, from the POST",
    )
    door.close()


_SPEED, _HASTE = 40, 10
_HASTEN = f"""
const sleep = window.setTimeout;
window.setTimeout = (call, ms = 0, ...more) => sleep(call, ms / {_HASTE}, ...more);
"""
"""The page makes its document anew every five seconds; a day of that does not fit a benchmark."""


def heap(browser: Browser, url: str, minutes: int) -> Iterator[Row]:
    """Let markers come and the page renew itself in haste; see what its heap keeps of each."""
    page, door, used = browser.page, Door(url, TOKEN), list[tuple[int, float]]()
    page.add_init_script(_HASTEN)
    page.goto("/oncall?range=15m")
    page.wait_for_timeout(2_000)
    began, sent, seen = time.perf_counter(), 0, -1
    while (now := time.perf_counter() - began) < minutes * 60:
        batch = [
            json.loads(_marker(f"7.{sent + each}.0")) | {"service": f"bench-{each}"}
            for each in range(_SPEED // 2)
        ]
        door.post("/v1/markers", json.dumps(batch).encode())
        sent += len(batch)
        page.wait_for_timeout(max(0.0, (began + sent / _SPEED - time.perf_counter()) * 1e3))
        if int(now / 10) > seen:
            seen = int(now / 10)
            used.append((sent, browser.heap()))
    door.close()
    later = used[len(used) // 2 :]  # until then the window and the stream fill
    slope = statistics.linear_regression(*zip(*later, strict=True)).slope
    day = slope * 86_400 * _PER_SECOND / 1e6
    events = later[-1][0] - later[0][0]
    yield Row(
        "20 events/s live, growth of the heap",
        day,
        0,
        "MB",
        "<= 10 a day",
        day <= 10,
        f"by the slope over the last {events:,} events of {minutes} min at {_SPEED}/s, renewed "
        f"{_HASTE} times as often, after collecting; {later[-1][1] / 1e6:.1f} MB at the end, "
        f"{used[0][1] / 1e6:.1f} at the beginning",
    )


def _marker(version: str) -> bytes:
    said: dict[str, Any] = {
        "service": "bench",
        "environment": "prod",
        "phase": "applied",
        "version": version,
        "timestamp": format_instant(SystemClock().now_ms()),
    }
    return json.dumps(said).encode()


def rows(place: Path, *, quick: bool, soak: bool) -> Iterator[Row]:
    """Measure all of it."""
    program = shutil.which("chromium")
    if program is None or not ASSETS.is_dir():
        raise SystemExit("Needs Chromium (apt-get install chromium) and the page (make web).")
    yield from bundles()
    fill(place, COUNT)
    with serving(place) as (url, process), sync_playwright() as playwright:
        yield from shells(url, process, _RUNS, COUNT)
        opened = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        context = opened.new_context(viewport={"width": 1440, "height": 900}, base_url=url)
        context.request.post("/v1/session", data={"token": TOKEN})
        page = context.new_page()
        yield from paints(page, _LOADS)
        browser = Browser(page)
        yield from operations(browser, _MOVES)
        yield from live(browser, url, 15 if quick else 60)
        if soak:  # half of it until the window of 15 minutes and the stream are full
            yield from heap(browser, url, 30)
        opened.close()


def main() -> None:
    """Run and report."""
    chosen = options(__doc__ or "")
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        measured = list(rows(Path(folder).resolve(), quick=chosen.quick, soak=chosen.soak))
    report(measured, as_json=chosen.json)


if __name__ == "__main__":
    main()
