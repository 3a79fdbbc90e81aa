"""The local fleet: real processes, real traffic, and none of them left behind."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import comb
from pathlib import Path

import msgspec
import pytest

from deploymark.errors import ActuatorRefusedError, FleetUnavailableError, UsageError
from deploymark.integrations.local_processes.observer import (
    WORKING_DIRECTORY,
    LocalProcessObserver,
)
from deploymark.integrations.local_processes.selection import Selection
from deploymark.ports import Deed, Order, Release
from deploymark.telemetry.json_codec import JsonCodec
from deploymark.telemetry.resource import Origin, origin_of
from deploymark.telemetry.signals import Metric, Signal
from deploymark.testing.fleet.child import Child
from deploymark.testing.fleet.keeper import Fleet, FleetSettings
from deploymark.testing.fleet.release import Behaviour, ReleaseDirectory, write_release

QUICK = 0.0002
REQUESTS = 400


def release(folder: Path, version: str, **behaviour: float) -> ReleaseDirectory:
    told = {"version": version, "typical_seconds": QUICK, **behaviour}
    return write_release(folder / "releases" / version, msgspec.convert(told, Behaviour))


def order(deed: Deed, weight: float, *, fence: int = 1) -> Order:
    return Order(
        deed=deed,
        key=f"d-new~1:{deed}:1",
        service="shop",
        environment="demo",
        canary=Release("d-new~1", "2", ""),
        stable=Release("d-old~1", "1", ""),
        weight=weight,
        reason="A test wants it.",
        decision_index=1,
        fence=fence,
    )


@contextmanager
def running(folder: Path, seed: int = 1, **canary: float) -> Iterator[Fleet]:
    """Run two of the old release with all traffic, and one of the new with none."""
    with Fleet(FleetSettings(seed=seed), folder) as fleet:
        fleet.deploy("old", "d-old", release(folder, "1"), 2)
        fleet.deploy("new", "d-new", release(folder, "2", **canary), 1)
        yield fleet


def answers(fleet: Fleet, count: int = REQUESTS) -> list[tuple[int, str]]:
    """Ask again and again, and return status and version of each answer."""
    connection = http.client.HTTPConnection("127.0.0.1", fleet.port, timeout=30)
    found = []
    for _ in range(count):
        connection.request("GET", "/")
        response = connection.getresponse()
        body = response.read()
        found.append((response.status, json.loads(body)["version"] if body else ""))
    connection.close()
    return found


def plausible(count: int, tries: int, share: float) -> bool:
    """Whether a count is one that chance gives more often than once in a billion runs."""
    chances = [comb(tries, i) * share**i * (1 - share) ** (tries - i) for i in range(tries + 1)]
    return min(sum(chances[: count + 1]), sum(chances[count:])) > 1e-9


def has_answered(fleet: Fleet, count: int) -> bool:
    return bool(sum(fleet.load()["answered"].values()) >= count)


def wait_until(done: Callable[[], bool]) -> None:
    for _ in range(1_500):
        if done():
            return
        time.sleep(0.02)
    pytest.fail("it never came")


def test_requests_go_to_the_releases_by_weight_and_fail_as_these_say(tmp_path: Path) -> None:
    with running(tmp_path, error_rate=0.5) as fleet:
        assert set(answers(fleet, 50)) == {(200, "1")}
        fleet.follow(order(Deed.SHIFT, 25))
        seen = Counter(answers(fleet))
        of_new = seen[200, "2"] + seen[500, "2"]
        assert plausible(of_new, REQUESTS, 0.25), seen
        assert plausible(seen[500, "2"], of_new, 0.5), seen
        assert seen[500, "1"] == 0
        told = fleet.tell()
        assert told["requests"] == {"old": 50 + REQUESTS - of_new, "new": of_new}
        assert told["failed"]["new"] == seen[500, "2"]
        assert told["in_flight"] == {}
        assert [len(ports) for ports in told["backends"].values()] == [2, 1]


def test_the_same_seed_gives_each_request_to_the_same_release(tmp_path: Path) -> None:
    seen = []
    for number, seed in enumerate((7, 7, 8)):
        with running(tmp_path / str(number), seed) as fleet:
            fleet.follow(order(Deed.SHIFT, 50))
            seen.append(answers(fleet, 60))
    assert seen[0] == seen[1] != seen[2]


def test_a_slow_share_is_slow_and_the_rest_is_not(tmp_path: Path) -> None:
    with running(tmp_path, slow_share=1.0, slow_seconds=0.2) as fleet:
        fleet.follow(order(Deed.SHIFT, 100))
        fleet.start_load(50)
        wait_until(partial(has_answered, fleet, 20))
        assert fleet.load()["p50_seconds"] > 0.2


def test_nothing_is_lost_while_releases_come_and_go_under_load(tmp_path: Path) -> None:
    with running(tmp_path) as fleet:
        fleet.start_load(200)
        for number, (deed, weight) in enumerate(
            [(Deed.SHIFT, 50), (Deed.PROMOTE, 100), (Deed.ROLL_BACK, 0), (Deed.SHIFT, 10)]
        ):
            fleet.follow(order(deed, weight))
            before = sum(fleet.load()["answered"].values())
            wait_until(partial(has_answered, fleet, before + 50))
            assert len(fleet.processes()["new"]) == (1, 2, 0, 1)[number]
            assert len(fleet.processes()["old"]) == (2, 0, 2, 2)[number]
        fleet.start_load(0)
        wait_until(lambda: fleet.load()["sent"] == sum(fleet.load()["answered"].values()))
        told = fleet.load()
        assert set(told["answered"]) == {"200"}
        assert (told["lost"], told["waiting"]) == (0, 0)


def test_what_runs_is_what_lies_in_the_release_and_an_observer_sees_it(tmp_path: Path) -> None:
    observer = LocalProcessObserver(
        Selection(directory=str(tmp_path / "releases")), WORKING_DIRECTORY
    )
    with running(tmp_path) as fleet:
        seen = {each.uid: each.digest for each in observer.observe()}
        state = fleet.state()
        for each in state:
            instances = each["instances"]
            assert isinstance(instances, list)
            assert {seen.pop(instance["uid"]) for instance in instances} == {each["digest"]}
        assert not seen
        assert len({each["digest"] for each in state}) == 2
    assert observer.observe() == []


class Collector:
    """Takes what services report, as the server does."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.tokens: set[str] = set()
        self.refuse = 0

    def counted(self) -> Counter[tuple[str, object]]:
        """Return how many requests of which deployment ended with which status."""
        codec, found = JsonCodec(), Counter[tuple[str, object]]()
        for origin, metric in self._metrics(codec):
            for raw in metric.points if metric.name.startswith("http.") else ():
                point = codec.point(raw, metric.form)
                assert point is not None
                assert not metric.cumulative
                assert point.count == sum(point.counts)
                assert 0 < point.start_ns < point.time_ns
                status = point.attributes["http.response.status_code"]
                found[origin.deployment, status] += point.count
        return found

    def origins(self) -> set[tuple[str, str, str, str, str]]:
        """Return who has reported."""
        return {
            (each.service, each.environment, each.deployment, each.version, each.instance)
            for each, _ in self._metrics(JsonCodec())
        }

    def _metrics(self, codec: JsonCodec) -> Iterator[tuple[Origin, Metric]]:
        wanted = {"http.server.request.duration": None, "process.uptime": None}
        for body in list(self.bodies):
            for reported in codec.reported(body, Signal.METRICS):
                origin = origin_of(codec.attributes(reported.resource))
                for _, items in reported.scopes:
                    metrics = [codec.metric(raw, wanted) for raw in items]
                    yield from ((origin, each) for each in metrics if isinstance(each, Metric))


