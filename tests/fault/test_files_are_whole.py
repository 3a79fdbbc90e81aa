"""What is put in place whole is there whole or not at all: data directory, guard, export."""

import shutil
from pathlib import Path

import pytest
from faultfs import Action, Fault
from machine import Machine, Run, each_fault, sample

pytestmark = pytest.mark.fault

# Of some 700 faults of `log init`.
_CREATIONS_TRIED = 60
# Of some 110.
_EXPORTS_TRIED = 45


def _names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def _under(place: Machine, below: Path, fault: Fault, job: str, **args: object) -> Run:
    return place.ask(
        job,
        args=args,
        below=str(below),
        fresh=True,
        power_loss=fault.power_loss,
        fault=fault.fields(),
    )


def _calls(place: Machine, below: Path, job: str, **args: object) -> list[str]:
    run = place.ask(job, args=args, below=str(below), trace=True)
    assert run.faults() == []
    assert run.all_of("done")
    return run.calls


def _creation(place: Machine, fault: Fault) -> list[str]:
    folder = place.empty_folder()
    data = folder / "data"
    run = _under(place, folder, fault, "init", path=str(data))
    found = run.faults(may_die=fault.kills)
    if not run.hit:
        found.append("No call was hit.")
    if not data.exists():
        # Nothing there: the same command must succeed now.
        found += place.ask("init", args={"path": str(data)}).faults()
    found += place.check(data, [])
    return [f"{fault} ({run.hit}): {sentence}" for sentence in found]


def _creations(place: Machine) -> list[Fault]:
    folder = place.empty_folder()
    return each_fault(_calls(place, folder, "init", path=str(folder / "data")))


def test_a_log_is_created_whole_or_not_at_all(place: Machine) -> None:
    faults = sample(_creations(place), _CREATIONS_TRIED)
    broken = [sentence for fault in faults for sentence in _creation(place, fault)]
    assert not broken, "\n".join(broken[:10])


@pytest.mark.soak
def test_a_log_is_created_whole_or_not_at_all_for_every_fault_there_is(place: Machine) -> None:
    broken = [s for fault in _creations(place) for s in _creation(place, fault)]
    assert not broken, "\n".join(broken[:10])


def test_a_failed_creation_leaves_no_draft_behind(place: Machine) -> None:
    folder = place.empty_folder()
    calls = _calls(place, folder, "init", path=str(folder / "data"))
    for nth in range(1, len(calls) + 1, 5):
        again = place.empty_folder()
        _under(place, again, Fault(nth, Action.EIO), "init", path=str(again / "data"))
        # The guard's draft has a fixed name, and the next publication writes over it.
        assert _names(again) <= {"data", "data.guard", "data.guard.new"}, (
            f"EIO at call {nth}, {calls[nth - 1]}"
        )


def test_the_guard_is_the_old_one_or_the_new_one(place: Machine) -> None:
    folder = place.empty_folder()
    calls = _calls(place, folder, "guard", path=str(folder / "g"), size=1)
    for fault in each_fault(calls):
        again = place.empty_folder()
        guard = str(again / "g")
        assert place.ask("guard", args={"path": guard, "size": 1}).faults() == []
        run = _under(place, again, fault, "guard", path=guard, size=2)
        assert run.faults(may_die=fault.kills) == [], str(fault)
        sizes = place.ask("read_guard", args={"path": guard}).all_of("size")
        done = bool(run.all_of("done")) and not run.all_of("refused")
        assert sizes in ([[2]] if done else [[1], [2]]), str(fault)


def _exported(place: Machine, data: Path, target: Path) -> list[str]:
    return place.ask("export", args={"path": str(data), "target": str(target)}).faults()


def _export(
    place: Machine, logs: tuple[Path, Path, Path], fault: Fault, *, first: bool
) -> list[str]:
    """Export to a new directory, or let an older export grow, with a fault; then let it grow."""
    older, data, newer = logs
    target = place.empty_folder() / "site"
    found = [] if first else _exported(place, older, target)
    run = _under(place, target, fault, "export", path=str(data), target=str(target))
    found += run.faults(may_die=fault.kills)
    check = place.ask("check_export", args={"target": str(target), "interrupted": True})
    found += [f"left behind: {sentence}" for sentence in check.faults()]
    if not first and check.all_of("size") == []:
        found.append("The older checkpoint is gone.")
    found += _exported(place, newer, target)
    check = place.ask("check_export", args={"target": str(target), "interrupted": False})
    found += [f"after the next export: {sentence}" for sentence in check.faults()]
    return [f"{fault} ({run.hit}): {sentence}" for sentence in found]


@pytest.mark.parametrize("first", [True, False], ids=["a new one", "one that grows"])
def test_an_export_covers_its_checkpoint_whichever_write_fails(
    place: Machine, *, first: bool
) -> None:
    older = place.folder / "template" / "data"
    with place.copy_of_template() as data:
        assert place.ask("grow", args={"path": str(data), "by": 8}).faults() == []
        newer = data.with_name("newer")
        shutil.copytree(data, newer)
        shutil.copy(data.with_name("data.guard"), data.with_name("newer.guard"))
        assert place.ask("grow", args={"path": str(newer), "by": 12}).faults() == []
        target = place.empty_folder() / "site"
        assert first or _exported(place, older, target) == []
        calls = _calls(place, target, "export", path=str(data), target=str(target))
        faults = sample(each_fault(calls), _EXPORTS_TRIED)
        logs = (older, data, newer)
        broken = [s for fault in faults for s in _export(place, logs, fault, first=first)]
    assert not broken, f"of {len(faults)} faults:\n" + "\n".join(broken[:10])
