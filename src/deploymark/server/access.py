"""Who may come in: tokens, sessions of browsers, and the producers' keys."""

from typing import Annotated, Any, TypeVar

from msgspec import Meta, Struct
from starlette.concurrency import run_in_threadpool

from deploymark.errors import RateLimitedError, RequestError, UnauthenticatedError
from deploymark.ingest.callers import Caller
from deploymark.ingest.sessions import csrf_token
from deploymark.ingest.token_view import token_view
from deploymark.model.entries import Scope
from deploymark.model.instants import format_instant
from deploymark.model.limits import Name
from deploymark.model.vocabulary import Role
from deploymark.server.admission import acknowledgement
from deploymark.server.answer import JSON_HEADERS, NO_CONTENT, Answer, json_answer
from deploymark.server.body import media_type, read_as, read_body
from deploymark.server.desk import Desk
from deploymark.server.request import Request
from deploymark.server.settings import Settings

T = TypeVar("T")

COOKIE = "deploymark_session"
CSRF_HEADER = "x-csrf-token"
SMALL_BODY_BYTES = 65_536

_JSON = ("application/json",)
_CREATED = 201


class NewToken(Struct, frozen=True, forbid_unknown_fields=True):
    """What an administrator asks for.

    Attributes:
        name: Who will hold it; markers say `token:<name>`.
        roles: What it may do.
        scope: What an emitter with it may speak about; for emitters only.
        lifetime_s: Seconds after which it ends by itself.
    """

    name: Annotated[str, Meta(max_length=63)]
    roles: Annotated[list[Role], Meta(min_length=1, max_length=4)]
    scope: Scope | None = None
    lifetime_s: Annotated[int, Meta(ge=1)] | None = None


class NewSession(Struct, frozen=True, forbid_unknown_fields=True):
    """What a browser shows to be let in."""

    token: Annotated[str, Meta(min_length=1, max_length=256)]


class NewKey(Struct, frozen=True, forbid_unknown_fields=True):
    """A producer's key to be registered; the platform signs the entry."""

    name: Name
    public_key: Annotated[str, Meta(min_length=1, max_length=4_096)]
    scope: Scope
    reason: Annotated[str, Meta(max_length=2_048)] = ""


def cookie_name(settings: Settings, request: Request) -> str:
    """Return the name of the session's cookie.

    Over https the prefix `__Host-` keeps other names of the same site from setting it.
    """
    return f"__Host-{COOKIE}" if is_secure(settings, request) else COOKIE


def is_secure(settings: Settings, request: Request) -> bool:
    """Tell whether the browser speaks https."""
    return settings.secure_cookies or request.scope.get("scheme") == "https"


def bearer(request: Request) -> str | None:
    """Return the token in `Authorization`, None without the header.

    Raises:
        UnauthenticatedError: Another scheme.
    """
    said = request.headers.get(b"authorization")
    if said is None:
        return None
    scheme, _, text = said.decode("latin-1").strip().partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise UnauthenticatedError("The header Authorization is not `Bearer <token>`.")
    return text.strip()


async def list_tokens(desk: Desk, request: Request) -> Answer:
    """Answer `GET /v1/tokens`."""
    records = await run_in_threadpool(desk.parts.tokens.ls, request.caller)
    now_ms = desk.parts.clock.now_ms()
    return json_answer({"items": [token_view(record, now_ms) for record in records]})


async def issue_token(desk: Desk, request: Request) -> Answer:
    """Answer `POST /v1/tokens`: the one time that the token's text is shown."""
    asked = await read_small(desk, request, NewToken)
    issued = await run_in_threadpool(
        desk.parts.tokens.issue,
        asked.name,
        asked.roles,
        asked.scope,
        asked.lifetime_s,
        request.caller,
    )
    view = token_view(issued.record, desk.parts.clock.now_ms())
    return json_answer({"token": issued.text, **view}, _CREATED)


