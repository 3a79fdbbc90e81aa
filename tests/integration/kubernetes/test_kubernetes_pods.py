"""The observer of pods: what it sees, leaves out, and refuses to say."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from control_plane import ADAPTER, ControlPlane, Json, digest, pod, rules_of, say_running

from deploymark.errors import ExtraMissingError, ObservationError, UsageError
from deploymark.integrations.kubernetes.images import (
    digest_of,
    pinned,
    repository_of,
    running_digest,
)
from deploymark.integrations.kubernetes.pods import KubernetesPods, PodsOptions
from deploymark.telemetry.resource import origin_of
from deploymark.testing.observer import exercise_observer

A, B = digest("a"), digest("b")

Observed = Callable[..., KubernetesPods]


@pytest.fixture
def observing(plane: ControlPlane, tmp_path: Path) -> Iterator[Observed]:
    """Makes observers of the test's namespace."""
    made: list[KubernetesPods] = []

    def make(**selection: str) -> KubernetesPods:
        fields: Json = {"namespace": plane.namespace, "labels": {"app": "shop"}, **selection}
        made.append(KubernetesPods(PodsOptions(**fields, kubeconfig=plane.kubeconfig(tmp_path))))
        return made[-1]

    yield make
    for each in made:
        each.close()


class PodWorld:
    """Pods of the label that an observer looks for; an artifact is an image."""

    def __init__(self, plane: ControlPlane, observer: KubernetesPods) -> None:
        self.plane, self.observer = plane, observer
        self.started = 0

    def start(self, artifact: bytes) -> str:
        self.started += 1
        image = f"registry/shop@{digest(artifact.decode())}"
        made = self.plane.made("pods", pod(f"shop-{self.started}", image))
        say_running(self.plane, made)
        return str(made["metadata"]["name"])

    def stop(self, instance: str) -> None:
        self.plane.ask("DELETE", f"pods/{instance}")


def test_it_observes_as_every_observer_must(plane: ControlPlane, observing: Observed) -> None:
    def make() -> PodWorld:
        for each in plane.items("pods"):
            plane.ask("DELETE", f"pods/{each['metadata']['name']}")
        return PodWorld(plane, observing())

    exercise_observer(make)


def running(
    plane: ControlPlane,
    name: str,
    *images: str,
    labels: Json | None = None,
    told: dict[str, str] | None = None,
    **spec: str,
) -> Json:
    made = plane.made("pods", pod(name, *images, labels=labels, **spec))
    return say_running(plane, made, **(told or {}))


def shop(kubeconfig: str) -> PodsOptions:
    return PodsOptions(namespace="shop", labels={"app": "shop"}, kubeconfig=kubeconfig)


def test_it_is_named_for_where_it_looks(observing: Observed, plane: ControlPlane) -> None:
    assert observing().name == f"kubernetes-pods:{plane.namespace}"
    assert observing(cluster="eu-1").name == f"kubernetes-pods:eu-1/{plane.namespace}"


