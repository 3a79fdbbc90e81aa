"""How views follow the log: without gaps, without counting twice, whatever stops or breaks."""

import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from counting_view import CountingView
from projected_log import Projected, append, bodies_of, empty_log, leaf_of, marker
from sqlalchemy import select

from deploymark.errors import LogBrokenError, StoreUnavailableError
from deploymark.model.leaf import encode_leaf
from deploymark.projections import runner as runner_module
from deploymark.projections.search import SearchView
from deploymark.projections.search_query import MarkerQuery
from deploymark.testing.faulty_store import At, FaultyLogStore

PATIENCE_SECONDS = 20.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(runner_module, "BATCH_ENTRIES", 7)


@pytest.fixture
def projected(tmp_path: pathlib.Path) -> Iterator[Projected]:
    made = Projected(tmp_path)
    yield made
    made.close()


def _answers(projected: Projected) -> list[list[int]]:
    return [
        projected.markers(),
        projected.markers(service=("service-1",)),
        projected.markers(version=("1.3", "1.9"), order="oldest"),
        projected.markers(since="2026-11-18T11:06:50Z", limit=3),
    ]


def test_a_view_sees_every_entry_once_and_in_order(tmp_path: pathlib.Path) -> None:
    view = CountingView()
    projected = Projected(tmp_path, views=[view])
    for count in (1, 6, 7, 0, 30):
        append(projected.store, bodies_of(count))
        projected.runner.catch_up()
    assert view.read(projected.views) == list(range(44))
    assert max(map(len, view.batches)) == 7
    assert (projected.runner.position(), projected.runner.lag) == (44, 0)
    projected.close()


@pytest.mark.parametrize("fault", [StoreUnavailableError("Full."), OSError("no file is left")])
def test_a_batch_that_was_not_committed_is_done_again(
    tmp_path: pathlib.Path, fault: Exception
) -> None:
    view = CountingView()
    projected = Projected(tmp_path, views=[view])
    append(projected.store, bodies_of(20))
    view.failing = [fault, fault, fault]
    for _ in range(3):
        with pytest.raises(type(fault)):
            projected.runner.catch_up()
    projected.runner.catch_up()
    assert view.read(projected.views) == list(range(20))
    projected.close()


def test_an_entry_whose_writing_fails_is_skipped_alone_and_kept_on_record(
    tmp_path: pathlib.Path,
) -> None:
    view, other = CountingView(), CountingView("other")
    view.indigestible = {3, 9}
    projected = Projected(tmp_path, views=[view, other])
    append(projected.store, bodies_of(20))
    projected.runner.catch_up()
    assert view.read(projected.views) == [each for each in range(20) if each not in {3, 9}]
    assert other.read(projected.views) == list(range(20))
    skipped = projected.runner.skipped("counting")
    assert [(each.index, each.code) for each in skipped] == [(9, "defect"), (3, "defect")]
    assert projected.runner.lag == 0
    projected.close()


def test_a_long_way_is_told_while_it_is_gone(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runner_module, "PROGRESS_ENTRIES", 10)
    caplog.set_level("INFO")
    projected = Projected(tmp_path, views=[CountingView()])
    append(projected.store, bodies_of(30))
    projected.runner.catch_up()
    told = [record for record in caplog.records if record.msg == "views are being built"]
    assert [(record.views, record.seen, record.entries) for record in told] == [  # type: ignore[attr-defined]
        ("counting, search", 14, 30),
        ("counting, search", 21, 30),
    ]
    projected.close()


def test_a_started_runner_follows_until_it_is_stopped(projected: Projected) -> None:
    append(projected.store, bodies_of(10))
    projected.runner.start()
    assert projected.runner.wait(9, PATIENCE_SECONDS)
    assert not projected.runner.wait(10, 0.0)
    append(projected.store, bodies_of(10))
    projected.runner.notify(20)
    assert projected.runner.wait(19, PATIENCE_SECONDS, view="search")
    assert len(projected.markers()) == 20
    projected.runner.stop()
    projected.runner.stop()
    assert not projected.runner.wait(20, PATIENCE_SECONDS), "a stopped runner keeps nobody waiting"


def test_a_lost_notification_only_costs_time(projected: Projected) -> None:
    projected.runner.start()
    append(projected.store, bodies_of(3))
    assert projected.runner.wait(2, PATIENCE_SECONDS)


def test_lag_counts_what_the_log_has_more(projected: Projected) -> None:
    append(projected.store, bodies_of(5))
    projected.runner.notify(5)
    assert projected.runner.lag == 5
    projected.runner.catch_up()
    assert projected.runner.lag == 0


