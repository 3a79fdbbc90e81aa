"""`run -- COMMAND`: the command is the deploy, and markers stand around it without touching it."""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from deploymark.testing.receiving_server import Answer, Request, problem, receiving_server

Run = Callable[..., CompletedProcess[str]]

COMMAND = [sys.executable, "-m", "deploymark", "run"]
FLAGS = ["--environment", "prod", "--version", "1"]


def wrapped(
    service: str, *words: str, flags: tuple[str, ...] = (), given: bytes = b""
) -> CompletedProcess[bytes]:
    """Run a command wrapped, in a process of its own."""
    return subprocess.run(
        [*COMMAND, "--service", service, *FLAGS, *flags, "--", *words],
        input=given,
        capture_output=True,
        check=False,
        timeout=60,
    )


def away() -> tuple[str, int]:
    """Return the URL and the port of a server that is not there yet."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}", port


def phases(run: Run, service: str) -> list[tuple[str, str | None]]:
    """Return phase and reason of each marker of the newest deployment of a service."""
    newest = json.loads(run(f"ls --service {service} --last 1 --json").stdout)
    shown = json.loads(run("show --json", newest["deployment_id"]).stdout)
    return [(each["marker"]["phase"], each["marker"].get("reason")) for each in shown["markers"]]


# The command's own business -----------------------------------------------------------------------


@pytest.mark.usefixtures("server")
def test_a_command_that_goes_well_is_planned_applying_and_applied(run: Run) -> None:
    done = wrapped("well", "true")
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.startswith(b"applied well in prod: d-")
    assert phases(run, "well") == [("planned", None), ("applying", None), ("applied", None)]


ENDS = {
    "an exit code": (["sh", "-c", "exit 7"], 7, "exit code 7"),
    "a signal": (["sh", "-c", "kill -9 $$"], 137, "ended by SIGKILL"),
    "nothing there": (["./nowhere"], 127, "./nowhere was not found"),
    "nothing to run": (["/etc/passwd"], 126, "/etc/passwd cannot be run: Permission denied"),
}


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(("words", "code", "reason"), ENDS.values(), ids=ENDS)
def test_a_command_fails_with(
    run: Run, request: pytest.FixtureRequest, words: list[str], code: int, reason: str
) -> None:
    service = f"fails-{list(ENDS).index(request.node.callspec.id)}"
    done = wrapped(service, *words)
    assert done.returncode == code
    assert phases(run, service)[-1] == ("failed", reason)
    started = code not in {126, 127}
    assert started != done.stderr.startswith(f"deploymark: {reason}.\n  hint: ".encode())


def test_what_it_reads_and_writes_is_untouched() -> None:
    content = bytes(range(256)) * 4096
    done = wrapped("bytes", "cat", given=content)
    assert done.stdout == content
    assert done.returncode == 0


def test_a_reader_of_its_output_that_goes_away_ends_it_as_without_us() -> None:
    script = f"{' '.join(COMMAND)} --service pipe --environment prod --version 1 -- yes | head -n 1"
    done = subprocess.run(
        ["/bin/bash", "-c", f"{script}; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (128 + signal.SIGPIPE, b"y\n")
    assert b"failed pipe in prod" in done.stderr


WORDS = {
    "a flag of ours": (["echo", "--json"], b"--json\n"),
    "two dashes": (["echo", "a", "--", "b"], b"a -- b\n"),
    "an empty word": (["printf", "[%s]", ""], b"[]"),
}


@pytest.mark.parametrize(("words", "said"), WORDS.values(), ids=WORDS)
def test_its_words_may_hold(words: list[str], said: bytes) -> None:
    done = wrapped("words", *words)
    assert (done.returncode, done.stdout) == (0, said)
    assert done.stderr.startswith(b"applied words in prod: ")  # and not in JSON


def test_a_command_may_begin_with_a_dash() -> None:
    assert wrapped("dash", "-nowhere").returncode == 127


@pytest.mark.parametrize("words", [[], ["--"], ["ls", "-l"]])
def test_without_a_command_after_the_dashes_nothing_runs(words: list[str]) -> None:
    done = subprocess.run(
        [*COMMAND, "--service", "none", *FLAGS, *words], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (64, b"")


def test_it_finds_its_deployment_in_the_environment_and_a_nested_one_its_own(apart: Run) -> None:
    print_id = ["sh", "-c", "echo $DEPLOYMARK_DEPLOYMENT_ID"]
    inner = [*COMMAND, "--service", "inner", *FLAGS, "--", *print_id]
    outer = wrapped("outer", "sh", "-c", '"$0" "$@"; echo $DEPLOYMARK_DEPLOYMENT_ID', *inner)
    told = [
        apart(f"id --service {name} --environment prod --version 1").stdout.strip()
        for name in ("inner", "outer")
    ]
    assert outer.stdout.decode().split() == told


def test_a_command_that_leaves_others_behind_is_over_when_it_is_over(tmp_path: Path) -> None:
    script = f"(sleep 30 > /dev/null 2>&1 & echo $! > {tmp_path}/pid); true"
    try:
        done = subprocess.run(
            [*COMMAND, "--service", "leaves", *FLAGS, "--", "sh", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=20,
        )
        assert done.returncode == 0
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


@pytest.mark.usefixtures("server")
def test_a_release_that_the_command_makes_is_what_was_applied(run: Run) -> None:
    script = "mkdir out; echo content > out/app"
    done = wrapped("makes", "sh", "-c", script, flags=("--release", "out"))
    assert done.returncode == 0
    (line,) = run("ls --service makes --json").stdout.splitlines()
    assert json.loads(line)["digest"].startswith("sha256:")
    assert [phase for phase, _ in phases(run, "makes")] == ["planned", "applying", "applied"]


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("given", [(), ("--deployment-id", "only-1")])
def test_a_release_that_the_command_makes_may_be_all_that_says_what_was_applied(
    run: Run, given: tuple[str, ...]
) -> None:
    service = f"only-{len(given)}"
    done = only_a_release(service, "mkdir out; echo content > out/app", *given)
    assert done.returncode == 0
    sentences = done.stderr.decode().splitlines()
    assert len(sentences) == 2, sentences
    assert sentences[0].endswith(NAME_IT)
    assert sentences[1].startswith(f"applied {service} in prod: ")
    (told,) = run(f"ls --service {service} --json").stdout.splitlines()
    assert json.loads(told)["digest"].startswith("sha256:")
    assert [phase for phase, _ in phases(run, service)] == ["applied"]


NAME_IT = "Give --version, --commit or --artifact, which are known before."


def only_a_release(service: str, script: str, *flags: str) -> CompletedProcess[bytes]:
    """Run a script wrapped, of which nothing but the directory that it makes tells what it is."""
    about = ["--service", service, "--environment", "prod", *flags, "--release", "out"]
    return subprocess.run(
        [*COMMAND, *about, "--", "sh", "-c", script],
        capture_output=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("script", ["true", "mkdir out; exit 1"])
def test_when_nothing_ever_says_what_is_deployed_it_names_the_flags_that_do(script: str) -> None:
    done = only_a_release("nothing-known", script)
    assert done.returncode == (script != "true")
    assert done.stderr.decode().count(NAME_IT) == 1
    assert done.stderr.endswith(b"\nNothing was marked: nothing said what is deployed.\n")


def test_what_is_required_before_the_command_must_be_named_before_it(place: Path) -> None:
    done = only_a_release("required-name", "mkdir out", "--require")
    assert (done.returncode, (place / "out").exists()) == (64, False)
    assert NAME_IT in done.stderr.decode()


# Signals ------------------------------------------------------------------------------------------


def begun(service: str, script: str, **more: object) -> subprocess.Popen[bytes]:
    """Start a wrapped script and return once it says `ready`."""
    process = subprocess.Popen(  # type: ignore[call-overload]
        [*COMMAND, "--service", service, *FLAGS, "--", "bash", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **more,
    )
    assert process.stdout.readline() == b"ready\n"
    assert isinstance(process, subprocess.Popen)
    return process


PASSED_ON = ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2"]


@pytest.mark.parametrize("name", PASSED_ON)
def test_the_command_gets(name: str) -> None:
    script = f"trap 'echo got; exit 5' {name}; echo ready; while true; do sleep 0.02; done"
    process = begun("gets", script, start_new_session=True)
    process.send_signal(getattr(signal, f"SIG{name}"))
    said, _ = process.communicate(timeout=30)
    assert (process.returncode, said) == (5, b"got\n")


@pytest.mark.usefixtures("server")
def test_a_deploy_that_is_ended_by_a_signal_has_failed(run: Run) -> None:
    process = begun("ended", "echo ready; exec sleep 30", start_new_session=True)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert phases(run, "ended")[-1] == ("failed", "ended by SIGTERM")


def test_what_is_ignored_stays_ignored() -> None:
    script = "kill -HUP $$; echo alive"
    command = [*COMMAND, "--service", "nohup", *FLAGS, "--", "bash", "-c", script]
    process = subprocess.Popen(
        ["/bin/bash", "-c", 'trap "" HUP; "$0" "$@"', *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    said, _ = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, b"alive\n")


def test_an_interrupt_from_the_keyboard_reaches_the_command_once(tmp_path: Path) -> None:
    counter = tmp_path / "count"
    script = (
        f"trap 'echo x >> {counter}' INT; echo ready; "
        f"for i in {{1..600}}; do [ -e {counter} ] && break; sleep 0.05; done; sleep 0.3; exit 3"
    )
    child, terminal = pty.fork()
    if child == 0:
        os.execv(  # noqa: S606 - the child of a terminal
            sys.executable, [*COMMAND, "--service", "keys", *FLAGS, "--", "bash", "-c", script]
        )
    seen = b""
    while b"ready" not in seen:
        seen += os.read(terminal, 1024)
    os.write(terminal, b"\x03")
    for _ in lines_of(terminal):
        pass
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 3
    assert counter.read_text() == "x\n"


def lines_of(terminal: int) -> Iterator[bytes]:
    """Read a terminal until nobody writes to it any more."""
    while True:
        try:
            content = os.read(terminal, 1024)
        except OSError:
            return
        if not content:
            return
        yield content


# Markers hold nothing up --------------------------------------------------------------------------


def test_a_server_that_takes_and_never_answers_costs_the_budget_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("DEPLOYMARK_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        done = wrapped("silent", "echo", "done", flags=("--budget", "0.2"))
    assert (done.returncode, done.stdout) == (0, b"done\n")
    assert b"No answer within 0.2 seconds" in done.stderr


WRONG = {
    "a marker that is none": ("--commit", "HEAD"),
    "a key that is not there": ("--sign", "nowhere.pem"),
    "a server that is none": ("--url", "nowhere"),
}


@pytest.mark.parametrize("flags", WRONG.values(), ids=WRONG)
def test_the_command_runs_in_spite_of(flags: tuple[str, ...]) -> None:
    done = wrapped("spite", "echo", "done", flags=flags)
    assert (done.returncode, done.stdout) == (0, b"done\n")
    assert done.stderr


def test_what_is_required_and_cannot_be_said_keeps_the_command_from_running() -> None:
    done = wrapped("required", "echo", "done", flags=("--require", "--budget", "0.1"))
    assert (done.returncode, done.stdout) == (69, b"")
    sentence, hint, _ = done.stderr.decode().splitlines()
    assert sentence.startswith(
        "deploymark: The command was not started: `planned` is not in the log: http://127.0.0.1:1"
    )
    assert hint.startswith("  hint: ")


def test_of_what_was_not_begun_nothing_is_told_later(run: Run) -> None:
    url, port = away()
    flags = ("--require", "--budget", "0.1", "--url", url)
    done = wrapped("halted", "echo", "done", flags=flags)
    assert done.stdout == b""
    assert b"Nothing was begun, so nothing of it is kept to be told later." in done.stderr
    with receiving_server(port=port) as server:
        run("flush --url", url)
        assert server.markers() == []


def test_a_command_whose_second_marker_is_refused_is_not_started_and_has_failed() -> None:
    def refuse(request: Request) -> Answer | None:
        no = problem(422, "bad_marker", "Not now.")
        return Answer(422, no) if request.items[0]["phase"] == "applying" else None

    with receiving_server(refuse) as server:
        done = wrapped("second", "echo", "done", flags=("--require", "--url", server.url))
        assert [each["phase"] for each in server.markers()] == ["planned", "failed"]
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.count(b"Not now.") == 1


def test_a_deployment_that_the_log_knew_already_does_not_fail_by_what_was_not_begun() -> None:
    def know(request: Request) -> Answer | None:
        if request.items[0]["phase"] == "applying":
            return Answer(422, problem(422, "bad_marker", "Not now."))
        first = server.take(request.items[0])
        return Answer(200, {**first, "duplicate": True})

    with receiving_server(know) as server:
        done = wrapped("rerun", "echo", "done", flags=("--require", "--url", server.url))
        assert [each["phase"] for each in server.markers()] == ["planned"]
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.mark.usefixtures("server")
def test_a_command_that_is_not_there_leaves_alive_what_is_live(run: Run) -> None:
    wrapped("alive", "true")
    done = wrapped("alive", "./nowhere")
    assert done.returncode == 127
    assert b"what the log knows of this deployment stands." in done.stderr
    assert [phase for phase, _ in phases(run, "alive")] == ["planned", "applying", "applied"]


def test_of_a_command_that_is_not_there_nothing_is_told_later(run: Run) -> None:
    url, port = away()
    done = wrapped("nowhere", "./nowhere", flags=("--budget", "0.1", "--url", url))
    assert done.returncode == 127
    assert b"Nothing was begun, so nothing of it is kept to be told later." in done.stderr
    with receiving_server(port=port) as server:
        run("flush --url", url)
        assert server.markers() == []


def test_it_says_at_the_end_that_earlier_markers_were_refused() -> None:
    def refuse(request: Request) -> Answer | None:
        no = problem(422, "bad_marker", "Not so.")
        results = [
            server.take(item) if item["phase"] == "applied" else no for item in request.items
        ]
        return Answer(422, no) if results == [no] else Answer(207, {"results": results})

    with receiving_server(refuse) as server:
        done = wrapped("earlier", "sleep", "0.3", flags=("--url", server.url))
    assert done.returncode == 0
    assert b"2 earlier markers were refused: Not so.\napplied earlier in prod: d-" in done.stderr


@pytest.mark.parametrize("command", ["true", "false"])
def test_a_release_that_is_not_there_is_said_before_the_command(command: str) -> None:
    done = wrapped("no-release", command, flags=("--release", "nowhere"))
    assert done.returncode == (command == "false")
    assert done.stderr.startswith(b"--release nowhere: there is no such directory yet; ")


def test_a_release_that_nobody_makes_is_said_and_what_was_applied_is_applied() -> None:
    url, port = away()
    for flags, code in (((), 0), (("--require",), 1)):
        with receiving_server(port=port) as server:
            done = wrapped("nothing", "true", flags=(*flags, "--url", url, "--release", "nowhere"))
            assert server.markers()[-1]["phase"] == "applied"
        assert done.returncode == code
        assert b"deploymark: --release nowhere: there is no such directory.\n" in done.stderr


def test_when_nothing_could_be_marked_it_says_that_the_deploy_goes_on() -> None:
    done = wrapped("none", "echo", "done", flags=("--commit", "HEAD"))
    assert (done.returncode, done.stdout) == (0, b"done\n")
    assert done.stderr.endswith(b"\nNothing was marked; the deploy goes on.\n")


def test_what_is_missing_is_named_by_its_flag() -> None:
    done = wrapped("none", "true", flags=("--environment", ""))
    assert done.returncode == 0
    assert done.stderr.startswith(b"deploymark: --environment")
    assert b"/environment" not in done.stderr


@pytest.mark.parametrize("where", ["2>&-", "2>/dev/full", ">&- 2>&-"])
def test_its_code_is_ours_even_when_nobody_hears_us(where: str) -> None:
    script = f"{' '.join(COMMAND)} --service deaf --environment prod --version 1 -- sh -c 'exit 4'"
    done = subprocess.run(["/bin/bash", "-c", f"{script} {where}"], check=False, timeout=60)
    assert done.returncode == 4


@pytest.mark.parametrize("where", ["2>&-", "2>/dev/full"])
def test_a_command_that_goes_well_stays_well_when_nobody_hears_us(where: str) -> None:
    script = f"{' '.join(COMMAND)} --service deaf --environment prod --version 1 -- true"
    done = subprocess.run(["/bin/bash", "-c", f"{script} {where}"], check=False, timeout=60)
    assert done.returncode == 0


def test_programs_read_what_became_of_the_markers_from_stderr() -> None:
    done = wrapped("told", "true", flags=("--json",))
    (line,) = done.stderr.splitlines()
    assert json.loads(line)["phase"] == "applied"
