"""The middleware under the frameworks and checkers of others: header, baggage, and nothing else."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from deploymark.emit.asgi import AsgiMiddleware
from deploymark.emit.startup import Startup
from deploymark.emit.upstream import outgoing_baggage, upstream
from deploymark.emit.wsgi import WsgiMiddleware

OWN = "d-own"
KNOWN = Startup(deployment_id=OWN)
UNKNOWN = Startup()


# ASGI -------------------------------------------------------------------------------------------


async def _plain(_: Request) -> Response:
    return PlainTextResponse("hello")


async def _own_header(_: Request) -> Response:
    return PlainTextResponse("x", headers={"X-Deployment-Id": "d-old", "x-other": "kept"})


async def _callers(_: Request) -> Response:
    return PlainTextResponse(f"{upstream()} {outgoing_baggage(OWN)}")


async def _stream(_: Request) -> Response:
    async def pieces() -> AsyncIterator[str]:
        for _ in range(3):
            yield f"{upstream()};"

    return StreamingResponse(pieces())


_after: list[str] = []


async def _later(_: Request) -> Response:
    return PlainTextResponse("x", background=BackgroundTask(lambda: _after.append(upstream())))


async def _socket(socket: WebSocket) -> None:
    await socket.accept(subprotocol="chat")
    await socket.send_text(upstream())
    await socket.close()


async def _denied(socket: WebSocket) -> None:
    await socket.send_denial_response(PlainTextResponse("no", status_code=403))


_started: list[str] = []


@contextlib.asynccontextmanager
async def _lifespan(_: Starlette) -> AsyncIterator[None]:
    _started.append("up")
    yield
    _started.append("down")


ROUTES = [
    Route("/plain", _plain),
    Route("/own-header", _own_header),
    Route("/callers", _callers),
    Route("/stream", _stream),
    Route("/later", _later),
    WebSocketRoute("/socket", _socket),
    WebSocketRoute("/denied", _denied),
]


def client(started: Startup = KNOWN) -> TestClient:
    return TestClient(AsgiMiddleware(Starlette(routes=ROUTES, lifespan=_lifespan), started))


def test_every_response_names_the_deployment_once() -> None:
    for path in ("/plain", "/own-header", "/stream", "/not-there"):
        answer = client().get(path)
        assert answer.headers.get_list("x-deployment-id") == [OWN]
    assert client().get("/own-header").headers["x-other"] == "kept"


def test_where_the_deployment_is_not_known_nothing_is_touched() -> None:
    assert "x-deployment-id" not in client(UNKNOWN).get("/plain").headers
    assert client(UNKNOWN).get("/own-header").headers["x-deployment-id"] == "d-old"


def test_the_caller_is_known_and_replaced_for_whom_we_call() -> None:
    lines = [("baggage", "a=1"), ("baggage", "deploymark.upstream=d-caller,b=2;p")]
    answer = client().get("/callers", headers=lines)
    assert answer.text == "d-caller a=1,b=2;p,deploymark.upstream=d-own"
    assert client().get("/callers").text == f" deploymark.upstream={OWN}"
    assert upstream() == "", "nothing is left behind"


def test_the_caller_is_known_while_a_response_streams_and_after_it() -> None:
    headers = {"baggage": "deploymark.upstream=d-caller"}
    assert client().get("/stream", headers=headers).text == 3 * "d-caller;"
    client().get("/later", headers=headers)
    assert _after.pop() == "d-caller"


def test_a_websocket_is_told_when_it_is_accepted_and_when_it_is_refused() -> None:
    headers = {"baggage": "deploymark.upstream=d-caller"}
    with client().websocket_connect("/socket", headers=headers) as socket:
        assert vars(socket)["extra_headers"] == [(b"x-deployment-id", OWN.encode())]
        assert socket.receive_text() == "d-caller"
    with pytest.raises(WebSocketDisconnect) as refused, client().websocket_connect("/denied"):
        pass
    assert getattr(refused.value, "headers")["x-deployment-id"] == OWN  # noqa: B009 - of a subclass


def test_the_lifespan_goes_through() -> None:
    _started.clear()
    with client() as running:
        assert running.get("/plain").text == "hello"
    assert _started == ["up", "down"]


def test_it_is_added_as_frameworks_add_theirs() -> None:
    app = Starlette(routes=ROUTES)
    app.add_middleware(AsgiMiddleware, started=KNOWN)
    headers = {"baggage": "deploymark.upstream=d-caller"}
    answer = TestClient(app).get("/callers", headers=headers)
    assert answer.headers["x-deployment-id"] == OWN
    assert answer.text.startswith("d-caller ")


def _collect(app: Any, scope: dict[str, Any]) -> list[dict[str, Any]]:  # noqa: ANN401 - any app
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    asyncio.run(AsgiMiddleware(app, KNOWN)(scope, receive, send))
    return sent


def test_messages_of_every_kind_arrive_in_their_order_and_unchanged() -> None:
    start = {"type": "http.response.start", "status": 200, "headers": ((b"a", b"1"),)}
    messages: list[dict[str, Any]] = [
        {"type": "http.response.informational", "status": 103, "headers": []},
        start,
        {"type": "http.response.start", "status": 500},  # a server refuses it; not we
        {"type": "http.response.body", "body": b"x", "more_body": True},
        {"type": "http.response.pathsend", "path": "/x"},
        {"type": "http.response.trailers", "headers": []},
    ]

    async def app(_scope: Any, _receive: Any, send: Any) -> None:  # noqa: ANN401 - any
        for message in messages:
            await send(message)

    sent = _collect(app, {"type": "http", "headers": []})
    own = (b"x-deployment-id", OWN.encode())
    marked = {1: [(b"a", b"1"), own], 2: [own]}
    assert sent == [
        {**message, "headers": marked[place]} if place in marked else message
        for place, message in enumerate(messages)
    ]
    assert start["headers"] == ((b"a", b"1"),), "what an application keeps is not changed"


def test_an_error_of_the_application_is_its_own() -> None:
    async def app(*_: object) -> None:
        raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        _collect(app, {"type": "http"})
    assert upstream() == ""


# WSGI -------------------------------------------------------------------------------------------


Called = tuple[str, list[tuple[str, str]], bytes]


def call(app: Callable[..., Any], started: Startup = KNOWN, **environ: str) -> Called:
    """Call a WSGI application as a server does, checked from both sides."""
    request: dict[str, Any] = {"REQUEST_METHOD": "GET", "QUERY_STRING": "", **environ}
    setup_testing_defaults(request)
    seen: list[tuple[str, list[tuple[str, str]]]] = []
    out = io.BytesIO()

    def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[..., Any]:  # noqa: ANN401
        seen.append((status, list(headers)))
        return out.write

    body = validator(WsgiMiddleware(validator(app), started))(request, start_response)
    with contextlib.closing(body):  # type: ignore[type-var]  # the checker always has it
        for piece in body:
            out.write(piece)
    return *seen[-1], out.getvalue()


def _hello(_: dict[str, Any], start_response: Any) -> list[bytes]:  # noqa: ANN401 - as WSGI has it
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-DEPLOYMENT-ID", "d-old")])
    return [upstream().encode(), b" ", outgoing_baggage(OWN).encode()]


def test_a_wsgi_response_names_the_deployment_once() -> None:
    _, headers, _ = call(_hello)
    assert headers == [("Content-Type", "text/plain"), ("x-deployment-id", OWN)]
    _, headers, _ = call(_hello, UNKNOWN)
    assert headers == [("Content-Type", "text/plain"), ("X-DEPLOYMENT-ID", "d-old")]


def test_a_wsgi_application_knows_its_caller() -> None:
    _, _, body = call(_hello, HTTP_BAGGAGE="a=1,deploymark.upstream=d-caller")
    assert body == b"d-caller a=1,deploymark.upstream=d-own"
    _, _, body = call(_hello)
    assert body == b" deploymark.upstream=d-own", "the request before is forgotten"


def test_an_application_may_begin_again_after_an_error() -> None:
    def app(_: dict[str, Any], start_response: Any) -> Iterator[bytes]:  # noqa: ANN401 - as above
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            int("late")
        except ValueError as error:
            raised = (type(error), error, error.__traceback__)
            start_response("500 Sorry", [("Content-Type", "text/plain")], raised)
        yield b"sorry"

    status, headers, body = call(app)
    assert (status, body) == ("500 Sorry", b"sorry")
    assert headers[-1] == ("x-deployment-id", OWN)


def test_a_body_is_passed_on_as_it_is() -> None:
    class Body:
        closed = False

        def __iter__(self) -> Iterator[bytes]:
            yield b"x"

        def close(self) -> None:
            self.closed = True

    body = Body()

    def app(_: dict[str, Any], start_response: Any) -> Body:  # noqa: ANN401 - as above
        write = start_response("200 OK", [])
        write(b"by hand")
        return body

    written: list[bytes] = []
    given = WsgiMiddleware(app, KNOWN)({}, lambda *_: written.append)
    assert given is body
    assert written == [b"by hand"]
    assert not body.closed
