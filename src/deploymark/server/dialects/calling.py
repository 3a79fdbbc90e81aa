"""Who calls, as clients of other systems show it: a token of ours in their place, a signature."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.concurrency import run_in_threadpool

from deploymark.crypto.webhook_signature import verify_webhook
from deploymark.decoding import decode_json
from deploymark.errors import RequestError, SignatureError, UnauthenticatedError
from deploymark.ingest.callers import Caller
from deploymark.model.vocabulary import Role
from deploymark.ports import Carrier, Credential, Signature, Token
from deploymark.server.body import read_body
from deploymark.server.desk import Desk
from deploymark.server.dialects.mounted import Mounted
from deploymark.server.request import Request

_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 512


async def identify(
    mounted: Mounted, credentials: Sequence[Credential], desk: Desk, request: Request
) -> Caller:
    """Return who calls, by the first of the ways that the request shows.

    Raises:
        UnauthenticatedError: It shows none, or what it shows does not hold.
        RequestError: The body, where it is needed, cannot be read; as `read_body`.
    """
    for credential in credentials:
        if isinstance(credential, Signature):
            if request.text(credential.header.encode()):
                return await _signer(mounted, credential, desk, request)
            continue
        if credential.carrier is Carrier.BODY:
            await body_of(mounted, desk, request)
        text = _token(credential, request)
        if text:
            return _bearer_of(text, credential, desk, request)
    raise UnauthenticatedError(
        "This needs a token or a signature, and the request carries none.",
        hint=f"Send it as {' or '.join(described(each) for each in credentials)}.",
    )


def _bearer_of(text: str, credential: Token, desk: Desk, request: Request) -> Caller:
    try:
        return desk.parts.tokens.authenticate(text, request.network)
    except UnauthenticatedError as error:
        # Who sent it so cannot send it as our own commands do.
        hint = (
            f"It came in {described(credential)}; an administrator makes a token: "
            f"`deploymark tokens new NAME --role …`."
        )
        raise UnauthenticatedError(error.message, hint=hint) from None


def described(credential: Credential) -> str:
    """Say in words where a credential stands."""
    if isinstance(credential, Signature):
        return f"the header {credential.header} ({credential.profile})"
    match credential.carrier:
        case Carrier.BEARER:
            return "Authorization: Bearer"
        case Carrier.BASIC:
            return "the password of Authorization: Basic"
        case Carrier.HEADER:
            return f"the header {credential.name}"
        case Carrier.QUERY:
            return f"the query parameter {credential.name}"
        case Carrier.BODY:
            return f"the field {credential.name} of the body"


async def body_of(mounted: Mounted, desk: Desk, request: Request) -> bytes:
    """Return the body, which is read once."""
    if request.body is None:
        limit = mounted.dialect.max_body_bytes
        request.body = await read_body(request, limit, desk.settings.body_seconds, desk.bodies)
    return request.body


async def _signer(mounted: Mounted, signature: Signature, desk: Desk, request: Request) -> Caller:
    body = await body_of(mounted, desk, request)
    secrets = await run_in_threadpool(mounted.secrets)
    try:
        verify_webhook(
            signature.profile,
            signature.header,
            secrets,
            headers_of(request),
            body,
            desk.parts.clock.now_ms() // 1_000,
        )
    except SignatureError as error:
        raise UnauthenticatedError(
            error.message,
            hint=f"Give the sender the secret of [dialects.{mounted.dialect.name}].",
        ) from None
    return Caller(
        f"webhook:{mounted.dialect.name}",
        frozenset({Role.EMITTER}),
        mounted.scope,
        request.network,
    )


def headers_of(request: Request) -> dict[str, str]:
    """Return the headers of a request as text by lower-case name."""
    return {name.decode(): text.decode("latin-1") for name, text in request.headers.items()}


def is_form(request: Request) -> bool:
    """Tell whether the body is a form.

    curl says so of everything, so what begins as a JSON object is none, whatever it says.
    """
    says_so = request.text(b"content-type").lower().startswith(_FORM)
    return says_so and not (request.body or b"").lstrip().startswith(b"{")


def form_of(request: Request) -> dict[str, str]:
    """Return a body that was read as the form that it says it is; {} for any other.

    Raises:
        RequestError: It cannot be read.
    """
    if not is_form(request) or not request.body:
        return {}
    try:
        text = request.body.decode()
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError as error:
        raise RequestError(f"The form cannot be read: {error}.") from None


def _token(credential: Token, request: Request) -> str:
    match credential.carrier:
        case Carrier.BEARER:
            return _behind(request.text(b"authorization"), "bearer ")
        case Carrier.BASIC:
            return _password(_behind(request.text(b"authorization"), "basic "))
        case Carrier.HEADER:
            text = request.text(credential.name.encode())
            return _behind(text, credential.prefix) if credential.prefix else text
        case Carrier.QUERY:
            return next((text for key, text in request.query() if key == credential.name), "")
        case Carrier.BODY:
            return _in_body(credential.name, request)


def _behind(text: str, prefix: str) -> str:
    """Return what stands behind a prefix, "" when the text begins otherwise."""
    return text[len(prefix) :].strip() if text.lower().startswith(prefix.lower()) else ""


def _password(encoded: str) -> str:
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return ""
    return password or user


def _in_body(name: str, request: Request) -> str:
    body = request.body or b""
    if is_form(request):
        return form_of(request).get(name, "")
    try:
        found: Any = decode_json(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise RequestError(f"The body is not JSON: {error}.") from None
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else ""
