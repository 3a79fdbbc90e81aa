"""Leases in `state.db`; every statement about them stands in this file.

Each is one transaction that is on the disk before its answer is given: a fence that a loss of
power took back would be given to two holders.
"""

from importlib.resources import files
from typing import Final

from deploymark.storage.sqlite.state import StateFile

VERSION: Final = 1

# A lease that was taken later than now: the clock went back. Until it is as late again, perhaps
# never, nobody else would get the lease; so it lasts from now for as long as it was taken for.
_SET_BACK = """UPDATE lease SET taken = :now, until = :now + (until - taken)
  WHERE name = :name AND taken > :now"""
_TAKE = """INSERT INTO lease VALUES (:name, :holder, :now, :until, 1)
  ON CONFLICT (name) DO UPDATE SET
    fence = fence + (holder IS NOT :holder OR until <= :now),
    holder = :holder, taken = :now, until = :until
  WHERE holder IS NULL OR holder = :holder OR until <= :now
  RETURNING fence"""
_FREE_ALL = "UPDATE lease SET holder = NULL"
_DROP = "UPDATE lease SET holder = NULL WHERE name = ? AND holder = ?"


class SqliteLeaseStore:
    """Keeps leases in the file of operational state; see `ports.LeaseStore`.

    Args:
        state: The file; its owner closes it.

    Raises:
        DataDirectoryError: The tables there are of another release.
        StateBrokenError: The file is damaged.
        StoreUnavailableError: The medium refuses.
    """

    def __init__(self, state: StateFile) -> None:
        self._state = state
        schema = files("deploymark.storage.sqlite").joinpath("leases.sql")
        state.lay("leases", VERSION, schema.read_text(encoding="utf-8"))

    def free_all(self) -> None:
        """Take every lease from whoever held it; fences stay, so the next holder has a higher one.

        Only for a process that has this data directory to itself: whoever held a lease in it has
        ended, perhaps without a word, and nobody need wait until it runs out.
        """
        with self._state.writing() as connection:
            connection.execute(_FREE_ALL)

    def take(self, name: str, holder: str, now_ms: int, until_ms: int) -> int | None:
        """See `LeaseStore.take`."""
        asked = {"name": name, "holder": holder, "now": now_ms, "until": until_ms}
        with self._state.writing() as connection:
            connection.execute(_SET_BACK, asked)
            taken = connection.execute(_TAKE, asked).fetchall()
        return int(taken[0][0]) if taken else None

    def drop(self, name: str, holder: str) -> None:
        """See `LeaseStore.drop`."""
        with self._state.writing() as connection:
            connection.execute(_DROP, (name, holder))
