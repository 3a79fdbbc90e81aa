"""A team that deploys a service: its server, its CI jobs and its machine, all of them real.

What the scenarios of deploys share. It reads no file of the server's: everything that it knows of
the log it has asked for, as users do.
"""

import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from subprocess import DEVNULL, PIPE, CompletedProcess, Popen
from typing import Any

EXAMPLE = Path(__file__).parents[2] / "examples" / "deploy-a-service"
BIN = Path(sys.executable).parent
SECONDS = 60
SERVICE, ENVIRONMENT = "shop", "prod"
CATALOGUES = {
    1: '{"coffee": 280}',
    2: '{"coffee": 280, "tea": 250}',
    3: '{"coffee": 280, "tea": 2,50}',  # cannot be read: the service does not start
}

Json = dict[str, Any]
Place = Path | str
Answer = tuple[int, Json]


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def manifest(directory: Path) -> bytes:
    """Return what `sha256sum * | sort` says of a release: its SHA-256 is the release digest."""
    lines = [
        f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each.relative_to(directory)}\n"
        for each in directory.rglob("*")
        if each.is_file() and each.parent.name != "__pycache__"
    ]
    return "".join(sorted(lines)).encode()


def digest(directory: Path) -> str:
    """Return the digest of a release, computed without deploymark (spec: trust)."""
    return f"sha256:{hashlib.sha256(manifest(directory)).hexdigest()}"


