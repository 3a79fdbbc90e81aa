"""The actuator of Deployments: what it sets, what it waits for, and what it refuses."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from control_plane import (
    ADAPTER,
    SECONDS,
    ControlPlane,
    Json,
    Kubelet,
    deployment,
    digest,
    rules_of,
)
from ordering import NEW, OLD, STABLE, order
from test_kubernetes_api import rolled_out

from deploymark.errors import (
    ActuatorRefusedError,
    ActuatorUnavailableError,
    OutcomeUnknownError,
    UsageError,
)
from deploymark.integrations.kubernetes.deployment import (
    DeploymentOptions,
    KubernetesDeployment,
    canary_replicas,
)
from deploymark.integrations.kubernetes.objects import Kind
from deploymark.ports import Deed, Found, Release

REVISION = "deployment.kubernetes.io/revision"
Acting = Callable[..., KubernetesDeployment]


@pytest.fixture
def acting(plane: ControlPlane, tmp_path: Path) -> Iterator[Acting]:
    """Makes actuators of the Deployment `shop`; with `canary` also of `shop-canary`."""
    made: list[KubernetesDeployment] = []

    def make(
        *, canary: bool = False, seconds: float = SECONDS, **more: str
    ) -> KubernetesDeployment:
        fields: Json = {"namespace": plane.namespace, "deployment": "shop", **more}
        if canary:
            fields |= {"canary": "shop-canary", "replicas": 4, **more}
        fields |= {"kubeconfig": plane.kubeconfig(tmp_path), "request_seconds": 5}
        fields |= {"timeout_seconds": seconds, "poll_seconds": 0.01}
        made.append(KubernetesDeployment(DeploymentOptions(**fields)))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def alone(plane: ControlPlane, kubelet: Kubelet) -> None:
    """One Deployment that runs the canary's release."""
    assert not kubelet.broken
    plane.made("deployments", deployment("shop", f"registry/shop:2@{NEW}", 3))
    rolled_out(plane, "shop")


@pytest.fixture
def both(plane: ControlPlane, kubelet: Kubelet) -> None:
    """A Deployment and a canary of no replicas beside it."""
    assert not kubelet.broken
    plane.made("deployments", deployment("shop", f"registry/shop@{OLD}", 4))
    plane.made("deployments", deployment("shop-canary", f"registry/shop@{NEW}", 0))
    rolled_out(plane, "shop")


def split(plane: ControlPlane) -> tuple[int, int]:
    """Return how many pods of the canary and of the other one serve."""
    return tuple(
        plane.got(f"deployments/{name}").get("status", {}).get("availableReplicas", 0)
        for name in ("shop-canary", "shop")
    )


def images(plane: ControlPlane, name: str = "shop") -> set[str]:
    return {
        each["spec"]["containers"][0]["image"]
        for each in plane.items(f"pods?labelSelector=of%3D{name}")
    }


# One Deployment ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("alone")
def test_a_rollback_is_a_new_revision_with_the_old_digest(
    plane: ControlPlane, acting: Acting
) -> None:
    actuator, back = acting(), order(Deed.ROLL_BACK, fence=3)
    assert actuator.look(back) is Found.NOT_DONE
    said = actuator.carry_out(back)
    assert f"registry/shop@{OLD}" in said
    assert actuator.look(back) is Found.DONE
    assert images(plane) == {f"registry/shop@{OLD}"}
    annotations = plane.got("deployments/shop")["metadata"]["annotations"]
    assert annotations[REVISION] == "2"
    assert annotations["deploymark.dev/fence"] == "3"
    assert annotations["deploymark.dev/order"] == back.key
    assert annotations["deploymark.dev/decision"] == str(back.decision_index)
    told = plane.got("deployments/shop")["spec"]["template"]["metadata"]["annotations"]
    assert told == {"deploymark.dev/deployment-id": STABLE.deployment}


@pytest.mark.usefixtures("alone")
def test_the_same_order_again_changes_nothing(plane: ControlPlane, acting: Acting) -> None:
    acting().carry_out(order(Deed.ROLL_BACK))
    before = plane.got("deployments/shop")["metadata"]["resourceVersion"]
    acting().carry_out(order(Deed.ROLL_BACK))
    assert plane.got("deployments/shop")["metadata"]["resourceVersion"] == before


