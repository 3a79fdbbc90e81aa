"""What is drawn of runs, kept so that a window of any width is one look at one index.

A row for each run in each lane (cluster, else region, else environment) that it is in; the row of
its first lane stands for the run when runs are counted. Beside them how many runs there are by
state, and which services are known where. All of it follows from the rows of the runs, in the same
write; how it is asked for is said in `marks_query`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import BigInteger, Column, Connection, Index, Integer, Table, Text

from deploymark.model.instants import parse_instant
from deploymark.projections.broker.shown_state import CALM, RANK, shown_of, version_of
from deploymark.projections.broker.tables import METADATA
from deploymark.projections.database import replace_rows, rows_with

MAX_LANES: Final = 64
"""Lanes of one run; it is in the first."""

CLUSTER, REGION, ENVIRONMENT = range(3)
"""What a lane is; the columns of `MARK` have the number."""

MARK: Final = Table(
    "broker_mark",
    METADATA,
    Column("service", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("kind_key", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("lane", Text, primary_key=True),
    Column("lane_kind", Integer, nullable=False),
    Column("first", Integer, nullable=False),  # 1: it stands for the run
    Column("at_ms", BigInteger, nullable=False),  # went live, else opened
    Column("live", Integer, nullable=False),
    Column("rank", Integer, nullable=False),  # of its state as it is shown
    Column("kind", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("owner", Text),
    Column("author", Text),
    sqlite_with_rowid=False,
)
# With every column, so that a window is read from it alone (the key is part of each index).
Index(
    "broker_mark_by_time",
    *(MARK.c[name] for name in ("at_ms", "first", "rank", "lane", "lane_kind", "kind", "live")),
    *(MARK.c[name] for name in ("version", "owner", "author")),
)
Index(
    "broker_mark_by_scope",
    MARK.c.service,
    MARK.c.environment,
    MARK.c.at_ms,
    MARK.c.rank,
    MARK.c.kind,
    sqlite_where=MARK.c.first == 1,
)
Index(
    "broker_mark_uneasy",
    MARK.c.rank,
    MARK.c.at_ms,
    sqlite_where=MARK.c.rank < CALM,
)
TALLY: Final = Table(
    "broker_tally",
    METADATA,
    Column("rank", Integer, primary_key=True, autoincrement=False),
    Column("count", BigInteger, nullable=False),
)
KNOWN: Final = Table(
    "broker_known",
    METADATA,
    Column("service", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    sqlite_with_rowid=False,
)

RunName = tuple[str, str, int]
_RUN: Final = ("service", "environment", "id", "kind_key", "number")


class MarkRow(NamedTuple):
    """The columns of `broker_mark`."""

    service: str
    environment: str
    id: str
    kind_key: str
    number: int
    lane: str
    lane_kind: int
    first: int
    at_ms: int
    live: int
    rank: int
    kind: str
    version: str
    owner: str | None
    author: str | None


def marks_of(document: Mapping[str, Any], kind_key: str) -> tuple[MarkRow, ...]:
    """Return the rows of a run, one for each lane that it is in.

    Args:
        document: Of the run (`documents.run_document`).
        kind_key: "" for a deployment, else kind and key.
    """
    went_live = document["live_at"]
    at_ms = parse_instant(went_live or document["opened_at"])
    about = (
        at_ms,
        int(went_live is not None),
        RANK[shown_of(document)],
        document["kind"],
        version_of(document),
        document["owner"],
        document["author"],
    )
    name = (document["deployment_id"], kind_key, document["occurrence"])
    scope = (document["service"], document["environment"])
    return tuple(
        MarkRow._make((*scope, *name, lane, lane_kind, int(place == 0), *about))
        for place, (lane, lane_kind) in enumerate(_lanes_of(document))
    )


def _lanes_of(document: Mapping[str, Any]) -> list[tuple[str, int]]:
    found: dict[tuple[str, int], None] = {}
    for place in document["places"]:
        if place["cluster"]:
            found[place["cluster"], CLUSTER] = None
        elif place["region"]:
            found[place["region"], REGION] = None
    # A lane is known by its name, whoever else has that name.
    lanes = dict(sorted(found, key=lambda lane: (lane[0], -lane[1])))
    return list(lanes.items())[:MAX_LANES] or [(document["environment"], ENVIRONMENT)]


def write_marks(
    connection: Connection,
    scope: tuple[str, str],
    shown: Mapping[RunName, tuple[MarkRow, ...]],
    dropped: Iterable[RunName],
) -> None:
    """Write the rows of runs of one scope that changed, and remove those of runs that are gone."""
    names = {*shown, *dropped}
    if not names:
        return
    keys = sorted((*scope, *name) for name in names)
    stored = {MarkRow._make(row) for row in rows_with(connection, MARK, _RUN, keys)}
    wanted = {row for rows in shown.values() for row in rows}
    gone = {row[:6] for row in stored} - {row[:6] for row in wanted}
    if gone:
        connection.exec_driver_sql(
            "DELETE FROM broker_mark WHERE service = ? AND environment = ? AND id = ?"
            " AND kind_key = ? AND number = ? AND lane = ?",
            sorted(gone),
        )
    replace_rows(connection, MARK, sorted(wanted - stored, key=lambda row: row[:6]))
    _count(connection, stored, wanted)
    _know(connection, scope, more=bool(wanted), fewer=bool(gone))


def _count(connection: Connection, before: Iterable[MarkRow], after: Iterable[MarkRow]) -> None:
    change = Counter(row.rank for row in after if row.first)
    change.subtract(row.rank for row in before if row.first)
    changed = [(rank, count) for rank, count in sorted(change.items()) if count]
    if changed:
        connection.exec_driver_sql(
            "INSERT INTO broker_tally (rank, count) VALUES (?, ?)"
            " ON CONFLICT (rank) DO UPDATE SET count = count + excluded.count",
            changed,
        )
        # A replay of the log never knew of a state that nothing stands in.
        connection.exec_driver_sql("DELETE FROM broker_tally WHERE count = 0")


def _know(connection: Connection, scope: tuple[str, str], *, more: bool, fewer: bool) -> None:
    if more:
        connection.exec_driver_sql(
            "INSERT OR IGNORE INTO broker_known (service, environment) VALUES (?, ?)", scope
        )
    elif fewer:
        connection.exec_driver_sql(
            "DELETE FROM broker_known WHERE service = ? AND environment = ? AND NOT EXISTS"
            " (SELECT 1 FROM broker_mark WHERE service = ? AND environment = ?)",
            (*scope, *scope),
        )
