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
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import NamedTuple

import pytest

BIN = Path(sys.executable).parent
SECONDS = 60
WHOLE_SECONDS = 900


def _knows_findings() -> bool:
    described = subprocess.run(
        [BIN / "deploymark", "openapi"], check=True, capture_output=True, timeout=SECONDS
    )
    return "/v1/findings" in json.loads(described.stdout)["paths"]


pytestmark = pytest.mark.skipif(not _knows_findings(), reason="the server shows no findings yet")


class Server(NamedTuple):
    """A server that is there to be tested."""

    url: str
    token: str
    place: Path


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


@contextmanager
def _serving(place: Path, *words: str) -> Iterator[Server]:
    code, printed, said = _command(place, *words, "--print-config", seconds=SECONDS)
    assert code == 0, said
    (place / "deploymark.toml").write_text(printed)
    with (place / "server.log").open("w") as log:
        process = Popen(
            [
                *(BIN / "deploymark", "up", "--json", "--data", "data"),
                *("--listen", "127.0.0.1:0", "--config", "deploymark.toml"),
            ],
            cwd=place,
            env={"PATH": os.defpath, "HOME": str(place)},
            stdout=PIPE,
            stderr=log,
            encoding="utf-8",
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, (place / "server.log").read_text()
    started = json.loads(line)
    try:
        yield Server(started["url"], started["admin_token"], place)
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(SECONDS)
        process.stdout.close()
    assert code == 0
    assert "Traceback" not in (place / "server.log").read_text()


def _played(server: Server, *words: str, seconds: float) -> tuple[int, dict[str, object], str]:
    code, said, errors = _command(
        server.place,
        *("--server", server.url, "--report", "report.json", *words),
        seconds=seconds,
        DEPLOYMARK_TOKEN=server.token,
    )
    report = server.place / "report.json"
    assert report.exists(), said + errors
    return code, json.loads(report.read_text()), said + errors


SMALL = ("--services", "12", "--compression", "150", "--seed", "5")
WHOLE = ("--services", "40", "--compression", "100", "--seed", "1")


def test_every_fault_of_a_small_day_is_found_and_nothing_else(tmp_path: Path) -> None:
    with _serving(tmp_path, *SMALL) as server:
        words = (*SMALL, "--deployments", "96", "--faults", "42")
        code, report, said = _played(server, *words, seconds=3 * SECONDS)
    assert code == 0, said
    assert report["won"]


def test_a_small_day_without_faults_finds_nothing(tmp_path: Path) -> None:
    with _serving(tmp_path, *SMALL) as server:
        words = (*SMALL, "--deployments", "96", "--faults", "0")
        code, report, said = _played(server, *words, seconds=2 * SECONDS)
    assert code == 0, said
    assert report["false_findings"] == report["untrue"] == []


@pytest.mark.soak
@pytest.mark.parametrize("faults", ["200", "0"])
def test_a_whole_day(faults: str, tmp_path: Path) -> None:
    with _serving(tmp_path, *WHOLE) as server:
        words = (*WHOLE, "--deployments", "2000", "--faults", faults)
        code, report, said = _played(server, *words, seconds=WHOLE_SECONDS)
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