def test_a_log_that_is_away_for_a_while_is_followed_when_it_is_back(
    tmp_path: pathlib.Path,
) -> None:
    store = FaultyLogStore(empty_log())
    append(store, bodies_of(5))
    store.fail(At.HEAD, times=3)
    projected = Projected(tmp_path, store)
    projected.runner.start()
    assert projected.runner.wait(4, PATIENCE_SECONDS)
    name = "deploymark_projection_failures_total{code=store_unavailable}"
    assert projected.meter.counts[name] == 3
    projected.close()


def test_a_log_that_does_not_add_up_ends_the_runner_but_not_the_answers(
    tmp_path: pathlib.Path,
) -> None:
    store = FaultyLogStore(empty_log())
    append(store, bodies_of(5))
    projected = Projected(tmp_path, store)
    projected.runner.catch_up()
    store.fail(At.HEAD, LogBrokenError("Forked."))
    projected.runner.start()
    projected.runner._thread.join(PATIENCE_SECONDS)
    assert not projected.runner._thread.is_alive()
    assert len(projected.markers()) == 5
    assert projected.meter.counts["deploymark_projection_failures_total{code=log_broken}"] == 1
    projected.close()


def test_an_entry_that_nobody_understands_is_skipped_counted_and_shown(
    tmp_path: pathlib.Path,
) -> None:
    view = CountingView()
    view.disliked = {4}
    projected = Projected(tmp_path, views=[view])
    later = leaf_of(marker(1))
    later.dsse.signatures.clear()
    unknown = encode_leaf(later).replace(b"deploymark.marker.v1", b"deploymark.marker.v9")
    append(projected.store, [*bodies_of(1), b"no leaf", unknown, *bodies_of(3)])
    projected.runner.catch_up()
    assert projected.markers() == [5, 4, 3, 0]
    assert view.read(projected.views) == [0, 3, 5]
    shown = [(each.index, each.code) for each in projected.runner.skipped("counting")]
    assert shown == [(4, "defect"), (2, "unknown_schema_version"), (1, "bad_marker")]
    assert [each.index for each in projected.runner.skipped("search", limit=1)] == [2]
    assert projected.meter.counts["deploymark_projection_skipped_total{code=defect,view=counting}"]
    projected.close()


def test_who_waited_before_the_start_learns_what_was_there_already(tmp_path: pathlib.Path) -> None:
    store = empty_log()
    append(store, bodies_of(3))
    first = Projected(tmp_path, store)
    first.runner.catch_up()
    first.close()

    second = Projected(tmp_path, store)
    seen: list[bool] = []
    waiting = threading.Thread(target=lambda: seen.append(second.runner.wait(2, 600.0)))
    waiting.start()
    second.runner.start()
    waiting.join(PATIENCE_SECONDS)
    assert seen == [True]
    second.close()


# Beginning anew ----------------------------------------------------------------------------------


def test_a_view_of_another_version_is_rebuilt_alone(tmp_path: pathlib.Path) -> None:
    store = empty_log()
    append(store, bodies_of(30))
    first = Projected(tmp_path, store, [CountingView()])
    first.runner.catch_up()
    first.close()

    view = CountingView(version=2)
    second = Projected(tmp_path, store, [view])
    second.runner.catch_up()
    assert view.read(second.views) == list(range(30))
    rebuilds = {
        name: count for name, count in second.meter.counts.items() if "projection_rebuilds" in name
    }
    assert rebuilds == {"deploymark_projection_rebuilds_total{view=counting,why=definition}": 1}
    with second.views.reading() as connection:
        old = "SELECT count(*) FROM sqlite_schema WHERE name = 'counting_v1'"
        assert connection.exec_driver_sql(old).scalar() == 0
    second.close()


def test_a_rebuild_of_one_view_does_not_hold_up_the_others(tmp_path: pathlib.Path) -> None:
    store = empty_log()
    append(store, bodies_of(30))
    first = Projected(tmp_path, store)
    first.runner.catch_up()
    first.close()

    append(store, bodies_of(2))
    view = CountingView()
    second = Projected(tmp_path, store, [view])
    second.runner._prepare()
    assert second.runner._step()
    assert (second.runner.position("search"), second.runner.position("counting")) == (32, 7)
    second.runner.catch_up()
    assert view.read(second.views) == list(range(32))
    second.close()


@pytest.mark.parametrize("count", [3, 10, 12], ids=["shorter", "as long", "longer"])
def test_a_view_of_another_log_is_rebuilt(tmp_path: pathlib.Path, count: int) -> None:
    first = Projected(tmp_path)
    append(first.store, bodies_of(10))
    first.runner.catch_up()
    first.close()

    second = Projected(tmp_path)
    append(second.store, bodies_of(count, owner="someone else"))
    second.runner.catch_up()
    assert second.markers() == list(range(count))[::-1]
    assert second.meter.counts["deploymark_projection_rebuilds_total{view=search,why=log}"] == 1
    second.close()


def _delete(path: pathlib.Path) -> None:
    path.unlink()


