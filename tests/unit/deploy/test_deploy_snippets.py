"""Holds the shell snippet to the golden vectors and lets it talk to a server."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Protocol

import pytest

from deploymark.emit.ci import detect
from deploymark.model.ids import ids_of_marker
from deploymark.model.marker import decode_marker
from deploymark.model.vocabulary import MARKER

ROOT = Path(__file__).parents[3]
VECTORS: dict[str, Any] = json.loads((ROOT / "tests/golden/identity.json").read_text())
TOKEN = "dmk_0123456789ab_" + "s" * 43
FIELDS = {"service": "checkout", "environment": "prod", "version": "2.31.0", "phase": "applied"}
IDS = ids_of_marker(FIELDS)
PROBLEM = {
    "title": "Marker conflict",
    "detail": 'Entry 7 stands with another "version" \\ \u001b[31m.',
    "hint": "The first stands.",
}
SHELL_SNIPPET = ROOT / "deploy/snippets/deploymark.sh"
ENVIRONMENTS = Path(__file__).parent / "environments"
SHELLS = [each for each in (["sh"], ["bash"], ["busybox", "sh"]) if shutil.which(each[0])]


class Server(Protocol):
    """As in conftest."""

    url: str
    statuses: list[int]
    answer: bytes
    seen: list[tuple[str, str, bytes]]


def recorded(name: str) -> dict[str, str]:
    lines = (ENVIRONMENTS / f"{name}.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


# Shell ----------------------------------------------------------------------------------------


def run(
    shell: list[str], *words: str, path: str = "/usr/bin:/bin", text: str = "", **environ: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*shell, str(SHELL_SNIPPET), *words],
        check=False,
        capture_output=True,
        input=text,
        encoding="utf-8",
        timeout=60,
        env={"PATH": path} | environ,
    )


OPTIONS = {
    ("artifact", "digest"): "artifact",
    ("commit_hash",): "commit",
    ("rollout", "weight"): "weight",
    ("target", "instance_uid"): "instance-uid",
    ("emitter", "kind"): "emitter-kind",
    ("emitter", "id"): "emitter-id",
}


def options_of(fields: dict[str, Any], path: tuple[str, ...] = ()) -> list[str]:
    """What a person writes on the command line for a flat marker; null is not written."""
    options = []
    for name, value in fields.items():
        here = (*path, name)
        if isinstance(value, dict):
            options += options_of(value, here)
        elif value is not None and here not in {("phase",), ("artifact", "name")}:
            option = OPTIONS.get(here, name.replace("_", "-"))
            options.append(f"--{option}={value}")
    return options


# On a command line an empty value says that there is none: variables are often empty.
NOT_IN_SHELL = {"place: null is not the empty string"}


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_shell_derives_the_ids_of_all_golden_markers(shell: list[str]) -> None:
    others = []
    for vector in VECTORS["markers"]:
        fields = vector["fields"]
        said = run(shell, "id", fields["phase"], *options_of(fields), DEPLOYMARK_REQUIRE="1")
        if said.stdout != f"{vector['deployment_id']} {vector['marker_id']}\n":
            others.append(vector["name"])
    assert set(others) == NOT_IN_SHELL


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_shell_encodes_every_golden_array(shell: list[str]) -> None:
    for vector in VECTORS["encode_id"]:
        text = json.dumps(vector["array"], separators=(",", ":"), ensure_ascii=False)
        # Python and RFC 8785 write these two numbers differently.
        text = text.replace("-0.0", "0").replace("1e-07", "1e-7")
        assert run(shell, "encode", vector["prefix"], text=text).stdout.strip() == vector["id"]


# No id at all is not a wrong one.
GIVEN_NOT_IN_SHELL = {""}


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_shell_takes_the_ids_that_callers_may_give(shell: list[str]) -> None:
    others = set()
    for vector in VECTORS["given_id"]:
        said = run(
            shell,
            "id",
            "applied",
            "--service=s",
            "--environment=e",
            "--version=1",
            f"--deployment-id={vector['text']}",
            DEPLOYMARK_REQUIRE="1",
        )
        if (said.stdout.split(" ")[0] or None) != vector["id"]:
            others.add(vector["text"])
    assert others == GIVEN_NOT_IN_SHELL


def test_the_sections_that_the_shell_cannot_express_are_known() -> None:
    # It makes no keys, entries or occurrences, compares no markers, and reads no JSON.
    elsewhere = {"canonical", "numbers", "key_id", "entry_id", "occurrence", "equality", "about"}
    assert VECTORS.keys() - elsewhere == {"markers", "encode_id", "given_id"}


NASTY = (
    'quote " backslash \\ tab \t newline \n bell \x07 delete \x7f \u00e9 \U0001f680 $HOME `x` %s'
)


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_shell_writes_a_marker_that_the_server_takes(shell: list[str]) -> None:
    said = run(
        shell,
        "show",
        "applied",
        f"--service={NASTY}",
        "--environment=prod",
        f"--reason={NASTY}\n",
        "--artifact=reg.example.com/shop@sha256:" + "ab" * 32,
        "--weight=05.50",
        "--label=team=a=b",
        f"--label=odd={NASTY}",
        "--label=empty=",
        "--ticket=CHG1",
        "--owner=team:x",
        "--attempt=2",
        "--strategy=canary",
        "--cluster=eu-1",
        "--emitter-kind=human",
        DEPLOYMARK_REQUIRE="1",
    )
    marker = decode_marker(said.stdout.strip().encode(), MARKER)
    fields = marker.fields()
    assert fields["service"] == NASTY
    assert fields["reason"] == NASTY + "\n"
    assert fields["labels"] == {"team": "a=b", "odd": NASTY}
    assert fields["rollout"] == {"strategy": "canary", "weight": 5.5}
    assert fields["artifact"]["name"] == "reg.example.com/shop"
    assert ids_of_marker(fields)[1] == fields["marker_id"]


@pytest.mark.parametrize("name", sorted(each.stem for each in ENVIRONMENTS.glob("*.env")))
def test_shell_detects_the_same_action_as_the_command(name: str) -> None:
    said = run(
        ["sh"],
        "show",
        "applied",
        "--service=s",
        "--environment=e",
        "--version=1",
        DEPLOYMARK_REQUIRE="1",
        **recorded(name),
    )
    found = detect(recorded(name))
    assert found is not None
    fields = json.loads(said.stdout)
    assert fields["action"] == found.action
    assert fields["emitter"] == {"kind": "ci"}
    assert ids_of_marker(fields)[1] == fields["marker_id"]


@pytest.mark.parametrize(
    "changed",
    [
        {"GITHUB_RUN_ID": ""},
        {"GITHUB_RUN_ID": "1\n2"},
        {"GITHUB_SERVER_URL": ""},
        {"GITHUB_REPOSITORY": ""},
        {"GITHUB_SERVER_URL": "https://user:pass@github.com"},
    ],
)
def test_shell_leaves_out_an_action_that_it_cannot_be_sure_of(changed: dict[str, str]) -> None:
    words = ["--service=s", "--environment=e", "--version=1"]
    said = run(["sh"], "show", "applied", *words, **recorded("github-branch") | changed)
    assert "action" not in json.loads(said.stdout)


def without(tmp_path: Path, *missing: str) -> str:
    """A PATH that has everything the snippet may use, except this; and nobody sleeps."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("sh", "awk", "sed", "tr", "date", "curl", "wget", "sha256sum", "openssl", "env"):
        if tool not in missing and (found := shutil.which(tool)):
            (folder / tool).symlink_to(found)
    (folder / "sleep").write_text('#!/bin/sh\necho slept "$1" >&2\n')
    (folder / "sleep").chmod(0o755)
    return str(folder)


