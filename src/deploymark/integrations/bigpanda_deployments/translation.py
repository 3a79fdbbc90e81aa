"""What start and end of a deployment of BigPanda mean. Pure."""

from typing import Final

from deploymark.model.limits import VALUE_BYTES
from deploymark.model.mapping import UNMAPPED, marker_of, subject_of
from deploymark.model.tolerant import bounded, instant_of, milliseconds_of, text_of, texts_of
from deploymark.model.vocabulary import Phase
from deploymark.ports import (
    ForeignRequest,
    Said,
    Translated,
)

NAME: Final = "bigpanda_deployments"

_FAILED: Final = frozenset({"failure", "failed", "error", "aborted"})
_NOWHERE: Final = {"service": UNMAPPED, "environment": UNMAPPED}


def started(request: ForeignRequest) -> Said:
    """Translate `POST /data/events/deployments/start`."""
    return _said(request, Phase.APPLYING)


def ended(request: ForeignRequest) -> Said:
    """Translate `POST /data/events/deployments/end`."""
    status = (text_of(request.json().get("status")) or "").lower()
    return _said(request, Phase.FAILED if status in _FAILED else Phase.APPLIED)


def _said(request: ForeignRequest, phase: Phase) -> Said:
    body = request.json()
    text = "\n".join(
        filter(None, (text_of(body.get("description")), text_of(body.get("errorMessage"))))
    )
    at = milliseconds_of(body.get("timestamp"))
    fields = marker_of(
        text,
        (),
        at or request.received_ms,
        request.mapping,
        key=NAME,
        guessed=_NOWHERE,
        stated={
            "service": text_of(body.get("component")),
            "environment": text_of(body.get("env")) or text_of(body.get("environment")),
            "deployer": text_of(body.get("owner")),
            "phase": phase.value,
            **subject_of(text_of(body.get("version"))),
        },
    )
    if source := bounded(text_of(body.get("source_system")), VALUE_BYTES):
        fields["labels"] = {"source_system": source}
    fields["timestamp"] = instant_of(at)
    hosts = tuple(f"host:{each}" for each in texts_of(body.get("hosts")))
    return Said((Translated(fields, text, hosts),))
