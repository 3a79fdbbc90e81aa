"""python-gitlab, as it comes from PyPI, with its address changed; and hooks as GitLab signs."""

import base64
import http.client
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import gitlab
import pytest
from dialect_server import DialectServer, dialect_server
from gitlab.exceptions import GitlabAuthenticationError, GitlabCreateError, GitlabGetError

from deploymark.crypto.standard_webhooks import parse_secret, sign

_SHA = "279484c09fbe69ededfced8c1bb6e6d24616b468"
_SIGNING = "whsec_" + base64.b64encode(b"a key that GitLab has made").decode()
_PLAIN = "a secret that somebody made"
_ASKED = {"environment": "production", "sha": _SHA, "ref": "main", "tag": False}

Json = dict[str, Any]


def _client(server: DialectServer, token: str = "") -> gitlab.Gitlab:
    return gitlab.Gitlab(server.url, private_token=token or server.token)


def test_a_deployment_is_created_updated_and_listed(server: DialectServer) -> None:
    client = _client(server)
    client.auth()
    assert client.user is not None
    assert client.user.username == "ci"
    project = client.projects.get("acme/shop")

    made = project.deployments.create({**_ASKED, "status": "running"})
    assert (made.status, made.sha, made.ref) == ("running", _SHA, "main")
    made.status = "success"
    made.save()
    assert made.status == "success"

    said = {
        "service": "shop",
        "environment": "production",
        "commit_hash": _SHA,
        "ref": "refs/heads/main",
        "kind": "deployment",
        "emitter": {"kind": "gateway", "id": "gitlab_deployments"},
    }
    labels = {"dialect": "gitlab_deployments", "within": "acme/shop"}
    assert server.markers() == [
        {**said, "phase": "applying", "labels": {**labels, "status": "running"}},
        {**said, "phase": "applied", "labels": {**labels, "status": "success"}},
    ]
    [deployment] = server.deployments()
    assert (deployment["state"], deployment["occurrence"]) == ("running", 1)
    read = project.deployments.get(made.id)
    assert (read.status, read.environment["name"], read.user["username"]) == (
        "success",
        "production",
        "ci",
    )
    assert read.updated_at >= read.created_at


def test_retries_are_one_deployment(server: DialectServer) -> None:
    deployments = _client(server).projects.get("acme/shop", lazy=True).deployments
    made = [deployments.create({**_ASKED, "status": "success"}).id for _ in range(3)]

    assert len(set(made)) == 1
    assert len(server.markers()) == len(server.deployments()) == 1


def test_pages_of_a_list_hold_every_deployment_once(server: DialectServer) -> None:
    deployments = _client(server).projects.get(42, lazy=True).deployments
    made = [
        deployments.create({**_ASKED, "environment": f"review-{number}", "status": "success"}).id
        for number in range(5)
    ]

    listed = deployments.list(iterator=True, per_page=2)
    assert [each.id for each in listed] == made
    newest = deployments.list(order_by="id", sort="desc", per_page=2, page=1)
    assert [each.id for each in newest] == [made[4], made[3]]
    assert [each.id for each in deployments.list(environment="review-3", get_all=True)] == [made[3]]
    assert deployments.list(status="failed", get_all=True) == []


def test_what_failed_and_is_tried_again_happens_again(server: DialectServer) -> None:
    deployments = _client(server).projects.get("acme/shop", lazy=True).deployments
    made = deployments.create({**_ASKED, "status": "running"})
    made.status = "failed"
    made.save()
    again = deployments.create({**_ASKED, "status": "success"})

    assert again.id != made.id
    assert deployments.get(made.id).status == "failed"
    [deployment] = server.deployments()
    assert (deployment["occurrence"], deployment["state"]) == (2, "running")


def test_what_the_configuration_adds_is_of_every_phase(tmp_path: Path) -> None:
    told = "[dialects.gitlab_deployments.tokens.ci]\n"
    told += "defaults = {service = 'cart', cluster = 'eu-1', run = '7'}\n"
    with dialect_server(tmp_path, told) as server:
        deployments = _client(server).projects.get(42, lazy=True).deployments
        made = deployments.create({**_ASKED, "status": "running"})
        made.status = "failed"
        made.save()

        said = [(each["service"], each["action"], each["target"]) for each in server.markers()]
        assert said == [("cart", "7", {"cluster": "eu-1"})] * 2
        assert [each["state"] for each in server.deployments()] == ["failed"]


