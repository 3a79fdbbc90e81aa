"""Every changed, missing, added or moved value in any table of a log is found.

Each change is made behind the log's back, its protecting triggers dropped first and put back
afterwards, and rolled back once the audit has spoken. The audit must name a fault, or opening
must fail with an error of our tree; anything else escapes.

What no audit can find, because the result is a state that an honest log could be in:

* The whole database replaced by an earlier state of itself. The rollback guard finds that.
* A published checkpoint deleted, not the newest, and its successor linked to its predecessor:
  thinning does exactly this. Whoever holds that checkpoint can still have a consistency proof.
* A witness's cosignature deleted and the count of its checkpoint lowered, or one added that a
  stranger's key really made: which witnesses answered is known to nobody else.
"""

import signal
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from deploymark.errors import DeploymarkError
from deploymark.log.fsck import Audit
from deploymark.log.tree import TILE_WIDTH
from deploymark.storage.sqlite import SqliteLogReader
from deploymark.testing.mutation import spoiled_bytes, spoiled_number, spoiled_text
from deploymark.testing.whole_log import policy_of

_KEYS = [line.key for line in policy_of().logs]
_HANGS_SECONDS = 10
TABLES = ("log", "entry", "node", "checkpoint", "cosignature", "detail")

Row = dict[str, Any]
Mutate = Callable[[sqlite3.Connection, str], "Iterator[Mutant]"]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of the database.

    Attributes:
        name: What was done, in words.
        statements: How, as SQL with parameters.
    """

    name: str
    statements: Sequence[tuple[str, Sequence[object]]]


class _Transplanted(SqliteLogReader):
    """Reads a log through a connection that is in the middle of a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(Path("memory"))
        self._pinned = connection


@contextmanager
def _ends() -> Iterator[None]:
    """Turn a hang into an error."""

    def give_up(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError("The audit does not end.")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, _HANGS_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _escape(connection: sqlite3.Connection, *, to_the_end: bool = True) -> str:
    """Return why a change counts as not found, "" when it is."""
    found = False
    try:
        with _ends():
            for step in Audit(_Transplanted(connection), _KEYS).steps():
                found = found or bool(step.faults)
                if found and not to_the_end:
                    break
    except DeploymarkError:
        return ""
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not happen
        return f"foreign error {error!r}"
    return "" if found else "not found"


@contextmanager
def _unprotected(connection: sqlite3.Connection) -> Iterator[None]:
    """Drop the triggers and put them back, so that the schema ends as it was."""
    triggers = connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY rowid"
    ).fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    yield
    for _, sql in triggers:
        connection.execute(sql)


def _escapes(connection: sqlite3.Connection, mutants: Iterator[Mutant]) -> tuple[int, list[str]]:
    """Try mutants one after the other.

    Every third audit goes on after its first fault, to see that the later steps bear it.

    Returns:
        How many were alive, that is, not refused by the schema itself, and which escaped.
    """
    alive = 0
    escaped: list[str] = []
    for mutant in mutants:
        connection.execute("BEGIN")
        try:
            with _unprotected(connection):
                for sql, parameters in mutant.statements:
                    connection.execute(sql, parameters)
            alive += 1
            if why := _escape(connection, to_the_end=alive % 3 == 0):
                escaped.append(f"{mutant.name}: {why}")
        except sqlite3.IntegrityError:
            pass
        finally:
            connection.execute("ROLLBACK")
    return alive, escaped


@pytest.fixture(scope="module")
def connection(history: Path) -> Iterator[sqlite3.Connection]:
    """The log in memory, outside any transaction."""
    stored = bytearray(history.read_bytes())
    stored[18:20] = b"\1\1"  # a database in memory has no write-ahead log
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.deserialize(stored)
    yield connection
    connection.close()


# What to change -----------------------------------------------------------------------------------


def _keys(connection: sqlite3.Connection, table: str) -> list[str]:
    columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
    return [name for _, name, _, _, _, key in columns if key]


