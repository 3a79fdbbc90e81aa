"""What people see of rollouts, and ask of them."""

from typing import Any, Final

from starlette.concurrency import run_in_threadpool

from deploymark.act.rollouts import ActionRequest, Rollouts
from deploymark.errors import NotFoundError
from deploymark.server.access import read_small
from deploymark.server.answer import Answer, json_answer
from deploymark.server.desk import Desk
from deploymark.server.reading import catch_up
from deploymark.server.request import Request

_ACCEPTED: Final = 202


async def list_rollouts(desk: Desk, request: Request) -> Answer:
    """Answer `GET /v1/rollouts`."""
    asked = request.parameters
    found = await run_in_threadpool(
        _rollouts(desk).newest, asked.get("service"), asked.get("environment")
    )
    return json_answer({"items": found})


async def show_rollout(desk: Desk, request: Request) -> Answer:
    """Answer `GET /v1/rollouts/{id}`."""
    await catch_up(desk)  # who has just marked a deployment finds it
    found = await run_in_threadpool(_rollouts(desk).show, request.parameters["id"])
    return json_answer(found)


async def show_evidence(desk: Desk, request: Request) -> Answer:
    """Answer `GET /v1/verdicts/{index}/evidence`."""
    found = await run_in_threadpool(_rollouts(desk).evidence, request.parameters["index"])
    return json_answer(found)


async def act(desk: Desk, request: Request) -> Answer:
    """Answer `POST /v1/actions`."""
    asked = await read_small(desk, request, ActionRequest)
    await catch_up(desk)  # what is asked is held against all that was said before
    actor = request.caller.principal
    now_ms = desk.parts.clock.now_ms()
    remark = await run_in_threadpool(_rollouts(desk).remark, asked)
    index = await run_in_threadpool(_rollouts(desk).ask, asked, actor, now_ms)
    answer: dict[str, Any] = {"decision_index": index, "action": asked.action, "actor": actor}
    if remark:
        answer["remark"] = remark
    return json_answer(answer, status=_ACCEPTED)


def _rollouts(desk: Desk) -> Rollouts:
    found = desk.parts.rollouts
    if found is None:
        raise NotFoundError("This server rolls nothing out.")
    return found
