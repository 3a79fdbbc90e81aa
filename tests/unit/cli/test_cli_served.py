"""What a server is asked: `ls`, `show`, `receipt`, its policy and its producer keys."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import NamedTuple

import pytest

Run = Callable[..., CompletedProcess[str]]


class Server(NamedTuple):
    """As in conftest."""

    url: str
    token: str
    data: Path


def mark(run: Run, service: str, phase: str = "applied", more: str = "--version 1") -> str:
    """Mark something and return the deployment's id."""
    said = run(f"mark {phase} --service {service} --environment prod {more} --json --require")
    assert said.returncode == 0, said.stderr
    return str(json.loads(said.stdout)["deployment_id"])


# ls and show --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("server")
def test_the_deployment_that_opened_last_stands_first(run: Run) -> None:
    ids = [mark(run, "order", more=f"--version {number}") for number in range(3)]
    lines = run("ls --service order").stdout.splitlines()
    assert lines[0].split() == ["OPENED", "SERVICE", "ENVIRONMENT", "WHAT", "STATE", "DEPLOYMENT"]
    assert [line.split()[-1] for line in lines[1:]] == ids[::-1]
    assert [line.split()[-2] for line in lines[1:]] == ["running", "superseded", "superseded"]
    assert len(run("ls --service order --last 2 --json").stdout.splitlines()) == 2


