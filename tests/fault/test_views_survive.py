"""Whoever follows the log is killed, and its disk refuses: the views are as if nothing had been.

Every table is compared, the runner's own too: where they were stopped and in which batches they
were fed must leave no trace.
"""

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from faultfs import Action, Fault
from fleet_log import write_fleet_log
from machine import Machine, Run

pytestmark = [pytest.mark.fault, pytest.mark.long]

_BATCH, _OTHER_BATCH = 48, 1_000
_KILLS = 8
_LEAST_SECONDS, _MOST_SECONDS = 0.02, 0.5
_FAULTS = 2

Tables = dict[str, list[str]]


class Followed:
    """A log, and views that are fed from it by processes of their own.

    Args:
        place: Where they run.
        log: The log.
        size: How many entries it has.
    """

    def __init__(self, place: Machine, log: Path, size: int) -> None:
        self._place = place
        self._log = log
        self.size = size
        self.begin_anew()

    def begin_anew(self) -> None:
        """Feed other views from here on."""
        self.views = self._place.empty_folder() / "views.db"

    def follow(self, batch: int = _BATCH, **how: Any) -> Run:  # noqa: ANN401 - as `ask`
        """Let one process feed the views, to the end of the log unless something stops it."""
        args = {"log": str(self._log), "views": str(self.views), "batch": batch}
        run = self._place.ask("follow", args=args, below=str(self.views.parent), **how)
        assert not run.faults(may_die=True), run.faults(may_die=True)
        return run

    def whole(self) -> Tables:
        """Return what the views hold once they have seen all of the log."""
        assert self.follow().all_of("size") == [self.size]
        with closing(sqlite3.connect(self.views)) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return {
                name: sorted(map(repr, connection.execute(f'SELECT * FROM "{name}"')))  # noqa: S608
                for (name,) in names.fetchall()
            }


@pytest.fixture(scope="module")
def followed(place: Machine) -> Followed:
    """A log and the views over it."""
    log = place.empty_folder() / "log.db"
    return Followed(place, log, write_fleet_log(log))


@pytest.fixture(scope="module")
def undisturbed(followed: Followed) -> Tables:
    """The views as one process builds them from nothing."""
    followed.begin_anew()
    tables = followed.whole()
    assert len(tables["broker_run"]) > 200, "releases"
    assert tables["broker_scope"], "something is settled"
    assert not tables["projection_skipped"]
    return tables


@pytest.fixture(scope="module")
def writes(followed: Followed, undisturbed: Tables) -> list[int]:  # noqa: ARG001 - warmed up
    """Which calls write while the views are built undisturbed."""
    followed.begin_anew()
    calls = followed.follow(trace=True).calls
    return [number for number, call in enumerate(calls, 1) if "write" in call.partition(" ")[0]]


@pytest.mark.parametrize("seed", range(3))
def test_views_are_whole_however_often_who_follows_is_killed(
    followed: Followed, undisturbed: Tables, seed: int
) -> None:
    chance = random.Random(seed)
    followed.begin_anew()
    followed.follow(fresh=True, power_loss=True, kill_after=0.0)
    killed = 0
    for _ in range(_KILLS):
        after = chance.uniform(_LEAST_SECONDS, _MOST_SECONDS)
        run = followed.follow(kill_after=after, power_loss=chance.random() < 0.3)
        killed += run.exit < 0
    assert killed > 1, "nobody was killed in the middle of it"
    assert followed.whole() == undisturbed


def test_views_that_were_deleted_are_built_again_as_they_were(
    followed: Followed, undisturbed: Tables
) -> None:
    followed.begin_anew()
    followed.follow(_OTHER_BATCH)
    for file in followed.views.parent.iterdir():
        file.unlink()
    followed.follow(_OTHER_BATCH)
    assert followed.whole() == undisturbed


@pytest.mark.parametrize("action", [Action.EIO, Action.ENOSPC, Action.KILL_AFTER])
def test_a_batch_that_the_disk_refused_is_done_again_and_counts_once(
    followed: Followed, undisturbed: Tables, writes: list[int], action: Action
) -> None:
    refused = 0
    for each in range(_FAULTS):
        followed.begin_anew()
        nth = writes[(2 * each + 1) * len(writes) // (2 * _FAULTS)]
        run = followed.follow(fault=Fault(nth, action).fields())
        assert run.hit, f"call {nth} never came"
        refused += bool(run.all_of("unavailable")) or run.exit < 0
        assert followed.whole() == undisturbed, f"{action.name} at {run.hit}"
    assert refused, "no commit failed"