@contextmanager
def collecting() -> Iterator[tuple[Collector, str]]:
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.tokens.add(self.headers["Authorization"])
            found.refuse -= 1
            if found.refuse < 0:
                found.bodies.append(body)
            self.send_response(200 if found.refuse < 0 else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield found, f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_every_request_is_reported_once_as_the_telemetry_room_reads_it(tmp_path: Path) -> None:
    with collecting() as (collector, url):
        collector.refuse = 3  # it has to send again
        settings = FleetSettings(
            service="cart",
            environment="stage",
            telemetry_url=url,
            token="dm_token",  # noqa: S106 - an example
            report_seconds=0.1,
            attributes={"host.name": "here"},
        )
        with Fleet(settings, tmp_path) as fleet:
            fleet.deploy("old", "d-old", release(tmp_path, "1"), 2)
            fleet.deploy("new", "d-new", release(tmp_path, "2", error_rate=0.5), 1)
            fleet.follow(order(Deed.SHIFT, 50))
            seen = Counter(answers(fleet, 200))
            state = fleet.state()
        wanted = {
            ("d-old", 200): seen[200, "1"],
            ("d-new", 200): seen[200, "2"],
            ("d-new", 500): seen[500, "2"],
        }
        assert collector.counted() == wanted
        instances = {
            ("cart", "stage", each["deployment"], each["version"], instance["uid"])
            for each in state
            if isinstance(each["instances"], list)
            for instance in each["instances"]
        }
        assert collector.origins() == instances
        assert len(instances) == 3
        assert collector.tokens == {"Bearer dm_token"}


def test_an_instance_that_has_ended_is_replaced_by_the_next_order(tmp_path: Path) -> None:
    with running(tmp_path) as fleet:
        fleet.follow(order(Deed.SHIFT, 100))
        (process,) = fleet.processes()["new"]
        os.kill(process, signal.SIGKILL)
        wait_until(lambda: is_gone(process))
        assert answers(fleet, 1) == [(502, "")]
        fleet.follow(order(Deed.SHIFT, 100))
        assert fleet.processes()["new"] != [process]
        assert set(answers(fleet, 20)) == {(200, "2")}


def test_what_was_promoted_stays_as_many_beside_the_next_canary(tmp_path: Path) -> None:
    with running(tmp_path) as fleet:
        fleet.follow(order(Deed.PROMOTE, 100))
        fleet.deploy("newer", "d-newer", release(tmp_path, "3"), 1)
        next_one = msgspec.structs.replace(
            order(Deed.SHIFT, 25),
            canary=Release("d-newer~1", "3", ""),
            stable=Release("d-new~1", "2", ""),
        )
        fleet.follow(next_one)
        assert {name: len(fleet.processes()[name]) for name in ("old", "new", "newer")} == {
            "old": 0,
            "new": 2,
            "newer": 1,
        }


def test_what_is_not_deployed_and_what_is_late_is_refused(tmp_path: Path) -> None:
    with running(tmp_path) as fleet:
        fleet.follow(order(Deed.SHIFT, 10, fence=5))
        with pytest.raises(ActuatorRefusedError, match="later holder"):
            fleet.follow(order(Deed.SHIFT, 20, fence=4))
        strange = msgspec.structs.replace(order(Deed.SHIFT, 20, fence=6), stable=None)
        with pytest.raises(ActuatorRefusedError, match="not deployed"):
            fleet.follow(strange)
        assert fleet.tell()["weights"] == {"old": 90, "new": 10}


def test_a_release_that_does_not_start_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    broken = release(tmp_path, "2")
    (broken.path / "release.json").write_text("{}")
    with Fleet(FleetSettings(), tmp_path) as fleet:
        fleet.deploy("old", "d-old", release(tmp_path, "1"))
        with pytest.raises(FleetUnavailableError):
            fleet.deploy("new", "d-new", broken)
        assert "new" not in fleet.processes()
        assert answers(fleet, 1) == [(200, "1")]
        with pytest.raises(UsageError, match="deployed already"):
            fleet.deploy("old", "d-other", release(tmp_path, "3"))


def test_weights_that_could_not_be_set_are_not_set_by_what_comes_next(tmp_path: Path) -> None:
    with running(tmp_path) as fleet:
        fleet.follow(order(Deed.ROLL_BACK, 0))
        settings = tmp_path / "releases" / "2" / "release.json"
        good = settings.read_text()
        settings.write_text("{}")
        with pytest.raises(FleetUnavailableError):
            fleet.follow(order(Deed.SHIFT, 30))
        settings.write_text(good)
        fleet.deploy("third", "d-third", release(tmp_path, "3"))
        assert fleet.tell()["weights"] == {"old": 100, "new": 0, "third": 0}


def test_releases_with_the_same_content_have_the_same_digest_and_others_have_not(
    tmp_path: Path,
) -> None:
    first, again = release(tmp_path / "a", "1"), release(tmp_path / "b", "1")
    other = release(tmp_path / "c", "1", error_rate=0.2)
    assert first.digest == again.digest != other.digest
    with pytest.raises(FileExistsError):
        release(tmp_path / "a", "1")


def is_gone(process: int) -> bool:
    """Whether a process has ended; as a zombie it has."""
    try:
        return b") Z " in Path(f"/proc/{process}/stat").read_bytes()
    except FileNotFoundError:
        return True


PARENT = """
import pathlib, sys, time
from deploymark.testing.fleet.keeper import Fleet, FleetSettings
from deploymark.testing.fleet.release import Behaviour, write_release
folder = pathlib.Path(sys.argv[1])
with Fleet(FleetSettings(), folder) as fleet:
    fleet.deploy("one", "d-one", write_release(folder / "one", Behaviour("1")), 2)
    fleet.start_load(20)
    print(*(each for found in fleet.processes().values() for each in found), flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_whatever_ends_the_parent_ends_the_fleet(tmp_path: Path, number: signal.Signals) -> None:
    words = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as parent:
        assert parent.stdout is not None
        processes = [int(each) for each in parent.stdout.readline().split()]
        assert len(processes) == 4
        assert not any(map(is_gone, processes))
        os.killpg(parent.pid, number)  # as Ctrl-C does
        parent.wait(60)
    wait_until(lambda: all(map(is_gone, processes)))


def test_a_process_that_does_not_want_to_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploymark.testing.fleet.child.END_SECONDS", 0.2)
    program = "import signal, time; signal.signal(15, signal.SIG_IGN); print('{}', flush=True)"
    child = Child(["-c", f"{program}; time.sleep(600)"], tmp_path)
    child.begin({})
    child.end()
    assert is_gone(child.process)


def test_a_process_is_asked_once_to_end(tmp_path: Path) -> None:
    program = (
        "import pathlib, signal, sys, time\n"
        "def note(*_):\n"
        "    with open('asked', 'a') as file: file.write('x')\n"
        "    time.sleep(0.3)\n"
        "    sys.exit()\n"
        "signal.signal(15, note); print('{}', flush=True); time.sleep(600)"
    )
    child = Child(["-c", program], tmp_path)
    child.begin({})
    child.ask_to_end()
    wait_until((tmp_path / "asked").exists)
    child.end()
    assert (tmp_path / "asked").read_text() == "x"


def test_an_answer_that_comes_late_is_not_taken_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path) as fleet:
        monkeypatch.setattr("deploymark.testing.fleet.child.ANSWER_SECONDS", 0.1)
        (splitter,) = fleet.processes()["splitter"]
        os.kill(splitter, signal.SIGSTOP)
        try:
            with pytest.raises(FleetUnavailableError):
                fleet.follow(order(Deed.SHIFT, 30))
        finally:
            os.kill(splitter, signal.SIGCONT)
        monkeypatch.setattr("deploymark.testing.fleet.child.ANSWER_SECONDS", 30.0)
        fleet.follow(order(Deed.SHIFT, 40))
        assert fleet.tell()["weights"]["new"] == 40
