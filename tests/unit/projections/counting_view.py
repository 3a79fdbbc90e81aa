"""A view that remembers every index it was given, and fails as it is told."""

from collections.abc import Sequence

from sqlalchemy import Column, Connection, Integer, MetaData, Table, insert, select

from deploymark.projections.database import Views
from deploymark.projections.logged import LoggedEntry


class CountingView:
    """Remembers every index it was given, once for each time.

    Attributes:
        failing: Raised by the writes to come.
        disliked: Indexes that its fold does not understand.
        indigestible: Indexes that its fold understands, and that cannot be written.
    """

    def __init__(self, name: str = "counting", version: int = 1) -> None:
        self.name = name
        self.version = version
        self.metadata = MetaData()
        self.table = Table(
            f"{name}_v{version}",
            self.metadata,
            Column("number", Integer, primary_key=True),
            Column("idx", Integer),
        )
        self.failing: list[Exception] = []
        self.disliked: set[int] = set()
        self.indigestible: set[int] = set()
        self.batches: list[list[int]] = []

    def fold(self, entry: LoggedEntry) -> int:
        if entry.index in self.disliked:
            raise KeyError(entry.index)
        return entry.index

    def write(self, connection: Connection, rows: Sequence[int]) -> None:
        connection.execute(insert(self.table), [{"idx": index} for index in rows])
        if self.failing:
            raise self.failing.pop(0)
        if not self.indigestible.isdisjoint(rows):
            raise ValueError(rows)
        self.batches.append(list(rows))

    def read(self, views: Views) -> list[int]:
        with views.reading() as connection:
            return list(connection.scalars(select(self.table.c.idx).order_by(self.table.c.number)))
