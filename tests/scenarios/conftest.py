"""Runs deploymark as users do: real processes, a bare environment, commands from the docs."""

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from team import Team

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
Run = Callable[..., CompletedProcess[str]]
Serve = Callable[..., AbstractContextManager[str]]
SECONDS = 60
SHELL = ("/bin/bash", "-euo", "pipefail", "-c")

# The conformance tests' own reading of the standards; it shares nothing with the source.
sys.path.append(str(ROOT / "tests" / "conformance"))
# A real Alertmanager, and a server that keeps what it is told.
sys.path.append(str(ROOT / "tests" / "unit" / "integrations"))
# The made-up account of AWS, which cannot reach the real one.
sys.path.append(str(ROOT / "tests" / "integration" / "aws"))
# A real Prometheus that is filled with a past.
sys.path.append(str(ROOT / "tests" / "integration" / "prometheus"))
# The strict double of the Kubernetes API, with what fills it.
sys.path.append(str(ROOT / "tests" / "integration" / "kubernetes"))


def run_in(place: Path, command: Sequence[str], exit_code: int) -> CompletedProcess[str]:
    """Run a command with no environment but a PATH, and see that it ends as expected."""
    home = place / "home"
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        command,
        cwd=place,
        env={"PATH": f"{BIN}:{os.defpath}", "HOME": str(home)},
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == exit_code, f"{command}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where a team works; other parties work elsewhere."""
    directory = tmp_path / "team"
    directory.mkdir()
    return directory


@pytest.fixture
def sh(place: Path) -> Run:
    """Run a shell script in a place, by default the team's; deploymark is on its PATH."""

    def run(script: str, *, at: Path = place, exit_code: int = 0) -> CompletedProcess[str]:
        return run_in(at, [*SHELL, script], exit_code)

    return run


@pytest.fixture
def documented(sh: Run) -> Run:
    """Run the shell blocks below a heading of a page of the docs, word for word."""

    def run(
        page: str, heading: str, *, before: str = "", exit_code: int = 0
    ) -> CompletedProcess[str]:
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        part = text.split(f"## {heading}\n")[1].split("\n## ")[0]
        blocks = re.findall(r"^ *```sh\n(.*?)^ *```", part, re.DOTALL | re.MULTILINE)
        assert blocks, f"{page} has no commands below {heading!r}"
        return sh(before + "\n".join(blocks), exit_code=exit_code)

    return run


def write_markers(place: Path, service: str, version: str) -> str:
    """Write a file with the three markers of one release, and return its name."""
    lines = [
        json.dumps(
            {
                "service": service,
                "environment": "prod",
                "phase": phase,
                "version": version,
                "timestamp": "2026-11-23T00:00:00Z",
            }
        )
        for phase in ("planned", "applying", "applied")
    ]
    file = place / f"{service}-{version}.ndjson"
    file.write_text("\n".join(lines))
    return file.name


@pytest.fixture
def markers(place: Path) -> Callable[[str, str], str]:
    """Write the markers of a service's version into the team's place."""
    return functools.partial(write_markers, place)


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    there = tmp_path_factory.mktemp("made")
    script = f"""
        deploymark log init --origin log.example/team
        deploymark keys new ci.pem
        deploymark keys trust ci.pem.pub
        deploymark log append {write_markers(there, "checkout", "1.0")} --sign ci.pem
        deploymark log policy > policy
    """
    run_in(there, [*SHELL, script], 0)
    return there


@pytest.fixture
def log(_made: Path, place: Path) -> Path:
    """A log in `deploymark-data` with a key `ci.pem` and one release: entries 0 to 4."""
    shutil.copytree(_made, place, dirs_exist_ok=True)
    return place / "deploymark-data"


@pytest.fixture
def serve(place: Path) -> Serve:
    """Run a witness until the block ends, stopped by its process id; gives its URL."""

    @contextmanager
    def run(directory: str, *, listen: str = "127.0.0.1:0") -> Iterator[str]:
        words = ["log", "witness", "serve", directory, "--policy", "policy", "--listen", listen]
        process = subprocess.Popen(
            [BIN / "python", "-m", "deploymark", *words, "--json"],
            cwd=place,
            env={},
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            os.kill(process.pid, signal.SIGTERM)
            code = process.wait(SECONDS)
            process.stdout.close()
        assert code == 0

    return run


@pytest.fixture
def team(place: Path) -> Iterator[Team]:
    """A team whose server runs, with a key, a token for CI and three releases."""
    team = Team(place)
    try:
        team.serve()
        team.admit_ci()
        yield team
    finally:
        team.stop_service()
        team.stop_server()
    assert "Traceback" not in (place / "server.log").read_text()
