"""OpenTelemetry over HTTP: what exporters send, and what was counted of it.

The door reads the body and hands it to `telemetry`; what it says, and whether the caller may say
it, is decided there. Answers and errors are in the encoding of the request, as OTLP demands.
"""

from typing import Final

from starlette.concurrency import run_in_threadpool

from deploymark.decoding import decode_json
from deploymark.errors import InstantError, MediaTypeError, NotFoundError, RequestError
from deploymark.model.instants import format_instant, parse_instant
from deploymark.ports import TelemetryQuery
from deploymark.server.answer import Answer, headers_of, json_answer
from deploymark.server.body import media_type, read_body
from deploymark.server.desk import Desk
from deploymark.server.request import Request
from deploymark.telemetry.collector import Handed
from deploymark.telemetry.limits import AHEAD_SECONDS
from deploymark.telemetry.query import Page
from deploymark.telemetry.replies import ENCODINGS, JSON, PROTOBUF, status, success
from deploymark.telemetry.room import TelemetryRoom
from deploymark.telemetry.signals import Signal

GRPC: Final = "application/grpc"
GRPC_HINT: Final = (
    "OTLP is taken over HTTP only: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, and give the "
    "server's HTTP address as OTEL_EXPORTER_OTLP_ENDPOINT."
)
ASKED_SECONDS: Final = 900
"""How far back an answer goes when nobody says since when."""

ITEMS: Final = 200
"""Traces or log excerpts in one answer, unless asked for fewer or more."""

_MS: Final = 1_000
_HEADERS: Final = {PROTOBUF: headers_of(PROTOBUF), JSON: headers_of(JSON)}


async def take_traces(desk: Desk, request: Request) -> Answer:
    """Answer `POST /v1/traces`."""
    return await _take(desk, request, Signal.TRACES)


async def take_metrics(desk: Desk, request: Request) -> Answer:
    """Answer `POST /v1/metrics`."""
    return await _take(desk, request, Signal.METRICS)


async def take_logs(desk: Desk, request: Request) -> Answer:
    """Answer `POST /v1/logs`."""
    return await _take(desk, request, Signal.LOGS)


def as_status(_: Desk, request: Request, answer: Answer) -> Answer:
    """Return a problem as `google.rpc.Status`, in the encoding of the request."""
    told = decode_json(answer.body)
    message = " ".join(filter(None, (told["detail"], told["hint"])))
    kind = JSON if request.text(b"content-type").lower().startswith(JSON) else PROTOBUF
    kept = tuple(h for h in answer.headers if h[0] in {b"retry-after", b"www-authenticate"})
    return Answer(answer.status, status(answer.status, message, kind), (*_HEADERS[kind], *kept))


async def show_red(desk: Desk, request: Request) -> Answer:
    """Answer `GET /v1/telemetry/red`."""
    room, query = _room(desk), _query(desk, request)
    bucket_s = room.settings.bucket_seconds
    step_s = request.parameters.get("step", bucket_s)
    by_instance = request.parameters.get("by", "instance") == "instance"
    if step_s % bucket_s:
        raise RequestError(f"The step is {step_s} seconds; it is a multiple of {bucket_s}.")
    return await run_in_threadpool(
        lambda: _page(room.reader.red(query, step_s, by_instance=by_instance))
    )


async def show_marked(desk: Desk, request: Request) -> Answer:
    """Answer `GET /v1/telemetry/marked`."""
    room, query = _room(desk), _query(desk, request)
    step_s = request.parameters.get("step", room.settings.bucket_seconds)
    return await run_in_threadpool(lambda: _page(room.reader.marked(query, step_s)))


async def show_traces(desk: Desk, request: Request) -> Answer:
    """Answer `GET /v1/telemetry/traces`."""
    room, query = _room(desk), _query(desk, request)
    limit = request.parameters.get("limit", ITEMS)
    return await run_in_threadpool(lambda: _page(room.reader.traces(query, limit)))


async def show_logs(desk: Desk, request: Request) -> Answer:
    """Answer `GET /v1/telemetry/logs`."""
    room, query = _room(desk), _query(desk, request)
    limit = request.parameters.get("limit", ITEMS)
    return await run_in_threadpool(lambda: _page(room.reader.logs(query, limit)))


async def _take(desk: Desk, request: Request, signal: Signal) -> Answer:
    room = _room(desk)
    if request.text(b"content-type").lower().startswith(GRPC):
        raise MediaTypeError("This is gRPC, which is not spoken here.", hint=GRPC_HINT)
    kind = media_type(request, ENCODINGS)
    settings = desk.settings
    limit = room.settings.max_body_bytes
    if not request.caller.principal:
        limit = min(limit, settings.max_stranger_bytes)
    body = await read_body(request, limit, settings.body_seconds, desk.bodies)
    handed = Handed(signal, ENCODINGS[kind], body, request.caller)
    taken = await desk.landing.result(room.reception.hand_in(handed))
    return Answer(200, success(signal, taken, kind), _HEADERS[kind])


def _room(desk: Desk) -> TelemetryRoom:
    room = desk.parts.telemetry
    if room is None:
        raise NotFoundError(
            "Telemetry is not taken here.", hint="Set telemetry.enabled in the configuration."
        )
    return room


def _query(desk: Desk, request: Request) -> TelemetryQuery:
    asked = request.parameters
    now_s = desk.parts.clock.now_ms() // _MS
    bucket_s = _room(desk).settings.bucket_seconds
    until_s = _second(asked.get("until"), now_s + AHEAD_SECONDS + bucket_s)
    since_s = _second(asked.get("cursor") or asked.get("since"), until_s - ASKED_SECONDS)
    return TelemetryQuery(
        since_s,
        until_s,
        asked.get("service"),
        asked.get("environment"),
        asked.get("deployment_id"),
        asked.get("instance"),
    )


def _second(text: str | None, otherwise: int) -> int:
    if text is None:
        return otherwise
    try:
        return parse_instant(text) // _MS
    except InstantError as error:
        raise RequestError(error.message, hint=error.hint) from None


def _page(page: Page) -> Answer:
    cursor = None if page.next_since_s is None else format_instant(page.next_since_s * _MS)
    return json_answer({"items": page.items, "next_cursor": cursor})
