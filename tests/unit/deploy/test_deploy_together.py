"""Runs step and snippet with the installed `deploymark`: they agree on what a deployment is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
STEP = ROOT / "deploy/step.sh"
SNIPPET = ROOT / "deploy/snippets/deploymark.sh"
ENVIRONMENTS = Path(__file__).parent / "environments"
COMMAND = Path(sys.executable).parent / "deploymark"
COMMIT = "a6ad00ac113a19d953efb91820d8788e2263b28a"

pytestmark = pytest.mark.skipif(not COMMAND.exists(), reason="deploymark is not installed")


def run(tmp_path: Path, *words: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    own = {
        "PATH": f"{COMMAND.parent}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "DEPLOYMARK_SPOOL": str(tmp_path / "spool"),
        "DEPLOYMARK_URL": "http://127.0.0.1:1",
    }
    return subprocess.run(
        [str(word) for word in words],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env=own | environ,
    )


def recorded(name: str) -> dict[str, str]:
    lines = (ENVIRONMENTS / f"{name}.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


@pytest.mark.parametrize("name", ["github-branch", "azure-branch"])
def test_the_command_and_the_shell_snippet_give_the_same_ids(tmp_path: Path, name: str) -> None:
    environ = recorded(name)
    given = {
        "DEPLOYMARK_SERVICE": "checkout",
        "DEPLOYMARK_ENVIRONMENT": "prod",
        "DEPLOYMARK_ARGS": "--budget=0\n--cluster=eu-1\n--json",
    }
    command = run(tmp_path, "sh", STEP, "mark", "applied", **environ, **given)
    words = ["--service=checkout", "--environment=prod", "--cluster=eu-1", f"--commit={COMMIT}"]
    snippet = run(tmp_path, "sh", SNIPPET, "id", "applied", *words, **environ)
    said = json.loads(command.stdout)
    assert [said["deployment_id"], said["marker_id"]] == snippet.stdout.split()


def test_a_deploy_goes_on_while_the_server_is_away_and_its_markers_wait(tmp_path: Path) -> None:
    environ = recorded("github-branch") | {
        "DEPLOYMARK_SERVICE": "checkout",
        "DEPLOYMARK_ENVIRONMENT": "prod",
        "DEPLOYMARK_ARGS": "--budget=0\n--label=team=a b",
    }
    words = ["run", "--", "sh", "-c", "echo deployed; exit 3"]
    ran = run(tmp_path, "sh", STEP, *words, **environ)
    assert (ran.returncode, ran.stdout) == (3, "deployed\n"), ran.stderr
    assert any(each.stat().st_size for each in (tmp_path / "spool").rglob("*") if each.is_file())


def test_a_deploy_that_names_nothing_runs_without_markers(tmp_path: Path) -> None:
    ran = run(tmp_path, "sh", STEP, "run", "--", "sh", "-c", "echo deployed; exit 3")
    assert (ran.returncode, ran.stdout) == (3, "deployed\n")
