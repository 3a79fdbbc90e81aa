"""Runs command lines in this process, and holds every one of them to the common contract.

Whatever a test asks for, its command must end with a documented exit code, speak of an error in
one sentence and a hint, and answer in JSON lines when asked to.
"""

import io
import json
import os
import pty
import shlex
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from fcntl import ioctl
from hashlib import sha256
from pathlib import Path
from subprocess import CompletedProcess
from termios import TIOCSWINSZ
from typing import NamedTuple

import pytest

from deploymark.cli import main
from deploymark.crypto.dsse import sign_envelope
from deploymark.crypto.signer import open_key_file
from deploymark.model.vocabulary import IN_TOTO

Run = Callable[..., CompletedProcess[str]]
OnTerminal = Callable[..., str]
OUTSIDE = (
    "GITHUB_ACTIONS",
    "GITLAB_CI",
    "BUILDKITE",
    "CIRCLECI",
    "TF_BUILD",
    "BITBUCKET_BUILD_NUMBER",
    "JENKINS_URL",
    "NO_COLOR",
    "COLUMNS",
    "HTTPS_PROXY",
    "https_proxy",
)
"""What a test must not hear of the machine that it runs on."""
NOBODY = "http://127.0.0.1:1"
ADMIN_TOKEN = f"dmk_0123456789ab_{'s' * 43}"
EXIT_CODES = {0, 1, 2, 64, 69, 77}
ERROR_CODES = {64, 69, 77}
ORIGIN = "log.example/team"
ARTIFACT = b"the bytes of release 2.31.0\n"


def run_here(line: str, *more: object) -> CompletedProcess[str]:
    """Run `deploymark LINE MORE…` and check what holds for every command."""
    words = [*shlex.split(line), *map(str, more)]
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="") for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as end:  # how argparse ends --help and --version
            code = int(end.code or 0)
    said, complaints = _text(out), _text(err)
    assert "Traceback" not in complaints
    assert code in EXIT_CODES, complaints
    assert bool(complaints) or code not in ERROR_CODES
    own = words[: words.index("--")] if "--" in words else words
    if "--json" in own:
        _check_json(said, complaints)
    else:
        _check_sentences(complaints)
    return CompletedProcess(words, code, said, complaints)


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode("utf-8", "surrogateescape")


def _check_json(said: str, complaints: str) -> None:
    for line in said.splitlines():
        assert isinstance(json.loads(line), dict)
    for line in complaints.splitlines():
        error = json.loads(line)
        assert set(error) == {"error", "message", "field", "hint", "retryable"}
        assert error["error"]
        assert error["message"]
        assert error["hint"]


def _check_sentences(complaints: str) -> None:
    lines = complaints.splitlines()
    assert len(lines) % 2 == 0, complaints
    for sentence, hint in zip(lines[::2], lines[1::2], strict=True):
        assert sentence.startswith("deploymark: "), complaints
        assert hint.startswith("  hint: "), complaints


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and nothing said through the environment."""
    _enter(tmp_path, monkeypatch)
    return tmp_path


def run_apart(line: str, *more: object) -> CompletedProcess[str]:
    """Run `deploymark LINE MORE…` in a process of its own, which is over afterwards."""
    words = [*shlex.split(line), *map(str, more)]
    return subprocess.run(
        [sys.executable, "-m", "deploymark", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def run_on_terminal(columns: int, *words: object, **environment: str) -> str:
    """Return what a terminal of this width gets to see."""
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "deploymark", *map(str, words)],
        env={**os.environ, **environment},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    try:
        while content := os.read(ours, 4096):
            seen += content
    except OSError:
        pass  # everybody has hung up
    os.close(ours)
    process.wait()
    return seen.decode().replace("\r\n", "\n")


@pytest.fixture
def on_terminal() -> OnTerminal:
    """Run a command before a terminal of so many columns, and return what it gets to see."""
    return run_on_terminal


@pytest.fixture
def run() -> Run:
    """Run a command line in the current place."""
    return run_here


@pytest.fixture
def apart() -> Run:
    """Run a command line in the current place, and in a process of its own."""
    return run_apart


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a team has after its first release; see `team`."""
    there = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        _enter(there, patch)
        _make()
    return there


def _enter(directory: Path, patch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("DEPLOYMARK_") or name in OUTSIDE:
            patch.delenv(name)
    patch.setenv("DEPLOYMARK_SPOOL", str(directory / "spool"))
    patch.setenv("DEPLOYMARK_URL", NOBODY)
    patch.chdir(directory)


def _make() -> None:
    run_here(f"log init --data data --origin {ORIGIN}")
    for name, scope in (("ci", ""), ("admin", "--entry key"), ("shop", "--service shop-*")):
        run_here(f"keys new {name}.pem")
        run_here(f"keys trust {name}.pem.pub --data data --name {name} {scope}")
    run_here("keys new stranger.pem")
    artifact = Path("app.tar")
    artifact.write_bytes(ARTIFACT)
    digest = f"sha256:{sha256(ARTIFACT).hexdigest()}"
    markers = [
        {
            "service": "checkout",
            "environment": "prod",
            "phase": phase,
            "version": "2.31.0",
            "artifact": {"digest": digest},
            "timestamp": "2026-11-23T00:00:00.000Z",
        }
        for phase in ("planned", "applying", "applied")
    ]
    Path("markers.ndjson").write_text("".join(json.dumps(each) + "\n" for each in markers))
    run_here("log append markers.ndjson --sign ci.pem --data data")
    run_here("log prove 4 --data data --out receipt")
    run_here("log export site --data data")
    Path("policy").write_text(run_here("log policy --data data").stdout)
    Path("keys.json").write_text(run_here("keys ls --export --data data").stdout)
    shown = json.loads(run_here("log show 4 --data data --json").stdout)
    envelope = sign_envelope(IN_TOTO, shown["payload"].encode(), [open_key_file("ci.pem")])
    Path("envelope.json").write_text(
        json.dumps(
            {
                "payload": envelope.payload,
                "payloadType": envelope.payloadType,
                "signatures": [{"keyid": s.keyid, "sig": s.sig} for s in envelope.signatures],
            }
        )
    )


@pytest.fixture
def team(_made: Path, place: Path) -> Path:
    """A working directory in which a team has a log.

    data/ (7 entries: platform, ci, admin, shop, then planned, applying and applied of release
    2.31.0), its policy, keys.json and export in site/, the keys ci, admin (may sign key entries),
    shop (services shop-* only) and stranger (not registered) as .pem and .pem.pub, receipt and
    envelope.json of entry 4, and app.tar, the artifact that the markers name.
    """
    shutil.copytree(_made, place, dirs_exist_ok=True)
    return place


class Server(NamedTuple):
    """A server that runs: where it answers, a token for everything, and its files."""

    url: str
    token: str
    data: Path


@pytest.fixture(scope="session")
def _up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("up") / "data"
    command = ["up", "--data", str(data), "--listen", "127.0.0.1:0", "--json"]
    outside = {name: value for name, value in os.environ.items() if "DEPLOYMARK" not in name}
    process = subprocess.Popen(
        [sys.executable, "-m", "deploymark", *command],
        env={**outside, "DEPLOYMARK_ADMIN_TOKEN": ADMIN_TOKEN},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        yield Server(said["url"], ADMIN_TOKEN, data)
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def server(_up: Server, place: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server that the environment names, with an administrator's token.

    All tests share it, so each speaks of services of its own.
    """
    assert place.is_dir()
    monkeypatch.setenv("DEPLOYMARK_URL", _up.url)
    monkeypatch.setenv("DEPLOYMARK_TOKEN", _up.token)
    return _up
