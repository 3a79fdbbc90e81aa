"""What our adapters rely on in the Kubernetes API holds, in the double as in a real one."""

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from control_plane import (
    APPLY,
    MERGE,
    SECONDS,
    STRATEGIC,
    ControlPlane,
    Json,
    Kubelet,
    deployment,
    digest,
    pod,
    say_running,
    unverified,
)

OLD, NEW = f"registry/shop@{digest('old')}", f"registry/shop@{digest('new')}"
JSON_PATCH = "application/json-patch+json"
REVISION = "deployment.kubernetes.io/revision"
VALIDATES = 25
"""Minor version from which `fieldValidation` is looked at."""


def rollout(name: str, image: str) -> Json:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "strategy": {"canary": {"steps": [{"setWeight": 25}, {"pause": {}}]}},
            "template": deployment(name, image, 1)["spec"]["template"],
        },
    }


@contextmanager
def watching(plane: ControlPlane, path: str) -> Iterator[Iterator[tuple[str, Json]]]:
    address = plane.url + plane.address(path)
    headers = {"Authorization": f"Bearer {plane.token}"}
    asked = urllib.request.Request(address, headers=headers)  # noqa: S310 - loopback
    context = unverified() if plane.is_real else None
    with urllib.request.urlopen(asked, timeout=SECONDS, context=context) as answer:  # noqa: S310 - loopback
        yield ((each["type"], each["object"]) for each in map(json.loads, answer))


def test_what_is_not_there_is_404(plane: ControlPlane) -> None:
    status, said = plane.ask("GET", "deployments/nobody")
    assert (status, said["kind"], said["reason"]) == (404, "Status", "NotFound")
    assert plane.ask("GET", "spaceships")[0] == 404
    assert plane.ask("GET", "/apis/argoproj.io/v9/rollouts")[0] == 404


def test_pods_are_listed_by_their_labels_and_in_pages(plane: ControlPlane) -> None:
    for number in range(3):
        plane.made("pods", pod(f"shop-{number}", OLD))
    plane.made("pods", pod("till", OLD, labels={"app": "till", "tier": "back"}))

    def names(query: str) -> list[str]:
        return [each["metadata"]["name"] for each in plane.items(f"pods?{query}")]

    assert names("labelSelector=app%3Dshop") == ["shop-0", "shop-1", "shop-2"]
    assert names("labelSelector=app+in+(shop,till),tier") == ["till"]
    assert names("labelSelector=app!%3Dshop") == ["till"]
    assert names("fieldSelector=metadata.name%3Dtill") == ["till"]
    page = plane.got("pods?limit=3")
    assert len(page["items"]) == 3
    rest = plane.got(f"pods?limit=3&continue={page['metadata']['continue']}")
    assert [each["metadata"]["name"] for each in rest["items"]] == ["till"]
    assert "continue" not in rest["metadata"]


def test_a_watch_tells_what_changed_after_a_version(plane: ControlPlane) -> None:
    plane.made("pods", pod("before", OLD))
    version = plane.got("pods")["metadata"]["resourceVersion"]
    with watching(plane, f"pods?watch=true&resourceVersion={version}&timeoutSeconds=30") as told:
        plane.made("pods", pod("after", OLD))
        plane.ask("DELETE", "pods/before")
        seen = [next(told) for _ in range(3)]
        assert [(kind, each["metadata"]["name"]) for kind, each in seen] == [
            ("ADDED", "after"),
            ("MODIFIED", "before"),
            ("DELETED", "before"),
        ]
        assert seen[1][1]["metadata"]["deletionTimestamp"]


def test_a_watch_without_a_version_begins_with_what_is_there(plane: ControlPlane) -> None:
    plane.made("pods", pod("before", OLD))
    with watching(plane, "pods?watch=true") as told:
        kind, found = next(told)
        assert (kind, found["metadata"]["name"]) == ("ADDED", "before")


@pytest.mark.usefixtures("only_the_double")
def test_a_watch_from_a_version_that_was_forgotten_is_410(plane: ControlPlane) -> None:
    version = plane.got("pods")["metadata"]["resourceVersion"]
    plane.made("pods", pod("shop", OLD))
    plane.double.store.compact()
    with watching(plane, f"pods?watch=true&resourceVersion={version}") as told:
        kind, said = next(told)
        assert (kind, said["code"], said["reason"]) == ("ERROR", 410, "Expired")


