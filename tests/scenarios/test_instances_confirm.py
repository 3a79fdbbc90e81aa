"""Every process that serves confirms once what it runs, and says so when it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from serving import (
    ASGI,
    DEPLOYMENT,
    WSGI,
    await_instances,
    instance_markers,
    release,
    run_environment,
    serving,
    uids,
)
from team import SECONDS, Team, digest

GUNICORN = ("gunicorn", "-w", "2", "-b", "127.0.0.1:{port}", "--no-control-socket", "app:app")
UVICORN = ("uvicorn", "--port", "{port}", "app:app")


@pytest.mark.parametrize("flags", [(), ("--preload",)], ids=["each its own", "preloaded"])
def test_each_worker_of_gunicorn_is_an_instance(team: Team, flags: tuple[str, ...]) -> None:
    directory = release(team.place, WSGI)
    with serving(team, directory, *GUNICORN, *flags) as server:
        markers = await_instances(team, lambda seen: seen["running"] >= 2)
        worker, header = server.ask()
        assert header == DEPLOYMENT
        first = uids(markers, "running")
        assert len(set(first)) == len(first) == 2
        assert str(worker) in {uid.split(":")[1] for uid in first}

        # One is killed: it cannot say so. The one that takes its place is another instance.
        os.kill(worker, signal.SIGKILL)
        markers = await_instances(team, lambda seen: seen["running"] >= 3)
        assert uids(markers, "removed") == []

        server.stop()
        markers = await_instances(team, lambda seen: seen["removed"] >= 2)
    running, removed = uids(markers, "running"), uids(markers, "removed")
    killed = {uid for uid in running if uid.split(":")[1] == str(worker)}
    assert len(running) == 3, "the process that only forks is no instance"
    assert set(removed) == set(running) - killed

    (said, *_) = markers
    assert said["emitter"]["kind"] == "runtime"
    assert said["deployment_id"] == DEPLOYMENT
    assert said["version"] == "7.1", "as the release file says"
    assert said["evidence"]["basis"] == "self_observed"
    assert said["evidence"]["digest"] == said["artifact"]["digest"] == digest(directory)


@pytest.mark.parametrize("workers", [1, 2])
def test_each_worker_of_uvicorn_is_an_instance_until_its_lifespan_ends(
    team: Team, workers: int
) -> None:
    directory = release(team.place, ASGI)
    with serving(team, directory, *UVICORN, "--workers", str(workers)) as server:
        markers = await_instances(team, lambda seen: seen["running"] >= workers)
        worker, header = server.ask()
        assert header == DEPLOYMENT
        assert str(worker) in {uid.split(":")[1] for uid in uids(markers, "running")}
        server.stop()
        markers = await_instances(team, lambda seen: seen["removed"] >= workers)
    assert len(set(uids(markers, "running"))) == len(uids(markers, "running")) == workers
    assert sorted(uids(markers, "running")) == sorted(uids(markers, "removed"))


CHILDREN = """
import multiprocessing, sys, time
import deploymark

started = deploymark.startup()

def work(where):
    started = deploymark.startup()
    assert started.wait(30)
    where.put((started.instance_uid, started.marker_id))

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    where = context.Queue()
    started.wait(30)
    children = [context.Process(target=work, args=(where,)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        print(*where.get())
    for child in children:
        child.join()
    print(started.instance_uid, started.marker_id)
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_of_multiprocessing_is_an_instance_of_its_own(team: Team, method: str) -> None:
    directory = release(team.place, WSGI)
    (directory / "children.py").write_text(CHILDREN)
    done = subprocess.run(
        [sys.executable, "-W", "error", "children.py", method],
        cwd=directory,
        env=run_environment(team),
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=True,
    )
    assert done.stderr == ""
    said = {tuple(line.split()) for line in done.stdout.splitlines()}
    assert len(said) == 4
    markers = await_instances(team, lambda seen: seen["removed"] >= 4)
    assert {uid for uid, _ in said} == set(uids(markers, "running"))
    assert sorted(uids(markers, "running")) == sorted(uids(markers, "removed"))


def test_a_service_starts_and_ends_in_time_while_the_server_is_away(team: Team) -> None:
    directory = release(team.place, WSGI)
    team.stop_server()
    with serving(team, directory, *GUNICORN) as server:
        assert server.ask()[1] == DEPLOYMENT
        server.stop()
    team.serve()
    team.command("flush", role="ci")
    markers = await_instances(team, lambda seen: seen["removed"] >= 2)
    assert sorted(uids(markers, "running")) == sorted(uids(markers, "removed"))


def test_a_program_that_is_started_by_a_fork_says_nothing_for_its_parent(
    team: Team, tmp_path: Path
) -> None:
    program = tmp_path / "starts.py"
    program.write_text(
        "import os, deploymark\n"
        "started = deploymark.startup()\n"
        "started.wait(30)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os.execv('/bin/sleep', ['sleep', '0.5'])\n"
        "os.waitpid(child, 0)\n"
    )
    environment = run_environment(team)
    subprocess.run([sys.executable, program], env=environment, timeout=SECONDS, check=True)
    markers = await_instances(team, lambda seen: seen["removed"] >= 1)
    assert [each["phase"] for each in markers] == ["running", "removed"]
    assert instance_markers(team) == markers
