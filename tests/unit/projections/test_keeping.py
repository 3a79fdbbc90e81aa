"""What a scope of the broker brings back of what it had forgotten."""

import pathlib
import sqlite3
from contextlib import closing

import msgspec
import pytest
from projected_log import Projected, digest, leaf_of, marker

from deploymark.projections import runner
from deploymark.projections.broker.keeping import MAX_RECALLED
from deploymark.projections.broker.scope import KEPT_RUNS, WINDOW, Settled
from deploymark.projections.broker.sweep import State
from deploymark.projections.broker.tables import METADATA
from deploymark.projections.broker.view import BrokerView

_COUNT = WINDOW * 3 + 100
"""Deployments that are planned and never heard of again."""


def planned(folder: pathlib.Path) -> pathlib.Path:
    """Return the views of a service that only ever plans."""
    projected = Projected(folder, views=[BrokerView()])
    artifacts = [{"artifact": {"digest": digest(str(n))}} for n in range(_COUNT)]
    said = [{"service": "plans", "phase": "planned", **artifact} for artifact in artifacts]
    projected.add(*(leaf_of(marker(n, **fields)) for n, fields in enumerate(said)))
    projected.views.close()
    return projected.path


def rows_of(path: pathlib.Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as base:
        return {
            name: sorted(base.execute(f'SELECT * FROM "{name}"'), key=repr)  # noqa: S608
            for name in METADATA.tables
        }


def test_a_service_whose_runs_never_end_is_not_remembered_without_end(
    tmp_path: pathlib.Path,
) -> None:
    with closing(sqlite3.connect(planned(tmp_path))) as base:
        (raw,) = base.execute("SELECT settled FROM broker_scope").fetchone()
        (shown,) = base.execute("SELECT count(*) FROM broker_run").fetchone()
    settled = msgspec.msgpack.decode(raw, type=Settled)
    remembered = msgspec.msgpack.decode(settled.base, type=State).runs
    assert shown == _COUNT
    assert KEPT_RUNS <= len(remembered) < KEPT_RUNS + MAX_RECALLED


def test_what_is_brought_back_does_not_depend_on_what_was_read_at_once(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, entries in (("one", 2_048), ("other", 97)):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(runner, "BATCH_ENTRIES", entries)
        planned(tmp_path / name)
    assert rows_of(tmp_path / "one" / "views.db") == rows_of(tmp_path / "other" / "views.db")