async def revoke_token(desk: Desk, request: Request) -> Answer:
    """Answer `DELETE /v1/tokens/{id}`."""
    await run_in_threadpool(desk.parts.tokens.revoke, request.parameters["id"], request.caller)
    return Answer(NO_CONTENT, b"")


async def open_session(desk: Desk, request: Request) -> Answer:
    """Answer `POST /v1/session`: a token becomes a cookie."""
    parts, network = desk.parts, request.network
    token = (await read_small(desk, request, NewSession)).token
    caller = Caller("", frozenset(), network=network)
    try:
        caller = parts.tokens.authenticate(token, network)
        parts.throttle.demand(caller.principal, "requests")
    except (UnauthenticatedError, RateLimitedError) as error:
        parts.turned_away(error, caller)  # a guess here is one like those in a header
        raise
    opened = await run_in_threadpool(parts.sessions.open, token, network)
    seconds = max(0, (opened.expires_at_ms - parts.clock.now_ms()) // 1000)
    told = {
        **_shown(caller.principal, caller.roles),
        "csrf_token": opened.csrf,
        "expires_at": format_instant(opened.expires_at_ms),
    }
    cookie = session_cookie(desk.settings, request, opened.cookie, seconds)
    return json_answer(told, _CREATED, (*JSON_HEADERS, cookie))


async def show_session(desk: Desk, request: Request) -> Answer:
    """Answer `GET /v1/session`: who am I? A page that was loaded anew gets its CSRF token back."""
    told = _shown(request.caller.principal, request.caller.roles)
    cookie = request.cookie(cookie_name(desk.settings, request))
    if cookie and bearer(request) is None:
        told["csrf_token"] = csrf_token(cookie)
    return json_answer(told)


async def close_session(desk: Desk, request: Request) -> Answer:
    """Answer `DELETE /v1/session`."""
    cookie = request.cookie(cookie_name(desk.settings, request))
    if not cookie:
        raise RequestError("There is no session: the request carries no cookie.")
    await run_in_threadpool(desk.parts.sessions.close, cookie)
    return Answer(NO_CONTENT, b"", (*JSON_HEADERS, session_cookie(desk.settings, request, "", 0)))


async def list_keys(desk: Desk, _: Request) -> Answer:
    """Answer `GET /v1/keys`."""
    return json_answer({"items": list(await run_in_threadpool(desk.parts.keys.list))})


async def register_key(desk: Desk, request: Request) -> Answer:
    """Answer `POST /v1/keys`."""
    asked = await read_small(desk, request, NewKey)
    fields: dict[str, Any] = {name: getattr(asked, name) for name in asked.__struct_fields__}
    admitted = await run_in_threadpool(desk.parts.keys.register, fields, request.caller)
    return json_answer(acknowledgement(admitted), 200 if admitted.duplicate else _CREATED)


def _shown(principal: str, roles: frozenset[Role]) -> dict[str, Any]:
    return {"principal": principal, "roles": sorted(roles)}


def session_cookie(
    settings: Settings, request: Request, value: str, seconds: int
) -> tuple[bytes, bytes]:
    """Return the header that gives a browser its session, or with no seconds takes it away."""
    parts = [
        f"{cookie_name(settings, request)}={value}",
        "Path=/",
        f"Max-Age={seconds}",
        "HttpOnly",
        "SameSite=Strict",
    ]
    if is_secure(settings, request):
        parts.append("Secure")
    return b"set-cookie", "; ".join(parts).encode("ascii")


async def read_small(desk: Desk, request: Request, kind: type[T]) -> T:
    """Return the small JSON body of a request.

    Raises:
        MediaTypeError, BodyError, TooLargeError, SlowRequestError: It is none.
    """
    media_type(request, _JSON)
    seconds = desk.settings.body_seconds
    return read_as(await read_body(request, SMALL_BODY_BYTES, seconds, desk.bodies), kind)
