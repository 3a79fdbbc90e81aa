"""An observer beside the service says what runs, and need not believe the service."""

import json
import os
import signal
import subprocess
import time
from http import HTTPStatus
from pathlib import Path

import pytest
from serving import WSGI, await_instances, release, serving, uids
from team import BIN, ENVIRONMENT, SECONDS, SERVICE, Json, Team, digest

GUNICORN = ("gunicorn", "-w", "2", "-b", "127.0.0.1:{port}", "--no-control-socket", "app:app")


@pytest.fixture
def observed_team(team: Team) -> Team:
    """A team whose observer may speak and read."""
    scope = ("--service", SERVICE, "--environment", ENVIRONMENT)
    roles = ("--role", "emitter", "--role", "reader")
    made = team.command("tokens", "new", "observer", *roles, *scope, "--json", role="admin")
    team._tokens["observer"] = json.loads(made.stdout)["token"]
    return team


def observe(team: Team, port: int, *more: str, exit_code: int = 0) -> list[Json]:
    """Look once at who serves a port; gives what was said of each marker."""
    about = ("--service", SERVICE, "--environment", ENVIRONMENT, "--port", str(port))
    words = ("observe", *about, "--release", "cwd", "--json", *more)
    done = team.command(*words, role="observer", exit_code=exit_code)
    return [json.loads(line) for line in done.stdout.splitlines()]


def observed(markers: list[Json]) -> list[Json]:
    """Return the markers of observers."""
    return [each for each in markers if each["emitter"]["kind"] == "orchestrator"]


def test_the_observer_and_the_service_speak_of_the_same_instances(observed_team: Team) -> None:
    team = observed_team
    directory = release(team.place, WSGI)
    with serving(team, directory, *GUNICORN) as server:
        confirmed = await_instances(team, lambda seen: seen["running"] >= 2)
        observe(team, server.port)
        markers = observed(await_instances(team, lambda seen: seen["running"] >= 4))
        assert sorted(uids(markers, "running")) == sorted(uids(confirmed, "running"))
        assert {each["evidence"]["basis"] for each in markers} == {"observed"}
        assert {each["artifact"]["digest"] for each in markers} == {digest(directory)}
        # It has no memory: what it says again the log knows already.
        observe(team, server.port)
        assert len(await_instances(team, lambda seen: seen["running"] >= 4)) == 4


def test_a_service_that_lies_about_itself_is_seen_through(observed_team: Team) -> None:
    team = observed_team
    directory = release(team.place, WSGI)
    lie = f"sha256:{'0' * 64}"
    with serving(team, directory, *GUNICORN, DEPLOYMARK_ARTIFACT=lie) as server:
        await_instances(team, lambda seen: seen["running"] >= 2)
        observe(team, server.port)
        markers = await_instances(team, lambda seen: seen["running"] >= 4)
    claimed = [each for each in markers if each["emitter"]["kind"] == "runtime"]
    assert {each["artifact"]["digest"] for each in claimed} == {lie}
    assert {each["evidence"]["basis"] for each in claimed} == {"declared"}
    assert {each["artifact"]["digest"] for each in observed(markers)} == {digest(directory)}


def test_who_was_killed_is_ended_by_the_observer(observed_team: Team) -> None:
    team = observed_team
    directory = release(team.place, WSGI)
    with serving(team, directory, *GUNICORN) as server, _watching(team, server.port):
        await_instances(team, lambda seen: seen["running"] >= 4)
        killed, _ = server.ask()
        os.kill(killed, signal.SIGKILL)
        markers = await_instances(team, lambda seen: seen["removed"] >= 1)
        (removed,) = uids(markers, "removed")
        assert removed.split(":")[1] == str(killed)


class _watching:  # noqa: N801 - reads as a function in `with`
    """Run `deploymark observe --interval` until the block ends."""

    def __init__(self, team: Team, port: int) -> None:
        about = ("--service", SERVICE, "--environment", ENVIRONMENT, "--port", str(port))
        self._process = subprocess.Popen(
            [BIN / "deploymark", "observe", *about, "--release", "cwd", "--interval", "1"],
            cwd=team.place,
            env=team._environment("observer"),
            stdout=subprocess.DEVNULL,
        )

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(SECONDS) == 0


def test_who_was_killed_while_nobody_looked_is_ended_by_the_next_look(
    observed_team: Team, tmp_path: Path
) -> None:
    team = observed_team
    status, _ = team.request("observer", "GET", f"/v1/instances?service={SERVICE}")
    if status == HTTPStatus.NOT_FOUND:
        pytest.skip("this server does not list instances yet")
    assert tmp_path.is_dir()
    directory = release(team.place, WSGI)
    with serving(team, directory, *GUNICORN) as server:
        await_instances(team, lambda seen: seen["running"] >= 2)
        killed, _ = server.ask()
        observe(team, server.port)
        os.kill(killed, signal.SIGKILL)
        markers = await_instances(team, lambda seen: seen["running"] >= 5)
        gone = {uid for uid in uids(markers, "running") if uid.split(":")[1] == str(killed)}
        for _ in range(SECONDS):
            observe(team, server.port)
            if removed := uids(await_instances(team, lambda _: True), "removed"):
                assert set(removed) == gone
                return
            time.sleep(0.5)
        raise AssertionError("the instance that was killed was never ended")
