"""What the page on CI without secrets shows works: its rules, with issuers of this machine."""

import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from subprocess import DEVNULL, PIPE, CompletedProcess, Popen, run
from typing import Any
from urllib.request import Request, urlopen

import pytest

from deploymark.runtime.system import SystemClock
from deploymark.testing.issuer import REQUEST_TOKEN, LocalIssuer, local_issuer, public_jwk

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "howto" / "ci-without-secrets.md").read_text(encoding="utf-8")
RULES = re.findall(r"^```toml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
ISSUERS = ("https://token.actions.githubusercontent.com", "https://gitlab.com")
AUDIENCE = "https://deploymark.example.com"
ADMIN = f"dmk_0123456789ab_{'p' * 43}"
SECONDS = 60
SHOP = ("--service", "shop", "--environment", "prod", "--version", "1")

Json = dict[str, Any]


class World:
    """A server with the rules of the page, two issuers that it asks and one that it has keys of."""

    def __init__(self, place: Path, issuers: list[LocalIssuer]) -> None:
        self.place = place
        self.github, self.gitlab, self.cluster = issuers
        rules = "\n".join(RULES)
        for public, local in zip(ISSUERS, issuers, strict=False):
            assert public in rules
            rules = rules.replace(public, local.url)
        self.cluster.url = "https://kubernetes.default.svc.cluster.local"
        keys = {"keys": [public_jwk(self.cluster.keys["key-1"], "key-1", use="sig")]}
        (place / "cluster-keys.json").write_text(json.dumps(keys))
        (place / "deploymark.toml").write_text(rules)
        words = ("up", "--json", "--data", "data", "--config", "deploymark.toml")
        self.log = (place / "server.log").open("w")
        self.server = Popen(
            [sys.executable, "-m", "deploymark", *words, "--listen", "127.0.0.1:0"],
            cwd=place,
            env=self._environment({"DEPLOYMARK_ADMIN_TOKEN": ADMIN}),
            stdout=PIPE,
            stderr=self.log,
            encoding="utf-8",
        )
        assert self.server.stdout is not None
        started = self.server.stdout.readline()
        assert started, (place / "server.log").read_text()
        self.url = json.loads(started)["url"]

    def close(self) -> None:
        """End the server."""
        assert self.server.stdout is not None
        self.server.terminate()
        code = self.server.wait(SECONDS)
        self.server.stdout.close()
        self.log.close()
        assert code == 0
        assert "Traceback" not in (self.place / "server.log").read_text()

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        paths = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        return {"PATH": paths, "HOME": str(self.place / "home"), **more}

    def job(self, *words: str, **variables: str) -> CompletedProcess[str]:
        """Run a command in a job that has no token."""
        said = {
            "DEPLOYMARK_URL": self.url,
            "DEPLOYMARK_OIDC": "1",
            "DEPLOYMARK_OIDC_AUDIENCE": AUDIENCE,
        }
        done = run(
            [sys.executable, "-m", "deploymark", *words],
            cwd=self.place,
            env=self._environment(said | variables),
            stdin=DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done

    def github_job(self, repository: str = "acme/shop") -> dict[str, str]:
        """Return the environment of a job of GitHub Actions."""
        self.github.job = lambda audience: self.github.github(repository, aud=audience)
        return {
            "GITHUB_ACTIONS": "true",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": repository,
            "GITHUB_RUN_ID": "42",
            "GITHUB_SHA": "c" * 40,
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.github.url}/idtoken?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN,
        }

    def markers(self, count: int) -> list[Json]:
        """Return what the log says, the oldest first, once it is found."""
        found = self._found()
        for _ in range(SECONDS * 10):
            if len(found) >= count:
                break
            time.sleep(0.1)
            found = self._found()
        return found

    def _found(self) -> list[Json]:
        request = Request(f"{self.url}/v1/markers?order=oldest")  # noqa: S310 - this very server
        request.add_header("Authorization", f"Bearer {ADMIN}")
        with urlopen(request, timeout=SECONDS) as answer:  # noqa: S310 - as above
            items: list[Json] = json.load(answer)["items"]
        return items

    def on_disk(self, text: str) -> list[Path]:
        """Return the files that hold a text."""
        files = [each for each in self.place.rglob("*") if each.is_file()]
        return [each for each in files if text.encode() in each.read_bytes()]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        issuers = [stack.enter_context(local_issuer(SystemClock())) for _ in range(3)]
        world = World(tmp_path, issuers)
        stack.callback(world.close)
        yield world


def test_a_job_of_github_marks_its_deploy_without_a_stored_secret(world: World) -> None:
    job = world.github_job()
    command = ("run", *SHOP, "--require", "--json", "--", "sh", "-c", "echo deployed")
    done = world.job(*command, **job)
    assert (done.returncode, done.stdout) == (0, "deployed\n"), done.stderr
    entries = world.markers(3)
    assert [each["marker"]["phase"] for each in entries] == ["planned", "applying", "applied"]
    assert {each["principal"] for each in entries} == {
        "oidc:github:repo:acme/shop:environment:prod"
    }
    assert world.github.asked.count("/keys") == 1
    assert len([each for each in world.github.asked if each.startswith("/idtoken")]) == 1
    assert world.on_disk("dmk_") == []
    listed = world.job("tokens", "ls", "--json", DEPLOYMARK_TOKEN=ADMIN)
    tokens = [json.loads(line) for line in listed.stdout.splitlines()]
    assert {each["created_by"] for each in tokens} >= {entries[0]["principal"]}


def test_a_job_may_ask_the_gate_by_its_identity(world: World) -> None:
    job = world.github_job()
    assert world.job("mark", "planned", *SHOP, "--require", **job).returncode == 0
    asked = world.job("gate", *SHOP[:4], "--timeout", "0", "--json", **job)
    assert asked.returncode == 2, asked.stderr  # without a rule nothing is proven
    assert json.loads(asked.stdout)["decision"] == "inconclusive"


def test_a_job_that_is_not_trusted_deploys_and_its_markers_wait(world: World) -> None:
    job = world.github_job("acme-evil/shop")
    done = world.job("run", *SHOP, "--", "sh", "-c", "echo deployed", **job)
    assert (done.returncode, done.stdout) == (0, "deployed\n")
    assert "No rule trusts 'repo:acme-evil/shop:environment:prod'" in done.stderr
    required = world.job("mark", "applied", *SHOP, "--require", **job)
    assert required.returncode == 77
    assert world.markers(0) == []
    # What waits is delivered once the job is trusted.
    flushed = world.job("flush", "--require", "--json", **world.github_job())
    assert flushed.returncode == 0, flushed.stderr
    assert json.loads(flushed.stdout)["left"] == 0
    assert len(world.markers(3)) >= 3


def test_a_job_stays_within_the_scope_of_its_repository(world: World) -> None:
    done = world.job(
        *("mark", "applied", "--service", "bank", "--environment", "prod", "--version", "1"),
        "--require",
        **world.github_job(),
    )
    assert done.returncode == 77
    assert "outside its scope" in done.stderr


def test_an_issuer_that_is_away_stops_no_deploy(world: World) -> None:
    world.github.is_away = True
    done = world.job("run", *SHOP, "--", "sh", "-c", "echo deployed", **world.github_job())
    assert (done.returncode, done.stdout) == (0, "deployed\n")
    required = world.job("mark", "applied", *SHOP, "--require", **world.github_job())
    assert required.returncode == 69


def test_a_job_of_gitlab_has_its_identity_in_a_variable(world: World) -> None:
    token = world.gitlab.sign(world.gitlab.gitlab(aud=AUDIENCE))
    done = world.job("mark", "applied", *SHOP, "--require", DEPLOYMARK_ID_TOKEN=token)
    assert done.returncode == 0, done.stderr
    (entry,) = world.markers(1)
    principal = "oidc:gitlab:project_path:acme/team/shop:ref_type:branch:ref:main"
    assert entry["principal"] == principal


def test_a_pod_has_its_identity_in_a_file_and_the_server_its_clusters_keys(world: World) -> None:
    file = world.place / "token"
    file.write_text(world.cluster.sign(world.cluster.kubernetes()))
    done = world.job("mark", "applied", *SHOP, "--require", DEPLOYMARK_ID_TOKEN_FILE=str(file))
    assert done.returncode == 0, done.stderr
    (entry,) = world.markers(1)
    assert entry["principal"] == "oidc:cluster:system:serviceaccount:shop:deployer"
    assert world.cluster.asked == []


def test_doctor_says_where_the_identity_comes_from(world: World) -> None:
    said = world.job("doctor", **world.github_job()).stdout
    assert "the identity token from GitHub Actions" in said
    assert "nothing gives this job an identity token" in world.job("doctor").stdout
