"""`observe`: what it shows, and what it tells the log; with real processes."""

import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from deploymark.emit.host import SystemHost
from deploymark.emit.instance import name_process
from deploymark.emit.release import file_sha256, release_digest

Run = Callable[..., CompletedProcess[str]]
SLEEP = shutil.which("sleep") or "/bin/sleep"


@pytest.fixture
def asleep(place: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that works in a release of its own and does nothing."""
    release = place / "release"
    release.mkdir()
    (release / "VERSION").write_text("1\n")
    process = subprocess.Popen([SLEEP, "600"], cwd=release)
    yield process
    process.kill()
    process.wait()


def uid_of(process: "subprocess.Popen[bytes]") -> str:
    return str(name_process(process.pid, SystemHost()))


ABOUT = "--service {0} --environment prod --directory release"


def test_a_dry_run_shows_what_runs_and_says_nothing(
    run: Run, place: Path, asleep: "subprocess.Popen[bytes]"
) -> None:
    shown = run(f"observe {ABOUT.format('dry')} --dry-run --json")
    assert json.loads(shown.stdout) == {
        "instance_uid": uid_of(asleep),
        "instance": f"{SystemHost().name()}:{asleep.pid}",
        "digest": f"sha256:{file_sha256(SLEEP)}",
    }
    assert not (place / "spool").exists()
    shown = run(f"observe {ABOUT.format('dry')} --dry-run --release cwd")
    assert release_digest(str(place / "release")) in shown.stdout
    named = run(f"observe {ABOUT.format('dry')} --dry-run --release release")
    assert named.stdout == shown.stdout


def test_what_cannot_be_known_leaves_it_undecided(
    run: Run, place: Path, asleep: "subprocess.Popen[bytes]"
) -> None:
    assert asleep.poll() is None
    shutil.rmtree(place / "release")
    shown = run(f"observe {ABOUT.format('gone')} --dry-run --release cwd")
    assert shown.returncode == 2
    assert "what cannot be known" in shown.stdout


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("how", ["", "--dry-run"])
def test_that_nothing_runs_is_said_and_is_no_success(run: Run, how: str) -> None:
    shown = run(f"observe --service nobody --environment prod --unit nosuch.service {how}")
    assert shown.returncode == 2
    assert "No process of nobody was seen" in shown.stdout + shown.stderr


@pytest.mark.usefixtures("server")
def test_it_tells_the_log_once_who_runs(run: Run, asleep: "subprocess.Popen[bytes]") -> None:
    line = f"observe {ABOUT.format('observed-once')} --cluster eu-1 --json"
    first = [json.loads(each) for each in run(line).stdout.splitlines()]
    assert [each.get("phase") for each in first] == [None, "running"]
    assert first[1]["instance_uid"] == uid_of(asleep)
    # Another run, which remembers nothing, says the same: the log knows it.
    assert run(line).returncode == 0


PODS = "--kubernetes --cluster eu-1 --namespace shop --label app=shop"
REFUSED = {
    "": "Name a unit, a port, a directory or a command",
    "--port 70000": "70000 is no TCP port",
    "--command (": "--command '(' is no regular expression",
    "--unit a --interval 0": "'0' is not a time of 1 to 3600 seconds",
    "--unit a --interval 0.9": "not a time of 1 to 3600 seconds",
    "--kubernetes --cluster eu-1 --label app=shop": "`kubectl get namespaces` lists them",
    "--kubernetes --namespace shop --label app=shop": "Any name of a cluster will do",
    f"{PODS} --kubeconfig none.yaml": "used: Configuration file none.yaml not found.\n",
    f"{PODS} --kubeconfig text.yaml": "used: it does not hold what a kubeconfig holds.\n",
    f"{PODS} --kubeconfig wrong.yaml": "used: it is not YAML.\n",
    "--lambda shop": "`--region` of observe",
}


@pytest.mark.parametrize(("flags", "said"), REFUSED.items(), ids=REFUSED)
def test_flags_that_say_too_little_are_refused_with_what_to_say(
    run: Run, place: Path, flags: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(place / "none"))
    (place / "text.yaml").write_text("text")
    (place / "wrong.yaml").write_text("{")
    refused = run(f"observe --service a --environment b --dry-run {flags}")
    assert refused.returncode == 64
    assert said in refused.stderr


def test_a_directory_that_is_not_there_is_said(run: Run, asleep: "subprocess.Popen[bytes]") -> None:
    about = f"observe {ABOUT.format('nosuch')} --dry-run"
    shown = run(f"{about} --release /nosuch")
    assert shown.returncode == 2
    assert f"There is no directory /nosuch where process {asleep.pid} runs." in shown.stdout
    nobody = run("observe --service nosuch --environment prod --directory /nosuch --dry-run")
    assert nobody.returncode == 2
    assert nobody.stdout.endswith("There is no directory /nosuch here.\n")


def test_a_server_that_is_away_is_said_and_nothing_is_lost(
    run: Run, place: Path, asleep: "subprocess.Popen[bytes]"
) -> None:
    assert asleep.poll() is None
    assert run(f"observe {ABOUT.format('away')}").returncode == 69
    assert list((place / "spool").iterdir())


@pytest.mark.usefixtures("server")
def test_a_token_that_may_not_write_is_not_allowed_and_that_is_said_once(
    run: Run, apart: Run, asleep: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asleep.poll() is None
    token = run("tokens new observer-reads --role reader --json").stdout
    monkeypatch.setenv("DEPLOYMARK_TOKEN", json.loads(token)["token"])
    refused = apart(f"observe {ABOUT.format('reads')}")
    assert refused.returncode == 77
    sentence, hint = refused.stderr.splitlines()
    assert sentence.startswith("deploymark: 1 marker kept in the spool: ")
    assert "403" in sentence
    assert hint.endswith(" [forbidden]")
    assert hint.removeprefix("  hint: ").removesuffix(" [forbidden]") not in sentence


@pytest.mark.usefixtures("server")
def test_what_other_commands_left_is_named_and_not_held_against_it(
    run: Run, apart: Run, asleep: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = "--service allowed --environment prod"
    token = run(f"tokens new observer --role emitter --role reader {scope} --json").stdout
    monkeypatch.setenv("DEPLOYMARK_TOKEN", json.loads(token)["token"])
    apart("mark applied --service denied --environment prod --version 1")
    shown = apart(f"observe {ABOUT.format('allowed')}")
    assert shown.returncode == 0, shown.stderr
    assert f"running {uid_of(asleep)}: delivered" in shown.stdout
    assert "In the spool wait of other commands: 1 marker of denied in prod;" in shown.stdout


@pytest.mark.usefixtures("server")
def test_it_looks_again_until_it_is_told_to_stop(
    place: Path, asleep: "subprocess.Popen[bytes]"
) -> None:
    words = f"observe {ABOUT.format('observed-again')} --interval 1 --json".split()
    observer = subprocess.Popen(
        [sys.executable, "-m", "deploymark", *words],
        cwd=place,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    assert observer.stdout is not None
    said = json.loads(observer.stdout.readline())
    assert (said["phase"], said["instance_uid"]) == ("running", uid_of(asleep))
    asleep.kill()
    asleep.wait()
    ended = json.loads(observer.stdout.readline())
    assert (ended["phase"], ended["instance_uid"]) == ("removed", said["instance_uid"])
    observer.send_signal(signal.SIGTERM)
    assert observer.wait(60) == 0
    observer.stdout.close()


# What the log knows -----------------------------------------------------------------------------


@contextmanager
def log_that_knows(*uids: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Run what answers as a server that knows instances, one a page, and takes markers."""
    taken: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            assert asked["service"] == ["restarted"]
            place = int(asked.get("cursor", ["0"])[0])
            item = {"instance_uid": uids[place], "deployment_id": "d-1", "digest": None}
            more = str(place + 1) if place + 1 < len(uids) else None
            self.answer({"items": [item], "next_cursor": more, "as_of": 9})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            taken.extend(body if isinstance(body, list) else [body])
            items = [{"index": 0, "status": 201} for _ in taken]
            self.answer({"results": items} if isinstance(body, list) else items[0])

        def answer(self, content: object) -> None:
            raw = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", taken
        finally:
            server.shutdown()
            thread.join()


def test_who_ended_while_nobody_looked_is_ended_now(
    run: Run, asleep: "subprocess.Popen[bytes]"
) -> None:
    running = name_process(asleep.pid, SystemHost())
    gone = str(running._replace(start=running.start - 1))
    elsewhere = str(running._replace(boot="another-machine"))
    with log_that_knows(str(running), gone, elsewhere, "pod/other-kind") as (url, taken):
        run(f"observe {ABOUT.format('restarted')} --url {url}")
    said = {(each["phase"], each["target"]["instance_uid"]) for each in taken}
    assert said == {("running", str(running)), ("removed", gone)}
