"""A witness that answers what a test tells it to."""

from collections import deque
from collections.abc import Sequence

from deploymark.errors import DeploymarkError
from deploymark.ports import Witness


class ScriptedWitness:
    """Stands in front of a real witness; see `ports.Witness`.

    Args:
        inner: Answers when nothing else is scripted.

    Attributes:
        script: What to answer next: lines, an error to raise, or None for the real answer.
        asked: Every request as (old size, note), also those that were not passed on.
    """

    def __init__(self, inner: Witness) -> None:
        self._inner = inner
        self.script: deque[str | DeploymarkError | None] = deque()
        self.asked: list[tuple[int, str]] = []

    @property
    def vkey(self) -> str:
        """See `Witness.vkey`."""
        return self._inner.vkey

    def add_checkpoint(self, old_size: int, proof: Sequence[bytes], note: str) -> str:
        """See `Witness.add_checkpoint`."""
        self.asked.append((old_size, note))
        answer = self.script.popleft() if self.script else None
        if isinstance(answer, DeploymarkError):
            raise answer
        if answer is not None:
            return answer
        return self._inner.add_checkpoint(old_size, proof, note)
