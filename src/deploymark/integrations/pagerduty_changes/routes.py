"""The route of PagerDuty's change events."""

from collections.abc import Sequence
from typing import Final

from deploymark.integrations.pagerduty_changes.translation import NAME, enqueued
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
    Token(Carrier.HEADER, "x-routing-key"),
    Token(Carrier.BODY, "routing_key"),
)


def _enqueued(_: ForeignRequest, __: Said, ___: Sequence[Told]) -> ForeignReply:
    return in_json({"status": "success", "message": "Change event processed"}, 202)


def refuse(refusal: Refusal) -> ForeignReply:
    """Say an error as PagerDuty does."""
    errors = [refusal.message]
    said = {"status": "invalid event", "message": refusal.message, "errors": errors}
    return in_json(said, refusal.status)


DIALECT: Final = Dialect(
    NAME,
    "PagerDuty change events",
    (
        Route(
            "POST", "/v2/change/enqueue", "Tell a change.",
            Write(enqueued, _enqueued), _CREDENTIALS,
        ),
    ),
    refuse,
    guide="pagerduty",
)  # fmt: skip
"""The table."""
