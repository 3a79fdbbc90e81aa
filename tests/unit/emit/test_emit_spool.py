"""The spool directory: adoption, orphans, bounds, kills, forks, disks that refuse, strangers."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from emit_samples import SampleHost

from deploymark.emit.journal import Record
from deploymark.emit.spool import Parcel, Spool

_MAX = 1_000_000
_SERVER = "https://a.example"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "spool"


def _spool(
    folder: Path,
    emitter: str = "someone",
    host: SampleHost | None = None,
    server: str = _SERVER,
) -> Spool:
    return Spool(str(folder), emitter, server, _MAX, host or SampleHost())


def _append(
    spool: Spool, deployment: str = "d-one", priority: int = 1, size: int = 10
) -> tuple[str, int]:
    def make(epoch: str, number: int) -> Record:
        body = json.dumps({"epoch": epoch, "sequence": number, "text": "x" * size}).encode()
        return Record(priority, deployment, body)

    place = spool.append(make)
    return place.epoch, place.number


def _keys(parcels: list[Parcel]) -> list[tuple[str, int]]:
    return [(parcel.epoch, parcel.number) for parcel in parcels]


def _drain(spool: Spool) -> list[tuple[str, int]]:
    """Settle everything there is, own and orphaned, and return what it was."""
    found = []
    spool.open()
    own = spool.plan()
    spool.settle([(parcel, "delivered") for parcel in own])
    found += _keys(own)
    for parcels in spool.orphans():
        found += _keys(parcels)
        spool.settle([(parcel, "delivered") for parcel in parcels])
    return found


def test_ten_processes_one_after_the_other_number_in_one_epoch(folder: Path) -> None:
    places = []
    for _ in range(10):
        spool = _spool(folder)
        places.append(_append(spool))
        spool.close()
    assert [number for _, number in places] == list(range(10))
    assert len({epoch for epoch, _ in places}) == 1


def test_two_at_once_have_two_epochs(folder: Path) -> None:
    first, second = _spool(folder), _spool(folder)
    assert _append(first)[0] != _append(second)[0]
    first.close()
    second.close()


def test_another_emitter_never_numbers_in_the_journal_of_the_first(folder: Path) -> None:
    first = _spool(folder)
    epoch, _ = _append(first)
    first.close()
    second = _spool(folder, emitter="someone else")
    assert _append(second)[0] != epoch
    second.close()


@pytest.mark.parametrize("later", [SampleHost(boot="boot-2"), SampleHost(name="host-b")])
def test_after_a_new_start_of_the_host_there_is_a_new_epoch_and_nothing_is_lost(
    folder: Path, later: SampleHost
) -> None:
    before = _spool(folder)
    old = _append(before)
    before.close()
    after = _spool(folder, host=later)
    new = _append(after)
    assert new[0] != old[0]
    assert _drain(after) == [new, old]
    after.close()
    assert len(list(folder.glob("*.journal"))) == 1, "the drained one is gone"


def test_an_orphan_is_drained_by_any_later_call_but_not_while_its_owner_lives(
    folder: Path,
) -> None:
    owner = _spool(folder)
    left = _append(owner)
    later = _spool(folder, emitter="someone else")
    assert _drain(later) == []
    owner.close()
    assert _drain(later) == [left]
    assert _drain(later) == []
    later.close()
    goes_on = _spool(folder)
    assert _append(goes_on) == (left[0], 1)
    goes_on.close()


def test_what_is_for_another_server_is_neither_numbered_in_nor_delivered(folder: Path) -> None:
    first = _spool(folder)
    left = _append(first)
    first.close()
    other = _spool(folder, server="https://b.example")
    own = _append(other)
    assert own[0] != left[0]
    assert _drain(other) == [own]
    other.close()
    again = _spool(folder)
    assert _append(again) == (left[0], 1)
    assert len(_drain(again)) == 2
    again.close()


def test_a_name_that_lies_about_the_server_is_found_out(folder: Path) -> None:
    first, other = _spool(folder), _spool(folder, server="https://b.example")
    _append(first)
    own = _append(other)
    first.close()
    (path,) = (each for each in folder.iterdir() if own[0] not in each.name)
    (others,) = (each for each in folder.iterdir() if own[0] in each.name)
    path.rename(folder / f"{others.name.rpartition('-')[0]}-renamed.journal")
    assert _drain(other) == [own]
    other.close()


def test_where_the_head_is_damaged_the_name_says_for_which_server_it_is(folder: Path) -> None:
    spool = _spool(folder)
    _append(spool)
    spool.close()
    (path,) = folder.glob("*.journal")
    path.write_bytes(path.read_bytes().replace(b"someone", b"someome"))
    for server, count in [("https://b.example", 0), (_SERVER, 1)]:
        later = _spool(folder, server=server)
        assert len(_drain(later)) == count
        later.close()


def _holding(folder: Path, text: bytes) -> list[str]:
    return [each.name for each in folder.iterdir() if text in each.read_bytes()]


DAMAGES = {
    "sound": (b"", b""),
    "of another boot": (b"", b""),
    "of a damaged head": (b"someone", b"someome"),
    "with a damaged line": (b" 2 1 d-one", b" 2 1 d-two"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_must_not_stay_is_cut_out_of_a_journal_that_is(folder: Path, name: str) -> None:
    spool = _spool(folder)
    for text in ("first", "hunter2", "third", "fourth"):
        spool.append(lambda _e, _n, text=text: Record(1, "d-one", text.encode()))  # type: ignore[misc]
    spool.close()
    (path,) = folder.glob("*.journal")
    path.write_bytes(path.read_bytes().replace(*DAMAGES[name]))
    assert _holding(folder, b"hunter2")
    host = SampleHost(boot="boot-2") if name == "of another boot" else None
    later = _spool(folder, host=host, server=_SERVER)
    later.open()
    for parcels in later.orphans():
        by_number = {parcel.number: parcel for parcel in parcels}
        later.expunge([by_number[1]])
        assert _holding(folder, b"hunter2") == []
        assert later.body(by_number[0]) == b"first"
        assert later.body(by_number[3]) == b"fourth"
    left = [parcel.number for parcels in later.orphans() for parcel in parcels]
    assert left == ([0, 3] if name == "with a damaged line" else [0, 2, 3])
    later.close()
    again = _spool(folder)
    _, number = _append(again)
    assert number == (4 if name == "sound" else 0), "a file that was cut is no longer its own"
    again.close()


def test_the_most_important_deployment_comes_first_and_in_its_own_order(folder: Path) -> None:
    spool = _spool(folder)
    for deployment, priority in [("d-b", 2), ("d-a", 1), ("d-c", 1), ("d-a", 0), ("d-b", 2)]:
        _append(spool, deployment, priority)
    assert [number for _, number in _keys(spool.plan())] == [1, 3, 2, 0, 4]
    assert [number for _, number in _keys(spool.plan("d-b"))] == [0, 4, 1, 3, 2]
    spool.close()


def test_a_damaged_journal_is_drained_and_set_aside(folder: Path) -> None:
    spool = _spool(folder)
    keys = [_append(spool) for _ in range(3)]
    spool.close()
    (path,) = folder.glob("*.journal")
    content = path.read_bytes()
    path.write_bytes(content.replace(b" 1 1 d-one", b" 1 1 d-two"))
    later = _spool(folder)
    new = _append(later)
    assert new[0] != keys[0][0], "numbering goes on elsewhere"
    assert _drain(later) == [new, keys[0], keys[2]]
    assert later.counts().set_aside == 1
    assert [each.name for each in folder.glob("*.corrupt")] == [f"{path.name}.corrupt"]
    later.close()


def test_noise_in_the_directory_harms_nobody(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    (folder / "noise.journal").write_bytes(os.urandom(500) + b"\n")
    (folder / "empty.journal").write_bytes(b"")
    (folder / "folder.journal").mkdir()
    (folder / "link.journal").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe.journal")
    spool = _spool(folder)
    key = _append(spool)
    assert _drain(spool) == [key]
    spool.close()


def test_files_are_for_their_owner_only(folder: Path) -> None:
    spool = _spool(folder)
    _append(spool)
    spool.keep_refused([{"status": 422}])
    spool.close()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o777 for each in folder.iterdir()} == {0o600}


def test_the_directory_stays_within_its_bound(folder: Path) -> None:
    spool = _spool(folder)
    for number in range(500):
        _append(spool, priority=number % 3, size=5_000)
    assert sum(each.stat().st_size for each in folder.iterdir()) <= _MAX
    counts = spool.counts()
    assert counts.evicted + counts.waiting == 500
    kept = [parcel.number % 3 for parcel in spool.plan()]
    assert kept.count(0) == 167, "nothing important was given up"
    spool.close()


def test_refusals_are_kept_within_a_bound(folder: Path) -> None:
    spool = _spool(folder)
    _append(spool)
    for _ in range(55):
        spool.keep_refused([{"status": 422, "marker": "x" * 100_000}])
    spool.close()
    kept = sorted(folder.glob("refused.*"))
    assert [each.name for each in kept] == ["refused.ndjson", "refused.ndjson.1"]
    assert sum(each.stat().st_size for each in kept) < 2_300_000


# Directories that cannot be used -----------------------------------------------------------------


def _refused(folder: Path, host: SampleHost | None = None) -> str:
    """Append to a spool that must fall back to memory, and return what it says."""
    spool = _spool(folder, host=host)
    place = spool.append(lambda _e, _n: Record(1, "d-one", b"{}"))
    assert place.kept
    assert spool.counts() == (1, 0, 1, 0)
    (parcel,) = spool.plan()
    assert spool.body(parcel) == b"{}"
    spool.settle([(parcel, "delivered")])
    assert spool.plan() == []
    spool.close()
    return place.trouble


def test_a_directory_of_somebody_else_is_not_used(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    assert "belongs to another user" in _refused(folder, SampleHost(user=os.geteuid() + 1))


def test_a_directory_that_others_may_write_in_is_not_used(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    assert "others may write in it" in _refused(folder)


def test_a_link_that_somebody_laid_is_not_followed(folder: Path, tmp_path: Path) -> None:
    folder.parent.mkdir()
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    folder.symlink_to(target)
    assert "refuses" in _refused(folder)
    assert list(target.iterdir()) == []


def test_a_file_in_the_place_of_the_directory_is_not_used(folder: Path) -> None:
    folder.parent.mkdir()
    folder.write_text("")
    assert "refuses" in _refused(folder)


def test_a_name_that_cannot_be_made_is_not_used() -> None:
    assert "refuses" in _refused(Path("/proc/none/spool"))


def test_a_directory_that_was_mended_is_used_again(folder: Path) -> None:
    folder.parent.mkdir()
    folder.write_text("")
    spool = _spool(folder)
    in_memory = _append(spool)
    folder.unlink()
    spool._reopen_at = 0.0  # five seconds later
    on_disk = _append(spool)
    assert on_disk[0] != in_memory[0]
    assert spool.only_in_memory(in_memory)
    assert not spool.only_in_memory(on_disk)
    assert _keys(spool.plan()) == [on_disk, in_memory]
    spool.close()


# Other processes --------------------------------------------------------------------------------

_WRITER = """
import sys
from deploymark.emit.host import SystemHost
from deploymark.emit.journal import Record
from deploymark.emit.spool import Spool
spool = Spool(sys.argv[1], "someone", "https://a.example", 50_000_000, SystemHost())
while True:
    def make(epoch, number):
        return Record(number % 3, "d-one", b'{"epoch":"%b","n":%d}' % (epoch.encode(), number))
    place = spool.append(make)
    print(place.epoch, place.number, flush=True)
    if place.number % 5 == 4:
        spool.settle([(parcel, "delivered") for parcel in spool.plan()[:3]])
