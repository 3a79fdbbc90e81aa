"""What a witness remembers survives everything, and only one of several writers wins."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from deploymark.errors import DataDirectoryError, LogBrokenError, StoreUnavailableError
from deploymark.ports import Witnessed
from deploymark.storage.witness_state import MemoryWitnessState, SqliteWitnessState
from deploymark.testing.witness import exercise_witness_state

_ORIGIN = "log.example/a"
_SOME = Witnessed(5, b"r" * 32)
_CLIMB = """
import sys
from pathlib import Path
from deploymark.ports import Witnessed
from deploymark.storage.witness_state import SqliteWitnessState
state, won = SqliteWitnessState(Path(sys.argv[1])), 0
while won < 25:
    known = state.read("log.example/a")
    size = known.size + 1 if known else 1
    won += state.compare_and_swap("log.example/a", known, Witnessed(size, b"r" * 32))
"""
_SWAP_AND_WAIT = """
import sys
from pathlib import Path
from deploymark.ports import Witnessed
from deploymark.storage.witness_state import SqliteWitnessState
state = SqliteWitnessState.create(Path(sys.argv[1]))
assert state.compare_and_swap("log.example/a", None, Witnessed(5, b"r" * 32))
print("recorded", flush=True)
sys.stdin.read()
"""


def test_memory_passes_the_suite() -> None:
    exercise_witness_state(MemoryWitnessState)


def test_sqlite_passes_the_suite(tmp_path: Path) -> None:
    numbers = itertools.count()
    opened: list[SqliteWitnessState] = []

    def make() -> SqliteWitnessState:
        opened.append(SqliteWitnessState.create(tmp_path / f"{next(numbers)}.db"))
        return opened[-1]

    exercise_witness_state(make)
    for state in opened:
        state.close()
        state.close()


def test_a_reopened_file_remembers(tmp_path: Path) -> None:
    path = tmp_path / "witness.db"
    first = SqliteWitnessState.create(path)
    assert first.compare_and_swap(_ORIGIN, None, _SOME)
    first.close()
    again = SqliteWitnessState(path)
    assert again.read(_ORIGIN) == _SOME
    again.close()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["witness.db"]


def test_what_was_recorded_survives_sigkill(tmp_path: Path) -> None:
    path = tmp_path / "witness.db"
    with subprocess.Popen(
        [sys.executable, "-c", _SWAP_AND_WAIT, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"recorded\n"
        process.kill()
    state = SqliteWitnessState(path)
    assert state.read(_ORIGIN) == _SOME
    state.close()


def test_two_processes_never_win_for_the_same_state(tmp_path: Path) -> None:
    path = tmp_path / "witness.db"
    state = SqliteWitnessState.create(path)
    racers = [subprocess.Popen([sys.executable, "-c", _CLIMB, path]) for _ in range(2)]
    assert [racer.wait() for racer in racers] == [0, 0]
    # Each of the 25 wins of each of the two moved the size by one.
    assert state.read(_ORIGIN) == Witnessed(50, b"r" * 32)
    state.close()


def test_a_missing_file_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(DataDirectoryError):
        SqliteWitnessState(tmp_path / "witness.db")
    assert list(tmp_path.iterdir()) == []


def test_a_state_is_created_only_once(tmp_path: Path) -> None:
    path = tmp_path / "witness.db"
    state = SqliteWitnessState.create(path)
    assert state.compare_and_swap(_ORIGIN, None, _SOME)
    with pytest.raises(DataDirectoryError):
        SqliteWitnessState.create(path)
    assert state.read(_ORIGIN) == _SOME
    state.close()
    assert [each.name for each in tmp_path.iterdir()] == ["witness.db"]


def test_a_directory_that_is_away_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError):
        SqliteWitnessState.create(tmp_path / "absent" / "witness.db")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        pytest.param(b"", DataDirectoryError, id="an empty file"),
        pytest.param(b"not a database, " * 100, LogBrokenError, id="another file"),
    ],
)
def test_a_file_of_something_else_is_refused(
    content: bytes, error: type[Exception], tmp_path: Path
) -> None:
    path = tmp_path / "witness.db"
    path.write_bytes(content)
    with pytest.raises(error):
        SqliteWitnessState(path)
    assert path.read_bytes() == content


def test_a_closed_state_is_unavailable(tmp_path: Path) -> None:
    state = SqliteWitnessState.create(tmp_path / "witness.db")
    state.close()
    with pytest.raises(StoreUnavailableError):
        state.compare_and_swap(_ORIGIN, None, _SOME)


def test_what_cannot_be_a_tree_is_not_recorded(tmp_path: Path) -> None:
    state = SqliteWitnessState.create(tmp_path / "witness.db")
    with pytest.raises(LogBrokenError):
        state.compare_and_swap(_ORIGIN, None, Witnessed(5, b"short"))
    assert state.read(_ORIGIN) is None
    assert state.compare_and_swap(_ORIGIN, None, _SOME)
    state.close()
