"""Who reports, from what resources of many kinds say."""

from typing import Any

import pytest

from deploymark.errors import RequestError
from deploymark.telemetry.resource import UNKNOWN_SERVICE, origin_of

_DIGEST = f"sha256:{'a' * 64}"
_OTHER = f"sha256:{'b' * 64}"


def test_a_full_resource_is_read_whole() -> None:
    found = origin_of(
        {
            "service.name": "shop",
            "deployment.environment.name": "prod",
            "deployment.id": "D-One~2",
            "service.instance.id": "i-1",
            "service.version": "2.31.0",
            "vcs.ref.head.revision": "ABCDEF1234567",
            "deploymark.artifact.digest": _DIGEST,
            "k8s.cluster.name": "eu-1",
            "cloud.region": "eu-west-1",
            "cloud.availability_zone": "a",
            "k8s.node.name": "node-7",
            "k8s.namespace.name": "shop",
            "k8s.deployment.name": "checkout",
            "k8s.pod.name": "checkout-7c",
        }
    )
    assert (found.service, found.environment, found.deployment) == ("shop", "prod", "d-one")
    assert (found.instance, found.instance_from) == ("i-1", "")
    assert (found.digest, found.version, found.commit) == (_DIGEST, "2.31.0", "abcdef1234567")
    assert found.target == {
        "cluster": "eu-1",
        "region": "eu-west-1",
        "zone": "a",
        "node": "node-7",
        "namespace": "shop",
        "workload": "deploy/checkout",
        "instance": "pod/checkout-7c",
    }
    assert found.says_what_runs


INSTANCES: dict[str, tuple[dict[str, Any], str, str]] = {
    "a pod with a container id": (
        {"k8s.pod.uid": "p", "container.id": "c", "k8s.container.name": "n"},
        "p/c",
        "k8s.pod.uid, container.id",
    ),
    "a pod with a container name": (
        {"k8s.pod.uid": "p", "k8s.container.name": "n", "process.pid": 1},
        "p/n",
        "k8s.pod.uid, k8s.container.name",
    ),
    "a pod": ({"k8s.pod.uid": "p"}, "p", "k8s.pod.uid"),
    "a process in a container": (
        {"container.id": "c", "process.pid": 7},
        "c/7",
        "container.id, process.pid",
    ),
    "a container": ({"container.id": "c"}, "c", "container.id"),
    "a process of a host that has an id": (
        {"host.id": "h", "host.name": "n", "process.pid": 7, "process.creation.time": "then"},
        "h/7/then",
        "host.id, process.pid, process.creation.time",
    ),
    "a process of a host that has a name": (
        {"host.name": "n", "process.pid": 7},
        "n/7",
        "host.name, process.pid",
    ),
}


@pytest.mark.parametrize("case", INSTANCES.values(), ids=INSTANCES.keys())
def test_an_instance_is_derived_for(case: tuple[dict[str, Any], str, str]) -> None:
    attributes, instance, by = case
    found = origin_of({"service.name": "shop", **attributes})
    assert (found.instance, found.instance_from) == (instance, by)


def test_what_names_no_process_is_named_by_all_that_it_says() -> None:
    one = origin_of({"service.name": "shop", "host.name": "n"})
    assert one.instance.startswith("r-")
    assert one.instance_from == "all resource attributes"
    assert one.instance == origin_of({"host.name": "n", "service.name": "shop"}).instance
    assert one.instance != origin_of({"service.name": "shop", "host.name": "m"}).instance


def test_a_resource_that_says_nothing_is_an_unknown_service() -> None:
    found = origin_of({})
    assert (found.service, found.environment) == (UNKNOWN_SERVICE, "")
    assert not found.says_what_runs
    assert not found.target


def test_the_deprecated_name_of_the_environment_is_read_too() -> None:
    assert origin_of({"deployment.environment": "prod"}).environment == "prod"
    both = {"deployment.environment": "old", "deployment.environment.name": "new"}
    assert origin_of(both).environment == "new"


DIGESTS: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "a list of repository digests": (
        {"container.image.repo_digests": ["junk", f"reg.example/shop@{_DIGEST}"]},
        ("reg.example/shop", _DIGEST),
    ),
    "our own attribute first": (
        {"deploymark.artifact.digest": _OTHER, "container.image.repo_digests": [_DIGEST]},
        ("", _OTHER),
    ),
    "no digest at all": ({"deploymark.artifact.digest": "sha256:short"}, ("", "")),
    "another type": ({"container.image.repo_digests": {"a": 1}}, ("", "")),
}


@pytest.mark.parametrize("case", DIGESTS.values(), ids=DIGESTS.keys())
def test_the_digest_is_read_from(case: tuple[dict[str, Any], tuple[str, str]]) -> None:
    attributes, expected = case
    found = origin_of(attributes)
    assert (found.artifact, found.digest) == expected


def test_what_is_no_id_and_no_commit_says_nothing() -> None:
    found = origin_of({"deployment.id": "not an id!", "vcs.ref.head.revision": "main"})
    assert (found.deployment, found.commit) == ("", "")


@pytest.mark.parametrize(
    "name", ["service.name", "deployment.environment.name", "service.instance.id"]
)
def test_a_name_that_is_too_long_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="limit is 256"):
        origin_of({name: "x" * 257})
    assert origin_of({name: "x" * 256}) is not None


def test_values_of_other_types_are_read_as_text() -> None:
    found = origin_of({"service.name": 7, "service.version": ["a"], "host.name": True})
    assert (found.service, found.version) == ("7", '["a"]')
