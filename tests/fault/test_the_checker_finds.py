"""The checker of these tests reports what it is there to report.

One thing no kill can show is a missing sync, because what a killed process wrote survives in the
page cache. Only the power loss shows it, so that is what is asked of it here.
"""

import shutil
from pathlib import Path

import pytest
from machine import Machine
from sabotage import change

pytestmark = pytest.mark.fault

_KILLS = 3
_ATTEMPTS = 30


def _promises(place: Machine, data: Path) -> list[list[object]]:
    run = place.ask("workload", args={"path": str(data)})
    assert run.faults() == []
    return run.promises


def _killed_load(place: Machine, sabotaged: str, *, power_loss: bool) -> list[str]:
    """Kill a sabotaged log under load a few times; return what the checker says.

    On a busy machine one may be killed before it promised anything, which shows nothing.
    """
    found: list[str] = []
    told = 0
    for seed in range(_ATTEMPTS):
        with place.copy_of_template() as data:
            run = place.ask(
                "load",
                args={"path": str(data), "seed": seed, "sabotaged": sabotaged},
                below=str(data.parent),
                kill_after=0.15,
                fresh=True,
                power_loss=power_loss,
            )
            assert run.exit < 0
            found += place.check(data, run.promises)
            told += bool(run.promises)
        if told == _KILLS:
            return found
    pytest.fail(f"Of {_ATTEMPTS} only {told} promised anything before they were killed.")


def test_a_whole_log_is_not_complained_about(place: Machine) -> None:
    with place.copy_of_template() as data:
        assert place.check(data, _promises(place, data)) == []


def test_acknowledging_before_the_commit_is_found_by_a_kill(place: Machine) -> None:
    found = _killed_load(place, "acknowledge before commit", power_loss=False)
    # Lost, or in the place of what came next: whichever the kill hit.
    assert any(
        "was acknowledged; the log has" in sentence or "is not the one that was ack" in sentence
        for sentence in found
    ), found


def test_never_syncing_is_found_by_a_power_loss(place: Machine) -> None:
    found = _killed_load(place, "never sync", power_loss=True)
    # Where something was published meanwhile, the guard already refuses to open such a log.
    assert any("log_rolled_back" in s or "was acknowledged; the log has" in s for s in found), found


def test_never_syncing_is_not_found_by_a_kill_alone(place: Machine) -> None:
    assert _killed_load(place, "never sync", power_loss=False) == []


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        pytest.param(["DELETE FROM entry WHERE idx = 250"], "Entry 250 is missing", id="row lost"),
        pytest.param(
            [
                "UPDATE entry SET idx = -1 WHERE idx = 250",
                "UPDATE entry SET idx = 250 WHERE idx = 251",
                "UPDATE entry SET idx = 251 WHERE idx = -1",
            ],
            "Entry 250 is not the one that was acknowledged",
            id="two rows change places",
        ),
        pytest.param(
            ["DELETE FROM checkpoint WHERE size = 253"],
            "checkpoint of size 253 is gone",
            id="publication lost",
        ),
        pytest.param(["DELETE FROM detail"], "was acknowledged and is gone", id="content lost"),
    ],
)
def test_a_change_of_stored_rows_is_found(
    place: Machine, statements: list[str], expected: str
) -> None:
    with place.copy_of_template() as data:
        promises = _promises(place, data)
        change(data / "log.db", *statements)
        found = place.check(data, promises)
    assert any(expected in sentence for sentence in found), found


def test_a_fork_is_found_where_each_branch_is_whole(place: Machine) -> None:
    """An older copy comes back without its guard, and other entries are written to it."""
    with place.copy_of_template() as data:
        copy = data.with_name("older")
        shutil.copytree(data, copy)
        shutil.copy(data.with_name("data.guard"), data.with_name("older.guard"))
        promises = _promises(place, data)
        assert place.check(copy, [], go_on="another branch") == []
        assert place.check(copy, [], go_on="and on") == []
        assert place.check(copy, [], go_on="and on") == []
        assert place.check(copy, [], go_on="until it is longer") == []
        assert place.check(copy, [], go_on="than the first") == []
        assert place.check(copy, [], go_on="than the first") == []
        found = place.check(copy, promises)
    assert any("does not extend a checkpoint" in sentence for sentence in found), found


def test_erased_content_that_stays_in_a_file_is_found(place: Machine) -> None:
    with place.copy_of_template() as data:
        promises = _promises(place, data)
        content = next(promise[1] for promise in promises if promise[0] == "Erased")
        (data / "log.db-journal").write_text(str(content), encoding="utf-8")
        found = place.check(data, promises)
    assert "Erased content is still in log.db-journal." in found