@pytest.mark.usefixtures("alone")
def test_what_is_promoted_already_is_only_marked(plane: ControlPlane, acting: Acting) -> None:
    actuator = acting()
    assert actuator.look(order(Deed.PROMOTE)) is Found.DONE
    before = plane.got("deployments/shop")
    actuator.carry_out(order(Deed.PROMOTE))
    found = plane.got("deployments/shop")
    assert found["metadata"]["annotations"][REVISION] == "1"
    assert found["spec"] == before["spec"]


@pytest.mark.usefixtures("alone")
def test_one_deployment_splits_no_traffic(acting: Acting) -> None:
    with pytest.raises(ActuatorRefusedError, match="no canary"):
        acting().carry_out(order(Deed.SHIFT, 25))
    assert acting().look(order(Deed.SHIFT, 25)) is Found.NOT_DONE


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("stable", [None, Release("d-old~1", "1", "")])
def test_there_is_no_way_back_to_what_is_not_known(
    plane: ControlPlane, acting: Acting, stable: Release | None
) -> None:
    with pytest.raises(ActuatorRefusedError):
        acting().carry_out(order(Deed.ROLL_BACK, stable=stable))
    assert images(plane) == {f"registry/shop:2@{NEW}"}


@pytest.mark.usefixtures("alone")
def test_a_paused_deployment_is_refused(plane: ControlPlane, acting: Acting) -> None:
    plane.patched("deployments/shop", {"spec": {"paused": True}})
    with pytest.raises(ActuatorRefusedError, match="paused"):
        acting().carry_out(order(Deed.ROLL_BACK))
    template = plane.got("deployments/shop")["spec"]["template"]
    assert template["spec"]["containers"][0]["image"] == f"registry/shop:2@{NEW}"


def test_of_several_containers_only_the_named_one_is_set(
    plane: ControlPlane, kubelet: Kubelet, acting: Acting
) -> None:
    assert not kubelet.broken
    made = deployment("shop", f"registry/shop@{NEW}", 1)
    containers: list[Json] = made["spec"]["template"]["spec"]["containers"]
    containers.append({"name": "proxy", "image": "proxy:1", "args": ["--quiet"]})
    plane.made("deployments", made)
    with pytest.raises(ActuatorRefusedError, match="app, proxy"):
        acting().carry_out(order(Deed.ROLL_BACK))
    acting(container="app").carry_out(order(Deed.ROLL_BACK))
    found = plane.got("deployments/shop")["spec"]["template"]["spec"]["containers"]
    assert [each["image"] for each in found] == [f"registry/shop@{OLD}", "proxy:1"]
    assert found[1]["args"] == ["--quiet"]


@pytest.mark.usefixtures("alone")
def test_a_release_that_never_serves_leaves_the_outcome_unknown(
    plane: ControlPlane, kubelet: Kubelet, acting: Acting
) -> None:
    kubelet.broken.add(OLD)
    with pytest.raises(OutcomeUnknownError, match="not yet so"):
        acting(seconds=0.2).carry_out(order(Deed.ROLL_BACK))
    # What was ordered stays ordered: it is not so yet, and becomes so when its pods serve.
    actuator = acting()
    assert actuator.look(order(Deed.ROLL_BACK)) is Found.NOT_DONE
    kubelet.broken.clear()
    rolled_out(plane, "shop")
    assert actuator.look(order(Deed.ROLL_BACK)) is Found.DONE


@pytest.mark.usefixtures("alone", "only_the_double")
def test_a_rollout_that_the_cluster_gave_up_is_said_at_once(
    plane: ControlPlane, kubelet: Kubelet, acting: Acting
) -> None:
    kubelet.broken.add(OLD)
    with pytest.raises(OutcomeUnknownError):
        acting(seconds=0.1).carry_out(order(Deed.ROLL_BACK))
    status = plane.got("deployments/shop")["status"]
    failed = {"type": "Progressing", "status": "False", "message": "ReplicaSet has timed out"}
    given_up = {**status, "conditions": [failed]}
    plane.double.store._busy = True  # the controller says nothing of its own any more
    plane.patched("deployments/shop/status", {"status": given_up})
    with pytest.raises(OutcomeUnknownError, match="has timed out"):
        acting().carry_out(order(Deed.ROLL_BACK))
    assert acting().look(order(Deed.ROLL_BACK)) is Found.NOT_DONE


# A canary beside it ------------------------------------------------------------------------------


