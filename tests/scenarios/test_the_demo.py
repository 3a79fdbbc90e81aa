"""`deploymark demo`: the whole story as people run it, ended early, and where it cannot begin.

What is the same in every run is what is decided, by whom, in which order, and how each rollout
ends. Counts, and the second at which something is known, are real, and differ.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest
import requests

BIN = Path(sys.executable).parent
SECONDS = 60
STORY_SECONDS = 420

Json = dict[str, Any]


def environment(place: Path) -> dict[str, str]:
    """Return what the command is told: a folder for what is thrown away, and nothing else."""
    (place / "tmp").mkdir(exist_ok=True)
    return {"PATH": os.defpath, "HOME": str(place), "TMPDIR": str(place / "tmp")}


@contextmanager
def demo(place: Path, *flags: str) -> Iterator[Popen[str]]:
    """Run the demonstration; whatever it left is found by `assert_nothing_is_left`."""
    with Popen(
        [BIN / "deploymark", "demo", "--json", *flags],
        env=environment(place),
        cwd=place,
        stdout=PIPE,
        stderr=PIPE,
        encoding="utf-8",
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def until(process: Popen[str], event: str) -> list[Json]:
    """Return the steps up to the first of a kind."""
    assert process.stdout is not None
    steps: list[Json] = []
    for line in process.stdout:
        steps.append(json.loads(line))
        if steps[-1]["event"] == event:
            return steps
    assert process.stderr is not None
    raise AssertionError(f"{event} never came: {steps[-1:]} {process.stderr.read()}")


def processes_in(folder: Path) -> dict[int, str]:
    """Return the processes that work below a folder, with their command lines."""
    found = {}
    for each in Path("/proc").iterdir():
        with suppress(OSError):
            if each.name.isdigit() and folder in (each / "cwd").readlink().parents:
                words = (each / "cmdline").read_bytes()
                found[int(each.name)] = words.replace(b"\0", b" ").decode()
    return found


def assert_nothing_is_left(place: Path) -> None:
    assert processes_in(place / "tmp") == {}
    assert list((place / "tmp").iterdir()) == []


def decided(steps: list[Json]) -> list[str]:
    """Return what the machine decided, in its order.

    A failure that is likely before it is proven pauses first; which comes first is up to chance.
    """
    actions = [each["action"] for each in steps if each["event"] == "decided"]
    return [action for action in actions if action != "pause"]


def replayed(steps: list[Json]) -> list[str]:
    return [each["result"] for each in steps if each["event"] == "replayed"]


def ask(places: Json, path: str) -> Json:
    headers = {"Authorization": f"Bearer {places['token']}", "Accept": "application/json"}
    reply = requests.get(f"{places['url']}{path}", headers=headers, timeout=SECONDS)
    found: Json = reply.json()
    return found


def command(places: Json, *words: str) -> str:
    """Run one of the commands that the demonstration shows."""
    told = {"DEPLOYMARK_URL": places["url"], "DEPLOYMARK_TOKEN": places["token"]}
    done = subprocess.run(
        [BIN / "deploymark", *words],
        env={"PATH": os.defpath, **told},
        check=True,
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
    )
    return done.stdout


def assert_every_page_has_something_to_show(places: Json) -> None:
    """Look at the pages of a server that has a simulated fleet as well."""
    for address in places["pages"]:
        assert ask(places, address.removeprefix(places["url"]))["simulated"]
    oncall = ask(places, "/oncall")
    assert oncall["verdict"]["sentence"].startswith("checkout 2.31.")
    assert "Errors rose" in oncall["verdict"]["reason"]
    assert {"checkout", "catalog"} <= {each["service"] for each in oncall["suspects"]}
    (silent,) = (each for each in oncall["lanes"] if each["missing_since_at"])
    assert silent["name"] == "ap-1"
    # What was refused is told when its minute is over, which may be a moment after the story.
    missing, until_s = {"instance_unmarked", "marker_forged"}, time.monotonic() + SECONDS
    while missing and time.monotonic() < until_s:
        missing -= {each["code"] for each in ask(places, "/v1/findings")["items"]}
        time.sleep(0.1)
    assert not missing
    executive = ask(places, "/exec")
    assert sum(each["failed"] for each in executive["days"]) > 0
    assert sum(each["rolled_back"] for each in executive["days"]) > 0
    assert sum(each["succeeded"] > 0 for each in executive["days"]) > 15
    drawn = ask(places, "/v1/series?service=checkout&environment=prod&range=24h&width=400")
    assert [each["missing"] for each in drawn["items"]] == [None] * 4
    assert all(len(each["at_ms"]) > 200 for each in drawn["items"])


def assert_the_link_signs_in_once(link: str) -> None:
    with requests.Session() as browser:
        browser.headers["Accept"] = "text/html"
        shown = browser.get(link, timeout=SECONDS)
        assert "token=" not in shown.url
        assert b'"session":{' in shown.content
    again = requests.get(link, headers={"Accept": "text/html"}, timeout=SECONDS)
    assert b'"session":null' in again.content


def test_a_healthy_release_is_promoted_and_a_failing_one_rolled_back(tmp_path: Path) -> None:
    with demo(tmp_path, "--seed", "1", "--fleet") as process:
        steps = until(process, "places")
        assert decided(steps) == ["shift", "promote", "shift", "quarantine", "roll_back"]
        assert replayed(steps) == ["pass", "fail"]
        for each in steps:
            if each["event"] == "decided" and each["action"] in ("shift", "promote", "roll_back"):
                assert len(each["held"]) == 10
                assert each["against"] == []
        (over,) = (each for each in steps if each["event"] == "over")
        assert over["ends"] == {"2.0": "promoted", "3.0": "rolled_back"}
        assert over["as_told"]
        # What was told is what the server knows, and what its files hold.
        places = steps[-1]
        deployments = [each["deployment_id"] for each in steps if each["event"] == "deployed"]
        shown = [ask(places, f"/v1/deployments/{each}") for each in deployments]
        assert [each["state"] for each in shown] == ["superseded", "complete", "rolled_back"]
        assert [each["phases"].keys() & {"promoted", "rolled_back"} for each in shown] == [
            set(),
            {"promoted"},
            {"rolled_back"},
        ]
        assert_every_page_has_something_to_show(places)
        assert_the_link_signs_in_once(steps[0]["sign_in"])
        for said in places["commands"]:
            assert command(places, *said.split()[1:])
        # Ctrl-C ends what stays up; the story was told before.
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0
    assert_nothing_is_left(tmp_path)


@pytest.mark.soak  # the same story once more; what is other than in the first takes a minute
def test_a_slow_release_is_rolled_back_and_the_command_ends_by_itself(tmp_path: Path) -> None:
    done = subprocess.run(
        [BIN / "deploymark", "demo", "--once", "--seed", "1", "--latency", "--no-open"],
        env=environment(tmp_path),
        cwd=tmp_path,
        check=False,
        capture_output=True,
        encoding="utf-8",
        timeout=STORY_SECONDS,
    )
    told = " ".join(done.stdout.split())
    assert done.returncode == 0, told
    assert "version 2.0 was promoted, version 3.0 was rolled back" in told
    assert "The log adds up" in told
    assert_nothing_is_left(tmp_path)


@pytest.mark.parametrize(
    ("event", "number", "code"),
    [("serving", signal.SIGINT, 130), ("comparing", signal.SIGTERM, 143)],
)
def test_who_is_interrupted_leaves_nothing(
    tmp_path: Path, event: str, number: signal.Signals, code: int
) -> None:
    with demo(tmp_path) as process:
        until(process, event)
        assert processes_in(tmp_path / "tmp")
        process.send_signal(number)
        assert process.wait(SECONDS) == code
    assert_nothing_is_left(tmp_path)


def test_a_server_that_ends_by_itself_ends_the_story(tmp_path: Path) -> None:
    with demo(tmp_path, "--once") as process:
        until(process, "comparing")
        (server,) = (
            number for number, words in processes_in(tmp_path / "tmp").items() if " up " in words
        )
        os.kill(server, signal.SIGKILL)
        assert process.wait(SECONDS) == 69
        assert process.stderr is not None
        assert "`deploymark up` was ended from outside (Killed)." in process.stderr.read()
    assert_nothing_is_left(tmp_path)


def test_a_port_that_is_taken_is_said_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with demo(tmp_path, "--once", "--listen", f"127.0.0.1:{port}") as process:
            out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 64
    assert out == ""
    assert str(port) in json.loads(err)["message"]
    assert_nothing_is_left(tmp_path)


def test_without_the_server_extra_it_says_what_to_install(tmp_path: Path) -> None:
    words = (
        "import sys; sys.modules['uvicorn'] = None; "
        "from deploymark.cli.main import main; sys.exit(main(['demo', '--once', '--json']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", words],
        env=environment(tmp_path),
        check=False,
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
    )
    assert done.returncode == 64
    said = json.loads(done.stderr)
    assert said["error"] == "extra_missing"
    assert "uvicorn" in said["message"]
    assert ".[server]" in said["hint"]
    assert_nothing_is_left(tmp_path)
