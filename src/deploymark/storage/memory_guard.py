"""A rollback guard in memory, for tests."""


class MemoryRollbackGuard:
    """Remembers within one process."""

    def __init__(self) -> None:
        self._remembered: tuple[str, int, bytes] | None = None

    def read(self) -> tuple[str, int, bytes] | None:
        """See `RollbackGuard.read`."""
        return self._remembered

    def write(self, origin: str, size: int, root: bytes) -> None:
        """See `RollbackGuard.write`."""
        self._remembered = (origin, size, root)
