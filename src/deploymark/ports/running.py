"""Who sees what runs, without asking it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ObservedInstance:
    """One instance that runs, as somebody saw it who does not ask it.

    Attributes:
        uid: What tells it from all others, the same text by whoever looks.
        instance: Its name for people.
        digest: Of what it really executes, `sha256:…`; "" when that cannot be known.
        why: Why it cannot be known, a sentence; "" when it is.
    """

    uid: str
    instance: str
    digest: str
    why: str = ""


class Observer(Protocol):
    """Sees the instances of one service in one place, independently of their own words.

    It remembers nothing that it could not find out again: what it says is how things are when it
    is asked.
    """

    @property
    def name(self) -> str:
        """Who looks, as `evidence.observer` names it; stable."""
        ...

    def observe(self) -> Sequence[ObservedInstance]:
        """Return the instances that run now.

        One that ends while it is looked at may be there or not.

        Raises:
            ObservationError: It cannot look at all.
        """
        ...

    def has_ended(self, uid: str) -> bool:
        """Tell whether an instance of this place certainly runs no longer.

        Args:
            uid: Of an instance that ran in this place once, as this observer or another named it.

        Returns:
            False also when it cannot be told.
        """
        ...
