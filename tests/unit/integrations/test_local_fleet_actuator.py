"""The actuator `local_fleet` shifts the traffic of a real local fleet."""

import http.client
import itertools
import json
import os
import signal
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

from deploymark.errors import (
    ActuatorRefusedError,
    ActuatorUnavailableError,
    OutcomeUnknownError,
)
from deploymark.integrations.local_fleet.actuator import LocalFleetActuator, LocalFleetOptions
from deploymark.ports import Actuator, Deed, Found, Release
from deploymark.testing.actuator import Trouble, exercise_actuator, order_for
from deploymark.testing.fleet.control import controlled
from deploymark.testing.fleet.keeper import Fleet, FleetSettings
from deploymark.testing.fleet.release import Behaviour, write_release


class FleetWorld:
    """A fleet of its own."""

    sees = remembers_fence = True
    canary = Release("d-new~1", "2", "")
    stable = Release("d-old~1", "1", "")

    def __init__(self, folder: Path, opened: ExitStack) -> None:
        old = write_release(folder / "old", Behaviour("1"))
        new = write_release(folder / "new", Behaviour("2"))
        self.digests = {"old": old.digest, "new": new.digest}
        self.fleet = opened.enter_context(Fleet(FleetSettings(), folder))
        self.control = folder / "control"
        opened.enter_context(controlled(self.fleet, self.control))
        self.fleet.deploy("old", "d-old", old, 2)
        self.fleet.deploy("new", "d-new", new, 1)

    def actuator(self) -> Actuator:
        options = LocalFleetOptions(control=str(self.control), timeout_seconds=60)
        return LocalFleetActuator(options)

    def weight(self) -> float:
        return float(self.fleet.tell()["weights"]["new"])

    def suffer(self, trouble: Trouble) -> bool:
        (splitter,) = self.fleet.processes()["splitter"]
        moved = self.control.with_name("moved")
        if trouble is Trouble.AWAY:
            self.control.rename(moved)
        elif trouble is Trouble.SILENT:
            os.kill(splitter, signal.SIGSTOP)
        elif trouble is Trouble.NONE:
            os.kill(splitter, signal.SIGCONT)
            if moved.exists():
                moved.rename(self.control)
        return trouble is not Trouble.REFUSES


def test_it_passes_the_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploymark.testing.fleet.child.ANSWER_SECONDS", 4.0)
    numbers = itertools.count()
    with ExitStack() as opened:
        exercise_actuator(lambda: FleetWorld(tmp_path / str(next(numbers)), opened))


@pytest.fixture
def opened() -> ExitStack:
    return ExitStack()


def test_promote_and_roll_back_end_what_is_not_wanted_and_start_what_is(
    tmp_path: Path, opened: ExitStack
) -> None:
    with opened:
        world = FleetWorld(tmp_path, opened)
        actuator, counts = world.actuator(), world.fleet.processes
        assert actuator.carry_out(order_for(world, weight=25)) == (
            "new gets 25 % of the traffic, 1 of new run and 2 of old run."
        )
        promote, back = order_for(world, Deed.PROMOTE), order_for(world, Deed.ROLL_BACK)
        actuator.carry_out(promote)
        assert (len(counts()["old"]), len(counts()["new"])) == (0, 2)
        assert actuator.look(promote) is Found.DONE
        assert actuator.look(back) is Found.NOT_DONE
        actuator.carry_out(back)
        assert (len(counts()["old"]), len(counts()["new"])) == (2, 0)
        assert actuator.look(back) is Found.DONE
        os.kill(counts()["old"][0], signal.SIGKILL)
        os.waitid(os.P_PID, counts()["old"][0], os.WEXITED | os.WNOWAIT)
        assert actuator.look(back) is Found.NOT_DONE


def test_releases_are_found_by_name_by_deployment_and_by_digest(
    tmp_path: Path, opened: ExitStack
) -> None:
    with opened:
        world = FleetWorld(tmp_path, opened)
        order, actuator = order_for(world, weight=10), world.actuator()
        for weight, (canary, stable) in enumerate(
            (
                (Release("", "", "", "new"), Release("", "", "", "old")),
                (Release("d-new~1", "", ""), Release("d-old", "", "")),
                (
                    Release("d-x~1", "", world.digests["new"]),
                    Release("d-y~1", "", world.digests["old"]),
                ),
            ),
            start=20,
        ):
            actuator.carry_out(
                msgspec.structs.replace(order, canary=canary, stable=stable, weight=weight)
            )
            assert world.weight() == weight
        strange = Release("d-strange~1", "", "")
        with pytest.raises(ActuatorRefusedError, match="not deployed"):
            actuator.carry_out(msgspec.structs.replace(order, canary=strange))
        assert actuator.look(msgspec.structs.replace(order, canary=strange)) is Found.UNKNOWN


def ask(control: Path, body: bytes, token: str = "") -> int:
    told = json.loads(control.read_text())
    connection = http.client.HTTPConnection(urlsplit(told["url"]).netloc, timeout=30)
    headers = {"Authorization": f"Bearer {token or told['token']}"}
    connection.request("POST", "/orders", body, headers)
    with connection.getresponse() as response:
        status = response.status
    connection.close()
    return status


def test_only_who_may_read_the_control_file_is_let_in(tmp_path: Path, opened: ExitStack) -> None:
    with opened:
        world = FleetWorld(tmp_path, opened)
        assert world.control.stat().st_mode & 0o777 == 0o600
        assert ask(world.control, b"{}", "guessed") == 401
        for nonsense in (b"{}", b"[]", b"\xff", b'{"stable": 1}', b""):
            assert ask(world.control, nonsense) == 409
        told = json.loads(world.control.read_text())
        world.control.write_text(json.dumps(told | {"token": "of another fleet"}))
        with pytest.raises(ActuatorUnavailableError):
            world.actuator().carry_out(order_for(world, weight=25))
        assert world.weight() == 0
    assert not world.control.exists()


def test_a_fleet_that_is_gone_can_be_neither_asked_nor_looked_at(
    tmp_path: Path, opened: ExitStack
) -> None:
    with opened:
        world = FleetWorld(tmp_path, opened)
        told = world.control.read_text()
    for content in (told, "{}", '{"url": "http://10.0.0.1:1", "token": ""}'):
        world.control.write_text(content)
        with pytest.raises(ActuatorUnavailableError):
            world.actuator().carry_out(order_for(world))
        with pytest.raises(ActuatorUnavailableError):
            world.actuator().look(order_for(world))


def test_an_order_that_cannot_be_ended_leaves_the_outcome_unknown(
    tmp_path: Path, opened: ExitStack
) -> None:
    with opened:
        world = FleetWorld(tmp_path, opened)
        (tmp_path / "new" / "release.json").write_text("{}")
        world.actuator().carry_out(order_for(world, Deed.ROLL_BACK))
        with pytest.raises(OutcomeUnknownError, match="does not answer"):
            world.actuator().carry_out(order_for(world, weight=10))
