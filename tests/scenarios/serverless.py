"""A function on AWS Lambda, its pipeline, and a server whose clock a test can set ahead.

AWS is moto behind a door that is as strict as AWS. Nobody runs functions there, so `Environment`
does what an execution environment does: it unpacks what a version consists of, starts it with the
version's variables, hands it events, and writes log lines as the runtime of Python does with the
log format JSON. Everything of deploymark is real; the server runs in this process, because fifteen
minutes must pass in less.
"""

import base64
import io
import json
import os
import re
import subprocess
import sys
import threading
import time
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import requests
from account import Account
from team import BIN, ENVIRONMENT, SECONDS, SERVICE, Json, Team

from deploymark.emit.emitter import Emitter
from deploymark.emit.host import SystemHost
from deploymark.emit.settings import Settings
from deploymark.integrations.aws_lambda.functions import FunctionsOptions, LambdaFunctions
from deploymark.model.vocabulary import EmitterKind
from deploymark.runtime.compose import init_log, open_log
from deploymark.runtime.config import parse_configuration
from deploymark.runtime.front import admission_rules, open_front
from deploymark.runtime.observing import Logged, Reporter
from deploymark.server.listening import build_server, serve
from deploymark.testing.otlp import DELTA, FAILED, OK, histogram, metrics

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "lambda.md"
TICK_SECONDS = 10
_TURN_SECONDS = 0.1
_PER_TICK = 300
_ENVIRONMENTS = 3
_USUAL_ERRORS = 0.004
_LOOK_SECONDS = 60
_BEHIND, _MOST = 3, 10

AWS = '''\
#!{python}
"""As much of the AWS CLI as the how-to uses: `aws SERVICE VERB-NOUN --name value`, by boto3."""
import sys, boto3
service, operation, *words = sys.argv[1:]
if operation == "wait":
    operation, words = "get_waiter", words
given, asked = dict(zip(words[-len(words) // 2 * 2 :: 2], words[1::2])), {{}}
if operation == "get_waiter":
    given = dict(zip(words[1::2], words[2::2]))
for name, value in given.items():
    if name in ("--query", "--output"):
        continue
    key = "".join(each.capitalize() for each in name[2:].split("-"))
    if value.startswith("fileb://"):
        value = open(value.removeprefix("fileb://"), "rb").read()
    elif value.startswith("Variables={{"):
        pairs = value.removeprefix("Variables={{").removesuffix("}}").split(",")
        value = {{"Variables": dict(each.split("=", 1) for each in pairs)}}
    asked[key] = value
client = boto3.client(service)
if operation == "get_waiter":
    client.get_waiter(words[0].replace("-", "_")).wait(**asked)
else:
    answer = getattr(client, operation.replace("-", "_"))(**asked)
    if "--query" in given:
        print(answer[given["--query"]])
client.close()
'''

RUNTIME = '''\
import importlib, json, logging, os, sys

PLAIN = set(vars(logging.makeLogRecord({})))


class Line(logging.Formatter):
    """What AWS's runtime writes with the log format JSON."""

    def format(self, record):
        more = {k: v for k, v in vars(record).items() if k not in PLAIN}
        said = {"level": record.levelname, "message": record.getMessage(), "logger": record.name}
        return json.dumps({**said, **more})


to = logging.StreamHandler(sys.stdout)
to.setFormatter(Line())
logging.getLogger().addHandler(to)
module, _, name = os.environ["_HANDLER"].partition(".")
handler = getattr(importlib.import_module(module), name)
for event in sys.stdin:
    print(json.dumps({"answer": handler(json.loads(event), None)}), flush=True)
from deploymark.emit.startup import describe

print(json.dumps({"resource": describe().resource_attributes}), flush=True)
'''


def written(heading: str, language: str) -> str:
    """Return the first block of a language below a heading of the how-to."""
    part = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    blocks: list[str] = re.findall(rf"^```{language}\n(.*?)^```", part, re.DOTALL | re.MULTILINE)
    return blocks[0]


class ClockAhead:
    """The machine's own clock, and as much ahead of it as a test says; see `ServerClock`."""

    def __init__(self) -> None:
        self._ahead_ms = 0

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self._ahead_ms

    def steady_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000 + self._ahead_ms

    def advance(self, seconds: float) -> None:
        self._ahead_ms += int(seconds * 1_000)


class HostAhead(SystemHost):
    """The host of a program whose clock goes with the server's."""

    def __init__(self, clock: ClockAhead) -> None:
        self._clock = clock

    def now_ms(self) -> int:
        return self._clock.now_ms()


