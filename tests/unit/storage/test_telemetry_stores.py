"""The telemetry store keeps its contract; SQLite's own promises beside it."""

import sqlite3
from pathlib import Path

import pytest

from deploymark.errors import StoreUnavailableError
from deploymark.model.histogram import Histogram
from deploymark.ports import Counted, CountKey, Excerpt, Place
from deploymark.storage.sqlite.telemetry import SqliteTelemetryStore
from deploymark.testing.telemetry_store import (
    EVER,
    HERE,
    START_S,
    exercise_telemetry_store,
    telemetry,
)

_LARGE = 64 * 1_024 * 1_024


def test_the_sqlite_store_keeps_the_contract(tmp_path: Path) -> None:
    opened: list[SqliteTelemetryStore] = []

    def reopened() -> SqliteTelemetryStore:
        opened.append(SqliteTelemetryStore(tmp_path / "telemetry.db", _LARGE))
        return opened[-1]

    exercise_telemetry_store(reopened)
    for store in opened:
        store.close()


def test_a_damaged_file_is_replaced_because_it_refills(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    path.write_bytes(b"not a database at all, and long enough to be looked at" * 100)
    store = SqliteTelemetryStore(path, _LARGE)
    store.save(telemetry(receipts=[b"a"]))
    assert store.load() == ({}, [b"a"])
    store.close()


def test_a_file_that_turns_out_to_be_damaged_is_replaced_by_the_next_save(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    store = SqliteTelemetryStore(path, _LARGE)
    store.save(telemetry(streams={bytes([n]): b"x" * 3_000 for n in range(50)}))
    store.close()
    with path.open("r+b") as file:
        file.seek(4_096)
        file.write(b"\xff" * (path.stat().st_size - 4_096))
    store = SqliteTelemetryStore(path, _LARGE)
    with pytest.raises(StoreUnavailableError):
        store.load()
    assert store.load() == ({}, [])
    store.save(telemetry(receipts=[b"a"]))
    assert store.load() == ({}, [b"a"])
    store.close()


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    store = SqliteTelemetryStore(tmp_path / "telemetry.db", _LARGE)
    assert {each.stat().st_mode & 0o777 for each in tmp_path.iterdir()} == {0o600}
    store.close()


def test_a_file_of_another_version_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    store = SqliteTelemetryStore(path, _LARGE)
    store.save(telemetry(receipts=[b"a"]))
    store.close()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version=99")
    other.close()
    store = SqliteTelemetryStore(path, _LARGE)
    assert store.load() == ({}, [])
    store.close()


def test_a_place_where_no_file_can_be_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="cannot be created"):
        SqliteTelemetryStore(tmp_path / "missing" / "telemetry.db", _LARGE)


def test_a_closed_store_refuses(tmp_path: Path) -> None:
    store = SqliteTelemetryStore(tmp_path / "telemetry.db", _LARGE)
    store.close()
    with pytest.raises(StoreUnavailableError, match="closed"):
        store.load()


def test_the_file_never_grows_beyond_its_bound_and_what_is_trimmed_makes_room(
    tmp_path: Path,
) -> None:
    most = 1_024 * 1_024
    store = SqliteTelemetryStore(tmp_path / "telemetry.db", most)

    def fill(start: int) -> int:
        """Add excerpts until the store is full, and return how many batches fitted."""
        for batch in range(1_000):
            excerpts = [
                Excerpt(HERE._replace(deployment=f"d-{n}"), start + batch, 17, n, "x" * 400, "", "")
                for n in range(50)
            ]
            try:
                store.save(telemetry(excerpts=excerpts))
            except StoreUnavailableError:
                return batch
        return 1_000

    first = fill(START_S)
    assert 10 < first < 200
    assert (tmp_path / "telemetry.db").stat().st_size <= most * 1.25
    store.trim(START_S + first)
    assert store.size_bytes() < most / 4
    assert fill(START_S + 5_000) >= first * 0.9
    assert (tmp_path / "telemetry.db").stat().st_size <= most * 1.25
    store.close()


def test_what_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    store = SqliteTelemetryStore(tmp_path / "telemetry.db", _LARGE)
    odd = Histogram((0.5,), (1, 2), 1.0)
    key = CountKey(Place("a", "b", "c", "d"), START_S, "http", "metric")
    broken = telemetry(
        counts={key: Counted(1, 0, 1, START_S, odd)},
        receipts=["no bytes"],
    )
    with pytest.raises(StoreUnavailableError):
        store.save(broken)
    assert store.counts(EVER, 10) == []
    store.save(telemetry(counts={key: Counted(1, 0, 1, START_S, odd)}))
    assert store.counts(EVER, 10)[0][1].latency == odd
    store.close()
