"""What pipelines ask before they go on: whether they may."""

import asyncio
from contextlib import suppress
from typing import Annotated, Any, Final

from msgspec import Meta, Struct, to_builtins
from starlette.concurrency import run_in_threadpool

from deploymark.act.gate_book import GateBook
from deploymark.act.gating import Told
from deploymark.errors import NotFoundError
from deploymark.judge.gate import GateDecision
from deploymark.model.limits import DeploymentName, Name
from deploymark.server.access import read_small
from deploymark.server.answer import Answer, json_answer
from deploymark.server.desk import Desk
from deploymark.server.request import Request
from deploymark.server.waiting import pause

LONGEST_WAIT: Final = 60
"""Seconds that one request may wait; who wants to wait longer asks again."""

_AGAIN_SECONDS: Final = 1.0
_FRESH_AGAIN_SECONDS: Final = 0.01


class GateRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a pipeline asks (`POST /v1/gate`).

    Attributes:
        service: Its name.
        environment: Its name.
        deployment_id: `d-…` or `d-…~2`; the one that opened last when left out.
        wait: Seconds to wait for an answer that is not inconclusive.
        explain: Every rule is listed with what it looked at, also those that do not apply.
        dry_run: The answer is not logged.
    """

    service: Name
    environment: Name
    deployment_id: DeploymentName | None = None
    wait: Annotated[float, Meta(ge=0, le=LONGEST_WAIT)] = 0.0
    explain: bool = False
    dry_run: bool = False


async def show_gate(desk: Desk, request: Request) -> Answer:
    """Answer `GET /v1/gate`."""
    said = request.parameters
    asked = GateRequest(
        service=said["service"],
        environment=said["environment"],
        deployment_id=said.get("deployment_id"),
        explain=said.get("explain") == "true",
        # Whoever asks for the head alone is not told what was decided.
        dry_run=said.get("dry_run") == "true" or request.scope["method"] == "HEAD",
    )
    return await _answered(desk, request, asked)


async def ask_gate(desk: Desk, request: Request) -> Answer:
    """Answer `POST /v1/gate`, in the end."""
    return await _answered(desk, request, await read_small(desk, request, GateRequest))


async def _answered(desk: Desk, request: Request, asked: GateRequest) -> Answer:
    gate, principal = gate_of(desk), request.caller.principal
    size = await seen(desk)
    told = await _look(gate, asked, size)
    if asked.wait and _is_open(told):
        with desk.waiting.seat(principal), suppress(TimeoutError):
            async with asyncio.timeout(asked.wait):
                while _is_open(told) and not desk.feed.is_closed:
                    await pause(request, _AGAIN_SECONDS)
                    told = await _look(gate, asked, size)
        if request.check is not None:
            await request.check()  # the token may have ended meanwhile
    index = None if asked.dry_run else await run_in_threadpool(gate.write, told, principal)
    return json_answer(_shown(told, index, explained=asked.explain))


async def seen(desk: Desk) -> int:
    """Return how many entries the log has, once the views have seen them or it takes too long."""
    runner = desk.parts.runner
    size = (await run_in_threadpool(desk.parts.view.reader.head)).size
    with suppress(TimeoutError):
        async with asyncio.timeout(desk.settings.fresh_seconds):
            while runner.position() < size:  # noqa: ASYNC110 - as in `reading`
                await asyncio.sleep(_FRESH_AGAIN_SECONDS)
    return size


async def _look(gate: GateBook, asked: GateRequest, size: int) -> Told:
    return await run_in_threadpool(
        gate.look, asked.service, asked.environment, asked.deployment_id, size
    )


def _is_open(told: Told) -> bool:
    return told.answer.decision is GateDecision.INCONCLUSIVE


def _shown(told: Told, index: int | None, *, explained: bool) -> dict[str, Any]:
    shown = {
        "decision": told.answer.decision,
        "reasons": to_builtins(told.answer.reasons),
        "decision_index": index,
        "service": told.service,
        "environment": told.environment,
        "deployment_id": told.name,
        "rollout": told.state,
        "as_of": told.as_of,
    }
    return shown | {"rules": to_builtins(told.rules)} if explained else shown


def gate_of(desk: Desk) -> GateBook:
    """Return the gate; NotFoundError where there is none."""
    found = desk.parts.gate
    if found is None:
        raise NotFoundError("This server has no gate.")
    return found
