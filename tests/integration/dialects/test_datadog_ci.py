"""datadog-ci, as it comes from npm, with DD_SITE changed."""

import http.client
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from dialect_server import SECONDS, DialectServer, dialect_server, plain_environment
from npm_packages import NODE, packages_of
from tls_front import TlsFront, tls_front

_SITE = "deploymark.test"
_COMMIT = "4b0f1a2c3d4e5f60718293a4b5c6d7e8f9012345"
_DIGEST = "sha256:" + 64 * "a"
_RUN = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "acme/shop",
    "GITHUB_RUN_ID": "4711",
    "GITHUB_RUN_ATTEMPT": "1",
    "GITHUB_JOB": "deploy",
    "DD_GITHUB_JOB_NAME": "deploy",
}
_CONFIGURATION = f"""
[server]
hosts = ["api.{_SITE}"]

[[policy.rules]]
name = "owned"
kind = "owner"
environments = ["prod"]
"""


class DatadogCi:
    """datadog-ci for one server."""

    def __init__(self, server: DialectServer, front: TlsFront) -> None:
        self._program = (
            packages_of(Path(__file__).parent / "datadog_ci")
            / "node_modules/@datadog/datadog-ci/dist/bundle.js"
        )
        self.server = server
        self._told = {
            "DD_SITE": _SITE,
            "DD_BETA_COMMANDS_ENABLED": "1",
            "DD_API_KEY": server.token,
            "DD_APP_KEY": server.new_token("gate", "reader"),
            "HTTPS_PROXY": front.proxy,
            "NODE_EXTRA_CA_CERTS": str(front.certificate),
        }

    def run(
        self, *words: str, code: int = 0, told: Mapping[str, str] | None = None
    ) -> CompletedProcess[str]:
        """Run a command, and see that it ends as expected."""
        done = subprocess.run(
            [NODE, self._program, *words],
            cwd=self.server.place,
            env=plain_environment(self.server.place, {**self._told, **(told or {})}),
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == code, f"{words}\n{done.stdout}{done.stderr}"
        return done


@pytest.fixture
def datadog_ci(tmp_path: Path) -> Iterator[DatadogCi]:
    """Return datadog-ci before a server with a policy."""
    with (
        dialect_server(tmp_path, _CONFIGURATION) as server,
        tls_front(server.url, f"api.{_SITE}", tmp_path) as front,
    ):
        yield DatadogCi(server, front)


def _deploy(datadog_ci: DatadogCi, *words: str) -> None:
    version = ("--env", "prod", "--version", "2.31.0", "--skip-git")
    times = ("--started-at", "1795000000", "--finished-at", "1795000090")
    datadog_ci.run("dora", "deployment", "--service", "checkout", *version, *times, *words)


def test_deployments_of_dora_are_deployments(datadog_ci: DatadogCi) -> None:
    for _ in range(2):
        _deploy(datadog_ci, "--team", "payments")

    said = {
        "service": "checkout",
        "environment": "prod",
        "version": "2.31.0",
        "owner": "payments",
        "kind": "deployment",
        "emitter": {"kind": "gateway", "id": "datadog"},
        "labels": {"dialect": "datadog", "sort": "deployment"},
    }
    assert datadog_ci.server.markers() == [
        {**said, "phase": "applying", "timestamp": "2026-11-18T11:06:40.000Z"},
        {**said, "phase": "applied", "timestamp": "2026-11-18T11:08:10.000Z"},
    ]
    [deployment] = datadog_ci.server.deployments()
    assert deployment["owner"] == "payments"


def test_a_run_marks_its_deployment_and_an_image_completes_it(datadog_ci: DatadogCi) -> None:
    mark = ("deployment", "mark", "--service", "checkout", "--env", "prod", "--no-fail")
    for attempt in "12":
        told = {**_RUN, "GITHUB_RUN_ATTEMPT": attempt}
        datadog_ci.run(*mark, "--revision", _COMMIT, told=told)
    image = ("--image", f"registry.example.com/shop/checkout@{_DIGEST}")
    where = ("--commit-sha", _COMMIT, "--repository-url", "https://github.com/acme/shop")
    datadog_ci.run("deployment", "correlate-image", *where, *image, told=_RUN)

    marked, held, completed = datadog_ci.server.markers()
    assert marked["action"] == completed["action"] == "github:https://github.com:acme/shop:4711"
    assert (marked["commit_hash"], marked["phase"]) == (_COMMIT, "applied")
    assert (held["kind"], held["revision"]) == ("infrastructure", _DIGEST)
    [deployment] = datadog_ci.server.deployments(kind="deployment")
    assert (deployment["commit_hash"], deployment["digest"]) == (_COMMIT, _DIGEST)


def _mark(server: DialectServer, **fields: str) -> None:
    marker = {
        "service": "checkout",
        "environment": "prod",
        "version": "2.31.0",
        "emitter": {"kind": "ci", "id": "deploy.yml"},
        **fields,
    }
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=SECONDS)
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/markers", json.dumps(marker), headers)
    assert connection.getresponse().status == 201
    connection.close()


@pytest.mark.parametrize(
    ("fields", "result", "code"),
    [
        ({"phase": "planned", "owner": "payments"}, "pass", 0),
        ({"phase": "planned"}, "fail", 1),
        ({"phase": "applied", "owner": "payments"}, "inconclusive", 1),  # nobody judges it
    ],
    ids=["what may go on", "what may not", "what is not proven"],
)
def test_the_gate_answers_a_pipeline(
    datadog_ci: DatadogCi, fields: dict[str, str], result: str, code: int
) -> None:
    _mark(datadog_ci.server, **fields)

    asked = ("--service", "checkout", "--env", "prod", "--version", "2.31.0", "--timeout", "1")
    said = datadog_ci.run("deployment", "gate", *asked, "--fail-on-error", code=code).stdout

    items = datadog_ci.server.ask("GET", "/v1/entries?type=decision")["items"]
    [entry] = items  # however often it was looked at
    assert (entry["entry"]["result"], entry["entry"]["actor"]) == (result, "token:gate")
    assert f"Evaluation ID: 00000000-0000-8000-8000-{entry['index']:012x}" in said
    if result == "inconclusive":
        assert "Gate evaluation in progress" in said
    else:
        assert "Rule: policy:owned" in said
        assert f"Status: {result.upper()}" in said
