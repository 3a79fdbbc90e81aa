"""The pages about Kubernetes and AWS name every option of the adapters, and nothing else."""

import argparse
import re
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

from deploymark.cli.observe_flags import add_selection
from deploymark.integrations.argo_rollouts.actuator import RolloutOptions
from deploymark.integrations.aws_lambda.access import AwsAccess
from deploymark.integrations.aws_lambda.alias import AliasOptions
from deploymark.integrations.kubernetes.access import Acting
from deploymark.integrations.kubernetes.deployment import DeploymentOptions
from deploymark.integrations.kubernetes.objects import DECISION, DEPLOYMENT_ID, FENCE, ORDER

DOCS = Path(__file__).parents[3] / "docs" / "howto"
KUBERNETES = (DOCS / "kubernetes.md").read_text(encoding="utf-8")
LAMBDA = (DOCS / "lambda.md").read_text(encoding="utf-8")
ROW = re.compile(r"\| `([a-z_]+)` \|(?: ([^|]*) \|)?")


def section(page: str, heading: str) -> str:
    """Return what stands below a heading."""
    return page.split(f"\n## {heading}\n")[1].split("\n## ", maxsplit=1)[0]


def options(text: str) -> set[str]:
    return {name for name, _ in ROW.findall(text)}


def fields(of: type[Struct], without: type[Struct] | None = None) -> set[str]:
    names = {each.name for each in msgspec.structs.fields(of)}
    return names - (fields(without) if without else set())


@pytest.mark.parametrize(
    ("page", "heading", "told"),
    [
        (KUBERNETES, "Which cluster an actuator acts on", fields(Acting)),
        (KUBERNETES, "Act on Deployments", fields(DeploymentOptions, Acting)),
        (KUBERNETES, "Act through Argo Rollouts", fields(RolloutOptions, Acting)),
        (LAMBDA, "Act on an alias", fields(AliasOptions)),
    ],
)
def test_every_option_is_told(page: str, heading: str, told: set[str]) -> None:
    assert options(section(page, heading)) == told


def test_the_defaults_are_those_of_the_code() -> None:
    for page, heading, of in (
        (KUBERNETES, "Which cluster an actuator acts on", Acting()),
        (LAMBDA, "Act on an alias", AwsAccess()),
    ):
        told = {name: default.strip() for name, default in ROW.findall(section(page, heading))}
        for name in fields(type(of)):
            value = getattr(of, name)
            assert told[name] == (f"{value:g}" if value else "")


@pytest.mark.parametrize(
    ("page", "heading", "group", "switch", "beside"),
    [
        (
            KUBERNETES,
            "See what pods run",
            "or which pods of Kubernetes",
            {"--kubernetes"},
            {"--namespace", "--cluster"},
        ),
        (
            LAMBDA,
            "See what an alias leads to",
            "or which functions of AWS Lambda",
            set(),
            {"--region"},
        ),
    ],
)
def test_every_flag_is_told(
    page: str, heading: str, group: str, switch: set[str], beside: set[str]
) -> None:
    parser = argparse.ArgumentParser()
    add_selection(parser)
    (found,) = (each for each in parser._action_groups if each.title == group)
    flags = {flag for action in found._group_actions for flag in action.option_strings}
    told = set(re.findall(r"^\| `(--[a-z-]+)` \|", section(page, heading), re.MULTILINE))
    assert told == (flags - switch) | beside


def test_every_annotation_is_told() -> None:
    assert [
        name for name in (FENCE, ORDER, DECISION, DEPLOYMENT_ID) if name not in KUBERNETES
    ] == []


def test_an_option_that_nobody_knows_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="replicaz"):
        msgspec.convert({"namespace": "a", "deployment": "b", "replicaz": 1}, DeploymentOptions)
