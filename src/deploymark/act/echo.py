"""What this controller said, and whether the views have seen it.

Views follow the log a moment later, and several lanes speak at once. Nobody acts on views that
lack what was said here: of a rollout's own course each needs its own words only; of what else is
done in an environment, all words about it. A quarantine counts everywhere, so decisions do too.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from deploymark.act.plan import Scope
from deploymark.errors import RefusedError

_NOTHING: Final = -1


class Echo:
    """Remembers the newest words about everything; any thread.

    Args:
        size: Returns how many entries the log has; answers from memory.
    """

    def __init__(self, size: Callable[[], int]) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._about: dict[Scope, int] = {}
        self._within: dict[str, int] = {}
        self._decided = _NOTHING
        self._floor = _NOTHING
        self._doubted: set[Scope] = set()

    def note(self, scope: Scope, index: int, *, decided: bool = True) -> None:
        """Remember what was said.

        Args:
            scope: About which rollout.
            index: Of the entry.
            decided: It is a decision, and neither a verdict nor a marker.
        """
        with self._lock:
            self._about[scope] = max(index, self._about.get(scope, _NOTHING))
            self._within[scope[1]] = max(index, self._within.get(scope[1], _NOTHING))
            if decided:
                self._decided = max(index, self._decided)

    @contextmanager
    def saying(self, scope: Scope) -> Iterator[None]:
        """Hold everything that follows from it back when something that is said may stand or not.

        Args:
            scope: About which rollout.
        """
        try:
            yield
        except RefusedError:
            raise  # it stands nowhere
        except BaseException:
            with self._lock:
                self._doubted.add(scope)
            raise

    def settle(self, *, doubtful: bool = False) -> None:
        """Begin a turn: what was in doubt stands in the log by now, or never will.

        Args:
            doubtful: Somebody else may have spoken.
        """
        with self._lock:
            if self._doubted or doubtful:
                self._floor = self._size() - 1
                self._doubted.clear()

    def is_seen(self, scope: Scope, size: int) -> bool:
        """Tell whether views of this size have seen what was said about a rollout."""
        with self._lock:
            newest = max(self._floor, self._about.get(scope, _NOTHING))
            return scope not in self._doubted and size > newest

    def is_seen_within(self, environment: str, size: int) -> bool:
        """Tell whether they have seen what was said about an environment, and all decisions."""
        with self._lock:
            newest = max(self._floor, self._decided, self._within.get(environment, _NOTHING))
            return not self._doubted and size > newest
