"""The log in one SQLite file: the default, and enough for most teams.

WAL with synchronous=FULL: a commit is on the disk before `append` returns. One process may write,
held by a lock file; any number may read. The tables stand in `schema.sql`.
"""

from deploymark.storage.sqlite.reader import SqliteLogReader
from deploymark.storage.sqlite.store import SqliteLogStore

__all__ = ["SqliteLogReader", "SqliteLogStore"]
