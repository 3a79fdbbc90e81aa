"""What the API server checks of an object beside its fields, as far as our adapters can meet it."""

from collections.abc import Mapping
from typing import Any, Final

_POD_MAY_CHANGE: Final = frozenset(("activeDeadlineSeconds", "tolerations"))
_WORKLOADS: Final = frozenset(("Deployment", "ReplicaSet"))

Content = Mapping[str, Any]


class RuleError(Exception):
    """An object breaks a rule; the API server answers 422."""


def check_rules(kind: str, content: Any, before: Content | None) -> None:  # noqa: ANN401 - a dict that gets defaults
    """Refuse what the API server refuses, and set what it sets.

    Args:
        kind: Of the object.
        content: As it shall be; gets the defaults.
        before: As it was; None when it is new.

    Raises:
        RuleError: Says which field, and why.
    """
    spec = content["spec"]
    if kind == "Pod":
        _check_containers(spec)
        if before is not None:
            _check_pod_change(spec, before["spec"])
        return
    if spec.get("replicas") is None and kind in _WORKLOADS:
        spec["replicas"] = 1
    if (spec.get("replicas") or 0) < 0:
        raise RuleError("spec.replicas: Invalid value: must be greater than or equal to 0")
    if kind not in _WORKLOADS:
        return
    _check_containers(spec["template"].get("spec") or {})
    selector = spec["selector"].get("matchLabels") or {}
    if before is not None and before["spec"]["selector"] != spec["selector"]:
        raise RuleError("spec.selector: Invalid value: field is immutable")
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    if not selector or not selector.items() <= labels.items():
        raise RuleError(
            "spec.template.metadata.labels: Invalid value: `selector` does not match template "
            "`labels`"
        )


def _check_containers(spec: Content) -> None:
    containers = spec.get("containers") or []
    if not containers:
        raise RuleError("spec.containers: Required value")
    names = [each.get("name") for each in containers]
    if len(set(names)) != len(names):
        raise RuleError("spec.containers.name: Duplicate value")
    if not all(each.get("image") for each in containers):
        raise RuleError("spec.containers.image: Required value")


def _check_pod_change(spec: Content, before: Content) -> None:
    def fixed(content: Content) -> dict[str, Any]:
        containers = [{**each, "image": ""} for each in content["containers"]]
        kept = {name: each for name, each in content.items() if name not in _POD_MAY_CHANGE}
        return {**kept, "containers": containers}

    if fixed(spec) != fixed(before):
        raise RuleError(
            "spec: Forbidden: pod updates may not change fields other than "
            "`spec.containers[*].image`"
        )
