"""What admission remembers of the log, so that it need not read all of it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct


class Position(Struct, frozen=True):
    """How much of which log a derived store has folded in.

    Attributes:
        origin: The log.
        size: Number of entries folded, in order from entry 0.
        leaf_hash: Of the last of them, so that another log of the same name is noticed; empty at 0.
    """

    origin: str
    size: int
    leaf_hash: bytes


class ListedDeployment(Struct, frozen=True):
    """Under what a deployment is listed.

    Attributes:
        key: Its fact.
        service: Of its line.
        environment: Of its line.
        last_index: Its newest entry; no two deployments share one.
    """

    key: str
    service: str
    environment: str
    last_index: int


class RegistryStore(Protocol):
    """Keeps what admission must know of earlier entries: facts by key, as of one position.

    Derived: whoever loses it folds the log again. Every method raises `StoreUnavailableError` when
    the medium refuses.
    """

    def position(self) -> Position | None:
        """Return how far it has come; None when it is empty."""
        ...

    def load(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return the facts that are there."""
        ...

    def save(
        self, facts: Mapping[str, bytes], listed: Sequence[ListedDeployment], position: Position
    ) -> None:
        """Replace these facts and move to a position, in one step."""
        ...

    def listed(
        self, service: str | None, environment: str | None, before: int | None, limit: int
    ) -> list[ListedDeployment]:
        """Return deployments by their newest entry, newest first, older than `before`."""
        ...

    def clear(self) -> None:
        """Forget everything."""
        ...
