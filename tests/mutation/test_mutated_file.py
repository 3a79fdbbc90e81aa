"""Damage to the database as a file, to its schema, and a rewrite that is consistent in itself."""

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import pytest
from msgspec.structs import replace

from deploymark.errors import DeploymarkError
from deploymark.log.checkpoint import Checkpoint
from deploymark.log.tree import Frontier, leaf_hash
from deploymark.model.leaf import Leaf, decode_leaf, encode_leaf
from deploymark.storage.sqlite import SqliteLogReader
from deploymark.testing.history import HISTORY_SIZE, PUBLISHED_SIZES
from deploymark.testing.whole_log import faults_of, log_signers, policy_of, signed_empty_head

_KEYS = [line.key for line in policy_of().logs]
_HEADER_BYTES = 100


@pytest.fixture
def copy(history: Path, tmp_path: Path) -> Path:
    """A copy of the log's database to be damaged."""
    return Path(shutil.copy(history, tmp_path / "log.db"))


def _faults(path: Path) -> list[str]:
    try:
        return faults_of(SqliteLogReader(path, pinned=True), _KEYS)
    except DeploymarkError as error:
        return [error.message]


def _dump(path: Path) -> list[list[Any]]:
    """Everything that a reader can ask for: objects, version and all rows."""
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        tables = ("log", "entry", "node", "checkpoint", "cosignature", "detail", "sqlite_schema")
        pages = {row[0]: row for row in connection.execute("SELECT name, * FROM sqlite_schema")}
        rows = [
            connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()  # noqa: S608
            for table in tables
        ]
        return [*rows, connection.execute("PRAGMA user_version").fetchall(), sorted(pages)]


def _change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            connection.execute(statement)


# The schema ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statements",
    [
        ["PRAGMA user_version = 0"],
        ["PRAGMA user_version = 2"],
        ["CREATE TABLE notes (text TEXT)"],
        ["CREATE TABLE log_copy AS SELECT * FROM log"],
        ["CREATE INDEX by_key ON entry (key_id)"],
        ["CREATE INDEX entry_stays ON entry (key_id)"],
        ["CREATE VIEW heads AS SELECT size FROM log"],
        ["CREATE TRIGGER quiet AFTER INSERT ON entry BEGIN SELECT 1; END"],
        ["ANALYZE"],
        *(
            [f"DROP TRIGGER {name}"]
            for name in ("entry_stays", "entry_is_fixed", "origin_is_fixed")
        ),
        [
            "DROP TRIGGER entry_stays",
            "CREATE TRIGGER entry_stays BEFORE DELETE ON entry BEGIN SELECT 1; END",
        ],
        *(
            [f"DROP TABLE {name}"]
            for name in ("log", "node", "checkpoint", "cosignature", "detail")
        ),
        ["DROP TRIGGER entry_stays", "DROP TABLE entry"],
        ["ALTER TABLE checkpoint ADD COLUMN remark TEXT"],
        ["ALTER TABLE cosignature RENAME COLUMN line TO signature"],
        ["INSERT INTO log SELECT 2, origin, size, root, frontier, note, published_size FROM log"],
        ["UPDATE log SET one = 2"],
    ],
    ids=lambda statements: statements[-1].partition(" BEGIN")[0],
)
def test_a_change_of_the_schema_is_found(copy: Path, statements: list[str]) -> None:
    assert _faults(copy) == []
    _change(copy, *statements)
    assert _faults(copy) != []


# The bytes of the file ----------------------------------------------------------------------------


def _escaped(copy: Path, places: Iterator[tuple[int, int]]) -> list[str]:
    """Turn one byte at a time; what no audit names must have changed nothing that can be read."""
    whole = _dump(copy)
    escaped = []
    for position, mask in places:
        with copy.open("r+b") as file:
            file.seek(position)
            byte = file.read(1)[0]
            file.seek(position)
            file.write(bytes([byte ^ mask]))
        try:
            if not _faults(copy) and _dump(copy) != whole:
                escaped.append(f"byte {position} ^ {mask:#04x}")
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not happen
            escaped.append(f"byte {position} ^ {mask:#04x}: {error!r}")
        finally:
            with copy.open("r+b") as file:
                file.seek(position)
                file.write(bytes([byte]))
    return escaped


