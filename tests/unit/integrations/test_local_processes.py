"""The observer of local processes: what it finds, hashes and refuses to say; real processes."""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from local_world import SLEEP, LocalWorld, settled

from deploymark.emit.host import SystemHost
from deploymark.emit.instance import name_process, own_uid
from deploymark.emit.release import release_digest
from deploymark.errors import UsageError
from deploymark.integrations.local_processes.hashing import FileHashes
from deploymark.integrations.local_processes.observer import (
    EXECUTABLE,
    WORKING_DIRECTORY,
    LocalProcessObserver,
)
from deploymark.integrations.local_processes.processes import executable_of, units_of
from deploymark.integrations.local_processes.selection import Selection
from deploymark.testing.observer import ScriptedObserver, exercise_observer

ASLEEP = "import time; time.sleep(600)"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LocalWorld]:
    world = LocalWorld(tmp_path)
    yield world
    world.close()


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release directory, older than whatever starts in it."""
    directory = tmp_path / "release-1"
    (directory / "package").mkdir(parents=True)
    (directory / "package" / "code.py").write_text("VERSION = 1\n")
    (directory / "main.py").write_text("import package.code\n")
    return directory


def _running_in(folder: Path, release: Path) -> LocalWorld:
    world = LocalWorld(folder, release=WORKING_DIRECTORY)
    world.interpreted("pass", release)
    return world


def sha256_of(file: Path) -> str:
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


def test_the_observer_keeps_the_contract(tmp_path: Path) -> None:
    worlds: list[LocalWorld] = []

    def make() -> LocalWorld:
        folder = tmp_path / str(len(worlds))
        folder.mkdir()
        worlds.append(LocalWorld(folder))
        return worlds[-1]

    try:
        exercise_observer(make)
    finally:
        for world in worlds:
            world.close()


def test_the_scripted_observer_keeps_the_contract() -> None:
    exercise_observer(ScriptedObserver)


def test_it_names_an_instance_as_the_instance_names_itself(world: LocalWorld) -> None:
    program = (
        "from deploymark.emit.instance import own_uid\n"
        "from deploymark.emit.host import SystemHost\n"
        "open('uid', 'w').write(own_uid(SystemHost()))"
    )
    world.interpreted(program, world.folder)
    (seen,) = world.local.observe()
    assert seen.uid == (world.folder / "uid").read_text()
    assert seen.uid != own_uid(SystemHost())


# What is hashed ---------------------------------------------------------------------------------


def test_a_replaced_executable_is_hashed_as_it_runs_and_not_as_its_path_says(
    world: LocalWorld,
) -> None:
    file = world.program(b"the old")
    before = sha256_of(file)
    world.run([str(file), "600"], world.folder)
    newer = world.folder / "newer"
    newer.write_bytes(SLEEP.read_bytes() + b"the new")
    newer.replace(file)
    (seen,) = world.local.observe()
    assert seen.digest == before != sha256_of(file)
    file.unlink()
    (again,) = world.local.observe()
    assert again.digest == before


def test_what_a_process_calls_itself_is_no_evidence(world: LocalWorld) -> None:
    file = world.program(b"an impostor")
    process = subprocess.Popen(
        ["/srv/shop/genuine", "600"],
        executable=file,
        cwd=world.folder,
        env={"DEPLOYMARK_DEPLOYMENT_ID": "d-genuine", "DEPLOYMARK_VERSION": "9"},
    )
    world.processes[str(process.pid)] = process
    observer = LocalProcessObserver(Selection(command="^/srv/shop/genuine 600$"))
    (seen,) = observer.observe()
    assert seen.digest == sha256_of(file)


def test_a_release_is_the_one_that_a_process_works_in(tmp_path: Path, release: Path) -> None:
    expected = release_digest(str(release))
    world = _running_in(tmp_path, release)
    try:
        (seen,) = world.local.observe()
        assert (seen.digest, seen.why) == (expected, "")
        release.rename(tmp_path / "moved-away")
        release.mkdir()
        (release / "main.py").write_text("something else\n")
        (seen,) = world.local.observe()
        assert seen.digest == expected, "the path leads elsewhere, the process does not"
    finally:
        world.close()


def test_a_release_can_be_named_by_its_path(tmp_path: Path, release: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "current").symlink_to(release)
    world = LocalWorld(elsewhere, release=str(tmp_path / "current"))
    world.interpreted("pass", elsewhere, tmp_path / "current" / "main.py")
    try:
        (seen,) = world.local.observe()
        assert (seen.digest, seen.why) == (release_digest(str(release)), "")
    finally:
        world.close()


def test_a_release_that_is_named_wrongly_is_not_taken_for_what_runs(
    tmp_path: Path, release: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    world = LocalWorld(elsewhere, release=str(release))
    world.interpreted("pass", elsewhere, elsewhere / "main.py")
    try:
        (seen,) = world.local.observe()
        assert seen.digest == ""
        assert "does not work in the release" in seen.why
    finally:
        world.close()


@pytest.mark.parametrize("how", ["written over", "replaced, with an old date", "added", "linked"])
def test_what_changed_under_a_running_process_proves_nothing_about_it(
    tmp_path: Path, release: Path, how: str
) -> None:
    world = _running_in(tmp_path, release)
    code = release / "package" / "code.py"
    old = code.stat()
    if how == "added":
        (release / "new.py").write_text("VERSION = 2\n")
    elif how == "linked":
        (release / "data").symlink_to("package")
    elif how == "written over":
        code.write_text("VERSION = 2\n")
    else:
        newer = tmp_path / "newer.py"
        newer.write_text("VERSION = 2\n")
        os.utime(newer, ns=(old.st_atime_ns, old.st_mtime_ns))
        newer.replace(code)
    try:
        (seen,) = world.local.observe()
        assert seen.digest == ""
        assert "was changed since the process started" in seen.why
        # Whoever starts now runs what is there now.
        world.interpreted("pass", release)
        digests = [each.digest for each in world.local.observe()]
        assert sorted(digests) == ["", release_digest(str(release))]
    finally:
        world.close()


def test_byte_code_that_running_makes_is_no_change(tmp_path: Path, release: Path) -> None:
    world = LocalWorld(tmp_path, release=WORKING_DIRECTORY)
    world.interpreted("import sys; sys.path.insert(0, '.'); import package.code", release)
    try:
        assert list(release.rglob("*.pyc"))
        (seen,) = world.local.observe()
        assert seen.digest == release_digest(str(release))
    finally:
        world.close()


def test_a_release_that_was_deleted_has_no_digest(tmp_path: Path, release: Path) -> None:
    world = _running_in(tmp_path, release)
    shutil.rmtree(release)
    try:
        (seen,) = world.local.observe()
        assert (seen.digest, bool(seen.why)) == ("", True)
    finally:
        world.close()


# Cost and races ---------------------------------------------------------------------------------


def test_what_did_not_change_is_not_read_again(tmp_path: Path, release: Path) -> None:
    settled(release)
    world = _running_in(tmp_path, release)
    try:
        first = world.local.observe()
        read = world.local.hashed
        assert read == 2
        assert world.local.observe() == first
        assert world.local.hashed == read
        (release / "main.py").write_text("import package\n")
        world.local.observe()
        assert world.local.hashed == read + 1
    finally:
        world.close()


def test_a_file_that_was_just_written_is_read_every_time(tmp_path: Path, release: Path) -> None:
    class Quick(SystemHost):
        def now_ms(self) -> int:
            return int(max(each.stat().st_ctime for each in release.rglob("*")) * 1_000)

    world = LocalWorld(tmp_path, release=WORKING_DIRECTORY)
    world.local._hashes = FileHashes(Quick())
    (release / "main.py").write_text("import package.code  # newer\n")
    world.interpreted("pass", release)
    try:
        world.local.observe()
        world.local.observe()
        assert world.local.hashed == 4
    finally:
        world.close()


def test_processes_that_come_and_go_while_it_looks_disturb_nobody(world: LocalWorld) -> None:
    lasting = world.start(b"lasting")
    short = world.program(b"short")
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            subprocess.run([short, "0"], cwd=world.folder, check=True)

    churner = threading.Thread(target=churn)
    churner.start()
    try:
        rounds = [world.local.observe() for _ in range(40)]
    finally:
        stop.set()
        churner.join()
    uid = str(name_process(int(lasting), SystemHost()))
    assert all(uid in {each.uid for each in seen} for seen in rounds)
    genuine = {sha256_of(short), sha256_of(world.folder / "program-0")}
    assert {each.digest for seen in rounds for each in seen} <= genuine | {
        sha256_of(Path(sys.executable).resolve())  # between fork and exec
    }


class Meanwhile(FileHashes):
    """Lets something happen while a file is read."""

    def __init__(self, happens: Callable[[], object]) -> None:
        super().__init__(SystemHost())
        self._happens = happens

    def _read(self, descriptor: int) -> str:
        read = super()._read(descriptor)
        self._happens()
        return read


def test_a_process_that_ends_while_it_is_hashed_is_not_seen(world: LocalWorld) -> None:
    started = world.start(b"one")
    lasting = world.start(b"two")

    def end_it() -> None:
        if started in world.processes:
            world.stop(started)

    world.local._hashes = Meanwhile(end_it)
    assert [each.uid for each in world.local.observe()] == [
        str(name_process(int(lasting), SystemHost()))
    ]


def test_a_process_that_becomes_another_program_while_it_is_hashed_is_seen_next_time(
    world: LocalWorld,
) -> None:
    program = (
        f"import os, signal; signal.signal(10, lambda *_: os.execv({str(SLEEP)!r}, ['s', '600']))"
    )
    process = int(world.interpreted(program, world.folder))
    before = executable_of(process)

    def become_another() -> None:
        os.kill(process, signal.SIGUSR1)
        while executable_of(process) == before:
            time.sleep(0.01)
        world.local._hashes = FileHashes(SystemHost())

    world.local._hashes = Meanwhile(become_another)
    assert world.local.observe() == []
    (seen,) = world.local.observe()
    assert seen.digest == sha256_of(SLEEP)


def test_a_file_that_is_written_while_it_is_read_has_no_digest(
    tmp_path: Path, release: Path
) -> None:
    world = _running_in(tmp_path, release)
    main = release / "main.py"
    world.local._hashes = Meanwhile(lambda: main.write_text(main.read_text() + "#\n"))
    try:
        (seen,) = world.local.observe()
        assert (seen.digest, seen.why) == ("", "A file was written while it was read.")
    finally:
        world.close()


def test_a_process_that_waits_for_its_parent_has_ended(world: LocalWorld) -> None:
    child = subprocess.Popen([SLEEP, "0"], cwd=world.folder)
    uid = str(name_process(child.pid, SystemHost()))
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{child.pid}").exists()
    assert world.local.observe() == []
    assert world.local.ended((uid,))
    child.wait()


def test_a_number_that_was_given_again_is_another_instance(world: LocalWorld) -> None:
    started = world.start(b"some")
    name = name_process(int(started), SystemHost())
    assert not world.local.ended((str(name),))
    assert world.local.ended((str(name._replace(start=name.start - 1)),))
    assert world.local.ended((str(name._replace(boot="the-boot-before")),))
    # Beside the host's first namespace nobody here has such a name.
    assert world.local.ended((str(name._replace(namespace=7)),))


# Which processes --------------------------------------------------------------------------------


LISTENS = """
import os, socket, time
listening = socket.create_server(("127.0.0.1", {port}))
if {workers}:
    for _ in range(2):
        if os.fork() == 0:
            time.sleep(600)  # only the parent says that it has begun, when both are there
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def test_by_the_port_that_they_listen_on(world: LocalWorld) -> None:
    port = free_port()
    assert LocalProcessObserver(Selection(port=port)).observe() == []
    started = world.interpreted(LISTENS.format(port=port, workers=False), world.folder)
    world.interpreted("pass", world.folder)
    (seen,) = LocalProcessObserver(Selection(port=port), EXECUTABLE).observe()
    assert seen.uid == str(name_process(int(started), SystemHost()))


