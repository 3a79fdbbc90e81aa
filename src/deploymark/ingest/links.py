"""Sign-in links: a secret that opens one session for the bearer of a token, once, and soon.

A token in an address would stay in histories and logs for as long as it lives. What stands in a
link is good for one use within minutes. It is remembered by this process alone, hashed: a restart
ends every link that was not used, which costs nobody more than another one.
"""

import base64
import re
import threading
from collections.abc import Callable
from hashlib import sha256
from typing import Final

from deploymark.ports import Clock

LIFETIME_S: Final = 600
MOST: Final = 64
"""Links that wait to be used at once; a further one ends the oldest."""

_PREFIX: Final = "once_"
_BYTES: Final = 32
_TEXT: Final = re.compile(rf"{_PREFIX}[A-Za-z0-9_-]{{43}}")


class SignInLinks:
    """Makes links and lets each be used once. Safe on any thread.

    Args:
        clock: Tells when they end.
        random_bytes: Returns as many unpredictable bytes as asked, as `secrets.token_bytes`.
    """

    def __init__(self, clock: Clock, random_bytes: Callable[[int], bytes]) -> None:
        self._clock = clock
        self._random_bytes = random_bytes
        self._lock = threading.Lock()
        self._waiting: dict[bytes, tuple[str, int]] = {}

    def issue(self, token_id: str, lifetime_s: int = LIFETIME_S) -> str:
        """Return the secret of a new link for the bearer of a token.

        Args:
            token_id: Whose session it opens.
            lifetime_s: Seconds after which it opens nothing.
        """
        encoded = base64.urlsafe_b64encode(self._random_bytes(_BYTES)).rstrip(b"=").decode("ascii")
        text = f"{_PREFIX}{encoded}"
        with self._lock:
            while len(self._waiting) >= MOST:
                del self._waiting[next(iter(self._waiting))]
            self._waiting[_hash(text)] = (token_id, self._clock.now_ms() + 1_000 * lifetime_s)
        return text

    def take(self, text: str) -> str | None:
        """Return whose session a link opens and end the link; None for one that opens nothing."""
        if not _TEXT.fullmatch(text):
            return None
        with self._lock:
            token_id, ends_at_ms = self._waiting.pop(_hash(text), ("", 0))
        return token_id if self._clock.now_ms() < ends_at_ms else None


def _hash(text: str) -> bytes:
    return sha256(text.encode("ascii")).digest()
