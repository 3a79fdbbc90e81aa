"""Threads that take scopes further: a bounded number of them, and never two in one scope.

Whoever takes the turns offers scopes; each is taken by the next thread that is free. One that
waits for an actuator or a source keeps its own thread busy, and nobody else's. Where more hang
than there are threads, the others wait, and the metrics say so.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Final

from deploymark.act.plan import Scope
from deploymark.errors import DeploymarkError, UnavailableError
from deploymark.ports import Meter

_log = logging.getLogger(__name__)

STOP_SECONDS: Final = 10.0
"""How long what is being done may go on when the server stops. What is not done then is looked at
after the next start, as after a crash."""


class Crew:
    """Works on scopes until it is stopped.

    Args:
        size: How many threads there are at most.
        work: What to do about a scope; may wait for long.
        meter: Counts failures.
        steady_ms: A clock that never jumps.
    """

    def __init__(
        self,
        size: int,
        work: Callable[[Scope], None],
        meter: Meter,
        steady_ms: Callable[[], int],
    ) -> None:
        self._work = work
        self._meter = meter
        self._steady_ms = steady_ms
        self._condition = threading.Condition()
        self._waiting: dict[Scope, int] = {}
        self._busy: dict[Scope, int] = {}
        self._failing: set[Scope] = set()
        self._stopping = False
        self._threads = [
            # A thread that hangs must not keep the process from ending.
            threading.Thread(target=self._run, name=f"lane-{number}", daemon=True)
            for number in range(size)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def offer(self, scopes: Iterable[Scope]) -> None:
        """Have scopes worked on, in this order, unless they are or wait already."""
        with self._condition:
            for scope in scopes:
                if not self._stopping and scope not in self._busy:
                    self._waiting.setdefault(scope, self._steady_ms())
            self._condition.notify_all()

    def stop(self, seconds: float = STOP_SECONDS) -> list[Scope]:
        """Begin nothing more, and wait for what goes on; return what still does after that time.

        Idempotent. What still goes on is left to itself, and ends with the process.
        """
        with self._condition:
            self._stopping = True
            self._waiting.clear()
            self._condition.notify_all()
            self._condition.wait_for(lambda: not self._busy, timeout=seconds)
            return list(self._busy)

    def gauges(self) -> dict[str, float]:
        """Return how many scopes are worked on and wait, and for how long the longest of each."""
        with self._condition:
            now_ms = self._steady_ms()
            busy, waiting = list(self._busy.values()), list(self._waiting.values())
        return {
            "rollout_lanes_busy": len(busy),
            "rollout_lanes_busy_seconds": (now_ms - min(busy, default=now_ms)) / 1_000,
            "rollout_lanes_waiting": len(waiting),
            "rollout_lanes_waiting_seconds": (now_ms - min(waiting, default=now_ms)) / 1_000,
        }

    def _run(self) -> None:
        while (scope := self._take()) is not None:
            try:
                self._try(scope)
            finally:
                with self._condition:
                    del self._busy[scope]
                    self._condition.notify_all()

    def _take(self) -> Scope | None:
        with self._condition:
            self._condition.wait_for(lambda: self._stopping or self._waiting)
            if self._stopping:
                return None
            scope = next(iter(self._waiting))
            del self._waiting[scope]
            self._busy[scope] = self._steady_ms()
            return scope

    def _try(self, scope: Scope) -> None:
        try:
            self._work(scope)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            self._fails(scope, error)
        else:
            self._failing.discard(scope)

    def _fails(self, scope: Scope, error: Exception) -> None:
        code = error.code if isinstance(error, DeploymarkError) else "unexpected"
        self._meter.count("deploymark_rollout_turns_failed_total", code=code)
        if self._stopping or scope in self._failing:
            return  # told once, until it works again
        self._failing.add(scope)
        _log.log(
            logging.WARNING if isinstance(error, UnavailableError) else logging.ERROR,
            "a rollout cannot go on",
            extra={"service": scope[0], "environment": scope[1], "why": repr(error)},
            exc_info=error if code == "unexpected" else None,
        )
