"""What an annotation means, and how a record looks as one. Pure.

A point in time is one marker; a region is `applying` at its beginning and `applied` at its end.
What is deployed stands in tags (`service:checkout`) or in the text, as the configuration says; an
edit changes text, tags and times, never what is deployed.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from deploymark.errors import DialectError, NotFoundError
from deploymark.model.instants import format_instant
from deploymark.model.mapping import marker_of
from deploymark.model.tolerant import flag_of, milliseconds_of, number_of, text_of, texts_of
from deploymark.model.vocabulary import Phase
from deploymark.ports import (
    Amended,
    DialectRecords,
    ForeignRequest,
    Record,
    RecordQuery,
    Said,
    Translated,
    corrected_times,
)

NAME: Final = "grafana_annotations"

_DASHBOARD: Final = "dashboard_uid"
_PANEL: Final = "panel_id"
_FOUND: Final = 100


def added(request: ForeignRequest) -> Said:
    """Translate `POST /api/annotations`."""
    body = request.json()
    text, tags = text_of(body.get("text")) or "", texts_of(body.get("tags"))
    began, ended = milliseconds_of(body.get("time")), milliseconds_of(body.get("timeEnd"))
    labels = {
        name: said
        for name, key in ((_DASHBOARD, "dashboardUID"), (_PANEL, "panelId"))
        if (said := text_of(body.get(key)))
    }
    return _said(request, text, tags, began, ended, labels)


def graphite_added(request: ForeignRequest) -> Said:
    """Translate `POST /api/annotations/graphite`."""
    body = request.json()
    what, data = text_of(body.get("what")), text_of(body.get("data"))
    tags = body.get("tags")
    tags = tuple(tags.split()) if isinstance(tags, str) else tags  # Graphite's older form
    text = "\n".join(filter(None, (what, data)))
    return _said(request, text, texts_of(tags), milliseconds_of(body.get("when")), None, {})


def _said(
    request: ForeignRequest,
    text: str,
    tags: Sequence[str],
    began: int | None,
    ended: int | None,
    labels: Mapping[str, str],
) -> Said:
    at_ms = began or ended or request.received_ms
    fields = marker_of(text, tags, at_ms, request.mapping, key=NAME)
    if labels:
        fields["labels"] = labels
    marks: list[tuple[str, int | None]]
    if began and ended and ended > began:
        marks = [(Phase.APPLYING.value, began), (fields["phase"], ended)]
    else:
        marks = [(fields["phase"], began or ended)]
    markers = []
    for phase, at in marks:
        timed = {"timestamp": format_instant(at)} if at else {}
        markers.append(Translated({**fields, "phase": phase, **timed}, text, tags))
    return Said(tuple(markers))


def changed(request: ForeignRequest, records: DialectRecords) -> Said:
    """Translate `PUT /api/annotations/{id}`: what is not said is taken away."""
    body = request.json()
    tags = texts_of(body.get("tags"))
    return _amended(found(request, records), body, text_of(body.get("text")) or "", tags)


def patched(request: ForeignRequest, records: DialectRecords) -> Said:
    """Translate `PATCH /api/annotations/{id}`: what is not said stays."""
    body = request.json()
    tags = texts_of(body["tags"]) if body.get("tags") is not None else None
    return _amended(found(request, records), body, text_of(body.get("text")), tags)


def removed(request: ForeignRequest, records: DialectRecords) -> Said:
    """Translate `DELETE /api/annotations/{id}`."""
    return Said(retractions=(found(request, records),))


def _amended(
    record: Record, body: Mapping[str, Any], text: str | None, tags: Sequence[str] | None
) -> Said:
    began = milliseconds_of(body.get("time")) or record.started_ms
    ended = max(began, milliseconds_of(body.get("timeEnd")) or record.ended_ms)
    if not body.get("timeEnd") and record.started_ms == record.ended_ms:
        ended = began  # a point is moved as a whole
    times = corrected_times(record, began, ended)
    return Said(amendments=(Amended(record, text=text, tags=tags), *times))


def found(request: ForeignRequest, records: DialectRecords) -> Record:
    """Return the annotation that the address names.

    Raises:
        DialectError: The id is none.
        NotFoundError: There is none, or it was taken back.
    """
    index = number_of(request.path["id"])
    if index is None:
        raise DialectError(
            "The id of an annotation is a number; of /api/annotations nothing else is taken.",
            hint="Not taken are /tags and deleting many at once; see docs/howto/"
            "grafana-annotations.md.",
        )
    record = records.find(index)
    if record is None:
        raise NotFoundError("Annotation not found.", hint="It was never there, or taken back.")
    return record


def asked(request: ForeignRequest, records: DialectRecords) -> list[Record]:
    """Return the annotations that `GET /api/annotations` asks for."""
    if request.asked("type") == "alert":
        return []
    query = RecordQuery(
        since_ms=milliseconds_of(request.asked("from")),
        until_ms=milliseconds_of(request.asked("to")),
        tags=request.asked_all("tags"),
        any_tag=flag_of(request.asked("matchAny")) is True,
        limit=number_of(request.asked("limit")) or _FOUND,
    )
    wanted = {
        name: text
        for name, key in ((_DASHBOARD, "dashboardUID"), (_PANEL, "panelId"))
        if (text := request.asked(key)) and text != "0"
    }
    return [each for each in records.search(query) if wanted.items() <= _labels(each).items()]


def shown(record: Record) -> dict[str, Any]:
    """Return a record as Grafana shows an annotation."""
    labels = _labels(record)
    return {
        "id": record.index,
        "alertId": 0,
        "alertName": "",
        "dashboardId": 0,
        "dashboardUID": labels.get(_DASHBOARD),
        "panelId": number_of(labels.get(_PANEL)) or 0,
        "userId": 0,
        "newState": "",
        "prevState": "",
        "created": record.received_ms,
        "updated": record.amended_ms,
        "time": record.started_ms,
        "timeEnd": record.ended_ms,
        "text": record.text,
        "tags": list(record.tags),
        "login": record.principal,
        "email": "",
        "avatarUrl": "",
        "data": {"deployment_id": record.deployment_id, "occurrence": record.occurrence},
    }


def _labels(record: Record) -> Mapping[str, str]:
    labels: Mapping[str, str] = record.fields.get("labels") or {}
    return labels
