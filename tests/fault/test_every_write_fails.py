"""Every call that changes a file fails once, fails on, stops halfway or is the last one.

After each, the log is opened where nothing fails, and every promise it made is checked; after a
failure that goes away, the same process must have gone on by itself.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from faultfs import Action, Fault
from machine import Machine, Run, each_fault

pytestmark = [pytest.mark.fault, pytest.mark.long]

# The workload offers some 2,200 faults. `make test` tries every fourth one, because they take
# minutes: two ways at each call, and each way at every fourth call. `make soak` tries the others
# as well, and each also with a reader beside.
_PARTS = 16
_SOME = [pytest.param(part, marks=pytest.mark.soak if part % 4 else ()) for part in range(_PARTS)]
_SHOWN = 5
_AT_ONCE = 16  # logs that one process looks through


def disturb(place: Machine, fault: Fault, data: Path, *, beside: bool) -> tuple[Run, list[str]]:
    """Run the workload with one fault; return how it went, and what went wrong by then."""
    # Power must fail before a later commit syncs the file: right after the step recovered.
    die_recovered = fault.power_loss and not fault.kills
    run = place.ask(
        "workload",
        args={"path": str(data), "beside": beside, "die_recovered": die_recovered},
        below=str(data.parent),
        fresh=True,
        power_loss=fault.power_loss,
        fault=fault.fields(),
    )
    found = run.faults(may_die=fault.kills or die_recovered)
    if not (run.hit or beside):
        found.append("No call was hit.")
    return run, found


def try_some(place: Machine, faults: Sequence[Fault], *, beside: bool) -> Iterator[list[str]]:
    """Run the workload with each fault, have the logs checked; yield what went wrong with each."""
    with ExitStack() as stack:
        logs, ran = [], []
        for fault in faults:
            data = stack.enter_context(place.copy_of_template())
            run, found = disturb(place, fault, data, beside=beside)
            logs.append((data, run.promises))
            ran.append((f"{fault} ({run.hit})", found))
        for (told, found), broken in zip(ran, place.check_all(logs), strict=True):
            yield [f"{told}: {sentence}" for sentence in (*found, *broken)]


def try_all(place: Machine, faults: Sequence[Fault], *, beside: bool = False) -> None:
    """Try faults one by one and show the first few that broke something."""
    broken = [
        found
        for start in range(0, len(faults), _AT_ONCE)
        for found in try_some(place, faults[start : start + _AT_ONCE], beside=beside)
        if found
    ]
    shown = "\n".join(sentence for found in broken[:_SHOWN] for sentence in found)
    assert not broken, f"{len(broken)} of {len(faults)} faults broke something:\n{shown}"


def test_the_workload_writes_to_every_file_a_log_has(calls: list[str]) -> None:
    for call in (
        "pwrite64 data/log.db-wal",
        "fdatasync data/log.db-wal",
        "pwrite64 data/log.db",
        "fdatasync data/log.db",
        "write data.guard.new",
        "fsync data.guard.new",
        "rename data.guard",
        "fsync .",
    ):
        assert call in calls


@pytest.mark.parametrize("part", _SOME)
def test_no_promise_breaks_whichever_write_fails(
    place: Machine, calls: list[str], part: int
) -> None:
    try_all(place, each_fault(calls)[part::_PARTS])


@pytest.mark.soak
@pytest.mark.parametrize("part", range(_PARTS))
def test_no_promise_breaks_while_a_reader_looks_on(
    place: Machine, calls: list[str], part: int
) -> None:
    try_all(place, each_fault(calls)[part::_PARTS], beside=True)


def test_what_a_failed_sync_left_behind_is_not_acknowledged(
    place: Machine, calls: list[str]
) -> None:
    """The disk takes writes and refuses to sync; then power fails with the fault still there."""
    faults = [
        fault for fault in each_fault(calls) if fault.action is Action.SYNC_EIO and fault.power_loss
    ]
    try_all(place, faults)


def test_what_a_killed_process_left_unsynced_is_synced_before_it_is_acknowledged(
    place: Machine, calls: list[str]
) -> None:
    """Killed before a sync; the next process gets the same entries again; then power fails."""
    broken = []
    syncs = [n for n, call in enumerate(calls, 1) if call == "fdatasync data/log.db-wal"]
    for nth in syncs:
        fault = Fault(nth, Action.KILL_BEFORE)
        with place.copy_of_template() as data:
            below = str(data.parent)
            place.ask("forget", fresh=True, power_loss=True)
            first = place.ask(
                "workload", args={"path": str(data)}, fault=fault.fields(), below=below
            )
            step = max(first.all_of("step"), default=0)
            again = place.ask("once", args={"path": str(data), "step": step}, below=below)
            lost = place.ask("power_loss", power_loss=True).lost
            found = again.faults(may_die=True)
            found += place.check(data, [*first.promises, *again.promises])
        broken += [f"{fault}, step {step}, {lost} writes lost: {sentence}" for sentence in found]
    assert not broken, "\n".join(broken)
