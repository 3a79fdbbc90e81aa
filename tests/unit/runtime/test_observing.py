"""What an observer sees becomes markers: the difference to what was said, and nothing twice."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploymark.emit.emitter import Emitter
from deploymark.emit.host import SystemHost
from deploymark.emit.settings import Settings
from deploymark.errors import ObservationError
from deploymark.runtime.observing import LEARN_ROUNDS, Logged, Reporter, Round, merged
from deploymark.testing.observer import ScriptedObserver
from deploymark.testing.receiving_server import ReceivingServer, receiving_server

ABOUT = {"service": "shop", "environment": "prod"}
PLACE = {"node": "node-1", "cluster": "eu-1"}
Known = Callable[[], Sequence[Logged] | None]


class Reporting:
    """A reporter of a scripted world, and the server that it speaks to."""

    def __init__(self, server: ReceivingServer, folder: Path) -> None:
        self.world = ScriptedObserver()
        self.logged: Sequence[Logged] | None = ()
        self.asked = 0
        self._server = server
        self._told = 0
        settings = Settings(url=server.url, spool=str(folder / "spool"))
        self.emitter = Emitter(settings, kind="orchestrator", emitter_id="observer", facts={})
        self.reporter = self.restarted()

    def restarted(self) -> Reporter:
        """Return a reporter that remembers nothing."""
        return Reporter(self.world, self.emitter, ABOUT, PLACE, self._known, SystemHost())

    def _known(self) -> Sequence[Logged] | None:
        self.asked += 1
        return self.logged

    def round(self) -> list[dict[str, Any]]:
        """Look once; gives the markers that came of it."""
        self.reporter.run_round()
        self.emitter.flush(30)
        markers = self._server.markers()[self._told :]
        self._told += len(markers)
        return markers

    def said(self) -> list[tuple[str, str]]:
        """Look once; gives phase and instance of each marker that came of it."""
        return [(each["phase"], each["target"]["instance_uid"]) for each in self.round()]


@pytest.fixture
def reporting(tmp_path: Path) -> Iterator[Reporting]:
    with _reporting(tmp_path) as reporting:
        yield reporting


@contextmanager
def _reporting(folder: Path) -> Iterator[Reporting]:
    with receiving_server() as server:
        reporting = Reporting(server, folder)
        yield reporting
        reporting.emitter.close(5)


def test_an_instance_is_confirmed_as_the_observer_saw_it(reporting: Reporting) -> None:
    uid = reporting.world.start(b"artifact")
    (seen,) = reporting.world.observe()
    (marker,) = reporting.round()
    assert marker["emitter"]["kind"] == "orchestrator"
    assert marker["artifact"] == {"digest": seen.digest}
    assert marker["target"] == {**PLACE, "instance": seen.instance, "instance_uid": uid}
    at = marker["evidence"].pop("at")
    assert at.endswith("Z")
    assert marker["evidence"] == {
        "basis": "observed",
        "digest": seen.digest,
        "observer": reporting.world.name,
    }
    assert "deployment_id" not in marker, "the observer knows what runs, not why"


def test_each_is_said_once_and_again_only_when_it_changes(reporting: Reporting) -> None:
    first = reporting.world.start(b"one")
    assert reporting.said() == [("running", first)]
    assert reporting.said() == []
    second = reporting.world.start(b"two")
    assert reporting.said() == [("running", second)]
    reporting.world.stop(first)
    assert reporting.said() == [("removed", first)]
    assert reporting.said() == []


def test_after_a_restart_the_same_is_said_which_the_log_knows(reporting: Reporting) -> None:
    uid = reporting.world.start(b"one")
    (before,) = reporting.round()
    reporting.reporter = reporting.restarted()
    (after,) = reporting.round()
    assert after["target"]["instance_uid"] == uid
    assert after["artifact"] == before["artifact"]


def test_who_ended_while_nobody_looked_is_learnt_from_the_log(reporting: Reporting) -> None:
    gone = reporting.world.start(b"one")
    lives = reporting.world.start(b"one")
    reporting.world.stop(gone)
    reporting.logged = [
        Logged(gone, "d-1", f"sha256:{'a' * 64}"),
        Logged(lives, "d-1"),
        Logged("of-somewhere-else", "d-1"),
    ]
    running, removed = reporting.round()
    assert (running["phase"], running["target"]["instance_uid"]) == ("running", lives)
    assert (removed["phase"], removed["target"]["instance_uid"]) == ("removed", gone)
    assert removed["deployment_id"] == "d-1"
    assert reporting.said() == []


def test_the_log_is_asked_at_first_and_then_now_and_then(reporting: Reporting) -> None:
    for _ in range(LEARN_ROUNDS + 1):
        reporting.reporter.run_round()
    assert reporting.asked == 2


def test_a_log_that_cannot_be_asked_is_said_and_harms_nothing(reporting: Reporting) -> None:
    reporting.logged = None
    uid = reporting.world.start(b"one")
    first, second = reporting.reporter.run_round(), reporting.reporter.run_round()
    assert (first.asked, second.asked) == (False, None)
    assert [(phase, each) for phase, each, _ in first.said] == [("running", uid)]


def test_where_an_observer_saw_it_stands_in_both_markers(reporting: Reporting) -> None:
    uid = reporting.world.start(b"one", {"node": "node-9", "zone": "b"})
    (running,) = reporting.round()
    reporting.world.stop(uid)
    (removed,) = reporting.round()
    for each in (running, removed):
        # What the reporter was told goes before what the observer tells.
        assert each["target"]["node"] == PLACE["node"]
        assert each["target"]["zone"] == "b"


def test_who_has_ended_is_asked_once_however_many_they_are(reporting: Reporting) -> None:
    uids = [reporting.world.start(b"one") for _ in range(5)]
    reporting.said()
    for uid in uids[:3]:
        reporting.world.stop(uid)
    assert sorted(reporting.said()) == [("removed", uid) for uid in sorted(uids[:3])]
    assert [set(each) for each in reporting.world.asked] == [set(uids[:3])]


def test_what_several_reporters_saw_is_one_round() -> None:
    one, two = Round([], [], None), Round([], [], asked=True)
    assert merged([one, one]).asked is None
    assert merged([one, two]).asked is True
    assert merged([two, Round([], [], asked=False)]).asked is False
    seen = ScriptedObserver()
    seen.start(b"one")
    rounds = [Round(seen.observe(), [], None), Round(seen.observe(), [], None)]
    assert len(merged(rounds).seen) == 2


def test_what_cannot_be_known_is_not_said_and_ends_nobody(reporting: Reporting) -> None:
    uid = reporting.world.start(b"")
    assert reporting.said() == []
    assert [each.why for each in reporting.reporter.run_round().seen] == ["Nobody knows."]
    reporting.world.stop(uid)
    assert reporting.said() == [], "it was never confirmed"


def test_an_observer_that_cannot_look_ends_nobody(reporting: Reporting) -> None:
    reporting.world.start(b"one")
    reporting.round()
    reporting.world.blind = True
    with pytest.raises(ObservationError):
        reporting.round()
    reporting.world.blind = False
    assert reporting.said() == []
