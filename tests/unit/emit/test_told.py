"""What a process was told about itself: who goes before whom, and what is not believed."""

from typing import Any

import pytest

from deploymark.emit.attributes import read_attributes, write_attributes
from deploymark.emit.told import Told, gather

DIGEST = "sha256:" + "b" * 64

TOLD: dict[str, tuple[dict[str, object], dict[str, str], dict[str, Any], dict[str, Any]]] = {
    "an argument goes before a variable": (
        {"service": "a"},
        {"DEPLOYMARK_SERVICE": "b"},
        {},
        {"service": "a"},
    ),
    "a variable goes before what OpenTelemetry was told": (
        {},
        {"DEPLOYMARK_SERVICE": "b", "OTEL_SERVICE_NAME": "c"},
        {},
        {"service": "b"},
    ),
    "OTEL_SERVICE_NAME goes before the attribute": (
        {},
        {"OTEL_SERVICE_NAME": "c", "OTEL_RESOURCE_ATTRIBUTES": "service.name=d"},
        {},
        {"service": "c"},
    ),
    "an attribute goes before the release file": (
        {},
        {"OTEL_RESOURCE_ATTRIBUTES": "service.name=d"},
        {"service": "e"},
        {"service": "d"},
    ),
    "the release file is asked last": ({}, {}, {"service": "e"}, {"service": "e"}),
    "an empty variable says nothing": (
        {},
        {"DEPLOYMARK_VERSION": "", "OTEL_RESOURCE_ATTRIBUTES": "service.version=2"},
        {},
        {"version": "2"},
    ),
    "the commit has a short name among the variables": (
        {},
        {"DEPLOYMARK_COMMIT": "abcdef1"},
        {},
        {"commit_hash": "abcdef1"},
    ),
    "the new name of the environment goes before the deprecated one": (
        {},
        {"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=x,deployment.environment.name=y"},
        {},
        {"environment": "y"},
    ),
    "the deprecated name is understood": (
        {},
        {"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=x"},
        {},
        {"environment": "x"},
    ),
    "a release file cannot know its deployment": (
        {},
        {},
        {"deployment_id": "d-1", "version": "1"},
        {"deployment_id": "", "version": "1"},
    ),
    "an id is written in small letters": (
        {},
        {"DEPLOYMARK_DEPLOYMENT_ID": "D-ABC"},
        {},
        {"deployment_id": "d-abc"},
    ),
    "an artifact is read as people write it": (
        {},
        {"DEPLOYMARK_ARTIFACT": f"registry/shop:2@{DIGEST}"},
        {},
        {"artifact": {"name": "registry/shop", "tag": "2", "digest": DIGEST}},
    ),
    "a digest that OpenTelemetry was told is the artifact's": (
        {},
        {"OTEL_RESOURCE_ATTRIBUTES": f"deploymark.artifact.digest={DIGEST}"},
        {},
        {"artifact": {"digest": DIGEST}},
    ),
    "the place is what Kubernetes and clouds say": (
        {},
        {
            "OTEL_RESOURCE_ATTRIBUTES": "k8s.cluster.name=eu-1,cloud.region=r,k8s.pod.name=p,"
            "k8s.namespace.name=n,k8s.deployment.name=checkout,cloud.availability_zone=a"
        },
        {},
        {
            "place": {
                "cluster": "eu-1",
                "region": "r",
                "zone": "a",
                "namespace": "n",
                "workload": "deploy/checkout",
                "instance": "p",
            }
        },
    ),
    "a switch that says no is off": (
        {},
        {"DEPLOYMARK_EXECUTABLE": "false"},
        {},
        {"executable": False},
    ),
}


@pytest.mark.parametrize("what", TOLD)
def test_what_is_told(what: str) -> None:
    given, variables, release_file, expected = TOLD[what]
    told = gather(given, variables, release_file)._asdict()
    assert {name: told[name] for name in expected} == expected
    assert told["problems"] == ()


WRONG = {
    "DEPLOYMARK_DEPLOYMENT_ID": "not an id",
    "DEPLOYMARK_COMMIT": "main",
    "DEPLOYMARK_DIGEST": "sha256:short",
    "DEPLOYMARK_TRACK": "beta",
    "DEPLOYMARK_VERSION": "1\r\nx-injected: 2",
    "DEPLOYMARK_SERVICE": "s" * 257,
    "DEPLOYMARK_ARTIFACT": "shop@sha256:none",
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_left_out_and_named(name: str) -> None:
    told = gather({}, {name: WRONG[name]}, {})
    assert told._replace(problems=()) == Told()
    (problem,) = told.problems
    assert problem.endswith("ignored.")


def test_what_is_wrong_in_one_place_is_taken_from_the_next() -> None:
    variables = {"DEPLOYMARK_COMMIT": "main"}
    told = gather({}, variables, {"commit_hash": "abcdef1"})
    assert told.commit_hash == "abcdef1"
    assert len(told.problems) == 1


def test_attributes_come_back_as_they_were_written() -> None:
    attributes = {"a": "plain", "b": "with, comma = and %", "c": "žluťoučký kůň 🐴", "d": ""}
    text = write_attributes(attributes)
    assert text.isascii()
    assert text.count(",") == 3
    assert read_attributes(text) == attributes


def test_what_is_malformed_in_attributes_is_left_out() -> None:
    assert read_attributes("no-equals,=x, a = b ,,c=%zz") == {"a": "b", "c": "%zz"}
