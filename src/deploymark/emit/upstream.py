"""The deployment of whoever calls us, and what we tell whom we call.

The caller's deployment comes in W3C baggage under `deploymark.upstream`. It is for the application
to know and for nobody to pass on: at every hop it is *replaced* by the own deployment, so that the
next one learns who called it and not who began (spec: marker, "OpenTelemetry names"). The
middleware sets what came with a request; it is looked at only when somebody asks.
"""

from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, Final

from deploymark.emit.baggage import join_lines, member_value, replace_member
from deploymark.errors import IdError
from deploymark.model.ids import parse_occurrence
from deploymark.model.vocabulary import UPSTREAM_BAGGAGE

Arrived = Iterable[tuple[bytes, bytes]] | dict[str, Any]
"""The headers of an ASGI scope, or the environment of a WSGI request."""

_HEADER: Final = b"baggage"
_VARIABLE: Final = "HTTP_BAGGAGE"

arrived: ContextVar[Arrived | None] = ContextVar("deploymark_arrived", default=None)
"""What came with the request that is handled here, as the middleware got it."""


def incoming_baggage() -> str:
    """Return the baggage of the request at hand, several lines joined; "" outside a request."""
    match arrived.get():
        case None:
            return ""
        case dict() as environ:
            return str(environ.get(_VARIABLE, ""))
        case headers:
            return join_lines(value for name, value in headers if name.lower() == _HEADER)


def upstream() -> str:
    """Return the deployment id of whoever sent the request at hand; "" when it is not known."""
    value = member_value(incoming_baggage(), UPSTREAM_BAGGAGE)
    try:
        parse_occurrence(value)
    except IdError:
        return ""
    return value


def outgoing_baggage(deployment_id: str | None = None) -> str:
    """Return the value of the header `baggage` for calls to others; "" when there is none to send.

    All members that came with the request go on; the caller's deployment is replaced by ours.

    Args:
        deployment_id: Our own; that of `deploymark.startup` when left out.
    """
    own = deployment_id
    if own is None:
        from deploymark.emit.startup import startup  # noqa: PLC0415 - which knows of this module

        own = startup().deployment_id
    return replace_member(incoming_baggage(), UPSTREAM_BAGGAGE, own)
