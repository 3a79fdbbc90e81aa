"""WSGI middleware: says in every response which deployment gave it, and who called.

At most 2 µs a request (benchmarks/middleware.py). The response's body is passed on as it is, so
that streaming, `close` and a server's own file wrapper work as without it (PEP 3333). What came
with a request can be asked for until the next request of the same thread, because a body may be
made after the application has returned.
"""

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Final

from deploymark.emit.startup import Startup, startup
from deploymark.emit.upstream import arrived
from deploymark.model.vocabulary import RESPONSE_HEADER

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
Write = Callable[[bytes], object]
Raised = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
StartResponse = Callable[..., Write]
App = Callable[[Environ, Any], Iterable[bytes]]

_LENGTH: Final = len(RESPONSE_HEADER)


class WsgiMiddleware:
    """Wraps a WSGI application.

    The header `x-deployment-id` of the application itself, if there is one, is replaced. Without a
    known deployment id responses stay as they are.

    Args:
        app: The application.
        started: What `deploymark.startup` returned; it is called when left out.
    """

    def __init__(self, app: App, started: Startup | None = None) -> None:
        self._app = app
        deployment_id = (started if started is not None else startup()).deployment_id
        self._header = (RESPONSE_HEADER, deployment_id)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Handle one request."""
        arrived.set(environ)
        header = self._header
        if not header[1]:
            return self._app(environ, start_response)

        def start_marked(status: str, headers: Headers, *raised: Raised | None) -> Write:
            marked = [
                pair
                for pair in headers
                if len(pair[0]) != _LENGTH or pair[0].lower() != RESPONSE_HEADER
            ]
            marked.append(header)
            return start_response(status, marked, *raised)

        return self._app(environ, start_marked)