@pytest.mark.usefixtures("server")
def test_more_than_a_page_is_asked_for_page_by_page(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [mark(run, "pages", more=f"--version {number}") for number in range(5)]
    monkeypatch.setattr("deploymark.cli.ls._PAGE", 2)
    lines = run("ls --service pages --json").stdout.splitlines()
    assert [json.loads(line)["deployment_id"] for line in lines] == ids[::-1]


@pytest.mark.usefixtures("server")
def test_nothing_known_is_no_error(run: Run) -> None:
    shown = run("ls --service nobody")
    assert (shown.returncode, shown.stdout) == (0, "No deployment is known of these.\n")
    assert run("ls --service nobody --json").stdout == ""


@pytest.mark.usefixtures("server")
def test_one_deployment_is_shown_with_all_its_markers(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploymark.cli.show._PAGE", 1)
    phases = ("planned", "applying", "applied")
    (name,) = {mark(run, "shown", phase, "--version 1 --cluster eu-1") for phase in phases}
    shown = run("show", name).stdout
    assert "version        1\n" in shown
    assert "eu-1: live since " in shown
    (line,) = [each for each in shown.splitlines() if each.startswith("occurrence ")]
    assert re.fullmatch(r"occurrence     1: since [-:.0-9T]+Z, running", line)
    table = shown.partition("\n\n")[2].splitlines()
    assert tuple(line.split()[2] for line in table[1:]) == phases


@pytest.mark.usefixtures("server")
def test_a_deployment_of_which_nothing_is_left_says_so(run: Run) -> None:
    name = mark(run, "emptied")
    instance = "--version 1 --instance-uid emptied-1 --emitter-kind orchestrator"
    mark(run, "emptied", "running", instance)
    assert "no instance is known" not in run("show", name).stdout
    mark(run, "emptied", "removed", instance)
    shown = run("show", name).stdout
    assert "state          running\n" in shown
    assert "runs           no instance is known to run\n" in shown
    mark(run, "emptied", more="--version 2")
    assert "no instance is known" not in run("show", name).stdout


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("name", ["d-x", "../tokens", "a?b=c", "", " ", "d-x#y", "é"])
def test_there_is_no_deployment(run: Run, name: str) -> None:
    refused = run("show", name)
    assert refused.returncode == 64


# Receipts -----------------------------------------------------------------------------------------


def published_receipt(run: Run, index: int, *flags: object) -> CompletedProcess[str]:
    """Fetch a receipt, which the next checkpoint makes possible within a second."""
    fetched = run("receipt", index, *flags)
    for _ in range(100):
        if fetched.returncode == 0:
            break
        time.sleep(0.05)
        fetched = run("receipt", index, *flags)
    assert fetched.returncode == 0, fetched.stderr
    return fetched


def test_a_receipt_of_a_server_is_verified_with_its_policy_and_keys(
    run: Run, server: Server
) -> None:
    said = run("mark applied --service proven --environment prod --version 1 --json --require")
    index = json.loads(said.stdout)["index"]
    published_receipt(run, index, "--out", "receipt")
    Path("policy").write_text(run("log policy --url", server.url).stdout)
    Path("keys.json").write_text(run("keys ls --export --url", server.url).stdout)
    verified = run("verify receipt --policy policy --keys keys.json")
    assert verified.returncode == 0, verified.stdout
    assert run("receipt --out receipt", index).returncode == 64
    assert json.loads(run("receipt --json", index).stdout)["index"] == index
    assert run("receipt", index).stdout == Path("receipt").read_text()


@pytest.mark.usefixtures("server")
def test_an_entry_that_is_not_there_has_no_receipt(run: Run) -> None:
    assert run("receipt 9007199254740990").returncode == 64


# Policy and keys ----------------------------------------------------------------------------------


def test_a_server_shows_the_policy_and_keys_of_its_log(run: Run, server: Server) -> None:
    for line in ("log policy", "keys ls"):
        own, served = run(line, "--data", server.data), run(line, "--url", server.url)
        assert (served.returncode, served.stdout) == (0, own.stdout)


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("line", ["log policy --data none", "keys ls", "keys trust one.pem.pub"])
def test_who_has_no_files_of_the_log_is_told_how_to_ask_a_server(run: Run, line: str) -> None:
    run("keys new one.pem")
    refused = run(line)
    assert refused.returncode == 64
    assert '`--url "$DEPLOYMARK_URL"`' in refused.stderr


def test_who_has_no_files_of_the_log_gets_the_policy_from_the_server_of_the_environment(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOYMARK_URL", server.url)
    assert run("log policy").stdout == run("log policy --data", server.data).stdout


def test_keys_of_a_running_server_are_changed_by_asking_it(run: Run, server: Server) -> None:
    for name in ("one", "two", "boss"):
        run(f"keys new {name}.pem")
    busy = run("keys trust one.pem.pub --data", server.data)
    assert busy.returncode == 69
    assert "add --url" in busy.stderr
    here = ("--url", server.url, "--data", server.data)
    assert run("keys trust boss.pem.pub --name boss --entry key", *here).returncode == 0
    trusted = run("keys trust one.pem.pub --by boss.pem --json --url", server.url)
    one = json.loads(trusted.stdout)["key_id"]
    rotated = run(f"keys rotate {one} two.pem.pub --by boss.pem --json --url", server.url)
    two = json.loads(rotated.stdout)["key_id"]
    assert run(f"keys revoke {two}", *here).returncode == 0
    listed = [
        json.loads(line)
        for line in run("keys ls --json --url", server.url).stdout.split("\n")
        if line
    ]
    may_sign = {each["key_id"]: each["may_sign"] for each in listed}
    assert not may_sign[one].endswith("-")
    assert not may_sign[two].endswith("-")
    refused = run("keys trust two.pem.pub --by one.pem --url", server.url)
    assert refused.returncode == 77


def test_without_a_key_to_sign_with_a_server_is_not_asked(run: Run, server: Server) -> None:
    run("keys new one.pem")
    refused = run("keys trust one.pem.pub --url", server.url)
    assert refused.returncode == 64
    assert "--by" in refused.stderr


# Tokens that are not enough -----------------------------------------------------------------------


def test_who_has_no_token_is_told_where_one_goes(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOYMARK_TOKEN", "")
    refused = run("ls --url", server.url)
    assert refused.returncode == 77
    assert "DEPLOYMARK_TOKEN" in refused.stderr
    assert "`deploymark tokens new NAME --role reader` makes one." in refused.stderr


def test_a_token_of_another_role_is_named_and_does_not_stop_a_signed_key_entry(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = json.loads(run("tokens new looker --role reader --json").stdout)["token"]
    monkeypatch.setenv("DEPLOYMARK_TOKEN", token)
    refused = run("tokens ls")
    assert refused.returncode == 77
    sentence, hint = refused.stderr.splitlines()
    assert sentence == "deploymark: This needs the role admin; token:looker has reader."
    assert hint.startswith("  hint: Ask an administrator for a token with the role or scope")
    run("keys new looked.pem")
    platform = server.data / "keys" / "platform.pem"
    trusted = run("keys trust looked.pem.pub --json --url", server.url, "--by", platform)
    assert trusted.returncode == 0, trusted.stderr
    key = json.loads(trusted.stdout)["key_id"]
    refused = run(f"keys revoke {key} --distrust-from 9999 --url", server.url, "--by", platform)
    assert refused.returncode == 64
    assert "beyond the log" in refused.stderr


IN_FLAGS = {
    "ls --state runing": ("--state is 'runing'; it may be ", "Did you mean `running`?"),
    "ls --kind deploymnt": ("--kind is 'deploymnt'", "Did you mean `deployment`?"),
    "ls --state x": ("--state is 'x'", "`deploymark ls --help` shows what it takes."),
    "timeline --type markr": ("--type is 'markr'", "Did you mean `marker`?"),
    f"ls --service {'a' * 300}": ("--service is 'aaa", "`deploymark ls --help` shows"),
    "freeze --environment '' --reason x": ("--environment is empty.", "`deploymark freeze --help`"),
}


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("line", IN_FLAGS)
def test_what_a_server_refuses_is_said_of_the_flag_that_it_came_from(run: Run, line: str) -> None:
    refused = run(line)
    assert refused.returncode == 64
    sentence, hint = refused.stderr.splitlines()
    said, meant = IN_FLAGS[line]
    assert sentence.startswith(f"deploymark: {said}")
    assert hint.startswith(f"  hint: {meant}")
