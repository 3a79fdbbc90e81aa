"""Frozen."""

from typing import Any

from deploymark.errors import NotFoundError
from deploymark.server.answer import Answer
from deploymark.server.desk import Desk
from deploymark.server.pages.asked import Asked
from deploymark.server.request import Request


def frozen(asked: Asked) -> Any:
    raise NotFoundError("Not served yet.")


async def keep_view(desk: Desk, request: Request) -> Answer:
    raise NotFoundError("Not served yet.")
