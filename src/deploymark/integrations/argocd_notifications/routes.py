"""The routes of Argo CD's notifications: one, and one for who forgot its method."""

from collections.abc import Sequence
from typing import Final

from deploymark.crypto.webhook_signature import Profile
from deploymark.errors import DialectError
from deploymark.integrations.argocd_notifications.translation import NAME, notified
from deploymark.ports import (
    BEARER,
    Dialect,
    DialectRecords,
    ForeignReply,
    ForeignRequest,
    Read,
    Refusal,
    Route,
    Said,
    Signature,
    Told,
    Write,
    in_json,
)

_CREDENTIALS: Final = (BEARER, Signature(Profile.PLAIN, "x-argocd-secret"))


def _taken(_: ForeignRequest, said: Said, told: Sequence[Told]) -> ForeignReply:
    return in_json({"message": said.note, "deployment_id": told[0].deployment_id})


def _asked_instead(_: ForeignRequest, __: DialectRecords) -> ForeignReply:
    raise DialectError(
        "The template has no method, and Argo CD then sends GET.",
        hint="Write `method: POST` into it, as docs/howto/argocd.md shows.",
    )


def refuse(refusal: Refusal) -> ForeignReply:
    """Say an error; Argo CD logs the body of what is no success."""
    return in_json({"message": refusal.message, "code": refusal.code}, refusal.status)


DIALECT: Final = Dialect(
    NAME,
    "Argo CD's notifications",
    (
        Route(
            "POST", "/hooks/argocd", "Take what an application's sync came to.",
            Write(notified, _taken), _CREDENTIALS,
        ),
        Route(
            "GET", "/hooks/argocd", "Say that the template lacks its method.",
            Read(_asked_instead, looks=False), _CREDENTIALS,
        ),
    ),
    refuse,
    guide="argocd",
)  # fmt: skip
"""The table."""