@pytest.mark.usefixtures("both")
def test_traffic_is_split_by_pods(plane: ControlPlane, acting: Acting) -> None:
    actuator = acting(canary=True)
    for weight, share in ((25, 1), (5, 1), (60, 2), (99, 3), (100, 4), (0, 0)):
        shift = order(Deed.SHIFT, weight)
        assert f"{share} of 4 replicas" in actuator.carry_out(shift)
        assert split(plane) == (share, 4 - share)
        assert actuator.look(shift) is Found.DONE
    assert actuator.look(order(Deed.SHIFT, 100)) is Found.NOT_DONE


@pytest.mark.usefixtures("both")
def test_a_promotion_gives_the_digest_to_the_stable_deployment(
    plane: ControlPlane, acting: Acting
) -> None:
    actuator = acting(canary=True)
    actuator.carry_out(order(Deed.SHIFT, 50))
    assert actuator.look(order(Deed.PROMOTE)) is Found.NOT_DONE
    actuator.carry_out(order(Deed.PROMOTE))
    assert split(plane) == (0, 4)
    assert images(plane) == {f"registry/shop@{NEW}"}
    assert actuator.look(order(Deed.PROMOTE)) is Found.DONE


@pytest.mark.usefixtures("both")
def test_a_rollback_takes_the_canary_away_and_restarts_nobody(
    plane: ControlPlane, acting: Acting
) -> None:
    actuator = acting(canary=True)
    actuator.carry_out(order(Deed.SHIFT, 50))
    before = plane.got("deployments/shop")["metadata"]["annotations"][REVISION]
    actuator.carry_out(order(Deed.ROLL_BACK))
    assert split(plane) == (0, 4)
    assert plane.got("deployments/shop")["metadata"]["annotations"][REVISION] == before
    assert actuator.look(order(Deed.ROLL_BACK)) is Found.DONE


@pytest.mark.usefixtures("both")
def test_a_promotion_that_was_begun_is_rolled_back_as_well(
    plane: ControlPlane, acting: Acting
) -> None:
    image = {"name": "app", "image": f"registry/shop@{NEW}"}
    patch = {"spec": {"template": {"spec": {"containers": [image]}}}}
    plane.patched("deployments/shop", patch)
    actuator = acting(canary=True)
    assert actuator.look(order(Deed.ROLL_BACK)) is Found.NOT_DONE
    actuator.carry_out(order(Deed.ROLL_BACK))
    assert images(plane) == {f"registry/shop@{OLD}"}


@pytest.mark.usefixtures("both")
def test_no_traffic_goes_to_another_release_than_was_ordered(
    plane: ControlPlane, acting: Acting
) -> None:
    other = Release("d-other~1", "3", digest("other"))
    for wrong in (order(Deed.SHIFT, 25, canary=other), order(Deed.SHIFT, 25, stable=other)):
        with pytest.raises(ActuatorRefusedError, match="not that of"):
            acting(canary=True).carry_out(wrong)
        assert acting(canary=True).look(wrong) is Found.NOT_DONE
    assert split(plane) == (0, 4)


def test_a_share_of_the_pods_is_rounded_down_and_at_least_one() -> None:
    shares = {5: 1, 10: 1, 19.9: 1, 20: 2, 25: 2, 33: 3, 50: 5, 99.9: 9, 100: 10, 0: 0}
    assert {weight: canary_replicas(10, weight) for weight in shares} == shares
    assert [canary_replicas(1, weight) for weight in (1, 99, 100)] == [1, 1, 1]


# Fences and failures -----------------------------------------------------------------------------


@pytest.mark.usefixtures("both")
def test_an_older_holder_of_the_lease_is_refused(plane: ControlPlane, acting: Acting) -> None:
    acting(canary=True).carry_out(order(Deed.SHIFT, 25, fence=7))
    late = acting(canary=True)
    with pytest.raises(ActuatorRefusedError, match="newer holder"):
        late.carry_out(order(Deed.SHIFT, 100, fence=6))
    assert split(plane) == (1, 3)
    late.carry_out(order(Deed.SHIFT, 50, fence=7))
    late.carry_out(order(Deed.SHIFT, 50, fence=9))
    with pytest.raises(ActuatorRefusedError):
        late.carry_out(order(Deed.SHIFT, 75, fence=8))


@pytest.mark.usefixtures("alone")
def test_a_fence_that_is_no_number_stops_everything(plane: ControlPlane, acting: Acting) -> None:
    broken = {"metadata": {"annotations": {"deploymark.dev/fence": "seven"}}}
    plane.patched("deployments/shop", broken)
    with pytest.raises(ActuatorRefusedError, match="no number"):
        acting().carry_out(order(Deed.ROLL_BACK))


