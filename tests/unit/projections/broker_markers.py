"""The words of the stories about the broker: flat markers as each kind of witness says them.

CI knows what it deploys and which run it is, so its deployment ids are derived. Orchestrators and
processes know what they see; what they say has a deployment id only where they were given one.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from deploymark.model.ids import deployment_id, ids_of_marker

SERVICE, ENVIRONMENT = "checkout", "prod"
MINUTE, HOUR, DAY = 60, 3_600, 86_400

Fields = dict[str, Any]
Place = str | Mapping[str, str | None] | None
"""A cluster by its name, a target by its fields, or no place at all."""


def digest_of(release: str) -> str:
    return f"sha256:{sha256(release.encode()).hexdigest()}"


def commit_of(release: str) -> str:
    return sha256(release.encode()).hexdigest()[:40]


def action_of(run: str) -> str:
    return f"github/acme/shop/{run}"


def target_of(place: Place) -> Fields:
    return {"cluster": place} if isinstance(place, str) else dict(place or {})


def ci(
    phase: str,
    release: str = "v1",
    *,
    run: str | None = None,
    place: Place = None,
    weight: float | None = None,
    **more: Any,  # noqa: ANN401 - any field
) -> Fields:
    """Return what a pipeline says; `run` is the deploy action, one for each release unless said."""
    return stated(
        {
            "service": SERVICE,
            "environment": ENVIRONMENT,
            "phase": phase,
            "artifact": {"digest": digest_of(release)},
            "commit_hash": commit_of(release),
            "action": action_of(run or release),
            "target": target_of(place),
            "rollout": {"weight": weight},
            "emitter": {"kind": "ci", "id": "deploy.yml"},
            **more,
        }
    )


def change(phase: str, kind: str, key: str, **more: Any) -> Fields:  # noqa: ANN401 - any field
    """Return what a pipeline says of a change that is no deployment."""
    return ci(phase, artifact=None, commit_hash=None, action=None, kind=kind, key=key, **more)


def orchestrated(phase: str, release: str = "v1", *, place: Place = None, **more: Any) -> Fields:  # noqa: ANN401 - any field
    """Return what an orchestrator says of a workload, of which it knows the image alone."""
    return stated(
        {
            "service": SERVICE,
            "environment": ENVIRONMENT,
            "phase": phase,
            "artifact": {"digest": digest_of(release)},
            "target": target_of(place),
            "emitter": {"kind": "orchestrator", "id": "observer/k8s"},
            **more,
        }
    )


def pod(
    uid: str,
    release: str | None = "v1",
    *,
    place: Place = None,
    basis: str | None = "observed",
    by: str | None = None,
    **more: Any,  # noqa: ANN401 - any field
) -> Fields:
    """Return that an instance runs: seen by an observer, or said by itself.

    Args:
        uid: Of the instance.
        release: Whose digest it runs; None when that is not known.
        place: Where.
        basis: How the digest is known.
        by: Kind of the emitter; the one that fits the basis unless said.
        more: Further fields.
    """
    kind = by or ("orchestrator" if basis == "observed" else "runtime")
    known = None if release is None else digest_of(release)
    observer = "observer/k8s" if basis == "observed" else None
    return stated(
        {
            "service": SERVICE,
            "environment": ENVIRONMENT,
            "phase": "running",
            "artifact": {"digest": known},
            "evidence": basis and {"basis": basis, "digest": known, "observer": observer},
            "target": {**target_of(place), "instance_uid": uid},
            "emitter": {"kind": kind, "id": f"{kind}/{uid}" if kind == "runtime" else observer},
            **more,
        }
    )


def gone(uid: str, release: str = "v1", *, place: Place = None, **more: Any) -> Fields:  # noqa: ANN401 - any field
    """Return that an instance has ended."""
    return {**pod(uid, release, place=place, **more), "phase": "removed"}


def id_of(marker: Mapping[str, Any]) -> str:
    """Return the deployment id under which admission files a marker."""
    return ids_of_marker({"kind": "deployment", **marker})[0]


def own_id(release: str, service: str = SERVICE) -> str:
    """Return the id of a deployment that nobody announced: of its digest, and no action."""
    return deployment_id(service, ENVIRONMENT, digest_of(release), "")


def stated(fields: Mapping[str, Any]) -> Fields:
    """Return a marker without what it leaves unsaid."""
    said = {}
    for name, value in fields.items():
        part = stated(value) if isinstance(value, Mapping) and name != "labels" else value
        if part is not None and part != {}:
            said[name] = part
    return said
