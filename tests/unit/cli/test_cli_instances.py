"""`instances`: what runs, of what, and where."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, NamedTuple

import pytest
import requests

from deploymark.cli import instances
from deploymark.cli.table import columns_of

Run = Callable[..., CompletedProcess[str]]
OnTerminal = Callable[..., str]
SECONDS = 60


class Server(NamedTuple):
    """As in conftest."""

    url: str
    token: str
    data: Path


@pytest.fixture
def run(run: Run, server: Server) -> Run:
    """Run a command; what it marks is seen by the views before anything else is asked."""

    def until_seen(line: str, *more: object) -> CompletedProcess[str]:
        said = run(line, *more)
        if line.startswith("mark ") and said.returncode == 0:
            after = json.loads(said.stdout)["index"]
            requests.get(
                f"{server.url}/v1/deployments?limit=1&after={after}",
                headers={"Authorization": f"Bearer {server.token}"},
                timeout=SECONDS,
            ).raise_for_status()
        return said

    return until_seen


def mark(run: Run, phase: str, service: str, *more: str) -> str:
    """Mark something and return the deployment's id."""
    line = f"mark {phase} --service {service} --environment prod --version 1 --json --require"
    said = run(line, *more)
    assert said.returncode == 0, said.stderr
    return str(json.loads(said.stdout)["deployment_id"])


def running(run: Run, service: str, *names: str, cluster: str = "eu-1") -> str:
    """Let instances of a service say that they run; return their deployment's id."""
    deployment = mark(run, "applied", service)
    for name in names:
        uid = ("--instance-uid", f"{service}-{name}-uid", "--instance", name)
        mark(run, "running", service, *uid, "--cluster", cluster, "--emitter-kind", "orchestrator")
    return deployment


def listed(run: Run, line: str) -> list[dict[str, Any]]:
    """Return what a command lists as JSON."""
    return [json.loads(each) for each in run(f"{line} --json").stdout.splitlines()]


def test_an_instance_is_shown_with_its_deployment_and_place(run: Run) -> None:
    deployment = running(run, "in-one", "web-1", "web-2")
    lines = run("instances --service in-one").stdout.splitlines()
    titles = ["SINCE", "SERVICE", "ENVIRONMENT", "INSTANCE", "WHERE", "STATUS", "DEPLOYMENT"]
    assert lines[0].split() == titles
    assert [line.split()[3:5] for line in lines[1:]] == [["web-1", "eu-1"], ["web-2", "eu-1"]]
    assert {line.split()[-1] for line in lines[1:]} == {deployment}
    told = listed(run, "instances --service in-one")
    assert [each["instance_uid"] for each in told] == ["in-one-web-1-uid", "in-one-web-2-uid"]


def test_what_has_ended_is_not_listed(run: Run) -> None:
    running(run, "in-two", "web-1")
    mark(run, "removed", "in-two", "--instance-uid", "in-two-web-1-uid")
    assert run("instances --service in-two").stdout == "No instance is known to run of these.\n"


def test_only_what_is_asked_for_is_listed(run: Run) -> None:
    deployment = running(run, "in-three", "web-1")
    running(run, "in-three", "web-2", cluster="us-1")
    running(run, "in-four", "web-3")
    here = "instances --service in-three"
    assert len(listed(run, here)) == 2
    assert len(listed(run, f"{here} --cluster us-1")) == 1
    assert len(listed(run, f"{here} --service in-four --environment prod")) == 3
    assert listed(run, f"{here} --environment test") == []
    assert len(listed(run, f"instances --deployment-id {deployment}")) == 2
    assert listed(run, f"{here} --status mismatched") == []
    assert "is known" in run("instances --service nosuch").stdout
    assert run("instances --status bad").returncode == 64


def test_more_than_a_page_is_asked_for_and_more_than_shown_is_said(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(run, "in-five", *"abcde")
    monkeypatch.setattr(instances, "_PAGE", 2)
    assert len(listed(run, "instances --service in-five")) == 5
    shown = run("instances --service in-five --last 3").stdout.splitlines()
    assert len(shown) == 5
    assert shown[-1] == "There are more than 3 instances; --last shows more."


def test_a_terminal_shows_whole_ids_and_times(run: Run, on_terminal: OnTerminal) -> None:
    deployment = running(run, "in-six-of-a-long-name", "web-1")
    row = on_terminal(100, "instances", "--service", "in-six-of-a-long-name").splitlines()[1]
    assert columns_of(row) <= 100
    assert row.endswith(deployment)
    assert row[19] == "Z"
