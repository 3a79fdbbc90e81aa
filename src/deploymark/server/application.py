"""The front door as an ASGI application: from a request to its operation, and back.

In order: the name in `Host`, the operation, who calls, how often, whether they may, what they
accept and ask for; then the handler. Every error becomes a problem here, and is logged here if it
is ours.
"""

import logging
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from time import perf_counter

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from deploymark.errors import (
    DeploymarkError,
    ForbiddenError,
    HostError,
    MethodError,
    NotFoundError,
    OverloadedError,
    RateLimitedError,
    UnauthenticatedError,
    UnavailableError,
    UnexpectedError,
)
from deploymark.ingest.callers import Caller
from deploymark.server.accept import check_accept
from deploymark.server.access import CSRF_HEADER, bearer, cookie_name
from deploymark.server.answer import Answer, Streaming, encode_json
from deploymark.server.budget import BodyBudget
from deploymark.server.desk import Desk
from deploymark.server.dialects.mounting import TAG, Mounted, operations_of, retelling_at
from deploymark.server.hosts import check_host
from deploymark.server.landing import Landing
from deploymark.server.metrics import RequestMeter
from deploymark.server.openapi import document_of
from deploymark.server.operation import Access, Operation, Retelling
from deploymark.server.operations import OPERATIONS
from deploymark.server.pages.serving import PAGES, as_page, recognise
from deploymark.server.parts import Parts
from deploymark.server.problems import SERVER_FAULT, problem_answer, status_of
from deploymark.server.request import Request
from deploymark.server.settings import Settings
from deploymark.server.stream import Feed
from deploymark.server.waiting import WaitingRoom

UNKNOWN = "unknown"

_CLIENT_LEFT = 499
_INCIDENT_BYTES = 6
_SHOWN = 128

_log = logging.getLogger(__name__)


