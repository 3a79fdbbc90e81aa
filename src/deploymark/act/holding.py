"""Whether this controller is the one that acts, and how far its clock can be trusted.

The lease is taken anew with every turn, by the thread that takes the turns and never waits for an
actuator or a source. So it is prolonged for as long as something is being carried out, however
long that takes; who works under it asks `holds` before anything is said or touched. A clock that
never jumps tells how far the other one has.
"""

import threading
from collections.abc import Callable
from typing import Final, NamedTuple

from deploymark.ports import LeaseStore

LEASE: Final = "rollouts"
LEASE_SECONDS: Final = 120
"""How long the lease is held without being prolonged: longer than any time between two turns."""

JUMP_MS: Final = 1_000
"""What is less is drift."""

REMEMBERED_MS: Final = 86_400_000
"""How long a jump is held against the clock: nothing is asked about longer ago than that."""

_MS: Final = 1_000


class Grip(NamedTuple):
    """One holding of the lease, as it was last taken or prolonged.

    Attributes:
        fence: Its number.
        until_ms: Until when it is held.
        steady_ms: What the clock that never jumps said when it was taken.
    """

    fence: int
    until_ms: int
    steady_ms: int


class Holding:
    """The lease of one controller, and its clocks; one thread takes it, any thread asks.

    Args:
        leases: Lets one controller act.
        holder: Who this controller is.
        steady_ms: A clock that never jumps.

    Attributes:
        fence: Of the newest holding, 0 before the first.
        grip: The lease as it is held; None: somebody else has it, or it was let go.
    """

    def __init__(self, leases: LeaseStore, holder: str, steady_ms: Callable[[], int]) -> None:
        self._leases = leases
        self._holder = holder
        self._steady_ms = steady_ms
        self._lock = threading.Lock()
        self._began: tuple[int, int] | None = None
        self._jumped: int | None = None
        self._over = False
        self.fence = 0
        self.grip: Grip | None = None

    def take(self, now_ms: int) -> bool:
        """Take or prolong the lease; tell whether it is held.

        Raises:
            StoreUnavailableError: The medium of the lease refuses.
        """
        self.clock_off_ms(now_ms)  # whether or not anybody asks: what was a day ago is forgotten
        steady_ms, until_ms = self._steady_ms(), now_ms + LEASE_SECONDS * _MS
        fence = self._leases.take(LEASE, self._holder, now_ms, until_ms)
        if fence is None:
            self.grip = None
            return False
        with self._lock:
            if self._over:
                return False
            self.fence, self.grip = fence, Grip(fence, until_ms, steady_ms)
        return True

    def let_go(self) -> None:
        """Act no more, for good; what is being carried out just now is not ended by it."""
        with self._lock:
            self._over, self.grip = True, None

    def holds(self, fence: int, now_ms: int) -> bool:
        """Tell whether the lease is held now as it was under this fence.

        Args:
            fence: Of the holding that something was begun under.
            now_ms: The time.
        """
        grip = self.grip
        if grip is None or grip.fence != fence or now_ms >= grip.until_ms:
            return False
        # A clock that was set back makes no lease longer.
        return self._steady_ms() - grip.steady_ms < LEASE_SECONDS * _MS

    def clock_off_ms(self, now_ms: int) -> int:
        """Return how far the clock has jumped in the last 24 hours, while this controller ran."""
        with self._lock:
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
