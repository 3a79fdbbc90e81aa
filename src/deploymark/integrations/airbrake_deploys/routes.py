"""The route of Airbrake's deploys."""

from collections.abc import Sequence
from typing import Final

from deploymark.integrations.airbrake_deploys.translation import NAME, deployed
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


def _deployed(_: ForeignRequest, __: Said, told: Sequence[Told]) -> ForeignReply:
    return in_json({"id": str(told[0].index)}, 201)


def refuse(refusal: Refusal) -> ForeignReply:
    """Say an error as Airbrake does."""
    return in_json({"message": refusal.message}, refusal.status)


DIALECT: Final = Dialect(
    NAME,
    "Airbrake deploys",
    (
        Route(
            "POST", "/api/v4/projects/{id}/deploys", "Tell a deploy.",
            Write(deployed, _deployed),
            (Token(Carrier.QUERY, "key"), BEARER),
        ),
    ),
    refuse,
    guide="error-trackers",
)  # fmt: skip
"""The table."""
