"""`deploymark log witness`: made, added, listed. A running one is in tests/scenarios."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., CompletedProcess[str]]
URL = "https://witness.example/w"


@pytest.fixture
def vkeys(run: Run, team: Path) -> list[str]:  # noqa: ARG001 - the witnesses of a team
    """Verifier keys of three witnesses; the first two belong to one."""
    first: list[str] = json.loads(run("log witness init w1 --name w.example/1 --json").stdout)[
        "vkeys"
    ]
    second = json.loads(run("log witness init w2 --name w.example/2 --json").stdout)["vkeys"]
    return [*first, second[0]]


def test_a_witness_is_a_directory_with_two_keys(run: Run, place: Path) -> None:
    made = run("log witness init w --name w.example/1")
    assert made.returncode == 0
    assert made.stdout.count("w.example/1+") == 2
    keys = list((place / "w" / "keys").iterdir())
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
    assert len(keys) == 2


@pytest.mark.parametrize("name", ["", "two words", "a+b", "o" * 256])
def test_a_witness_has_a_name_that_a_key_can_have(run: Run, place: Path, name: str) -> None:
    assert run("log witness init w --name", name).returncode == 64
    assert list(place.iterdir()) == []


@pytest.mark.usefixtures("team")
def test_a_witness_is_made_in_a_new_place(run: Run) -> None:
    assert run("log witness init data --name w.example/1").returncode == 64


@pytest.mark.usefixtures("team")
def test_the_quorum_follows_the_rule(run: Run, vkeys: list[str]) -> None:
    added = run("log witness add one", vkeys[0], URL, "--data", "data")
    assert added.stdout.endswith("it demands 1 of 1 witness.\n")
    assert run("log policy --data data").stdout.endswith(
        "group witnesses 1 one\nquorum witnesses\n"
    )
    run("log witness add two", vkeys[2], URL, "--quorum", "all", "--data", "data")
    assert "group witnesses 2 one two\n" in run("log policy --data data").stdout
    added = run("log witness add two", vkeys[2], URL, "--quorum", "none", "--data", "data")
    assert added.stdout.endswith("it demands no witness.\n")
    assert run("log policy --data data").stdout.endswith("quorum none\n")
    rows = run("log witness ls --data data --json").stdout.splitlines()
    assert [json.loads(row)["name"] for row in rows] == ["one", "two"]
    assert json.loads(rows[0]) == {"name": "one", "url": URL, "key_name": "w.example/1"}


def test_a_witness_can_be_taken_out_again(run: Run, team: Path, vkeys: list[str]) -> None:
    before = (team / "data" / "policy").read_text()
    run("log witness add one", vkeys[0], URL, "--data", "data")
    assert run("log witness rm two --data data").returncode == 64
    refused = run("log witness rm one --data data")
    assert refused.returncode == 64
    assert "none without a witness" in refused.stderr
    assert run("log witness rm one --quorum none --data data").returncode == 0
    assert (team / "data" / "policy").read_text() == before


@pytest.mark.usefixtures("team")
def test_a_log_without_witnesses_lists_none(run: Run) -> None:
    assert run("log witness ls --data data").stdout == "NAME  URL  KEY NAME\n"
    assert run("log witness ls --data data --json").stdout == ""


BAD = {
    "a name of two words": ("two words", None, URL, "any"),
    "a name that breaks the line": ("a\nquorum none", None, URL, "any"),
    "the name of the group": ("witnesses", None, URL, "any"),
    "the name none": ("none", None, URL, "any"),
    "an empty name": ("", None, URL, "any"),
    "a key that is none": ("one", "w.example/1", URL, "any"),
    "a URL without protection": ("one", None, "http://witness.example/w", "any"),
    "a URL of another scheme": ("one", None, "ftp://witness.example/w", "any"),
    "a URL of two words": ("one", None, "https://witness.example/ w", "any"),
    "a URL that breaks the line": ("one", None, f"{URL}\nquorum none", "any"),
    "a URL with a port that is none": ("one", None, "https://witness.example:x/", "any"),
    "an empty URL": ("one", None, "", "any"),
    "a quorum of none of one": ("one", None, URL, "0"),
    "a quorum of two of one": ("one", None, URL, "2"),
    "a quorum that is a word": ("one", None, URL, "most"),
    "a quorum in superscript": ("one", None, URL, "²"),
    "a quorum without an end": ("one", None, URL, "1" * 5000),
}


@pytest.mark.parametrize("row", BAD.values(), ids=BAD)
def test_the_policy_stays_as_it_is_with(
    run: Run, team: Path, vkeys: list[str], row: tuple[str, str | None, str, str]
) -> None:
    name, vkey, url, quorum = row
    before = (team / "data" / "policy").read_bytes()
    words = ("log witness add --data data --quorum", quorum, "--", name, vkey or vkeys[0], url)
    assert run(*words).returncode == 64
    assert (team / "data" / "policy").read_bytes() == before


def test_a_log_key_is_no_witness(run: Run, team: Path) -> None:
    vkey = (team / "policy").read_text().split()[1]
    refused = run("log witness add one", vkey, URL, "--data", "data")
    assert refused.returncode == 64


@pytest.mark.usefixtures("team")
def test_one_key_is_one_witness(run: Run, vkeys: list[str]) -> None:
    run("log witness add one", vkeys[0], URL, "--data", "data")
    assert run("log witness add two", vkeys[0], URL, "--data", "data").returncode == 64


def test_publishing_says_that_a_witness_was_away(run: Run, team: Path, vkeys: list[str]) -> None:
    run("log witness add one", vkeys[0], "http://127.0.0.1:9", "--data", "data")
    (team / "one.json").write_text(
        '{"service":"x","environment":"prod","phase":"applied","version":"1"}'
    )
    appended = run("log append one.json --data data --sign ci.pem")
    assert appended.returncode == 0
    assert appended.stdout.endswith("published at size 8, cosigned by 0 of 1 witness.\n")


ADDRESSES = {
    "no port": "127.0.0.1",
    "no host": ":8421",
    "a word": "127.0.0.1:http",
    "a superscript": "127.0.0.1:²",
    "a port beyond the last": "127.0.0.1:65536",
    "a port without an end": f"127.0.0.1:{'1' * 5000}",
    "nothing": "",
    "somebody else's address": "192.0.2.1:0",
}


@pytest.mark.usefixtures("team", "vkeys")
@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
def test_a_witness_cannot_listen_on(run: Run, address: str) -> None:
    refused = run("log witness serve w1 --policy policy --listen", address)
    assert refused.returncode == 64
    assert len(refused.stderr) < 400


SERVES_NOT = {
    "a directory that is no witness": "serve data --policy policy --listen 127.0.0.1:0",
    "no directory": "serve nowhere --policy policy --listen 127.0.0.1:0",
    "without a policy": "serve w1 --listen 127.0.0.1:0",
    "with a policy that is not there": "serve w1 --policy nowhere --listen 127.0.0.1:0",
    "with a policy that is none": "serve w1 --policy markers.ndjson --listen 127.0.0.1:0",
}


@pytest.mark.usefixtures("team")
@pytest.mark.parametrize("line", SERVES_NOT.values(), ids=SERVES_NOT)
def test_a_witness_does_not_serve(run: Run, vkeys: list[str], line: str) -> None:
    assert vkeys
    assert run(f"log witness {line}").returncode == 64


def test_a_log_is_no_witness_of_itself(run: Run, team: Path) -> None:
    own = (team / "policy").read_text().split()[3]
    refused = run("log witness add self", own, URL, "--data", "data")
    assert refused.returncode == 64
    assert "its own key" in refused.stderr
