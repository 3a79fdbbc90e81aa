"""Counts on a thread of its own what takes long to count, and tells what was counted last.

Nobody who asks waits until a week of deployments is counted, and counting never takes more than its
share of the machine. It starts nothing by itself: what nobody asks for is not counted.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final, Generic, TypeVar

from deploymark.ports import Clock

REST: Final = 9
"""It rests so many times as long as it counted: a tenth of a core at most."""

Value = TypeVar("Value")


class Counting(Generic[Value]):
    """Counts when it is asked, one count at a time; safe on any thread.

    Args:
        count: Counts; may take long, and may raise, which is not kept.
        clock: Tells the time.
        seconds: How old a count may be before it is counted again.
        stopwatch: Tells how long it takes, in seconds from anywhere.
    """

    def __init__(
        self,
        count: Callable[[], Value],
        clock: Clock,
        seconds: float,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count = count
        self._clock = clock
        self._keep_ms = round(seconds * 1_000)
        self._stopwatch = stopwatch
        self._thread = ThreadPoolExecutor(1, "measures")
        self._lock = threading.Lock()
        self._counting: Future[Value] | None = None
        self._submitted_s = 0.0
        self._known: Value | None = None
        self._began_ms = self._ended_ms = self._rests_ms = 0

    def read(self, patience_seconds: float, first_seconds: float) -> Value | None:
        """Return what was counted last, None while it is counted for the first time.

        Args:
            patience_seconds: How long after a new count began it is waited for.
            first_seconds: The same, where nothing was counted before.

        Raises:
            DeploymarkError: As `count`, when it has just refused.
        """
        with self._lock:
            if not self._is_due():
                return self._known
            if self._counting is None or self._counting.done():
                self._submitted_s = time.monotonic()
                self._counting = self._thread.submit(self._take)
            counting, known = self._counting, self._known
            until_s = self._submitted_s + (first_seconds if known is None else patience_seconds)
        wait([counting], max(0.0, until_s - time.monotonic()))
        return counting.result() if counting.done() else known

    def close(self) -> None:
        """Count no more, and wait for what is being counted."""
        self._thread.shutdown(cancel_futures=True)

    def _is_due(self) -> bool:
        now_ms = self._clock.now_ms()
        is_fresh = 0 <= now_ms - self._began_ms < self._keep_ms
        rests = 0 <= now_ms - self._ended_ms < self._rests_ms
        return self._known is None or not (is_fresh or rests)

    def _take(self) -> Value:
        began_ms, began_s = self._clock.now_ms(), self._stopwatch()
        value = self._count()
        took_s = self._stopwatch() - began_s
        with self._lock:
            self._known = value
            self._began_ms, self._ended_ms = began_ms, self._clock.now_ms()
            self._rests_ms = round(REST * took_s * 1_000)
        return value
