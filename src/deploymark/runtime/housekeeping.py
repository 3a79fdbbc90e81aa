"""What a running server does by the clock: publish, keep books, tell what was refused.

One thread, one loop. A task that fails is counted and tried again at its next turn; it never takes
the others or the server with it.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from deploymark.errors import DeploymarkError, UnavailableError, ViewsBuildingError
from deploymark.ports import Meter

_log = logging.getLogger(__name__)


class Task(NamedTuple):
    """Something to do again and again.

    Attributes:
        name: For counters and log lines.
        seconds: How long after its end it begins again.
        run: What to do; must not wait for long.
        last: What to do at the end, where that is more than `run`.
    """

    name: str
    seconds: float
    run: Callable[[], None]
    last: Callable[[], None] | None = None


class Housekeeper:
    """Runs tasks by the clock until it is stopped, and each of them once more then.

    Args:
        tasks: In the order in which they run when several are due.
        meter: Counts failures.
    """

    def __init__(self, tasks: Sequence[Task], meter: Meter) -> None:
        self._tasks = tasks
        self._meter = meter
        self._failing: set[str] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Run every task once more, then end; idempotent."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        if self._thread.is_alive():  # it may not have begun, when something else did not start
            self._thread.join()
        for task in self._tasks:
            self._try(task, task.last or task.run)

    def _run(self) -> None:
        due = {task.name: time.monotonic() + task.seconds for task in self._tasks}
        while not self._stopping.wait(max(0.0, min(due.values()) - time.monotonic())):
            for task in self._tasks:
                if due[task.name] <= time.monotonic():
                    self._try(task, task.run)
                    due[task.name] = time.monotonic() + task.seconds

    def _try(self, task: Task, run: Callable[[], None]) -> None:
        try:
            run()
        except ViewsBuildingError:
            _log.info("a housekeeping task waits for the views", extra={"task": task.name})
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            self._meter.count("deploymark_housekeeping_failed_total", task=task.name)
            if task.name not in self._failing:  # told once, until it works again
                self._failing.add(task.name)
                known = isinstance(error, DeploymarkError)
                _log.log(
                    logging.WARNING if isinstance(error, UnavailableError) else logging.ERROR,
                    "a housekeeping task failed",
                    extra={"task": task.name, "why": repr(error)},
                    exc_info=not known,
                )
        else:
            self._failing.discard(task.name)
