"""What a marker of Honeycomb means, and how a record looks as one. Pure.

The data set is the service, unless it is `__all__`, an environment's. Words of the message such as
`env:prod` and `version:2.31.0` are read as tags, since there are no others.
"""

from collections.abc import Mapping
from typing import Any, Final

from deploymark.errors import NotFoundError
from deploymark.model.limits import TEXT_BYTES, VALUE_BYTES
from deploymark.model.mapping import SEARCHED_CHARACTERS, marker_of
from deploymark.model.tolerant import (
    bounded,
    date_of,
    instant_of,
    milliseconds_of,
    number_of,
    text_of,
)
from deploymark.model.vocabulary import Phase
from deploymark.ports import (
    Amended,
    DialectRecords,
    ForeignRequest,
    Record,
    RecordQuery,
    Said,
    Scalar,
    Told,
    Translated,
    corrected_times,
)

NAME: Final = "honeycomb_markers"

_EVERY: Final = "__all__"
_TYPE_LABEL: Final = "type"
_LISTED: Final = 1_000


def added(request: ForeignRequest) -> Said:
    """Translate `POST /1/markers/{dataset}`."""
    body = request.json()
    message = text_of(body.get("message")) or ""
    began, ended = milliseconds_of(body.get("start_time")), milliseconds_of(body.get("end_time"))
    dataset = bounded(request.path["dataset"], VALUE_BYTES) or _EVERY
    known = {} if dataset == _EVERY else {"service": dataset}
    fields = marker_of(
        message,
        message[:SEARCHED_CHARACTERS].split(),
        began or ended or request.received_ms,
        request.mapping,
        key=NAME,
        guessed=known,
    )
    sort = bounded(text_of(body.get("type")), VALUE_BYTES)
    fields["labels"] = {_TYPE_LABEL: sort} if sort else {}
    fields["build_url"] = bounded(text_of(body.get("url")), TEXT_BYTES)
    marks: list[tuple[str, int | None]] = [(fields["phase"], ended or began)]
    if began and ended and began < ended:
        marks.insert(0, (Phase.APPLYING.value, began))
    return Said(
        tuple(
            Translated(
                {**fields, "phase": phase, "timestamp": instant_of(at)}, message, within=dataset
            )
            for phase, at in marks
        )
    )


def changed(request: ForeignRequest, records: DialectRecords) -> Said:
    """Translate `PUT /1/markers/{dataset}/{id}`: what is not said stays."""
    body, record = request.json(), found(request, records)
    began = milliseconds_of(body.get("start_time")) or record.started_ms
    ended = milliseconds_of(body.get("end_time")) or (
        record.ended_ms if record.started_ms != record.ended_ms else began
    )
    changes: dict[str, Scalar] = {}
    if sort := bounded(text_of(body.get("type")), VALUE_BYTES):
        changes[f"/labels/{_TYPE_LABEL}"] = sort
    if url := bounded(text_of(body.get("url")), TEXT_BYTES):
        changes["/build_url"] = url
    said = Amended(record, changes, text=text_of(body.get("message")))
    return Said(amendments=(said, *corrected_times(record, began, max(began, ended))))


def removed(request: ForeignRequest, records: DialectRecords) -> Said:
    """Translate `DELETE /1/markers/{dataset}/{id}`."""
    return Said(retractions=(found(request, records),))


def asked(request: ForeignRequest, records: DialectRecords) -> list[Record]:
    """Return the markers of a data set."""
    return records.search(RecordQuery(within=_dataset(request), limit=_LISTED))


def found(request: ForeignRequest, records: DialectRecords) -> Record:
    """Return the marker that the address names; NotFoundError when it has none such."""
    index = number_of(request.path["id"])
    record = None if index is None else records.find(index)
    if record is None or record.within != _dataset(request):
        raise NotFoundError("Marker not found.", hint="It was never there, or taken back.")
    return record


def shown(record: Record) -> dict[str, Any]:
    """Return a record as Honeycomb shows a marker."""
    began, ended = record.started_ms // 1_000, record.ended_ms // 1_000
    said = {
        "start_time": began,
        "end_time": ended if ended != began else None,
        "message": record.text,
        "type": (record.fields.get("labels") or {}).get(_TYPE_LABEL),
        "url": record.fields.get("build_url"),
    }
    return _framed(record.index, record.received_ms, record.amended_ms, said)


def shown_as_said(request: ForeignRequest, told: Told) -> dict[str, Any]:
    """Return what a client has just told as Honeycomb shows it."""
    body = request.json()
    began, ended = milliseconds_of(body.get("start_time")), milliseconds_of(body.get("end_time"))
    said = {
        "start_time": (began or ended or told.received_ms) // 1_000,
        "end_time": None if ended is None else ended // 1_000,
        **{name: text_of(body.get(name)) for name in ("message", "type", "url")},
    }
    return _framed(told.index, told.received_ms, told.received_ms, said)


def _framed(
    index: int, created_ms: int, updated_ms: int, said: Mapping[str, Any]
) -> dict[str, Any]:
    times = {"created_at": date_of(created_ms), "updated_at": date_of(updated_ms)}
    return {"id": str(index), **times, **{k: v for k, v in said.items() if v is not None}}


def _dataset(request: ForeignRequest) -> str:
    return bounded(request.path["dataset"], VALUE_BYTES) or _EVERY
