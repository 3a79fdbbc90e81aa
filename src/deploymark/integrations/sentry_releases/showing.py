"""How releases and deploys are shown, as far as clients look. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from deploymark.errors import NotFoundError
from deploymark.integrations.sentry_releases.translation import (
    DEPLOY,
    NAME_LABEL,
    RELEASE,
    RELEASED_LABEL,
    STATUS_LABEL,
    records_of,
    release_named,
)
from deploymark.model.tolerant import date_of, milliseconds_of, number_of, text_of, texts_of
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

_LISTED: Final = 100
_LOOKED_AT: Final = 1_000


def refuse(refusal: Refusal) -> ForeignReply:
    """Say an error as Sentry does; sentry-cli prints it."""
    return in_json({"detail": refusal.message}, refusal.status)


# Answers to what was said ------------------------------------------------------------------------


def deploy_added(_: ForeignRequest, said: Said, told: Sequence[Told]) -> ForeignReply:
    """Answer `POST …/deploys/`."""
    body = said.note or {}
    finished = milliseconds_of(body.get("dateFinished")) or told[0].received_ms
    shown = _deploy(
        told[0].index,
        str(said.markers[0].fields["environment"]),
        milliseconds_of(body.get("dateStarted")),
        finished,
        (text_of(body.get("name")), text_of(body.get("url"))),
    )
    return in_json(shown, 201)


def release_added(request: ForeignRequest, said: Said, told: Sequence[Told]) -> ForeignReply:
    """Answer `POST …/releases/` and `PUT …/releases/{version}/`."""
    body = request.json()
    standing: Sequence[Record] = said.note or ()
    created = [record.received_ms for record in standing] + [each.received_ms for each in told]
    services = [record.fields["service"] for record in standing]
    services += [marker.fields["service"] for marker in said.markers]
    shown = _release(
        release_named(request),
        min(created, default=request.received_ms),
        services or texts_of(body.get("projects")),
        url=text_of(body.get("url")) or _first(standing, "build_url"),
        ref=text_of(body.get("ref")) or _first(standing, "ref"),
        labels={
            **(standing[0].fields.get("labels") or {} if standing else {}),
            **{
                name: value
                for name, key in ((RELEASED_LABEL, "dateReleased"), (STATUS_LABEL, "status"))
                if (value := text_of(body.get(key)))
            },
        },
    )
    return in_json(shown, 201 if request.method == "POST" else 200)


def release_deleted(_: ForeignRequest, __: Said, ___: Sequence[Told]) -> ForeignReply:
    """Answer `DELETE …/releases/{version}/`."""
    return ForeignReply(204)


# Reads -------------------------------------------------------------------------------------------


def show_api(request: ForeignRequest, _: DialectRecords) -> ForeignReply:
    """Answer `GET /api/0/`, by which sentry-cli finds out whether its token is good."""
    scopes = ["org:read", "project:read", "project:releases"]
    user = {"username": request.caller, "email": "", "id": "0"}
    return in_json({"version": "0", "auth": {"scopes": scopes}, "user": user})


def list_nothing(_: ForeignRequest, __: DialectRecords) -> ForeignReply:
    """Answer `GET …/repos/`: none are connected, so clients send commits themselves."""
    return in_json([])


def list_releases(request: ForeignRequest, records: DialectRecords) -> ForeignReply:
    """Answer `GET …/releases/` of an organisation or a project."""
    project = request.path.get("project")
    found = _grouped(
        records.search(RecordQuery(within=request.path["org"], service=project, limit=_LOOKED_AT))
    )
    wanted = request.asked("query")
    shown = [_shown(name, group) for name, group in found.items() if wanted in name]
    return in_json(shown[: number_of(request.asked("per_page")) or _LISTED])


def show_release(request: ForeignRequest, records: DialectRecords) -> ForeignReply:
    """Answer `GET …/releases/{version}/`, also of a release of which only deploys are known."""
    group = _release_records(request, records)
    return in_json(_shown(release_named(request), group))


def list_deploys(request: ForeignRequest, records: DialectRecords) -> ForeignReply:
    """Answer `GET …/deploys/`."""
    return in_json([_deploy_of(each) for each in records_of(request, records, DEPLOY)])


def list_commits(request: ForeignRequest, records: DialectRecords) -> ForeignReply:
    """Answer `GET …/commits/`."""
    group = _release_records(request, records)
    return in_json([_commit(change, group[0]) for change in _changes_of(group)])


def show_previous(request: ForeignRequest, records: DialectRecords) -> ForeignReply:
    """Answer `GET …/previous-with-commits/`: {} when there is none."""
    name = release_named(request)
    own = {each.fields["service"] for each in records_of(request, records, RELEASE)}
    query = RecordQuery(sort=RELEASE, within=request.path["org"], limit=_LOOKED_AT)
    for other, group in _grouped(records.search(query)).items():
        shared = not own or own & {each.fields["service"] for each in group}
        if other != name and shared and _changes_of(group):
            return in_json(_shown(other, group))
    return in_json({})


def _release_records(request: ForeignRequest, records: DialectRecords) -> list[Record]:
    found = records_of(request, records, RELEASE) + records_of(request, records, DEPLOY)
    if not found:
        raise NotFoundError("The requested resource does not exist.", hint="No such release.")
    return found


def _grouped(records: Iterable[Record]) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(str(record.fields["release_id"]), []).append(record)
    return groups


def _shown(name: str, group: Sequence[Record]) -> dict[str, Any]:
    releases = [each for each in group if each.sort == RELEASE]
    deploys = [each for each in group if each.sort == DEPLOY]
    changes = _changes_of(group)
    shown = _release(
        name,
        min(each.received_ms for each in group),
        [str(each.fields["service"]) for each in releases or deploys],
        url=_first(releases, "build_url"),
        ref=_first(releases, "ref"),
        labels=releases[0].fields.get("labels") or {} if releases else {},
    )
    last = _deploy_of(deploys[0]) if deploys else None
    commit = _commit(changes[0], releases[0]) if changes else None
    return {
        **shown,
        "commitCount": len(changes),
        "lastCommit": commit,
        "deployCount": len(deploys),
        "lastDeploy": last,
    }


def _release(
    name: str,
    created_ms: int,
    services: Sequence[str],
    *,
    url: str | None,
    ref: str | None,
    labels: Mapping[str, str],
) -> dict[str, Any]:
    released = milliseconds_of(labels.get(RELEASED_LABEL))
    projects = [{"slug": each, "name": each} for each in dict.fromkeys(services)]
    return {
        "version": name,
        "shortVersion": name.rpartition("@")[2] or name,
        "status": labels.get(STATUS_LABEL, "open"),
        "ref": ref,
        "url": url,
        "dateCreated": date_of(created_ms),
        "dateReleased": None if released is None else date_of(released),
        "projects": projects,
        "newGroups": 0,
        "commitCount": 0,
        "lastCommit": None,
        "deployCount": 0,
        "lastDeploy": None,
        "authors": [],
    }


def _deploy(
    index: int,
    environment: str,
    started_ms: int | None,
    finished_ms: int,
    named: tuple[str | None, str | None],
) -> dict[str, Any]:
    return {
        "id": str(index),
        "environment": environment,
        "name": named[0],
        "url": named[1],
        "dateStarted": None if started_ms is None else date_of(started_ms),
        "dateFinished": date_of(finished_ms),
    }


def _deploy_of(record: Record) -> dict[str, Any]:
    labels = record.fields.get("labels") or {}
    return _deploy(
        record.index,
        str(record.fields["environment"]),
        record.started_ms if len(record.events) > 1 else None,
        record.ended_ms,
        (labels.get(NAME_LABEL), record.fields.get("build_url")),
    )


def _changes_of(group: Sequence[Record]) -> Sequence[Mapping[str, str]]:
    return next((found for each in group if (found := each.fields.get("changes"))), ())


def _commit(change: Mapping[str, str], record: Record) -> dict[str, Any]:
    return {
        "id": change.get("commit", ""),
        "message": change.get("title", ""),
        "dateCreated": date_of(record.received_ms),
    }


def _first(records: Sequence[Record], name: str) -> str | None:
    return next((str(found) for each in records if (found := each.fields.get(name))), None)
