"""What holds for every command line: exit codes, sentences, streams that go away."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploymark.cli import log, main
from generated_pages import build_parser, commands

Run = Callable[..., CompletedProcess[str]]

_PARSER = build_parser()
assert _PARSER is not None
_COMMANDS = [name.removeprefix("deploymark").strip() for name, _, _ in commands(_PARSER)]


# Help and usage -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", _COMMANDS)
def test_every_command_explains_itself(run: Run, command: str) -> None:
    shown = run(f"{command} --help")
    assert shown.returncode == 0
    assert shown.stdout.startswith("usage: deploymark")
    assert shown.stderr == ""


def test_the_exit_codes_stand_in_the_help(run: Run) -> None:
    shown = run("--help").stdout
    for code in (0, 1, 2, 64, 69, 70, 77, 130, 141):
        assert f"\n  {code:<4}" in shown


def test_the_version_is_the_distribution_s(run: Run) -> None:
    assert run("--version").stdout.startswith("deploymark 0.")


USAGE = {
    "no command": "",
    "an unknown command": "fsck",
    "half a command": "log",
    "an unknown flag": "log fsck --fast",
    "an abbreviated flag": "verify site --pol policy",
    "a flag without its value": "log fsck --data",
    "an argument too many": "log policy now",
    "an argument too few": "log prove",
}


@pytest.mark.parametrize("line", USAGE.values(), ids=USAGE)
@pytest.mark.parametrize("json_flag", ["", " --json"])
def test_a_wrong_command_line_is_refused(run: Run, line: str, json_flag: str) -> None:
    refused = run(line + json_flag)
    assert refused.returncode == 64
    assert refused.stdout == ""
    assert "--help` shows the usage." in refused.stderr


@pytest.mark.parametrize(
    ("line", "command"),
    [("log policy now", "log policy"), ("canary show shop prod", "canary show"), ("ls a", "ls")],
)
def test_an_argument_too_many_leads_to_the_help_of_its_command(
    run: Run, line: str, command: str
) -> None:
    assert f"`deploymark {command} --help` shows the usage." in run(line).stderr


def test_the_help_lists_commands_of_one_word(run: Run) -> None:
    shown = run("--help").stdout
    assert "\n    rollback " in shown
    assert "rollback adopt" not in shown
    assert "doctor dialect" not in shown
    assert "rollback adopt" in run("rollback --help").stdout
    assert "doctor dialect" in " ".join(run("doctor --help").stdout.split())


def test_a_field_that_the_sentence_names_is_not_named_again(run: Run) -> None:
    refused = run("id --environment prod --version 1")
    assert refused.returncode == 64
    assert refused.stderr.splitlines()[0] == "deploymark: --service is missing."


MISSPELT = {
    "alone": ("ls --servise checkout", "--service"),
    "with a value behind =": ("ls --servise=checkout", "--service"),
    "before what must not be missing": ("mark --servise checkout applied", "--service"),
    "for one that is required": ("observe --servise checkout --environment prod", "--service"),
    "of a command of a command": ("log fsck --jsn", "--json"),
    "before a command that is run": ("run --environmnt prod -- true", "--environment"),
}


@pytest.mark.parametrize(("line", "meant"), MISSPELT.values(), ids=MISSPELT)
def test_the_flag_that_was_meant_is_named(run: Run, line: str, meant: str) -> None:
    refused = run(line)
    assert refused.returncode == 64
    assert "Unrecognized arguments: --" in refused.stderr
    command = line.partition(" --")[0]
    assert f"Did you mean `{meant}`? `deploymark {command}" in refused.stderr


def test_what_follows_two_dashes_is_no_flag_of_ours(apart: Run) -> None:
    line = "run --service a --environment prod --version 1 --budget 0 -- true --servise"
    assert apart(line).returncode == 0


# Nothing a user can write makes it fall over ------------------------------------------------------

ODD = [
    "",
    " ",
    "\0",
    "a\0b",
    "\udcff",
    "²",
    "-1",
    "0",
    "9" * 30,
    "9" * 5000,
    "n" * 300,
    "\N{PARTY POPPER}",
    "a\nb",
    "\x1b[2J",
    "--",
    "--json",
    ".",
    "data",
    "site",
    "nowhere",
    "nowhere/x",
    "policy",
    "policy/x",
    "receipt",
    "keys.json",
    "markers.ndjson",
    "envelope.json",
    "ci.pem",
    "ci.pem.pub",
    "bytes",
    "/dev/null",
    "k-00000000000000000000000000",
    "kms:x",
    "file://x",
    "http://[",
]
LINES: list[list[str | None]] = [
    ["log", "init", "--data", None, "--origin", None],
    ["log", "init", "--passphrase-file", None, "--data", "new"],
    ["log", "append", None, "--data", "data", "--sign", None],
    ["log", "append", "markers.ndjson", "--data", None, "--sign", "ci.pem"],
    ["log", "checkpoint", "--data", None],
    ["log", "prove", None, "--data", "data", "--out", None],
    ["log", "show", None, "--data", "data"],
    ["log", "fsck", None],
    ["log", "export", None, "--data", "data"],
    ["log", "recover", "--from", None, "--data", "data"],
    ["log", "recover", "--accept", "--data", None],
    ["log", "witness", "init", None, "--name", None],
    ["log", "witness", "add", None, None, None, "--data", "data", "--quorum", None],
    ["keys", "new", None],
    ["keys", "trust", None, "--data", "data", "--name", None, "--service", None, "--by", None],
    ["keys", "rotate", None, None, "--data", "data"],
    ["keys", "revoke", None, "--distrust-from", None, "--data", "data", "--reason", None],
    ["verify", None, "--policy", None],
    ["verify", None, "--policy", "policy", "--keys", None],
    ["verify", None, "--policy", "policy", "--export", None],
    ["verify", None, "--policy", "policy", "--receipt", None],
    ["mark", None, "--service", None, "--environment", "prod", "--version", None],
    ["mark", "applied", "--service", "a", "--environment", "b", "--artifact", None],
    ["mark", "applied", "--service", "a", "--environment", "b", "--commit", None],
    ["mark", "applied", "--service", "a", "--environment", "b", "--release", None],
    ["mark", "applied", "--service", "a", "--environment", "b", "--sign", None],
    ["mark", "applied", "--service", "a", "--environment", "b", "--url", None],
    ["mark", "applied", "--service", "a", "--environment", "b", "--label", None],
    ["mark", "applied", "--service", "a", "--environment", "b", "--weight", None],
    ["mark", "applied", "--service", "a", "--environment", "b", "--timestamp", None],
    ["mark", "applied", "--require", "--budget", None, "--service", "a", "--reason", None],
    ["id", "--service", None, "--environment", None, "--action", None],
    ["flush", "--budget", None, "--url", None],
    ["receipt", None, "--out", None],
    ["receipt", "4", "--url", None],
    ["ls", "--last", None, "--url", None],
    ["ls", "--service", None, "--state", None],
    ["timeline", "--service", None, "--deployment-id", None, "--last", None],
    ["timeline", "--since", None, "--until", None, "--url", None],
    ["findings", "--severity", None, "--last", None, "--fail", "--url", None],
    ["findings", "--code", None],
    ["show", None, "--url", None],
    ["show", None],
    ["canary", "--service", None, "--url", None],
    ["canary", "show", None, "--url", None],
    ["canary", "show", None],
    ["canary", "replay", None, "--file", None],
    ["canary", "replay", "4", "--file", None, "--receipt", None],
    ["canary", "pause", None, "--reason", None, "--wait", None, "--if-index", None],
    ["canary", "release", None, "--reason", None, "--key", None],
    ["promote", None, "--reason", None, "--key", None, "--wait", "0"],
    ["rollback", None, "--reason", None, "--break-glass", "--url", None],
    ["rollback", "adopt", None, "--reason", None],
    ["approve", None, "--step", None, "--reason", None],
    ["freeze", "--environment", None, "--service", None, "--reason", None, "--lift"],
    ["gate", "--service", None, "--environment", None, "--timeout", None],
    ["gate", "--service", "a", "--environment", "b", "--deployment-id", None, "--url", None],
    ["gate", "--examples", None],
    ["watch", "--after", None, "--count", None, "--url", None],
    ["tokens", "new", None, "--role", "emitter", "--data", None],
    ["tokens", "new", "a", "--role", None, "--lifetime", None, "--service", None],
    ["tokens", "revoke", None, "--data", "data"],
    ["tokens", "ls", "--data", None],
    ["keys", "trust", "ci.pem.pub", "--url", None, "--data", None],
    ["keys", "ls", "--url", None],
    ["log", "policy", "--url", None],
    ["doctor", "--url", None],
    ["doctor", "--data", None, "--config", None],
    ["up", "--data", None, "--listen", "here"],
    ["up", "--data", "nowhere", "--config", None, "--listen", "here"],
    ["completion", None],
    ["schema", "show", None],
    ["schema", "check", None],
    [None, None, None],
]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=st.sampled_from(LINES), data=st.data(), as_json=st.booleans())
def test_no_value_of_an_argument_ends_in_a_traceback(
    run: Run, team: Path, line: list[str | None], data: st.DataObject, *, as_json: bool
) -> None:
    (team / "bytes").write_bytes(b"\xff\xfe\0{")
    words = [data.draw(st.sampled_from(ODD)) if word is None else word for word in line]
    run("", *words, *(["--json"] if as_json else []))


@pytest.mark.parametrize(
    "line",
    [["tokens", "revoke", "--data", "data"], ["ls", "--service"], ["show"], ["findings", "--code"]],
    ids=" ".join,
)
@pytest.mark.usefixtures("team")
def test_what_is_not_utf_8_is_refused(run: Run, line: list[str]) -> None:
    refused = run("", *line[:2], "\udcff", *line[2:])
    assert refused.returncode == 64
    assert "not UTF-8" in refused.stderr


@pytest.mark.parametrize("name", ["bytes", "empty", "deep.json", "long.json"])
@pytest.mark.parametrize(
    "line", LINES[2:], ids=[" ".join(word or "…" for word in line) for line in LINES[2:]]
)
def test_no_file_ends_in_a_traceback(
    run: Run, team: Path, line: list[str | None], name: str
) -> None:
    (team / "bytes").write_bytes(bytes(range(256)))
    (team / "empty").touch()
    (team / "deep.json").write_text("[" * 100_000)
    (team / "long.json").write_text('{"payloadType":' + '"x"' * 1000)
    run("", *(name if word is None else word for word in line))


def test_what_is_our_own_fault_is_one_sentence_too(
    team: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Path) -> None:
        raise RuntimeError("surprise")

    monkeypatch.setattr(log, "open_reader", fail)
    assert main(["log", "fsck", "--data", str(team / "data")]) == 70
    said = capsys.readouterr().err
    assert said.startswith("deploymark: deploymark itself failed: RuntimeError: surprise (")
    assert "\n  hint: Please report it" in said
    assert main(["log", "fsck", "--data", str(team / "data"), "--json"]) == 70
    assert json.loads(capsys.readouterr().err)["error"] == "internal"


def test_an_interruption_is_silent(
    team: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(log, "open_reader", interrupt)
    assert main(["log", "fsck", "--data", str(team / "data")]) == 130
    assert capsys.readouterr() == ("", "")


# Streams ------------------------------------------------------------------------------------------


def shell(script: str, **environment: str) -> CompletedProcess[bytes]:
    """Run a shell script in which `deploymark` is this program."""
    call = f"'{sys.executable}' -m deploymark"
    return subprocess.run(
        ["/bin/bash", "-c", script.replace("deploymark", call)],
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )


@pytest.mark.usefixtures("team")
def test_a_reader_that_goes_away_hears_no_traceback_and_gets_no_yes() -> None:
    ran = shell("set -o pipefail; deploymark verify site --policy policy | true; exit $?")
    assert (ran.returncode, ran.stdout, ran.stderr) == (141, b"", b"")


@pytest.mark.usefixtures("team")
def test_a_full_disk_behind_stdout_is_no_yes() -> None:
    ran = shell("deploymark verify site --policy policy > /dev/full")
    assert ran.returncode == 69
    assert ran.stderr.startswith(b"deploymark: The output cannot be written: No space left")
    assert b"Traceback" not in ran.stderr


@pytest.mark.usefixtures("team")
def test_closed_streams_change_no_answer() -> None:
    ran = shell("deploymark verify site --policy policy >&-; deploymark nonsense 2>&-; exit $?")
    assert (ran.returncode, ran.stdout, ran.stderr) == (64, b"", b"")


def test_documents_are_the_same_bytes_in_every_locale(team: Path) -> None:
    ran = shell("deploymark log prove 4 --data data", PYTHONIOENCODING="ascii")
    assert ran.stdout == (team / "receipt").read_bytes()
    ran = shell("deploymark verify site --policy policy", PYTHONIOENCODING="latin-1")
    assert ran.returncode == 0
    assert ran.stdout.startswith(rb"\u2713 1. The checkpoint is signed")


def test_errors_are_told_even_when_nobody_can_hear_them(team: Path) -> None:
    class Full(io.TextIOBase):
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

    with redirect_stderr(Full()):
        assert main(["log", "fsck", "--data", str(team / "nowhere")]) == 64
