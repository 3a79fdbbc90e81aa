"""Tasks are done by the clock, and none of them takes another or the server with it."""

import logging
import threading
from collections.abc import Callable

import pytest

from deploymark.errors import LogBrokenError, StoreUnavailableError, ViewsBuildingError
from deploymark.runtime.housekeeping import Housekeeper, Task
from deploymark.testing.meter import ListMeter

_PATIENCE_SECONDS = 30
OFTEN, NEVER = 0.001, 3_600.0


class Chore:
    """Counts how often it was done, and fails as it is told."""

    def __init__(self, *errors: Exception | None) -> None:
        self.done = 0
        self._errors = list(errors)
        self._turn = threading.Semaphore(0)

    def __call__(self) -> None:
        self.done += 1
        error = self._errors.pop(0) if self._errors else None
        self._turn.release()
        if error is not None:
            raise error

    def wait(self, times: int) -> None:
        for _ in range(times):
            assert self._turn.acquire(timeout=_PATIENCE_SECONDS), "it was not done"


def keeping(*chores: Callable[[], None], seconds: float = OFTEN) -> tuple[Housekeeper, ListMeter]:
    meter = ListMeter()
    tasks = [Task(f"chore {n}", seconds, chore) for n, chore in enumerate(chores)]
    return Housekeeper(tasks, meter), meter


def test_tasks_are_done_again_and_again_until_the_end() -> None:
    one, other = Chore(), Chore()
    keeper, meter = keeping(one, other)
    keeper.start()
    one.wait(3)
    other.wait(3)
    keeper.stop()
    done = one.done, other.done
    assert min(done) >= 4  # and once more at the end
    assert meter.counts == {}
    keeper.stop()
    assert (one.done, other.done) == done


FAILURES = {
    "the disk is full": StoreUnavailableError("No space is left."),
    "the log is broken": LogBrokenError("It does not add up."),
    "a defect": ZeroDivisionError("division by zero"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_task_that_fails_stops_neither_itself_nor_the_others(
    failure: str, caplog: pytest.LogCaptureFixture
) -> None:
    failing, sound = Chore(*[FAILURES[failure]] * 3), Chore()
    keeper, meter = keeping(failing, sound)
    with caplog.at_level(logging.WARNING):
        keeper.start()
        failing.wait(5)
        sound.wait(5)
        keeper.stop()
    assert meter.counts["deploymark_housekeeping_failed_total{task=chore 0}"] == 3
    assert [record.message for record in caplog.records] == ["a housekeeping task failed"]
    (record,) = caplog.records
    assert record.__dict__["task"] == "chore 0"
    is_defect = isinstance(FAILURES[failure], ZeroDivisionError)
    assert bool(record.exc_info) == is_defect
    away = isinstance(FAILURES[failure], StoreUnavailableError)
    assert record.levelno == (logging.WARNING if away else logging.ERROR)


def test_a_task_that_worked_meanwhile_is_told_of_again(caplog: pytest.LogCaptureFixture) -> None:
    away = StoreUnavailableError("No space is left.")
    flaky = Chore(away, away, None, away)
    keeper, _ = keeping(flaky)
    keeper.start()
    flaky.wait(5)
    keeper.stop()
    assert len(caplog.records) == 2


def test_at_the_end_every_task_is_done_once_more_and_the_others_after_one_that_fails() -> None:
    failing, sound = Chore(ZeroDivisionError("at the end")), Chore()
    keeper, meter = keeping(failing, sound, seconds=NEVER)
    keeper.start()
    keeper.stop()
    assert (failing.done, sound.done) == (1, 1)
    assert meter.counts["deploymark_housekeeping_failed_total{task=chore 0}"] == 1
    keeper.stop()
    assert (failing.done, sound.done) == (1, 1)


def test_a_task_may_do_more_at_the_end() -> None:
    usual, last = Chore(), Chore()
    keeper = Housekeeper([Task("chore", OFTEN, usual, last)], ListMeter())
    keeper.start()
    usual.wait(1)
    assert last.done == 0
    keeper.stop()
    assert last.done == 1


def test_what_was_never_started_can_be_stopped() -> None:
    chore = Chore()
    keeper, _ = keeping(chore)
    keeper.stop()
    assert chore.done == 1


def test_a_task_that_waits_for_the_views_has_not_failed(caplog: pytest.LogCaptureFixture) -> None:
    waiting = Chore(ViewsBuildingError("The views are being built from the log."))
    keeper, meter = keeping(waiting)
    with caplog.at_level(logging.INFO):
        keeper.start()
        waiting.wait(2)
        keeper.stop()
    assert meter.counts == {}
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.INFO, "a housekeeping task waits for the views")
    ]
