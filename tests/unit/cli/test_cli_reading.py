"""`deploymark log` checkpoint, prove, show, fsck, export and policy."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., CompletedProcess[str]]
pytestmark = pytest.mark.usefixtures("team")


# Checkpoint ---------------------------------------------------------------------------------------


def test_a_checkpoint_is_a_signed_note(run: Run, team: Path) -> None:
    shown = run("log checkpoint --data data").stdout
    assert shown.startswith("log.example/team\n7\n")
    assert shown == (team / "site" / "checkpoint").read_text()
    told = json.loads(run("log checkpoint --data data --json").stdout)
    assert (told["origin"], told["size"], told["cosignatures"]) == ("log.example/team", 7, 0)
    assert told["note"] == shown


def test_publishing_twice_changes_nothing(run: Run) -> None:
    first = run("log checkpoint --publish --data data").stdout
    assert run("log checkpoint --publish --data data").stdout == first


# Prove and show -----------------------------------------------------------------------------------


def test_a_receipt_goes_to_stdout_to_a_file_or_into_json(run: Run, team: Path) -> None:
    printed = run("log prove 4 --data data").stdout
    assert printed.startswith("c2sp.org/tlog-proof@v1\nextra ")
    assert run("log prove 4 --data data --out new.tlog-proof").returncode == 0
    assert (team / "new.tlog-proof").read_text() == printed
    told = json.loads(run("log prove 4 --data data --json").stdout)
    assert told == {"index": 4, "receipt": printed}


@pytest.mark.parametrize("out", ["receipt", "data", "nowhere/receipt"])
def test_a_receipt_is_written_to_a_new_file_only(run: Run, out: str) -> None:
    refused = run("log prove 4 --data data --out", out)
    assert refused.returncode == 64
    assert out in refused.stderr


NO_INDEX = {
    "the one after the last": ("7", "The log has no entry 7"),
    "one far away": ("9007199254740991", "The log has no entry"),
    "one that no log reaches": ("9007199254740992", "no index of an entry"),
    "one of a thousand digits": ("9" * 1000, "no index of an entry"),
    "a negative one": ("-1", "no index of an entry"),
    "a word": ("four", "no index of an entry"),
    "a superscript": ("²", "no index of an entry"),
    "nothing": ("", "no index of an entry"),
    "a fraction": ("4.0", "no index of an entry"),
}


@pytest.mark.parametrize(("index", "complaint"), NO_INDEX.values(), ids=NO_INDEX)
@pytest.mark.parametrize("command", ["prove", "show"])
def test_an_entry_is_not_found_at(run: Run, command: str, index: str, complaint: str) -> None:
    refused = run(f"log {command} --data data", index)
    assert refused.returncode == 64
    assert complaint in refused.stderr
    assert len(refused.stderr) < 400


def test_an_entry_is_shown_with_all_that_the_log_knows(run: Run) -> None:
    shown = run("log show 6 --data data").stdout
    assert "ids           deployment_id=d-" in shown
    told = json.loads(run("log show 6 --data data --json").stdout)
    assert (told["index"], told["occurrence"], told["assurance"]) == (6, 1, "signed")
    assert json.loads(told["payload"])["predicate"]["phase"] == "applied"


# Fsck ---------------------------------------------------------------------------------------------


def test_a_sound_log_adds_up_step_by_step(run: Run) -> None:
    checked = run("log fsck --data data")
    assert checked.returncode == 0
    assert checked.stdout.count("✓") == 8
    assert checked.stdout.endswith("7 entries: everything adds up.\n")
    lines = [json.loads(line) for line in run("log fsck --data data --json").stdout.splitlines()]
    assert [line["step"] for line in lines[:-1]] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert {line["result"] for line in lines} == {"holds"}


DAMAGE = {
    "a changed body": "UPDATE entry SET body = CAST(replace(body, 'local', 'loyal') AS BLOB)",
    "a missing entry": "DELETE FROM entry WHERE idx = 5",
    "a changed column": "UPDATE entry SET key_id = 'k-' WHERE idx = 5",
    "a changed head": "UPDATE log SET root = zeroblob(32)",
    "a missing head": "DELETE FROM log",
    "a missing checkpoint": "DELETE FROM checkpoint",
    "a changed checkpoint": "UPDATE checkpoint SET note = replace(note, 'team', 'taem')",
    "a foreign table": "CREATE TABLE mine (x)",
    "an unknown schema version": "PRAGMA user_version = 7",
}


@pytest.mark.parametrize("statement", DAMAGE.values(), ids=DAMAGE)
def test_fsck_does_not_pass(run: Run, team: Path, statement: str) -> None:
    damaged = sqlite3.connect(team / "data" / "log.db")
    for trigger in ("entry_stays", "entry_is_fixed", "origin_is_fixed"):
        damaged.execute(f"DROP TRIGGER {trigger}")
    damaged.execute(statement)
    damaged.commit()
    damaged.close()
    checked = run("log fsck --data data")
    assert checked.returncode in {1, 64}
    assert "✗" in checked.stdout or checked.stderr
    assert "adds up" not in checked.stdout


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"\0" * 73_728, b"no database"])
def test_fsck_does_not_pass_a_file_that_is_no_database(
    run: Run, team: Path, content: bytes
) -> None:
    (team / "data" / "log.db").write_bytes(content)
    checked = run("log fsck --data data")
    assert checked.returncode in {1, 64}


def test_a_policy_of_another_log_is_noticed(run: Run, team: Path) -> None:
    run("log init --data other")
    shutil.copy(team / "other" / "policy", team / "data" / "policy")
    assert run("log fsck --data data").returncode == 1
    refused = run("log checkpoint --publish --data data")
    assert refused.returncode == 64
    assert "Restore keys/ and policy from the same backup" in refused.stderr


def test_an_export_is_checked_file_by_file(run: Run, team: Path) -> None:
    checked = run("log fsck site")
    assert checked.returncode == 0
    assert "Signatures are not part of this" in checked.stdout
    (team / "site" / "tile" / "0" / "000.p" / "7").write_bytes(bytes(7 * 32))
    checked = run("log fsck site --json")
    assert checked.returncode == 1
    step, end = map(json.loads, checked.stdout.splitlines())
    assert step["faults"] == ["tile/0/000.p/7 does not follow from the entries."]
    assert end == {"result": "fails", "faults": 1}


@pytest.mark.parametrize("where", ["data", "nowhere", "policy", "site --data data"])
def test_what_is_no_export_is_refused(run: Run, where: str) -> None:
    assert run(f"log fsck {where}").returncode == 64


# Export and policy --------------------------------------------------------------------------------


def test_an_export_grows_in_place(run: Run, team: Path) -> None:
    more = (team / "markers.ndjson").read_text().replace("checkout", "basket")
    (team / "more.ndjson").write_text(more)
    run("log append more.ndjson --data data --sign ci.pem")
    grown = run("log export site --data data --json")
    assert json.loads(grown.stdout) == {
        "directory": "site",
        "origin": "log.example/team",
        "size": 10,
    }
    assert run("verify site --policy policy").returncode == 0


TARGETS = {
    "a file": ("policy", {64, 69}),
    "a place below a file": ("policy/site", {64, 69}),
    "the export of another log": ("othersite", {64}),
}


@pytest.mark.parametrize(("target", "codes"), TARGETS.values(), ids=TARGETS)
def test_an_export_is_not_written_to(run: Run, team: Path, target: str, codes: set[int]) -> None:
    run("log init --data other")
    run("log export othersite --data other")
    before = (team / "policy").read_bytes()
    assert run("log export --data data", target).returncode in codes
    assert (team / "policy").read_bytes() == before


def test_the_policy_is_what_verify_reads(run: Run) -> None:
    printed = run("log policy --data data").stdout
    lines = printed.splitlines()
    assert [line.split()[0] for line in lines] == ["log", "log", "quorum"]
    assert json.loads(run("log policy --data data --json").stdout) == {"policy": printed}


# The data directory -------------------------------------------------------------------------------

COMMANDS = {
    "checkpoint": "log checkpoint",
    "publish": "log checkpoint --publish",
    "prove": "log prove 0",
    "show": "log show 0",
    "fsck": "log fsck",
    "export": "log export new",
    "policy": "log policy",
    "append": "log append markers.ndjson --sign ci.pem",
    "keys ls": "keys ls",
    "recover": "log recover --accept",
    "witness ls": "log witness ls",
}


@pytest.mark.parametrize("missing", ["log.db", "policy", "keys/log-ed25519.pem", ""])
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_part_that_is_missing_is_named_and_nothing_takes_its_place(
    run: Run, team: Path, command: str, missing: str
) -> None:
    lost = team / "data" / missing
    lost.rename(team / "lost")
    refused = run(f"{command} --data data --json")
    assert refused.returncode == 64
    error = json.loads(refused.stderr)
    assert error["error"] == "bad_data_directory"
    assert missing in error["message"]
    assert not lost.exists()
    assert not (team / "new").exists()


def test_a_data_directory_that_is_a_file_is_refused(run: Run) -> None:
    for command in COMMANDS.values():
        assert run(f"{command} --data policy").returncode == 64


@pytest.mark.parametrize("name", ["checkpoint", "prove", "show", "fsck", "export"])
def test_who_only_reads_is_told_where_the_log_is_and_not_to_make_one(run: Run, name: str) -> None:
    refused = run(COMMANDS[name])
    assert refused.returncode == 64
    assert "There is no data directory deploymark-data." in refused.stderr
    assert "Name their directory with --data or DEPLOYMARK_DATA" in refused.stderr
    assert "log init" not in refused.stderr


def test_where_the_log_is_may_be_said_once_for_all(
    run: Run, team: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOYMARK_DATA", str(team / "data"))
    assert run("log export new").returncode == 0
    assert (team / "new" / "checkpoint").exists()
