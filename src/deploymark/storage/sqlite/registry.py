"""The registry of admission in `state.db`; every statement about it stands in this file.

It is derived from the log, so its commits need not be on the disk at once: after a loss of power
the registry is at an earlier position and folds the rest again.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Final

from deploymark.ports import ListedDeployment, Position
from deploymark.storage.sqlite.state import StateFile

VERSION: Final = 1
_LOAD_CHUNK: Final = 512

_UPSERT_POSITION = """INSERT INTO registry_position VALUES (1, ?1, ?2, ?3)
  ON CONFLICT (one) DO UPDATE SET origin = ?1, size = ?2, leaf_hash = ?3"""
_UPSERT_FACT = """INSERT INTO registry_fact VALUES (?1, ?2)
  ON CONFLICT (key) DO UPDATE SET value = ?2"""
_UPSERT_DEPLOYMENT = """INSERT INTO registry_deployment VALUES (?1, ?2, ?3, ?4)
  ON CONFLICT (key) DO UPDATE SET last_index = ?4"""
_LISTED = "SELECT key, service, environment, last_index FROM registry_deployment"


class SqliteRegistryStore:
    """Keeps the registry in the file of operational state; see `ports.RegistryStore`.

    Args:
        state: The file.
    """

    def __init__(self, state: StateFile) -> None:
        self._state = state
        schema = files("deploymark.storage.sqlite").joinpath("registry.sql")
        state.lay("registry", VERSION, schema.read_text(encoding="utf-8"))

    def position(self) -> Position | None:
        """See `RegistryStore.position`."""
        with self._state.reading() as connection:
            row = connection.execute(
                "SELECT origin, size, leaf_hash FROM registry_position"
            ).fetchone()
        return None if row is None else Position(*row)

    def load(self, keys: Sequence[str]) -> dict[str, bytes]:
        """See `RegistryStore.load`."""
        found: dict[str, bytes] = {}
        with self._state.reading() as connection:
            for start in range(0, len(keys), _LOAD_CHUNK):
                chunk = keys[start : start + _LOAD_CHUNK]
                marks = ",".join("?" * len(chunk))
                sql = f"SELECT key, value FROM registry_fact WHERE key IN ({marks})"  # noqa: S608
                found.update(connection.execute(sql, chunk).fetchall())
        return found

    def save(
        self, facts: Mapping[str, bytes], listed: Sequence[ListedDeployment], position: Position
    ) -> None:
        """See `RegistryStore.save`."""
        with self._state.writing(durable=False) as connection:
            connection.executemany(_UPSERT_FACT, facts.items())
            connection.executemany(
                _UPSERT_DEPLOYMENT,
                ((row.key, row.service, row.environment, row.last_index) for row in listed),
            )
            connection.execute(
                _UPSERT_POSITION, (position.origin, position.size, position.leaf_hash)
            )

    def listed(
        self, service: str | None, environment: str | None, before: int | None, limit: int
    ) -> list[ListedDeployment]:
        """See `RegistryStore.listed`."""
        given: tuple[tuple[str, str | int | None], ...] = (
            ("service = ?", service),
            ("environment = ?", environment),
        )
        conditions = [(sql, value) for sql, value in given if value is not None]
        if before is not None:
            conditions.append(("last_index < ?", before))
        where = " AND ".join(sql for sql, _ in conditions) or "1"
        values = [value for _, value in conditions]
        sql = f"{_LISTED} WHERE {where} ORDER BY last_index DESC LIMIT ?"
        with self._state.reading() as connection:
            rows = connection.execute(sql, (*values, limit)).fetchall()
        return [ListedDeployment(*row) for row in rows]

    def clear(self) -> None:
        """See `RegistryStore.clear`."""
        with self._state.writing(durable=False) as connection:
            for table in ("registry_fact", "registry_deployment", "registry_position"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 - names stand above
