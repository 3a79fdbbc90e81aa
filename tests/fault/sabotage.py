"""Faults planted into a log on purpose, to show that the checker finds them."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from deploymark.ports import Batch
from deploymark.runtime.compose import OpenLog


def acknowledge_before_commit(log: OpenLog) -> None:
    """Say of every batch that it is committed, and commit it when the next one comes."""
    store = log.store
    commit, held = store.append, list[Batch]()

    def append(batch: Batch) -> None:
        if held:
            commit(held.pop())
        held.append(batch)

    store.append = append  # type: ignore[method-assign]


def never_sync(log: OpenLog) -> None:
    """Let SQLite tell the disk nothing: no kill shows it, a power loss does."""
    log.store._writing().execute("PRAGMA synchronous=OFF")


PLANTED: dict[str, Callable[[OpenLog], None]] = {
    "": lambda _: None,
    "acknowledge before commit": acknowledge_before_commit,
    "never sync": never_sync,
}

_OWN_TRIGGERS = ("entry_stays", "entry_is_fixed")


def change(database: Path, *statements: str) -> None:
    """Change a stored log by hand, past its triggers."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        kept = [
            connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
            for name in _OWN_TRIGGERS
        ]
        for name in _OWN_TRIGGERS:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in (*statements, *(sql for (sql,) in kept)):
            connection.execute(statement)
