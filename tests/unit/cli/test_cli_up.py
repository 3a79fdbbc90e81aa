"""`up`: a first start, a later one, an end, and what it refuses."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

Run = Callable[..., CompletedProcess[str]]

UP = [sys.executable, "-m", "deploymark", "up", "--listen", "127.0.0.1:0"]


@contextmanager
def started(*flags: str, **more: str) -> Iterator[tuple[dict[str, Any], subprocess.Popen[bytes]]]:
    """Start a server; yields what it says and its process, which must end well."""
    process = subprocess.Popen(
        [*UP, "--json", *flags],
        env={**os.environ, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline()), process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        process.stdout.close()


def test_the_first_start_makes_a_log_and_shows_a_token_once(run: Run, place: Path) -> None:
    with started("--data", "data") as (first, _):
        assert first["created"]
        assert first["sign_in"].startswith(f"{first['url']}/oncall?token=once_")
        assert run("ls --url", first["url"]).returncode == 77
        token = first["admin_token"]
        busy = run("up --data data --listen 127.0.0.1:0")
        assert busy.returncode == 69
    with started("--data", "data") as (later, _):
        assert (later["created"], later["admin_token"]) == (False, None)
        assert later["sign_in"] is None, "whoever collects the output must find no way in"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DEPLOYMARK_TOKEN", token)
            assert run("ls --url", later["url"]).returncode == 0
    assert run("log fsck --data data").returncode == 0
    assert token not in (place / "data" / "state.db").read_bytes().decode("latin-1")


def test_people_are_told_what_to_do_next(place: Path) -> None:
    process = subprocess.Popen(
        [*UP, "--data", "data"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=place
    )
    assert process.stdout is not None
    said = [process.stdout.readline().decode() for _ in range(5)]
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    process.stdout.close()
    assert said[0].startswith("deploymark answers at http://127.0.0.1:")
    assert said[2].startswith("  admin token: dmk_")
    url = said[0].split()[3].removesuffix(",")
    assert said[4].startswith(f"    DEPLOYMARK_URL={url} DEPLOYMARK_TOKEN=… deploymark tokens new")


REFUSED = {
    "a directory with something else in it": ("--data other", 64),
    "an address that is none": ("--data data --listen nowhere", 64),
    "somebody else's address": ("--data data --listen 192.0.2.1:0", 64),
    "a port that is none": ("--data data --listen 127.0.0.1:99999", 64),
    "a configuration that is not there": ("--data data --config nowhere", 64),
    "a section that is unknown": ("--data data --config odd.toml", 64),
    "a copy of a log without its guard": ("--data copy", 64),
}


@pytest.mark.parametrize(("flags", "code"), REFUSED.values(), ids=REFUSED)
def test_it_does_not_start_with(run: Run, team: Path, flags: str, code: int) -> None:
    (team / "other").mkdir()
    (team / "other" / "file").touch()
    (team / "odd.toml").write_text('[sever]\nlisten = "127.0.0.1:0"\n')
    (team / "data").rename(team / "copy")
    (team / "data.guard").unlink()
    refused = run(f"up {flags}")
    assert refused.returncode == code
    assert (team / "other" / "file").exists()
    assert not (team / "data").exists()  # a first start that fails leaves the next one the first


def test_what_keeps_it_from_starting_is_said_in_plain_words(run: Run, place: Path) -> None:
    (place / "env.sh").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = f"127.0.0.1:{taken.getsockname()[1]}"
        said = {
            "--data env.sh": "env.sh is a file, not a data directory.",
            "--data /proc/x": "/proc/x cannot be created: No such file or directory.",
            f"--data data --listen {busy}": ": somebody listens there.",
            "--data data --listen no.such.invalid:1": ": there is no such name.",
            "--data data --listen 192.0.2.1:0": ": this machine does not have the address.",
        }
        for flags, words in said.items():
            refused = run(f"up {flags}")
            assert words in refused.stderr, flags
            assert "Errno" not in refused.stderr
            assert "Free disk space" not in refused.stderr


@pytest.mark.parametrize(
    "content",
    [
        '[rollouts.shop.prod.actuator]\nkind = "comand"\n',
        '[rollouts.shop.prod]\nsource = "prometeus"\n',
        '[dialects.github_webhooks]\nsecret_file = "nowhere"\n',
        (
            '[[alerts.notifiers]]\nkind = "webhook"\nurl = "http://127.0.0.1:9"\n'
            'secret_file = "nowhere"\n'
        ),
    ],
    ids=["actuator", "source", "dialect", "notifier"],
)
def test_what_cannot_be_had_is_refused_before_a_log_is_made(
    run: Run, place: Path, content: str
) -> None:
    (place / "bad.toml").write_text(content)
    refused = run("up --data fresh --listen 127.0.0.1:0 --config bad.toml")
    assert refused.returncode == 64, refused.stderr
    assert not (place / "fresh").exists()
    assert not (place / "fresh.guard").exists()