def test_a_strategic_patch_merges_containers_by_name(plane: ControlPlane) -> None:
    made = deployment("shop", OLD, 1)
    containers: list[Json] = made["spec"]["template"]["spec"]["containers"]
    containers[0]["env"] = [{"name": "A", "value": "1"}]
    containers.append({"name": "proxy", "image": "proxy:1"})
    plane.made("deployments", made)
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": NEW}]}}}}
    changed = plane.patched("deployments/shop", patch, STRATEGIC)
    found = {each["name"]: each for each in changed["spec"]["template"]["spec"]["containers"]}
    assert (found["app"]["image"], found["proxy"]["image"]) == (NEW, "proxy:1")
    assert found["app"]["env"] == [{"name": "A", "value": "1"}]
    delete = {"name": "proxy", "$patch": "delete"}
    patch = {"spec": {"template": {"spec": {"containers": [delete]}}}}
    changed = plane.patched("deployments/shop", patch, STRATEGIC)
    assert len(changed["spec"]["template"]["spec"]["containers"]) == 1


def test_a_merge_patch_replaces_lists_and_null_removes(plane: ControlPlane) -> None:
    made = plane.made("deployments", deployment("shop", OLD, 1))
    assert made["spec"]["replicas"] == 1
    patch: Json = {"metadata": {"annotations": {"a": "1", "b": "2"}}}
    plane.patched("deployments/shop", patch)
    changed = plane.patched("deployments/shop", {"metadata": {"annotations": {"a": None}}})
    annotations = changed["metadata"]["annotations"]
    assert (annotations.get("a"), annotations["b"]) == (None, "2")
    containers = [{"name": "other", "image": NEW}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    changed = plane.patched("deployments/shop", patch)
    names = [each["name"] for each in changed["spec"]["template"]["spec"]["containers"]]
    assert names == ["other"]


def test_a_json_patch_is_done_whole_or_not_at_all(plane: ControlPlane) -> None:
    plane.made("deployments", deployment("shop", OLD, 1))
    image = "/spec/template/spec/containers/0/image"
    ours = {"op": "replace", "path": "/spec/replicas", "value": 3}
    changed = plane.patched(
        "deployments/shop", [{"op": "test", "path": image, "value": OLD}, ours], JSON_PATCH
    )
    assert changed["spec"]["replicas"] == 3
    fails = [{**ours, "value": 5}, {"op": "test", "path": image, "value": NEW}]
    assert plane.ask("PATCH", "deployments/shop", fails, JSON_PATCH)[0] == 422
    assert plane.got("deployments/shop")["spec"]["replicas"] == 3


def test_kinds_that_were_added_take_no_strategic_patch(plane: ControlPlane) -> None:
    plane.made("rollouts", rollout("shop", OLD))
    patch = {"spec": {"replicas": 2}}
    assert plane.ask("PATCH", "rollouts/shop", patch, STRATEGIC)[0] == 415
    assert plane.patched("rollouts/shop", patch)["spec"]["replicas"] == 2


def test_a_patch_of_an_older_version_is_409(plane: ControlPlane) -> None:
    version = plane.made("deployments", deployment("shop", OLD, 1))["metadata"]["resourceVersion"]
    plane.patched("deployments/shop", {"metadata": {"annotations": {"a": "1"}}})
    late: Json = {"metadata": {"resourceVersion": version}, "spec": {"replicas": 2}}
    for kind in (MERGE, STRATEGIC):
        status, said = plane.ask("PATCH", "deployments/shop", late, kind)
        assert (status, said["reason"]) == (409, "Conflict")
    assert plane.got("deployments/shop")["spec"]["replicas"] == 1


@pytest.mark.parametrize(
    "patch",
    [
        {"spec": {"replicas": -1}},
        {"spec": {"selector": {"matchLabels": {"of": "another"}}}},
        {"spec": {"template": {"spec": {"containers": []}}}},
        {"spec": {"template": {"metadata": {"labels": {"of": "another"}}}}},
        {"metadata": {"name": "another"}},
    ],
    ids=["replicas below 0", "selector", "no containers", "labels beside selector", "name"],
)
def test_what_breaks_a_rule_is_refused(plane: ControlPlane, patch: Json) -> None:
    plane.made("deployments", deployment("shop", OLD, 1))
    status, said = plane.ask("PATCH", "deployments/shop", patch, MERGE)
    assert status in (400, 422), said
    assert plane.got("deployments/shop")["spec"]["replicas"] == 1


def test_unknown_fields_and_wrong_types_are_refused(plane: ControlPlane) -> None:
    if plane.is_real and plane.minor < VALIDATES:
        pytest.skip("fieldValidation came with Kubernetes 1.25")
    content = deployment("shop", OLD, 1)
    content["spec"]["replicaz"] = 1
    status, said = plane.ask("POST", "deployments?fieldValidation=Strict", content)
    assert status == 400
    assert 'unknown field "spec.replicaz"' in said["message"]
    content["spec"].pop("replicaz")
    plane.made("deployments", content)
    path = "deployments/shop?fieldValidation=Strict"
    for spec in ({"replicaz": 1}, {"replicas": "many"}):
        assert plane.ask("PATCH", path, {"spec": spec}, MERGE)[0] in (400, 422)


def test_the_status_is_written_apart_from_all_else(plane: ControlPlane) -> None:
    plane.made("rollouts", rollout("shop", OLD))
    both: Json = {"spec": {"replicas": 7}, "status": {"promoteFull": True}}
    changed = plane.patched("rollouts/shop/status", both)
    assert (changed["spec"]["replicas"], changed["status"]["promoteFull"]) == (1, True)
    assert changed["metadata"]["generation"] == 1
    both["status"]["promoteFull"] = False
    changed = plane.patched("rollouts/shop", both)
    assert (changed["spec"]["replicas"], changed["status"]["promoteFull"]) == (7, True)
    assert changed["metadata"]["generation"] == 2


def test_a_generation_counts_changes_of_the_spec_and_of_annotations(plane: ControlPlane) -> None:
    generation = plane.made("deployments", deployment("shop", OLD, 1))["metadata"]["generation"]
    for patch, more in (
        ({"metadata": {"labels": {"team": "shop"}}}, 0),
        ({"metadata": {"annotations": {"team": "shop"}}}, 1),
        ({"spec": {"replicas": 2}}, 1),
    ):
        generation += more
        found = plane.patched("deployments/shop", patch)
        assert found["metadata"]["generation"] == generation, patch


def test_a_patch_that_changes_nothing_makes_no_new_version(plane: ControlPlane) -> None:
    made = plane.made("rollouts", rollout("shop", OLD))
    again = plane.patched("rollouts/shop", {"spec": {"replicas": 1}})
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_a_dry_run_keeps_nothing(plane: ControlPlane) -> None:
    plane.made("deployments", deployment("shop", OLD, 1))
    changed = plane.patched("deployments/shop?dryRun=All", {"spec": {"replicas": 4}})
    assert changed["spec"]["replicas"] == 4
    assert plane.got("deployments/shop")["spec"]["replicas"] == 1


# Server-side apply -------------------------------------------------------------------------------


def applied(plane: ControlPlane, manager: str, spec: Json, *more: str) -> tuple[int, Json]:
    content = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop"},
        "spec": spec,
    }
    query = "&".join((f"fieldManager={manager}", *more))
    return plane.ask("PATCH", f"deployments/shop?{query}", content, APPLY)


