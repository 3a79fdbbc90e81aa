"""A log opens only when everything that belongs to it is there, and it is the newest copy."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from deploymark.errors import (
    DataDirectoryError,
    DeploymarkError,
    KeyFileError,
    LogBrokenError,
    LogBusyError,
    RolledBackError,
)
from deploymark.log.guard import check_guard
from deploymark.log.reader import LogView
from deploymark.log.sequencer import Acknowledgement
from deploymark.model.instants import format_instant
from deploymark.model.leaf import decode_leaf
from deploymark.runtime.compose import (
    OpenLog,
    expect,
    init_log,
    log_keys,
    open_log,
    open_reader,
    platform_signer,
)
from deploymark.runtime.data_directory import DataDirectory, default_origin
from deploymark.storage.guard_file import FileRollbackGuard
from deploymark.storage.sqlite import SqliteLogReader
from deploymark.testing.clock import ManualClock
from deploymark.testing.whole_log import faults_of, key_names, sample_marker, sign

ORIGIN = "log.example/opened"
PASSPHRASE = "open sesame"  # noqa: S105 - of keys that live as long as this test


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data directory and its guard: five entries, all published."""
    folder = tmp_path_factory.mktemp("template")
    init_log(folder / "data", ORIGIN)
    grow(folder / "data", 4)
    return folder


