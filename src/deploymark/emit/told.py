"""What a process was told about its own deployment, as one frozen value; pure.

Arguments go before `DEPLOYMARK_…` variables, these before what OpenTelemetry was told
(`OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`), and that before the release file, which a build
puts into the release. A value that cannot be one is left out and named in `problems`: a process
must not fail for what it was told about itself. All of this is *declared*; what is hashed is the
business of `selfobserved`.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from deploymark.emit.attributes import read_attributes
from deploymark.errors import IdError
from deploymark.model.ids import check_given_id
from deploymark.model.vocabulary import (
    ARTIFACT_DIGEST,
    DEPLOYMENT_ENVIRONMENT,
    DEPLOYMENT_ENVIRONMENT_DEPRECATED,
    DEPLOYMENT_ID,
    SERVICE_NAME,
    SERVICE_VERSION,
    VCS_REVISION,
)

RELEASE_FILE: Final = "deploymark.json"
"""Name of the file in a release that says which release it is."""

PLACES: Final = (
    *("cluster", "region", "zone", "node", "namespace", "workload", "instance", "colour"),
)
"""Fields of `target` that a process may be told."""

_NAMES: Final = (
    *("service", "environment", "deployment_id", "version", "commit_hash", "repository"),
    *("digest", "artifact", "track", "release", "distribution", "executable"),
    *PLACES,
)
_RELEASE_NAMES: Final = ("service", "environment", "version", "commit_hash", "repository")
_ATTRIBUTES: Final = {
    SERVICE_NAME: "service",
    SERVICE_VERSION: "version",
    DEPLOYMENT_ID: "deployment_id",
    DEPLOYMENT_ENVIRONMENT: "environment",
    VCS_REVISION: "commit_hash",
    "vcs.repository.url.full": "repository",
    ARTIFACT_DIGEST: "digest",
    "k8s.cluster.name": "cluster",
    "cloud.region": "region",
    "cloud.availability_zone": "zone",
    "k8s.node.name": "node",
    "k8s.namespace.name": "namespace",
    "k8s.pod.name": "instance",
}
_WORKLOADS: Final = {
    "k8s.deployment.name": "deploy",
    "k8s.statefulset.name": "statefulset",
    "k8s.daemonset.name": "daemonset",
}
_FORMS: Final = {
    "digest": r"sha256:[0-9a-f]{64}",
    "commit_hash": r"[0-9a-f]{7,64}",
    "track": r"stable|canary|baseline|blue|green",
    "colour": r"blue|green",
}
_MAX_BYTES: Final = 256
_MAX_PATH_BYTES: Final = 4_096
_PATHS: Final = frozenset({"release", "artifact", "repository"})
_NO: Final = frozenset({"", "0", "false", "no", "off"})
_SHOWN: Final = 60


class Told(NamedTuple):
    """What a process was told. "" means: not told.

    Attributes:
        service: Name of the service.
        environment: Name of the environment.
        deployment_id: Given explicitly; never derived here.
        version: Of the service.
        commit_hash: It was built from.
        repository: Of that commit.
        artifact: `name`, `digest` and `tag`, as far as they were told.
        track: Cohort of the rollout.
        place: Fields of `target`.
        release: Directory that is the release, to be hashed.
        distribution: Name of the installed distribution that is the artifact.
        executable: The executable of this process is the artifact.
        others: What OpenTelemetry was told beside.
        problems: What was left out, a sentence each.
    """

    service: str = ""
    environment: str = ""
    deployment_id: str = ""
    version: str = ""
    commit_hash: str = ""
    repository: str = ""
    artifact: Mapping[str, str] = {}
    track: str = ""
    place: Mapping[str, str] = {}
    release: str = ""
    distribution: str = ""
    executable: bool = False
    others: Mapping[str, str] = {}
    problems: tuple[str, ...] = ()


def gather(
    given: Mapping[str, object],
    variables: Mapping[str, str],
    release_file: Mapping[str, Any],
) -> Told:
    """Return what a process was told.

    Args:
        given: Arguments of `deploymark.startup`; None says nothing.
        variables: The environment.
        release_file: What stands in the release file; empty without one.
    """
    attributes = read_attributes(variables.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    problems: list[str] = []
    found: dict[str, str] = {}
    for source, values in (
        ("argument", _texts(given)),
        ("variable", _of_variables(variables)),
        ("OpenTelemetry", _of_attributes(attributes, variables.get("OTEL_SERVICE_NAME", ""))),
        ("release file", _texts({name: release_file.get(name) for name in _RELEASE_NAMES})),
    ):
        for name, value in values.items():
            problem = _problem(name, value)
            if problem:
                problems.append(f"The {source} {name} {problem} and is ignored.")
            elif value:
                found.setdefault(name, value)
    artifact = _artifact(found, problems)
    return Told(
        service=found.get("service", ""),
        environment=found.get("environment", ""),
        deployment_id=found.get("deployment_id", "").lower(),
        version=found.get("version", ""),
        commit_hash=found.get("commit_hash", ""),
        repository=found.get("repository", ""),
        artifact=artifact,
        track=found.get("track", ""),
        place={name: found[name] for name in PLACES if name in found},
        release=found.get("release", ""),
        distribution=found.get("distribution", ""),
        executable=found.get("executable", "").lower() not in _NO,
        others=attributes,
        problems=tuple(problems),
    )


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value).strip() for name, value in values.items() if value is not None}


def _of_variables(variables: Mapping[str, str]) -> dict[str, str]:
    names = {name: f"DEPLOYMARK_{name.upper()}" for name in _NAMES}
    names["commit_hash"] = "DEPLOYMARK_COMMIT"
    return {
        name: variables[variable].strip()
        for name, variable in names.items()
        if variables.get(variable)
    }


def _of_attributes(attributes: Mapping[str, str], service: str) -> dict[str, str]:
    found = {
        field: attributes[name].strip() for name, field in _ATTRIBUTES.items() if name in attributes
    }
    for name, kind in _WORKLOADS.items():
        if name in attributes:
            found.setdefault("workload", f"{kind}/{attributes[name]}")
    if "environment" not in found and DEPLOYMENT_ENVIRONMENT_DEPRECATED in attributes:
        found["environment"] = attributes[DEPLOYMENT_ENVIRONMENT_DEPRECATED].strip()
    if service:  # goes before service.name (OpenTelemetry specification, "SDK configuration")
        found["service"] = service.strip()
    return found


def _problem(name: str, value: str) -> str:
    """Return what is wrong with a value, as the rest of a sentence; "" when nothing is."""
    limit = _MAX_PATH_BYTES if name in _PATHS else _MAX_BYTES
    if not value.isprintable() or len(value.encode(errors="replace")) > limit:
        return f"holds what is no text of at most {limit} bytes"
    if name == "deployment_id" and value:
        try:
            check_given_id(value)
        except IdError as error:
            return f"is no id ({error.message.rstrip('.')})"
    form = _FORMS.get(name)
    if form is not None and value and re.fullmatch(form, value) is None:
        return f"cannot be {value[:_SHOWN]!r}"
    return ""


def _artifact(found: Mapping[str, str], problems: list[str]) -> Mapping[str, str]:
    parts: dict[str, str] = {}
    if "artifact" in found:
        from deploymark.emit.draft import artifact_of  # noqa: PLC0415 - only where one is named
        from deploymark.errors import MarkerError  # noqa: PLC0415 - as above

        try:
            parts = artifact_of(found["artifact"])
        except MarkerError as error:
            problems.append(f"{error.message} It is ignored.")
    if "digest" in found:
        parts["digest"] = found["digest"]
    return parts
