"""`deploymark keys`: made, trusted, rotated, revoked and listed."""

import json
import shlex
import stat
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

Run = Callable[..., CompletedProcess[str]]
pytestmark = pytest.mark.usefixtures("team")


def listed(run: Run) -> dict[str, dict[str, Any]]:
    """Return the rows of `keys ls` by name."""
    rows = [json.loads(line) for line in run("keys ls --data data --json").stdout.splitlines()]
    return {row["name"]: row for row in rows}


def identity(run: Run, name: str) -> str:
    """Return the id of a key of the log."""
    return str(listed(run)[name]["key_id"])


def exported(run: Run) -> dict[str, dict[str, Any]]:
    """Return the keys of `keys ls --export` by name."""
    keys = json.loads(run("keys ls --data data --export").stdout)["keys"]
    return {key["name"]: key for key in keys}


# New ----------------------------------------------------------------------------------------------


def test_a_new_key_is_two_files_and_only_one_of_them_is_public(run: Run, place: Path) -> None:
    made = run("keys new deep/ci.pem --json")
    assert made.returncode == 0
    said = json.loads(made.stdout)
    assert said["key_id"].startswith("k-")
    assert stat.S_IMODE((place / "deep" / "ci.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE((place / "deep" / "ci.pem.pub").stat().st_mode) == 0o644
    assert "PRIVATE" not in (place / "deep" / "ci.pem.pub").read_text()


@pytest.mark.parametrize("taken", ["new.pem", "new.pem.pub"])
def test_a_new_key_overwrites_nothing_and_leaves_nothing(run: Run, place: Path, taken: str) -> None:
    (place / taken).write_text("mine")
    refused = run("keys new new.pem")
    assert refused.returncode == 64
    assert "exists" in refused.stderr
    assert {each.name: each.read_text() for each in place.glob("new*")} == {taken: "mine"}


def test_a_new_key_needs_a_place_that_takes_it(run: Run, team: Path) -> None:
    refused = run("keys new policy/ci.pem")
    assert refused.returncode == 64
    assert "policy/ci.pem" in refused.stderr
    assert (team / "policy").is_file()


# Trust --------------------------------------------------------------------------------------------


def test_a_trusted_key_gets_its_scope_its_name_and_its_reason(run: Run) -> None:
    trusted = run(
        "keys trust stranger.pem.pub --data data --name payments "
        "--service pay-* --service bill --environment prod --kind deployment --phase applied "
        "--phase failed --entry marker --entry finding --reason 'the new team'"
    )
    assert trusted.returncode == 0
    assert trusted.stdout.endswith("in entry 7.\n")
    assert exported(run)["payments"]["scope"] == {
        "services": ["pay-*", "bill"],
        "environments": ["prod"],
        "kinds": ["deployment"],
        "phases": ["applied", "failed"],
        "entries": ["marker", "finding"],
    }
    assert '"reason":"the new team"' in run("log show 7 --data data").stdout


def test_a_key_without_a_scope_may_sign_markers_of_every_service(run: Run) -> None:
    row = listed(run)["ci"]
    assert (row["entries"], row["services"], row["environments"]) == ("marker", "*", "*")
    assert row["may_sign"] == "2-"


def test_a_name_is_the_file_s_name_when_none_is_given(run: Run) -> None:
    run("keys trust stranger.pem.pub --data data")
    assert "stranger.pem" in listed(run)


def test_another_administrator_can_sign_and_stands_in_the_record(run: Run) -> None:
    run("keys trust stranger.pem.pub --data data --by admin.pem")
    assert exported(run)["stranger.pem"]["registered_by"] == identity(run, "admin")


NOT_ALLOWED = {
    "a key without authority": "keys trust stranger.pem.pub --data data --by ci.pem",
    "a key that nobody registered": "keys trust stranger.pem.pub --data data --by stranger.pem",
    "a key that is registered already": "keys trust ci.pem.pub --data data",
    "a revocation by a mere producer": "keys revoke {shop} --data data --by ci.pem",
    "a rotation by somebody else's key": "keys rotate {shop} stranger.pem.pub --data data --by "
    "ci.pem",
    "a rotation to a key that is known": "keys rotate {shop} ci.pem.pub --data data",
    "a revocation of a key that never was": "keys revoke k-00000000000000000000000000 --data data",
}


@pytest.mark.parametrize("line", NOT_ALLOWED.values(), ids=NOT_ALLOWED)
def test_not_allowed_is(run: Run, line: str) -> None:
    before = run("keys ls --data data").stdout
    refused = run(line.format(shop=identity(run, "shop")))
    assert refused.returncode == 77
    assert refused.stdout == ""
    assert run("keys ls --data data").stdout == before


BAD_FILES = {
    "a private key": "keys trust ci.pem --data data",
    "a directory": "keys trust data --data data",
    "a missing file": "keys trust nowhere.pub --data data",
    "another text": "keys trust policy --data data",
    "a public key to sign with": "keys trust stranger.pem.pub --data data --by admin.pem.pub",
    "an id that is none": "keys revoke ci --data data",
    "a log that is not there": "keys ls --data nowhere",
    "a negative index": "keys revoke k-00000000000000000000000000 --data data --distrust-from=-1",
    "an index without an end": "keys revoke k-00000000000000000000000000 --data data "
    f"--distrust-from {'9' * 5000}",
}


@pytest.mark.parametrize("line", BAD_FILES.values(), ids=BAD_FILES)
def test_of_no_use_is(run: Run, line: str) -> None:
    refused = run(line)
    assert refused.returncode == 64
    assert len(refused.stderr) < 600


# Rotate and revoke --------------------------------------------------------------------------------


def test_a_rotated_key_hands_on_its_scope_and_ends(run: Run) -> None:
    old = identity(run, "shop")
    rotated = run("keys rotate", old, *shlex.split("stranger.pem.pub --data data --name shop-2"))
    assert rotated.returncode == 0
    assert rotated.stdout.startswith("Rotated to k-")
    keys = exported(run)
    assert keys["shop"]["end_index"] == 7
    assert keys["shop-2"]["successor_of"] == old
    assert keys["shop-2"]["scope"] == keys["shop"]["scope"]


def test_a_key_can_rotate_itself(run: Run, team: Path) -> None:
    line = f"keys rotate {identity(run, 'ci')} stranger.pem.pub --data data --by ci.pem"
    assert run(line).returncode == 0
    again = (team / "markers.ndjson").read_text().replace("checkout", "basket")
    (team / "more.ndjson").write_text(again)
    assert run("log append more.ndjson --data data --sign ci.pem").returncode == 1
    assert run("log append more.ndjson --data data --sign stranger.pem").returncode == 0


def test_a_revoked_key_stays_in_the_list_with_its_end(run: Run) -> None:
    revoked = run(f"keys revoke {identity(run, 'ci')} --data data --reason 'laptop lost'")
    assert revoked.returncode == 0
    assert listed(run)["ci"]["may_sign"] == "2-6"
    assert '"reason":"laptop lost"' in run("log show 7 --data data").stdout


def test_distrust_reaches_back(run: Run) -> None:
    run(f"keys revoke {identity(run, 'ci')} --data data --distrust-from 5")
    assert listed(run)["ci"]["may_sign"] == "2-4"


def test_a_key_that_never_counted_is_shown_as_such(run: Run) -> None:
    run(f"keys revoke {identity(run, 'ci')} --data data --distrust-from 0")
    assert listed(run)["ci"]["may_sign"] == "nothing"


def test_the_last_administrator_cannot_be_revoked(run: Run) -> None:
    platform = identity(run, "platform")
    assert run(f"keys revoke {identity(run, 'admin')} --data data").returncode == 0
    refused = run(f"keys revoke {platform} --data data")
    assert refused.returncode == 77
    assert "no administrator's key would be left" in refused.stderr
    assert listed(run)["platform"]["may_sign"] == "1-"


def test_an_administrator_can_be_revoked_by_the_other(run: Run) -> None:
    platform = identity(run, "platform")
    assert run(f"keys revoke {platform} --data data --by admin.pem").returncode == 0
    assert run("keys trust stranger.pem.pub --data data").returncode == 77
    assert run("keys trust stranger.pem.pub --data data --by admin.pem").returncode == 0


def test_trust_is_not_taken_from_entries_that_are_not_there(run: Run) -> None:
    refused = run(f"keys revoke {identity(run, 'ci')} --data data --distrust-from 8")
    assert refused.returncode == 64
    assert "beyond the log, which has 7 entries" in refused.stderr
