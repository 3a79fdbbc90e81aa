"""`tokens`: made, listed and ended, by the server or by its files."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, NamedTuple

import pytest

Run = Callable[..., CompletedProcess[str]]


class Server(NamedTuple):
    """As in conftest."""

    url: str
    token: str
    data: Path


SCOPE = "--service 'shop-*' --environment prod --phase applied"
BOTH = pytest.mark.parametrize("by_files", [False, True], ids=["by the server", "by its files"])


def at(server: Server, *, by_files: bool) -> str:
    """Return the flag that says where tokens are."""
    return f"--data {server.data}" if by_files else ""


def made(run: Run, name: str, flags: str, where: str = "") -> dict[str, Any]:
    """Make a token and return what is said of it."""
    said: dict[str, Any] = json.loads(run(f"tokens new {name} {flags} --json {where}").stdout)
    return said


@BOTH
def test_a_new_token_is_shown_once_and_the_same_both_ways(
    run: Run, server: Server, *, by_files: bool
) -> None:
    where, name = at(server, by_files=by_files), f"scoped-{by_files:d}"
    said = made(run, name, f"--role emitter {SCOPE} --lifetime 90d", where)
    assert set(said) == {
        "token",
        "id",
        "name",
        "roles",
        "scope",
        "created_at",
        "created_by",
        "expires_at",
        "revoked_at",
        "is_live",
    }
    assert said["token"].startswith(f"dmk_{said['id']}_")
    assert said["scope"]["services"] == ["shop-*"]
    listed = run(f"tokens ls {where}").stdout
    secret = said["token"].split("_", 2)[2]  # which may hold an underscore itself
    assert secret not in listed
    assert "shop-* in prod" in listed


@BOTH
def test_people_are_told_what_to_do_with_it(run: Run, server: Server, *, by_files: bool) -> None:
    where = at(server, by_files=by_files)
    said = run(f"tokens new person-{by_files:d} --role reader {where}").stdout.splitlines()
    assert said[0].startswith("dmk_")
    assert "shown once" in said[1]


@BOTH
def test_a_token_that_was_ended_lets_nobody_in(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch, *, by_files: bool
) -> None:
    where = at(server, by_files=by_files)
    token = made(run, f"ended-{by_files:d}", "--role reader")
    ended = run(f"tokens revoke {token['id']} {where}")
    assert ended.returncode == 0
    assert run(f"tokens revoke {token['id']} {where}").returncode == 0
    monkeypatch.setenv("DEPLOYMARK_TOKEN", token["token"])
    assert run("ls").returncode == 77


@pytest.mark.usefixtures("server")
def test_an_emitter_may_emit_in_its_scope_and_nothing_else(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = made(run, "narrow", f"--role emitter {SCOPE}")["token"]
    monkeypatch.setenv("DEPLOYMARK_TOKEN", token)
    mark = "mark applied --environment prod --version 1 --require --service"
    said = run(f"{mark} shop-a --json")
    assert said.returncode == 0
    assert run("receipt", json.loads(said.stdout)["index"]).returncode in {0, 64}
    mark = mark.replace("--require", "--require --budget 1")
    assert run(f"{mark} basket").returncode == 77
    kept = run(f"{mark.replace('--require', '')} bucket").stdout
    assert "kept in the spool" in kept
    assert "`deploymark flush` tries it at once, and lists what is left." in kept
    for line in ("ls", "tokens ls", "receipt 0"):
        assert run(line).returncode == 77
    monkeypatch.setenv("DEPLOYMARK_TOKEN", "")
    assert run("ls").returncode == 77


def test_the_last_administrator_is_left_to_those_with_the_files(run: Run, server: Server) -> None:
    (own,) = [
        json.loads(line)
        for line in run("tokens ls --json").stdout.splitlines()
        if json.loads(line)["name"] == "admin"
    ]
    others = [
        json.loads(line)["id"]
        for line in run("tokens ls --json").stdout.splitlines()
        if "admin" in json.loads(line)["roles"] and json.loads(line)["id"] != own["id"]
    ]
    assert not others
    refused = run(f"tokens revoke {own['id']}")
    assert refused.returncode in {64, 77}
    assert "last" in refused.stderr
    assert run("tokens ls").returncode == 0
    assert server.token


WRONG = {
    "a role that is none": "new a --role boss",
    "no role": "new a",
    "a scope of somebody who does not emit": "new a --role reader --service x",
    "a lifetime without a unit": "new a --role reader --lifetime 90",
    "a lifetime of nothing": "new a --role reader --lifetime 0d",
    "a lifetime in superscript": "new a --role reader --lifetime ²d",
    "a lifetime of ages": f"new a --role reader --lifetime {'9' * 15}d",
    "a name with a blank": "new 'a b' --role reader",
    "an id that is none": "revoke ../session",
    "an id of nobody": "revoke 000000000000",
}


@BOTH
@pytest.mark.parametrize("line", WRONG.values(), ids=WRONG)
def test_there_is_no_token_with(run: Run, server: Server, line: str, *, by_files: bool) -> None:
    assert run(f"tokens {line} {at(server, by_files=by_files)}").returncode == 64


@pytest.mark.usefixtures("server")
def test_a_name_is_taken_while_its_token_lives(run: Run) -> None:
    first = made(run, "taken", "--role reader")
    assert run("tokens new taken --role reader").returncode == 64
    run(f"tokens revoke {first['id']}")
    assert run("tokens new taken --role reader").returncode == 0


def test_without_a_data_directory_its_files_make_no_token(run: Run) -> None:
    refused = run("tokens new a --role admin --data nowhere")
    assert refused.returncode == 64
    assert "There is no data directory nowhere" in refused.stderr
    assert not os.path.lexists("nowhere")
