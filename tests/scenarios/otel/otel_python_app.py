"""A service that knows nothing of deploymark, with OpenTelemetry's own middleware."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware as AsgiMiddleware
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware as WsgiMiddleware

Send = Callable[[dict[str, Any]], Awaitable[None]]


async def _asgi(scope: dict[str, Any], _: object, send: Send) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello\n"})


def _wsgi(_: dict[str, Any], start: Callable[..., object]) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"hello\n"]


asgi = AsgiMiddleware(_asgi)
wsgi = WsgiMiddleware(_wsgi)
