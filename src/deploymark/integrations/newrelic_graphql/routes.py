"""The route of New Relic's GraphQL."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from deploymark.integrations.newrelic_graphql.document import Asked, shaped
from deploymark.integrations.newrelic_graphql.translation import DEPLOYMENT, NAME, tracked
from deploymark.model.tolerant import milliseconds_of
from deploymark.ports import (
    Carrier,
    Dialect,
    ForeignReply,
    ForeignRequest,
    Refusal,
    Route,
    Said,
    Token,
    Told,
    Write,
    in_json,
)

_CREDENTIALS: Final = (
    Token(Carrier.HEADER, "api-key"),
    Token(Carrier.HEADER, "x-api-key"),
)
_INPUTS: Final = ("deployment", "changeTrackingEvent")


def _tracked(_: ForeignRequest, said: Said, told: Sequence[Told]) -> ForeignReply:
    asked: Sequence[Asked] = said.note
    answers = {
        each.key: shaped(_answer(each, outcome), each.shape)
        for each, outcome in zip(asked, told, strict=True)
    }
    return in_json({"data": answers})


def _answer(asked: Asked, told: Told) -> dict[str, Any]:
    """Return everything that may be asked of an answer: what was said, and under which id."""
    inputs = (asked.arguments.get(name) for name in _INPUTS)
    said: Mapping[str, Any] = next((each for each in inputs if isinstance(each, Mapping)), {})
    at_ms = milliseconds_of(said.get("timestamp")) or told.received_ms
    identity = {"changeTrackingId": str(told.index), "timestamp": at_ms}
    if asked.name == DEPLOYMENT:
        return {**said, **identity, "deploymentId": told.deployment_id, "messages": []}
    kind = said.get("categoryAndTypeData")
    kinds = kind.get("kind") if isinstance(kind, Mapping) else None
    more = kinds if isinstance(kinds, Mapping) else {}
    return {"changeTrackingEvent": {**said, **more, **identity}, "messages": []}


def refuse(refusal: Refusal) -> ForeignReply:
    """Say an error as GraphQL does: what is wrong with the request is said with status 200."""
    error = {"message": refusal.message, "extensions": {"errorClass": refusal.code}}
    status = 200 if refusal.status == HTTPStatus.BAD_REQUEST else refusal.status
    return in_json({"data": None, "errors": [error]}, status)


DIALECT: Final = Dialect(
    NAME,
    "New Relic change tracking, GraphQL",
    (
        Route(
            "POST", "/graphql", "Track a change by a mutation.",
            Write(tracked, _tracked), _CREDENTIALS,
        ),
    ),
    refuse,
    guide="newrelic",
)  # fmt: skip
"""The table."""
