"""Senders of BigPanda deployments. Source: docs.bigpanda.io, "Deployments API".

The routes, and what start and end of a deployment mean.
"""

from collections.abc import Sequence
from typing import Final

from deploymark.model.limits import VALUE_BYTES
from deploymark.model.mapping import UNMAPPED, TextMapping, marker_of, subject_of
from deploymark.model.tolerant import bounded, instant_of, milliseconds_of, text_of, texts_of
from deploymark.model.vocabulary import Phase
from deploymark.ports import (
    BEARER,
    Carrier,
    Dialect,
    ForeignReply,
    ForeignRequest,
    Refusal,
    Route,
    Said,
    Token,
    Told,
    Translated,
    Write,
    in_json,
)

NAME: Final = "bigpanda_deployments"

_CREDENTIALS: Final = (BEARER, Token(Carrier.BODY, "app_key"))
_FAILED: Final = frozenset({"failure", "failed", "error", "aborted"})
_NOWHERE: Final = TextMapping(defaults={"service": UNMAPPED, "environment": UNMAPPED})


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
        request.mapping.over(_NOWHERE),
        key=NAME,
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


def _taken(_: ForeignRequest, __: Said, ___: Sequence[Told]) -> ForeignReply:
    return in_json({"response": {"status": "ok"}})


def refuse(refusal: Refusal) -> ForeignReply:
    """Say an error as BigPanda does."""
    errors = [{"message": refusal.message}]
    return in_json({"response": {"status": "error", "errors": errors}}, refusal.status)


DIALECT: Final = Dialect(
    NAME,
    "BigPanda deployments",
    (
        Route(
            "POST", "/data/events/deployments/start", "Tell that a deployment begins.",
            Write(started, _taken), _CREDENTIALS,
        ),
        Route(
            "POST", "/data/events/deployments/end", "Tell that it ended.",
            Write(ended, _taken), _CREDENTIALS,
        ),
    ),
    refuse,
    guide="error-trackers",
)  # fmt: skip
"""The table."""
