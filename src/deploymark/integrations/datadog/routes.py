"""The routes of Datadog's deployments, events and pipelines, and its words."""

from collections.abc import Sequence
from typing import Final

from deploymark.integrations.datadog import events
from deploymark.integrations.datadog.pipelines import correlated, tagged
from deploymark.integrations.datadog.translation import (
    NAME,
    changed,
    deployed,
    deployed_alone,
    image_built,
    removed,
)
from deploymark.model.tolerant import milliseconds_of, text_of, texts_of
from deploymark.ports import (
    Carrier,
    Change,
    Dialect,
    DialectRecords,
    ForeignReply,
    ForeignRequest,
    Read,
    Refusal,
    Route,
    Said,
    Token,
    Told,
    Write,
    in_json,
)

_CREDENTIALS: Final = (Token(Carrier.HEADER, "dd-api-key"), Token(Carrier.QUERY, "api_key"))


def _deployed(_: ForeignRequest, __: Said, told: Sequence[Told]) -> ForeignReply:
    data = {"id": str(told[-1].index), "type": "dora_deployment"}
    return in_json({"data": data}, 202)


def _taken(_: ForeignRequest, __: Said, ___: Sequence[Told]) -> ForeignReply:
    return in_json({}, 202)


def _happened(request: ForeignRequest, said: Said, told: Sequence[Told]) -> ForeignReply:
    body = said.note
    at_ms = milliseconds_of(body.get("date_happened")) or told[0].received_ms
    title, text = (text_of(body.get(name)) or "" for name in ("title", "text"))
    event = events.said_as(request, told[0].index, title, text, at_ms // 1_000)
    event["tags"] = list(texts_of(body.get("tags")))
    return in_json({"status": "ok", "event": event}, 202)


def _list(request: ForeignRequest, records: DialectRecords) -> ForeignReply:
    found = events.asked(request, records)
    return in_json({"events": [events.shown(request, each) for each in found]})


def _show(request: ForeignRequest, records: DialectRecords) -> ForeignReply:
    return in_json({"event": events.shown(request, events.event(request, records))})


def _valid(_: ForeignRequest, __: DialectRecords) -> ForeignReply:
    return in_json({"valid": True})


def refuse(refusal: Refusal) -> ForeignReply:
    """Say an error as Datadog does: its tools print the texts, or the body as it is."""
    return in_json({"errors": [refusal.message]}, refusal.status)


DIALECT: Final = Dialect(
    NAME,
    "datadog-ci, dog and Datadog's SDKs",
    (
        Route(
            "POST", "/api/v2/dora/deployment", "Tell a deployment.",
            Change(deployed, _deployed, deployed_alone), _CREDENTIALS,
        ),
        Route(
            "PATCH", "/api/v2/dora/deployments/{id}", "Say whether it failed.",
            Change(changed, _taken), _CREDENTIALS,
        ),
        Route(
            "DELETE", "/api/v2/dora/deployment/{id}", "Take one back.",
            Change(removed, _taken), _CREDENTIALS,
        ),
        Route(
            "POST", "/api/v2/ci/pipeline/tags", "Mark the deployment of a pipeline, or tag it.",
            Write(tagged, _taken), _CREDENTIALS,
        ),
        Route(
            "POST", "/api/v2/ci/deployments/correlate", "Join a pipeline to what it wrote for CD.",
            Write(correlated, _taken), _CREDENTIALS,
        ),
        Route(
            "POST", "/api/v2/ci/deployments/correlate-image", "Join a commit to its image.",
            Change(image_built, _taken), _CREDENTIALS,
        ),
        Route(
            "POST", "/api/v1/events", "Tell an event.",
            Write(events.happened, _happened), _CREDENTIALS,
        ),
        Route("GET", "/api/v1/events", "Find events.", Read(_list), _CREDENTIALS),
        Route("GET", "/api/v1/events/{id}", "Show one.", Read(_show), _CREDENTIALS),
        Route(
            "GET", "/api/v1/validate", "Say that the key is good.",
            Read(_valid, looks=False), _CREDENTIALS,
        ),
    ),
    refuse,
    guide="datadog",
)  # fmt: skip
"""The table."""
