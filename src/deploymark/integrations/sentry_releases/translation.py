"""What releases and deploys mean. Pure.

A deploy is a deployment of each of its projects. A release runs nowhere yet: it is a change of the
kind `infrastructure`, to which commits and dates are added. Nothing has to be there before it is
talked about: a deploy may come before its release, and twice, and of a project that nobody knows.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from deploymark.errors import DialectError, NotFoundError
from deploymark.model.instants import format_instant
from deploymark.model.limits import CHANGES, TEXT_BYTES, VALUE_BYTES
from deploymark.model.mapping import UNMAPPED
from deploymark.model.tolerant import bounded, instant_of, milliseconds_of, text_of, texts_of
from deploymark.model.vocabulary import Kind, Phase
from deploymark.ports import (
    Amended,
    DialectRecords,
    ForeignRequest,
    Record,
    RecordQuery,
    Said,
    Scalar,
    Translated,
)

NAME: Final = "sentry_releases"
RELEASE: Final = "release"
DEPLOY: Final = "deploy"
ARCHIVED: Final = "archived"

RELEASED_LABEL: Final = "date_released"
STATUS_LABEL: Final = "status"
NAME_LABEL: Final = "name"

_AMENDED_COMMITS: Final = 30
"""Commits that one amendment holds, two values each."""

# Deploys -----------------------------------------------------------------------------------------


def deployed_alone(request: ForeignRequest) -> Said | None:
    """Translate `POST …/deploys/`; None when only the release tells whose it is."""
    body = request.json()
    services = _services(request, body)
    return _deployed(request, body, services) if services else None


def deployed(request: ForeignRequest, records: DialectRecords) -> Said:
    """Translate `POST …/deploys/` of a release that must tell the projects."""
    releases = records_of(request, records, RELEASE)
    services = tuple(str(record.fields["service"]) for record in releases)
    return _deployed(request, request.json(), services or (UNMAPPED,))


def _deployed(request: ForeignRequest, body: Mapping[str, Any], services: Sequence[str]) -> Said:
    began, ended = (
        milliseconds_of(body.get("dateStarted")),
        milliseconds_of(body.get("dateFinished")),
    )
    marks: list[tuple[Phase, int | None]] = [(Phase.APPLIED, ended or began)]
    if began and ended and began < ended:
        marks.insert(0, (Phase.APPLYING, began))
    release = _named(request.path["version"])
    environment = text_of(body.get("environment")) or request.mapping.defaults.get("environment")
    named = text_of(body.get("name"))
    fields: dict[str, Any] = {
        "environment": bounded(environment or UNMAPPED, VALUE_BYTES),
        "version": version_of(release),
        "release_id": release,
        "build_url": bounded(text_of(body.get("url")), TEXT_BYTES),
        "labels": {NAME_LABEL: bounded(named, VALUE_BYTES)} if named else {},
    }
    return Said(
        tuple(
            Translated(
                {
                    **fields,
                    "service": service,
                    "phase": phase.value,
                    "timestamp": format_instant(at) if at else None,
                },
                sort=DEPLOY,
                within=request.path["org"],
            )
            for service in services
            for phase, at in marks
        ),
        note=body,
    )


# Releases ----------------------------------------------------------------------------------------


def released_alone(request: ForeignRequest) -> Said | None:
    """Translate `POST …/releases/`; None when it changes the status of what may be there."""
    body = request.json()
    return _released(request, body) if text_of(body.get("status")) is None else None


def released(request: ForeignRequest, records: DialectRecords) -> Said:
    """Translate `POST …/releases/` and `PUT …/releases/{version}/`."""
    body = request.json()
    standing = records_of(request, records, RELEASE)
    known = {record.fields["service"] for record in standing}
    said = _released(request, body)
    wanted = texts_of(body.get("projects")) or not standing
    new = [each for each in said.markers if wanted and each.fields["service"] not in known]
    changes = _changes(body)
    amendments = [Amended(record, changes) for record in standing] if changes else []
    return Said(tuple(new), tuple(amendments), note=standing)


def removed(request: ForeignRequest, records: DialectRecords) -> Said:
    """Translate `DELETE …/releases/{version}/`; what was deployed was deployed."""
    found = records_of(request, records, RELEASE)
    if not found:
        raise NotFoundError("The requested resource does not exist.", hint="It may be deleted.")
    return Said(retractions=tuple(found))


def _released(request: ForeignRequest, body: Mapping[str, Any]) -> Said:
    release = release_named(request)
    labels = {
        name: value
        for name, value in (
            (RELEASED_LABEL, instant_of(body.get("dateReleased"))),
            (STATUS_LABEL, bounded(text_of(body.get("status")), VALUE_BYTES)),
        )
        if value
    }
    fields: dict[str, Any] = {
        "kind": Kind.INFRASTRUCTURE.value,
        "environment": UNMAPPED,
        "phase": Phase.APPLIED.value,
        "key": RELEASE,
        "revision": release,
        "version": version_of(release),
        "release_id": release,
        "ref": bounded(text_of(body.get("ref")), VALUE_BYTES),
        "build_url": bounded(text_of(body.get("url")), TEXT_BYTES),
        "timestamp": instant_of(body.get("dateStarted")),
        "changes": [dict(each) for each in _commits(body)][:CHANGES] or None,
        "labels": labels,
    }
    services = _services(request, body) or (UNMAPPED,)
    return Said(
        tuple(
            Translated({**fields, "service": each}, sort=RELEASE, within=request.path["org"])
            for each in services
        )
    )


def _changes(body: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return what an update of a release corrects."""
    said = (
        (f"/labels/{RELEASED_LABEL}", instant_of(body.get("dateReleased"))),
        (f"/labels/{STATUS_LABEL}", bounded(text_of(body.get("status")), VALUE_BYTES)),
        ("/ref", bounded(text_of(body.get("ref")), VALUE_BYTES)),
        ("/build_url", bounded(text_of(body.get("url")), TEXT_BYTES)),
    )
    found: dict[str, Scalar] = {pointer: value for pointer, value in said if value is not None}
    for number, change in enumerate(_commits(body)[:_AMENDED_COMMITS]):
        found |= {f"/changes/{number}/{name}": value for name, value in change.items()}
    return found