@pytest.mark.usefixtures("alone")
def test_who_writes_between_reading_and_writing_is_read_again(
    plane: ControlPlane, acting: Acting, monkeypatch: pytest.MonkeyPatch
) -> None:
    actuator = acting()
    read, left = actuator._objects.cluster.read, [3]

    def meddled(kind: Kind, namespace: str, name: str) -> Mapping[str, object]:
        found = read(kind, namespace, name)
        if left[0]:
            left[0] -= 1
            told = {"metadata": {"annotations": {"somebody": str(left[0])}}}
            plane.patched("deployments/shop", told)
        return found

    monkeypatch.setattr(actuator._objects.cluster, "read", meddled)
    actuator.carry_out(order(Deed.ROLL_BACK))
    annotations = plane.got("deployments/shop")["metadata"]["annotations"]
    assert annotations["somebody"] == "0"
    assert images(plane) == {f"registry/shop@{OLD}"}


@pytest.mark.usefixtures("alone", "only_the_double")
def test_while_the_api_is_away_nothing_is_done(plane: ControlPlane, acting: Acting) -> None:
    plane.double.away = True
    actuator = acting()
    with pytest.raises(ActuatorUnavailableError):
        actuator.carry_out(order(Deed.ROLL_BACK))
    with pytest.raises(ActuatorUnavailableError):
        actuator.look(order(Deed.ROLL_BACK))
    plane.double.away = False
    actuator.carry_out(order(Deed.ROLL_BACK))


@pytest.mark.usefixtures("alone", "only_the_double")
def test_who_may_not_is_refused_and_cannot_look(plane: ControlPlane, acting: Acting) -> None:
    rule = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]}
    plane.double.roles[ADAPTER] = [rule]
    actuator = acting()
    with pytest.raises(ActuatorRefusedError, match="cannot patch"):
        actuator.carry_out(order(Deed.ROLL_BACK))
    plane.double.roles[ADAPTER] = []
    assert actuator.look(order(Deed.ROLL_BACK)) is Found.UNKNOWN


@pytest.mark.usefixtures("alone", "only_the_double")
def test_a_write_without_an_answer_is_looked_for(plane: ControlPlane, acting: Acting) -> None:
    plane.double.mute_next_write = True
    acting().carry_out(order(Deed.ROLL_BACK))
    assert images(plane) == {f"registry/shop@{OLD}"}


@pytest.mark.usefixtures("alone", "only_the_double")
def test_a_write_without_an_answer_that_cannot_be_looked_for_is_unknown(
    plane: ControlPlane, acting: Acting
) -> None:
    plane.double.deaf_after_write = True
    with pytest.raises(OutcomeUnknownError):
        acting().carry_out(order(Deed.ROLL_BACK))


@pytest.mark.usefixtures("both", "only_the_double")
def test_what_was_done_in_part_is_never_called_undone(plane: ControlPlane, acting: Acting) -> None:
    deployments = {"apiGroups": ["apps"], "resources": ["deployments"]}
    plane.double.roles[ADAPTER] = [
        {**deployments, "verbs": ["get"]},
        {**deployments, "verbs": ["patch"], "resourceNames": ["shop-canary"]},
    ]
    with pytest.raises(OutcomeUnknownError, match="Only a part"):
        acting(canary=True).carry_out(order(Deed.SHIFT, 50))


@pytest.mark.parametrize(
    "fields",
    [
        {"namespace": "", "deployment": "shop"},
        {"namespace": "prod", "deployment": ""},
        {"namespace": "prod", "deployment": "shop", "canary": "shop-canary"},
        {"namespace": "prod", "deployment": "shop", "canary": "shop", "replicas": 3},
    ],
)
def test_a_target_that_says_too_little_is_refused(fields: Json) -> None:
    with pytest.raises(UsageError):
        DeploymentOptions(**fields)


def test_it_is_named_for_what_it_acts_on(acting: Acting, plane: ControlPlane) -> None:
    assert acting().name == f"kubernetes_deployment:{plane.namespace}/shop"


@pytest.mark.usefixtures("both", "only_the_double")
def test_the_shipped_role_is_enough_to_act(plane: ControlPlane, acting: Acting) -> None:
    plane.double.roles[ADAPTER] = rules_of("deployment.yaml")
    actuator = acting(canary=True)
    for each in (order(Deed.SHIFT, 50), order(Deed.PROMOTE)):
        actuator.carry_out(each)
        assert actuator.look(each) is Found.DONE
    assert split(plane) == (0, 4)
