"""The actuator of Argo's Rollouts: what it writes, what it leaves to Argo, what it refuses."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from argo_controller import ArgoController
from control_plane import ADAPTER, SECONDS, ControlPlane, Json, deployment, digest, rules_of
from ordering import CANARY, NEW, OLD, STABLE, order

from deploymark.errors import (
    ActuatorRefusedError,
    ActuatorUnavailableError,
    OutcomeUnknownError,
    UsageError,
)
from deploymark.integrations.argo_rollouts.actuator import ArgoRollout, RolloutOptions
from deploymark.integrations.argo_rollouts.state import Hold, holds_of
from deploymark.ports import Deed, Found, Release

Acting = Callable[..., ArgoRollout]
STEPS: list[Json] = [
    {"setWeight": 5},
    {"pause": {}},
    {"setCanaryScale": {"weight": 50}},
    {"setWeight": 25},
    {"pause": {}},
    {"setWeight": 50},
    {"pause": {"duration": "10m"}},
]


@pytest.fixture
def acting(plane: ControlPlane, tmp_path: Path) -> Iterator[Acting]:
    made: list[ArgoRollout] = []

    def make(seconds: float = SECONDS, container: str = "") -> ArgoRollout:
        options = RolloutOptions(
            namespace=plane.namespace,
            rollout="shop",
            kubeconfig=plane.kubeconfig(tmp_path),
            request_seconds=5,
            timeout_seconds=seconds,
            poll_seconds=0.01,
            container=container,
        )
        made.append(ArgoRollout(options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def argo(plane: ControlPlane) -> Iterator[ArgoController]:
    with ArgoController(plane) as found:
        yield found


def made(plane: ControlPlane, strategy: Json, image: str = f"registry/shop@{OLD}") -> None:
    template = deployment("shop", image, 4)["spec"]["template"]
    template["spec"]["containers"].append({"name": "proxy", "image": "proxy:1"})
    plane.made(
        "rollouts",
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "metadata": {"name": "shop"},
            "spec": {"replicas": 4, "strategy": strategy, "template": template},
        },
    )
    await_so(plane, lambda found: found["status"]["phase"] == "Healthy")


def await_so(plane: ControlPlane, is_so: Callable[[Json], bool]) -> Json:
    found: Json = {}
    for _ in range(SECONDS * 50):
        found = plane.got("rollouts/shop")
        if found.get("status") and is_so(found):
            return found
        time.sleep(0.02)
    raise AssertionError(found)


def deploy(plane: ControlPlane, image: str = f"registry/shop@{NEW}") -> None:
    """Do as CI does: name the new release in the template."""
    containers = plane.got("rollouts/shop")["spec"]["template"]["spec"]["containers"]
    containers[0]["image"] = image
    plane.patched("rollouts/shop", {"spec": {"template": {"spec": {"containers": containers}}}})


def paused_at(step: int) -> Callable[[Json], bool]:
    return lambda found: (
        found["status"].get("currentStepIndex") == step
        and bool(found["status"].get("pauseConditions"))
    )


@pytest.fixture(params=["by pods", "by routes"])
def canary(request: pytest.FixtureRequest, plane: ControlPlane) -> None:
    """A Rollout at its first pause, with and without traffic routing."""
    request.getfixturevalue("argo")
    strategy: Json = {"canary": {"steps": STEPS}}
    if request.param == "by routes":
        strategy["canary"]["trafficRouting"] = {"nginx": {"stableIngress": "shop"}}
    made(plane, strategy)
    deploy(plane)
    await_so(plane, paused_at(1))


def image(plane: ControlPlane) -> str:
    found = plane.got("rollouts/shop")["spec"]["template"]["spec"]["containers"]
    assert found[1] == {"name": "proxy", "image": "proxy:1"}
    return str(found[0]["image"])


@pytest.mark.usefixtures("canary")
def test_a_weight_is_reached_by_letting_argo_on(plane: ControlPlane, acting: Acting) -> None:
    actuator = acting(container="app")
    assert actuator.look(order(Deed.SHIFT, 5)) is Found.DONE
    assert actuator.look(order(Deed.SHIFT, 25)) is Found.NOT_DONE
    said = actuator.carry_out(order(Deed.SHIFT, 25, fence=4))
    assert "25 %" in said
    found = plane.got("rollouts/shop")
    assert paused_at(4)(found)
    assert found["metadata"]["annotations"]["deploymark.dev/fence"] == "4"
    assert actuator.look(order(Deed.SHIFT, 25)) is Found.DONE
    assert actuator.look(order(Deed.SHIFT, 5)) is Found.NOT_DONE
    before = found["metadata"]["resourceVersion"]
    actuator.carry_out(order(Deed.SHIFT, 25, fence=4))
    assert plane.got("rollouts/shop")["metadata"]["resourceVersion"] == before


@pytest.mark.usefixtures("canary")
@pytest.mark.parametrize(
    ("weight", "why"),
    [(10, "wait at 5 %, 25 %"), (50, "does not wait at 50"), (5.5, "whole percents")],
)
def test_a_weight_that_the_steps_do_not_hold_is_refused(
    plane: ControlPlane, acting: Acting, weight: float, why: str
) -> None:
    with pytest.raises(ActuatorRefusedError, match=why):
        acting(container="app").carry_out(order(Deed.SHIFT, weight))
    assert acting(container="app").look(order(Deed.SHIFT, weight)) is Found.NOT_DONE
    assert "annotations" not in plane.got("rollouts/shop")["metadata"]


@pytest.mark.usefixtures("canary")
def test_argo_does_not_go_back_to_a_lower_weight(acting: Acting) -> None:
    actuator = acting(container="app")
    actuator.carry_out(order(Deed.SHIFT, 25))
    with pytest.raises(ActuatorRefusedError, match="does not go back"):
        actuator.carry_out(order(Deed.SHIFT, 5))


@pytest.mark.usefixtures("canary")
def test_a_promotion_skips_what_is_left(plane: ControlPlane, acting: Acting) -> None:
    plane.patched("rollouts/shop", {"spec": {"paused": True}})
    actuator = acting(container="app")
    assert actuator.look(order(Deed.PROMOTE)) is Found.NOT_DONE
    assert NEW in actuator.carry_out(order(Deed.PROMOTE))
    found = plane.got("rollouts/shop")
    assert found["status"]["stableRS"] == found["status"]["currentPodHash"]
    assert found["status"]["phase"] == "Healthy"
    assert not found["spec"]["paused"]
    assert actuator.look(order(Deed.PROMOTE)) is Found.DONE
    actuator.carry_out(order(Deed.PROMOTE))  # and again is nothing


@pytest.mark.usefixtures("canary")
def test_a_rollback_under_way_is_an_abort(plane: ControlPlane, acting: Acting) -> None:
    actuator = acting(container="app")
    assert actuator.look(order(Deed.ROLL_BACK)) is Found.NOT_DONE
    assert "aborted" in actuator.carry_out(order(Deed.ROLL_BACK))
    found = plane.got("rollouts/shop")
    assert found["status"]["abort"]
    assert found["status"]["phase"] == "Degraded"
    assert image(plane) == f"registry/shop@{NEW}"  # whoever corrects it begins anew
    assert actuator.look(order(Deed.ROLL_BACK)) is Found.DONE
    with pytest.raises(ActuatorRefusedError, match="is aborted"):
        actuator.carry_out(order(Deed.SHIFT, 25))


@pytest.mark.usefixtures("canary")
def test_a_rollback_of_what_has_ended_sets_the_digest_and_skips_the_steps(
    plane: ControlPlane, acting: Acting
) -> None:
    actuator = acting(container="app")
    actuator.carry_out(order(Deed.PROMOTE))
    assert actuator.look(order(Deed.ROLL_BACK)) is Found.NOT_DONE
    actuator.carry_out(order(Deed.ROLL_BACK))
    assert image(plane) == f"registry/shop@{OLD}"
    found = plane.got("rollouts/shop")
    assert found["status"]["stableRS"] == found["status"]["currentPodHash"]
    assert actuator.look(order(Deed.ROLL_BACK)) is Found.DONE
    assert actuator.look(order(Deed.PROMOTE)) is Found.NOT_DONE


@pytest.mark.usefixtures("canary")
def test_an_abort_that_leads_elsewhere_is_refused(plane: ControlPlane, acting: Acting) -> None:
    other = Release("d-other~1", "0", digest("other"))
    with pytest.raises(ActuatorRefusedError, match="Argo would return to"):
        acting(container="app").carry_out(order(Deed.ROLL_BACK, stable=other))
    assert not plane.got("rollouts/shop")["status"].get("abort")


@pytest.mark.usefixtures("canary")
@pytest.mark.parametrize("stable", [None, Release("d-old~1", "1", "")])
def test_there_is_no_way_back_to_what_is_not_known(acting: Acting, stable: Release | None) -> None:
    with pytest.raises(ActuatorRefusedError):
        acting(container="app").carry_out(order(Deed.ROLL_BACK, stable=stable))
    assert acting(container="app").look(order(Deed.ROLL_BACK, stable=stable)) is Found.NOT_DONE


@pytest.mark.usefixtures("canary")
@pytest.mark.parametrize("deed", [Deed.SHIFT, Deed.PROMOTE])
def test_another_release_than_was_ordered_gets_nothing(acting: Acting, deed: Deed) -> None:
    other = Release("d-other~1", "3", digest("other"))
    with pytest.raises(ActuatorRefusedError, match="not that of the release"):
        acting(container="app").carry_out(order(deed, 25, canary=other))
    assert acting(container="app").look(order(deed, 25, canary=other)) is Found.NOT_DONE


@pytest.mark.usefixtures("canary")
def test_an_older_holder_of_the_lease_is_refused(plane: ControlPlane, acting: Acting) -> None:
    acting(container="app").carry_out(order(Deed.SHIFT, 5, fence=7))
    with pytest.raises(ActuatorRefusedError, match="newer holder"):
        acting(container="app").carry_out(order(Deed.PROMOTE, fence=6))
    assert paused_at(1)(plane.got("rollouts/shop"))


@pytest.mark.usefixtures("canary")
def test_which_container_is_the_service_must_be_said(acting: Acting) -> None:
    with pytest.raises(ActuatorRefusedError, match="app, proxy"):
        acting().carry_out(order(Deed.PROMOTE))


@pytest.mark.usefixtures("argo")
def test_blue_green_is_promoted_and_aborted_and_never_split(
    plane: ControlPlane, acting: Acting
) -> None:
    made(plane, {"blueGreen": {"activeService": "shop", "autoPromotionEnabled": False}})
    deploy(plane)
    await_so(plane, lambda found: found["status"]["phase"] == "Paused")
    actuator = acting(container="app")
    with pytest.raises(ActuatorRefusedError, match="blue/green"):
        actuator.carry_out(order(Deed.SHIFT, 5))
    actuator.carry_out(order(Deed.ROLL_BACK))
    assert plane.got("rollouts/shop")["status"]["abort"]
    actuator.carry_out(order(Deed.PROMOTE))  # somebody decided otherwise
    assert actuator.look(order(Deed.PROMOTE)) is Found.DONE


@pytest.mark.usefixtures("argo")
def test_a_template_that_stands_elsewhere_cannot_be_acted_on(
    plane: ControlPlane, acting: Acting
) -> None:
    made(plane, {"canary": {"steps": STEPS}})
    patch = {"spec": {"workloadRef": {"kind": "Deployment", "name": "shop"}}}
    plane.patched("rollouts/shop", patch)
    with pytest.raises(ActuatorRefusedError, match="workloadRef"):
        acting(container="app").carry_out(order(Deed.PROMOTE))
    assert acting(container="app").look(order(Deed.PROMOTE)) is Found.UNKNOWN


def test_while_argo_sleeps_the_outcome_is_unknown(plane: ControlPlane, acting: Acting) -> None:
    with ArgoController(plane):
        made(plane, {"canary": {"steps": STEPS}})
        deploy(plane)
        await_so(plane, paused_at(1))
    actuator = acting(0.1, container="app")
    with pytest.raises(OutcomeUnknownError, match="not yet so"):
        actuator.carry_out(order(Deed.ROLL_BACK))
    assert plane.got("rollouts/shop")["status"]["abort"]
    assert actuator.look(order(Deed.ROLL_BACK)) is Found.NOT_DONE
    with ArgoController(plane):
        await_so(plane, lambda found: found["status"]["phase"] == "Degraded")
    assert actuator.look(order(Deed.ROLL_BACK)) is Found.DONE


@pytest.mark.usefixtures("canary", "only_the_double")
def test_while_the_api_is_away_nothing_is_done(plane: ControlPlane, acting: Acting) -> None:
    actuator = acting(container="app")
    plane.double.away = True
    with pytest.raises(ActuatorUnavailableError):
        actuator.carry_out(order(Deed.PROMOTE))
    with pytest.raises(ActuatorUnavailableError):
        actuator.look(order(Deed.PROMOTE))
    plane.double.away = False
    assert paused_at(1)(plane.got("rollouts/shop"))


def test_weights_are_held_where_a_pause_has_no_end() -> None:
    assert holds_of(STEPS) == [Hold(1, 5), Hold(4, 25)]
    assert holds_of([{"pause": {}}, {"setWeight": 0}, {"pause": {"duration": 0}}]) == [
        Hold(0, 0),
        Hold(2, 0),
    ]


def test_a_target_must_be_named_and_names_the_actuator(acting: Acting, plane: ControlPlane) -> None:
    assert acting().name == f"argo_rollout:{plane.namespace}/shop"
    assert (CANARY.digest, STABLE.digest) == (NEW, OLD)
    for fields in (("", "shop"), ("prod", "")):
        with pytest.raises(UsageError):
            RolloutOptions(namespace=fields[0], rollout=fields[1])


@pytest.mark.usefixtures("canary", "only_the_double")
def test_the_shipped_role_is_enough_to_act_through_argo(
    plane: ControlPlane, acting: Acting
) -> None:
    plane.double.roles[ADAPTER] = rules_of("argo-rollout.yaml")
    actuator = acting(container="app")
    for each in (order(Deed.SHIFT, 25), order(Deed.PROMOTE), order(Deed.ROLL_BACK)):
        actuator.carry_out(each)
        assert actuator.look(each) is Found.DONE
    deploy(plane)
    await_so(plane, paused_at(1))
    actuator.carry_out(order(Deed.ROLL_BACK))
    assert actuator.look(order(Deed.ROLL_BACK)) is Found.DONE
