"""A clock that tests move by hand."""

START_MS = 1_795_000_000_000
"""Some day in November 2026."""


class ManualClock:
    """Stands still until told; see `ports.Clock`."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """Return the time it was set to."""
        return self._now_ms

    def steady_ms(self) -> int:
        """See `runtime.system.ServerClock`: nobody sets this clock, time only passes."""
        return self._now_ms

    def advance(self, seconds: float) -> None:
        """Move forward."""
        self._now_ms += int(seconds * 1000)
