"""The actuators of plans are those that the how-to page describes, and its examples run."""

import itertools
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest

from deploymark.act.plan import ActuatorPlan
from deploymark.errors import ActuatorRefusedError, UsageError
from deploymark.integrations.argo_rollouts.actuator import RolloutOptions
from deploymark.integrations.aws_lambda.alias import AliasOptions
from deploymark.integrations.command.actuator import CommandOptions
from deploymark.integrations.envoy.actuator import EnvoyOptions
from deploymark.integrations.envoy.routes import Pair, is_weighted, weighted
from deploymark.integrations.kubernetes.deployment import DeploymentOptions
from deploymark.integrations.local_fleet.actuator import LocalFleetOptions
from deploymark.integrations.signed_webhook.actuator import WebhookOptions
from deploymark.ports import Actuator, Found, Release
from deploymark.runtime.actuators import KINDS, NONE, build_actuator, missing_programs
from deploymark.testing.actuator import Trouble, exercise_actuator, order_for
from generated_pages import DOCS

PAGE = (DOCS / "howto" / "actuators.md").read_text(encoding="utf-8")
SHAPES = {
    "argo_rollout": RolloutOptions,
    "command": CommandOptions,
    "envoy_weights": EnvoyOptions,
    "kubernetes_deployment": DeploymentOptions,
    "lambda_alias": AliasOptions,
    "local_fleet": LocalFleetOptions,
    "webhook": WebhookOptions,
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


PLANS = {
    plan.kind: plan
    for text in blocks("toml")
    for plan in [msgspec.convert(tomllib.loads(text)["actuator"], ActuatorPlan)]
}


def section_of(kind: str) -> str:
    return next(part for part in PAGE.split("\n## ") if f'kind = "{kind}"' in part)


def test_every_kind_is_described_with_an_example() -> None:
    assert set(PLANS) == set(KINDS) == set(SHAPES)
    listed = re.findall(
        r"^\| \[?`([a-z_]+)`(?:\]\(#[a-z-]+\))? \| ", PAGE.split("\n## ")[0], re.MULTILINE
    )
    assert set(listed) == {*KINDS, NONE}


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_is_described_and_nothing_else(kind: str) -> None:
    table = section_of(kind).split("| option | meaning |\n|---|---|\n")[1].split("\n\n")[0]
    named = [
        name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])
    ]
    assert sorted(named) == sorted(SHAPES[kind].__struct_fields__)


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_makes_an_actuator(kind: str, secret_file: Path) -> None:
    options = dict(PLANS[kind].options)
    if "secret_file" in options:
        options["secret_file"] = str(secret_file)
    if "kubeconfig" in SHAPES[kind].__struct_fields__:
        options["kubeconfig"] = str(_kubeconfig(secret_file.parent))
    actuator = build_actuator(ActuatorPlan(kind, options), "/rollouts/0/actuator")
    assert actuator is not None
    assert actuator.name.startswith(kind)


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    """Make a secret as the page does."""
    (command,) = (text for text in blocks("sh") if "whsec_" in text)
    subprocess.run(["/bin/sh", "-euc", command], cwd=tmp_path, check=True, timeout=60)
    return tmp_path / "shifter.secret"


def _kubeconfig(folder: Path) -> Path:
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [cluster],
        "users": [{"name": "u", "user": {}}],
        "contexts": [context],
        "current-context": "x",
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_who_only_watches_has_no_actuator() -> None:
    assert build_actuator(ActuatorPlan(), "/x") is None


WRONG: dict[str, tuple[ActuatorPlan, str, str]] = {
    "an unknown kind": (ActuatorPlan("magic"), "/x/kind", "no actuator 'magic'"),
    "options for nothing": (ActuatorPlan(NONE, {"run": ["x"]}), "/x", "no options"),
    "an option missing": (ActuatorPlan("command"), "/x/options/run", "run"),
    "an option misspelt": (
        ActuatorPlan("command", {"rnu": ["x"]}),
        "/x/options/run",
        "`rnu` is no field",
    ),
    "an option that is none": (
        ActuatorPlan("command", {"run": ["x"], "shell": True}),
        "/x/options/shell",
        "shell",
    ),
    "no word to run": (ActuatorPlan("command", {"run": []}), "/x/options/run", "run"),
    "no time": (
        ActuatorPlan("command", {"run": ["x"], "timeout_seconds": 0}),
        "/x/options/timeout_seconds",
        "timeout_seconds",
    ),
    "a secret that is not there": (
        ActuatorPlan("webhook", {"url": "https://example.com/", "secret_file": "/nowhere"}),
        "/x/options",
        "/nowhere",
    ),
}


