"""Who reports: service, environment, deployment, instance, place, from a resource. Pure.

An SDK need not say which instance it is (those of Python and Node do not, by default). The
instance is then derived, from what names a process best:

1. `service.instance.id`;
2. `k8s.pod.uid` with `container.id`, else `k8s.container.name`;
3. `container.id` with `process.pid`;
4. `host.id`, else `host.name`, with `process.pid` and `process.creation.time`;
5. all attributes together: processes that say the same count as one instance.

What does not come from the resource itself, such as the address of the connection, is never
used: a collector in between would turn all instances into one. A marker that is made from a
derived instance says from what, in the label `instance_from`.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from deploymark.errors import IdError, RequestError
from deploymark.model.ids import encode_id, parse_occurrence
from deploymark.model.vocabulary import (
    ARTIFACT_DIGEST,
    CONFIRMS_ITSELF,
    CONTAINER_REPO_DIGESTS,
    DEPLOYMENT_ENVIRONMENT,
    DEPLOYMENT_ENVIRONMENT_DEPRECATED,
    DEPLOYMENT_ID,
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    SERVICE_VERSION,
    VCS_REVISION,
)
from deploymark.telemetry.limits import VALUE_BYTES
from deploymark.telemetry.text import shown

UNKNOWN_SERVICE: Final = "unknown_service"
"""What OpenTelemetry's SDKs call a service that nobody named."""

_DIGEST: Final = re.compile(r"(?:(?P<name>[^@\s]{1,2000})@)?(?P<digest>sha256:[0-9a-f]{64})")
_COMMIT: Final = re.compile(r"[0-9a-f]{7,64}")
_PLACE: Final = {
    "cluster": ("k8s.cluster.name",),
    "region": ("cloud.region",),
    "zone": ("cloud.availability_zone",),
    "node": ("k8s.node.name", "host.name"),
    "namespace": ("k8s.namespace.name",),
}
_WORKLOADS: Final = {
    "k8s.deployment.name": "deploy",
    "k8s.statefulset.name": "statefulset",
    "k8s.daemonset.name": "daemonset",
    "k8s.cronjob.name": "cronjob",
    "k8s.job.name": "job",
}


class Origin(Struct, frozen=True):
    """What a resource says about itself.

    Attributes:
        service, environment: Their names; the environment is "" when it is not said.
        deployment: The explicit deployment id, "" without one.
        instance: What tells the instance from all others.
        instance_from: The attributes that it was derived from; "" when it was said.
        digest, artifact, version, commit: What runs, each "" when it is not said.
        target: The place, as a marker's `target`, without the instance's uid.
        confirms_itself: The process sends its own `running` marker, with better evidence.
    """

    service: str
    environment: str
    deployment: str
    instance: str
    instance_from: str
    digest: str
    artifact: str
    version: str
    commit: str
    target: dict[str, str]
    confirms_itself: bool = False

    @property
    def says_what_runs(self) -> bool:
        """Whether a confirmation can be made of it."""
        return bool(self.deployment or self.digest or self.version or self.commit)


def origin_of(attributes: Mapping[str, Any]) -> Origin:
    """Return who reports.

    Raises:
        RequestError: A name is longer than it may be.
    """

    def text(*names: str) -> str:
        return next((found for name in names if (found := shown(attributes.get(name)))), "")

    instance, instance_from = _instance(attributes, text)
    artifact, digest = _digest(attributes)
    commit = text(VCS_REVISION).lower()
    version = text(SERVICE_VERSION)
    return Origin(
        service=_name(SERVICE_NAME, text(SERVICE_NAME) or UNKNOWN_SERVICE),
        environment=_name(
            DEPLOYMENT_ENVIRONMENT,
            text(DEPLOYMENT_ENVIRONMENT, DEPLOYMENT_ENVIRONMENT_DEPRECATED),
        ),
        deployment=_deployment(text(DEPLOYMENT_ID)),
        instance=_name(SERVICE_INSTANCE_ID, instance),
        instance_from=instance_from,
        digest=digest,
        artifact=artifact,
        version=version if len(version.encode()) <= VALUE_BYTES else "",
        commit=commit if _COMMIT.fullmatch(commit) else "",
        target=_target(attributes, text),
        confirms_itself=text(CONFIRMS_ITSELF).lower() == "true",
    )


def _name(attribute: str, value: str) -> str:
    size = len(value.encode(errors="replace"))
    if size > VALUE_BYTES:
        raise RequestError(f"{attribute} has {size} bytes; the limit is {VALUE_BYTES}.")
    return value


def _deployment(text: str) -> str:
    """Return a deployment id without its occurrence; what is no id names no deployment."""
    if not text:
        return ""
    try:
        return parse_occurrence(text)[0]
    except IdError:
        return ""


def _digest(attributes: Mapping[str, Any]) -> tuple[str, str]:
    """Return name and digest of what runs; repository digests are a list of `name@digest`."""
    repositories = attributes.get(CONTAINER_REPO_DIGESTS)
    listed = repositories if isinstance(repositories, list) else [repositories]
    for each in (attributes.get(ARTIFACT_DIGEST), *listed):
        match = _DIGEST.fullmatch(each) if isinstance(each, str) else None
        if match is not None:
            return match["name"] or "", match["digest"]
    return "", ""


def _instance(attributes: Mapping[str, Any], text: Any) -> tuple[str, str]:  # noqa: ANN401 - a local function
    if said := text(SERVICE_INSTANCE_ID):
        return said, ""
    pid, created = text("process.pid"), text("process.creation.time")
    container = text("container.id")
    if pod := text("k8s.pod.uid"):
        inner = container or text("k8s.container.name")
        by = "k8s.pod.uid, container.id" if container else "k8s.pod.uid, k8s.container.name"
        return (f"{pod}/{inner}", by) if inner else (pod, "k8s.pod.uid")
    if container:
        return (
            (f"{container}/{pid}", "container.id, process.pid")
            if pid
            else (
                container,
                "container.id",
            )
        )
    host = text("host.id", "host.name")
    if host and pid:
        by = "host.id" if text("host.id") else "host.name"
        if created:
            return f"{host}/{pid}/{created}", f"{by}, process.pid, process.creation.time"
        return f"{host}/{pid}", f"{by}, process.pid"
    said_by_all = sorted((name, shown(value)) for name, value in attributes.items())
    digested = msgspec.json.encode(said_by_all).hex()
    return encode_id("r-", ["resource/1", digested]), "all resource attributes"


def _target(attributes: Mapping[str, Any], text: Any) -> dict[str, str]:  # noqa: ANN401 - as above
    found = {field: text(*names) for field, names in _PLACE.items()}
    for attribute, kind in _WORKLOADS.items():
        if name := text(attribute):
            found["workload"] = f"{kind}/{name}"
            break
    if pod := text("k8s.pod.name"):
        found["instance"] = f"pod/{pod}"
    elif host := text("host.name"):
        pid = shown(attributes.get("process.pid"))
        found["instance"] = f"{host}/{pid}" if pid else host
    return {
        name: value for name, value in found.items() if value and len(value.encode()) <= VALUE_BYTES
    }
