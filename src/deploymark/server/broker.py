"""What readers ask of the broker and the timeline: what runs, what is wrong, what happened."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from starlette.concurrency import run_in_threadpool

from deploymark.projections.broker.questions import (
    CoverageQuery,
    DeploymentQuery,
    FindingQuery,
    InstanceQuery,
    Items,
)
from deploymark.projections.timeline_query import TimelineQuery
from deploymark.server.answer import Answer, json_answer
from deploymark.server.desk import Desk
from deploymark.server.reading import asked_of
from deploymark.server.request import Request

_MOMENT_SECONDS: Final = 0.25
_LOOK_AGAIN_SECONDS: Final = 0.01


async def list_deployments(desk: Desk, request: Request) -> Answer:
    """Answer `GET /v1/deployments`."""
    query = DeploymentQuery(**await asked_lately(desk, request))
    return await _answer(desk.parts.broker.deployments, query)


async def show_deployment(desk: Desk, request: Request) -> Answer:
    """Answer `GET /v1/deployments/{id}`."""
    asked = await asked_lately(desk, request)
    return json_answer(await run_in_threadpool(desk.parts.broker.deployment, asked["id"]))


async def list_instances(desk: Desk, request: Request) -> Answer:
    """Answer `GET /v1/instances`."""
    query = InstanceQuery(**await asked_lately(desk, request))
    return await _answer(desk.parts.broker.instances, query)


async def list_findings(desk: Desk, request: Request) -> Answer:
    """Answer `GET /v1/findings`."""
    query = FindingQuery(**await asked_lately(desk, request))
    return await _answer(desk.parts.broker.findings, query)


async def show_coverage(desk: Desk, request: Request) -> Answer:
    """Answer `GET /v1/coverage`."""
    query = CoverageQuery(**await asked_lately(desk, request))
    return await _answer(desk.parts.broker.coverage, query)


async def list_timeline(desk: Desk, request: Request) -> Answer:
    """Answer `GET /v1/timeline`."""
    query = TimelineQuery(**await asked_lately(desk, request))
    return await _answer(desk.parts.timeline.events, query)


async def asked_lately(desk: Desk, request: Request) -> dict[str, Any]:
    """Return the query once the views are as fresh as asked.

    Who asks for nothing gets what was said a moment ago, if that takes no longer than a moment.
    """
    if "after" in request.parameters:
        return await asked_of(desk, request)
    runner = desk.parts.runner
    size = (await run_in_threadpool(desk.parts.view.reader.head)).size
    with suppress(TimeoutError):
        async with asyncio.timeout(_MOMENT_SECONDS):
            while runner.position() < size:  # noqa: ASYNC110 - as in `reading`
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    return dict(request.parameters)


async def _answer(ask: Callable[[Any], Items], query: object) -> Answer:
    found = await run_in_threadpool(ask, query)
    return json_answer(
        {"items": found.items, "next_cursor": found.next_cursor, "as_of": found.as_of}
    )
