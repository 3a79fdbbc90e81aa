"""Tells a request of a person that is repeated from another one that bears its key.

A retry may overtake its first try, and the views show an entry only a moment after it was written:
so requests are taken one at a time, and the newest are remembered here until the views have them.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import chain
from threading import Lock
from typing import Any, Final

from deploymark.decoding import convert
from deploymark.errors import ActionRefusedError
from deploymark.model.entries import Decision
from deploymark.projections.broker.rolling import Ruled

REMEMBERED: Final = 512
"""Requests that are remembered; far more than are written before the views have seen them."""

_SAME: Final = ("service", "environment", "reason", "break_glass")
"""What one request says each time, beside its step, which is chosen for who names none."""


class Repeats:
    """Remembers what was asked; `find`, writing and `keep` belong into `one_at_a_time`."""

    def __init__(self) -> None:
        self.one_at_a_time = Lock()
        self._newest: deque[tuple[int, Decision]] = deque(maxlen=REMEMBERED)

    def find(self, fields: Mapping[str, Any], ruled: Sequence[Ruled]) -> int | None:
        """Return the entry of the same request, None where it was not written before.

        Args:
            fields: Of the decision; with `step` only where the request names one.
            ruled: The entries that it may be among.

        Raises:
            ActionRefusedError: Another request of this caller bears its key.
        """
        key = fields["idempotency_key"]
        if key is None:
            return None
        known = ((each.idx, each.said) for each in ruled)
        for index, said in chain(known, self._newest):
            if not isinstance(said, Decision) or not _is_named_alike(said, fields):
                continue
            if _is_same(said, fields):
                return index
            raise ActionRefusedError(
                f"This idempotency key belongs to another request, in entry {index}.",
                hint="Take a new key for each request; the same one only to send it once more.",
                field="/idempotency_key",
            )
        return None

    def keep(self, index: int, fields: Mapping[str, Any]) -> None:
        """Remember what was written."""
        if "idempotency_key" in fields:
            self._newest.append((index, convert(dict(fields), Decision)))


def _is_named_alike(said: Decision, fields: Mapping[str, Any]) -> bool:
    """Tell whether key, caller, action and rollout are the same: callers have keys of their own."""
    names = ("idempotency_key", "actor", "action", "deployment_id")
    return all(getattr(said, name) == fields.get(name) for name in names)


def _is_same(said: Decision, fields: Mapping[str, Any]) -> bool:
    if "step" in fields and (said.step or 0) != fields["step"]:
        return False
    return all((getattr(said, name) or None) == (fields.get(name) or None) for name in _SAME)