def _page_bytes(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    return int(size)


def _random_places(seed: str, size: int, count: int) -> Iterator[tuple[int, int]]:
    chance = random.Random(seed)
    for _ in range(count):
        yield chance.randrange(size), 1 << chance.randrange(8)


def test_a_changed_byte_of_the_file_header_is_found_or_means_nothing(copy: Path) -> None:
    assert _escaped(copy, ((position, 1) for position in range(_HEADER_BYTES))) == []


def test_a_changed_byte_of_any_page_head_is_found_or_means_nothing(copy: Path) -> None:
    # The heads and the cell pointers of pages say what type and length everything else has.
    chance = random.Random("page heads")
    places = [
        (page + chance.randrange(40), 1 << chance.randrange(8))
        for page in range(0, copy.stat().st_size, _page_bytes(copy))
        for _ in range(4)
    ]
    assert _escaped(copy, iter(places)) == []


def test_a_changed_byte_of_the_text_of_the_schema_is_found_or_means_nothing(copy: Path) -> None:
    content, page = copy.read_bytes(), _page_bytes(copy)
    begin = content.index(b"CREATE TRIGGER")
    text = range(begin, page, 29)
    assert _escaped(copy, ((position, mask) for position in text for mask in (1, 0x80))) == []


def test_a_changed_byte_anywhere_is_found_or_means_nothing(copy: Path) -> None:
    assert _escaped(copy, _random_places("bytes", copy.stat().st_size, 200)) == []


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
def test_many_changed_bytes_anywhere_are_found_or_mean_nothing(copy: Path, seed: int) -> None:
    assert _escaped(copy, _random_places(f"soak {seed}", copy.stat().st_size, 5_000)) == []


def test_a_file_that_was_cut_is_found(copy: Path) -> None:
    content, page = copy.read_bytes(), _page_bytes(copy)
    for kept in (0, 1, 99, 100, page - 1, page, page * 2, page * 9, -page, -1):
        copy.write_bytes(content[:kept])
        assert _faults(copy) != [], kept


def test_a_page_of_zeroes_is_found(copy: Path) -> None:
    content, size = copy.read_bytes(), _page_bytes(copy)
    for start in range(0, len(content), size):
        copy.write_bytes(content[:start] + bytes(size) + content[start + size :])
        assert _faults(copy) != [], start


# A rewrite that is consistent in itself -----------------------------------------------------------


class Signs(Protocol):
    """As much of a note signer as a forger needs."""

    def sign_note(self, text: str, *, now_seconds: int) -> str: ...


def _rewrite(
    path: Path,
    index: int,
    signer: Signs | None = None,
    change: Callable[[Leaf], Leaf] = lambda leaf: replace(leaf, principal="somebody else"),
) -> None:
    """Change one entry and derive everything again from it; sign only what one has keys for."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        triggers = connection.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY rowid"
        ).fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        (body,) = connection.execute("SELECT body FROM entry WHERE idx = ?", (index,)).fetchone()
        body = encode_leaf(change(decode_leaf(body)))
        connection.execute(
            "UPDATE entry SET body = ?, leaf_hash = ? WHERE idx = ?",
            (body, leaf_hash(body), index),
        )
        connection.execute("DELETE FROM node")
        _derive(connection, signer)
        for _, sql in triggers:
            connection.execute(sql)


def _derive(connection: sqlite3.Connection, signer: Signs | None) -> None:
    (origin,) = connection.execute("SELECT origin FROM log").fetchone()
    hashes = [row[0] for row in connection.execute("SELECT leaf_hash FROM entry ORDER BY idx")]
    frontier = Frontier()
    for size in PUBLISHED_SIZES:
        nodes = frontier.extend(hashes[frontier.size : size])
        connection.executemany(
            "INSERT INTO node VALUES (?, ?, ?)", [(n.level, n.index, n.hash) for n in nodes]
        )
        text = Checkpoint(origin, size, frontier.root()).text()
        for table in ("checkpoint", "log"):
            (note,) = connection.execute(
                f"SELECT note FROM {table} WHERE size = ?",  # noqa: S608
                (size,),
            ).fetchone() or ("",)
            lines = note.partition("\n\n")[2].splitlines(keepends=True)
            if signer is not None:
                lines[:1] = [signer.sign_note(text, now_seconds=0)]
            connection.execute(
                f"UPDATE {table} SET note = ? WHERE size = ?",  # noqa: S608
                (f"{text}\n{''.join(lines)}", size),
            )
    connection.execute("UPDATE log SET root = ?, frontier = ?", (frontier.root(), frontier.pack()))


@pytest.mark.parametrize("index", [0, 5, 255, 256, HISTORY_SIZE - 1])
def test_a_consistent_rewrite_without_the_keys_is_found_by_the_signatures(
    copy: Path, index: int
) -> None:
    _rewrite(copy, index)
    faults = _faults(copy)
    assert all("sign" in fault or "cosignature" in fault for fault in faults), faults
    assert any("The head of size" in fault for fault in faults)
    later = [size for size in PUBLISHED_SIZES if size > index]
    for size in later:
        assert any(f"The checkpoint of size {size} is not signed" in fault for fault in faults)


def test_a_rewrite_signed_by_an_impostor_of_the_same_name_is_found(copy: Path) -> None:
    origin = policy_of().logs[0].key.name
    _rewrite(copy, 5, _Impostor(origin))
    assert any("No trusted key signed this note" in fault for fault in _faults(copy))


class _Impostor:
    """Signs under the name of a log with a key of its own."""

    def __init__(self, origin: str) -> None:
        self._name = origin
        self._signer = log_signers("log.example/impostor")[0]

    def sign_note(self, text: str, *, now_seconds: int) -> str:
        line = self._signer.sign_note(text, now_seconds=now_seconds)
        return line.replace("log.example/impostor", self._name)


@pytest.mark.parametrize(
    "named",
    ["", "sha256:", "sha256:zz", "sha256:" + "z" * 64, "sha256:" + "A" * 64, "md5:" + "a" * 64],
)
def test_an_entry_that_names_content_by_no_digest_is_a_fault_and_no_crash(
    copy: Path, named: str
) -> None:
    _rewrite(
        copy, 5, log_signers()[0], lambda leaf: replace(leaf, ids={**leaf.ids, "detail": named})
    )
    assert _faults(copy) != []


def test_a_stolen_ed25519_key_alone_does_not_hide_a_rewrite(copy: Path) -> None:
    _rewrite(copy, 5, log_signers()[0])
    faults = _faults(copy)
    assert not any("The head" in fault for fault in faults)
    for size in PUBLISHED_SIZES[1:]:
        assert any(f"The checkpoint of size {size} is not signed" in fault for fault in faults)


def test_an_empty_log_in_place_of_a_full_one_is_found_by_what_is_left(copy: Path) -> None:
    head = signed_empty_head(policy_of().logs[0].key.name, log_signers()[0])
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute(
            "UPDATE log SET size = 0, root = ?, frontier = ?, note = ?, published_size = 0",
            (head.root, head.frontier, head.note),
        )
    assert any("lies outside the log" in fault for fault in _faults(copy))