def test_who_only_forks_is_no_instance_unless_that_is_asked_for(world: LocalWorld) -> None:
    port = free_port()
    parent = world.interpreted(LISTENS.format(port=port, workers=True), world.folder)
    workers = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    assert len(workers) == 2
    try:
        found = Selection(port=port).instances()
        assert sorted(map(str, found)) == sorted(workers)
        found = Selection(port=port, forking=True).instances()
        assert sorted(map(str, found)) == sorted([*workers, parent])
    finally:
        for worker in workers:
            os.kill(int(worker), 9)


def test_by_several_things_that_must_all_hold(world: LocalWorld) -> None:
    started = world.start(b"one")
    folder = str(world.folder)
    assert Selection(directory=folder, command="program-0 600").instances() == [int(started)]
    assert Selection(directory=folder, command="another").instances() == []
    assert Selection(directory=folder, unit="no-such-unit").instances() == []
    assert Selection(directory=f"{folder}-elsewhere", command="program-0").instances() == []


def test_by_the_control_group_that_they_belong_to(world: LocalWorld) -> None:
    started = int(world.start(b"one"))
    units = units_of(started)
    if not units:
        pytest.skip("processes of this machine are in no control group")
    for unit in units:
        selection = Selection(unit=unit.removesuffix(".service"), directory=str(world.folder))
        assert selection.instances() == [started]


def test_it_never_sees_itself() -> None:
    assert os.getpid() not in Selection(directory="/").instances()


@pytest.mark.parametrize("given", [{}, {"command": "("}])
def test_a_selection_that_selects_nothing_in_particular_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        Selection(**given)  # type: ignore[arg-type]  # all given here are text
