"""X5: a game day against a real server, small enough for every day; the whole one is a soak test.

Faults are injected on purpose, and all of them must be found; a day without faults must find
nothing. The server is a process of its own, with the configuration that the command prints.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from deploymark.runtime.system import SystemClock
from deploymark.testing.gameday.door import Door
from deploymark.testing.gameday.game import Result, run_day
from deploymark.testing.gameday.plan import Size, plan_day
from deploymark.testing.gameday.report import complaints
from deploymark.testing.gameday.timing import Timing

BIN = Path(sys.executable).parent
SECONDS = 60
WHOLE_SECONDS = 900


def _knows_findings() -> bool:
    described = subprocess.run(
        [BIN / "deploymark", "openapi"], check=True, capture_output=True, timeout=SECONDS
    )
    return "/v1/findings" in json.loads(described.stdout)["paths"]


pytestmark = pytest.mark.skipif(not _knows_findings(), reason="the server shows no findings yet")


def _command(place: Path, *words: str, seconds: float, **environment: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [BIN / "deploymark", "gameday", *words],
        cwd=place,
        env={"PATH": os.defpath, "HOME": str(place), **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=seconds,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


class Serving:
    """Runs a server that is there to be tested, always at the same address."""

    def __init__(self, place: Path, *words: str) -> None:
        code, printed, said = _command(place, *words, "--print-config", seconds=SECONDS)
        assert code == 0, said
        (place / "deploymark.toml").write_text(printed)
        self._place = place
        self._process: Popen[str] | None = None
        self.url, self.token = "", ""

    def start(self) -> None:
        """Start it."""
        listen = self.url.removeprefix("http://") or "127.0.0.1:0"
        with (self._place / "server.log").open("a") as log:
            self._process = Popen(
                [
                    *(BIN / "deploymark", "up", "--json", "--data", "data"),
                    *("--listen", listen, "--config", "deploymark.toml"),
                ],
                cwd=self._place,
                env={"PATH": os.defpath, "HOME": str(self._place)},
                stdout=PIPE,
                stderr=log,
                encoding="utf-8",
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, (self._place / "server.log").read_text()
        started = json.loads(line)
        self.url = started["url"]
        self.token = started.get("admin_token") or self.token

    def stop(self) -> None:
        """Stop it as a service manager does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()
        assert code == 0
        assert "Traceback" not in (self._place / "server.log").read_text()

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        self.start()


@contextmanager
def _serving(place: Path, *words: str) -> Iterator[Serving]:
    server = Serving(place, *words)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _played(
    server: Serving, place: Path, *words: str, seconds: float
) -> tuple[int, dict[str, object], str]:
    code, said, errors = _command(
        place,
        *("--server", server.url, "--report", "report.json", *words),
        seconds=seconds,
        DEPLOYMARK_TOKEN=server.token,
    )
    report = place / "report.json"
    assert report.exists(), said + errors
    return code, json.loads(report.read_text()), said + errors


SEED, SERVICES, COMPRESSION, DEPLOYMENTS = 5, 40, 150, 200
SMALL = (
    *("--seed", str(SEED), "--services", str(SERVICES)),
    *("--compression", str(COMPRESSION)),
)
WHOLE = ("--services", "40", "--compression", "60", "--seed", "1")


# The deadlines are compressed to seconds. When this machine could not send in time what was
# planned, they were truly missed, and the day says nothing about the server: it is played again.
_FAIR_SECONDS = 1.0
_ATTEMPTS = 3


@pytest.mark.long
def test_every_fault_of_a_small_day_is_found_and_nothing_else(tmp_path: Path) -> None:
    # Restarted when all was sent: refusals are told at once then, not when the minute is over,
    # and what was not due yet must still be found.
    result = _small_day(tmp_path / "day-1")
    for attempt in range(2, _ATTEMPTS + 1):
        if result.slipped_seconds >= _FAIR_SECONDS:
            result = _small_day(tmp_path / f"day-{attempt}")
    assert list(complaints(result)) == [], f"{result.slipped_seconds} s slipped"
    assert result.is_won


def _small_day(place: Path) -> Result:
    place.mkdir()
    size = Size(DEPLOYMENTS, 42, SERVICES)
    day = plan_day(size, seed=SEED, name="small", timing=Timing(compression=COMPRESSION))
    with (
        _serving(place, *SMALL) as server,
        closing(Door(server.url, server.token)) as door,
    ):
        return run_day(day, door, SystemClock(), on_played=server.restart)


def test_a_small_day_without_faults_finds_nothing(tmp_path: Path) -> None:
    with _serving(tmp_path, *SMALL) as server:
        words = (*SMALL, "--deployments", str(DEPLOYMENTS), "--faults", "0")
        code, report, said = _played(server, tmp_path, *words, seconds=2 * SECONDS)
    assert code == 0, said
    assert report["false_findings"] == report["untrue"] == []


@pytest.mark.soak
@pytest.mark.parametrize("faults", ["200", "0"])
def test_a_whole_day(faults: str, tmp_path: Path) -> None:
    with _serving(tmp_path, *WHOLE) as server:
        words = (*WHOLE, "--deployments", "2000", "--faults", faults)
        code, report, said = _played(server, tmp_path, *words, seconds=WHOLE_SECONDS)
    assert code == 0, said
    assert report["won"]


def test_a_server_with_other_environments_is_left_alone(tmp_path: Path) -> None:
    with _serving(tmp_path, *SMALL) as server:
        environment = {"DEPLOYMARK_URL": server.url, "DEPLOYMARK_TOKEN": server.token}
        subprocess.run(
            [
                *(BIN / "deploymark", "mark", "applied", "--service", "checkout"),
                *("--environment", "prod", "--version", "1.0", "--require"),
            ],
            env={"PATH": os.defpath, "HOME": str(tmp_path), **environment},
            check=True,
            capture_output=True,
            timeout=SECONDS,
        )
        code, _, said = _command(tmp_path, *SMALL, seconds=SECONDS, **environment)
    assert code == 64
    assert "not of a game day: prod" in said
    assert "--not-a-test-server" in said
