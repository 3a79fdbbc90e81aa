"""ASGI middleware: says in every response which deployment gave it, and who called.

At most 2 µs a request (benchmarks/middleware.py): the header is made once, the caller's baggage is
looked at only when asked for, and a response costs one function call more. It works with every
framework and server of ASGI 3, changes no body, and imports none of them.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from deploymark.emit.startup import Startup, startup
from deploymark.emit.upstream import arrived
from deploymark.model.vocabulary import RESPONSE_HEADER

Scope = MutableMapping[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]

_NAME: Final = RESPONSE_HEADER.encode("ascii")
_LENGTH: Final = len(_NAME)
# Beside a response: what accepts a WebSocket, and what refuses it as a response does.
_STARTS: Final = frozenset(
    {"http.response.start", "websocket.accept", "websocket.http.response.start"}
)
_ENDED: Final = frozenset({"lifespan.shutdown.complete", "lifespan.shutdown.failed"})


class AsgiMiddleware:
    """Wraps an ASGI application.

    The header `x-deployment-id` of the application itself, if there is one, is replaced. Without a
    known deployment id responses stay as they are.

    Args:
        app: The application.
        started: What `deploymark.startup` returned; it is called when left out.
    """

    def __init__(self, app: App, started: Startup | None = None) -> None:
        self._app = app
        self._started = started if started is not None else startup()
        self._header = (_NAME, self._started.deployment_id.encode("ascii"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one scope."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, self._ending(send))
            return
        token = arrived.set(scope.get("headers", ()))
        try:
            await self._app(scope, receive, self._marking(send) if self._header[1] else send)
        finally:
            try:
                arrived.reset(token)
            except ValueError:  # a generator-based server goes on in another context
                arrived.set(None)

    def _marking(self, send: Send) -> Send:
        header = self._header

        def send_marked(message: Message) -> Awaitable[None]:
            if message["type"] not in _STARTS:
                return send(message)
            headers = [
                pair
                for pair in message.get("headers") or ()
                if len(pair[0]) != _LENGTH or bytes(pair[0]).lower() != _NAME
            ]
            headers.append(header)
            return send({**message, "headers": headers})

        return send_marked

    def _ending(self, send: Send) -> Send:
        async def send_and_end(message: Message) -> None:
            await send(message)
            # Many a server ends itself by a signal afterwards, and nothing of Python's own end
            # of a process is run.
            if message["type"] in _ENDED:
                self._started.end()

        return send_and_end
