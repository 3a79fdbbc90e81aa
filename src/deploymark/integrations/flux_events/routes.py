"""The one route of Flux's events."""

from collections.abc import Sequence
from typing import Final

from deploymark.crypto.webhook_signature import Profile
from deploymark.integrations.flux_events.translation import NAME, happened
from deploymark.ports import (
    BEARER,
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


def _taken(_: ForeignRequest, said: Said, told: Sequence[Told]) -> ForeignReply:
    return in_json({"message": said.note, "deployment_id": told[0].deployment_id}, 202)


def refuse(refusal: Refusal) -> ForeignReply:
    """Say an error; the notification-controller logs the body with its status."""
    return in_json({"message": refusal.message, "code": refusal.code}, refusal.status)


DIALECT: Final = Dialect(
    NAME,
    "Flux's notification-controller",
    (
        Route(
            "POST", "/hooks/flux", "Take an event of a Kustomization, a HelmRelease or a source.",
            Write(happened, _taken),
            # `generic` sends no signature, but headers of its secret.
            (Signature(Profile.HEX, "x-signature"), BEARER),
        ),
    ),
    refuse,
    guide="flux",
)  # fmt: skip
"""The table."""
