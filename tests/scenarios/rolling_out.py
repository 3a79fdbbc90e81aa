"""A service that is rolled out for real: a server, a splitter that is a file, and its traffic.

Requests are made up and reported over OTLP by replicas of two releases, as many of each as the
weight in the file says; everything else is what users run.
"""

import json
import os
import random
import re
import subprocess
import threading
import time
from contextlib import suppress
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

import requests
from team import BIN

from deploymark.testing.otlp import DELTA, FAILED, OK, histogram, metrics, resource

SECONDS = 60
TOKEN = "an-administrators-token-of-enough-length"  # noqa: S105 - of these tests
SERVICE = "shop"
_UP = ("--json", "--data", "data", "--config", "deploymark.toml")
REPLICAS = 2
_TICK_SECONDS = 0.2
_RATE = 600.0
_USUAL_ERRORS = 0.05

SHIFT = """\
#!/bin/sh
# The weight of the canary stands in a file; every deed is noted beside it.
set -eu
echo "$DEPLOYMARK_ENVIRONMENT $DEPLOYMARK_ACTION $DEPLOYMARK_KEY" >> "$WEIGHTS/deeds"
echo "$DEPLOYMARK_WEIGHT" > "$WEIGHTS/$DEPLOYMARK_ENVIRONMENT.new"
mv "$WEIGHTS/$DEPLOYMARK_ENVIRONMENT.new" "$WEIGHTS/$DEPLOYMARK_ENVIRONMENT"
while [ -e "$WEIGHTS/hold" ]; do sleep 0.1; done
echo "the canary gets $DEPLOYMARK_WEIGHT %"
"""
LOOK = """\
#!/bin/sh
[ "$(cat "$WEIGHTS/$DEPLOYMARK_ENVIRONMENT" 2>/dev/null)" = "$DEPLOYMARK_WEIGHT" ] || exit 1
"""
QUICK = """
look_seconds = 1
bucket_seconds = 1
warmup_seconds = 0
block_seconds = [1, 2, 5]
history_seconds = 10
max_wait_seconds = 60
metrics = [{ name = "errors" }]
roll_back = { recovery_seconds = 30 }
"""
SOON = """
[telemetry]
bucket_seconds = 1
lag_seconds = 1
[act]
turn_seconds = 0.2
"""
HISTORY_SECONDS = 11
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "roll-out-a-service.md"

Json = dict[str, Any]


def digest_of(release: str) -> str:
    """Return the digest of a release, which is nothing but its name."""
    return f"sha256:{sha256(release.encode()).hexdigest()}"


