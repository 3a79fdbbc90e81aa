"""The routes of DevLake's webhook."""

from collections.abc import Sequence
from typing import Final

from deploymark.integrations.devlake_webhook.translation import NAME, deployed
from deploymark.ports import (
    BEARER,
    Dialect,
    ForeignReply,
    ForeignRequest,
    Refusal,
    Route,
    Said,
    Told,
    Write,
    in_json,
)


def _deployed(_: ForeignRequest, __: Said, ___: Sequence[Told]) -> ForeignReply:
    return in_json({"success": True, "message": "success"})


def refuse(refusal: Refusal) -> ForeignReply:
    """Say an error as DevLake does."""
    return in_json({"success": False, "message": refusal.message}, refusal.status)


DIALECT: Final = Dialect(
    NAME,
    "Apache DevLake's webhook",
    tuple(
        Route(
            "POST", f"{prefix}/plugins/webhook/connections/{{id}}/deployments",
            "Tell a deployment.", Write(deployed, _deployed), (BEARER,),
        )
        for prefix in ("/api/rest", "/api")
    ),
    refuse,
    guide="devlake",
)  # fmt: skip
"""The table."""