def _commits(body: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what a release brings: each commit with its first line."""
    found = []
    for name, key in (("commits", "id"), ("refs", "commit")):
        listed = body.get(name)
        for each in listed if isinstance(listed, list) else ():
            commit = text_of(each.get(key)) if isinstance(each, Mapping) else None
            if commit is None:
                continue
            change = {"commit": bounded(commit, VALUE_BYTES) or ""}
            if title := (text_of(each.get("message")) or "").partition("\n")[0]:
                change["title"] = bounded(title, TEXT_BYTES) or ""
            found.append(change)
    return found


# What both have ----------------------------------------------------------------------------------


def records_of(request: ForeignRequest, records: DialectRecords, sort: str) -> list[Record]:
    """Return releases or deploys of the release that a request names."""
    query = RecordQuery(sort=sort, within=request.path["org"], release=release_named(request))
    return records.search(query)


def release_named(request: ForeignRequest) -> str:
    """Return the release that the address names, or the body of a new one.

    Raises:
        DialectError: Neither does.
    """
    name = text_of(request.path.get("version")) or text_of(request.json().get("version"))
    if name is None:
        raise DialectError("The version is missing: it names the release.")
    return _named(name)


def version_of(release: str) -> str:
    """Return the version in `package@version`, or all of it."""
    return release.rpartition("@")[2] or release


def _named(release: str) -> str:
    return bounded(text_of(release), VALUE_BYTES) or UNMAPPED


def _services(request: ForeignRequest, body: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the projects that are stated, else the package of the release, else the default."""
    stated = texts_of(body.get("projects"))
    if not stated and (own := text_of(request.path.get("project"))):
        stated = (own,)
    if not stated and (package := release_named(request).rpartition("@")[0]):
        stated = (package,)
    if not stated and (default := request.mapping.defaults.get("service")):
        stated = (default,)
    return tuple(dict.fromkeys(bounded(each, VALUE_BYTES) or "" for each in stated))
