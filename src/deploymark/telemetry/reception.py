"""The queue before the collector: many exporters hand in at once, one thread counts and saves.

A request is answered once what it adds is saved. What waits is bounded in bytes; whoever finds
the queue full, or the store unable to follow, is told to come back.

States: idle → running (`start`) → stopped (`stop`); what waits then is still counted. When saving
fails, everything that the group had changed in memory is thrown away and read again from the
store, as after a restart, and the exporters send again: nothing is counted twice.
"""

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from msgspec import Struct

from deploymark.errors import (
    DeploymarkError,
    OverloadedError,
    StoreUnavailableError,
    UnexpectedError,
)
from deploymark.ports import Clock, Meter, TelemetryStore
from deploymark.telemetry.collector import Collector, Handed, Taken
from deploymark.telemetry.limits import GROUP_BYTES, QUEUE_BYTES

ITEMS_COUNTER: Final = "deploymark_telemetry_items_total"
DROPPED_COUNTER: Final = "deploymark_telemetry_dropped_total"
_MS: Final = 1_000
_TELL_MS: Final = 60_000

_log = logging.getLogger(__name__)


class _Waiting(Struct):
    handed: Handed
    future: "Future[Taken]"


class Reception:
    """Takes requests in.

    Args:
        store: Where counts are saved.
        collect: Makes a collector that goes on from what is saved.
        clock: The time of receipt.
        meter: Counts items.
        queue_bytes: Bodies that may wait, all together.
        group_bytes: Bodies that are saved in one commit, but at least one.
    """

    def __init__(
        self,
        store: TelemetryStore,
        collect: Callable[[], Collector],
        clock: Clock,
        meter: Meter,
        *,
        queue_bytes: int = QUEUE_BYTES,
        group_bytes: int = GROUP_BYTES,
    ) -> None:
        self._store = store
        self._collect = collect
        self._clock = clock
        self._meter = meter
        self._queue_bytes = queue_bytes
        self._group_bytes = group_bytes
        self._condition = threading.Condition()
        self._queue: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._stopping = False
        self._told: dict[tuple[str, str], int] = {}
        self._collector: Collector | None = None
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Count what waits, then end; idempotent."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def hand_in(self, handed: Handed) -> "Future[Taken]":
        """Queue a request; returns at once.

        Returns:
            What becomes of it; raises what `Collector.take` raises, or `StoreUnavailableError`.

        Raises:
            OverloadedError: Too much waits already, or this is stopping.
        """
        size = len(handed.body)
        waiting = _Waiting(handed, Future())
        with self._condition:
            is_full = self._queue and self._waiting_bytes + size > self._queue_bytes
            if is_full or self._stopping:
                self._meter.count(DROPPED_COUNTER, why="queue")
                raise OverloadedError(
                    "More telemetry waits to be counted than fits into memory.",
                    hint="Send again as Retry-After says; an exporter does so by itself.",
                )
            self._queue.append(waiting)
            self._waiting_bytes += size
            self._condition.notify()
        return waiting.future

    def gauges(self) -> dict[str, float]:
        """Return how full queue and memory are, by name of the metric."""
        collector = self._collector
        return {
            "telemetry_queue_bytes": self._waiting_bytes,
            **({} if collector is None else collector.gauges()),
        }

    # The thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        while (group := self._take()) is not None:
            try:
                self._serve(group)
            except Exception as error:  # noqa: BLE001 - every exporter must hear of it
                self._fail(group, error)

    def _take(self) -> list[_Waiting] | None:
        """Wait for work and return one group; None when stopping and done."""
        with self._condition:
            while not self._queue:
                if self._stopping:
                    return None
                self._condition.wait()
            group: list[_Waiting] = []
            size = 0
            while self._queue:
                more = len(self._queue[0].handed.body)
                if group and size + more > self._group_bytes:
                    break
                waiting = self._queue.popleft()
                size += more
                if waiting.future.set_running_or_notify_cancel():
                    group.append(waiting)
            self._waiting_bytes -= size
            return group

    def _serve(self, group: list[_Waiting]) -> None:
        if self._collector is None:
            self._collector = self._collect()
        collector = self._collector
        now_s = self._clock.now_ms() // _MS
        answers: list[Taken | DeploymarkError] = []
        for waiting in group:
            try:
                answers.append(collector.take(waiting.handed, now_s))
            except DeploymarkError as error:
                # Its frames hold all that was read of a body; only its words are needed.
                error.__context__ = None
                answers.append(error.with_traceback(None))
            except Exception as error:  # noqa: BLE001 - a request that shows a defect is alone in it
                self._meter.count(DROPPED_COUNTER, why="defect")
                self._tell(error, "defect")
                answers.append(UnexpectedError("The telemetry could not be counted."))
        # If we stop before this is saved, nobody was told that it was taken, and it comes again.
        self._store.save(collector.finish(now_s))
        self._count(group, answers)
        for why, amount in collector.dropped.items():
            self._meter.count(DROPPED_COUNTER, amount, why=why)
        collector.dropped.clear()
        for waiting, answer in zip(group, answers, strict=True):
            if isinstance(answer, DeploymarkError):
                waiting.future.set_exception(answer)
            else:
                waiting.future.set_result(answer)

    def _tell(self, error: Exception, code: str) -> None:
        """Log an error, the same kind of it once a minute."""
        kind, now_ms = (type(error).__name__, code), self._clock.now_ms()
        if now_ms - self._told.get(kind, -_TELL_MS) < _TELL_MS:
            return
        self._told[kind] = now_ms
        known = isinstance(error, DeploymarkError)
        _log.error(
            "telemetry cannot be kept",
            extra={"code": code, "why": str(error)},
            exc_info=None if known else error,
        )

    def _count(self, group: list[_Waiting], answers: list[Taken | DeploymarkError]) -> None:
        counts: Counter[tuple[str, str]] = Counter()
        for waiting, answer in zip(group, answers, strict=True):
            signal = waiting.handed.signal.value
            if isinstance(answer, DeploymarkError):
                counts[signal, answer.code] += 1
            else:
                counts[signal, "taken"] += answer.items
                counts[signal, "refused"] += answer.refused
        for (signal, outcome), amount in counts.items():
            if amount:
                self._meter.count(ITEMS_COUNTER, amount, signal=signal, outcome=outcome)

    def _fail(self, group: list[_Waiting], error: Exception) -> None:
        self._collector = None
        code = error.code if isinstance(error, DeploymarkError) else "defect"
        self._meter.count(DROPPED_COUNTER, len(group), why=code)
        self._tell(error, code)
        told = (
            error
            if isinstance(error, StoreUnavailableError)
            else UnexpectedError("The telemetry could not be counted.")
        )
        for waiting in group:
            if not waiting.future.done():
                waiting.future.set_exception(told)
