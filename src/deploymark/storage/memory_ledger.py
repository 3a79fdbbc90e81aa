"""A ledger store that lasts as long as the process: for commands that write once, and tests."""

from collections.abc import Mapping

from deploymark.ports import Position


class MemoryLedgerStore:
    """Keeps the emitter ledger in memory; see `ports.LedgerStore`."""

    def __init__(self) -> None:
        self._rows: dict[str, bytes] = {}
        self._position: Position | None = None

    def load(self) -> tuple[Position | None, dict[str, bytes]]:
        """See `LedgerStore.load`."""
        return self._position, dict(self._rows)

    def save(self, changes: Mapping[str, bytes | None], position: Position) -> None:
        """See `LedgerStore.save`."""
        for key, data in changes.items():
            if data is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = data
        self._position = position
