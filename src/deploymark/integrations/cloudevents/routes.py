"""The routes of CloudEvents: one, and the handshake before it."""

from collections.abc import Sequence
from typing import Final

from deploymark.integrations.cloudevents.translation import NAME, told, told_alone
from deploymark.ports import (
    BEARER,
    Change,
    Dialect,
    DialectRecords,
    ForeignReply,
    ForeignRequest,
    Read,
    Refusal,
    Route,
    Said,
    Told,
    in_json,
)


def _accepted(_: ForeignRequest, said: Said, stands: Sequence[Told]) -> ForeignReply:
    deployments = list(dict.fromkeys(each.deployment_id for each in stands))
    return in_json({"events": said.note, "deployments": deployments}, 202)


def _agreed(request: ForeignRequest, _: DialectRecords) -> ForeignReply:
    """Answer the validation handshake (CloudEvents, "HTTP 1.1 Web Hooks", 4).

    Whoever asks may send: what it sends needs a token all the same.
    """
    headers = [("allow", "OPTIONS, POST")]
    origin = request.headers.get("webhook-request-origin", "")
    if origin.isascii() and origin.isprintable() and origin:
        headers.append(("webhook-allowed-origin", origin))
        if "webhook-request-rate" in request.headers:
            headers.append(("webhook-allowed-rate", "*"))
    return ForeignReply(200, headers=headers)


def refuse(refusal: Refusal) -> ForeignReply:
    """Say an error; senders of CloudEvents look at the status and show the body."""
    return in_json({"error": refusal.message, "code": refusal.code}, refusal.status)


DIALECT: Final = Dialect(
    NAME,
    "CloudEvents and CDEvents",
    (
        Route("POST", "/events", "Take events.", Change(told, _accepted, told_alone), (BEARER,)),
        Route(
            "OPTIONS", "/events", "Answer the validation handshake.",
            Read(_agreed, looks=False), (),
        ),
    ),
    refuse,
    guide="cloudevents",
)  # fmt: skip
"""The table."""