def _empty(path: pathlib.Path) -> None:
    path.write_bytes(b"")


def _halve(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _overwrite(path: pathlib.Path) -> None:
    path.write_bytes(b"\xa5" * path.stat().st_size)


def _overwrite_all_but_the_header(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[:100] + b"\xa5" * (path.stat().st_size - 100))


def _overwrite_the_tables(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[:8192] + b"\xa5" * (path.stat().st_size - 8192))


def _drop_a_table(path: pathlib.Path) -> None:
    program = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('DROP TABLE search_entry')"
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)


DAMAGES = {
    "deleted": _delete,
    "empty": _empty,
    "half of it": _halve,
    "something else": _overwrite,
    "something else behind its header": _overwrite_all_but_the_header,
    "something else behind its schema": _overwrite_the_tables,
    "without a table": _drop_a_table,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_after_damage_the_answers_are_the_same(tmp_path: pathlib.Path, damage: object) -> None:
    assert callable(damage)
    store = empty_log()
    append(store, bodies_of(40))
    first = Projected(tmp_path, store)
    first.runner.catch_up()
    wanted = _answers(first)
    first.close()
    assert not first.path.with_name("views.db-wal").exists()
    damage(first.path)

    second = Projected(tmp_path, store)
    second.runner.start()
    answers: list[list[int]] | None = None
    while answers is None:  # asking may be what finds the damage
        assert second.runner.wait(39, PATIENCE_SECONDS)
        try:
            # Until it is rebuilt an answer says how much of the log it rests on.
            if second.search.markers(MarkerQuery()).as_of == 40:
                answers = _answers(second)
        except StoreUnavailableError:
            answers = None
    assert answers == wanted
    second.close()


def test_a_file_damaged_under_a_running_process_is_replaced(tmp_path: pathlib.Path) -> None:
    store = empty_log()
    append(store, bodies_of(40))
    projected = Projected(tmp_path, store)
    projected.runner.catch_up()
    wanted = _answers(projected)
    with projected.views.writing() as connection:
        connection.exec_driver_sql("DROP TABLE search_posting")
    with pytest.raises(StoreUnavailableError, match="built again from the log"):
        projected.markers()
    with pytest.raises(StoreUnavailableError, match="being built"):
        projected.markers()
    projected.runner.catch_up()
    assert _answers(projected) == wanted
    projected.close()


def test_a_file_is_not_replaced_under_a_reader(projected: Projected) -> None:
    append(projected.store, bodies_of(3))
    projected.runner.catch_up()
    replacing = threading.Thread(target=projected.views.replace)
    with projected.views.reading() as connection:
        replacing.start()
        assert connection.exec_driver_sql("SELECT count(*) FROM search_entry").scalar() == 3
        assert projected.path.exists()
    replacing.join(PATIENCE_SECONDS)
    assert not projected.path.exists()


# A process that dies -----------------------------------------------------------------------------

_CHILD = """
import os, pathlib, signal, sys
from projected_log import Projected, append, bodies_of, empty_log
from deploymark.projections import runner as following

following.BATCH_ENTRIES = 5
store = empty_log()
append(store, bodies_of(4_000))
projected = Projected(pathlib.Path(sys.argv[1]), store)
runner = projected.runner
runner.start()
while runner.position() < 4_000 and not runner.wait(runner.position(), 1.0):
    pass
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_killed_at_work_leaves_no_gap_and_nothing_twice(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "BATCH_ENTRIES", 2_048)
    store = empty_log()
    append(store, bodies_of(4_000))
    killed_at = []
    for _ in range(2):
        # It kills itself while another thread of it follows: a parent may come too late.
        child = subprocess.run(
            [sys.executable, "-c", _CHILD, str(tmp_path)],
            cwd=pathlib.Path(__file__).parent,
            timeout=PATIENCE_SECONDS * 6,
            check=False,
        )
        assert child.returncode == -signal.SIGKILL
        looking = Projected(tmp_path, store)
        looking.runner._prepare()
        killed_at.append(looking.runner.position())
        assert looking.markers() == list(range(killed_at[-1]))[::-1]
        looking.close()
    assert 0 < killed_at[0] <= killed_at[1] < 4_000

    going_on = Projected(tmp_path, store)
    going_on.runner.catch_up()
    (tmp_path / "anew").mkdir()
    anew = Projected(tmp_path / "anew", store)
    anew.runner.catch_up()
    assert _dump(going_on) == _dump(anew)
    assert _answers(going_on) == _answers(anew)
    going_on.close()
    anew.close()


def _dump(projected: Projected) -> list[list[tuple[object, ...]]]:
    with projected.views.reading() as connection:
        return [
            sorted(tuple(row) for row in connection.execute(select(table)))
            for table in SearchView.metadata.sorted_tables
        ]
