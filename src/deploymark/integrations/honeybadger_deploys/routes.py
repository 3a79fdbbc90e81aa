"""The route of Honeybadger's deploys."""

from collections.abc import Sequence
from typing import Final

from deploymark.integrations.honeybadger_deploys.translation import NAME, deployed
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


def _deployed(_: ForeignRequest, __: Said, ___: Sequence[Told]) -> ForeignReply:
    return in_json({"status": "OK"}, 201)


def refuse(refusal: Refusal) -> ForeignReply:
    """Say an error as Honeybadger does."""
    return in_json({"errors": refusal.message}, refusal.status)


DIALECT: Final = Dialect(
    NAME,
    "Honeybadger deploys",
    (
        Route(
            "POST", "/v1/deploys", "Tell a deploy.",
            Write(deployed, _deployed),
            (Token(Carrier.HEADER, "x-api-key"), Token(Carrier.BODY, "api_key")),
        ),
    ),
    refuse,
    guide="error-trackers",
)  # fmt: skip
"""The table."""