@pytest.mark.parametrize(("plan", "field", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_plan_is_refused_where_it_stands(plan: ActuatorPlan, field: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        build_actuator(plan, "/x")
    assert refused.value.field == field
    assert said in refused.value.message
    assert "--help" not in refused.value.hint


def made(kind: str, **options: object) -> Actuator:
    actuator = build_actuator(ActuatorPlan(kind, {**PLANS[kind].options, **options}), "/x")  # type: ignore[dict-item]
    assert actuator is not None
    return actuator


class ScriptWorld:
    """A folder for the scripts of the page."""

    sees = remembers_fence = True
    canary = Release("d-new~1", "2", "")
    stable = Release("d-old~1", "1", "")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.weights = folder / "weights"
        self.weights.mkdir(parents=True)
        for text in blocks("sh"):
            name = re.match(r"#!/bin/sh\n# ([a-z-]+)", text)
            if name is not None:
                (folder / name[1]).write_text(text)
                (folder / name[1]).chmod(0o700)

    def actuator(self) -> Actuator:
        return made(
            "command",
            run=[str(self.folder / "shift-shop")],
            look=[str(self.folder / "look-at-shop")],
            environment={"WEIGHTS": str(self.weights)},
        )

    def weight(self) -> float:
        file = self.weights / "shop"
        return float(file.read_text()) if file.exists() else 0.0

    def suffer(self, trouble: Trouble) -> bool:  # noqa: ARG002 - none can happen to a file
        return False


def test_the_programs_of_the_page_pass_the_suite(tmp_path: Path) -> None:
    numbers = itertools.count()
    exercise_actuator(lambda: ScriptWorld(tmp_path / str(next(numbers))))


@contextmanager
def received(place: Path, secret_file: Path) -> Iterator[int]:
    """Run the receiver of the page."""
    (program,) = blocks("python")
    (place / "receiver.py").write_text(program)
    words = [sys.executable, str(place / "receiver.py")]
    environment = {"SECRET_FILE": str(secret_file), "PORT": "0"}
    with subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


class ReceiverWorld:
    """The receiver of the page, which tells only whoever can sign how much the canary gets."""

    sees = remembers_fence = True
    canary = Release("d-new~1", "2", "")
    stable = Release("d-old~1", "1", "")

    def __init__(self, port: int, secret_file: Path) -> None:
        self._options = {
            "url": f"http://127.0.0.1:{port}/orders",
            "look_url": f"http://127.0.0.1:{port}/looks",
            "secret_file": str(secret_file),
            "private_networks": ["127.0.0.1"],
        }

    def actuator(self) -> Actuator:
        return made("webhook", **self._options)

    def weight(self) -> float:
        asked = [order_for(self, weight=weight) for weight in (0, 0.5, 5, 10, 20, 25, 30, 50, 100)]
        (found,) = (each for each in asked if self.actuator().look(each) is Found.DONE)
        return found.weight

    def suffer(self, trouble: Trouble) -> bool:  # noqa: ARG002 - it runs, and is right
        return False


def test_the_receiver_of_the_page_passes_the_suite(tmp_path: Path, secret_file: Path) -> None:
    with ExitStack() as opened:
        exercise_actuator(
            lambda: ReceiverWorld(
                opened.enter_context(received(tmp_path, secret_file)), secret_file
            )
        )


def test_the_receiver_of_the_page_believes_nobody_without_the_secret(
    tmp_path: Path, secret_file: Path
) -> None:
    other = tmp_path / "other"
    other.touch(0o600)
    other.write_text("whsec_" + "A" * 32)
    with received(tmp_path, secret_file) as port:
        world = ReceiverWorld(port, other)
        with pytest.raises(ActuatorRefusedError, match="not signed"):
            world.actuator().carry_out(order_for(world))


def test_the_envoy_file_of_the_page_can_be_shifted_by() -> None:
    (text,) = blocks("json")
    plan = PLANS["envoy_weights"].options
    pair = Pair(str(plan["canary"]), str(plan["stable"]))
    shifted = json.loads(weighted(json.loads(text), str(plan["route_config"]), pair, 25, "v"))
    assert is_weighted(shifted["resources"][0], pair, 25)


def test_programs_that_are_not_there_are_named_once() -> None:
    options: dict[str, str | int | float | bool | list[str] | dict[str, str]]
    options = {"run": ["/nowhere/shift", "5"], "look": ["/nowhere/shift"]}
    assert missing_programs(ActuatorPlan("command", options)) == ("/nowhere/shift",)
    assert missing_programs(ActuatorPlan("command", {"run": ["true"]})) == ()
    assert missing_programs(ActuatorPlan("webhook", {})) == ()
