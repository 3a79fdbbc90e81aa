"""How records are shown as deployments of GitLab, and every other word of its answers. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode
from zlib import crc32

from deploymark.errors import NotFoundError
from deploymark.integrations.gitlab_deployments.translation import (
    PHASES,
    STATUS_LABEL,
    asked,
    found,
    label,
    project_of,
)
from deploymark.model.instants import format_instant
from deploymark.model.tolerant import milliseconds_of, number_of, text_of
from deploymark.ports import (
    DialectRecords,
    ForeignReply,
    ForeignRequest,
    Record,
    RecordQuery,
    Refusal,
    Said,
    Told,
    in_json,
)

_MOST: Final = 1_000
"""Deployments of one project that lists go through, the newest."""

_PAGE: Final = 20
_MOST_IN_PAGE: Final = 100

_ORDERS: Final[Mapping[str, Callable[[Record], Any]]] = {
    "id": lambda record: record.index,
    "iid": lambda record: record.index,
    "created_at": lambda record: record.started_ms,
    "updated_at": lambda record: record.ended_ms,
    "finished_at": lambda record: record.ended_ms,
    "ref": lambda record: str(record.fields.get("ref")),
}


def deployment_added(request: ForeignRequest, said: Said, told: Sequence[Told]) -> ForeignReply:
    """Answer `POST …/deployments`."""
    [marker], [stands] = said.markers, told
    status = marker.fields["labels"][STATUS_LABEL]
    at = format_instant(stands.received_ms)
    shown = _shown(stands.index, marker.fields, status, at, at, request.caller)
    return in_json(shown, 201)


def deployment_updated(_: ForeignRequest, said: Said, told: Sequence[Told]) -> ForeignReply:
    """Answer `PUT …/deployments/{id}`, with the id of the next one where it happens again."""
    record: Record = said.note
    shown = show(record)
    for marker, stands in zip(said.markers, told, strict=True):
        shown["status"] = marker.fields["labels"][STATUS_LABEL]
        shown["updated_at"] = format_instant(stands.received_ms)
        if stands.occurrence != record.occurrence:
            shown["id"] = shown["iid"] = stands.index
    return in_json(shown)


def deployment_removed(_: ForeignRequest, __: Said, ___: Sequence[Told]) -> ForeignReply:
    """Answer `DELETE …/deployments/{id}`."""
    return ForeignReply(204)


def hook_taken(_: ForeignRequest, said: Said, told: Sequence[Told]) -> ForeignReply:
    """Answer `POST /hooks/gitlab`."""
    if not told:
        return in_json({"message": said.note})
    return in_json({"message": said.note, "deployment_id": told[0].deployment_id}, 202)


def show_deployment(request: ForeignRequest, records: DialectRecords) -> ForeignReply:
    """Answer `GET …/deployments/{id}`."""
    return in_json(show(found(request, records)))


def list_deployments(request: ForeignRequest, records: DialectRecords) -> ForeignReply:
    """Answer `GET …/deployments`, a page of it."""
    wanted = _wanted(request, records)
    size = min(max(number_of(request.asked("per_page")) or _PAGE, 1), _MOST_IN_PAGE)
    page = max(number_of(request.asked("page")) or 1, 1)
    some = wanted[(page - 1) * size : page * size]
    last = max(-(-len(wanted) // size), 1)
    headers = [
        ("x-page", str(page)),
        ("x-per-page", str(size)),
        ("x-total", str(len(wanted))),
        ("x-total-pages", str(last)),
        ("x-prev-page", str(page - 1) if page > 1 else ""),
        ("x-next-page", str(page + 1) if page < last else ""),
    ]
    if page < last:
        query = [(name, text) for name, text in request.query if name not in {"page", "per_page"}]
        more = urlencode([*query, ("page", page + 1), ("per_page", size)])
        project = project_of(request).replace("/", "%2F")
        address = f"{request.origin}/api/v4/projects/{project}/deployments?{more}"
        if address.isascii():
            headers.append(("link", f'<{address}>; rel="next"'))
    return in_json([show(record) for record in some], headers=headers)


def show_user(request: ForeignRequest, _: DialectRecords) -> ForeignReply:
    """Answer `GET /api/v4/user`."""
    return in_json({**_user(request.caller), "web_url": request.origin})


def show_project(request: ForeignRequest, _: DialectRecords) -> ForeignReply:
    """Answer `GET …/projects/{id}`: any project is there, known or not.

    Raises:
        NotFoundError: It asks for a part of a project that is not here.
    """
    project = project_of(request)
    if number_of(project) is None and number_of(project.partition("/")[0]) is not None:
        raise NotFoundError("404 Not Found.", hint="Of projects there are deployments here.")
    name = project.rpartition("/")[2]
    number = number_of(project)
    return in_json(
        {
            "id": project if number is None else number,
            "name": name,
            "path": name,
            "path_with_namespace": project,
            "web_url": request.origin,
        }
    )


def refuse(refusal: Refusal) -> ForeignReply:
    """Say an error as GitLab does; clients print `error` instead, where there is one."""
    return in_json({"message": refusal.message, "code": refusal.code}, refusal.status)


def show(record: Record) -> dict[str, Any]:
    """Return a record as GitLab shows a deployment."""
    return _shown(
        record.index,
        record.fields,
        status_of(record),
        format_instant(record.started_ms),
        format_instant(record.ended_ms),
        record.principal,
    )


def status_of(record: Record) -> str:
    """Return the status of a deployment: the one that was told, else what its phase means."""
    phase = record.events[-1].phase
    told = label(record, STATUS_LABEL)
    if told in PHASES and PHASES[told] == phase:
        return told
    return next((status for status, means in PHASES.items() if means == phase), "success")


def _wanted(request: ForeignRequest, records: DialectRecords) -> list[Record]:
    said = asked(request)
    status = text_of(said.get("status"))
    query = RecordQuery(
        within=project_of(request),
        environment=text_of(said.get("environment")),
        since_ms=milliseconds_of(said.get("updated_after")),
        limit=_MOST,
    )
    before = milliseconds_of(said.get("updated_before"))
    wanted = [
        record
        for record in records.search(query)
        if (status is None or status_of(record) == status)
        and (before is None or record.ended_ms <= before)
    ]
    order = _ORDERS.get(text_of(said.get("order_by")) or "id", _ORDERS["id"])
    return sorted(wanted, key=order, reverse=text_of(said.get("sort")) == "desc")


def _shown(
    index: int, fields: Mapping[str, Any], status: str, began: str, ended: str, caller: str
) -> dict[str, Any]:
    environment = str(fields.get("environment") or "")
    ref = str(fields.get("ref") or "")
    return {
        "id": index,
        "iid": index,
        "ref": ref.removeprefix("refs/heads/").removeprefix("refs/tags/"),
        "sha": fields.get("commit_hash") or fields.get("version"),
        "created_at": began,
        "updated_at": ended,
        "status": status,
        "user": _user(caller),
        "environment": {
            "id": crc32(environment.encode()),  # GitLab has one, and nothing here needs it
            "name": environment,
            "slug": environment.lower(),
            "external_url": None,
        },
        "deployable": None,
    }


def _user(caller: str) -> dict[str, Any]:
    name = caller.partition(":")[2] or caller
    return {"id": crc32(caller.encode()), "username": name, "name": name, "state": "active"}
