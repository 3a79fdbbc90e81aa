"""What is read of the API's objects; everything else in them passes by unread."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from deploymark.decoding import convert

FENCE: Final = "deploymark.dev/fence"
ORDER: Final = "deploymark.dev/order"
DECISION: Final = "deploymark.dev/decision"
DEPLOYMENT_ID: Final = "deploymark.dev/deployment-id"


class Kind(NamedTuple):
    """A kind of object of the API.

    Attributes:
        group: "" for the core.
        merges_lists: It takes strategic merge patches; kinds that were added to a cluster do not.
    """

    group: str
    version: str
    kind: str
    plural: str
    merges_lists: bool = True


POD: Final = Kind("", "v1", "Pod", "pods")
DEPLOYMENT: Final = Kind("apps", "v1", "Deployment", "deployments")
REPLICA_SET: Final = Kind("apps", "v1", "ReplicaSet", "replicasets")
ROLLOUT: Final = Kind("argoproj.io", "v1alpha1", "Rollout", "rollouts", merges_lists=False)


class _Read(Struct, frozen=True, rename="camel"):
    """What all have in common."""


class Metadata(_Read, frozen=True):
    """Of any object; `deletion_timestamp` is set while it ends."""

    name: str
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    annotations: dict[str, str] = {}
    deletion_timestamp: str | None = None


class Container(_Read, frozen=True):
    """One container of a template."""

    name: str
    image: str = ""


class PodSpec(_Read, frozen=True):
    """What runs in a pod, init containers left out."""

    containers: tuple[Container, ...] = ()
    node_name: str = ""


class Template(_Read, frozen=True):
    """What pods are made from."""

    spec: PodSpec = PodSpec()


class Condition(_Read, frozen=True):
    """One condition of a status."""

    type: str
    status: str = ""
    reason: str = ""
    message: str = ""


class WorkloadSpec(_Read, frozen=True):
    """What a Deployment shall be."""

    replicas: int = 1
    paused: bool = False
    template: Template = Template()


class WorkloadStatus(_Read, frozen=True):
    """What a Deployment is, as far as its controller has come."""

    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0
    conditions: tuple[Condition, ...] = ()


class Workload(_Read, frozen=True):
    """A Deployment."""

    metadata: Metadata
    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadStatus = WorkloadStatus()

    @property
    def is_rolled_out(self) -> bool:
        """Whether all its pods are made from its template, serve, and no other is left."""
        status, wanted = self.status, self.spec.replicas
        return (
            status.observed_generation >= self.metadata.generation
            and status.updated_replicas == wanted
            and status.replicas == wanted
            and status.available_replicas >= wanted
        )

    @property
    def stuck(self) -> str:
        """Why the controller gave up on the template as it is, "" while it did not."""
        if self.status.observed_generation < self.metadata.generation:
            return ""
        for each in self.status.conditions:
            if each.type == "Progressing" and each.status == "False":
                return each.message or each.reason
        return ""


class ContainerState(_Read, frozen=True):
    """How a container is: running when `running` is there."""

    running: dict[str, Any] | None = None


class ContainerStatus(_Read, frozen=True):
    """What a node says of one container."""

    name: str
    image_id: str = msgspec.field(name="imageID", default="")
    container_id: str = msgspec.field(name="containerID", default="")
    state: ContainerState = ContainerState()

    @property
    def number(self) -> str:
        """The container's id without the name of what runs it."""
        return self.container_id.rpartition("://")[2]


class PodStatus(_Read, frozen=True):
    """What a node says of a pod."""

    phase: str = ""
    container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(_Read, frozen=True):
    """A pod."""

    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


def container_of(containers: tuple[Container, ...], named: str) -> tuple[Container | None, str]:
    """Return the container that is the service.

    Args:
        containers: Those of a pod or a template.
        named: Which one; "" when there is only one.

    Returns:
        It and "", or None and a sentence that says why there is none.
    """
    if named:
        found = next((each for each in containers if each.name == named), None)
        return found, "" if found else f"There is no container {named!r} in it."
    if len(containers) == 1:
        return containers[0], ""
    names = ", ".join(each.name for each in containers)
    return None, f"It has the containers {names}, and none is named as the service."


def read_as(kind: type[Workload] | type[Pod], content: Mapping[str, Any]) -> Any:  # noqa: ANN401 - of the kind asked for
    """Read an object; raises msgspec.ValidationError when it is none of that kind."""
    return convert(content, kind)
