"""The routes of Rollbar's deploys."""

from collections.abc import Sequence
from typing import Final

from deploymark.integrations.rollbar_deploys.translation import (
    NAME,
    deployed,
    found,
    shown,
    updated,
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
    Token(Carrier.HEADER, "x-rollbar-access-token"),
    Token(Carrier.QUERY, "access_token"),
    Token(Carrier.BODY, "access_token"),
)
_READS: Final = _CREDENTIALS[:2]


def _deployed(_: ForeignRequest, __: Said, told: Sequence[Told]) -> ForeignReply:
    return in_json({"data": {"deploy_id": told[0].index}})


def _updated(request: ForeignRequest, said: Said, _: Sequence[Told]) -> ForeignReply:
    return in_json({"err": 0, "result": shown(said.note) | {"status": said_status(request)}})


def said_status(request: ForeignRequest) -> str | None:
    """Return the status that a request says, as it says it."""
    body = request.form or request.json()
    status = body.get("status")
    return status if isinstance(status, str) else None


def _show(request: ForeignRequest, records: DialectRecords) -> ForeignReply:
    return in_json({"err": 0, "result": shown(found(request, records))})


def refuse(refusal: Refusal) -> ForeignReply:
    """Say an error as Rollbar does."""
    return in_json({"err": 1, "message": refusal.message}, refusal.status)


DIALECT: Final = Dialect(
    NAME,
    "Rollbar deploys",
    (
        Route(
            "POST", "/api/1/deploy/", "Tell a deploy, begun or done.",
            Write(deployed, _deployed), _CREDENTIALS,
        ),
        Route(
            "PATCH", "/api/1/deploy/{id}", "Say what came of it.",
            Change(updated, _updated), _CREDENTIALS,
        ),
        Route("GET", "/api/1/deploy/{id}", "Show one.", Read(_show), _READS),
    ),
    refuse,
    guide="error-trackers",
)  # fmt: skip
"""The table."""
