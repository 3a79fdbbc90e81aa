"""The player sends a day as it was planned: each marker by its own caller, at its time, once."""

from collections import Counter
from contextlib import closing
from email.utils import parsedate_to_datetime

import pytest

from deploymark.errors import ForbiddenError, ServerUnavailableError, UsageError
from deploymark.runtime.system import SystemClock
from deploymark.testing.clock import ManualClock
from deploymark.testing.gameday.door import Door
from deploymark.testing.gameday.game import misfiled
from deploymark.testing.gameday.guests import Guests
from deploymark.testing.gameday.message import Seal
from deploymark.testing.gameday.plan import Day, Size, plan_day
from deploymark.testing.gameday.player import Pace, Player, Sent
from deploymark.testing.gameday.timing import Timing
from deploymark.testing.gameday.witnesses import farewell, identify
from deploymark.testing.receiving_server import (
    Answer,
    ReceivingServer,
    Request,
    problem,
    receiving_server,
)

FAST = Timing(compression=5_000, slack_seconds=0.05)


def _admit(request: Request) -> Answer | None:
    """Make tokens that are called as their holders, and take everything else."""
    if request.path == "/v1/tokens":
        name = request.items[0]["name"]
        return Answer(201, {"id": f"t-{name}", "token": f"secret-{name}"})
    return Answer(201, {}) if request.path == "/v1/keys" else None


def _played(day: Day, server: ReceivingServer) -> Player:
    with closing(Door(server.url, "admin")) as door:
        guests = Guests(door, day.name)
        guests.invite()
        player = Player(day, guests, SystemClock())
        player.play()
    return player


@pytest.fixture(scope="module")
def day() -> Day:
    return plan_day(Size(90, 42, 15), seed=2, name="day", timing=FAST)


@pytest.fixture(scope="module")
def played(day: Day) -> "Played":
    with receiving_server(_admit) as server:
        return server, _played(day, server)


Played = tuple[ReceivingServer, Player]


def test_everything_is_sent_but_what_is_lost(day: Day, played: Played) -> None:
    _, player = played
    wanted = Counter({id(m): m.copies for m in day.messages if not m.lost})
    assert Counter(id(each.message) for each in player.sent) == wanted
    for each in day.messages:
        assert each.lost == (id(each) not in wanted)


def test_each_caller_speaks_for_itself_and_its_clock_shows(played: Played) -> None:
    server, _ = played
    now_ms = SystemClock().now_ms()
    clocks = set()
    for request in server.requests:
        if request.path != "/v1/markers":
            continue
        holder = request.headers["authorization"].removeprefix("Bearer secret-gameday-day-")
        kinds = {item["emitter"]["kind"] for item in request.items if "emitter" in item}
        assert kinds <= {holder} or holder.startswith(("forger", "stranger", "outsider"))
        shown = parsedate_to_datetime(request.headers["date"]).timestamp()
        clocks.add(round((shown - now_ms / 1_000) / 600))
    assert clocks == {-1, 0, 1}


def test_signatures_are_made_only_where_they_are_to_be_refused(day: Day, played: Played) -> None:
    server, _ = played
    signed = [item for request in server.requests for item in request.items if "payload" in item]
    assert len(signed) == sum(each.seal is not Seal.NONE for each in day.messages)


def test_markers_of_a_lane_arrive_in_the_order_in_which_they_leave() -> None:
    day = plan_day(Size(40, 0, 4), seed=2, name="day", timing=FAST)
    with receiving_server(_admit) as server:
        _played(day, server)
    lanes: dict[tuple[str, str], list[tuple[str, str, int]]] = {}
    for item in server.markers():
        emitter = item["emitter"]
        said = (emitter["id"], emitter["epoch"], emitter["sequence"])
        lanes.setdefault((item["service"], item["environment"]), []).append(said)
    for (service, environment), arrived in lanes.items():
        left = [
            (each.emitter.id, each.emitter.epoch, each.sequence)
            for each in day.messages
            if (each.fields["service"], each.fields["environment"]) == (service, environment)
        ]
        assert arrived == left


def test_a_farewell_ends_every_instance_that_still_runs(day: Day) -> None:
    gone = {each.instance_uid for each in farewell(day.name, day.world)}
    assert gone == {
        each.uid for each in day.world.instances() if each.ended is None and not each.silent
    }


def test_what_stands_under_another_occurrence_is_named(day: Day) -> None:
    message = day.messages[0]
    name = identify(day.world.deploys[message.deploy])
    right, wrong = (Sent(message, 0, 0, 201, "", 1, (name, number)) for number in (1, 2))
    assert list(misfiled(day, [right])) == []
    assert len(list(misfiled(day, [right, wrong]))) == 1


def test_a_late_machine_makes_the_day_longer_and_no_marker_late() -> None:
    clock = ManualClock()
    pace = Pace(clock, 100)
    begun_ms = clock.now_ms()
    assert pace.real_ms(200) == begun_ms + 2_000
    clock.advance(5)
    pace.wait_for(100)  # it should have been four seconds ago
    assert pace.slipped_seconds == pytest.approx(4)
    assert pace.real_ms(200) == begun_ms + 6_000
    assert pace.real_ms(50) == begun_ms + 500  # what was before stays where it was


def test_whoever_is_no_admin_cannot_begin() -> None:
    refusal = Answer(403, problem(403, "forbidden", "That needs another role."))
    with (
        receiving_server(lambda _: refusal) as server,
        closing(Door(server.url, "reader")) as door,
        pytest.raises(ForbiddenError, match="another role"),
    ):
        Guests(door, "day").invite()


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="not the address"):
        Door("ftp://somewhere")


def test_a_refusal_to_read_is_not_taken_for_an_empty_answer() -> None:
    nothing = Answer(404, problem(404, "not_found", "Nothing."))
    with receiving_server(lambda _: nothing) as server, closing(Door(server.url)) as door:
        assert door.post("/v1/anything", b"{}").status == 404
        with pytest.raises(ServerUnavailableError):
            door.found("/v1/findings")
