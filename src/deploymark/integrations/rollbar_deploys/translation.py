"""What a deploy of Rollbar means. Pure.

It names no service: the token does, by the defaults of the configuration.
"""

from typing import Any, Final

from deploymark.errors import NotFoundError
from deploymark.model.mapping import UNMAPPED, marker_of, subject_of
from deploymark.model.tolerant import number_of, text_of
from deploymark.model.vocabulary import Phase
from deploymark.ports import DialectRecords, ForeignRequest, Record, Said, Translated

NAME: Final = "rollbar_deploys"

_PHASES: Final = {
    "started": Phase.APPLYING,
    "succeeded": Phase.APPLIED,
    "failed": Phase.FAILED,
    "timed_out": Phase.FAILED,
}
_STATUSES: Final = {"applying": "started", "failed": "failed"}
_TOLD_AGAIN: Final = ("kind", "service", "environment", "version", "commit_hash", "key", "revision")
_NOWHERE: Final = {"service": UNMAPPED, "environment": UNMAPPED}


def deployed(request: ForeignRequest) -> Said:
    """Translate `POST /api/1/deploy/`: a form, or JSON."""
    body = request.form or request.json()
    comment = text_of(body.get("comment")) or ""
    user = text_of(body.get("rollbar_username")) or text_of(body.get("local_username"))
    fields = marker_of(
        comment,
        (),
        request.received_ms,
        request.mapping,
        key=NAME,
        guessed=_NOWHERE,
        stated={
            "environment": text_of(body.get("environment")),
            "deployer": user,
            "phase": phase_of(body.get("status")),
            **subject_of(text_of(body.get("revision"))),
        },
    )
    return Said((Translated(fields, comment),))


def updated(request: ForeignRequest, records: DialectRecords) -> Said:
    """Translate `PATCH /api/1/deploy/{id}`: a deploy goes on, or ends."""
    record = found(request, records)
    phase = phase_of((request.form or request.json()).get("status"))
    fields = {name: record.fields.get(name) for name in _TOLD_AGAIN}
    known = phase is None or phase in {event.phase for event in record.events}
    markers = () if known else (Translated({**fields, "phase": phase}),)
    return Said(markers, note=record)


def found(request: ForeignRequest, records: DialectRecords) -> Record:
    """Return the deploy that the address names; NotFoundError when there is none."""
    index = number_of(request.path["id"])
    record = None if index is None else records.find(index)
    if record is None:
        raise NotFoundError("Deploy not found.", hint="It was never there, or taken back.")
    return record


def shown(record: Record) -> dict[str, Any]:
    """Return a record as Rollbar shows a deploy."""
    fields, last = record.fields, record.events[-1]
    return {
        "id": record.index,
        "environment": fields["environment"],
        "revision": fields.get("commit_hash") or fields.get("version"),
        "comment": record.text or None,
        "local_username": fields.get("deployer"),
        "start_time": record.started_ms // 1_000,
        "finish_time": record.ended_ms // 1_000,
        "status": _STATUSES.get(last.phase, "succeeded"),
    }


def phase_of(status: object) -> str | None:
    """Return the phase of a status; None where it says none, which is a deploy that is done."""
    phase = _PHASES.get((text_of(status) or "").lower())
    return None if phase is None else phase.value
