"""What people paste from the pages on webhooks works as it stands there."""

import hmac
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from dialect_server import BIN, SECONDS, DialectServer, dialect_server, plain_environment
from github_double import github_double

_HOWTO = Path(__file__).parents[3] / "docs" / "howto"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}")
_DIG = re.compile(r'\(dig (?P<names>("[^"]*" )+)"" \.app\)')
_FIELD = re.compile(r"\.app(?P<names>(\.\w+)+)")
_SHA = "731f7eaddfb6af01cb2173e18f0f75b0ba780ef1"

Json = dict[str, Any]


def _blocks(page: str, language: str) -> list[str]:
    text = (_HOWTO / f"{page}.md").read_text(encoding="utf-8")
    return [block for name, block in _BLOCK.findall(text) if name == language]


def _run(place: Path, script: str, **told: str) -> str:
    done = subprocess.run(
        ["/bin/sh", "-eu", "-c", script],
        cwd=place,
        env=plain_environment(place, told),
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("page", "services"),
    [
        ("github-webhooks", {"shop"}),
        ("gitlab", {"shop", "cart", "api"}),
        ("flux", {"webapp"}),
    ],
)
def test_the_commands_of_a_page_with_a_secret_run(
    tmp_path: Path, page: str, services: set[str]
) -> None:
    secret, *others = _blocks(page, "sh")
    [configuration] = _blocks(page, "toml")
    _run(tmp_path, secret)
    with dialect_server(tmp_path, configuration) as server, github_double() as github:
        _run(
            tmp_path,
            "".join(others),
            DEPLOYMARK_URL=server.url,
            DEPLOYMARK_TOKEN=server.token,
            GITHUB_API_URL=github.url,
            GITHUB_TOKEN="any",  # noqa: S106 - opens nothing
        )
        found = server.deployments()
        assert {each["service"] for each in found if each["kind"] == "deployment"} == services
        for hook in github.hooks:  # what the page sets up is what GitHub then sends to
            assert hook["config"]["url"] == f"{server.url}/hooks/github"
            assert hook["config"]["secret"] == (tmp_path / "github.secret").read_text().strip()
            assert hook["events"] == ["deployment", "deployment_status"]
        assert bool(github.hooks) is (page == "github-webhooks")


@pytest.mark.parametrize("page", ["argocd", "cloudevents"])
def test_the_commands_of_a_page_with_a_token_run(server: DialectServer, page: str) -> None:
    token, *others = _blocks(page, "sh")
    told = {"DEPLOYMARK_URL": server.url, "DEPLOYMARK_TOKEN": server.admin}
    [word] = re.findall(r"dmk_[-\w]+", _run(server.place, token, **told))
    _run(server.place, "".join(others), **{**told, "DEPLOYMARK_TOKEN": word})

    [deployment] = server.deployments()
    assert (deployment["service"], deployment["environment"]) == ("checkout", "prod")
    assert deployment["state"] == "running"


def test_the_snippet_for_the_sdk_of_cloudevents_runs(server: DialectServer) -> None:
    [snippet] = _blocks("cloudevents", "python")
    before = """
import os, requests
from cloudevents.core.v1.event import CloudEvent
url, token = os.environ["DEPLOYMARK_URL"], os.environ["DEPLOYMARK_TOKEN"]
event = CloudEvent({"specversion": "1.0", "id": "1", "source": "/s", "type": "released"},
                   {"service": "checkout", "env": "prod", "version": "1"})
"""
    subprocess.run(
        [BIN / "python", "-c", before + snippet],
        env={"PATH": os.defpath, "DEPLOYMARK_URL": server.url, "DEPLOYMARK_TOKEN": server.token},
        timeout=SECONDS,
        check=True,
    )
    assert [each["version"] for each in server.deployments()] == ["1"]


# Flux --------------------------------------------------------------------------------------------


def test_the_manifests_for_flux_name_what_the_server_takes(tmp_path: Path) -> None:
    [text] = _blocks("flux", "yaml")
    found = {each["kind"]: each for each in yaml.safe_load_all(text)}
    provider, alert, secret = (found[kind] for kind in ("Provider", "Alert", "Secret"))
    assert provider["spec"]["type"] == "generic-hmac"
    assert provider["spec"]["secretRef"]["name"] == secret["metadata"]["name"]
    assert alert["spec"]["providerRef"]["name"] == provider["metadata"]["name"]
    shared = secret["stringData"]["token"]
    (tmp_path / "flux.secret").touch(0o600)
    (tmp_path / "flux.secret").write_text(shared)
    # As notification-controller sends it: the alert's metadata beside that of the event.
    revision = {"kustomize.toolkit.fluxcd.io/revision": f"main@sha1:{_SHA}"}
    event = {
        "involvedObject": {"kind": "Kustomization", "namespace": "flux-system", "name": "webapp"},
        "severity": "info",
        "timestamp": "2026-11-23T10:00:09Z",
        "message": "Reconciliation finished in 1.2s, next run in 10m0s",
        "reason": "ReconciliationSucceeded",
        "metadata": {**revision, **alert["spec"]["eventMetadata"]},
        "reportingController": "kustomize-controller",
    }
    body = json.dumps(event).encode()
    signature = hmac.digest(shared.encode(), body, "sha256").hex()
    [configuration] = _blocks("flux", "toml")
    with dialect_server(tmp_path, configuration) as server:
        answer = requests.post(
            _at(server, provider["spec"]["address"]),
            data=body,
            headers={"Content-Type": "application/json", "X-Signature": f"sha256={signature}"},
            timeout=SECONDS,
        )
        assert answer.status_code == 202
        [marker] = server.markers()
    assert {name: marker[name] for name in ("service", "environment", "commit_hash", "phase")} == {
        "service": "webapp",
        "environment": "prod",
        "commit_hash": _SHA,
        "phase": "applied",
    }
    assert marker["target"] == {"cluster": "eu-1"}


