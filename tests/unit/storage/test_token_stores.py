"""Every place for tokens keeps the contract; the file keeps it through restarts and misfortune."""

import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
from msgspec.structs import replace

from deploymark.errors import DataDirectoryError, StateBrokenError, StoreUnavailableError
from deploymark.ingest.callers import LOCAL
from deploymark.ingest.sessions import Sessions
from deploymark.ingest.tokens import Tokens
from deploymark.model.entries import Scope
from deploymark.model.vocabulary import Role
from deploymark.ports import SessionRecord, TokenRecord
from deploymark.runtime.system import ProcessMeter
from deploymark.storage.memory_tokens import MemoryTokenStore
from deploymark.storage.sqlite.state import StateFile
from deploymark.storage.sqlite.tokens import SqliteTokenStore
from deploymark.testing.clock import ManualClock
from deploymark.testing.token_store import exercise_token_store

_NOW = 1_795_000_000_000
_TOKEN = TokenRecord(
    "0" * 12, "ci", bytes(32), frozenset({Role.EMITTER}), Scope(("a",), ("b",)), _NOW, "local"
)
_SESSION = SessionRecord(bytes(32), _TOKEN.id, _NOW, _NOW + 1000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def state(path: Path) -> Iterator[StateFile]:
    with closing(StateFile(path)) as file:
        yield file


def _sql(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def test_the_store_in_memory_keeps_the_contract() -> None:
    exercise_token_store(MemoryTokenStore)


def test_the_store_in_sqlite_keeps_the_contract(tmp_path: Path) -> None:
    numbers = count()
    opened: list[StateFile] = []

    def make() -> SqliteTokenStore:
        opened.append(StateFile(tmp_path / f"{next(numbers)}.db"))
        return SqliteTokenStore(opened[-1])

    exercise_token_store(make)
    for state in opened:
        state.close()


def test_the_suite_finds_a_store_that_forgets_to_end_sessions() -> None:
    class Careless(MemoryTokenStore):
        def revoke(self, token_id: str, at_ms: int, by: str) -> bool:
            sessions = dict(self._sessions)
            ended = super().revoke(token_id, at_ms, by)
            self._sessions = sessions
            return ended

    with pytest.raises(AssertionError):
        exercise_token_store(Careless)


# Tokens in the file -------------------------------------------------------------------------------


def test_another_process_sees_a_revocation_as_soon_as_it_was_answered(
    path: Path, state: StateFile
) -> None:
    here = SqliteTokenStore(state)
    with closing(StateFile(path)) as elsewhere:
        there = SqliteTokenStore(elsewhere)
        assert here.add(_TOKEN)
        assert there.find(_TOKEN.id) == _TOKEN
        assert there.revoke(_TOKEN.id, _NOW, "local")
        found = here.find(_TOKEN.id)
        assert found is not None
        assert found.revoked_at_ms == _NOW


def test_what_was_answered_is_there_after_a_restart(path: Path) -> None:
    with closing(StateFile(path)) as state:
        store = SqliteTokenStore(state)
        store.add(_TOKEN)
        store.open_session(_SESSION, 16)
    with closing(StateFile(path)) as state:
        store = SqliteTokenStore(state)
        assert store.all() == [_TOKEN]
        assert store.find_session(_SESSION.cookie_hash) == _SESSION


def test_tokens_are_synced_and_the_use_of_sessions_is_not(state: StateFile) -> None:
    store = SqliteTokenStore(state)
    seen: list[str] = []
    state._writer.set_trace_callback(seen.append)
    store.add(_TOKEN)
    store.extend_session(bytes(32), _NOW)
    store.revoke(_TOKEN.id, _NOW, "local")
    levels = [each.partition("=")[2] for each in seen if each.startswith("PRAGMA synchronous")]
    assert levels == ["FULL", "NORMAL", "FULL"]


@pytest.mark.parametrize(
    "damage",
    ["UPDATE token SET roles = 'emperor'", "UPDATE token SET scope = '{'"],
    ids=["a role that is none", "a scope that is no JSON"],
)
def test_a_damaged_row_is_said_to_be_one(path: Path, state: StateFile, damage: str) -> None:
    store = SqliteTokenStore(state)
    store.add(_TOKEN)
    _sql(path, damage)
    with pytest.raises(StateBrokenError, match=_TOKEN.id):
        store.find(_TOKEN.id)


def test_no_secret_stands_in_any_byte_of_the_files(path: Path, state: StateFile) -> None:
    clock, store = ManualClock(), SqliteTokenStore(state)
    secrets = (bytes([number]) * 32 for number in range(65, 90))
    tokens = Tokens(store, clock, lambda size: next(secrets)[:size])
    sessions = Sessions(store, tokens, clock, lambda size: next(secrets)[:size], ProcessMeter())
    made = tokens.issue("ci", ("reader",), None, None, LOCAL)
    brought = "brought-from-outside-" * 3
    tokens.ensure_admin(brought)
    opened = sessions.open(made.text)
    sessions.authenticate(opened.cookie)
    secret = made.text.split("_", 2)[2]
    names = [path, path.with_name("state.db-wal")]
    written = b"".join(each.read_bytes() for each in names)
    assert b"ci" in written
    for text in (secret, brought, opened.cookie, opened.csrf):
        assert text.encode() not in written
    assert not any(bytes([number]) * 32 in written for number in range(65, 90))


# The file -----------------------------------------------------------------------------------------


def test_the_file_and_what_sqlite_puts_beside_it_are_for_their_owner_only(
    path: Path, state: StateFile
) -> None:
    SqliteTokenStore(state)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}


def test_adapters_share_the_file_and_lay_their_tables_once(state: StateFile) -> None:
    for _ in range(2):
        state.lay("one", 1, "CREATE TABLE IF NOT EXISTS one_row (x INTEGER) STRICT;")
        state.lay("two", 7, "CREATE TABLE IF NOT EXISTS two_row (x INTEGER) STRICT;")
    with state.writing() as connection:
        connection.execute("INSERT INTO one_row VALUES (1)")
    with state.reading() as connection:
        rows = connection.execute("SELECT * FROM adapter ORDER BY name").fetchall()
        assert connection.execute("SELECT x FROM one_row").fetchall() == [(1,)]
    assert rows == [("one", 1), ("two", 7)]


def test_tables_of_another_version_are_left_alone(path: Path, state: StateFile) -> None:
    SqliteTokenStore(state)
    _sql(path, "UPDATE adapter SET version = 2")
    with pytest.raises(DataDirectoryError, match="version 2"):
        SqliteTokenStore(state)


def test_a_schema_that_fails_halfway_leaves_nothing_behind(state: StateFile) -> None:
    with pytest.raises(StateBrokenError):
        state.lay("one", 1, "CREATE TABLE one_row (x INTEGER); CREATE TABLE one_row (x INTEGER);")
    state.lay("one", 1, "CREATE TABLE one_row (x INTEGER);")


def test_a_transaction_that_fails_leaves_nothing_behind(state: StateFile) -> None:
    state.lay("one", 1, "CREATE TABLE IF NOT EXISTS one_row (x INTEGER) STRICT;")

    def fail() -> None:
        with state.writing() as connection:
            connection.execute("INSERT INTO one_row VALUES (1)")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with state.writing() as connection:
        assert connection.execute("SELECT count(*) FROM one_row").fetchone() == (0,)


def test_reading_does_not_wait_for_a_writer(state: StateFile) -> None:
    state.lay("one", 1, "CREATE TABLE IF NOT EXISTS one_row (x INTEGER) STRICT;")
    counts: list[int] = []

    def read() -> None:
        with state.reading() as connection:
            counts.append(connection.execute("SELECT count(*) FROM one_row").fetchone()[0])

    with state.writing() as connection:
        connection.execute("INSERT INTO one_row VALUES (1)")
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    read()
    assert counts == [0, 1]


def test_many_threads_write_one_after_the_other(state: StateFile) -> None:
    state.lay("one", 1, "CREATE TABLE IF NOT EXISTS one_row (x INTEGER) STRICT;")
    with state.writing() as connection:
        connection.execute("INSERT INTO one_row VALUES (0)")

    def add() -> None:
        for _ in range(20):
            with state.writing(durable=False) as connection:
                (x,) = connection.execute("SELECT x FROM one_row").fetchone()
                connection.execute("UPDATE one_row SET x = ?", (x + 1,))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with state.reading() as connection:
        assert connection.execute("SELECT x FROM one_row").fetchone() == (80,)


def test_a_closed_file_says_so_and_closes_twice(state: StateFile) -> None:
    store = SqliteTokenStore(state)
    for _ in range(2):
        state.close()
    with pytest.raises(StoreUnavailableError, match="is closed"):
        store.find("0" * 12)
    with pytest.raises(StoreUnavailableError, match="is closed"):
        store.add(_TOKEN)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match=r"absent/state\.db cannot be created"):
        StateFile(tmp_path / "absent" / "state.db")