SEND = ["mark", "applied", "--service=checkout", "--environment=prod", "--version=2.31.0"]


@pytest.mark.parametrize("missing", ["none", "curl"])
def test_shell_sends_with_curl_or_wget(server: Server, tmp_path: Path, missing: str) -> None:
    path = without(tmp_path, missing)
    environ = {"DEPLOYMARK_URL": server.url + "/", "DEPLOYMARK_TOKEN": TOKEN}
    said = run(["sh", "-x"], *SEND, path=path, **environ, DEPLOYMARK_REQUIRE="1")
    assert (said.returncode, said.stdout) == (0, IDS[0] + "\n")
    assert TOKEN not in said.stderr
    ((where, authorization, body),) = server.seen
    assert (where, authorization) == ("/v1/markers", f"Bearer {TOKEN}")
    assert json.loads(body)["marker_id"] == IDS[1]


@pytest.mark.parametrize("missing", ["sha256sum", "curl"])
def test_shell_tries_again_with_the_same_bytes(
    server: Server, tmp_path: Path, missing: str
) -> None:
    server.statuses = [503, 429, 200]
    path = without(tmp_path, missing)
    said = run(["sh"], *SEND, path=path, DEPLOYMARK_URL=server.url, DEPLOYMARK_REQUIRE="1")
    assert (said.returncode, said.stdout) == (0, IDS[0] + "\n")
    assert said.stderr == "slept 1\nslept 2\n"
    assert len({body for _, _, body in server.seen}) == 1


