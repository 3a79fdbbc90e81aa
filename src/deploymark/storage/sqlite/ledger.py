"""The emitter ledger in `state.db`; every statement about it stands in this file.

Its commits need not be on the disk at once. After a loss of power the ledger is at an earlier
position and folds the rest of the log again; what was refused meanwhile counts as missing.
"""

from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from deploymark.ports import Position
from deploymark.storage.sqlite.state import StateFile

VERSION: Final = 1

_UPSERT_POSITION = """INSERT INTO ledger_position VALUES (1, ?1, ?2, ?3)
  ON CONFLICT (one) DO UPDATE SET origin = ?1, size = ?2, leaf_hash = ?3"""
_UPSERT_ROW = """INSERT INTO ledger_row VALUES (?1, ?2)
  ON CONFLICT (key) DO UPDATE SET data = ?2"""
_DELETE_ROW = "DELETE FROM ledger_row WHERE key = ?"
_SELECT_POSITION = "SELECT origin, size, leaf_hash FROM ledger_position"
_SELECT_ROWS = "SELECT key, data FROM ledger_row"


class SqliteLedgerStore:
    """Keeps the emitter ledger in the file of operational state; see `ports.LedgerStore`.

    Args:
        state: The file.
    """

    def __init__(self, state: StateFile) -> None:
        self._state = state
        schema = files("deploymark.storage.sqlite").joinpath("ledger.sql")
        state.lay("ledger", VERSION, schema.read_text(encoding="utf-8"))

    def load(self) -> tuple[Position | None, dict[str, bytes]]:
        """See `LedgerStore.load`."""
        with self._state.reading() as connection:
            connection.execute("BEGIN")  # position and rows of one commit
            try:
                position = connection.execute(_SELECT_POSITION).fetchone()
                rows = dict(connection.execute(_SELECT_ROWS).fetchall())
            finally:
                connection.execute("ROLLBACK")
        return (None if position is None else Position(*position)), rows

    def save(self, changes: Mapping[str, bytes | None], position: Position) -> None:
        """See `LedgerStore.save`."""
        kept = [(key, data) for key, data in changes.items() if data is not None]
        gone = [(key,) for key, data in changes.items() if data is None]
        with self._state.writing(durable=False) as connection:
            connection.executemany(_DELETE_ROW, gone)
            connection.executemany(_UPSERT_ROW, kept)
            connection.execute(
                _UPSERT_POSITION, (position.origin, position.size, position.leaf_hash)
            )
