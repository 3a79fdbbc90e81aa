"""What a deployment of New Relic's REST v2 means. Pure.

An application is a service. New Relic's ids are numbers that stand for names; here the id of an
application is its name, percent-encoded, so that nothing has to be there before its first deploy.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, unquote

from deploymark.errors import NotFoundError
from deploymark.model.limits import VALUE_BYTES
from deploymark.model.mapping import UNMAPPED, marker_of, subject_of
from deploymark.model.tolerant import (
    bounded,
    date_of,
    instant_of,
    milliseconds_of,
    number_of,
    text_of,
)
from deploymark.ports import (
    DialectRecords,
    ForeignRequest,
    Record,
    RecordQuery,
    Said,
    Told,
    Translated,
)

NAME: Final = "newrelic_deployments"

_BETWEEN: Final = "\n\n"  # description and changelog, in one text
_REVISION_LABEL: Final = "revision"
_SAID: Final = ("revision", "changelog", "description", "user")


def applications(request: ForeignRequest) -> list[dict[str, Any]]:
    """Return the application of the name that `filter[name]` asks for, known or not."""
    name = bounded(text_of(request.asked("filter[name]")), VALUE_BYTES)
    return [] if name is None else [{"id": quote(name, safe=""), "name": name}]


def deployed(request: ForeignRequest) -> Said:
    """Translate `POST /v2/applications/{id}/deployments.json`."""
    body = _deployment(request)
    name = _name(request)
    parts = [text_of(body.get(name)) or "" for name in ("description", "changelog")]
    text = _BETWEEN.join(parts) if parts[1] else parts[0]
    at = milliseconds_of(body.get("timestamp"))
    revision = text_of(body.get("revision"))
    fields = marker_of(
        f"{name}\n{text}",
        (),
        at or request.received_ms,
        request.mapping,
        key=NAME,
        guessed={"service": name, "environment": UNMAPPED},
        stated={"deployer": text_of(body.get("user")), **subject_of(revision)},
    )
    label = bounded(revision, VALUE_BYTES)
    fields["labels"] = {_REVISION_LABEL: label} if label else {}
    fields["timestamp"] = instant_of(at)
    return Said((Translated(fields, text, within=name),))


def removed(request: ForeignRequest, records: DialectRecords) -> Said:
    """Translate `DELETE /v2/applications/{id}/deployments/{deployment}.json`.

    Raises:
        NotFoundError: There is none of this application.
    """
    index = number_of(request.path["deployment"].removesuffix(".json"))
    record = None if index is None else records.find(index)
    if record is None or record.within != _name(request):
        raise NotFoundError("Deployment not found.", hint="It was never there, or taken back.")
    return Said(retractions=(record,))


def asked(request: ForeignRequest, records: DialectRecords) -> list[Record]:
    """Return the deployments of an application."""
    return records.search(RecordQuery(within=_name(request)))


def shown(record: Record) -> dict[str, Any]:
    """Return a record as New Relic shows a deployment."""
    labels = record.fields.get("labels") or {}
    description, _, changelog = record.text.partition(_BETWEEN)
    return _framed(
        record.within,
        record.index,
        record.ended_ms,
        {
            "revision": labels.get(_REVISION_LABEL),
            "changelog": changelog or None,
            "description": description or None,
            "user": record.fields.get("deployer"),
        },
    )


def shown_as_said(request: ForeignRequest, told: Told) -> dict[str, Any]:
    """Return what a client has just told as New Relic shows it."""
    body = _deployment(request)
    said = {name: text_of(body.get(name)) for name in _SAID}
    at_ms = milliseconds_of(body.get("timestamp")) or told.received_ms
    return _framed(_name(request), told.index, at_ms, said)


def _framed(name: str, index: int, at_ms: int, said: Mapping[str, Any]) -> dict[str, Any]:
    links = {"application": quote(name, safe="")}
    return {"id": index, **said, "timestamp": date_of(at_ms), "links": links}


def _deployment(request: ForeignRequest) -> Mapping[str, Any]:
    found = request.json().get("deployment")
    return found if isinstance(found, Mapping) else {}


def _name(request: ForeignRequest) -> str:
    return bounded(text_of(unquote(request.path["id"])), VALUE_BYTES) or UNMAPPED