@pytest.mark.parametrize(
    ("statuses", "code", "requests"),
    [([503] * 9, 69, 3), ([409], 1, 1), ([401], 1, 1), ([500, 400], 1, 2)],
)
def test_shell_gives_up_and_fails_only_where_a_marker_is_required(
    server: Server, tmp_path: Path, statuses: list[int], code: int, requests: int
) -> None:
    path = without(tmp_path)
    for required, expected in (("", 0), ("1", code)):
        server.seen.clear()
        server.statuses = list(statuses)
        said = run(["sh"], *SEND, path=path, DEPLOYMARK_URL=server.url, DEPLOYMARK_REQUIRE=required)
        assert (said.returncode, said.stdout) == (expected, "")
        assert len(server.seen) == requests
        assert "deploymark: the " in said.stderr


def test_shell_says_that_a_marker_is_lost_when_nobody_answers(tmp_path: Path) -> None:
    said = run(["sh"], *SEND, path=without(tmp_path), DEPLOYMARK_URL="http://127.0.0.1:1")
    assert said.returncode == 0
    assert "(nothing answers at http://127.0.0.1:1/v1/markers) and is lost" in said.stderr


TOLD = r'Entry 7 stands with another "version" \ \u001b[31m. The first stands.'


@pytest.mark.parametrize("missing", ["none", "curl"])
def test_shell_says_why_the_server_refuses(server: Server, tmp_path: Path, missing: str) -> None:
    server.statuses = [409]
    server.answer = json.dumps(PROBLEM).encode()
    said = run(["sh"], *SEND, path=without(tmp_path, missing), DEPLOYMARK_URL=server.url)
    assert (said.returncode, said.stdout) == (0, "")
    assert f"refused the marker (HTTP 409: {TOLD});" in said.stderr


@pytest.mark.parametrize("missing", ["none", "curl"])
def test_shell_says_why_the_server_is_busy(server: Server, tmp_path: Path, missing: str) -> None:
    server.statuses = [503] * 3
    server.answer = b'{"detail":"The queue is full.","hint":""}'
    said = run(["sh"], *SEND, path=without(tmp_path, missing), DEPLOYMARK_URL=server.url)
    assert "after 3 tries (HTTP 503: The queue is full." in said.stderr


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize("words", [["--help"], ["-h"], ["mark", "--help"], [*SEND, "--help"]])
def test_shell_lists_its_options(shell: list[str], words: list[str]) -> None:
    said = run(shell, *words, DEPLOYMARK_REQUIRE="1")
    assert (said.returncode, said.stderr) == (0, "")
    known = re.findall(r"^    (--[a-z-]+)=", SHELL_SNIPPET.read_text(), re.MULTILINE)
    assert len(known) > 30
    assert [option for option in known if option not in said.stdout.split()] == []


WRONG = {
    "--srvice=shop": "'--srvice' is not a known option; --help lists them",
    "service": "'service' is not an option; options are written --name=value",
    "--label=team": "'--label=team' has no value",
}


@pytest.mark.parametrize(("word", "told"), WRONG.items())
def test_shell_tells_an_unknown_option_from_a_wrong_form(word: str, told: str) -> None:
    assert told in run(["sh"], *SEND, word).stderr


@pytest.mark.parametrize("missing", [("curl", "wget"), ("sha256sum", "openssl")])
def test_shell_without_its_tools_sends_nothing(tmp_path: Path, missing: tuple[str, ...]) -> None:
    path = without(tmp_path, *missing)
    for required, expected in (("", 0), ("1", 69)):
        said = run(["sh"], *SEND, path=path, DEPLOYMARK_REQUIRE=required)
        assert (said.returncode, said.stdout) == (expected, "")
        assert "sent" in said.stderr


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["send"],
        ["mark", "done", "--service=s"],
        ["mark", "applied", "--service=s", "--version=1"],
        ["mark", "applied", "--environment=e", "--version=1"],
        ["mark", "applied", "--service=s", "--environment=e"],
        [*SEND, "--unknown=1"],
        [*SEND, "word"],
        [*SEND, "--weight=half"],
        [*SEND, "--attempt=0"],
    ],
)
def test_shell_explains_wrong_use_and_still_does_not_fail_a_deploy(words: list[str]) -> None:
    for required, expected in (("", 0), ("1", 64)):
        said = run(["sh"], *words, DEPLOYMARK_REQUIRE=required, DEPLOYMARK_URL="http://127.0.0.1:1")
        assert (said.returncode, said.stdout) == (expected, "")
        assert said.stderr.startswith("deploymark: ")
