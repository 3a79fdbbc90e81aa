"""The operations of access: a part of the table in `operations`."""

from typing import Annotated, Final

from msgspec import Meta

from deploymark.server import access, exchange
from deploymark.server.answer import JSON
from deploymark.server.operation import (
    ADMIN,
    ALL_ITEMS,
    ANY_CALLER,
    BODY_PROBLEMS,
    PUBLIC,
    READER,
    Media,
    Operation,
    Parameter,
    Reply,
    in_json,
)
from deploymark.server.shapes import (
    ACKNOWLEDGEMENT,
    EXCHANGE,
    EXCHANGED,
    NEW_TOKEN,
    OAUTH_ERROR,
    SESSION,
)

_TOKEN_ID = Parameter("id", Annotated[str, Meta(max_length=64)], "The token's id.", "path")

ACCESS: Final = (
    Operation(
        "GET", "/v1/tokens", "list_tokens", "List tokens, without their secrets.", "access",
        ADMIN, access.list_tokens, {200: ALL_ITEMS},
    ),
    Operation(
        "POST", "/v1/tokens", "issue_token", "Make a token; its text is shown this once.",
        "access", ADMIN, access.issue_token, {201: in_json("The token.", NEW_TOKEN)},
        body=(Media(JSON, access.NewToken),), problems=BODY_PROBLEMS,
    ),
    # Before the id of a token: addresses are looked for in this order.
    Operation(
        "POST", "/v1/tokens/exchange", "exchange_token",
        "Exchange an identity token of a CI job for a token.", "access", PUBLIC,
        exchange.exchange_token,
        {
            200: in_json("The token; its text is shown this once.", EXCHANGED),
            **{
                status: in_json("Refused: an error of RFC 6749, section 5.2.", OAUTH_ERROR)
                for status in (400, 408, 413, 415, 429, 500, 503)
            },
        },
        body=(Media(exchange.FORM, EXCHANGE),),
        description=(
            "OAuth 2.0 Token Exchange (RFC 8693). Whose identity tokens are taken, and for what, "
            "stands in the sections `[oidc.*]` of the configuration."
        ),
        retell=exchange.as_oauth,
    ),
    Operation(
        "DELETE", "/v1/tokens/{id}", "revoke_token", "End a token and its sessions.", "access",
        ADMIN, access.revoke_token, {204: Reply("It is ended.")},
        parameters=(_TOKEN_ID,), problems=(404, 422),
    ),
    Operation(
        "GET", "/v1/session", "show_session", "Say who I am.", "access",
        ANY_CALLER, access.show_session, {200: in_json("Principal and roles.", SESSION)},
    ),
    Operation(
        "POST", "/v1/session", "open_session", "Exchange a token for a browser's cookie.",
        "access", PUBLIC, access.open_session, {201: in_json("With a CSRF token.", SESSION)},
        body=(Media(JSON, access.NewSession),), problems=(401, 429, *BODY_PROBLEMS),
        description=(
            "Requests that change something then repeat `csrf_token` in the header X-CSRF-Token."
        ),
    ),
    Operation(
        "DELETE", "/v1/session", "close_session", "End this browser's session.", "access",
        ANY_CALLER, access.close_session, {204: Reply("It is ended.")},
    ),
    Operation(
        "GET", "/v1/keys", "list_keys", "List the producers' keys.", "access",
        READER, access.list_keys, {200: ALL_ITEMS},
    ),
    Operation(
        "POST", "/v1/keys", "register_key", "Register a producer's key.", "access",
        ADMIN, access.register_key,
        {
            201: in_json("The entry that says so.", ACKNOWLEDGEMENT),
            200: in_json("It stood there already.", ACKNOWLEDGEMENT),
        },
        body=(Media(JSON, access.NewKey),), problems=(403, *BODY_PROBLEMS, 503),
    ),
)  # fmt: skip
"""Tokens, sessions and keys."""