def _rows(connection: sqlite3.Connection, table: str) -> list[Row]:
    order = ", ".join(_keys(connection, table))
    cursor = connection.execute(f"SELECT * FROM {table} ORDER BY {order}")  # noqa: S608
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _chosen(table: str, rows: list[Row]) -> list[Row]:
    """The first, the middle and the last rows, and those beside the border of a tile."""
    numbers = {0, 1, len(rows) // 2, len(rows) - 2, len(rows) - 1}
    if table == "entry":
        numbers |= {TILE_WIDTH - 1, TILE_WIDTH, 2 * TILE_WIDTH - 1, 2 * TILE_WIDTH}
    elif len(rows) < TILE_WIDTH:
        numbers |= set(range(len(rows)))
    return [rows[number] for number in sorted(numbers) if 0 <= number < len(rows)]


def _where(keys: Sequence[str], row: Row) -> tuple[str, list[object]]:
    return " AND ".join(f"{key} IS ?" for key in keys), [row[key] for key in keys]


def _name(table: str, keys: Sequence[str], row: Row) -> str:
    shown = ",".join(
        row[key].hex()[:8] if isinstance(row[key], bytes) else str(row[key])[:24] for key in keys
    )
    return f"{table}[{shown}]"


def _set(table: str, keys: Sequence[str], row: Row, **values: object) -> tuple[str, list[object]]:
    """The statement that changes columns of one row; bytes go into TEXT columns as they are."""
    texts = {column for column, value in row.items() if isinstance(value, str)}
    marks = ", ".join(
        f"{column} = CAST(? AS TEXT)" if column in texts and value is not None else f"{column} = ?"
        for column, value in values.items()
    )
    where, key = _where(keys, row)
    return f"UPDATE {table} SET {marks} WHERE {where}", [*values.values(), *key]  # noqa: S608


def _spoiled(value: object, *, every: bool) -> Iterator[tuple[str, object]]:
    if isinstance(value, str):
        yield from spoiled_text(value, every=every)
    elif isinstance(value, bytes):
        yield from spoiled_bytes(value, every=every)
    elif isinstance(value, int):
        yield from spoiled_number(value)
    else:
        yield from (("empty instead of NULL", b""), ("zero instead of NULL", 0))
    if value is not None:
        yield "NULL", None


def changed_values(
    connection: sqlite3.Connection, table: str, *, every: bool = False
) -> Iterator[Mutant]:
    """Every column of the chosen rows (or of all), spoiled in every way its type has."""
    keys, rows = _keys(connection, table), _rows(connection, table)
    chosen = _chosen(table, rows)
    closely = rows if every else [chosen[0], chosen[len(chosen) // 2], chosen[-1]]
    for row in rows if every else chosen:
        for column, value in row.items():
            spoiled = list(_spoiled(value, every=every and column != "body"))
            for what, other in spoiled if row in closely else spoiled[:: len(spoiled) // 8 + 1]:
                yield Mutant(
                    f"{_name(table, keys, row)}.{column}: {what}",
                    [_set(table, keys, row, **{column: other})],
                )


def moved_values(connection: sqlite3.Connection, table: str) -> Iterator[Mutant]:
    """Bytes across the border to the next column or row, and columns swapped between rows."""
    keys, rows = _keys(connection, table), _rows(connection, table)
    chosen = _chosen(table, rows)
    for row in chosen:
        for one, other in combinations([c for c, v in row.items() if isinstance(v, bytes)], 2):
            joined = row[one] + row[other]
            for cut in {0, len(row[one]) - 1, len(row[one]) + 1, 32, len(joined)}:
                if 0 <= cut <= len(joined) and cut != len(row[one]):
                    moved = {one: joined[:cut], other: joined[cut:]}
                    yield Mutant(
                        f"{_name(table, keys, row)}: {one} and {other} cut at {cut}",
                        [_set(table, keys, row, **moved)],
                    )
    for first, second in (*pairwise(chosen), *zip(chosen[:1], chosen[-1:], strict=True)):
        for column in set(first) - set(keys):
            a, b = first[column], second[column]
            if a == b:
                continue
            name = f"{_name(table, keys, first)} and {_name(table, keys, second)}, {column}"
            if column != "dedupe":
                yield Mutant(
                    f"{name} swapped",
                    [
                        _set(table, keys, first, **{column: b}),
                        _set(table, keys, second, **{column: a}),
                    ],
                )
            if isinstance(a, bytes) and isinstance(b, bytes) and a:
                yield Mutant(
                    f"{name}: a byte moved over",
                    [
                        _set(table, keys, first, **{column: a[:-1]}),
                        _set(table, keys, second, **{column: a[-1:] + b}),
                    ],
                )


def missing_rows(connection: sqlite3.Connection, table: str) -> Iterator[Mutant]:
    """One row, several, the last ones, all."""
    keys, rows = _keys(connection, table), _rows(connection, table)
    chosen = _chosen(table, rows)

    def drop(row: Row) -> tuple[str, list[object]]:
        where, key = _where(keys, row)
        return f"DELETE FROM {table} WHERE {where}", key  # noqa: S608

    for row in chosen:
        yield Mutant(f"{_name(table, keys, row)} deleted", [drop(row)])
    for one, other in pairwise(chosen):
        yield Mutant(f"{_name(table, keys, one)} and the next deleted", [drop(one), drop(other)])
    for count in (2, TILE_WIDTH):
        if count < len(rows):
            yield Mutant(f"the last {count} of {table}", [drop(row) for row in rows[-count:]])
    yield Mutant(f"all of {table}", [(f"DELETE FROM {table}", ())])  # noqa: S608


def added_rows(connection: sqlite3.Connection, table: str) -> Iterator[Mutant]:
    """Copies of rows under another key, near, beyond the end, negative."""
    keys, rows = _keys(connection, table), _rows(connection, table)
    for row in _chosen(table, rows):
        for key in keys:
            value = row[key]
            others: list[object] = []
            if isinstance(value, int):
                others = [len(rows), value + 1, value + len(rows), -1, -value - 2, 2**62]
            elif isinstance(value, bytes):
                others = [bytes(reversed(value)), value[:-1], b""]
            else:
                others = [f"{value}x", str(value).replace("one", "two"), ""]
            for other in others:
                copy = {**row, key: other}
                if "dedupe" in copy:
                    copy["dedupe"] += "9"
                marks = ", ".join("?" * len(copy))
                yield Mutant(
                    f"{_name(table, keys, row)} copied to {key} {other!r}",
                    [(f"INSERT INTO {table} VALUES ({marks})", list(copy.values()))],  # noqa: S608
                )


def swapped_rows(connection: sqlite3.Connection, table: str) -> Iterator[Mutant]:
    """Two rows, each wholly under the key of the other."""
    keys, rows = _keys(connection, table), _rows(connection, table)
    chosen = _chosen(table, rows)
    for first, second in (*pairwise(chosen), *zip(chosen[:1], chosen[-1:], strict=True)):
        if first is second:
            continue
        statements: list[tuple[str, Sequence[object]]] = []
        for row in (first, second):
            where, key = _where(keys, row)
            statements.append((f"DELETE FROM {table} WHERE {where}", key))  # noqa: S608
        for row, other in ((first, second), (second, first)):
            values = list({**row, **{key: other[key] for key in keys}}.values())
            marks = ", ".join("?" * len(values))
            statements.append((f"INSERT INTO {table} VALUES ({marks})", values))  # noqa: S608
        name = f"{_name(table, keys, first)} and {_name(table, keys, second)} swapped"
        yield Mutant(name, statements)


# The tests ----------------------------------------------------------------------------------------


def test_the_log_as_it_was_written_has_no_fault(connection: sqlite3.Connection) -> None:
    assert _escape(connection) == "not found"
    empty = {table for table in TABLES if not _rows(connection, table)}
    assert empty == set()


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    ("mutate", "at_least"),
    [
        (changed_values, 40),
        (moved_values, 0),
        (missing_rows, 1),
        (added_rows, 0),
        (swapped_rows, 0),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_no_change_of_a_table_escapes(
    connection: sqlite3.Connection, table: str, mutate: Mutate, at_least: int
) -> None:
    alive, escaped = _escapes(connection, mutate(connection, table))
    assert escaped == []
    assert alive >= at_least


@pytest.mark.soak
@pytest.mark.parametrize("table", TABLES)
def test_no_change_of_any_byte_of_any_row_escapes(
    connection: sqlite3.Connection, table: str
) -> None:
    _, escaped = _escapes(connection, changed_values(connection, table, every=True))
    assert escaped == []
