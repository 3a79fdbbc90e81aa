"""What the page on gating a pipeline shows works: its rules, its commands, in a shell, by curl."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL, PIPE, CompletedProcess, Popen

import pytest

from deploymark.cli import build_parser

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "howto" / "gate-a-pipeline.md").read_text(encoding="utf-8")
DIGEST = f"registry.example.com/shop/checkout@sha256:{'ab' * 32}"
TOKEN = f"dmk_0123456789ab_{'p' * 43}"
SECONDS = 60


def shown(language: str) -> list[str]:
    """Return the blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


CHECK, BEFORE, AFTER, CURL, BREAK = shown("sh")


class Pipeline:
    """A server with the rules of the page, and a job that runs its commands."""

    def __init__(self, place: Path) -> None:
        self.place = place
        (place / "deploymark.toml").write_text(shown("toml")[0])
        words = ("up", "--json", "--data", "data", "--config", "deploymark.toml")
        self.server = Popen(
            [sys.executable, "-m", "deploymark", *words, "--listen", "127.0.0.1:0"],
            cwd=place,
            env=self.environment({"DEPLOYMARK_ADMIN_TOKEN": TOKEN}),
            stdout=PIPE,
            stderr=DEVNULL,
            encoding="utf-8",
        )
        assert self.server.stdout is not None
        self.url = json.loads(self.server.stdout.readline())["url"]

    def environment(self, more: dict[str, str]) -> dict[str, str]:
        paths = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        return {"PATH": paths, "HOME": str(self.place), "IMAGE_DIGEST": DIGEST, **more}

    def run(self, script: str) -> CompletedProcess[str]:
        """Run a script as a step of a job does: it ends with the first command that fails."""
        said = {"DEPLOYMARK_URL": self.url, "DEPLOYMARK_TOKEN": TOKEN}
        return subprocess.run(
            ["/bin/sh", "-e", "-c", script],
            cwd=self.place,
            env=self.environment(said),
            stdin=DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
        )


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline(tmp_path)
    try:
        yield pipeline
        pipeline.server.terminate()
        assert pipeline.server.wait(SECONDS) == 0
    finally:
        pipeline.server.kill()
        pipeline.server.wait()
        assert pipeline.server.stdout is not None
        pipeline.server.stdout.close()


def test_the_pipeline_goes_on_when_everything_that_is_asked_for_is_there(
    pipeline: Pipeline,
) -> None:
    assert pipeline.run(CHECK).stdout == "2 rules and 1 example: all as expected.\n"
    done = pipeline.run(f"{BEFORE}echo deployed")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("deployed\n")
    assert "pass: checkout in prod, d-" in done.stdout


def test_the_pipeline_stops_without_an_owner_until_the_glass_is_broken(pipeline: Pipeline) -> None:
    unowned = BEFORE.replace(" --owner team:shop", "")
    stopped = pipeline.run(f"{unowned}echo deployed")
    assert stopped.returncode == 1
    assert "deployed" not in stopped.stdout
    assert "Nobody is named as its owner. Somebody must be asked at night." in stopped.stdout
    broken = pipeline.run(f"{BREAK}echo deployed")
    assert (broken.returncode, broken.stdout.splitlines()[-1]) == (0, "deployed")


def test_after_a_deploy_without_a_plan_nothing_is_proven(pipeline: Pipeline) -> None:
    pipeline.run(BEFORE)
    pipeline.run(
        'deploymark run --service checkout --environment prod --artifact "$IMAGE_DIGEST" -- true'
    )
    soon = AFTER.replace("--timeout 3600", "--timeout 0")
    assert pipeline.run(soon).returncode == 2


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_is_told_the_same(pipeline: Pipeline) -> None:
    soon = CURL.replace('"wait": 30', '"wait": 0')
    stopped = pipeline.run(soon)
    assert stopped.returncode == 1, stopped.stderr
    assert stopped.stdout.startswith('stop: {"decision":"inconclusive"')
    pipeline.run(BEFORE)
    assert pipeline.run(CURL).stdout == "go on\n"


def test_the_commands_of_the_job_are_those_of_the_page() -> None:
    (job,) = shown("yaml")
    steps = re.findall(r"^ *- run: (.*)$", job, re.MULTILINE)
    assert [*BEFORE.splitlines(), AFTER.strip()] == [steps[1], steps[2], steps[4]]
    words = steps[3].replace('"$IMAGE_DIGEST"', DIGEST).split()
    assert words[0] == "deploymark"
    assert build_parser().parse_args(words[1:]).run is not None


def test_the_exit_codes_are_those_of_the_command() -> None:
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    assert codes == {0, 1, 2, 69, 77}