def _at(server: DialectServer, address: str) -> str:
    """Return an address of the pages on the server of the test."""
    assert address.startswith("https://deploymark.example.com/")
    return address.replace("https://deploymark.example.com", server.url)


# Argo CD -----------------------------------------------------------------------------------------


def _application(phase: str, **operation: object) -> Json:
    """Return an application as its API shows it, with the labels that the page names."""
    [_, labelled] = _blocks("argocd", "yaml")
    metadata = yaml.safe_load(labelled)["metadata"]
    return {
        "metadata": {**metadata, "name": "checkout-prod", "namespace": "argocd"},
        "spec": {
            "project": "shop",
            "source": {"repoURL": "https://github.com/acme/shop-deploy"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
        },
        "status": {
            "health": {"status": "Healthy"},
            "operationState": {
                "phase": phase,
                "startedAt": "2026-11-23T10:00:00Z",
                "syncResult": {"revision": _SHA, "resources": [{"kind": "Deployment"}]},
                "operation": {"initiatedBy": {"automated": True}},
                **operation,
            },
        },
    }


def _rendered(template: str, application: Json) -> str:
    """Render what the template of the page uses of Go's templates, and nothing else.

    That is `toJson` of a field, which must be there, and of sprig's `dig` with "" as default.
    """

    def value(found: re.Match[str]) -> str:
        expression = found[1].removeprefix("toJson ")
        assert expression != found[1], f"{found[1]} is not in JSON"
        if dug := _DIG.fullmatch(expression):
            names, missing = re.findall(r'"([^"]*)"', dug["names"]), ""
        else:
            asked = _FIELD.fullmatch(expression)
            assert asked is not None, expression
            names, missing = asked["names"].split(".")[1:], None
        holder: Any = application
        for name in names:
            if missing is not None and name not in holder:
                return json.dumps(missing)
            holder = holder[name]
        return json.dumps(holder)

    return _PLACEHOLDER.sub(value, template)


def _notifier(server: DialectServer) -> Callable[[Json], requests.Response]:
    """Return what sends an application as the config map of the page says."""
    [configured, _] = _blocks("argocd", "yaml")
    data = yaml.safe_load(configured)["data"]
    service = yaml.safe_load(data["service.webhook.deploymark"])
    webhook = yaml.safe_load(data["template.deploymark"])["webhook"]["deploymark"]
    [subscription] = yaml.safe_load(data["subscriptions"])
    assert subscription["triggers"] == ["deploymark"]
    for trigger in yaml.safe_load(data["trigger.deploymark"]):
        assert trigger["send"] == ["deploymark"]
    headers = {
        each["name"]: each["value"].replace("$deploymark-token", server.token)
        for each in service["headers"]
    }

    def send(application: Json) -> requests.Response:
        return requests.request(
            webhook["method"],
            _at(server, service["url"]),
            data=_rendered(webhook["body"], application).encode(),
            headers=headers,
            timeout=SECONDS,
        )

    return send


def test_the_template_for_argo_cd_tells_a_sync_with_its_phases(server: DialectServer) -> None:
    send = _notifier(server)
    message = 'one or more objects "failed" to apply\n(retried 5 times)'
    ended = {"finishedAt": "2026-11-23T10:01:00Z", "message": message}
    person = {"operation": {"initiatedBy": {"username": "ann"}}}
    for application in (_application("Running"), _application("Failed", **ended, **person)):
        assert [send(application).status_code for _ in range(2)] == [200, 200]

    said = {
        "service": "checkout",
        "environment": "prod",
        "commit_hash": _SHA,
        "repository": "https://github.com/acme/shop-deploy",
        "target": {"namespace": "shop"},
        "kind": "deployment",
        "emitter": {"kind": "gateway", "id": "argocd_notifications"},
    }
    labels = {
        "dialect": "argocd_notifications",
        "within": "shop",
        "argocd_application": "checkout-prod",
        "health": "Healthy",
    }
    assert server.markers() == [
        {
            **said,
            "phase": "applying",
            "timestamp": "2026-11-23T10:00:00.000Z",
            "labels": {**labels, "argocd_phase": "Running"},
        },
        {
            **said,
            "phase": "failed",
            "timestamp": "2026-11-23T10:01:00.000Z",
            "deployer": "ann",
            "reason": message,
            "labels": {**labels, "argocd_phase": "Failed"},
        },
    ]
    [deployment] = server.deployments()
    assert (deployment["state"], deployment["occurrence"]) == ("failed", 1)


def test_a_template_without_its_method_reads_what_it_lacks(server: DialectServer) -> None:
    headers = {"Authorization": f"Bearer {server.token}"}
    answer = requests.get(f"{server.url}/hooks/argocd", headers=headers, timeout=SECONDS)
    assert answer.status_code == 400
    assert "method: POST" in answer.json()["message"]
