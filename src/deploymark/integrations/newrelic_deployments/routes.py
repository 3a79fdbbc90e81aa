"""The routes of New Relic's deployments, REST v2."""

from collections.abc import Sequence
from typing import Final

from deploymark.integrations.newrelic_deployments.translation import (
    NAME,
    applications,
    asked,
    deployed,
    removed,
    shown,
    shown_as_said,
)
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

_CREDENTIALS: Final = (
    Token(Carrier.HEADER, "x-api-key"),
    Token(Carrier.HEADER, "api-key"),
)
_DEPLOYMENTS: Final = "/v2/applications/{id}/deployments.json"


def _applications(request: ForeignRequest, _: DialectRecords) -> ForeignReply:
    return in_json({"applications": applications(request)})


def _deployed(request: ForeignRequest, _: Said, told: Sequence[Told]) -> ForeignReply:
    return in_json({"deployment": shown_as_said(request, told[0])}, 201)


def _list(request: ForeignRequest, records: DialectRecords) -> ForeignReply:
    return in_json({"deployments": [shown(each) for each in asked(request, records)]})


def _removed(_: ForeignRequest, said: Said, __: Sequence[Told]) -> ForeignReply:
    return in_json({"deployment": shown(said.retractions[0])})


def refuse(refusal: Refusal) -> ForeignReply:
    """Say an error as New Relic does; its agents print the title."""
    return in_json({"error": {"title": refusal.message}}, refusal.status)


DIALECT: Final = Dialect(
    NAME,
    "New Relic deployments, REST v2",
    (
        Route(
            "GET", "/v2/applications.json", "Find an application by its name.",
            Read(_applications, looks=False), _CREDENTIALS,
        ),
        Route("POST", _DEPLOYMENTS, "Tell a deployment.", Write(deployed, _deployed), _CREDENTIALS),
        Route("GET", _DEPLOYMENTS, "List deployments.", Read(_list), _CREDENTIALS),
        Route(
            "DELETE", "/v2/applications/{id}/deployments/{deployment}", "Take one back.",
            Change(removed, _removed), _CREDENTIALS,
        ),
    ),
    refuse,
    guide="newrelic",
)  # fmt: skip
"""The table."""