class Environment:
    """One start of a version, as AWS would start it.

    Attributes:
        line: The log line by which it says what it is.
        answers: To the events that it was given.
        resource: Under which it counts its requests.
    """

    def __init__(self, team: Team, aws: Account, version: str, code: bytes) -> None:
        place = team.place / f"environment-{version}"
        place.mkdir()
        (place / "package.zip").write_bytes(code)
        with zipfile.ZipFile(place / "package.zip") as package:
            package.extractall(place)
        found = aws.client.get_function_configuration(FunctionName=SERVICE, Qualifier=version)
        variables = found["Environment"]["Variables"]
        done = subprocess.run(
            [sys.executable, "-c", RUNTIME],
            cwd=place,
            env={
                **variables,
                "DEPLOYMARK_SPOOL": str(place / "spool"),
                "PYTHONPATH": str(place),
                "_HANDLER": found["Handler"],
                "AWS_LAMBDA_FUNCTION_NAME": SERVICE,
                "AWS_LAMBDA_FUNCTION_VERSION": version,
            },
            input="{}\n{}\n",
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said = [json.loads(line) for line in done.stdout.splitlines()]
        (self.line,) = (each for each in said if each.get("logger") == "deploymark.emit")
        self.answers = [each["answer"] for each in said if "answer" in each]
        (self.resource,) = (each["resource"] for each in said if "resource" in each)


class Serverless:
    """The team of a function, its account of AWS, and its server.

    Args:
        team: Whose server does not run yet.
        aws: With the function `shop`.
    """

    def __init__(self, team: Team, aws: Account) -> None:
        self.team, self.aws = team, aws
        self.clock = ClockAhead()
        self._versions: dict[str, bytes] = {}
        self._stack = ExitStack()
        tool = team.place / "tools" / "aws"
        tool.parent.mkdir()
        tool.write_text(AWS.format(python=sys.executable))
        tool.chmod(0o755)

    # The server ---------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        with self._stack:
            content = tomllib.loads(written("Let a version that fails go back", "toml"))
            options = content["rollouts"][SERVICE][ENVIRONMENT]["actuator"]["options"]
            options |= self.aws.access
            content["act"] = {"turn_seconds": _TURN_SECONDS}
            content["policy"] = {"environments": {ENVIRONMENT: {"action_assurance": "signed"}}}
            self._stack.enter_context(self._serving(content))
            self.team.admit_ci()
            scope = ("--service", SERVICE, "--environment", ENVIRONMENT)
            for name, roles in (
                ("observer", ("emitter", "reader")),
                ("function", ("emitter",)),
                ("ada", ("operator",)),
            ):
                words = [word for role in roles for word in ("--role", role)]
                made = self.team.command(
                    *("tokens", "new", name, *words, *(() if name == "ada" else scope), "--json"),
                    role="admin",
                )
                self.team._tokens[name] = json.loads(made.stdout)["token"]
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def _serving(self, content: object) -> Iterator[None]:
        configuration, data = parse_configuration(content), self.team.place / "data"
        init_log(data, "log.example/shop")
        with (
            open_log(data, rules=admission_rules(configuration), clock=self.clock) as log,
            open_front(log, configuration, listen_host="127.0.0.1") as front,
        ):
            server = build_server(front.app, closing=front.app.feed.close)
            ready = threading.Event()

            def listening(host: str, port: int) -> None:
                self.team.url = f"http://{host}:{port}"
                ready.set()

            run = threading.Thread(target=serve, args=(server,), kwargs={"listening": listening})
            run.start()
            try:
                assert ready.wait(SECONDS)
                assert front.admin_token is not None
                self.team._tokens["admin"] = front.admin_token
                yield
            finally:
                server.should_exit = True
                run.join(SECONDS)

    # The pipeline -------------------------------------------------------------------------------

    def _shell(self, script: str, role: str, **variables: str) -> str:
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", script],
            cwd=self.team.place,
            env={
                **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
                "AWS_ENDPOINT_URL": self.aws.door.url,
                **self.team._environment(role),
                "PATH": f"{self.team.place / 'tools'}:{BIN}:{os.defpath}",
                **variables,
            },
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout

    def follow(self, heading: str, role: str, number: int = 0, **variables: str) -> str:
        """Run the commands below a heading of the how-to, one block of them, as somebody."""
        part = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
        block = re.findall(r"^```sh\n(.*?)^```", part, re.DOTALL | re.MULTILINE)[number]
        return self._shell(block, role, **variables)

    def deploy(self, run: int, note: str) -> tuple[str, str]:
        """Deploy a function as the how-to says, in a CI job; gives its version and deployment."""
        code = packed(f"# {note}\n" + written("Let the function say what it is", "python"))
        (self.team.place / "shop.zip").write_bytes(code)
        job = self.team.job(run, 1, run)
        told = {name: value for name, value in job.items() if name.startswith("GITHUB_")}
        self.follow("Deploy it", "ci", 0, **told, TOKEN=self.team._tokens["function"])
        version = self.leads_to()
        self._versions[version] = code
        return version, self._deployment(version)

    def _deployment(self, version: str) -> str:
        """Wait until the views show a version, and return its deployment."""
        for _ in range(200):
            for each in self.team._items(f"/v1/deployments?service={SERVICE}"):
                if each["version"] == version:
                    return f"{each['deployment_id']}~{each['occurrence']}"
            time.sleep(0.05)
        raise AssertionError(version)

    def start(self, version: str) -> Environment:
        """Start a version, as AWS does for the first events."""
        return Environment(self.team, self.aws, version, self._versions[version])

    def leads_to(self) -> str:
        """Return the version that callers get."""
        return str(self.aws.shown(ENVIRONMENT)["FunctionVersion"])

    def digest(self, version: str) -> str:
        """Return the digest of a version, as AWS says it."""
        found = self.aws.client.get_function_configuration(FunctionName=SERVICE, Qualifier=version)
        return f"sha256:{base64.b64decode(found['CodeSha256']).hex()}"

    # What passes --------------------------------------------------------------------------------

    def serve_requests(self, resources: dict[str, Json], errors: dict[str, float]) -> None:
        """Let some seconds pass, in which whichever version the alias leads to serves requests."""
        began = self.clock.now_ms() / 1_000
        self.clock.advance(TICK_SECONDS)
        version = self.leads_to()
        bad = round(_PER_TICK * errors.get(version, _USUAL_ERRORS))
        for number in range(_ENVIRONMENTS):
            said = {**resources[version], "service.instance.id": f"{version}-{number}"}
            points = [
                histogram(
                    [0.02] * many,
                    began + TICK_SECONDS,
                    start_s=began,
                    attributes=what,
                    temporality=DELTA,
                )
                for many, what in ((_PER_TICK - bad, OK), (bad, FAILED))
                if many
            ]
            answer = requests.post(
                f"{self.team.url}/v1/metrics",
                data=metrics(said, points).SerializeToString(),
                headers={
                    "Authorization": f"Bearer {self.team._tokens['function']}",
                    "Content-Type": "application/x-protobuf",
                },
                timeout=SECONDS,
            )
            assert answer.status_code == 200, answer.text
        time.sleep(3 * _TURN_SECONDS)  # for some turns of the controller

    def watch_requests(
        self, deployment: str, resources: dict[str, Json], errors: dict[str, float], ticks: int
    ) -> Iterator[int]:
        """Let some time pass tick by tick, no faster than the server looks at a deployment."""
        began_ms = self.clock.now_ms()
        for tick in range(ticks):
            self.serve_requests(resources, errors)
            passed = (self.clock.now_ms() - began_ms) // 1_000 // _LOOK_SECONDS
            self._await_looks(deployment, min(passed - _BEHIND, _MOST))
            yield tick

    def _await_looks(self, deployment: str, looks: int) -> None:
        for _ in range(SECONDS * 10):
            shown = self.shown(deployment)
            if shown["look"] >= looks or shown["decisions"]:
                return
            time.sleep(_TURN_SECONDS)
        raise AssertionError(self.shown(deployment))

    def shown(self, deployment: str) -> Json:
        """Return how a rollout stands."""
        status, content = self.team.request("ada", "GET", f"/v1/rollouts/{deployment}")
        assert status == 200, content
        return content

    @contextmanager
    def observing(self) -> Iterator[Reporter]:
        """Give what `deploymark observe --lambda` looks with, by the clock of the server."""
        spool = str(self.team.place / "observer-spool")
        token = self.team._tokens["observer"]
        host = HostAhead(self.clock)
        observer = LambdaFunctions(
            FunctionsOptions(function=SERVICE, alias=ENVIRONMENT, **self.aws.access)
        )
        emitter = Emitter(
            Settings(url=self.team.url, token=token, spool=spool),
            kind=EmitterKind.ORCHESTRATOR,
            emitter_id=f"{observer.name}/{SERVICE}",
            facts={},
            host=host,
        )
        about = {"service": SERVICE, "environment": ENVIRONMENT}

        def known() -> list[Logged]:
            listed = self.team._items(f"/v1/instances?service={SERVICE}&limit=200")
            found = [each for each in listed if each["instance_uid"].startswith("arn:")]
            return [Logged(each["instance_uid"], each["deployment_id"]) for each in found]

        try:
            yield Reporter(observer, emitter, about, {}, known, host)
            assert emitter.flush(SECONDS).problem == ""
        finally:
            emitter.close(0)
            observer.close()


def packed(program: str) -> bytes:
    """Return the ZIP file of a function, the same for the same program."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("shop.py"), program)
    return file.getvalue()
