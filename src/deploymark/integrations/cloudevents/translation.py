"""What CloudEvents mean. Pure.

CDEvents are understood; of any other event the fields of its data are, where they are named as
tags are. What names no deployment is kept as a change of the infrastructure, told apart by source
and id. A batch is taken as a whole or not at all.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

import msgspec

from deploymark.integrations.cloudevents.cdevents import (
    APPLIED,
    REMOVED,
    incident_of,
    kind_of,
    phase_of,
    stated,
)
from deploymark.integrations.cloudevents.envelope import CloudEvent, events_of
from deploymark.model.canonical import encode
from deploymark.model.instants import format_instant
from deploymark.model.limits import VALUE_BYTES
from deploymark.model.mapping import NO_MAPPING, mapped, names_deployment, unmapped
from deploymark.model.tolerant import bounded, member, text_of
from deploymark.model.vocabulary import Kind, Phase
from deploymark.ports import (
    DialectRecords,
    ForeignRequest,
    Record,
    RecordQuery,
    Said,
    Translated,
)

NAME: Final = "cloudevents"

_SUBJECT: Final = ("version", "commit_hash", "artifact", "action")
"""What a removal takes from the deployment that it ends."""

_TRIED: Final = 100


def told_alone(request: ForeignRequest) -> Said | None:
    """Translate `POST /events`; None when a removal must find what it ends."""
    events = events_of(request)
    if any(_must_look(event) for event in events):
        return None
    return _said(request, events, None)


def told(request: ForeignRequest, records: DialectRecords) -> Said:
    """Translate `POST /events` with a removal."""
    return _said(request, events_of(request), records)


def _must_look(event: CloudEvent) -> bool:
    return kind_of(event) == REMOVED and not names_deployment(
        mapped("", (), NO_MAPPING, stated=stated(event))
    )


def _said(
    request: ForeignRequest, events: list[CloudEvent], records: DialectRecords | None
) -> Said:
    markers, incidents = [], []
    for event in events:
        kind = kind_of(event) or ""
        at = event.at or format_instant(request.received_ms)
        if (incident := incident_of(event, kind, at, _unique(event))) is not None:
            incidents.append({**incident, "actor": bounded(request.caller, VALUE_BYTES)})
        else:
            markers.append(_marker(request, event, kind, records))
    return Said(tuple(markers), incidents=tuple(incidents), note=len(events))


def _marker(
    request: ForeignRequest, event: CloudEvent, kind: str, records: DialectRecords | None
) -> Translated:
    text, tags = _text(event, kind), [] if kind else _tags(event)
    fields = mapped(text, tags, request.mapping, stated=stated(event) if kind else {})
    fields["timestamp"] = event.at
    deploys = kind in {*APPLIED, REMOVED} or not kind
    if kind == REMOVED and records is not None and not names_deployment(fields):
        fields |= _removed(fields, records)
    if deploys and names_deployment(fields):
        fields.setdefault("phase", phase_of(kind).value)
    else:
        key = bounded(kind or event.type, VALUE_BYTES) or NAME
        fields = unmapped(fields, key, _unique(event))
    fields["labels"] = {
        name: bounded(value, VALUE_BYTES) or ""
        for name, value in (("event_id", event.id), ("event_type", event.type))
    }
    return Translated(fields, text, sort=kind, within=event.source)


def _removed(fields: Mapping[str, Any], records: DialectRecords) -> dict[str, Any]:
    """Return what the newest deployment of a service in an environment is of."""
    if "service" not in fields or "environment" not in fields:
        return {}
    query = RecordQuery(service=fields["service"], environment=fields["environment"], limit=_TRIED)
    for record in records.search(query):
        if record.fields.get("kind", Kind.DEPLOYMENT) == Kind.DEPLOYMENT and _ran(record):
            return {name: record.fields[name] for name in _SUBJECT if name in record.fields}
    return {}


def _ran(record: Record) -> bool:
    return any(event.phase == Phase.APPLIED for event in record.events)


def _unique(event: CloudEvent) -> str:
    return sha256(encode([event.source, event.id])).hexdigest()


def _text(event: CloudEvent, kind: str) -> str:
    """Return what nobody translates, as it came: all data, or what producers add to a CDEvent."""
    data = event.data
    if kind in {*APPLIED, REMOVED}:
        data = member(data, "customData")
    if data is None:
        return ""
    return text_of(data) or msgspec.json.encode(data).decode()


def _tags(event: CloudEvent) -> list[str]:
    data = event.data
    return [
        f"{name}:{text}"
        for name, value in (data.items() if isinstance(data, Mapping) else ())
        if (text := text_of(value))
    ]
