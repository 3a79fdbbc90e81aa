"""A registry store that lasts as long as the process: for commands that write once, and tests."""

from collections.abc import Mapping, Sequence

from deploymark.ports import ListedDeployment, Position


class MemoryRegistryStore:
    """Keeps the registry in memory; see `ports.RegistryStore`."""

    def __init__(self) -> None:
        self._facts: dict[str, bytes] = {}
        self._listed: dict[str, ListedDeployment] = {}
        self._position: Position | None = None

    def position(self) -> Position | None:
        """See `RegistryStore.position`."""
        return self._position

    def load(self, keys: Sequence[str]) -> dict[str, bytes]:
        """See `RegistryStore.load`."""
        return {key: self._facts[key] for key in keys if key in self._facts}

    def save(
        self, facts: Mapping[str, bytes], listed: Sequence[ListedDeployment], position: Position
    ) -> None:
        """See `RegistryStore.save`."""
        self._facts.update(facts)
        self._listed.update({row.key: row for row in listed})
        self._position = position

    def listed(
        self, service: str | None, environment: str | None, before: int | None, limit: int
    ) -> list[ListedDeployment]:
        """See `RegistryStore.listed`."""
        rows = [
            row
            for row in self._listed.values()
            if service in (None, row.service)
            and environment in (None, row.environment)
            and (before is None or row.last_index < before)
        ]
        return sorted(rows, key=lambda row: -row.last_index)[:limit]

    def clear(self) -> None:
        """See `RegistryStore.clear`."""
        self._facts.clear()
        self._listed.clear()
        self._position = None
