"""Whether this controller is the one that acts, and how far its clock can be trusted.

The lease is taken anew with every turn, and prolonged within one that takes long. A clock that
never jumps tells how far the other one has.
"""

from collections.abc import Callable
from typing import Final

from deploymark.ports import LeaseStore

LEASE: Final = "rollouts"
LEASE_SECONDS: Final = 120
"""How long the lease is held without being prolonged: longer than any actuator may take."""

PROLONG_SECONDS: Final = 10
"""After how much of a turn the lease is prolonged."""

JUMP_MS: Final = 1_000
"""What is less is drift."""

REMEMBERED_MS: Final = 86_400_000
"""How long a jump is held against the clock: nothing is asked about longer ago than that."""

_MS: Final = 1_000


class Holding:
    """The lease of one controller, and its clocks.

    Args:
        leases: Lets one controller act.
        holder: Who this controller is.
        steady_ms: A clock that never jumps.

    Attributes:
        fence: Of the newest holding, 0 before the first.
        until_ms: Until when it is held; None: somebody else has it.
    """

    def __init__(self, leases: LeaseStore, holder: str, steady_ms: Callable[[], int]) -> None:
        self._leases = leases
        self._holder = holder
        self._steady_ms = steady_ms
        self._taken: tuple[int, int] = (0, 0)
        self._began: tuple[int, int] | None = None
        self._jumped: int | None = None
        self.fence = 0
        self.until_ms: int | None = None

    def take(self, now_ms: int) -> bool:
        """Take or prolong the lease; tell whether it is held.

        Raises:
            StoreUnavailableError: The medium of the lease refuses.
        """
        self._taken = (now_ms, self._steady_ms())
        self.until_ms = None
        until_ms = now_ms + LEASE_SECONDS * _MS
        fence = self._leases.take(LEASE, self._holder, now_ms, until_ms)
        if fence is None:
            return False
        self.fence, self.until_ms = fence, until_ms
        return True

    def still(self) -> bool:
        """Tell within a turn whether the lease is held as it was when the turn began."""
        now_ms, steady_ms = self._taken
        passed_ms = self._steady_ms() - steady_ms
        if passed_ms < PROLONG_SECONDS * _MS:
            return True
        fence = self.fence
        return self.take(now_ms + passed_ms) and self.fence == fence

    def clock_off_ms(self, now_ms: int) -> int:
        """Return how far the clock has jumped in the last 24 hours, while this controller ran."""
        steady_ms = self._steady_ms()
        if self._began is None:
            self._began = (now_ms, steady_ms)
        off_ms = (now_ms - self._began[0]) - (steady_ms - self._began[1])
        if abs(off_ms) < JUMP_MS:
            self._jumped = None
        elif self._jumped is None:
            self._jumped = steady_ms
        elif steady_ms - self._jumped > REMEMBERED_MS:
            self._began, self._jumped, off_ms = (now_ms, steady_ms), None, 0
        return abs(off_ms)
