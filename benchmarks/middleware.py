"""What the middleware costs a request, against none and against OpenTelemetry's own.

Run alone: `python benchmarks/middleware.py [--quick] [--json]`. Quiet machine, please. An
application that does next to nothing is called as a server calls it, without a network, so that
nothing hides the difference. Wall time is the median of rounds that alternate between the variants;
CPU time is that of the process over all of them.
"""

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from typing import Any, NamedTuple
from wsgiref.util import setup_testing_defaults

from measuring import Row, options, report
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware as OtelAsgi
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware as OtelWsgi
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from deploymark.emit.asgi import AsgiMiddleware
from deploymark.emit.startup import Startup
from deploymark.emit.upstream import outgoing_baggage, upstream
from deploymark.emit.wsgi import WsgiMiddleware

OWN = "d-5pptj8499xbw18rbhcwxej8wj6"
STARTED = Startup(deployment_id=OWN)
GOAL_US = 2.0
HEADERS = [
    (b"host", b"shop.example.com"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip, br"),
    (b"accept-language", b"en"),
    (b"cookie", b"session=0123456789abcdef"),
    (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    (b"baggage", b"user=alice,deploymark.upstream=d-00000000000000000000000000"),
]
ANSWERED = [(b"content-type", b"text/plain"), (b"content-length", b"5"), (b"vary", b"cookie")]

Call = Callable[[int], None]


class Took(NamedTuple):
    """Microseconds of one request.

    Attributes:
        wall: The median over rounds.
        cpu: Of the process, over all rounds.
    """

    wall: float
    cpu: float


def measured(variants: dict[str, Call], rounds: int, requests: int) -> dict[str, Took]:
    """Return what one request costs in each variant."""
    walls: dict[str, list[float]] = {name: [] for name in variants}
    cpus = dict.fromkeys(variants, 0.0)
    for call in variants.values():
        call(requests)  # warm
    gc.collect()
    gc.disable()
    for _ in range(rounds):
        for name, call in variants.items():
            cpu, wall = time.process_time(), time.perf_counter()
            call(requests)
            walls[name].append(time.perf_counter() - wall)
            cpus[name] += time.process_time() - cpu
    gc.enable()
    each = 1e6 / requests
    return {
        name: Took(statistics.median(walls[name]) * each, cpus[name] * each / rounds)
        for name in variants
    }


# ASGI -------------------------------------------------------------------------------------------

_LOOP = asyncio.new_event_loop()
AsgiApp = Callable[[Any, Any, Any], Coroutine[Any, Any, None] | Awaitable[None]]


async def asgi_app(_scope: Any, _receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's own
    """Answer as little as an application can."""
    await send({"type": "http.response.start", "status": 200, "headers": ANSWERED})
    await send({"type": "http.response.body", "body": b"hello"})


async def asgi_curious(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - as above
    """Ask who calls, and name ourselves to whom we would call."""
    upstream()
    outgoing_baggage(OWN)
    await asgi_app(scope, receive, send)


def asgi_call(app: AsgiApp) -> Call:
    """Return what sends requests to an ASGI application."""

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_: object) -> None:
        return None

    async def run(requests: int) -> None:
        for _ in range(requests):
            scope = {
                "type": "http",
                "asgi": {"version": "3.0"},
                "http_version": "1.1",
                "method": "GET",
                "scheme": "http",
                "path": "/basket",
                "query_string": b"",
                "headers": HEADERS,
                "server": ("127.0.0.1", 80),
                "client": ("127.0.0.1", 50_000),
            }
            await app(scope, receive, send)

    return lambda requests: _LOOP.run_until_complete(run(requests))


# WSGI -------------------------------------------------------------------------------------------


def wsgi_app(_environ: Any, start_response: Any) -> Iterable[bytes]:  # noqa: ANN401 - WSGI's own
    """Answer as little as an application can."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


def wsgi_call(app: Callable[[Any, Any], Iterable[bytes]]) -> Call:
    """Return what sends requests to a WSGI application."""
    request: dict[str, Any] = {"QUERY_STRING": ""}
    setup_testing_defaults(request)
    request.update(
        {
            "HTTP_" + name.decode().upper().replace("-", "_"): value.decode()
            for name, value in HEADERS
        }
    )

    def start_response(*_: object) -> None:
        return None

    def run(requests: int) -> None:
        for _ in range(requests):
            body = app(request.copy(), start_response)
            for _ in body:
                pass
            close = getattr(body, "close", None)
            if close is not None:
                close()

    return run


# OpenTelemetry ----------------------------------------------------------------------------------


def instrumented() -> tuple[Call, Call]:
    """Return the same applications under OpenTelemetry's own middleware, every span recorded.

    Its spans end in a processor that throws them away: what exporting costs is not counted.
    """
    provider = TracerProvider()
    provider.add_span_processor(SpanProcessor())
    asgi = OtelAsgi(asgi_app, tracer_provider=provider)
    wsgi = OtelWsgi(wsgi_app, tracer_provider=provider)  # type: ignore[no-untyped-call,unused-ignore]
    return asgi_call(asgi), wsgi_call(wsgi)


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure everything."""
    # Many short rounds: most of them are over before anything else gets the processor.
    rounds, requests = (401, 200) if quick else (4_001, 200)
    otel_asgi, otel_wsgi = instrumented()
    took = measured(
        {
            "ASGI": asgi_call(asgi_app),
            "ASGI marked": asgi_call(AsgiMiddleware(asgi_app, STARTED)),
            "ASGI curious": asgi_call(AsgiMiddleware(asgi_curious, STARTED)),
            "WSGI": wsgi_call(wsgi_app),
            "WSGI marked": wsgi_call(WsgiMiddleware(wsgi_app, STARTED)),
        },
        rounds,
        requests,
    )
    otel = measured({"ASGI": otel_asgi, "WSGI": otel_wsgi}, 101 if quick else 401, 20)
    for kind in ("ASGI", "WSGI"):
        bare, marked = took[kind], took[f"{kind} marked"]
        added = marked.wall - bare.wall
        yield Row(
            f"{kind} middleware, added to a request",
            added,
            bare.wall,
            "us",
            f"<= {GOAL_US:g}",
            added <= GOAL_US,
            f"CPU {marked.cpu - bare.cpu:.2f} us; limit: the whole request without it",
        )
        added = otel[kind].wall - bare.wall
        yield Row(
            f"{kind} middleware of OpenTelemetry, added to a request",
            added,
            bare.wall,
            "us",
            "for comparison",
            met=True,
            note=f"CPU {otel[kind].cpu - bare.cpu:.2f} us; spans recorded, none exported",
        )
    added = took["ASGI curious"].wall - took["ASGI marked"].wall
    yield Row(
        "asking for the caller and writing baggage",
        added,
        0.0,
        "us",
        "<= 20",
        added <= 20,
        "only where an application asks; there is no bare limit",
    )


def main() -> None:
    """Run and report."""
    chosen = options(__doc__ or "")
    report(list(rows(quick=chosen.quick)), as_json=chosen.json)
    _LOOP.close()


if __name__ == "__main__":
    main()
