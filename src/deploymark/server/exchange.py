"""An identity token becomes a token of ours: OAuth 2.0 Token Exchange (RFC 8693).

Form-encoded as every token endpoint, with errors as RFC 6749 says them, so that any OAuth library
can ask. What an identity token is worth is not decided here.
"""

import logging
from typing import Final
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool

from deploymark.decoding import decode_json
from deploymark.errors import (
    IdentityRefusedError,
    RateLimitedError,
    RequestError,
    UnauthenticatedError,
)
from deploymark.ingest.callers import Caller
from deploymark.ports import Grant
from deploymark.server.answer import JSON_HEADERS, Answer, json_answer
from deploymark.server.body import media_type, read_body
from deploymark.server.desk import Desk
from deploymark.server.problems import SERVER_FAULT
from deploymark.server.request import Request

FORM: Final = "application/x-www-form-urlencoded"
GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a kind
TAKEN: Final = (
    "urn:ietf:params:oauth:token-type:jwt",
    "urn:ietf:params:oauth:token-type:id_token",
)

_BODY_BYTES: Final = 32_768
_FIELDS: Final = 16
_BAD_REQUEST: Final = 400
_LATER: Final = frozenset({408, 429, 503})
_KEPT: Final = frozenset({b"retry-after"})
# What a caller may ask for by the RFC and nobody gets here: silence would look like consent.
_UNSUPPORTED: Final = {
    "actor_token": "invalid_request",
    "audience": "invalid_target",
    "resource": "invalid_target",
    "scope": "invalid_scope",
}

_log = logging.getLogger(__name__)

Fields = dict[str, str]


async def exchange_token(desk: Desk, request: Request) -> Answer:
    """Answer `POST /v1/tokens/exchange`."""
    parts, network = desk.parts, request.network
    caller = Caller("", frozenset(), network=network)
    try:
        parts.throttle.demand(network, "requests")
        fields = await _fields(desk, request)
        refusal = _refusal(fields)
        if refusal is not None:
            return refusal
        grant = await run_in_threadpool(_granted, desk, fields["subject_token"], network)
        issued = await run_in_threadpool(parts.tokens.exchange, grant)
    except (UnauthenticatedError, RateLimitedError) as error:
        parts.turned_away(error, caller)
        raise
    _log.info(
        "an identity token was exchanged",
        extra={"principal": grant.principal, "token_id": issued.record.id},
    )
    told = {
        "access_token": issued.text,
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": grant.lifetime_s,
        "principal": grant.principal,
    }
    return json_answer(told)


def as_oauth(_: Desk, __: Request, answer: Answer) -> Answer:
    """Return a problem as an error of RFC 6749, section 5.2."""
    told = decode_json(answer.body)
    if answer.status in _LATER:
        error = "temporarily_unavailable"
    elif answer.status >= SERVER_FAULT:
        error = "server_error"
    else:
        error = "invalid_request"
    said = " ".join(filter(None, (told["detail"], told["hint"])))
    kept = tuple(header for header in answer.headers if header[0] in _KEPT)
    more = {"error_uri": told["type"], "code": told["code"]}
    return _error(error, said, answer.status, kept, **more)


def _granted(desk: Desk, token: str, network: str) -> Grant:
    try:
        return desk.parts.granted(token)
    except IdentityRefusedError:
        desk.parts.tokens.count_failure(network)
        raise


async def _fields(desk: Desk, request: Request) -> Fields:
    media_type(request, (FORM,))
    body = await read_body(request, _BODY_BYTES, desk.settings.body_seconds, desk.bodies)
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS
        )
    except ValueError as error:
        raise RequestError(f"The form cannot be read: {error}.") from None
    if len({name for name, _ in pairs}) != len(pairs):
        raise RequestError("A parameter stands in the form more than once.")
    return {name: value for name, value in pairs if value}  # RFC 6749, 3.2: empty is omitted


def _refusal(fields: Fields) -> Answer | None:
    """Return the error of a form that asks for something else; None when it asks for a token."""
    if fields.get("grant_type") != GRANT_TYPE:
        said = f"The grant_type must be {GRANT_TYPE}."
        return _error("unsupported_grant_type", said)
    for name, error in _UNSUPPORTED.items():
        if name in fields:
            return _error(error, f"The parameter {name} is not taken: the server's rules decide.")
    if not fields.get("subject_token"):
        return _error("invalid_request", "The parameter subject_token is missing.")
    if fields.get("subject_token_type") not in TAKEN:
        return _error("invalid_request", f"The subject_token_type must be {' or '.join(TAKEN)}.")
    if fields.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
        return _error("invalid_request", f"Only {ACCESS_TOKEN} is issued.")
    return None


def _error(
    error: str,
    said: str,
    status: int = _BAD_REQUEST,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    **more: str,
) -> Answer:
    # RFC 6749 allows printable ASCII without quotation marks and backslashes.
    shown = "".join(each if " " <= each <= "~" else "?" for each in said)
    shown = shown.replace('"', "'").replace("\\", "/")
    told = {"error": error, "error_description": shown, **more}
    return json_answer(told, status, (*JSON_HEADERS, *headers))
