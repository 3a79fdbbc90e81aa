"""`deploymark log recover`: ways back that contradict nothing that was published."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., CompletedProcess[str]]
pytestmark = pytest.mark.usefixtures("team")


@pytest.fixture
def restored(run: Run, team: Path) -> Path:
    """The team's place after an old backup (7 entries) came back over a log of 10."""
    shutil.copytree(team / "data", team / "backup")
    grow(run, team, "basket")
    run("log export newest --data data")
    shutil.rmtree(team / "data")
    shutil.copytree(team / "backup", team / "data")
    return team


def grow(run: Run, team: Path, service: str) -> None:
    """Append three markers of another service."""
    text = (team / "markers.ndjson").read_text().replace("checkout", service)
    (team / "more.ndjson").write_text(text)
    assert run("log append more.ndjson --data data --sign ci.pem").returncode == 0


WRITING = {
    "append": "log append markers.ndjson --sign ci.pem",
    "publish": "log checkpoint --publish",
    "trust": "keys trust stranger.pem.pub",
}


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("command", WRITING.values(), ids=WRITING)
def test_an_old_copy_is_not_written_to(run: Run, command: str) -> None:
    refused = run(f"{command} --data data --json")
    assert refused.returncode == 1
    error = json.loads(refused.stderr)
    assert error["error"] == "log_rolled_back"
    assert "has 7 entries but had published 10" in error["message"]
    assert "recover --from" in error["hint"]


@pytest.mark.usefixtures("restored")
def test_an_old_copy_is_not_exported_over_a_newer_export(run: Run) -> None:
    refused = run("log export newest --data data")
    assert refused.returncode == 1
    assert "recover --from newest" in refused.stderr
    assert run("verify newest --policy policy").returncode == 0


def test_an_export_brings_the_missing_entries_back(run: Run, restored: Path) -> None:
    recovered = run("log recover --from newest --data data")
    assert recovered.stdout == "Brought back 3 entries; the log has 10 again.\n"
    assert run("log fsck --data data").returncode == 0
    grow(run, restored, "search")
    run("log export newest --data data")
    assert run("verify newest --policy policy").returncode == 0


@pytest.mark.usefixtures("restored")
def test_recovering_twice_finds_nothing_to_do(run: Run) -> None:
    run("log recover --from newest --data data")
    refused = run("log recover --from newest --data data")
    assert refused.returncode == 1
    assert "none to bring back" in refused.stderr


@pytest.mark.usefixtures("restored")
def test_an_export_that_ends_too_early_is_refused(run: Run) -> None:
    refused = run("log recover --from site --data data")
    assert refused.returncode == 1
    run("log checkpoint --data data")
    assert "log_rolled_back" in run("log checkpoint --publish --data data --json").stderr


def test_a_changed_export_is_refused(run: Run, restored: Path) -> None:
    bundle = restored / "newest" / "tile" / "entries" / "000.p" / "10"
    bundle.write_bytes(bundle.read_bytes().replace(b"local", b"loyal", 1))
    refused = run("log recover --from newest --data data")
    assert refused.returncode == 1
    assert "does not add up" in refused.stderr
    assert "7 entries" in run("log fsck --data data").stdout


@pytest.mark.usefixtures("restored")
def test_an_export_of_another_log_is_refused(run: Run) -> None:
    run("log init --data other")
    run("log export othersite --data other")
    assert run("log recover --from othersite --data data").returncode == 64


def test_a_fork_is_not_mended(run: Run, restored: Path) -> None:
    guard = restored / "data.guard"
    remembered = guard.read_bytes()
    guard.unlink()
    run("log recover --accept --data data")
    (restored / "one.json").write_text(
        '{"service":"x","environment":"prod","phase":"applied","version":"1"}'
    )
    run("log append one.json --data data --sign ci.pem")
    guard.write_bytes(remembered)
    refused = run("log recover --from newest --data data")
    assert refused.returncode == 1
    assert "forked" in refused.stderr
    assert "8 entries" in run("log fsck --data data").stdout


def test_a_lost_guard_stops_writing_until_the_copy_is_accepted(run: Run, team: Path) -> None:
    (team / "data.guard").unlink()
    refused = run("log checkpoint --publish --data data")
    assert refused.returncode == 64
    assert "log recover --accept" in refused.stderr
    accepted = run("log recover --accept --data data")
    assert accepted.stdout == "The guard now remembers 7 entries of log.example/team.\n"
    assert run("log checkpoint --publish --data data").returncode == 0


def test_a_guard_that_is_there_is_obeyed_not_replaced(run: Run, restored: Path) -> None:
    before = (restored / "data.guard").read_bytes()
    refused = run("log recover --accept --data data")
    assert refused.returncode == 64
    assert (restored / "data.guard").read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"log.example/team\n", b"\xff\n7\n00\n", b"a\nb\nc\n"])
def test_a_guard_that_cannot_be_read_stops_writing(run: Run, team: Path, content: bytes) -> None:
    (team / "data.guard").write_bytes(content)
    assert run("log checkpoint --publish --data data").returncode == 64


def test_a_guard_of_another_log_stops_writing(run: Run, team: Path) -> None:
    run("log init --data other")
    shutil.copy(team / "other.guard", team / "data.guard")
    refused = run("log checkpoint --publish --data data")
    assert refused.returncode == 64
    assert "belongs to the log deploymark.local/" in refused.stderr


def test_a_copy_that_does_not_add_up_is_not_continued(run: Run, restored: Path) -> None:
    damaged = sqlite3.connect(restored / "data" / "log.db")
    damaged.execute("DROP TRIGGER entry_is_fixed")
    damaged.execute("UPDATE entry SET leaf_hash = zeroblob(32) WHERE idx = 2")
    damaged.commit()
    damaged.close()
    assert run("log recover --from newest --data data").returncode == 1


USAGE = {
    "neither way": "log recover --data data",
    "both ways": "log recover --from site --accept --data data",
    "a file": "log recover --from policy --data data",
    "nothing there": "log recover --from nowhere --data data",
    "a directory that is no export": "log recover --from data --data data",
    "no log": "log recover --from site --data nowhere",
}


@pytest.mark.parametrize("line", USAGE.values(), ids=USAGE)
def test_recover_needs_one_export_or_one_word(run: Run, line: str) -> None:
    assert run(line).returncode == 64
