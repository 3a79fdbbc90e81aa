"""What deployments of GitLab mean. Pure.

The project is the service, the status a phase. A deployment has no action of its own here: neither
API nor hook names the pipeline, and a job that is run again is the same deployment while it is
live. An update of the status is another phase; nothing else of a deployment can be changed.
"""

from collections.abc import Mapping
from typing import Any, Final

from deploymark.errors import DialectError, NotFoundError
from deploymark.model.limits import TEXT_BYTES, VALUE_BYTES
from deploymark.model.mapping import mapped, names_deployment
from deploymark.model.tolerant import (
    bounded,
    commit_of,
    flag_of,
    instant_of,
    member,
    number_of,
    text_of,
)
from deploymark.model.vocabulary import Phase
from deploymark.ports import DialectRecords, ForeignRequest, Record, Said, Translated

NAME: Final = "gitlab_deployments"
STATUS_LABEL: Final = "status"

PHASES: Final = {
    "created": Phase.PLANNED,
    "blocked": Phase.PLANNED,
    "running": Phase.APPLYING,
    "success": Phase.APPLIED,
    "failed": Phase.FAILED,
    "canceled": Phase.FAILED,
}
"""What a status means; others say nothing."""

_HOOK: Final = "deployment"
_SAME: Final = (
    "service", "environment", "commit_hash", "version", "artifact", "action", "target", "ref",
    "repository", "owner",
)  # fmt: skip
"""What a later phase of a deployment repeats, so that it is the same deployment."""


# The API -----------------------------------------------------------------------------------------


def created(request: ForeignRequest) -> Said:
    """Translate `POST …/deployments`.

    Raises:
        DialectError: No environment, no commit, or a status that GitLab does not have.
    """
    said = asked(request)
    status = _status(said, "created")
    sha, ref = text_of(said.get("sha")), text_of(said.get("ref"))
    fields = mapped(
        "",
        (),
        request.mapping,
        stated={
            "environment": text_of(said.get("environment")),
            "phase": PHASES[status].value,
            **_revision(sha, ref, tagged=flag_of(said.get("tag")) is True),
        },
        guessed={"service": _service(project_of(request))},
    )
    if "environment" not in fields:
        raise DialectError("environment is missing.")
    if not names_deployment(fields):
        raise DialectError("sha is missing.")
    fields["labels"] = {STATUS_LABEL: status}
    return Said((Translated(fields, within=project_of(request)),), note=said)


def updated(request: ForeignRequest, records: DialectRecords) -> Said:
    """Translate `PUT …/deployments/{id}`."""
    record = found(request, records)
    status = _status(asked(request), None)
    phase = PHASES[status].value
    if record.events[-1].phase == phase and label(record, STATUS_LABEL) == status:
        return Said(note=record)
    same = {name: record.fields.get(name) for name in _SAME}
    fields = {**same, "phase": phase, "labels": {STATUS_LABEL: status}}
    return Said((Translated(fields, within=record.within),), note=record)


def removed(request: ForeignRequest, records: DialectRecords) -> Said:
    """Translate `DELETE …/deployments/{id}`."""
    return Said(retractions=(found(request, records),))


def found(request: ForeignRequest, records: DialectRecords) -> Record:
    """Return the deployment that the address names.

    Raises:
        NotFoundError: There is none in this project, or it was taken back.
    """
    index = number_of(request.path["deployment"])
    record = None if index is None else records.find(index)
    if record is None or record.within != project_of(request):
        raise NotFoundError("404 Deployment Not Found.", hint="It may be another project's.")
    return record


def project_of(request: ForeignRequest) -> str:
    """Return the project that the address names, by number or path."""
    return bounded(text_of(request.path["id"]), VALUE_BYTES) or ""


def asked(request: ForeignRequest) -> Mapping[str, Any]:
    """Return what a request says in its query, its form or its JSON, as GitLab takes all three."""
    body = dict(request.form) if request.form else request.json()
    return {**dict(request.query), **body}


def label(record: Record, name: str) -> str | None:
    """Return a label of a record."""
    labels: Mapping[str, str] = record.fields.get("labels") or {}
    return labels.get(name)


def _status(said: Mapping[str, Any], otherwise: str | None) -> str:
    status = text_of(said.get("status")) or otherwise
    if status is None:
        raise DialectError("status is missing.")
    if status not in PHASES:
        shown = bounded(status, VALUE_BYTES)
        raise DialectError(f"status {shown} does not exist; {', '.join(PHASES)} do.")
    return status


def _service(project: str | None) -> str | None:
    return (project or "").rpartition("/")[2] or None


def _revision(sha: str | None, ref: str | None, *, tagged: bool) -> dict[str, str | None]:
    """Return commit, ref and version: that of a tag, else what the commit is called otherwise."""
    commit, ref = commit_of(sha), (ref or "").removeprefix("refs/heads/")
    tag = ref.removeprefix("refs/tags/") if tagged or ref.startswith("refs/tags/") else ""
    full = f"refs/tags/{tag}" if tag else f"refs/heads/{ref}" if ref else None
    return {
        "commit": commit,
        "ref": full,
        "version": tag or (None if commit else sha),
    }


# The hook ----------------------------------------------------------------------------------------


def hooked(request: ForeignRequest) -> Said:
    """Translate `POST /hooks/gitlab`.

    Raises:
        DialectError: It is a deployment, and does not say of what.
    """
    body = request.json()
    kind, status = text_of(body.get("object_kind")), text_of(body.get("status"))
    if kind != _HOOK:
        return _nothing(f"The event {kind or 'without a kind'} tells no deployment")
    if status not in PHASES:
        return _nothing(f"The status {status} says nothing of a deployment")
    project = text_of(member(body, "project", "path_with_namespace"))
    title = bounded(text_of(body.get("commit_title")), TEXT_BYTES)
    commit = _commit(body)
    fields = mapped(
        title or "",
        (),
        request.mapping,
        stated={
            **_revision(commit, text_of(body.get("ref")), tagged=flag_of(body.get("tag")) is True),
            "environment": text_of(body.get("environment")),
            "phase": PHASES[status].value,
            "repository": text_of(member(body, "project", "web_url")),
            "deployer": text_of(member(body, "user", "username")),
        },
        guessed={"service": _service(project)},
    )
    if not names_deployment(fields):
        raise DialectError(
            "The body names no project, no environment or no commit: is it from GitLab?"
        )
    fields |= {
        "build_url": bounded(text_of(body.get("deployable_url")), TEXT_BYTES),
        "timestamp": instant_of(body.get("status_changed_at")),
        "changes": [{"commit": commit, "title": title}] if commit and title else None,
        "labels": _labels(request, body, status),
    }
    note = f"{fields['phase']} in {fields['environment']}"
    return Said((Translated(fields, within=project or ""),), note=note)


def _nothing(why: str) -> Said:
    return Said(note=f"{why[:VALUE_BYTES]}; nothing was written.")


def _commit(body: Mapping[str, Any]) -> str | None:
    """Return the commit, whole where its address tells it: the field for it is short."""
    address = text_of(body.get("commit_url")) or ""
    return commit_of(address.rpartition("/")[2]) or commit_of(body.get("short_sha"))


def _labels(request: ForeignRequest, body: Mapping[str, Any], status: str) -> dict[str, str]:
    said = {
        STATUS_LABEL: status,
        "delivery": request.headers.get("x-gitlab-event-uuid"),
        "gitlab_deployment": body.get("deployment_id"),
        "tier": body.get("environment_tier"),
    }
    found = {name: bounded(text_of(value), VALUE_BYTES) for name, value in said.items()}
    return {name: text for name, text in found.items() if text}
