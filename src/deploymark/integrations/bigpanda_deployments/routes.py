"""The routes of BigPanda's deployments."""

from collections.abc import Sequence
from typing import Final

from deploymark.integrations.bigpanda_deployments.translation import NAME, ended, started
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
    Write,
    in_json,
)

_CREDENTIALS: Final = (BEARER, Token(Carrier.BODY, "app_key"))


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