@pytest.fixture
def path(template: Path, tmp_path: Path) -> Path:
    """A data directory of one's own."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return tmp_path / "data"


def append(log: OpenLog, count: int) -> list[Acknowledgement]:
    signer, size = platform_signer(log.data, None), log.store.head().size
    numbers = range(size, size + count)
    return expect(log.receiver.receive([sign(sample_marker(n), signer) for n in numbers]))


def grow(path: Path, count: int) -> None:
    with open_log(path) as log:
        append(log, count)
        log.publisher.publish()


def test_a_new_log_holds_its_first_key_and_is_published(tmp_path: Path) -> None:
    published = init_log(tmp_path / "data", ORIGIN)
    assert published.size == 1
    with open_reader(tmp_path / "data") as (data, reader):
        assert reader.head().origin == ORIGIN
        assert FileRollbackGuard(data.guard).read() == (ORIGIN, 1, reader.head().root)
        mode = {file.name: file.stat().st_mode & 0o777 for file in (data.path / "keys").iterdir()}
        assert set(mode.values()) == {0o600}
    with open_log(tmp_path / "data") as log:
        assert key_names(log.ring) == ["platform"]
        assert append(log, 2)[-1].index == 2
        assert faults_of(log.store.snapshot(), log_keys(log.policy)) == []


def test_a_log_goes_on_after_it_was_closed(path: Path) -> None:
    for size in (5, 7):
        with open_log(path) as log:
            assert [done.index for done in append(log, 2)] == [size, size + 1]


def test_entries_are_of_the_time_that_the_clock_of_the_log_tells(path: Path) -> None:
    clock = ManualClock()
    with open_log(path, clock=clock) as log:
        assert log.clock is clock
        (done,) = append(log, 1)
        leaf = decode_leaf(log.store.entry(done.index).leaf or b"")
    assert leaf.received_at == format_instant(clock.now_ms())


def test_keys_under_a_passphrase_need_it(tmp_path: Path) -> None:
    path = tmp_path / "data"
    init_log(path, ORIGIN, PASSPHRASE)
    for wrong in (None, "another"):
        with pytest.raises(KeyFileError), open_log(path, wrong):
            pass
    with open_log(path, PASSPHRASE) as log:
        assert log.store.head().size == 1
    with open_reader(path) as (_, reader):
        assert reader.head().size == 1


@pytest.mark.parametrize("what", ["a directory with a file", "a file", "a log", "a guard"])
def test_a_log_is_created_only_in_a_new_place(tmp_path: Path, what: str) -> None:
    path = tmp_path / "data"
    match what:
        case "a directory with a file":
            path.mkdir()
            (path / "notes").write_text("mine")
        case "a file":
            path.write_text("mine")
        case "a log":
            init_log(path, ORIGIN)
        case _:
            (tmp_path / "data.guard").write_text("of a log that was here")
    before = sorted(file.name for file in tmp_path.rglob("*"))
    with pytest.raises(DataDirectoryError) as caught:
        init_log(path, ORIGIN)
    assert caught.value.hint
    assert sorted(file.name for file in tmp_path.rglob("*")) == before


def test_an_empty_directory_is_a_new_place(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    init_log(tmp_path / "data", default_origin())
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


@pytest.mark.parametrize("origin", ["", "two words", "a+b", "line\nbreak"])
def test_an_origin_that_cannot_be_a_name_creates_nothing(tmp_path: Path, origin: str) -> None:
    with pytest.raises(DeploymarkError):
        init_log(tmp_path / "data", origin)
    assert list(tmp_path.iterdir()) == []


# Something is missing or foreign ------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["log.db", "policy", "keys/log-ed25519.pem", "keys/log-ml-dsa-44.pem"]
)
def test_a_lost_file_is_named_and_not_created_again(path: Path, name: str) -> None:
    (path / name).unlink()
    with pytest.raises(DataDirectoryError) as caught, open_log(path):
        pass
    assert Path(name).name in caught.value.message
    assert "backup" in caught.value.hint
    assert not (path / name).exists()


def test_no_directory_is_no_log(tmp_path: Path) -> None:
    for opening in (open_log, open_reader):
        with pytest.raises(DataDirectoryError) as caught, opening(tmp_path / "data"):
            pass
        assert "log init" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["policy", "keys/log-ed25519.pem", "keys/log-ml-dsa-44.pem"])
def test_the_file_of_another_log_is_refused(path: Path, tmp_path: Path, name: str) -> None:
    init_log(tmp_path / "other", ORIGIN)
    shutil.copy(tmp_path / "other" / name, path / name)
    with (
        pytest.raises(DataDirectoryError, match="not the one that its policy lists"),
        open_log(path),
    ):
        pass


def test_a_key_of_another_kind_is_refused(path: Path) -> None:
    keys = path / "keys"
    shutil.copy(keys / "log-ml-dsa-44.pem", keys / "log-ed25519.pem")
    with pytest.raises(KeyFileError, match="not an Ed25519 key"), open_log(path):
        pass


def test_refusing_leaves_the_log_to_the_next_one(path: Path) -> None:
    policy = (path / "policy").read_bytes()
    (path / "policy").write_bytes(b"quorum none\n")
    with pytest.raises(DataDirectoryError), open_log(path):
        pass
    (path / "policy").write_bytes(policy)
    with open_log(path) as log:
        assert append(log, 1)[0].index == 5


# Two processes ------------------------------------------------------------------------------------

_OPEN_AND_WAIT = """
import sys
from pathlib import Path
from deploymark.runtime.compose import open_log
with open_log(Path(sys.argv[1])):
    print("open", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_while_the_first_one_lives(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _OPEN_AND_WAIT, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "open\n"
        with pytest.raises(LogBusyError, match="Another process"), open_log(path):
            pass
        with open_reader(path) as (_, reader):
            assert reader.head().size == 5
        # Killed, it frees the log with its last breath.
        first.kill()
    with open_log(path) as log:
        assert append(log, 1)[0].index == 5


def test_the_second_opening_in_one_process_is_refused_too(path: Path) -> None:
    with open_log(path):
        with pytest.raises(LogBusyError), open_log(path):
            pass
        with open_reader(path) as (_, reader):
            assert reader.head().size == 5


# The guard ----------------------------------------------------------------------------------------


@pytest.fixture
def guard(path: Path) -> Path:
    return DataDirectory(path).guard


def _refused(path: Path) -> DeploymarkError:
    with pytest.raises(DeploymarkError) as caught, open_log(path):
        pass
    assert caught.value.hint
    return caught.value


def test_an_old_copy_put_back_refuses_to_start_and_says_how_to_repair(path: Path) -> None:
    backup = path.with_name("backup")
    shutil.copytree(path, backup)
    grow(path, 3)
    shutil.rmtree(path)
    backup.rename(path)
    error = _refused(path)
    assert isinstance(error, RolledBackError)
    assert "has 5 entries but had published 8: 3 acknowledged entries" in error.message
    assert "recover --from EXPORT" in error.hint
    with open_reader(path) as (_, reader):
        assert reader.head().size == 5


def test_a_copy_that_went_its_own_way_refuses_to_start(path: Path, guard: Path) -> None:
    other = path.with_name("other")
    shutil.copytree(path, other)
    shutil.copy(guard, DataDirectory(other).guard)
    grow(path, 1)
    with open_log(other) as log:
        signer = platform_signer(log.data, None)
        expect(log.receiver.receive([sign(sample_marker(n), signer) for n in (90, 91, 92)]))
        log.publisher.publish()
    shutil.copy(guard, DataDirectory(other).guard)
    error = _refused(other)
    assert isinstance(error, RolledBackError)
    assert "forked" in error.message


def test_entries_that_were_not_published_yet_may_be_more_than_the_guard_knows(path: Path) -> None:
    with open_log(path) as log:
        append(log, 3)
    with open_log(path) as log:
        assert log.store.head().size == 8
        assert log.store.head().published_size == 5


def test_a_guard_that_knows_more_than_the_store_says_was_published_is_fine(
    path: Path, guard: Path
) -> None:
    with open_log(path) as log:
        append(log, 2)
        head = log.store.head()
    # As after a crash between guard and store: the guard is written first.
    FileRollbackGuard(guard).write(ORIGIN, head.size, head.root)
    with open_log(path) as log:
        assert log.publisher.publish().size == 7


def test_a_lost_guard_refuses_to_start_and_says_how_to_repair(path: Path, guard: Path) -> None:
    guard.unlink()
    error = _refused(path)
    assert isinstance(error, DataDirectoryError)
    assert "log recover --accept" in error.hint
    assert not guard.exists()


def test_the_guard_of_another_log_refuses_to_start(path: Path, guard: Path, tmp_path: Path) -> None:
    init_log(tmp_path / "other", "log.example/other")
    shutil.copy(DataDirectory(tmp_path / "other").guard, guard)
    error = _refused(path)
    assert isinstance(error, DataDirectoryError)
    assert "belongs to the log log.example/other" in error.message


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda content: content[:-1], id="cut by a byte"),
        pytest.param(lambda content: content[: len(content) // 2], id="cut in half"),
        pytest.param(lambda content: content + b"\n", id="a line more"),
        pytest.param(lambda content: b"\xff" + content, id="not UTF-8"),
        pytest.param(lambda content: content.replace(b"\n5\n", b"\nfive\n"), id="no number"),
        pytest.param(lambda content: content.replace(b"\n5\n", b"\n05\n"), id="another spelling"),
        pytest.param(lambda content: content.replace(b"\n5\n", b"\n-5\n"), id="a negative size"),
        pytest.param(lambda content: content.replace(b"\n5\n", b"\n4\n"), id="another size"),
        pytest.param(lambda content: content.replace(b"\n5\n", b"\n6\n"), id="a larger size"),
        pytest.param(lambda content: content.upper(), id="capital letters"),
        pytest.param(lambda content: content.replace(b"\n", b"\r\n"), id="ends of Windows"),
        pytest.param(lambda content: content[:-3] + b"\n", id="a shorter root"),
        pytest.param(lambda content: content[:-2] + b"~\n", id="a root that is not hexadecimal"),
        pytest.param(lambda _: bytes(500), id="zeroes, as after a power loss"),
    ],
)
def test_a_damaged_guard_refuses_to_start(
    path: Path, guard: Path, spoil: Callable[[bytes], bytes]
) -> None:
    guard.write_bytes(spoil(guard.read_bytes()))
    damaged = guard.read_bytes()
    assert isinstance(_refused(path), DataDirectoryError | RolledBackError)
    assert guard.read_bytes() == damaged


def test_every_changed_byte_of_the_guard_refuses_to_start(path: Path, guard: Path) -> None:
    content = guard.read_bytes()
    with closing(_Opened(path)) as opened:
        for position in range(len(content)):
            changed = bytearray(content)
            changed[position] ^= 1
            guard.write_bytes(changed)
            assert opened.is_refused(guard), position


class _Opened:
    """Asks the guard's question many times without opening the keys each time."""

    def __init__(self, path: Path) -> None:
        self._reader = SqliteLogReader(DataDirectory(path).database)
        self._view = LogView(self._reader)

    def is_refused(self, guard: Path) -> bool:
        try:
            check_guard(self._view, FileRollbackGuard(guard))
        except DeploymarkError:
            return True
        return False

    def close(self) -> None:
        self._reader.close()


def test_a_guard_that_is_a_directory_refuses_to_start(path: Path, guard: Path) -> None:
    guard.unlink()
    guard.mkdir()
    assert isinstance(_refused(path), DataDirectoryError)


def test_a_damaged_head_refuses_to_start(path: Path) -> None:
    with closing(sqlite3.connect(path / "log.db", isolation_level=None)) as connection:
        connection.execute("UPDATE log SET frontier = zeroblob(length(frontier))")
    assert isinstance(_refused(path), LogBrokenError)
