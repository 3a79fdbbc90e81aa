"""How often somebody may: token buckets by key, in memory and of bounded number.

Used for failed attempts to authenticate, by network, and for requests, by principal. The limits
are those of one process. Nothing here waits; whoever is told to come later decides how.
"""

import threading
from collections import OrderedDict

from deploymark.errors import RateLimitedError
from deploymark.ports import Clock

KEYS = 4_096
"""How many keys are remembered, the least recently used are forgotten first."""

_TICKS_PER_SECOND = 1_000_000
_TICKS_PER_MS = 1_000


class Throttle:
    """Lets each key do `burst` things at once, and then `per_second` more.

    Kept as one number a key, the time at which its bucket is full again (the generic cell rate
    algorithm, ITU-T I.371): the same as a bucket that is filled steadily, without filling it.

    Args:
        clock: Tells the time; when it is set back, nobody waits longer than for a full bucket.
        per_second: The lasting rate, at most a million.
        burst: How much fits into a bucket, at least 1.
        keys: How many keys are remembered. Whoever is forgotten starts with a full bucket, so
            this should be more than the keys that one attacker has.
    """

    def __init__(self, clock: Clock, per_second: float, burst: int, keys: int = KEYS) -> None:
        self._clock = clock
        self._burst = burst
        self._ticks = max(1, round(_TICKS_PER_SECOND / per_second))
        self._keys = keys
        self._lock = threading.Lock()
        self._full_at: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        """Return how many keys are remembered now."""
        return len(self._full_at)

    def take(self, key: str, amount: int = 1) -> int:
        """Take from a bucket if it holds enough.

        Args:
            key: Whose bucket.
            amount: How much; more than a bucket holds counts as a full one.

        Returns:
            0 when it was taken; else the milliseconds until it can be, and nothing was taken.
        """
        now = self._clock.now_ms() * _TICKS_PER_MS
        depth = self._burst * self._ticks
        with self._lock:
            full_at = min(self._full_at.pop(key, now), now + depth)
            taken = max(full_at, now) + min(amount, self._burst) * self._ticks
            excess = taken - now - depth
            self._full_at[key] = full_at if excess > 0 else taken
            if len(self._full_at) > self._keys:
                self._full_at.popitem(last=False)
        return -(-max(excess, 0) // _TICKS_PER_MS)

    def demand(
        self,
        key: str,
        what: str,
        amount: int = 1,
        refusal: type[RateLimitedError] = RateLimitedError,
    ) -> None:
        """Take from a bucket, or refuse.

        Args:
            key: Whose bucket.
            what: What there was too much of, for the message.
            amount: As in `take`.
            refusal: The class of the error.

        Raises:
            RateLimitedError: The bucket does not hold enough; says in how many seconds it will.
        """
        wait_ms = self.take(key, amount)
        if wait_ms:
            seconds = -(-wait_ms // 1000)
            raise refusal(
                f"Too many {what}; the limit is {self._burst} at once. Come back in {seconds} s.",
                retry_after_s=seconds,
            )