def test_a_client_reads_why_it_is_refused(server: DialectServer) -> None:
    deployments = _client(server).projects.get("acme/shop", lazy=True).deployments
    with pytest.raises(GitlabCreateError, match="status done does not exist"):
        deployments.create({**_ASKED, "status": "done"})
    with pytest.raises(GitlabGetError, match="404 Deployment Not Found"):
        deployments.get(7)
    with pytest.raises(GitlabAuthenticationError):
        _client(server, "dmk_nobody").auth()
    narrow = _client(server, server.new_token("narrow", services=["web"]))
    refused = narrow.projects.get("acme/shop", lazy=True).deployments
    with pytest.raises(GitlabCreateError, match="token:narrow may not say this: service"):
        refused.create({**_ASKED, "status": "success"})
    assert server.markers() == []


# The hook ----------------------------------------------------------------------------------------


@pytest.fixture
def hooked(tmp_path: Path) -> Iterator[DialectServer]:
    """Return a server that shares two secrets with GitLab, of both ways."""
    secret = tmp_path / "gitlab.secret"
    secret.touch(0o600)
    secret.write_text(f"{_SIGNING}\n{_PLAIN}\n")
    told = f"[dialects.gitlab_deployments]\nsecret_file = '{secret}'\n"
    with dialect_server(tmp_path, told) as started:
        yield started


def _hook(status: str, at: datetime) -> bytes:
    told = {
        "object_kind": "deployment",
        "status": status,
        "status_changed_at": at.strftime("%Y-%m-%d %H:%M:%S %z"),
        "deployment_id": 15,
        "deployable_id": 796,
        "deployable_url": "https://gitlab.example.com/acme/shop/-/jobs/796",
        "environment": "staging",
        "environment_tier": "staging",
        "project": {
            "web_url": "https://gitlab.example.com/acme/shop",
            "path_with_namespace": "acme/shop",
        },
        "short_sha": "279484c0",
        "user": {"username": "ann", "email": "ann@example.com"},
        "commit_url": f"https://gitlab.example.com/acme/shop/-/commit/{_SHA}",
        "commit_title": "Add new file",
    }
    return json.dumps(told).encode()


def _signed(body: bytes, at_s: int) -> dict[str, str]:
    return {
        "webhook-id": "f0b6",
        "webhook-timestamp": str(at_s),
        "webhook-signature": sign(parse_secret(_SIGNING), "f0b6", at_s, body),
    }


def _send(server: DialectServer, body: bytes, headers: dict[str, str]) -> tuple[int, Json]:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    told = {"Content-Type": "application/json", "X-Gitlab-Event": "Deployment Hook", **headers}
    connection.request("POST", "/hooks/gitlab", body, told)
    answer = connection.getresponse()
    said: Json = json.loads(answer.read())
    connection.close()
    return answer.status, said


def test_a_hook_is_a_deployment_in_whichever_way_it_is_signed(hooked: DialectServer) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    ended, began = _hook("success", now), _hook("running", now - timedelta(seconds=20))
    for body in (ended, began):  # the end comes first, and each twice
        assert _send(hooked, body, _signed(body, int(time.time())))[0] == 202
        assert _send(hooked, body, {"X-Gitlab-Token": _PLAIN})[0] == 202

    applied, applying = hooked.markers()
    assert applying.pop("timestamp") < applied.pop("timestamp")
    assert (applying.pop("phase"), applied.pop("phase")) == ("applying", "applied")
    assert (applying.pop("labels")["status"], applied.pop("labels")) == (
        "running",
        {
            "dialect": "gitlab_deployments",
            "within": "acme/shop",
            "status": "success",
            "gitlab_deployment": "15",
            "tier": "staging",
        },
    )
    assert (
        applying
        == applied
        == {
            "service": "shop",
            "environment": "staging",
            "commit_hash": _SHA,
            "repository": "https://gitlab.example.com/acme/shop",
            "build_url": "https://gitlab.example.com/acme/shop/-/jobs/796",
            "deployer": "ann",
            "changes": [{"commit": _SHA, "title": "Add new file"}],
            "kind": "deployment",
            "emitter": {"kind": "gateway", "id": "gitlab_deployments"},
        }
    )
    [deployment] = hooked.deployments()
    assert (deployment["state"], deployment["occurrence"]) == ("running", 1)


def test_a_hook_that_was_signed_long_ago_is_refused(hooked: DialectServer) -> None:
    body = _hook("success", datetime.now(UTC))
    for headers in (
        _signed(body, int(time.time()) - 3_600),
        {**_signed(body, int(time.time())), "webhook-id": "another"},
        {"X-Gitlab-Token": "wrong"},
        {"X-Gitlab-Token": _SIGNING[:-1]},
    ):
        assert _send(hooked, body, headers)[0] == 401
    assert hooked.markers() == []
