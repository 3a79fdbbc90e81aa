"""Ends a call that would never return, so that a hang is a failed test and not a dead run."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def ends_within(seconds: float) -> Iterator[None]:
    """Raise `AssertionError` inside the block when it runs longer than this."""

    def give_up(_signal: int, _frame: FrameType | None) -> None:
        message = f"did not return within {seconds} s"
        raise AssertionError(message)

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