class Service:
    """The service in some environments, and the server that rolls it out.

    Args:
        place: A folder of its own.
        environments: Each has a plan; the settings after the quick ones.
    """

    def __init__(self, place: Path, *environments: str) -> None:
        self.place = place
        self.url = ""
        self.weights = place / "weights"
        self.weights.mkdir()
        for name, program in (("shift", SHIFT), ("look", LOOK)):
            (place / name).write_text(program)
            (place / name).chmod(0o755)
        plans = "".join(self._plan(each) for each in environments)
        (place / "deploymark.toml").write_text(SOON + plans)
        self.traffic = Traffic(self)
        self._process: subprocess.Popen[str] | None = None

    @classmethod
    def as_documented(cls, place: Path) -> Self:
        """Return the service of the how-to, with its programs and its plan, but shorter times."""
        service = cls(place)
        service.follow("1. Say how traffic is shifted")
        text = PAGE.read_text(encoding="utf-8")
        plan = text.split("```toml\n")[1].split("```")[0]
        plan = plan.replace("/etc/deploymark", str(place)).replace(
            "/var/lib/balancer", str(service.weights)
        )
        steps, rest = plan.split("metrics = ", 1)
        rest = rest.partition("\n")[2]
        (place / "deploymark.toml").write_text(f"{SOON}{steps}{QUICK}{rest}")
        return service

    def _plan(self, environment: str) -> str:
        words = {"run": [str(self.place / "shift")], "look": [str(self.place / "look")]}
        return (
            f"[rollouts.{SERVICE}.{environment}]\n{QUICK}steps = [{{ weight = 25 }}]\n"
            f'[rollouts.{SERVICE}.{environment}.actuator]\nkind = "command"\n'
            f"options = {{ run = {json.dumps(words['run'])}, look = {json.dumps(words['look'])}, "
            f'environment = {{ WEIGHTS = "{self.weights}" }} }}\n'
        )

    # The server --------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.serve()
        self.traffic.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.traffic.stop()
        if self._process is not None:
            self._process.terminate()
            assert self._process.wait(SECONDS) == 0
            self._close()
        assert "Traceback" not in (self.place / "server.log").read_text()

    def serve(self) -> None:
        """Start the server, always at the same address."""
        listen = self.url.removeprefix("http://") or "127.0.0.1:0"
        with (self.place / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                [BIN / "deploymark", "up", *_UP, "--listen", listen],
                cwd=self.place,
                env={"DEPLOYMARK_ADMIN_TOKEN": TOKEN, "PATH": os.defpath},
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, (self.place / "server.log").read_text()
        self.url = json.loads(line)["url"]

    def kill(self) -> None:
        """End the server without a word."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(SECONDS)
        self._close()

    def _close(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None

    # Commands ----------------------------------------------------------------------------

    @property
    def environment(self) -> dict[str, str]:
        """What a command of somebody who may do everything is run with."""
        return {
            "PATH": f"{BIN}:{os.defpath}",
            "HOME": str(self.place),
            "DEPLOYMARK_URL": self.url,
            "DEPLOYMARK_TOKEN": TOKEN,
        }

    def command(self, *words: object, exit_code: int = 0) -> str:
        """Run a deploymark command, see that it ends as expected, and return what it said."""
        done = subprocess.run(
            [BIN / "deploymark", *map(str, words)],
            cwd=self.place,
            env=self.environment,
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
        )
        said = f"{words}\n{done.stdout}{done.stderr}"
        assert done.returncode == exit_code, said
        assert "Traceback" not in done.stderr
        return done.stdout

    def deploy(self, environment: str, release: str, weight: int | None = None) -> str:
        """Apply a release, see its replicas run it, and return its deployment."""
        artifact = f"{SERVICE}@{digest_of(release)}"
        about = ("--service", SERVICE, "--environment", environment, "--artifact", artifact)
        more = () if weight is None else ("--strategy", "canary", "--weight", weight)
        said = self.command(
            *("mark", "applied", *about, "--version", release, *more, "--require", "--json")
        )
        name: str = json.loads(said)["deployment_id"]
        self.observe(environment, name, release)
        return name

    def follow(self, heading: str, replaced: Json | None = None, **variables: str) -> str:
        """Run the commands below a heading of the how-to, and return what they said."""
        text = PAGE.read_text(encoding="utf-8")
        part = text.split(f"## {heading}\n")[1].split("\n## ")[0]
        script = "\n".join(re.findall(r"^```sh\n(.*?)^```", part, re.DOTALL | re.MULTILINE))
        for written, meant in (replaced or {}).items():
            script = script.replace(written, meant)
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", script],
            cwd=self.place,
            env={**self.environment, **variables},
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def observe(self, environment: str, name: str, release: str) -> None:
        """See, as an observer does, that the replicas of a release run it."""
        for uid in replicas(environment, release):
            self._hand_in(environment, name, release, uid)

    def _hand_in(self, environment: str, name: str, release: str, uid: str) -> None:
        marker: Json = {
            "service": SERVICE,
            "environment": environment,
            "phase": "running",
            "deployment_id": name,
            "artifact": {"digest": digest_of(release)},
            "target": {"instance_uid": uid},
            "evidence": {"basis": "observed", "digest": digest_of(release)},
            "emitter": {"kind": "orchestrator", "id": "observer"},
        }
        answer = requests.post(
            f"{self.url}/v1/markers",
            json=marker,
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=SECONDS,
        )
        assert answer.status_code == HTTPStatus.CREATED, answer.text

    # What the server knows ---------------------------------------------------------------

    def shown(self, name: str) -> Json:
        """Return one rollout."""
        shown: Json = json.loads(self.command("canary", "show", name, "--json"))
        return shown

    def await_end(self, name: str) -> Json:
        """Wait until a rollout has ended, and return it."""
        for _ in range(SECONDS * 4):
            shown = self.shown(name)
            if shown["ended"]:
                return shown
            time.sleep(0.25)
        raise AssertionError(self.command("canary", "show", name))

    def await_canary(self, stable: str) -> str:
        """Wait until another deployment is rolled out, and return its id without its number."""
        for _ in range(SECONDS * 4):
            for line in self.command("canary", "--json").splitlines():
                name: str = json.loads(line)["deployment_id"].partition("~")[0]
                if name != stable:
                    return name
            time.sleep(0.25)
        raise AssertionError(self.command("canary"))

    def await_look(self, name: str) -> int:
        """Wait until a rollout was judged at its first step, and return that verdict's entry."""
        for _ in range(SECONDS * 4):
            shown = self.shown(name)
            if shown["step"] and shown["verdict"]:
                return int(shown["verdict"]["index"])
            time.sleep(0.25)
        raise AssertionError(self.command("canary", "show", name))

    def weight(self) -> str:
        """Return what stands in the file of the how-to's balancer."""
        return (self.weights / "shop").read_text().strip()

    def await_deed(self, count: int = 1) -> None:
        """Wait until the splitter was told to do something so many times."""
        for _ in range(SECONDS * 10):
            if len(self.deeds()) >= count:
                return
            time.sleep(0.1)
        raise AssertionError(self.command("canary"))

    def deeds(self) -> list[list[str]]:
        """Return what the splitter was told to do: environment, action and key, in order."""
        file = self.weights / "deeds"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


class Traffic(threading.Thread):
    """Requests that replicas of two releases report.

    Attributes:
        errors: The share of the requests of a release that fail, where it is not the usual one.
        stuck: Percent that a canary gets in an environment, whatever the splitter says; before it
            was told to send any, none.
    """

    def __init__(self, service: Service) -> None:
        super().__init__(name="traffic", daemon=True)
        self._service = service
        self._over = threading.Event()
        self._arms: dict[str, list[tuple[str, str]]] = {}
        self._draw = random.Random(7)
        self.errors: dict[str, float] = {}
        self.stuck: dict[str, float] = {}

    def serve(self, environment: str, *releases: tuple[str, str]) -> None:
        """Send requests to a stable release and perhaps a canary, each (release, deployment)."""
        self._arms[environment] = list(releases)

    def stop(self) -> None:
        """End it."""
        self._over.set()
        self.join(SECONDS)

    def run(self) -> None:
        """Report what was served since the last time, until it is over."""
        since = time.time()
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {TOKEN}"
            session.headers["Content-Type"] = "application/x-protobuf"
            while not self._over.wait(_TICK_SECONDS):
                now = time.time()
                for environment, releases in list(self._arms.items()):
                    self._report(session, environment, releases, since, now)
                since = now

    def _report(
        self,
        session: requests.Session,
        environment: str,
        releases: list[tuple[str, str]],
        since: float,
        now: float,
    ) -> None:
        files = (self._service.weights / name for name in (environment, SERVICE))
        file = next((each for each in files if each.exists()), self._service.weights / "none")
        weight = float(file.read_text()) / 100 if file.exists() and len(releases) > 1 else 0.0
        if file.exists():
            weight = self.stuck.get(environment, weight * 100) / 100
        shares = (1 - weight, weight)
        for (release, name), share in zip(releases, shares, strict=False):
            served = round(_RATE * share * (now - since) / REPLICAS)
            for uid in replicas(environment, release) if served else ():
                self._post(session, environment, release, name, uid, (served, since, now))

    def _post(
        self,
        session: requests.Session,
        environment: str,
        release: str,
        name: str,
        uid: str,
        counted: tuple[int, float, float],
    ) -> None:
        served, since, now = counted
        share = self.errors.get(release, _USUAL_ERRORS)
        bad = sum(self._draw.random() < share for _ in range(served))
        said = resource(SERVICE, environment, name, uid)
        points = [
            histogram([0.02] * many, now, start_s=since, attributes=what, temporality=DELTA)
            for many, what in ((served - bad, OK), (bad, FAILED))
            if many
        ]
        body = metrics(said, points).SerializeToString()
        with suppress(requests.RequestException):  # the server is away: these are lost
            session.post(f"{self._service.url}/v1/metrics", data=body, timeout=SECONDS)


def replicas(environment: str, release: str) -> list[str]:
    """Return the instances of a release."""
    return [f"{environment}-{release}-{number}" for number in range(REPLICAS)]