def test_an_instance_is_named_as_opentelemetry_names_it(
    plane: ControlPlane, observing: Observed
) -> None:
    found = running(plane, "shop", f"registry/shop@{A}")
    (seen,) = observing().observe()
    number = found["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    resource = {"k8s.pod.uid": found["metadata"]["uid"], "container.id": number}
    assert seen.uid == origin_of({"service.name": "shop", **resource}).instance
    assert (seen.instance, seen.digest, seen.why) == ("pod/shop", A, "")


def test_only_pods_with_the_labels_and_of_the_namespace_are_seen(
    plane: ControlPlane, observing: Observed
) -> None:
    running(plane, "shop", f"registry/shop@{A}")
    running(plane, "till", f"registry/shop@{A}", labels={"app": "till"})
    assert [each.instance for each in observing().observe()] == ["pod/shop"]
    assert observing(namespace="default").observe() == []


@pytest.mark.parametrize(
    ("image_id", "found"),
    [
        (f"docker-pullable://registry:5000/shop@{A}", A),
        (f"registry/team/shop@{A}", A),
        (f"containerd://registry/shop:2@{A}", A),
        (A, ""),
        (f"docker://{A}", ""),
        ("", ""),
        ("registry/shop:2", ""),
        ("registry/shop@sha256:short", ""),
    ],
)
def test_only_the_digest_of_a_repository_is_one(
    plane: ControlPlane, observing: Observed, image_id: str, found: str
) -> None:
    running(plane, "shop", "registry/shop:2", told={"app": image_id})
    (seen,) = observing().observe()
    assert (seen.digest, bool(seen.why)) == (found, not found)
    assert running_digest(image_id)[0] == found


def test_the_image_that_a_pod_asks_for_is_not_what_it_runs(
    plane: ControlPlane, observing: Observed
) -> None:
    running(plane, "shop", f"registry/shop@{A}", told={"app": f"registry/shop@{B}"})
    assert [each.digest for each in observing().observe()] == [B]


def test_of_several_containers_one_must_be_named(plane: ControlPlane, observing: Observed) -> None:
    running(plane, "shop", f"registry/shop@{A}", f"registry/proxy@{B}")
    (seen,) = observing().observe()
    assert seen.digest == ""
    assert "app, app-1" in seen.why
    assert [each.digest for each in observing(container="app").observe()] == [A]
    assert [each.digest for each in observing(container="app-1").observe()] == [B]
    (seen,) = observing(container="nobody").observe()
    assert (seen.digest, "nobody" in seen.why) == ("", True)


def test_a_pod_that_is_ending_or_not_yet_running_is_no_instance(
    plane: ControlPlane, observing: Observed
) -> None:
    running(plane, "ending", f"registry/shop@{A}", nodeName="node-1")
    plane.made("pods", pod("waiting", f"registry/shop@{A}"))
    over = running(plane, "over", f"registry/shop@{A}")
    plane.patched("pods/over/status", {"status": {**over["status"], "phase": "Succeeded"}})
    observer = observing()
    (seen,) = observer.observe()
    plane.ask("DELETE", "pods/ending")
    assert plane.got("pods/ending")["metadata"]["deletionTimestamp"]
    assert observer.observe() == []
    # It still runs, until its node says that it does not.
    assert not observer.ended((seen.uid,))
    plane.ask("DELETE", "pods/ending?gracePeriodSeconds=0")
    assert observer.ended((seen.uid,))


def test_a_container_that_was_started_again_is_another_instance(
    plane: ControlPlane, observing: Observed
) -> None:
    made = running(plane, "shop", "registry/shop:latest", told={"app": f"registry/shop@{A}"})
    observer = observing()
    (first,) = observer.observe()
    say_running(plane, made, app=f"registry/shop@{B}")
    (second,) = observer.observe()
    assert (first.digest, second.digest) == (A, B)
    assert first.uid != second.uid
    assert observer.ended((first.uid,))
    assert not observer.ended((second.uid,))
    # A name outlives the container, and a pod outlives it as well.
    assert not observer.ended((f"{made['metadata']['uid']}/app",))
    assert not observer.ended((made["metadata"]["uid"],))
    plane.ask("DELETE", "pods/shop?gracePeriodSeconds=0")
    assert observer.ended((made["metadata"]["uid"],))


def test_a_pod_whose_labels_were_changed_has_not_ended(
    plane: ControlPlane, observing: Observed
) -> None:
    running(plane, "shop", f"registry/shop@{A}")
    observer = observing()
    (seen,) = observer.observe()
    plane.patched("pods/shop", {"metadata": {"labels": {"app": "quarantine"}}})
    assert observer.observe() == []
    assert not observer.ended((seen.uid,))


@pytest.mark.usefixtures("only_the_double")
def test_what_cannot_be_seen_is_said_and_ends_nobody(
    plane: ControlPlane, observing: Observed
) -> None:
    running(plane, "shop", f"registry/shop@{A}")
    observer = observing()
    (seen,) = observer.observe()
    plane.double.away = True
    with pytest.raises(ObservationError, match="Kubernetes API"):
        observer.observe()
    assert not observer.ended((seen.uid,))
    plane.double.away = False
    plane.double.roles[ADAPTER] = []
    with pytest.raises(ObservationError, match="forbidden"):
        observer.observe()
    assert not observer.ended((seen.uid,))


@pytest.mark.usefixtures("only_the_double")
def test_the_shipped_role_is_enough_to_observe(plane: ControlPlane, observing: Observed) -> None:
    running(plane, "shop", f"registry/shop@{A}")
    plane.double.roles[ADAPTER] = rules_of("observer.yaml")
    observer = observing()
    (seen,) = observer.observe()
    assert not observer.ended((seen.uid,))


def test_a_cluster_that_is_not_there_is_said(tmp_path: Path) -> None:
    plane = ControlPlane("http://127.0.0.1:1", "token", "shop", None)
    observer = KubernetesPods(shop(plane.kubeconfig(tmp_path)))
    with pytest.raises(ObservationError, match="not reached"):
        observer.observe()
    observer.close()


@pytest.mark.parametrize("content", ["", "[]", "{not yaml", "clusters: []\n"])
def test_a_kubeconfig_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "config"
    file.write_text(content)
    with pytest.raises(UsageError, match="kubeconfig"):
        KubernetesPods(shop(str(file)))


@pytest.mark.parametrize("given", [("", {"app": "shop"}), ("shop", {})])
def test_a_selection_of_everything_is_refused(given: tuple[str, dict[str, str]]) -> None:
    with pytest.raises(UsageError):
        PodsOptions(namespace=given[0], labels=given[1])


def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "deploymark.integrations.kubernetes.api", raising=False)
    monkeypatch.setitem(sys.modules, "lightkube", None)
    with pytest.raises(ExtraMissingError) as caught:
        KubernetesPods(shop(""))
    assert "pip install '.[kubernetes]'" in caught.value.hint


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("shop", "shop"),
        ("shop:2", "shop"),
        (f"shop@{A}", "shop"),
        (f"registry:5000/team/shop:2@{A}", "registry:5000/team/shop"),
        ("registry:5000/shop", "registry:5000/shop"),
    ],
)
def test_an_image_is_pinned_in_the_repository_it_came_from(image: str, repository: str) -> None:
    assert repository_of(image) == repository
    assert pinned(image, B) == f"{repository}@{B}"
    assert digest_of(pinned(image, B)) == B
