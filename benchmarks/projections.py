"""How far the views are behind the log, how fast they are built from it, and what coverage costs.

Run alone: `python benchmarks/projections.py [--quick] [--json]`. Quiet machine, please: the feeder
and the runner share its cores. The log is that of a fleet (`fleet`), in SQLite as in a server. The
bare limits are a view that only inserts a row an entry, and SQLite's executemany of such rows.
"""

import gc
import sqlite3
import statistics
import tempfile
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from fleet import Fleet, append, entries, new_log, written_log
from measuring import Row, median_seconds, options, report
from sqlalchemy import Column, Connection, Integer, LargeBinary, MetaData, Table

from deploymark.ports import LogStore, StoredEntry
from deploymark.projections.broker.query import BrokerQuery
from deploymark.projections.broker.questions import CoverageQuery
from deploymark.projections.broker.view import BrokerView
from deploymark.projections.database import insert_rows, open_views
from deploymark.projections.logged import LoggedEntry
from deploymark.projections.runner import Runner, View
from deploymark.projections.search import SearchView
from deploymark.storage.sqlite import SqliteLogStore
from deploymark.testing.meter import ListMeter

PER_SECOND = 2_000
_TICK_SECONDS = 0.01
_LOOK_SECONDS = 0.001
_PATIENCE_SECONDS = 60
_MANY_SERVICES = 500


class BareView:
    """Keeps one row of each entry and thinks nothing."""

    name = "bare"
    version = 1
    metadata = MetaData()
    table = Table(
        "bare_entry",
        metadata,
        Column("idx", Integer, primary_key=True),
        Column("leaf", LargeBinary),
    )

    def fold(self, entry: LoggedEntry) -> tuple[int, bytes]:
        """See `View.fold`."""
        return entry.index, entry.leaf.dedupe.encode()

    def write(self, connection: Connection, rows: Sequence[tuple[int, bytes]]) -> None:
        """See `View.write`."""
        insert_rows(connection, self.table, rows)


# Lag ---------------------------------------------------------------------------------------------


def _fed(store: LogStore, runner: Runner, rows: Sequence[StoredEntry]) -> list[float]:
    """Append rows at their pace, as a sequencer does; return when each was acknowledged."""
    acknowledged: list[float] = []
    step = round(PER_SECOND * _TICK_SECONDS)
    start = time.perf_counter()
    for first in range(0, len(rows), step):
        due = start + first / PER_SECOND
        time.sleep(max(0.0, due - time.perf_counter()))
        batch = rows[first : first + step]
        append(store, batch)
        acknowledged += [time.perf_counter()] * len(batch)
        runner.notify(first + len(batch))
    return acknowledged


def lag(folder: Path, views: Sequence[View[Any]], rows: Sequence[StoredEntry]) -> "Lag":
    """Feed a log at a fixed pace and look when each entry is in the views."""
    folder.mkdir()
    with closing(new_log(folder / "log.db")) as store:
        opened = open_views(folder / "views.db")
        runner = Runner(store, opened, views, ListMeter())
        runner.start()
        seen: list[tuple[int, float]] = []

        def look() -> None:
            end = time.perf_counter() + len(rows) / PER_SECOND + _PATIENCE_SECONDS
            while (now := time.perf_counter()) < end:
                size = runner.position()
                if not seen or size > seen[-1][0]:
                    seen.append((size, now))
                if size >= len(rows):
                    return
                time.sleep(_LOOK_SECONDS)

        looking = threading.Thread(target=look)
        looking.start()
        cpu, start = time.process_time(), time.perf_counter()
        acknowledged = _fed(store, runner, rows)
        fed_seconds = time.perf_counter() - start
        looking.join()
        cpu = time.process_time() - cpu
        runner.stop()
        opened.close()
    if seen[-1][0] < len(rows):
        raise SystemExit(f"Only {seen[-1][0]} of {len(rows)} entries were seen in time.")
    sizes = [size for size, _ in seen]
    delays = [
        (seen[bisect_right(sizes, index)][1] - at) * 1e3 for index, at in enumerate(acknowledged)
    ]
    return Lag(delays, len(rows) / fed_seconds, cpu / len(rows) * 1e6)


class Lag:
    """What one run came to.

    Args:
        delays_ms: Of each entry, from its acknowledgement to its being visible.
        fed_per_second: The pace that the feeder kept.
        cpu_us: Of the whole process, for each entry.
    """

    def __init__(self, delays_ms: Sequence[float], fed_per_second: float, cpu_us: float) -> None:
        quantiles = statistics.quantiles(delays_ms, n=100)
        self.p50, self.p99 = quantiles[49], quantiles[98]
        self.fed_per_second = fed_per_second
        self.cpu_us = cpu_us


def lags(folder: Path, seconds: int) -> Iterator[Row]:
    """Measure how soon what is acknowledged is visible."""
    rows = list(entries(Fleet(), PER_SECOND * seconds))
    gc.freeze()  # the prepared rows are the benchmark's
    bare = lag(folder / "bare", [BareView()], rows)
    real = lag(folder / "lag", [SearchView(), BrokerView()], rows)
    note = (
        f"broker and search, {seconds} s; fed at {real.fed_per_second:,.0f}/s, process CPU "
        f"{real.cpu_us:.0f} us a marker; limit: a view that only inserts, {bare.cpu_us:.0f} us"
    )
    at = f"projection lag at {PER_SECOND:,}/s"
    yield Row(f"{at}, p50", real.p50, bare.p50, "ms", "none", met=True, note=note)
    yield Row(f"{at}, p99", real.p99, bare.p99, "ms", "<= 250", real.p99 <= 250, note)


