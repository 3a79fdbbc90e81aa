"""What machines and curious people ask of the server itself: health, metrics, documentation."""

from starlette.concurrency import run_in_threadpool

from deploymark.errors import DeploymarkError
from deploymark.server.accept import wants_html
from deploymark.server.answer import TEXT, Answer, headers_of, json_answer, text_answer
from deploymark.server.desk import Desk
from deploymark.server.metrics import MEDIA_TYPE, counters, distributions, family, render
from deploymark.server.problems import page_of
from deploymark.server.request import Request

_METRICS_HEADERS = headers_of(MEDIA_TYPE)
_SEE_OTHER = 303
_TO_THE_PAGE = headers_of(TEXT, (b"location", b"/oncall"), (b"vary", b"accept"))
_ABOUT = """\
deploymark: what is running, since when, from whom, is it healthy, and can you prove it?

Hand in a marker     POST /v1/markers
Follow the log       GET /v1/stream
Everything else      GET /openapi.json
"""


async def healthz(_: Desk, __: Request) -> Answer:
    """Answer `GET /healthz`: the process answers."""
    return text_answer("ok\n")


async def readyz(desk: Desk, _: Request) -> Answer:
    """Answer `GET /readyz`: the log can be read, and nothing keeps it from being written."""
    desk.parts.check_writing()
    await run_in_threadpool(desk.parts.view.reader.head)
    return text_answer("ready\n")


async def metrics(desk: Desk, _: Request) -> Answer:
    """Answer `GET /metrics`."""
    parts = desk.parts
    telemetry = parts.telemetry
    try:
        head = await run_in_threadpool(parts.view.reader.head)
        gauges: dict[str, float] = {
            **await run_in_threadpool(parts.gauges),
            **({} if telemetry is None else await run_in_threadpool(telemetry.gauges)),
            "log_size": head.size,
            "log_published_size": head.published_size,
            "view_lag_entries": max(0, head.size - parts.runner.position()),
        }
    except DeploymarkError:
        gauges = {}  # the counters tell why, and are wanted most just then
    gauges["stream_clients"] = desk.feed.clients
    more = await run_in_threadpool(parts.exposition)
    body = render(
        [
            desk.requests.lines(),
            counters(parts.meter.read()),
            distributions(parts.meter.distributions()),
            *(family(name, "gauge", {(): value}) for name, value in gauges.items()),
        ]
    )
    return Answer(200, body + more, _METRICS_HEADERS)


async def openapi(desk: Desk, _: Request) -> Answer:
    """Answer `GET /openapi.json`."""
    return Answer(200, desk.document)


async def show_problem(_: Desk, request: Request) -> Answer:
    """Answer `GET /problems/{code}`."""
    return text_answer(page_of(request.parameters["code"]))


async def about(_: Desk, request: Request) -> Answer:
    """Answer `GET /`: the page for people on call, where there is a browser to show it."""
    if wants_html(request.headers.get(b"accept")):
        return Answer(_SEE_OTHER, b"", _TO_THE_PAGE)
    if "application/json" in request.text(b"accept"):
        return json_answer({"name": "deploymark", "openapi": "/openapi.json"})
    return text_answer(_ABOUT)