"""


def _killed_writer(folder: Path, lines: int) -> list[tuple[str, int]]:
    """Run a writer, kill it at once after some lines, and return what it claimed to have kept."""
    child = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    claimed = [child.stdout.readline().split() for _ in range(lines)]
    child.send_signal(signal.SIGKILL)
    rest, _ = child.communicate()
    claimed += [line.split() for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    return [(epoch, int(number)) for epoch, number in claimed]


@pytest.mark.fault
def test_a_kill_at_any_moment_loses_and_repeats_no_number(folder: Path) -> None:
    claimed: list[tuple[str, int]] = []
    for run in range(24):
        claimed += _killed_writer(folder, 1 + run)
        assert len(set(claimed)) == len(claimed), "no number is used twice"
    assert len({epoch for epoch, _ in claimed}) == 1, "each went on where the last was killed"
    host = SampleHost(name=os.uname().nodename)
    spool = _spool(folder, host=host)
    _append(spool)  # of another boot: it drains, and does not go on
    (path,) = (each for each in folder.glob("*.journal") if claimed[0][0] in each.name)
    settled = {int(line.split()[2]) for line in path.read_bytes().split(b"\n") if b" A " in line}
    (parcels,) = spool.orphans()
    waiting = {parcel.number for parcel in parcels}
    numbers = {number for _, number in claimed}
    # A number may be durable and its claim lost with the killed process, never the other way.
    assert numbers <= waiting | settled
    assert waiting | settled == set(range(max(waiting | settled) + 1)), "no gap"
    assert all(spool.body(parcel) is None for parcel in parcels), "the journal was let go"
    spool.close()


def test_a_forked_child_has_its_own_epoch_and_frees_its_parents_journal(folder: Path) -> None:
    spool = _spool(folder)
    epoch, _ = _append(spool)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        spool.abandon()
        own = _spool(folder)
        os.write(writing, _append(own)[0].encode())
        os._exit(0)
    os.close(writing)
    other = os.read(reading, 100).decode()
    os.close(reading)
    os.waitpid(child, 0)
    assert other
    assert other != epoch
    assert _append(spool) == (epoch, 1), "the parent still owns and numbers"
    spool.close()


@pytest.fixture
def small_files() -> Iterator[int]:
    """Let no file grow beyond a size, as a full disk does: the last write is cut short."""
    limit = 2_000
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.fault
def test_a_full_disk_turns_to_memory_and_leaves_the_journal_whole(
    folder: Path, small_files: int
) -> None:
    spool = _spool(folder)
    keys = [_append(spool, size=100) for _ in range(40)]
    counts = spool.counts()
    assert counts.waiting == 40
    assert counts.in_memory > 10
    assert sorted(_keys(spool.plan())) == sorted(keys)
    assert all(spool.body(parcel) is not None for parcel in spool.plan())
    (path,) = folder.glob("*.journal")
    assert path.stat().st_size <= small_files
    assert path.read_bytes().endswith(b"\n"), "no torn line is left behind"
    spool.close()
    later = _spool(folder)
    epoch, number = _append(later, size=1)
    assert (epoch, number) == (keys[0][0], 40 - counts.in_memory)
    later.close()
