"""The one route of GitHub's webhooks; people read its answers under "Recent Deliveries"."""

from collections.abc import Sequence
from typing import Final

from deploymark.crypto.webhook_signature import Profile
from deploymark.integrations.github_webhooks.translation import NAME, delivered
from deploymark.ports import (
    Dialect,
    ForeignReply,
    ForeignRequest,
    Refusal,
    Route,
    Said,
    Signature,
    Told,
    Write,
    in_json,
)


def _answered(_: ForeignRequest, said: Said, told: Sequence[Told]) -> ForeignReply:
    if not told:
        return in_json({"message": said.note})
    return in_json({"message": said.note, "deployment_id": told[0].deployment_id}, 202)


def refuse(refusal: Refusal) -> ForeignReply:
    """Say an error; GitHub shows the body beside the delivery."""
    return in_json({"message": refusal.message, "code": refusal.code}, refusal.status)


DIALECT: Final = Dialect(
    NAME,
    "GitHub's webhooks",
    (
        Route(
            "POST", "/hooks/github", "Take an event `deployment` or `deployment_status`.",
            Write(delivered, _answered), (Signature(Profile.HEX, "x-hub-signature-256"),),
        ),
    ),
    refuse,
    guide="github-webhooks",
)  # fmt: skip
"""The table."""
