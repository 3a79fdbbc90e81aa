"""Events: free text with tags, among which deployments are found. Pure."""

from typing import Any, Final

from deploymark.integrations.datadog.translation import NAME, found
from deploymark.model.instants import format_instant
from deploymark.model.limits import VALUE_BYTES
from deploymark.model.mapping import marker_of
from deploymark.model.tolerant import bounded, milliseconds_of, number_of, text_of, texts_of
from deploymark.ports import (
    DialectRecords,
    ForeignRequest,
    Record,
    RecordQuery,
    Said,
    Translated,
)

EVENT: Final = "event"

_LABELS: Final = ("alert_type", "priority", "source_type_name", "host", "aggregation_key")


def happened(request: ForeignRequest) -> Said:
    """Translate `POST /api/v1/events`.

    What an `aggregation_key` holds together is one: the key is the action where no tag names a run,
    and a text that nobody understands is told once under it, at whatever time.
    """
    body = request.json()
    parts = (text_of(body.get("title")), text_of(body.get("text")))
    text, tags = "\n".join(filter(None, parts)), texts_of(body.get("tags"))
    at = milliseconds_of(body.get("date_happened"))
    group = bounded(text_of(body.get("aggregation_key")), VALUE_BYTES)
    at_ms = 0 if group else at or request.received_ms
    fields = marker_of(text, tags, at_ms, request.mapping, key=NAME)
    if group:
        fields.setdefault("action", group)
    labels = {name: bounded(text_of(body.get(name)), VALUE_BYTES) for name in _LABELS}
    fields["labels"] = {name: value for name, value in labels.items() if value}
    fields["timestamp"] = format_instant(at) if at else None
    return Said((Translated(fields, text, tags, sort=EVENT),), note=body)


def asked(request: ForeignRequest, records: DialectRecords) -> list[Record]:
    """Return the events that `GET /api/v1/events` asks for."""
    query = RecordQuery(
        sort=EVENT,
        since_ms=milliseconds_of(request.asked("start")),
        until_ms=milliseconds_of(request.asked("end")),
        tags=texts_of(request.asked("tags")),
        limit=number_of(request.asked("limit")) or 100,
    )
    return records.search(query)


def event(request: ForeignRequest, records: DialectRecords) -> Record:
    """Return the event that the address names; NotFoundError when there is none."""
    return found(request, records, EVENT)


def shown(request: ForeignRequest, record: Record) -> dict[str, Any]:
    """Return a record as Datadog shows an event."""
    title, _, text = record.text.partition("\n")
    labels = record.fields.get("labels") or {}
    at_s = record.ended_ms // 1_000
    return said_as(request, record.index, title, text, at_s) | {
        "tags": list(record.tags),
        "host": labels.get("host"),
        "priority": labels.get("priority", "normal"),
        "alert_type": labels.get("alert_type", "info"),
    }


def said_as(
    request: ForeignRequest, index: int, title: str, text: str, at_s: int
) -> dict[str, Any]:
    """Return what every answer about an event holds, seconds since the epoch among it."""
    return {
        "id": index,
        "id_str": str(index),
        "title": title,
        "text": text,
        "date_happened": at_s,
        "handle": None,
        "priority": None,
        "related_event_id": None,
        "tags": [],
        "url": f"{request.origin}/v1/entries/{index}",
    }
