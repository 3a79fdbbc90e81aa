"""sentry-cli, as it comes from PyPI, with SENTRY_URL changed."""

import subprocess
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from dialect_server import BIN, SECONDS, DialectServer, dialect_server, plain_environment

_NOBODY = "dm_nobody"
_GIT = ("git", "-c", "user.name=Ann", "-c", "user.email=ann@example.org")


def _sentry(
    server: DialectServer, *words: str, code: int = 0, token: str = "", project: str = ""
) -> CompletedProcess[str]:
    """Run a command of sentry-cli in a checkout, and see that it ends as expected."""
    checkout = server.place / "checkout"
    if not checkout.exists():
        checkout.mkdir()
        _git(checkout, "init", "--quiet")
        _git(checkout, "commit", "--quiet", "--allow-empty", "--message", "Correct the sum")
    told = {
        "SENTRY_URL": server.url,
        "SENTRY_AUTH_TOKEN": token or server.token,
        "SENTRY_ORG": "acme",
        **({"SENTRY_PROJECT": project} if project else {}),
    }
    done = subprocess.run(
        [BIN / "sentry-cli", *words],
        cwd=checkout,
        env=plain_environment(server.place, told),
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == code, f"{words}\n{done.stdout}{done.stderr}"
    return done


def _git(checkout: Path, *words: str) -> str:
    done = subprocess.run(
        [*_GIT, *words], cwd=checkout, capture_output=True, encoding="utf-8", check=True
    )
    return done.stdout.strip()


def test_a_deploy_is_a_deployment_with_its_phases(server: DialectServer) -> None:
    _sentry(server, "deploys", "new", "-r", "web@1.2.3", "-e", "prod", "-t", "90")

    markers = server.markers()
    assert [each.pop("timestamp") < "9999" for each in markers] == [True, True]
    said = {
        "service": "web",
        "environment": "prod",
        "version": "1.2.3",
        "release_id": "web@1.2.3",
        "kind": "deployment",
        "emitter": {"kind": "gateway", "id": "sentry_releases"},
        "labels": {"dialect": "sentry_releases", "sort": "deploy", "within": "acme"},
    }
    assert markers == [{**said, "phase": "applying"}, {**said, "phase": "applied"}]
    [deployment] = server.deployments()
    assert {name: deployment[name] for name in ("service", "environment", "version", "state")} == {
        "service": "web",
        "environment": "prod",
        "version": "1.2.3",
        "state": "running",
    }


def test_a_deploy_told_again_is_the_same_deployment(server: DialectServer) -> None:
    for seconds in ("90", "60"):
        _sentry(server, "deploys", "new", "-r", "web@1.2.3", "-e", "prod", "-t", seconds)
    _sentry(server, "deploys", "new", "-r", "web@1.2.3", "-e", "prod")

    assert len(server.markers()) == 2
    assert len(server.deployments()) == 1


def test_a_release_is_told_from_its_beginning_to_its_end(server: DialectServer) -> None:
    release = "2.0.0"
    _sentry(server, "info")
    _sentry(server, "releases", "new", "-p", "web", "-p", "api", release)
    _sentry(server, "releases", "set-commits", "--local", release)
    _sentry(server, "releases", "finalize", release)
    # This one names no project: the release does.
    _sentry(server, "deploys", "new", "-r", release, "-e", "prod", "-n", "first")

    commit = _git(server.place / "checkout", "rev-parse", "HEAD")
    told = [(each["service"], each["environment"], each["kind"]) for each in server.markers()]
    assert sorted(told) == [
        ("api", "prod", "deployment"),
        ("api", "unmapped", "infrastructure"),
        ("web", "prod", "deployment"),
        ("web", "unmapped", "infrastructure"),
    ]
    amendments = server.ask("GET", "/v1/entries?type=amendment")["items"]
    assert {each["entry"]["changes"].get("/changes/0/commit") for each in amendments} == {
        commit,
        None,
    }
    shown = _sentry(server, "releases", "list", "-p", "web").stdout
    assert release in shown
    assert "2.0.0" in _sentry(server, "releases", "info", release).stdout
    assert "first" in _sentry(server, "deploys", "list", "-r", release).stdout
    _sentry(server, "releases", "set-commits", "--auto", "2.0.1", project="web")
    _sentry(server, "releases", "delete", "2.0.1")


def test_each_project_that_is_named_is_a_deployment(server: DialectServer) -> None:
    projects = ("-p", "checkout", "-p", "cart")
    _sentry(server, "deploys", "new", "-r", "web@7", "-e", "prod", *projects)

    said = [(each["service"], each["version"]) for each in server.markers()]
    assert said == [("checkout", "7"), ("cart", "7")]


def test_a_deploy_of_nobody_knows_what_is_kept(server: DialectServer) -> None:
    _sentry(server, "deploys", "new", "-r", "7", "-e", "prod")

    [marker] = server.markers()
    assert (marker["service"], marker["environment"]) == ("unmapped", "prod")


def test_a_client_prints_why_it_is_refused(server: DialectServer) -> None:
    words = ("deploys", "new", "-r", "web@1.2.3", "-e", "prod")
    assert "token" in _sentry(server, *words, code=1, token=_NOBODY).stderr
    narrow = server.new_token("narrow", services=["api"])
    said = _sentry(server, *words, code=1, token=narrow).stderr
    assert "token:narrow may not say this: service" in said
    assert server.markers() == []


@pytest.mark.parametrize("service", ["web", "api"])
def test_a_service_of_its_own_is_the_default_of_a_token(tmp_path: Path, service: str) -> None:
    configuration = f"[dialects.sentry_releases.tokens.ci]\ndefaults = {{service = '{service}'}}\n"
    with dialect_server(tmp_path, configuration) as server:
        _sentry(server, "deploys", "new", "-r", "7", "-e", "prod")
        assert [each["service"] for each in server.markers()] == [service]
