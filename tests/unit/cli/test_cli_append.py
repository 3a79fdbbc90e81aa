"""`deploymark log append`: a team's file becomes entries, and what is refused is named."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., CompletedProcess[str]]
pytestmark = pytest.mark.usefixtures("team")
APPEND = "log append {} --data data --sign ci.pem"


def marker(**fields: object) -> str:
    """Return a flat marker as one line of JSON."""
    return json.dumps(
        {"service": "basket", "environment": "prod", "phase": "applied", "version": "1"} | fields
    )


def test_flat_markers_are_signed_and_published(run: Run, team: Path) -> None:
    (team / "more.ndjson").write_text(f"{marker()}\n\n{marker(phase='promoted')}\n")
    appended = run(APPEND.format("more.ndjson"))
    assert appended.returncode == 0
    assert appended.stdout == "2 appended, 0 known already, 0 refused; published at size 9.\n"
    assert "assurance     signed" in run("log show 7 --data data").stdout


def test_running_it_again_adds_nothing(run: Run) -> None:
    again = run(APPEND.format("markers.ndjson"), "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout) == {
        "appended": 0,
        "duplicates": 3,
        "refused": 0,
        "size": 7,
        "cosignatures": 0,
    }


SHAPES = {
    "one object over many lines": json.dumps(json.loads(marker()), indent=2),
    "an array": f"[{marker()},\n {marker(phase='promoted')}]",
    "an empty array": "[]",
    "lines with carriage returns": f"{marker()}\r\n{marker(phase='promoted')}\r\n",
    "the old names of fields": '{"service":"basket","environment":"prod","phase":"applied",'
    f'"artifact_digest":"sha256:{"a" * 64}","change_ticket":"CHG1"}}',
}


@pytest.mark.parametrize("content", SHAPES.values(), ids=SHAPES)
def test_a_file_may_hold(run: Run, team: Path, content: str) -> None:
    (team / "file").write_text(content)
    assert run(APPEND.format("file")).returncode == 0
    assert run("log fsck --data data").returncode == 0


def test_envelopes_need_no_key_and_are_kept_as_they_are(run: Run) -> None:
    again = run("log append envelope.json --data data")
    assert again.stdout.startswith("0 appended, 1 known already")


def test_the_key_may_come_from_the_environment(
    run: Run, team: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (team / "more.ndjson").write_text(marker())
    monkeypatch.setenv("DEPLOYMARK_KEY", "file:ci.pem")
    monkeypatch.setenv("DEPLOYMARK_DATA", "data")
    assert run("log append more.ndjson").returncode == 0


# Refused by the log: the others are appended, exit code 1 -----------------------------------------


def test_lines_that_the_log_refuses_are_named_and_the_others_are_kept(run: Run, team: Path) -> None:
    lines = [marker(service="shop-a"), marker(service="basket"), marker(service="shop-b")]
    (team / "more.ndjson").write_text("\n".join(lines))
    appended = run("log append more.ndjson --data data --sign shop.pem")
    assert appended.returncode == 1
    assert appended.stdout.startswith("2 appended, 0 known already, 1 refused; published at")
    assert appended.stderr.startswith("deploymark: more.ndjson, line 2: The key k-")
    assert "basket" in appended.stderr


def test_a_contradiction_is_refused_with_the_field_that_differs(run: Run, team: Path) -> None:
    conflict = (team / "markers.ndjson").read_text().replace("2.31.0", "2.31.1")
    (team / "more.ndjson").write_text(conflict)
    refused = run(APPEND.format("more.ndjson"), "--json")
    assert refused.returncode == 1
    errors = [json.loads(line) for line in refused.stderr.splitlines()]
    assert [error["error"] for error in errors] == ["marker_conflict"] * 3
    assert [error["field"] for error in errors] == ["/version"] * 3
    assert "line 3" in errors[2]["message"]
    assert json.loads(refused.stdout)["refused"] == 3


def test_a_key_that_nobody_registered_signs_nothing(run: Run, team: Path) -> None:
    (team / "more.ndjson").write_text(f"{marker()}\n")
    refused = run("log append more.ndjson --data data --sign stranger.pem")
    assert refused.returncode == 1
    assert "more.ndjson, line 1: The key k-" in refused.stderr
    assert "is not registered" in refused.stderr
    assert refused.stdout.startswith("0 appended, 0 known already, 1 refused")


def test_a_forged_envelope_is_refused(run: Run, team: Path) -> None:
    envelope = json.loads((team / "envelope.json").read_text())
    text = (team / "markers.ndjson").read_text()
    (team / "other.ndjson").write_text(text.replace("checkout", "basket"))
    run(APPEND.format("other.ndjson"))
    other = json.loads(run("log show 7 --data data --json").stdout)["payload"]
    forged = other.replace("basket", "forged")
    envelope["payload"] = base64.b64encode(forged.encode()).decode()
    (team / "forged.json").write_text(json.dumps(envelope))
    refused = run("log append forged.json --data data")
    assert refused.returncode == 1
    assert "does not verify" in refused.stderr


# Refused before the log is opened: nothing is appended, exit code 64 ------------------------------

BROKEN = {
    "no JSON": ("not json", "line 2"),
    "a number": ("42", "line 2"),
    "a marker without a phase": (marker(phase=None), "line 2"),
    "an unknown field": (marker(colour="red"), "line 2"),
    "half an envelope": ('{"payloadType":"x"}', "line 2"),
    "an unknown phase": (marker(phase="finished"), "line 2"),
    "a name of 300 bytes": (marker(owner="o" * 300), ""),
    "a timestamp that is none": (marker(timestamp="yesterday"), ""),
}


@pytest.mark.parametrize(("line", "where"), BROKEN.values(), ids=BROKEN)
def test_one_broken_line_refuses_the_file(run: Run, team: Path, line: str, where: str) -> None:
    (team / "more.ndjson").write_text(f"{marker()}\n{line}\n{marker(phase='promoted')}\n")
    refused = run(APPEND.format("more.ndjson"))
    assert refused.returncode == 64
    assert refused.stdout == ""
    assert refused.stderr.startswith("deploymark: more.ndjson: ")
    assert where in refused.stderr.lower()
    assert "7 entries: everything adds up" in run("log fsck --data data").stdout


FILES = {
    "a directory": ("data", "cannot be read: Is a directory"),
    "a file that is not there": ("nowhere", "cannot be read: No such file"),
    "a file that is not UTF-8": ("latin1", "is not UTF-8"),
    "an empty file": ("empty", ""),
    "a flat marker without a key": ("markers.ndjson", "need a key to sign them"),
}


@pytest.mark.parametrize(("file", "complaint"), FILES.values(), ids=FILES)
def test_of_no_use_is(run: Run, team: Path, file: str, complaint: str) -> None:
    (team / "latin1").write_bytes(b'{"service": "caf\xe9"}')
    (team / "empty").touch()
    refused = run("log append --data data", file)
    assert (refused.returncode, refused.stdout == "") in {(64, True), (0, False)}
    assert complaint in refused.stderr


SIGNERS = {
    "a public key": "ci.pem.pub",
    "a directory": "data",
    "nothing": "nowhere.pem",
    "another kind of key": "data/keys/log-ml-dsa-44.pem",
    "a scheme that is not installed": "kms:projects/1",
    "a file on another host": "file://elsewhere/ci.pem",
}


@pytest.mark.parametrize("name", SIGNERS.values(), ids=SIGNERS)
def test_nothing_signs_with(run: Run, name: str) -> None:
    refused = run("log append markers.ndjson --data data --sign", name)
    assert refused.returncode == 64


def test_what_was_appended_is_said_also_when_it_cannot_be_published(run: Run, team: Path) -> None:
    (team / "data.guard.new").mkdir()  # the guard cannot be replaced
    (team / "more.ndjson").write_text(marker())
    failed = run(APPEND.format("more.ndjson"))
    assert failed.returncode == 69
    assert failed.stdout == "1 appended, 0 known already, 0 refused; not published.\n"
    assert "rollback guard" in failed.stderr
    (team / "data.guard.new").rmdir()
    assert run(APPEND.format("more.ndjson")).stdout.endswith("published at size 8.\n")


def test_one_process_writes_at_a_time(run: Run, team: Path) -> None:
    from deploymark.runtime.compose import open_log  # noqa: PLC0415 - the other process, in small

    with open_log(team / "data"):
        refused = run(APPEND.format("markers.ndjson"))
    assert refused.returncode == 69
    assert "Another process writes this log" in refused.stderr