def test_who_applies_owns_and_others_conflict_unless_they_force(plane: ControlPlane) -> None:
    spec = deployment("shop", OLD, 2)["spec"]
    assert applied(plane, "deployer", spec)[0] in (200, 201)
    assert applied(plane, "scaler", {"replicas": 2})[0] == 200  # the same value is no conflict
    status, said = applied(plane, "scaler", {"replicas": 5})
    assert (status, said["reason"]) == (409, "Conflict")
    (cause,) = said["details"]["causes"]
    assert (cause["reason"], cause["field"]) == ("FieldManagerConflict", ".spec.replicas")
    assert "deployer" in cause["message"]
    status, said = applied(plane, "scaler", {"replicas": 5}, "force=true")
    assert (status, said["spec"]["replicas"]) == (200, 5)
    assert applied(plane, "deployer", spec)[0] == 409  # it is not its own any more


def test_a_field_that_is_applied_no_more_goes(plane: ControlPlane) -> None:
    spec = deployment("shop", OLD, 2)["spec"]
    applied(plane, "deployer", {**spec, "minReadySeconds": 7, "revisionHistoryLimit": 3})
    applied(plane, "other", {"revisionHistoryLimit": 3})
    _, found = applied(plane, "deployer", spec)
    assert found["spec"].get("minReadySeconds", 0) == 0
    assert found["spec"]["revisionHistoryLimit"] == 3  # another still wants it