class Team:
    """One team.

    Args:
        place: A folder of its own.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.url = ""
        self.spool = place / "home" / ".local" / "state" / "deploymark" / "spool"
        self._server: Popen[str] | None = None
        self._tokens: dict[str, str] = {}
        self._service_port = free_port()
        (place / "home").mkdir()
        shutil.copy(EXAMPLE / "deploy.sh", place)
        for version, catalogue in CATALOGUES.items():
            release = place / "releases" / str(version)
            shutil.copytree(EXAMPLE / "shop", release, ignore=shutil.ignore_patterns("__pycache__"))
            (release / "VERSION").write_text(f"{version}\n")
            (release / "catalogue.json").write_text(catalogue)

    # The server ---------------------------------------------------------------------------------

    def serve(self) -> None:
        """Start the server, always at the same address."""
        listen = self.url.removeprefix("http://") or "127.0.0.1:0"
        with (self.place / "server.log").open("a") as log:
            self._server = Popen(
                [BIN / "deploymark", "up", "--json", "--data", "data", "--listen", listen],
                cwd=self.place,
                env=self._environment(),
                stdout=PIPE,
                stderr=log,
                encoding="utf-8",
            )
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        assert line, (self.place / "server.log").read_text()
        started = json.loads(line)
        self.url = started["url"]
        if started["created"]:
            self._tokens["admin"] = started["admin_token"]

    def stop_server(self, by: signal.Signals = signal.SIGTERM) -> None:
        """End the server."""
        if self._server is None:
            return
        self._server.send_signal(by)
        code = self._server.wait(SECONDS)
        assert self._server.stdout is not None
        self._server.stdout.close()
        self._server = None
        assert code == (0 if by is signal.SIGTERM else -by)

    def admit_ci(self) -> None:
        """Make a key and a token that may speak for the shop, and a token for people."""
        scope = ("--service", SERVICE, "--environment", ENVIRONMENT)
        for words in (("ci", "--role", "emitter", *scope), ("people", "--role", "reader")):
            made = self.command("tokens", "new", *words, "--json", role="admin")
            self._tokens[words[0]] = json.loads(made.stdout)["token"]
        self.command("keys", "new", "ci.pem")
        trust = ("keys", "trust", "ci.pem.pub", *scope, "--data", "data", "--url", self.url)
        self.command(*trust, role="admin")

    # Commands -----------------------------------------------------------------------------------

    def command(
        self, *words: Place, role: str = "", exit_code: int = 0, at: Path | None = None
    ) -> CompletedProcess[str]:
        """Run a deploymark command of somebody, and see that it ends as expected."""
        return self._run([BIN / "deploymark", *words], self._environment(role), exit_code, at)

    def offline(
        self, *words: Place, exit_code: int = 0, at: Path | None = None
    ) -> CompletedProcess[str]:
        """Run a deploymark command with an empty environment, as under `env -i`."""
        return self._run([BIN / "deploymark", *words], {}, exit_code, at)

    def _run(
        self, command: Sequence[Place], environment: Json, exit_code: int, at: Path | None
    ) -> CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=at or self.place,
            env=environment,
            stdin=DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == exit_code, f"{command}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def _environment(self, role: str = "") -> dict[str, str]:
        return {
            "PATH": f"{BIN}:{os.defpath}",
            "HOME": str(self.place / "home"),
            "SHOP_PORT": str(self._service_port),
            "DEPLOYMARK_URL": self.url,
            "DEPLOYMARK_TOKEN": self._tokens.get(role, ""),
        }

    # CI -----------------------------------------------------------------------------------------

    def job(self, run: int, attempt: int, version: int) -> dict[str, str]:
        """Return the environment of a CI job that deploys a version."""
        return self._environment("ci") | {
            "GITHUB_ACTIONS": "true",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": "acme/shop",
            "GITHUB_RUN_ID": str(run),
            "GITHUB_RUN_ATTEMPT": str(attempt),
            "GITHUB_REF": f"refs/tags/v{version}",
            "GITHUB_SHA": hashlib.sha1(b"v%d" % version, usedforsecurity=False).hexdigest(),
            "GITHUB_WORKFLOW_REF": "acme/shop/.github/workflows/deploy.yml@refs/heads/main",
            "GITHUB_EVENT_NAME": "push",
            "GITHUB_ACTOR": "alice",
        }

    def deploy_words(self, version: int, *deploy: str, **flags: str) -> list[Place]:
        """Return the command of the job; `deploy` stands for the deploy script."""
        release = f"releases/{version}"
        return [
            *(BIN / "deploymark", "run", "--service", SERVICE, "--environment", ENVIRONMENT),
            *("--release", release, "--sign", "ci.pem", "--json"),
            *(f"--{name}={value}" for name, value in flags.items()),
            *("--", *(deploy or ("./deploy.sh", release))),
        ]

    def deploy(
        self,
        run: int,
        version: int,
        *deploy: str,
        attempt: int = 1,
        exit_code: int = 0,
        **flags: str,
    ) -> Json:
        """Deploy a version in a CI job; gives what was said of the last marker.

        Args:
            run: Number of the CI run.
            version: What to deploy.
            deploy: A command, instead of the deploy script.
            attempt: Of the run.
            exit_code: What is expected.
            flags: More flags of `deploymark run`.
        """
        words = self.deploy_words(version, *deploy, **flags)
        done = self._run(words, self.job(run, attempt, version), exit_code, None)
        said: Json = json.loads(done.stderr.splitlines()[-1])
        return said

    # The service --------------------------------------------------------------------------------

    def answered(self) -> int:
        """Return the version with which the service answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self._service_port, timeout=SECONDS)
        connection.request("GET", "/version")
        version = int(connection.getresponse().read())
        connection.close()
        return version

    def runs_in(self) -> Path:
        """Return the release that the service's process runs in."""
        process = (self.place / "service.pid").read_text().strip()
        return Path(f"/proc/{process}/cwd").readlink()

    def stop_service(self) -> None:
        """End the service; a number in a file counts only if our release runs under it."""
        try:
            if not self.runs_in().is_relative_to(self.place):
                return
        except OSError:
            return
        os.kill(int((self.place / "service.pid").read_text()), signal.SIGTERM)

    # What the server knows ----------------------------------------------------------------------

    def request(self, role: str, method: str, path: str, fields: Json | None = None) -> Answer:
        """Ask as any program can; gives status and content."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=SECONDS)
        headers = {"Authorization": f"Bearer {self._tokens[role]}"}
        if fields is not None:
            headers["Content-Type"] = "application/json"
        connection.request(method, path, json.dumps(fields) if fields else None, headers)
        answer = connection.getresponse()
        content: Json = json.loads(answer.read())
        connection.close()
        return answer.status, content

    def _items(self, path: str) -> list[Json]:
        status, content = self.request("people", "GET", path)
        assert status == HTTPStatus.OK, content
        items: list[Json] = content["items"]
        return items

    def await_entry(self, index: int) -> None:
        """Wait until an entry is in the log."""
        for _ in range(200):
            if self.request("people", "GET", f"/v1/entries/{index}")[0] == HTTPStatus.OK:
                return
            time.sleep(0.05)
        raise AssertionError(index)

    def markers(self, after: int) -> list[Json]:
        """Return every marker, the oldest first, once an entry of the log can be found."""
        return self._items(f"/v1/markers?order=oldest&limit=200&after={after}")

    def live(self, after: int) -> list[str]:
        """Return, as `id~occurrence`, what runs and has not ended."""
        self.markers(after)
        listed = self.command("ls", "--json", role="people").stdout.splitlines()
        return [
            f"{each['deployment_id']}~{each['occurrence']}"
            for each in map(json.loads, listed)
            if each["state"] in ("running", "verified", "complete")
        ]

    def await_accounts(self, accepted: int, duplicates: int) -> None:
        """Wait until the server has accounted for every number that its emitters have used."""
        for _ in range(100):
            accounts = self._items("/v1/emitters")
            # An account whose clock was measured before its first number is folded has none yet.
            made = sum(each["highest"] + 1 for each in accounts if each["highest"] is not None)
            counted = [
                sum(each[name] for each in accounts)
                for name in ("accepted", "duplicates", "refused")
            ]
            if counted == [accepted, duplicates, 0] and made == sum(counted):
                return
            time.sleep(0.1)
        raise AssertionError(self._items("/v1/emitters"))

    # An auditor ---------------------------------------------------------------------------------

    def hand_to_auditor(self, indexes: Sequence[int]) -> Path:
        """Give receipts, policy and public keys away; returns the auditor's folder."""
        auditor = self.place.parent / "auditor"
        auditor.mkdir()
        for index in indexes:
            self._fetch_receipt(index, auditor / f"{index}.tlog-proof")
        policy = self.command("log", "policy", "--url", self.url, role="people")
        (auditor / "policy").write_text(policy.stdout)
        keys = self.command("keys", "ls", "--export", "--url", self.url, role="people")
        (auditor / "keys.json").write_text(keys.stdout)
        return auditor

    def _fetch_receipt(self, index: int, file: Path) -> None:
        # The log publishes a checkpoint every second while it grows; a receipt needs one.
        words = [str(BIN / "deploymark"), "receipt", str(index), "--out", str(file)]
        environment = self._environment("people")
        for _ in range(50):
            if subprocess.run(words, env=environment, stderr=DEVNULL, check=False).returncode == 0:
                return
            time.sleep(0.1)
        raise AssertionError(index)


class WaitingJob:
    """A CI job whose deploy has begun and waits; see `deploy_that_waits`."""

    def __init__(self, process: Popen[str]) -> None:
        self._process = process

    @property
    def code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._process.poll()

    def go_on(self) -> None:
        """Let the deploy end well, and wait for the job."""
        self._process.communicate("go on\n", timeout=SECONDS)

    def kill(self) -> None:
        """Kill deploymark, and not the deploy, with no chance to say anything more."""
        self._process.kill()
        self._process.wait(SECONDS)


@contextmanager
def deploy_that_waits(team: Team, run: int, version: int) -> Iterator[WaitingJob]:
    """Begin a deploy that waits in its middle; deploymark has said that it applies."""
    process = Popen(
        team.deploy_words(version, "sh", "-c", "echo begun; read go_on"),
        cwd=team.place,
        env=team.job(run, 1, version),
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        encoding="utf-8",
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "begun\n"
        yield WaitingJob(process)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(SECONDS)
        # This ends the deploy as well, should it still wait.
        process.stdin.close()
        process.stdout.close()
