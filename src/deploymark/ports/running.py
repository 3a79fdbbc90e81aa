"""Who sees what runs, without asking it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ObservedInstance:
    """One instance that runs, as somebody saw it who does not ask it.

    Attributes:
        uid: What tells it from all others, the same text by whoever looks.
        instance: Its name for people.
        digest: Of what it really executes, `sha256:…`; "" when that cannot be known.
        why: Why it cannot be known, a sentence; "" when it is.
        place: Where it runs, as far as whoever looks sees it: fields of a marker's `target`.
    """

    uid: str
    instance: str
    digest: str
    why: str = ""
    place: Mapping[str, str] = field(default_factory=dict, hash=False)


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

    def ended(self, uids: Collection[str]) -> frozenset[str]:
        """Return which instances of this place certainly run no longer.

        Args:
            uids: Of instances that ran in this place once, as this observer or another named them.

        Returns:
            Some of them: one of which it cannot be told is left out.
        """
        ...
