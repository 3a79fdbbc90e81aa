"""Brings results from the writer's threads to the event loop, a whole group in one wake-up.

A commit acknowledges many requests at once. `asyncio.wrap_future` would wake the loop for each.
"""

import asyncio
import threading
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


class Landing:
    """Waits for futures of other threads; belongs to the loop on which it first waits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._arrived: list[tuple[asyncio.Future[Any], Future[Any]]] = []

    async def result(self, future: Future[T]) -> T:
        """Return the result of a future of another thread, or raise what it raised."""
        if not future.done():
            waiting = asyncio.get_running_loop().create_future()
            future.add_done_callback(partial(self._arrive, waiting))
            await waiting
        return future.result()

    def _arrive(self, waiting: "asyncio.Future[Any]", future: Future[Any]) -> None:
        with self._lock:
            is_first = not self._arrived
            self._arrived.append((waiting, future))
        if is_first:
            try:
                waiting.get_loop().call_soon_threadsafe(self._land)
            except RuntimeError:  # the loop has ended, and with it whoever waited
                self._take()

    def _land(self) -> None:
        for waiting, _ in self._take():
            if not waiting.done():  # the request may have been given up
                waiting.set_result(None)

    def _take(self) -> list[tuple["asyncio.Future[Any]", Future[Any]]]:
        with self._lock:
            arrived, self._arrived = self._arrived, []
        return arrived
