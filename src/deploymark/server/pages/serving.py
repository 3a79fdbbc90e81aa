"""Answers for a page: its document to programs, the shell with it to browsers.

A browser that is not signed in gets the shell without a document, which shows the sign-in form; a
program gets 401 at the door, like everywhere. A link with `?token=` signs a browser in, once: what
stands there becomes a cookie, and the same address without it is asked for. A link that is good no
more leads to the same address, too, with `link=expired`, which the page explains.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import quote, urlencode

from msgspec.structs import replace
from starlette.concurrency import run_in_threadpool

from deploymark.decoding import decode_json
from deploymark.errors import (
    DeploymarkError,
    ForbiddenError,
    RateLimitedError,
    RequestError,
    UnauthenticatedError,
)
from deploymark.ingest.callers import Caller
from deploymark.ingest.sessions import csrf_token
from deploymark.model.inspection import unescape
from deploymark.model.vocabulary import Role
from deploymark.projections.broker.shown_state import RANK
from deploymark.server.accept import takes_gzip, wants_html
from deploymark.server.access import bearer, cookie_name, session_cookie
from deploymark.server.answer import JSON, Answer, Headers, headers_of, json_answer, packed
from deploymark.server.broker import asked_lately
from deploymark.server.desk import Desk
from deploymark.server.operation import Access
from deploymark.server.pages.asked import Asked, asked_of
from deploymark.server.pages.assets import assets_of
from deploymark.server.pages.shapes_boot import (
    Boot,
    BootProblem,
    BootSession,
    BootSettings,
    Page,
)
from deploymark.server.pages.shapes_oncall import Mark, OnCall
from deploymark.server.pages.shell import html_answer, shell
from deploymark.server.request import Request
from deploymark.server.settings import Settings

_LINK_EXPIRED: Final = BootProblem(
    status=401,
    code="link_expired",
    title="The sign-in link opens nothing any more",
    detail="This link was used, or is too old: each opens one session, within ten minutes.",
    hint="Sign in with a token below. `deploymark up` and `deploymark demo` print another link when"
    " they are started again; `deploymark tokens new NAME --role reader` makes a token.",
    retryable=False,
)

Make = Callable[[Asked], Any]
Handler = Callable[[Desk, Request], Awaitable[Answer]]

VERSION: Final = version("deploymark")
BOOT_MARKS: Final = 400
"""Marks in the boot data: those that somebody needs to look at, and as many others as fit."""

LINK_EXPIRED: Final = "expired"
"""Value of `link` in an address that a sign-in link led to which opens nothing any more."""

_SEE_OTHER: Final = 303
_BAD: Final = 400
_UNAUTHORISED: Final = 401
_REDIRECT: Final = headers_of("text/plain; charset=utf-8")


def is_browser(_: Settings, request: Request) -> bool:
    """Tell whether a page is asked for to be shown."""
    return wants_html(request.headers.get(b"accept"))


PAGES: Final = Access(
    (Role.READER,), open_when=is_browser, described="a browser gets the page to sign in with"
)


def page(which: Page, make: Make) -> Handler:
    """Return the handler of a page.

    Args:
        which: For the boot data.
        make: Makes its document, on a thread.
    """
    return partial(_answer, which, make)


def document(make: Make) -> Handler:
    """Return the handler of a document that no page is shown of."""
    return partial(_document_answer, make)


async def _answer(which: Page, make: Make, desk: Desk, request: Request) -> Answer:
    if not wants_html(request.headers.get(b"accept")):
        return await _document_answer(make, desk, request)
    return await _browser(which, make, desk, request)


async def _document_answer(make: Make, desk: Desk, request: Request) -> Answer:
    answer = json_answer(await _document(make, desk, request), headers=_DOCUMENT)
    # Nothing secret stands in a document, so its length gives nothing away.
    gzips = takes_gzip(request.text(b"accept-encoding"))
    return await run_in_threadpool(packed, answer) if gzips else answer


_DOCUMENT: Final = headers_of(JSON, (b"vary", b"accept, accept-encoding"))


async def _document(make: Make, desk: Desk, request: Request) -> Any:  # noqa: ANN401 - any document
    parameters = await asked_lately(desk, request)
    asked = asked_of(desk.parts, desk.settings, request.caller, parameters)
    return await run_in_threadpool(make, asked)


# For browsers ------------------------------------------------------------------------------------


async def _browser(which: Page, make: Make, desk: Desk, request: Request) -> Answer:
    token: str | None = request.parameters.pop("token", None)
    if token is not None:
        return await _sign_in(token, desk, request)
    expired = request.parameters.pop("link", None) is not None
    if await _session(desk, request) is None:
        return _shown(desk, request, which, None, _LINK_EXPIRED if expired else None)
    return _shown(desk, request, which, await _document(make, desk, request), None)


async def _session(desk: Desk, request: Request) -> Caller | None:
    """Return who is signed in, None for nobody; `request.caller` is them from here on.

    Raises:
        ForbiddenError: They may not read.
        RateLimitedError: Too often.
    """
    parts, network = desk.parts, request.network
    caller = Caller("", frozenset(), network=network)
    try:
        caller = await _known(desk, request) or caller
        parts.throttle.demand(caller.principal or network, "requests")
        if not caller.principal:
            return None
        _check_reader(caller)
    except UnauthenticatedError as error:
        parts.turned_away(error, caller)
        return None
    except (ForbiddenError, RateLimitedError) as error:
        request.caller = caller
        parts.turned_away(error, caller)
        raise
    request.caller = caller
    return caller


def _check_reader(caller: Caller) -> None:
    if not caller.has(Role.READER):
        raise ForbiddenError(f"This needs the role reader; {caller.principal} has it not.")


async def _known(desk: Desk, request: Request) -> Caller | None:
    token = bearer(request)
    if token is not None:
        return desk.parts.tokens.authenticate(token, request.network)
    cookie = request.cookie(cookie_name(desk.settings, request))
    if not cookie:
        return None
    return await run_in_threadpool(desk.parts.sessions.authenticate, cookie, request.network)


async def _sign_in(token: str, desk: Desk, request: Request) -> Answer:
    """Turn the token of a link into a cookie, and send the browser on without it."""
    parts, network = desk.parts, request.network
    try:
        parts.throttle.demand(network, "requests")
        opened = await run_in_threadpool(parts.sessions.open_once, token, network)
    except UnauthenticatedError as error:
        parts.turned_away(error, Caller("", frozenset(), network=network))
        location = _without_token(request, ("link", LINK_EXPIRED))
        return Answer(_SEE_OTHER, b"", (*_REDIRECT, (b"location", location.encode("ascii"))))
    except RateLimitedError as error:
        parts.turned_away(error, Caller("", frozenset(), network=network))
        raise
    seconds = max(0, (opened.expires_at_ms - parts.clock.now_ms()) // 1_000)
    cookie = session_cookie(desk.settings, request, opened.cookie, seconds)
    to = _without_token(request)
    return Answer(_SEE_OTHER, b"", (*_REDIRECT, (b"location", to.encode("ascii")), cookie))


def _without_token(request: Request, *more: tuple[str, str]) -> str:
    asked = [(name, text) for name, text in request.query() if name not in {"token", "link"}]
    return _address(request, [*asked, *more])


def _address(request: Request, parameters: Sequence[tuple[str, str]]) -> str:
    # Never `//…`, which would name another host.
    path = "/" + quote(request.scope["path"].lstrip("/"), safe="/~.-_")
    return f"{path}?{urlencode(parameters)}" if parameters else path


def _problem(
    request: Request, which: Page | None, told: Mapping[str, Any], again_seconds: int | None
) -> BootProblem:
    return BootProblem(
        status=told["status"],
        code=told["code"],
        title=told["title"],
        detail=told["detail"],
        hint=told["hint"] or "",
        retryable=told["retryable"],
        instead=None if which is None else _instead(request, told),
        again_seconds=again_seconds,
    )


def _instead(request: Request, told: Mapping[str, Any]) -> str | None:
    """Return the address that shows a page without what was refused, None where nothing was."""
    if told["status"] != _BAD or not request.scope.get("query_string"):
        return None
    wrong = unescape((told["field"] or "").removeprefix("/"))
    dropped = _WINDOW if wrong in _WINDOW else {wrong}
    asked: list[tuple[str, str]] = []
    with suppress(RequestError):  # the query cannot be read at all
        asked = request.query()
    kept = [(name, text) for name, text in asked if name not in dropped]
    # What is refused may be no parameter at all; then nothing that was asked is trusted.
    return _address(request, kept if len(kept) < len(asked) else [])


_WINDOW: Final = frozenset({"range", "since", "until"})
"""Parameters that make sense together only."""


def _shown(
    desk: Desk, request: Request, which: Page | None, found: object, wrong: BootProblem | None
) -> Answer:
    parts = desk.parts
    settings = BootSettings(
        simulated=desk.settings.simulated,
        heartbeat_seconds=desk.settings.stream.heartbeat_seconds,
        can_act=parts.pages is not None and bool(parts.pages.look_seconds),
        series=parts.telemetry is not None,
    )
    boot = Boot(_signed_in(desk, request), which, _trimmed(found), wrong, VERSION, settings)
    status = 200
    # Nobody signed in is no failure of the page: it is what the form is for.
    if wrong is not None and wrong.status != _UNAUTHORISED:
        status = wrong.status
    body = shell(boot, assets_of(desk).manifest)
    return html_answer(body, status, (), gzips=takes_gzip(request.text(b"accept-encoding")))


def _signed_in(desk: Desk, request: Request) -> BootSession | None:
    caller = request.caller
    if not caller.principal:
        return None
    cookie = "" if bearer(request) else request.cookie(cookie_name(desk.settings, request))
    csrf = csrf_token(cookie) if cookie else None
    return BootSession(caller.principal, sorted(caller.roles), csrf)


def _trimmed(found: object) -> object:
    """Return a document that is small enough for the shell: its JSON has all the marks."""
    if not isinstance(found, OnCall) or len(found.marks.items) <= BOOT_MARKS:
        return found
    marks = found.marks
    kept = sorted(marks.items, key=_urgency)[:BOOT_MARKS]
    drawn = sum(each.count for each in kept)
    kept.sort(key=lambda each: each.at_ms)
    return replace(found, marks=replace(marks, items=kept, left_out=marks.total - drawn))


def _urgency(mark: Mark) -> tuple[int, int]:
    return RANK[mark.state], -mark.at_ms


async def recognise(desk: Desk, request: Request) -> None:
    """Find out who is told of a problem before they got to a page.

    Whoever is signed in stays so: a mistyped address is no reason to sign in once more.
    """
    if not request.caller.principal and wants_html(request.headers.get(b"accept")):
        with suppress(DeploymarkError):  # what is told is the problem that was met first
            await _session(desk, request)


def as_page(desk: Desk, request: Request, answer: Answer, which: Page | None = None) -> Answer:
    """Return a problem as a page, for a browser; as it is for everybody else."""
    if not wants_html(request.headers.get(b"accept")) or answer.status < _BAD:
        return answer
    told = decode_json(answer.body)
    again: Headers = tuple(pair for pair in answer.headers if pair[0] == b"retry-after")
    seconds = next((int(text) for _, text in again), None)
    shown = _shown(desk, request, which, None, _problem(request, which, told, seconds))
    return Answer(answer.status, shown.body, (*shown.headers, *again))
