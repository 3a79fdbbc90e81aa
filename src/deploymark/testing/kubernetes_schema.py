"""What the double of the Kubernetes API knows of its kinds: fields, types, and keys of lists.

The fields of the built-in kinds are those of `lightkube_models`, which are made from Kubernetes'
own description of its API, so what they do not know no API server knows. Of Argo's Rollout, which
is a resource that is added to a cluster, the fields are listed here; lists in it have no keys.
"""

import functools
import types
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec
from lightkube.models import apps_v1, core_v1, meta_v1
from msgspec import Struct

from deploymark.decoding import convert

_KEYS: Final[Mapping[type, str]] = {
    core_v1.Container: "name",
    core_v1.ContainerPort: "containerPort",
    core_v1.EnvVar: "name",
    core_v1.Volume: "name",
    core_v1.VolumeMount: "mountPath",
    core_v1.LocalObjectReference: "name",
    core_v1.PodCondition: "type",
    core_v1.TopologySpreadConstraint: "topologyKey",
    apps_v1.DeploymentCondition: "type",
    apps_v1.ReplicaSetCondition: "type",
    meta_v1.OwnerReference: "uid",
}
"""By which field the items of a list are told apart when patches are merged."""


class RolloutSpec(Struct, rename="camel"):
    """`spec` of an argoproj.io/v1alpha1 Rollout."""

    strategy: dict[str, Any]
    replicas: int | None = None
    selector: meta_v1.LabelSelector | None = None
    template: core_v1.PodTemplateSpec | None = None
    workload_ref: dict[str, Any] | None = None
    min_ready_seconds: int | None = None
    rollback_window: dict[str, Any] | None = None
    revision_history_limit: int | None = None
    paused: bool | None = None
    progress_deadline_seconds: int | None = None
    progress_deadline_abort: bool | None = None
    restart_at: str | None = None
    analysis: dict[str, Any] | None = None


class RolloutStatus(Struct, rename="camel"):
    """`status` of an argoproj.io/v1alpha1 Rollout."""

    abort: bool | None = None
    aborted_at: str | None = None
    pause_conditions: list[dict[str, Any]] | None = None
    controller_pause: bool | None = None
    current_pod_hash: str | None = None
    current_step_hash: str | None = None
    current_step_index: int | None = None
    replicas: int | None = None
    updated_replicas: int | None = None
    ready_replicas: int | None = None
    available_replicas: int | None = None
    collision_count: int | None = None
    observed_generation: str | None = None
    conditions: list[dict[str, Any]] | None = None
    canary: dict[str, Any] | None = None
    blue_green: dict[str, Any] | None = None
    hpa_replicas: int | None = msgspec.field(name="HPAReplicas", default=None)
    selector: str | None = None
    stable_rs: str | None = msgspec.field(name="stableRS", default=None)
    restarted_at: str | None = None
    promote_full: bool | None = None
    phase: str | None = None
    message: str | None = None
    workload_observed_generation: str | None = None


class Rollout(Struct, rename="camel"):
    """An argoproj.io/v1alpha1 Rollout."""

    spec: RolloutSpec
    api_version: str | None = None
    kind: str | None = None
    metadata: meta_v1.ObjectMeta | None = None
    status: RolloutStatus | None = None


REVISION: Final = "deployment.kubernetes.io/revision"
"""An annotation that the controller of Deployments writes."""


class Kind(NamedTuple):
    """A kind that the double serves.

    Attributes:
        path: Of its collection, `{}` stands for the namespace.
        model: Its fields.
        merges_lists: It takes strategic merge patches, and its lists have keys.
        counts: Its `metadata.generation` counts changes of the spec.
        counts_annotations: It counts those of the annotations, too.
    """

    api_version: str
    kind: str
    plural: str
    model: type
    merges_lists: bool = True
    counts: bool = True
    counts_annotations: bool = False

    @property
    def group_path(self) -> str:
        """Where the kind is served, below the server's root."""
        return f"apis/{self.api_version}" if "/" in self.api_version else f"api/{self.api_version}"


KINDS: Final = (
    Kind("v1", "Pod", "pods", core_v1.Pod, counts=False),
    Kind("apps/v1", "Deployment", "deployments", apps_v1.Deployment, counts_annotations=True),
    Kind("apps/v1", "ReplicaSet", "replicasets", apps_v1.ReplicaSet),
    Kind("argoproj.io/v1alpha1", "Rollout", "rollouts", Rollout, merges_lists=False),
)


def problems_of(content: Any, model: Any, at: str = "") -> list[str]:  # noqa: ANN401 - any JSON
    """Return what is unknown or of the wrong type in an object, as the API server words it."""
    unknown = [f'unknown field "{name}"' for name in _unknown(content, model, at)]
    if unknown:
        return unknown
    try:
        convert(content, model)
    except msgspec.ValidationError as error:
        return [str(error)]
    return []


def _unknown(content: Any, model: Any, at: str) -> list[str]:  # noqa: ANN401 - any JSON
    if isinstance(content, list):
        inner = item_of(model)
        return [each for item in content for each in _unknown(item, inner, at)]
    if not isinstance(content, dict) or not is_struct(model):
        return []
    found = []
    for name, value in content.items():
        place = f"{at}.{name}".removeprefix(".")
        below = field_of(model, name)
        found += [place] if below is None else _unknown(value, below, place)
    return found


def is_struct(model: Any) -> bool:  # noqa: ANN401 - any type
    """Tell whether a type has fields of its own."""
    return isinstance(model, type) and issubclass(model, Struct)


def field_of(model: Any, name: str) -> Any:  # noqa: ANN401 - any type
    """Return the type of a field, None when there is none of that name; Any below free maps."""
    if not is_struct(model):
        return Any
    return _fields(model).get(name)


@functools.cache
def _fields(model: Any) -> dict[str, Any]:  # noqa: ANN401 - any type
    hints = get_type_hints(model)
    return {
        each.encode_name: _without_none(hints[each.name]) for each in msgspec.structs.fields(model)
    }


def item_of(model: Any) -> Any:  # noqa: ANN401 - any type
    """Return the type of the items of a list."""
    return get_args(model)[0] if get_origin(model) is list else Any


def key_of(model: Any) -> str:  # noqa: ANN401 - any type
    """Return by which field the items of a list are told apart, "" when it is replaced whole."""
    inner = item_of(model)
    return _KEYS.get(inner, "") if isinstance(inner, type) else ""


def _without_none(model: Any) -> Any:  # noqa: ANN401 - any type
    if get_origin(model) in (Union, types.UnionType):
        kinds = [each for each in get_args(model) if each is not type(None)]
        return kinds[0] if len(kinds) == 1 else Any
    return model
