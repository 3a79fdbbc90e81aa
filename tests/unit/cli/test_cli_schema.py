"""`deploymark schema`: the contract, and a check of a team's own files against it."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., CompletedProcess[str]]
GOOD = '{"service":"a","environment":"prod","phase":"applied","version":"1"}'


def test_every_schema_is_listed_and_can_be_shown(run: Run) -> None:
    rows = [json.loads(line) for line in run("schema ls --json").stdout.splitlines()]
    assert {"marker", "key", "leaf"} <= {row["name"] for row in rows}
    for row in rows:
        shown = json.loads(run(f"schema show {row['name']}/{row['version']}").stdout)
        assert "$schema" in shown
    assert run("schema ls").stdout.startswith("NAME        VERSION\n")


def test_a_schema_without_a_version_is_the_newest_and_json_is_one_line(run: Run) -> None:
    newest = run("schema show marker").stdout
    assert newest == run("schema show marker/1").stdout
    in_one_line = run("schema show marker --json").stdout
    assert in_one_line.count("\n") == 1
    assert json.loads(in_one_line) == json.loads(newest)


@pytest.mark.parametrize(
    "name", ["nothing", "marker/2", "marker/", "marker/²", "marker/-1", f"marker/{'1' * 5000}", ""]
)
def test_there_is_no_schema(run: Run, name: str) -> None:
    refused = run("schema show", name)
    assert refused.returncode == 64
    assert len(refused.stderr) < 400


def test_a_file_that_keeps_the_contract(run: Run, place: Path) -> None:
    (place / "good").write_text(f"{GOOD}\n{GOOD}\n")
    assert run("schema check good").stdout == "1 file: the contract holds.\n"
    assert run("schema check good good --json").stdout == ""


def test_every_problem_of_every_file_is_named_with_its_place(run: Run, place: Path) -> None:
    (place / "good").write_text(GOOD)
    (place / "bad").write_text(
        f'{GOOD}\n{{"service":"a","phase":"done","version":"1"}}\n{{not json\n'
    )
    checked = run("schema check good bad")
    assert checked.returncode == 1
    assert "bad:2: /environment is missing." in checked.stdout
    assert "bad:2: /phase" in checked.stdout
    assert "bad:3: Not JSON" in checked.stdout
    assert checked.stdout.endswith("2 files: 3 problems.\n")
    told = [json.loads(line) for line in run("schema check bad --json").stdout.splitlines()]
    assert {(each["file"], each["line"]) for each in told} == {("bad", 2), ("bad", 3)}


def test_problems_of_an_array_name_the_item(run: Run, place: Path) -> None:
    (place / "bad").write_text(f'[{GOOD}, {{"service":"a","environment":"prod","version":"1"}}]')
    assert "bad:1: /1/phase" in run("schema check bad").stdout


@pytest.mark.parametrize("file", ["nowhere", ".", "latin1"])
def test_a_file_that_cannot_be_read_is_no_problem_of_the_contract(
    run: Run, place: Path, file: str
) -> None:
    (place / "latin1").write_bytes(b'{"service": "caf\xe9"}')
    assert run("schema check", file).returncode == 64
