"""The observer of pods: an `Observer` of what the nodes of a cluster say that a service runs.

The word is the node's, not the pod's: the image id in the status is written by the kubelet from
what it pulled. An instance is one container, and its uid is `<pod uid>/<container id>`: the
container's number and not its name, because a container that is started again may be of another
image. It is the text that OpenTelemetry's resources lead to (`telemetry.resource`).
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from deploymark.decoding import convert
from deploymark.errors import (
    ActuatorRefusedError,
    ActuatorUnavailableError,
    ObservationError,
    UsageError,
)
from deploymark.integrations.kubernetes.access import Access
from deploymark.integrations.kubernetes.connecting import connect
from deploymark.integrations.kubernetes.images import running_digest
from deploymark.integrations.kubernetes.objects import (
    POD,
    ContainerStatus,
    Pod,
    container_of,
)
from deploymark.ports import ObservedInstance

_POD_UID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NUMBER: Final = re.compile(r"[0-9a-f]{64}")
_OVER: Final = frozenset(("Succeeded", "Failed"))
_HINT: Final = (
    "Check cluster and credentials; deploy/kubernetes/observer.yaml says which rights it needs."
)


class PodsOptions(Access, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which pods are instances of a service, and which cluster they run in.

    Attributes:
        namespace: Where they run.
        labels: All of them must be on the pod.
        container: Which container is the service; "" where pods have only one.
        cluster: What the cluster is called, for people; "" when there is only one.
    """

    namespace: str
    labels: dict[str, str]
    container: str = ""
    cluster: str = ""

    def __post_init__(self) -> None:
        if not (self.namespace and self.labels):
            raise UsageError(
                "Nothing says which pods belong to the service.",
                hint="Name a namespace and at least one label.",
            )


class KubernetesPods:
    """Sees the pods of one service in one namespace; only reads.

    Args:
        options: Which pods.

    Raises:
        ExtraMissingError: lightkube is not installed.
        UsageError: The kubeconfig cannot be used.
    """

    def __init__(self, options: PodsOptions) -> None:
        self._options = options
        self._cluster = connect(options)

    def close(self) -> None:
        """Close the connections."""
        self._cluster.close()

    @property
    def name(self) -> str:
        """See `Observer.name`."""
        place = filter(None, (self._options.cluster, self._options.namespace))
        return f"kubernetes-pods:{'/'.join(place)}"

    def observe(self) -> Sequence[ObservedInstance]:
        """See `Observer.observe`."""
        seen = (self._look_at(pod) for pod in self._pods(self._options.labels))
        return [each for each in seen if each is not None]

    def ended(self, uids: Collection[str]) -> frozenset[str]:
        """See `Observer.ended`; asks for all pods of the namespace, labels can be changed."""
        ours = [uid for uid in uids if _POD_UID.fullmatch(uid.partition("/")[0])]
        if not ours:
            return frozenset()
        try:
            pods = {each.metadata.uid: each for each in self._pods({})}
        except ObservationError:
            return frozenset()
        return frozenset(uid for uid in ours if _has_ended(uid, pods))

    def _pods(self, labels: Mapping[str, str]) -> list[Pod]:
        try:
            found = self._cluster.listed(POD, self._options.namespace, labels)
            return [convert(each, Pod) for each in found]
        except (ActuatorUnavailableError, ActuatorRefusedError) as error:
            raise ObservationError(error.message, hint=_HINT) from error
        except msgspec.ValidationError as error:
            raise ObservationError(
                f"The Kubernetes API answers with no pod: {error}.", hint=_HINT
            ) from error

    def _look_at(self, pod: Pod) -> ObservedInstance | None:
        """Return what a pod runs; None when it runs nothing, or is about to end."""
        if pod.metadata.deletion_timestamp or pod.status.phase in _OVER:
            return None
        name = f"pod/{pod.metadata.name}"
        place = {"node": pod.spec.node_name} if pod.spec.node_name else {}
        container, why = container_of(pod.spec.containers, self._options.container)
        if container is None:
            return ObservedInstance(pod.metadata.uid, name, "", why, place)
        status = _status_of(pod, container.name)
        if status is None or status.state.running is None:
            return None
        digest, why = running_digest(status.image_id)
        uid = f"{pod.metadata.uid}/{status.number or container.name}"
        return ObservedInstance(uid, name, digest, why, place)


def _status_of(pod: Pod, container: str) -> ContainerStatus | None:
    return next((each for each in pod.status.container_statuses if each.name == container), None)


def _has_ended(uid: str, pods: Mapping[str, Pod]) -> bool:
    pod_uid, _, container = uid.partition("/")
    pod = pods.get(pod_uid)
    return pod is None or pod.status.phase in _OVER or _is_another(pod, container)


def _is_another(pod: Pod, container: str) -> bool:
    """Whether a container that ran in a pod has certainly ended, while the pod runs."""
    if not _NUMBER.fullmatch(container):
        return False  # a name, which the next container has as well
    now = (each for each in pod.status.container_statuses if each.state.running is not None)
    return all(each.number != container for each in now)
