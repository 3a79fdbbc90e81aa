"""The routes of Datadog's deployment gates."""

from http import HTTPStatus
from typing import Final

from deploymark.integrations.datadog_gate.translation import NAME, answered, begun
from deploymark.ports import (
    Ask,
    Carrier,
    Dialect,
    ForeignReply,
    Refusal,
    Route,
    Token,
    in_json,
)

_CREDENTIALS: Final = (
    Token(Carrier.HEADER, "dd-application-key"),
    Token(Carrier.HEADER, "dd-api-key"),
)
_PATH: Final = "/api/v2/deployments/gates/evaluation"


def refuse(refusal: Refusal) -> ForeignReply:
    """Say an error in the form of JSON:API; datadog-ci prints the detail."""
    title = HTTPStatus(refusal.status).phrase
    error = {"status": str(refusal.status), "title": title, "detail": refusal.message}
    return in_json({"errors": [error]}, refusal.status)


DIALECT: Final = Dialect(
    NAME,
    "datadog-ci deployment gate",
    (
        Route("POST", _PATH, "Ask the gate.", Ask(begun), _CREDENTIALS),
        Route("GET", f"{_PATH}/{{id}}", "Read what it answered.", Ask(answered), _CREDENTIALS),
    ),
    refuse,
    guide="datadog",
)
"""The table."""