def test_managed_fields_say_who_set_what(plane: ControlPlane) -> None:
    applied(plane, "deployer", deployment("shop", OLD, 2)["spec"])
    patch = {"spec": {"replicas": 3}}
    found = plane.patched("deployments/shop?fieldManager=scaler", patch)
    owners = {
        (each["manager"], each["operation"]): each["fieldsV1"]
        for each in found["metadata"]["managedFields"]
        if not each.get("subresource")
    }
    assert owners["scaler", "Update"] == {"f:spec": {"f:replicas": {}}}
    containers = owners["deployer", "Apply"]["f:spec"]["f:template"]["f:spec"]["f:containers"]
    assert "f:image" in containers['k:{"name":"app"}']
    assert "f:replicas" not in owners["deployer", "Apply"]["f:spec"]


# Controllers -------------------------------------------------------------------------------------


def rolled_out(plane: ControlPlane, name: str) -> Json:
    found: Json = {}
    for _ in range(SECONDS * 20):
        found = plane.got(f"deployments/{name}")
        status, wanted = found.get("status", {}), found["spec"]["replicas"]
        if status.get("observedGeneration") == found["metadata"]["generation"] and (
            status.get("updatedReplicas", 0)
            == status.get("replicas", 0)
            == status.get("availableReplicas", 0)
            == wanted
        ):
            return found
        time.sleep(0.05)
    raise AssertionError(found)


def test_a_deployment_rolls_out_and_back_as_a_new_revision(
    plane: ControlPlane, kubelet: Kubelet
) -> None:
    assert not kubelet.broken
    plane.made("deployments", deployment("shop", OLD, 3))
    found = rolled_out(plane, "shop")
    first = found["metadata"]["annotations"][REVISION]
    for image in (NEW, OLD):
        patch = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}}
        plane.patched("deployments/shop", patch, STRATEGIC)
        found = rolled_out(plane, "shop")
        images = {each["spec"]["containers"][0]["image"] for each in plane.items("pods")}
        assert images == {image}
    assert first == "1"
    assert found["metadata"]["annotations"][REVISION] == "3"
    assert len(plane.items("replicasets")) == 2


def test_a_deployment_whose_pods_never_serve_keeps_the_old_ones(
    plane: ControlPlane, kubelet: Kubelet
) -> None:
    kubelet.broken.add(digest("new"))
    plane.made("deployments", deployment("shop", OLD, 4))
    rolled_out(plane, "shop")
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": NEW}]}}}}
    plane.patched("deployments/shop", patch, STRATEGIC)
    status: Json = {}
    for _ in range(SECONDS * 20):
        found = plane.got("deployments/shop")
        status = found["status"]
        is_seen = status["observedGeneration"] == found["metadata"]["generation"]
        if is_seen and status.get("updatedReplicas"):
            break
        time.sleep(0.05)
    assert status["availableReplicas"] >= 3
    assert 0 < status["updatedReplicas"] < 4


def test_a_pod_on_a_node_ends_when_the_node_says_so(plane: ControlPlane) -> None:
    plane.made("pods", pod("shop", OLD, nodeName="node-1"))
    say_running(plane, plane.got("pods/shop"))
    plane.ask("DELETE", "pods/shop")
    assert plane.got("pods/shop")["metadata"]["deletionTimestamp"]
    assert plane.ask("DELETE", "pods/shop?gracePeriodSeconds=0")[0] == 200
    assert plane.ask("GET", "pods/shop")[0] == 404


def test_what_a_deployment_owns_ends_with_it(plane: ControlPlane, kubelet: Kubelet) -> None:
    assert not kubelet.broken
    plane.made("deployments", deployment("shop", OLD, 2))
    rolled_out(plane, "shop")
    plane.ask("DELETE", "deployments/shop?propagationPolicy=Background")
    for _ in range(SECONDS * 10):
        if not plane.items("pods") and not plane.items("replicasets"):
            return
        time.sleep(0.1)
    raise AssertionError("its pods are still there")
