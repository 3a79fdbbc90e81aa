"""Where each view stands, and what it left out: the runner's own tables in the views' database.

The cursor of a view is committed with the rows that it stands for. Beside it are the version of
the view and the leaf hash of the last entry, so that tables of another release or of another
log are noticed and thrown away.
"""

from collections.abc import Sequence
from functools import cache
from typing import Protocol

from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    create_mock_engine,
    delete,
    func,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.schema import ExecutableDDLElement

from deploymark.ports import LogReader, StoredEntry

_METADATA = MetaData()
_CURSOR = Table(
    "projection",
    _METADATA,
    Column("name", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),  # how many entries of the log the view has seen
    Column("last_hash", LargeBinary, nullable=False),  # leaf hash of the last of them
)
_SKIPPED = Table(
    "projection_skipped",
    _METADATA,
    Column("name", Text, primary_key=True),
    Column("idx", BigInteger, primary_key=True),
    Column("code", Text, nullable=False),
    Column("why", Text, nullable=False),
    sqlite_with_rowid=False,
)
# Asked at every turn of everything, and put together once.
_SIZE = select(func.coalesce(func.max(_CURSOR.c.size), 0)).where(
    _CURSOR.c.name == bindparam("name")
)


class Skipped(Struct, frozen=True):
    """An entry that a view could not understand, and left out.

    Attributes:
        index: Its position in the log.
        code: Of the error, or `defect` when the view itself failed.
        why: For people.
    """

    index: int
    code: str
    why: str


class Tables(Protocol):
    """What is laid down and thrown away as a whole.

    Attributes:
        name: Its tables are named `<name>_…`, and nobody else's are.
        version: Of tables and fold.
        metadata: The tables.
    """

    name: str
    version: int
    metadata: MetaData


def lay_down(connection: Connection) -> None:
    """Make the runner's own tables where there are none."""
    _METADATA.create_all(connection)


def misfit(connection: Connection, view: Tables, reader: LogReader) -> str | None:
    """Tell why a view must begin anew: `new`, `definition` or `log`; None when it can go on."""
    row = connection.execute(select(_CURSOR).where(_CURSOR.c.name == view.name)).first()
    if row is None:
        return "new"
    if row.version != view.version:
        return "definition"  # by another release, or for another configuration
    # A log that was restored or recovered may be shorter, or go on differently.
    if row.size > reader.head().size:
        return "log"
    if row.size and reader.leaf_hashes(row.size - 1, row.size) != row.last_hash:
        return "log"
    return None


def begin_anew(connection: Connection, view: Tables) -> None:
    """Remove every trace of a view, also tables that this release forgot, and lay it down empty."""
    old = MetaData()
    for name in inspect(connection).get_table_names():
        if name.startswith(f"{view.name}_"):
            Table(name, old)
    old.drop_all(connection)
    for table in (_CURSOR, _SKIPPED):
        connection.execute(delete(table).where(table.c.name == view.name))
    for statement in _layout(view.metadata):
        connection.exec_driver_sql(statement)
    start = {"name": view.name, "version": view.version, "size": 0, "last_hash": b""}
    connection.execute(insert(_CURSOR), start)


@cache
def _layout(metadata: MetaData) -> tuple[str, ...]:
    """Return what lays down tables where there are none; compiling takes longer than doing it."""
    statements: list[str] = []

    def note(statement: ExecutableDDLElement, *_: object, **__: object) -> None:
        statements.append(str(statement.compile(dialect=nowhere.dialect)))

    nowhere = create_mock_engine("sqlite://", note)
    metadata.create_all(nowhere, checkfirst=False)
    return tuple(statements)


def move(connection: Connection, name: str, last: StoredEntry) -> None:
    """Say that a view has seen everything up to this entry."""
    moved = update(_CURSOR).where(_CURSOR.c.name == name)
    connection.execute(moved.values(size=last.index + 1, last_hash=last.leaf_hash))


def projected_size(connection: Connection, name: str) -> int:
    """Return how many entries a view has seen, in the commit that the connection sees."""
    return int(connection.scalar(_SIZE, {"name": name}) or 0)


def record_skipped(connection: Connection, name: str, entries: Sequence[Skipped]) -> None:
    """Keep on record what a view left out."""
    rows = [{"name": name, "idx": e.index, "code": e.code, "why": e.why} for e in entries]
    connection.execute(insert(_SKIPPED), rows)


def read_skipped(connection: Connection, name: str, limit: int) -> list[Skipped]:
    """Return what a view left out, newest first."""
    columns = (_SKIPPED.c.idx, _SKIPPED.c.code, _SKIPPED.c.why)
    rows = select(*columns).where(_SKIPPED.c.name == name).order_by(_SKIPPED.c.idx.desc())
    return [Skipped(*row) for row in connection.execute(rows.limit(limit))]
