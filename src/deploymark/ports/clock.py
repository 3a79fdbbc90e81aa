"""Who tells the time."""

from typing import Protocol


class Clock(Protocol):
    """Tells the time. Injected everywhere, so that tests and replays own it."""

    def now_ms(self) -> int:
        """Return milliseconds since the Unix epoch, UTC."""
        ...
