"""What was found out a moment ago is not found out again."""

import threading
from collections.abc import Iterator

import pytest

from deploymark.errors import StoreUnavailableError
from deploymark.server.recent import Recent
from deploymark.testing.clock import ManualClock

PATIENCE_SECONDS = 10


class Finder:
    """Finds 1, 2, 3, …; raises when it shall."""

    def __init__(self) -> None:
        self.found = 0
        self.refuses = False

    def __call__(self) -> int:
        if self.refuses:
            raise StoreUnavailableError("The disk is away.")
        self.found += 1
        return self.found


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_a_value_is_kept_for_a_while_and_then_found_again(clock: ManualClock) -> None:
    recent = Recent(Finder(), clock, 2)
    assert [recent.read(), recent.read()] == [1, 1]
    clock.advance(1.9)
    assert recent.read() == 1
    clock.advance(0.2)
    assert recent.read() == 2


def test_a_clock_that_was_set_back_keeps_nothing_for_hours(clock: ManualClock) -> None:
    recent = Recent(Finder(), clock, 2)
    recent.read()
    clock.advance(-3_600)
    assert recent.read() == 2


def test_a_value_that_does_not_fit_is_found_again_at_once(clock: ManualClock) -> None:
    recent = Recent(Finder(), clock, 2)
    recent.read()
    assert recent.read(lambda value: value > 1) == 2


def test_what_was_raised_is_not_kept(clock: ManualClock) -> None:
    finder = Finder()
    recent = Recent(finder, clock, 2)
    finder.refuses = True
    with pytest.raises(StoreUnavailableError):
        recent.read()
    finder.refuses = False
    assert recent.read() == 1


def test_who_comes_while_it_is_found_out_gets_the_last_one(clock: ManualClock) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def found() -> Iterator[int]:
        yield 1
        begun.set()
        go_on.wait(PATIENCE_SECONDS)
        yield 2

    values = found()
    recent = Recent(lambda: next(values), clock, 2)
    recent.read()
    clock.advance(3)
    slow = threading.Thread(target=recent.read)
    slow.start()
    assert begun.wait(PATIENCE_SECONDS)
    assert recent.read() == 1
    go_on.set()
    slow.join(PATIENCE_SECONDS)
    assert recent.read() == 2


def test_those_who_wait_for_the_first_value_all_get_that_one(clock: ManualClock) -> None:
    go_on, found = threading.Event(), Finder()

    def find() -> int:
        go_on.wait(PATIENCE_SECONDS)
        return found()

    recent, got = Recent(find, clock, 2), list[int]()
    threads = [threading.Thread(target=lambda: got.append(recent.read())) for _ in range(4)]
    for thread in threads:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert got == [1, 1, 1, 1]
