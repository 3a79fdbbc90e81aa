"""A real Alertmanager for tests, with a page that shows who was told what."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from notified import Listener

from deploymark.integrations.alertmanager.notifier import (
    AlertmanagerNotifier,
    AlertmanagerSettings,
)
from deploymark.runtime.system import SystemClock
from deploymark.testing.notifier import Subject

ALERTMANAGER = shutil.which("prometheus-alertmanager")
needs_alertmanager = pytest.mark.skipif(
    ALERTMANAGER is None,
    reason="prometheus-alertmanager (Debian: prometheus-alertmanager) is not installed",
)
USER, PASSWORD = "deploymark", "s3cret"
SECONDS = 60
POLL_SECONDS = 0.05

# The hash is bcrypt's, of the least cost, of PASSWORD.
WEB = """
basic_auth_users:
  deploymark: $2b$04$gzKfwecoSoMii.n9p1ks9O/dPfUeNIF9hPlb9EXmWLuYTHAHEljbW
"""
QUIET = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"

Json = Any


class Alertmanager:
    """A running Alertmanager as an audience.

    Args:
        folder: Where its files lie.
        configuration: Its configuration, YAML.
    """

    def __init__(self, folder: Path, configuration: str) -> None:
        self.port = _free_port()
        self._folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "alertmanager.yml").write_text(configuration)
        (folder / "web.yml").write_text(WEB)
        self.secret_file = folder / "secret"
        self.secret_file.write_text(f"{PASSWORD}\n")
        self._process: subprocess.Popen[bytes] | None = None
        self.started = 0

    @property
    def notifier(self) -> AlertmanagerNotifier:
        """See `Audience.notifier`."""
        settings = AlertmanagerSettings(
            f"http://127.0.0.1:{self.port}/", user=USER, secret_file=self.secret_file
        )
        return AlertmanagerNotifier(settings, SystemClock())

    def now_ms(self) -> int:
        """See `Audience.now_ms`."""
        return SystemClock().now_ms()

    def lasting(self) -> set[Subject]:
        """See `Audience.lasting`."""
        names = {"DeploymarkCanaryFailed": "canary_failed", "DeploymarkVerdictOpen": "verdict_open"}
        return {
            Subject(
                names[labels["alertname"]],
                labels.get("service", ""),
                labels.get("environment", ""),
                labels.get("deployment_id", ""),
            )
            for labels in (each["labels"] for each in self.get("/api/v2/alerts"))
        }

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """See `Audience.away`."""
        self.stop()
        yield
        self.start()

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """See `Audience.refusing`."""
        self.secret_file.write_text("another")
        yield
        self.secret_file.write_text(PASSWORD)

    def get(self, path: str) -> Json:
        """Ask its API."""
        pair = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", headers={"Authorization": f"Basic {pair}"}
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310 - as above
            return json.load(answer)

    def start(self) -> None:
        """Start it, until it answers."""
        self.started += 1
        said = self._folder / f"{self.started}.log"
        with said.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    ALERTMANAGER or "",
                    "--config.file=alertmanager.yml",
                    "--web.config.file=web.yml",
                    f"--storage.path=data-{self.started}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--cluster.listen-address=",
                ],
                cwd=self._folder,
                env={"PATH": os.defpath, "HOME": str(self._folder)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        process = self._process
        deadline = time.monotonic() + SECONDS
        while not self._answers():
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < deadline, said.read_text()
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(SECONDS)
            self._process = None

    def _answers(self) -> bool:
        try:
            self.get("/api/v2/status")
        except OSError:
            return False
        return True


@contextlib.contextmanager
def alertmanager(folder: Path, configuration: str = QUIET) -> Iterator[Alertmanager]:
    """Run an Alertmanager until the block ends."""
    running = Alertmanager(folder, configuration)
    try:
        running.start()
        yield running
    finally:
        running.stop()


def await_told(listener: Listener, enough: Callable[[list[Json]], bool]) -> list[Json]:
    """Return the notifications that a receiver got, once they are enough."""
    told: list[Json] = []
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        told = [json.loads(request.body) for request in list(listener.requests)]
        if enough(told):
            return told
        time.sleep(POLL_SECONDS)
    raise AssertionError(told)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
