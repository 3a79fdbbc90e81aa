"""How many requests may wait for something to change, and who of them is still there.

Used on the event loop only. Who waits holds a connection and a task, and no thread.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from starlette.requests import ClientDisconnect

from deploymark.errors import RateLimitedError
from deploymark.server.request import Request

MOST_WAITING: Final = 256
"""Requests that wait at once…"""

MOST_OF_ONE: Final = 32
"""…and how many of them are of one caller."""

_COME_BACK_SECONDS: Final = 5


class WaitingRoom:
    """Counts those who wait.

    Args:
        most: At once.
        of_one: Of one caller.
    """

    def __init__(self, most: int = MOST_WAITING, of_one: int = MOST_OF_ONE) -> None:
        self._most = most
        self._of_one = of_one
        self._callers: Counter[str] = Counter()

    @contextmanager
    def seat(self, principal: str) -> Iterator[None]:
        """Let a caller wait until the block ends.

        Raises:
            RateLimitedError: Too many wait already.
        """
        if self._callers.total() >= self._most or self._callers[principal] >= self._of_one:
            raise RateLimitedError(
                "Too many requests wait already; ask without `wait`, or come back.",
                retry_after_s=_COME_BACK_SECONDS,
            )
        self._callers[principal] += 1
        try:
            yield
        finally:
            self._callers[principal] -= 1
            if not self._callers[principal]:
                del self._callers[principal]


async def pause(request: Request, seconds: float) -> None:
    """Let time pass while a client waits.

    Args:
        request: Its body was read to its end.
        seconds: How long.

    Raises:
        ClientDisconnect: It waits no longer.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await request.receive())["type"] != "http.disconnect":
                pass
            raise ClientDisconnect