def test_a_file_of_something_else_is_left_alone(path: Path) -> None:
    _sql(path, "CREATE TABLE recipes (soup TEXT)")
    before = path.read_bytes()
    with pytest.raises(DataDirectoryError, match="not a state file"):
        StateFile(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_damaged(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to be read as one " * 40)
    with pytest.raises(StateBrokenError, match="is damaged"):
        StateFile(path)


def test_a_file_left_empty_by_a_crash_is_taken_up(path: Path) -> None:
    path.touch(mode=0o600)
    with closing(StateFile(path)) as state:
        assert SqliteTokenStore(state).all() == []


def test_a_full_disk_refuses_and_keeps_what_was_there(state: StateFile) -> None:
    store = SqliteTokenStore(state)
    store.add(_TOKEN)
    pages = state._writer.execute("PRAGMA page_count").fetchone()[0]
    state._writer.execute(f"PRAGMA max_page_count={pages}")

    def fill() -> None:
        for number in range(1, 200):
            store.add(replace(_TOKEN, id=f"{number:012}", name=f"{number}", created_by="x" * 999))

    with pytest.raises(StoreUnavailableError, match="SQLITE_FULL"):
        fill()
    state._writer.execute("PRAGMA max_page_count=100000")
    assert store.find(_TOKEN.id) == _TOKEN
    assert store.revoke(_TOKEN.id, _NOW, "local")
