"""The real clock and the counters of this process."""

import gc
import sys
import threading
import time
from collections import Counter
from typing import Protocol

from deploymark.model.distribution import Distribution
from deploymark.ports import Clock

_TURN_SECONDS = 0.0005


class ServerClock(Clock, Protocol):
    """What a server tells the time by: a clock that may be set, and one that nobody sets."""

    def steady_ms(self) -> int:
        """Return milliseconds since some moment: only differences mean something."""
        ...


class SystemClock:
    """The machine's own time; see `ServerClock`."""

    def now_ms(self) -> int:
        """Return milliseconds since the Unix epoch, UTC."""
        return time.time_ns() // 1_000_000

    def steady_ms(self) -> int:
        """See `ServerClock.steady_ms`."""
        return steady_ms()


def steady_ms() -> int:
    """Return milliseconds of a clock that nobody sets: only differences mean something."""
    return time.monotonic_ns() // 1_000_000


class ProcessMeter:
    """Counts in memory; see `ports.Meter`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
        self._distributions: dict[str, Distribution] = {}

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        """Add to a counter."""
        with self._lock:
            self._counts[name, tuple(sorted(labels.items()))] += amount

    def observe(self, name: str, seconds: float) -> None:
        """Add to a distribution."""
        with self._lock:
            self._distributions.setdefault(name, Distribution()).add(seconds)

    def read(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], int]:
        """Return a copy of all counters."""
        with self._lock:
            return dict(self._counts)

    def distributions(self) -> dict[str, Distribution]:
        """Return a copy of all distributions."""
        with self._lock:
            return {name: each.copy() for name, each in self._distributions.items()}


def share_the_interpreter() -> None:
    """Let threads take turns more often than every 5 ms.

    A marker passes five threads before it is acknowledged; where each of them waits for a view that
    is being written, the turns add up to what a caller waits for.
    """
    sys.setswitchinterval(_TURN_SECONDS)


def spare_the_collector() -> None:
    """Let the collector of reference cycles look less often, and not at what a start has made.

    A server makes thousands of short-lived values for each group of markers, and keeps large tables
    of values that hold no cycles: looking through them finds nothing and takes long.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
