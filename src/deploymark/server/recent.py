"""Keeps what was costly to find out for a moment, so that many who ask cost as much as one."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from deploymark.ports import Clock

Value = TypeVar("Value")


def _any(_: object) -> bool:
    return True


class Recent(Generic[Value]):
    """Finds a value out at most once in a while, on one thread at a time; safe on any.

    Args:
        find: Finds it out; may wait and may raise, which is not kept.
        clock: Tells the time.
        seconds: For how long it is good.
    """

    def __init__(self, find: Callable[[], Value], clock: Clock, seconds: float) -> None:
        self._find = find
        self._clock = clock
        self._keep_ms = round(seconds * 1_000)
        self._finding = threading.Lock()
        self._known: tuple[int, Value] | None = None

    def read(self, fits: Callable[[Value], bool] = _any) -> Value:
        """Return the value, found out now or a moment ago.

        Who comes while it is being found out gets the last one, and waits only without one that
        fits: threads that all wait for the same are missing elsewhere.

        Raises:
            DeploymarkError: As `find`.
        """
        known = self._known
        if known is not None and fits(known[1]):
            if 0 <= self._clock.now_ms() - known[0] < self._keep_ms:
                return known[1]
            if not self._finding.acquire(blocking=False):
                return known[1]
        else:
            self._finding.acquire()
        try:
            if self._known is not known and self._known is not None and fits(self._known[1]):
                return self._known[1]
            started_ms = self._clock.now_ms()
            value = self._find()
            self._known = (started_ms, value)
            return value
        finally:
            self._finding.release()
