"""`deploymark log init`: a log comes to be whole, in a new place, or not at all."""

import stat
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., CompletedProcess[str]]


def test_a_new_log_has_its_keys_its_policy_its_guard_and_one_entry(run: Run, place: Path) -> None:
    made = run("log init --data data --origin log.example/team")
    assert made.returncode == 0
    assert "Created the log log.example/team in data." in made.stdout
    files = {each.relative_to(place).as_posix() for each in place.rglob("*") if each.is_file()}
    assert files >= {
        "data.guard",
        "data/log.db",
        "data/policy",
        "data/keys/log-ed25519.pem",
        "data/keys/log-ml-dsa-44.pem",
        "data/keys/platform.pem",
    }
    modes = {stat.S_IMODE(each.stat().st_mode) for each in (place / "data" / "keys").iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE((place / "data").stat().st_mode) == 0o700
    shown = run("log show 0 --data data")
    assert '"action":"registered"' in shown.stdout
    assert run("log fsck --data data").returncode == 0


def test_without_an_origin_the_log_is_named_by_chance(run: Run) -> None:
    made = [run("log init --data", name).stdout.split()[3] for name in ("one", "two")]
    assert made[0] != made[1]
    assert all(name.startswith("deploymark.local/") for name in made)


def test_an_empty_directory_is_as_good_as_none(run: Run, place: Path) -> None:
    (place / "data").mkdir()
    assert run("log init --data data").returncode == 0


def test_the_data_directory_is_taken_from_the_environment(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOYMARK_DATA", "elsewhere")
    assert run("log init").returncode == 0
    assert (place / "elsewhere" / "log.db").exists()
    monkeypatch.delenv("DEPLOYMARK_DATA")
    assert run("log init").returncode == 0
    assert (place / "deploymark-data" / "log.db").exists()


BAD_ORIGINS = {
    "an empty one": "",
    "one with a space": "two words",
    "one with a plus": "a+b",
    "one with a line end": "a\nb",
    "one with a control character": "a\x1b[31mb",
    "one that is no UTF-8": "a\udcffb",
    "one of 256 bytes": "o" * 256,
}


@pytest.mark.parametrize("origin", BAD_ORIGINS.values(), ids=BAD_ORIGINS)
def test_an_origin_that_cannot_name_a_key_is_refused(run: Run, place: Path, origin: str) -> None:
    refused = run("log init --data data --origin", origin)
    assert refused.returncode == 64
    assert list(place.iterdir()) == []


def test_a_place_that_is_taken_is_left_alone(run: Run, team: Path) -> None:
    before = (team / "data" / "log.db").read_bytes()
    refused = run("log init --data data")
    assert refused.returncode == 64
    assert "data exists and is not empty" in refused.stderr
    assert (team / "data" / "log.db").read_bytes() == before
    assert run("log init --data markers.ndjson").returncode == 64


def test_a_guard_that_was_left_over_keeps_a_new_log_away(run: Run, team: Path) -> None:
    (team / "data").rename(team / "moved")
    refused = run("log init --data data")
    assert refused.returncode == 64
    assert "data.guard remembers a log that was here before" in refused.stderr
    assert not (team / "data").exists()


def test_a_parent_that_is_a_file_is_refused_without_a_trace(run: Run, team: Path) -> None:
    before = sorted(team.iterdir())
    refused = run("log init --data policy/data")
    assert refused.returncode in {64, 69}
    assert sorted(team.iterdir()) == before


def test_a_passphrase_locks_every_private_key(run: Run, place: Path) -> None:
    (place / "secret").write_text("correct horse\n")
    assert run("log init --data data --passphrase-file secret").returncode == 0
    for key in (place / "data" / "keys").iterdir():
        assert key.read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert run("log checkpoint --publish --data data").returncode == 64
    assert run("log checkpoint --publish --data data --passphrase-file secret").returncode == 0


def test_programs_are_told_where_everything_is(run: Run) -> None:
    made = run("log init --data data --json")
    assert '"origin": "deploymark.local/' in made.stdout
    assert '"size": 1' in made.stdout