class Application:
    """Answers every operation of the table and every route of the dialects, and nothing else.

    Args:
        parts: The rooms behind the door.
        settings: How the door is set up.
        dialects: What clients of other systems may say, beside the operations.

    Attributes:
        feed: The live stream; whoever writes the log tells it how far the log goes.
    """

    def __init__(self, parts: Parts, settings: Settings, dialects: Sequence[Mounted] = ()) -> None:
        self.feed = Feed(parts.view.reader, settings.stream, parts.meter)
        self._desk = Desk(
            parts,
            settings,
            self.feed,
            Landing(),
            RequestMeter(),
            encode_json(document_of(OPERATIONS)),
            BodyBudget(),
            WaitingRoom(),
        )
        self._dialects = dialects
        by_path: dict[str, dict[str, Operation]] = {}
        for operation in (*OPERATIONS, *operations_of(dialects)):
            by_path.setdefault(operation.path, {})[operation.method] = operation
        self._router = Router(
            [
                _Address(path, _Resource(self, methods), methods)
                for path, methods in by_path.items()
            ],
            redirect_slashes=False,  # one address, and no answer that clients must not follow
            default=_Resource(self, {}),
        )

    @property
    def parts(self) -> Parts:
        """The rooms behind the door."""
        return self._desk.parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._router(scope, receive, send)

    def close(self) -> None:
        """End what lasts: the streams. Called on the event loop when the server stops."""
        self.feed.close()

    async def serve(
        self, methods: dict[str, Operation], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer one request to an address that takes these methods."""
        meter = self._desk.requests
        started = perf_counter()
        name = UNKNOWN
        retell: Callable[[Answer], Answer] | None = None
        seen_by: Request | None = None  # who asked for a page
        meter.in_flight += 1
        try:
            request = Request(scope, receive)
            retelling = self._stranger(methods, scope["path"]) or (None if methods else as_page)
            if retelling is not None:
                retell = partial(retelling, self._desk, request)
            seen_by = request if retelling is as_page else None
            operation = self._operation(methods, request)
            name = operation.name
            if operation.retell is not None:
                retell = partial(operation.retell, self._desk, request)
            seen_by = request if operation.access is PAGES else None
            answer = await self._answer(operation, request)
        except ClientDisconnect:
            meter.answered(name, _CLIENT_LEFT, None)
            return
        except DeploymarkError as error:
            # Whoever comes under a strange name is told nothing of a session; whoever comes too
            # often was recognised where that was found.
            if seen_by is not None and not isinstance(error, HostError | RateLimitedError):
                await recognise(self._desk, seen_by)
            answer = _retold(_refusal(error, name, methods), retell)
        except Exception as error:  # noqa: BLE001 - the last stop; it is logged, and told as such
            answer = _retold(_unexpected(error, name), retell)
        finally:
            meter.in_flight -= 1
        if isinstance(answer, Answer):
            meter.answered(name, answer.status, perf_counter() - started)
            await answer.send(send)
            return
        meter.answered(name, 200, None)
        await _stream(answer, scope, receive, send)

    def _stranger(self, methods: dict[str, Operation], path: str) -> Retelling | None:
        """Return how a dialect's client is told that no operation answers it; None for others."""
        for operation in methods.values():
            if operation.tag == TAG:
                return operation.retell
        return None if methods else retelling_at(path, self._dialects)

    def _operation(self, methods: dict[str, Operation], request: Request) -> Operation:
        method = request.scope["method"]
        operation = methods.get("GET" if method == "HEAD" else method)
        if operation is None or not operation.any_host:
            check_host(request.headers.get(b"host"), self._desk.settings.hosts)
        if operation is None:
            raise _unanswered(methods, request.scope)
        return operation

    async def _answer(self, operation: Operation, request: Request) -> Answer | Streaming:
        access = operation.access
        try:
            if not access.public and not access.open_when(self._desk.settings, request):
                await self._let_in(operation, request)
            if not operation.lenient:
                check_accept(request.headers.get(b"accept"), operation)
                request.parameters = operation.read_parameters(request)
            return await operation.handler(self._desk, request)
        finally:
            self._desk.bodies.free(request)

    async def _let_in(self, operation: Operation, request: Request) -> None:
        access = operation.access
        caller = Caller("", frozenset(), network=request.network)
        try:
            if operation.identify is None:
                caller = await self._caller(access, request)
            else:
                caller = await operation.identify(self._desk, request)
            self._check(access, caller)
        except (UnauthenticatedError, ForbiddenError, RateLimitedError) as error:
            self._desk.parts.turned_away(error, caller)
            raise
        self._desk.bodies.hand_over(request, caller)
        request.check = partial(self._caller, access, request)

    def _check(self, access: Access, caller: Caller) -> None:
        self._desk.parts.throttle.demand(caller.principal or caller.network, "requests")
        if caller.principal and not access.allows(caller):
            has = ", ".join(sorted(caller.roles)) or "no role"
            raise ForbiddenError(
                f"This needs the role {' or '.join(access.roles)}; {caller.principal} has {has}."
            )

    async def _caller(self, access: Access, request: Request) -> Caller:
        parts, network = self._desk.parts, request.network
        token = bearer(request)
        if token is not None:
            return parts.tokens.authenticate(token, network)
        cookie = request.cookie(cookie_name(self._desk.settings, request))
        if cookie:
            caller = await run_in_threadpool(parts.sessions.authenticate, cookie, network)
            if not request.is_safe:
                parts.sessions.check_csrf(cookie, request.text(CSRF_HEADER.encode()) or None)
            return caller
        if access.anonymous:
            return Caller("", frozenset(), network=network)
        raise UnauthenticatedError("This needs a token, and the request carries none.")


_ANY_NAME = "{service:path}"


class _Address(Route):
    """One address among others that it may fit, too: the first one that takes the method answers.

    GitLab's project may have any name, also one under which another dialect takes deploys. Where no
    address takes the method, the first one that fits says so.
    """

    def __init__(self, path: str, resource: "_Resource", methods: Iterable[str]) -> None:
        super().__init__(path, resource, methods=list(methods))
        if path.endswith(_ANY_NAME):
            # A name may hold line breaks, which `.` would not take and `$` would leave out.
            whole = self.path_regex.pattern.removesuffix("$") + r"\Z"
            self.path_regex = re.compile(whole, re.DOTALL)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class _Resource:
    """One address, as Starlette's router wants it."""

    def __init__(self, application: Application, methods: dict[str, Operation]) -> None:
        self._application = application
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._application.serve(self._methods, scope, receive, send)


def _unanswered(methods: dict[str, Operation], scope: Scope) -> DeploymarkError:
    if methods:
        return MethodError(f"{scope['path'][:_SHOWN]} does not take {scope['method'][:_SHOWN]}.")
    return NotFoundError(
        f"Nothing stands at {scope['path'][:_SHOWN]!r}.", hint="GET /openapi.json lists what does."
    )


async def _stream(answer: Streaming, scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": answer.headers})
    if scope["method"] == "HEAD":
        await send({"type": "http.response.body", "body": b""})
    else:
        await answer.run(receive, send)


def _refusal(error: DeploymarkError, name: str, methods: dict[str, Operation]) -> Answer:
    if isinstance(error, MethodError):
        allowed = sorted({*methods, *(["HEAD"] if "GET" in methods else [])})
        return problem_answer(error, more=((b"allow", ", ".join(allowed).encode()),))
    # Whoever finds no room is counted only: a line for each would flood what is read in need.
    if status_of(error) < SERVER_FAULT or isinstance(error, OverloadedError):
        return problem_answer(error)
    incident = secrets.token_hex(_INCIDENT_BYTES)
    level = logging.WARNING if isinstance(error, UnavailableError) else logging.ERROR
    _log.log(
        level,
        "a request could not be served",
        extra={
            "operation": name,
            "code": error.code,
            "why": error.message,
            "incident": incident,
        },
    )
    return problem_answer(error, incident)


def _retold(answer: Answer, retell: Callable[[Answer], Answer] | None) -> Answer:
    return answer if retell is None else retell(answer)


def _unexpected(error: Exception, name: str) -> Answer:
    incident = secrets.token_hex(_INCIDENT_BYTES)
    _log.error(
        "a request failed unexpectedly",
        exc_info=error,
        extra={"operation": name, "code": UnexpectedError.code, "incident": incident},
    )
    return problem_answer(UnexpectedError("Something unforeseen happened."), incident)
