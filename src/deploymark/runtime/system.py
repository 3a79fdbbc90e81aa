"""The real clock and the counters of this process."""

import threading
import time
from collections import Counter


class SystemClock:
    """The machine's own time; see `ports.Clock`."""

    def now_ms(self) -> int:
        """Return milliseconds since the Unix epoch, UTC."""
        return time.time_ns() // 1_000_000


class ProcessMeter:
    """Counts in memory; see `ports.Meter`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        """Add to a counter."""
        with self._lock:
            self._counts[name, tuple(sorted(labels.items()))] += amount

    def read(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], int]:
        """Return a copy of all counters."""
        with self._lock:
            return dict(self._counts)
