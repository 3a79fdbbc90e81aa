"""Services that only know OpenTelemetry show up as running their deployment."""

import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from otel_apps import ask, service
from team import Json, Team

Run = Callable[..., CompletedProcess[str]]
Variables = Callable[[str, str], dict[str, str]]
KINDS = ("uvicorn", "gunicorn", "node")
NOBODY = f"dmk_000000000000_{'x' * 43}"
"""A token that no server knows."""

# So that tests are fast, and Node looks for no cloud around it.
IN_TESTS = {
    "OTEL_BSP_SCHEDULE_DELAY": "100",
    "OTEL_METRIC_EXPORT_INTERVAL": "500",
    "OTEL_NODE_RESOURCE_DETECTORS": "env,process,serviceinstance",
    "OTEL_LOG_LEVEL": "error",
}
PAGE, HEADING = "howto/send-opentelemetry.md", "Point an application at the server"
PLAIN = {"OTEL_EXPORTER_OTLP_COMPRESSION": "none"}
IN_JSON = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}


@pytest.fixture
def variables(team: Team, documented: Run) -> Callable[[str, str], dict[str, str]]:
    """All that a person sets, as the page says it: with a token, for a deployment."""

    def read(token: str, deployment: str) -> dict[str, str]:
        known = f"export DEPLOYMARK_TOKEN={token} DEPLOYMENT_ID={deployment}\n"
        done = documented(PAGE, HEADING, before=f"{known}trap 'env | grep ^OTEL_' EXIT\n")
        said = dict(line.split("=", 1) for line in done.stdout.splitlines())
        return IN_TESTS | said | {"OTEL_EXPORTER_OTLP_ENDPOINT": team.url}

    return read


def confirmations(team: Team) -> list[Json]:
    return team._items("/v1/markers?phase=running&limit=200")


def listed(team: Team, path: str, index: int) -> list[Json]:
    """Return what a reader is told, once it covers an entry."""
    return team._items(f"{path}&after={index}")


def await_confirmations(team: Team, port: int, expected: int) -> None:
    """Ask a service until so many instances have confirmed."""
    for _ in range(300):
        assert ask(port) == b"hello\n"
        if len(confirmations(team)) >= expected:
            return
        time.sleep(0.2)
    raise AssertionError(confirmations(team))


def nothing_was_refused(log: Path) -> bool:
    text = log.read_text()
    return "Failed to export" not in text and "OTLPExporterError" not in text


@pytest.mark.parametrize("kind", KINDS)
def test_a_service_told_by_environment_variables_confirms_its_deployment(
    team: Team, variables: Variables, kind: str, tmp_path: Path
) -> None:
    deployed = team.deploy(100, 1)["deployment_id"]
    environment = variables(team._tokens["ci"], deployed)

    # Two instances, one after the other: each confirms once, however often it reports.
    for number in (1, 2):
        log = tmp_path / f"{number}.log"
        with service(kind, log, environment) as port:
            await_confirmations(team, port, number)
            time.sleep(1)
            assert ask(port) == b"hello\n"
        assert nothing_was_refused(log), log.read_text()

    found = confirmations(team)
    assert len(found) == 2
    assert {each["ids"]["deployment_id"] for each in found} == {deployed}
    assert {each["occurrence"] for each in found} == {1}
    markers = [each["marker"] for each in found]
    assert {each["emitter"]["kind"] for each in markers} == {"runtime"}
    assert {each["service"] + " in " + each["environment"] for each in markers} == {"shop in prod"}
    assert {each["evidence"]["basis"] for each in markers} == {"declared"}
    uids = {each["target"]["instance_uid"] for each in markers}
    assert len(uids) == 2

    # The broker shows them as instances of that deployment, which heard from CI and from them.
    instances = listed(team, f"/v1/instances?deployment_id={deployed}", found[0]["index"])
    assert {each["instance_uid"] for each in instances} == uids
    assert {each["deployment_id"] for each in instances} == {deployed}
    assert {each["basis"] for each in instances} == {"declared"}
    (deployment,) = listed(team, "/v1/deployments?service=shop", found[0]["index"])
    assert {"ci", "runtime"} <= set(deployment["sources"])


@pytest.mark.parametrize(("kind", "more"), [("uvicorn", PLAIN), ("node", PLAIN), ("node", IN_JSON)])
def test_other_encodings_of_the_sdks_are_understood(
    team: Team, variables: Variables, kind: str, more: dict[str, str], tmp_path: Path
) -> None:
    environment = variables(team._tokens["ci"], "") | more
    says = "deployment.environment.name=prod,service.version=2.31.0"
    environment |= {"OTEL_RESOURCE_ATTRIBUTES": says}
    log = tmp_path / "log"
    with service(kind, log, environment) as port:
        await_confirmations(team, port, 1)
    assert nothing_was_refused(log), log.read_text()
    # Who states no deployment states what runs; nothing is derived for it.
    marker = confirmations(team)[0]["marker"]
    assert marker["version"] == "2.31.0"
    assert "deployment_id" not in marker


def test_each_worker_of_a_forking_server_is_an_instance_of_its_own(
    team: Team, variables: Variables, tmp_path: Path
) -> None:
    deployed = team.deploy(100, 1)["deployment_id"]
    environment = variables(team._tokens["ci"], deployed)
    with service("gunicorn with two workers", tmp_path / "log", environment) as port:
        await_confirmations(team, port, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_service_whose_token_is_wrong_answers_as_ever_and_confirms_nothing(
    team: Team, variables: Variables, kind: str, tmp_path: Path
) -> None:
    for name, token in (("nobody", NOBODY), ("reader", team._tokens["people"])):
        log = tmp_path / f"{name}.log"
        environment = variables(token, "d-claimed")
        with service(kind, log, environment) as port:
            for _ in range(5):
                assert ask(port) == b"hello\n"
                time.sleep(0.3)
        assert not nothing_was_refused(log)
    assert confirmations(team) == []