# Rebuild -----------------------------------------------------------------------------------------


def bare_inserts(path: Path, rows: Sequence[StoredEntry]) -> float:
    """Return rows a second that SQLite inserts, with an index, when nobody thinks."""
    start = time.perf_counter()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("CREATE TABLE row (idx INTEGER PRIMARY KEY, at INTEGER, name TEXT)")
        connection.execute("CREATE INDEX row_by_name ON row (name)")
        for first in range(0, len(rows), 2_048):
            part = rows[first : first + 2_048]
            values = [(row.index, row.received_at_ms, row.dedupe) for row in part]
            connection.executemany("INSERT INTO row VALUES (?, ?, ?)", values)
            connection.commit()
    return len(rows) / (time.perf_counter() - start)


def rebuilt(store: SqliteLogStore, path: Path, views: Sequence[View[Any]]) -> tuple[float, float]:
    """Build views from nothing; return entries a second and CPU microseconds an entry."""
    opened = open_views(path)
    runner = Runner(store, opened, views, ListMeter())
    cpu, start = time.process_time(), time.perf_counter()
    runner.catch_up()
    size = runner.position()
    seconds = time.perf_counter() - start
    cpu = time.process_time() - cpu
    opened.close()
    return size / seconds, cpu / size * 1e6


def rebuilds(folder: Path, count: int) -> Iterator[Row]:
    """Measure how fast views are built from a log."""
    with closing(written_log(folder / "rebuild.db", Fleet(), count)) as store:
        rows = list(store.entries(0, count))
        bare = bare_inserts(folder / "bare.db", rows)
        del rows
        kinds: dict[str, tuple[list[View[Any]], float]] = {
            "search": ([SearchView()], 20_000),
            "broker": ([BrokerView()], 20_000),
            "broker and search": ([SearchView(), BrokerView()], 20_000),
        }
        for number, (name, (views, goal)) in enumerate(kinds.items()):
            rate, cpu_us = rebuilt(store, folder / f"views-{number}.db", views)
            note = f"{count:,} entries; CPU {cpu_us:.0f} us an entry; limit: SQLite executemany"
            yield Row(f"rebuild, {name}", rate, bare, "/s", f">= {goal:,}", rate >= goal, note)
    with closing(written_log(folder / "wide.db", Fleet(services=_MANY_SERVICES), count)) as store:
        rate, cpu_us = rebuilt(store, folder / "views-wide.db", [BrokerView()])
        name = f"rebuild, broker, {_MANY_SERVICES} services"
        note = f"{count:,} entries; CPU {cpu_us:.0f} us an entry; the others have 40 services"
        yield Row(name, rate, bare, "/s", "none", met=True, note=note)


# Coverage ----------------------------------------------------------------------------------------


def coverage(folder: Path, instances: int) -> Iterator[Row]:
    """Measure what it costs to write down and to count many instances."""
    clusters = ("eu-1", "eu-2", "us-1", "us-2", "ap-1")
    each = instances // (40 * len(clusters))
    fleet = Fleet(clusters=clusters, instances=each)
    # One round: everything is said twice, and nothing has ended yet.
    count = 40 * len(clusters) * (1 + 2 * each) + 36 * len(clusters) * 3
    with closing(written_log(folder / "coverage.db", fleet, count)) as store:
        rate, cpu_us = rebuilt(store, folder / "coverage-views.db", [BrokerView()])
    opened = open_views(folder / "coverage-views.db")
    opened.admit_readers()
    query = BrokerQuery(opened)
    statuses = ("confirmed", "unproven", "mismatched")
    total = sum(item[each] for item in query.coverage(CoverageQuery()).items for each in statuses)
    if total != 40 * len(clusters) * each:
        raise SystemExit(f"{total} instances are covered.")
    with closing(sqlite3.connect(folder / "coverage-views.db")) as connection:
        bare = "SELECT service, cluster, count(*) FROM broker_instance GROUP BY 1, 2"
        all_bare = median_seconds(lambda: connection.execute(bare).fetchall(), 5)
        one = "SELECT cluster, count(*) FROM broker_instance WHERE service = ? GROUP BY 1"
        one_bare = median_seconds(lambda: connection.execute(one, ("service-001",)).fetchall(), 9)
    whole = median_seconds(lambda: query.coverage(CoverageQuery()), 5)
    asked = CoverageQuery(service=("service-001",))
    single = median_seconds(lambda: query.coverage(asked), 9)
    opened.close()
    note = f"{total:,} instances; limit: SQLite counts the same rows without judging them"
    yield Row(
        "coverage of everything", whole * 1e3, all_bare * 1e3, "ms", "none", met=True, note=note
    )
    yield Row(
        "coverage of one service", single * 1e3, one_bare * 1e3, "ms", "none", met=True, note=note
    )
    note = f"{count:,} markers of which nearly all confirm; CPU {cpu_us:.0f} us a marker"
    yield Row("instances written", rate, 0, "markers/s", "none", met=True, note=note)


def rows(folder: Path, *, quick: bool) -> Iterator[Row]:
    """Measure everything."""
    yield from lags(folder, 8 if quick else 60)
    yield from rebuilds(folder, 30_000 if quick else 300_000)
    yield from coverage(folder, 20_000 if quick else 100_000)


def main() -> None:
    """Run and report."""
    chosen = options(__doc__ or "")
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        measured = list(rows(Path(folder), quick=chosen.quick))
    report(measured, as_json=chosen.json)


if __name__ == "__main__":
    main()
