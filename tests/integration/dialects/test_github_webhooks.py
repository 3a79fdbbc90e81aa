"""PyGithub as it comes from PyPI, and the bodies that GitHub publishes, in npm's registry."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dialect_server import DialectServer, dialect_server
from github import Auth, Github
from github.Deployment import Deployment
from github_double import SHA, GithubDouble, deliver, github_double
from npm_packages import packages_of

_SECRET = "It's a Secret to Everybody"  # noqa: S105 - GitHub's own example
_EXAMPLES = "node_modules/@octokit/webhooks-examples"

Json = dict[str, Any]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DialectServer]:
    """Return a server that shares a secret with GitHub."""
    secret = tmp_path / "github.secret"
    secret.touch(0o600)
    secret.write_text(_SECRET)
    with dialect_server(tmp_path, f"[dialects.github_webhooks]\nsecret_file = '{secret}'\n") as it:
        yield it


@pytest.fixture
def github(server: DialectServer) -> Iterator[GithubDouble]:
    """Return a GitHub whose webhooks come to the server."""
    with github_double() as double:
        config = {"url": f"{server.url}/hooks/github", "content_type": "json", "secret": _SECRET}
        events = ["deployment", "deployment_status"]
        _repository(double).create_hook("web", config, events, active=True)
        yield double


def _repository(double: GithubDouble) -> Any:  # noqa: ANN401 - PyGithub is lazily typed
    return Github(base_url=double.url, auth=Auth.Token("any")).get_repo("acme/shop")


def test_what_pygithub_deploys_is_a_deployment_with_its_phases(
    server: DialectServer, github: GithubDouble
) -> None:
    payload = {"service": "checkout", "version": "2.31.0"}
    made = _repository(github).create_deployment(
        "main", environment="production", description="Release 2.31.0", payload=payload
    )
    made.create_status("in_progress", target_url="https://ci.example/7")
    made.create_status("success", description="All is well", target_url="https://ci.example/7")
    github.redeliver()

    assert [status for status, _ in github.answers] == [202] * 6
    markers = server.markers()
    times = [each.pop("timestamp") for each in markers]
    assert times == sorted(times)
    assert [each.pop("labels") for each in markers] == [
        _labels("delivery-1"),
        _labels("delivery-2", state="in_progress"),
        _labels("delivery-3", state="success"),
    ]
    said = {
        "service": "checkout",
        "environment": "production",
        "version": "2.31.0",
        "commit_hash": SHA,
        "repository": "https://github.com/acme/shop",
        "ref": "main",
        "action": "github:https://github.com/acme/shop:deployment-1",
        "deployer": "Codertocat",
        "kind": "deployment",
        "emitter": {"kind": "gateway", "id": "github_webhooks"},
    }
    run = {"build_url": "https://ci.example/7"}
    assert markers == [
        {**said, "phase": "planned", "reason": "Release 2.31.0"},
        {**said, **run, "phase": "applying", "reason": "Release 2.31.0"},
        {**said, **run, "phase": "applied", "reason": "All is well"},
    ]
    [deployment] = server.deployments()
    assert (deployment["state"], deployment["occurrence"]) == ("running", 1)
    assert github.answers[0][1]["deployment_id"] == deployment["deployment_id"]


def _labels(delivery: str, **more: str) -> Json:
    return {
        "dialect": "github_webhooks",
        "within": "acme/shop",
        "delivery": delivery,
        "github_deployment": "1",
        "task": "deploy",
        **more,
    }


def test_a_run_that_is_run_again_is_one_deployment(
    server: DialectServer, github: GithubDouble
) -> None:
    for attempt in (1, 2):
        github.run = {"id": 4711, "run_attempt": attempt, "html_url": "https://github.com/run/4711"}
        made = _repository(github).create_deployment("main", environment="production")
        made.create_status("in_progress")
        made.create_status("success")

    [deployment] = server.deployments()
    assert deployment["state"] == "running"
    assert [each["phase"] for each in server.markers()] == ["planned", "applying", "applied"]
    assert {each["action"] for each in server.markers()} == {
        "github:https://github.com/acme/shop:4711"
    }


def test_a_run_that_marks_itself_and_is_told_by_github_is_one_deployment(
    server: DialectServer, github: GithubDouble
) -> None:
    marker = {
        "service": "shop",
        "environment": "production",
        "phase": "applied",
        "artifact": {"digest": "sha256:" + "0b" * 32},
        "commit_hash": SHA,
        "action": "github:https://github.com/acme/shop:4711",  # as `deploymark mark` finds it
        "emitter": {"kind": "ci", "id": "deploy.yml"},
    }
    github.run = {"id": 4711, "run_attempt": 1, "html_url": "https://github.com/run/4711"}
    made = _repository(github).create_deployment("main", environment="production")
    server.mark(marker)
    made.create_status("success")

    assert len(server.markers()) == 3
    [deployment] = server.deployments()
    assert deployment["state"] == "running"


def test_deliveries_in_any_order_are_one_deployment(
    server: DialectServer, github: GithubDouble
) -> None:
    hooks, github.hooks = github.hooks, []  # GitHub cannot reach the server
    made = _repository(github).create_deployment("main", environment="production")
    made.create_status("in_progress")
    made.create_status("failure", description="No room")
    github.hooks = hooks
    github.redeliver(slice(None, None, -1))

    assert [each["phase"] for each in server.markers()] == ["failed", "applying", "planned"]
    [deployment] = server.deployments()
    assert (deployment["state"], deployment["occurrence"]) == ("failed", 1)


def test_who_signs_with_another_secret_reads_why_it_is_refused(server: DialectServer) -> None:
    status, said = deliver(f"{server.url}/hooks/github", "another one", "ping", b"{}", "d-1")

    assert status == 401
    assert "[dialects.github_webhooks]" in said["message"]
    assert server.markers() == []


def _examples() -> list[tuple[str, Json]]:
    """Return every example of every version of GitHub, with its event."""
    folder = packages_of(Path(__file__).parent / "octokit") / _EXAMPLES
    return [
        (event["name"], example)
        for file in sorted(folder.glob("*/index.json"))
        for event in json.loads(file.read_text(encoding="utf-8"))
        for example in event["examples"]
    ]


def test_every_published_deployment_verifies_and_translates(server: DialectServer) -> None:
    wanted: dict[tuple[str, ...], Json] = {}
    deploying = [each for each in _examples() if each[0] in {"deployment", "deployment_status"}]
    assert len(deploying) >= 20  # of GitHub itself and five versions of its server
    for number, (event, example) in enumerate(deploying):
        body = json.dumps(example).encode()
        status, said = deliver(f"{server.url}/hooks/github", _SECRET, event, body, str(number))
        assert status == 202, said
        expected = _expected(example)
        wanted.setdefault((said["deployment_id"], expected["phase"]), expected)

    markers = server.markers()
    assert [{name: each.get(name) for name in _FIELDS} for each in markers] == [*wanted.values()]
    assert {each["deployment_id"] for each in server.deployments()} == {key for key, _ in wanted}


_FIELDS = (
    "phase", "service", "environment", "commit_hash", "repository", "ref", "deployer", "action",
    "timestamp", "build_url",
)  # fmt: skip


def _expected(example: Json) -> Json:
    """Return what a marker should say, as PyGithub reads the deployment of an example."""
    read = Github().create_from_raw_data(Deployment, example["deployment"])
    status = example.get("deployment_status")
    run = example.get("workflow_run")
    where = example["repository"]["html_url"]
    phases = {"success": "applied", "in_progress": "applying"}
    at = status["created_at"] if status else read.created_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    links = [(status or {}).get("log_url"), (status or {}).get("target_url")]
    return {
        "phase": phases[status["state"]] if status else "planned",
        "service": example["repository"]["name"],
        "environment": read.environment,
        "commit_hash": read.sha,
        "repository": where,
        "ref": read.ref,
        "deployer": read.creator.login,
        "action": f"github:{where}:{run['id'] if run else f'deployment-{read.id}'}",
        "timestamp": at.replace("Z", ".000Z"),
        "build_url": next(filter(None, [*links, (run or {}).get("html_url")]), None),
    }


def test_no_other_event_of_github_writes_anything(server: DialectServer) -> None:
    others = {name: body for name, body in _examples() if not name.startswith("deployment")}
    others |= {n: b for n, b in _examples() if n == "deployment_review"}
    assert len(others) > 40
    for number, (event, example) in enumerate(others.items()):
        body = json.dumps(example).encode()
        status, said = deliver(f"{server.url}/hooks/github", _SECRET, event, body, str(number))
        assert (status, "nothing was written" in said["message"]) == (200, True), (event, said)
    assert server.markers() == []
