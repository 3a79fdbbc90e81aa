"""A local fleet under load, an order that shifts its traffic, and a real server that counts."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from deploymark.act.plan import ActuatorPlan
from deploymark.ports import Deed, Found, Order, Release
from deploymark.runtime.actuators import build_actuator
from deploymark.testing.fleet.control import controlled
from deploymark.testing.fleet.keeper import Fleet, FleetSettings
from deploymark.testing.fleet.release import Behaviour, write_release

TOKEN = "an-administrators-token-of-enough-length"  # noqa: S105 - of this test
SECONDS = 60
UP = (sys.executable, "-m", "deploymark", "up", "--data", "data", "--json")


@contextmanager
def server(place: Path) -> Iterator[str]:
    with subprocess.Popen(
        [*UP, "--listen", "127.0.0.1:0"],
        cwd=place,
        env={"DEPLOYMARK_ADMIN_TOKEN": TOKEN, "PATH": os.defpath},
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


def items(url: str, path: str) -> list[dict[str, Any]]:
    """Return the items of an answer."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    reply = requests.get(f"{url}{path}", headers=headers, timeout=SECONDS)
    found: list[dict[str, Any]] = reply.json()["items"]
    return found


def confirmed(url: str) -> set[tuple[str, str]]:
    """Return deployment and instance of each marker that says that something runs."""
    return {
        (each["ids"]["deployment_id"], each["marker"]["target"]["instance_uid"])
        for each in items(url, "/v1/markers?phase=running")
    }


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not done():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def test_the_server_counts_what_the_splitter_gave_to_each_release(tmp_path: Path) -> None:
    old = write_release(tmp_path / "1", Behaviour("1", typical_seconds=0.001))
    new = write_release(tmp_path / "2", Behaviour("2", error_rate=0.2, typical_seconds=0.001))
    control = tmp_path / "fleet.json"
    plan = ActuatorPlan("local_fleet", {"control": str(control)})
    order = Order(
        deed=Deed.SHIFT,
        key="d-new~1:shift:1",
        service="shop",
        environment="demo",
        canary=Release("d-new~1", "2", ""),
        stable=Release("d-old~1", "1", ""),
        weight=25,
        reason="A canary begins.",
        decision_index=1,
        fence=1,
    )
    with server(tmp_path) as url:
        settings = FleetSettings(telemetry_url=url, token=TOKEN, report_seconds=0.2)
        with Fleet(settings, tmp_path) as fleet, controlled(fleet, control):
            fleet.deploy("old", "d-old", old, 2)
            fleet.deploy("new", "d-new", new, 1)
            actuator = build_actuator(plan, "/rollouts/0/actuator")
            assert actuator is not None
            actuator.carry_out(order)
            assert actuator.look(order) is Found.DONE
            fleet.start_load(200)
            wait_until(lambda: fleet.load()["sent"] > 300)
            fleet.start_load(0)
            wait_until(lambda: fleet.load()["sent"] == sum(fleet.load()["answered"].values()))
            told = fleet.tell()
            uids = {
                (each["deployment"], instance["uid"])
                for each in fleet.state()
                if isinstance(each["instances"], list)
                for instance in each["instances"]
            }
        counted = items(url, "/v1/telemetry/red?service=shop&step=86400&by=deployment")
        assert {each["deployment_id"]: (each["requests"], each["errors"]) for each in counted} == {
            f"d-{name}": (told["requests"][name], told["failed"][name]) for name in ("old", "new")
        }
        wait_until(lambda: confirmed(url) == uids)
