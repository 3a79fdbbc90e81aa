"""One log for all of these tests, which none of them may change."""

from pathlib import Path

import pytest

from deploymark.storage.sqlite import SqliteLogStore
from deploymark.testing.history import write_history


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database file of a log with 600 entries, closed and without a write-ahead log."""
    path = tmp_path_factory.mktemp("history") / "log.db"
    store = SqliteLogStore(path)
    write_history(store)
    store.close()
    return path
