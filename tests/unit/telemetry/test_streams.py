"""From points to increases: nothing is lost, nothing counts twice, and nobody guesses."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deploymark.model.histogram import Histogram, merge
from deploymark.telemetry.limits import IDLE_SECONDS, INTERVALS
from deploymark.telemetry.streams import Family, Increase, Silence, Streams

NANO = 1_000_000_000
START_S = 1_795_000_000
FAMILY = Family(("shop", "prod", "d-one", "i-1"), b"scope", "http.server.request.duration")
OK: dict[str, Any] = {"status": 200}
FAILED: dict[str, Any] = {"status": 500}
BOUNDS = (0.1, 1.0)


def counts(*found: int) -> Histogram:
    """Return a histogram with these counts."""
    return Histogram(BOUNDS, found, float(sum(found)))


class Sender:
    """Sends points of one process, at seconds after its start."""

    def __init__(self, streams: Streams, start_s: int = START_S) -> None:
        self.streams = streams
        self.start_s = start_s
        self.request = 0

    def send(
        self, seconds: float, found: Histogram, attributes: dict[str, Any] = OK
    ) -> Increase | Silence:
        """Send one point in a request of its own."""
        self.request += 1
        return self.streams.cumulative(
            FAMILY,
            attributes,
            (self.start_s * NANO, int((self.start_s + seconds) * NANO)),
            found,
            request=self.request,
            now_s=int(self.start_s + seconds),
        )


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), min_size=1),
    st.data(),
)
def test_the_increases_of_a_growing_stream_are_its_last_state(
    increases: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    streams = Streams()
    sender = Sender(streams)
    total, given_out, points = counts(0, 0, 0), counts(0, 0, 0), []
    for number, each in enumerate(increases, 1):
        total = merge(total, counts(*each))
        points.append((number * 10.0, total))
    for place, point in enumerate(points):
        if data.draw(st.booleans()) and place < len(points) - 1:
            continue  # lost: the next one brings what it would have brought
        again = data.draw(st.lists(st.sampled_from(points[: place + 1]), max_size=3))
        for seconds, found in (point, *again):
            got = sender.send(seconds, found)
            if isinstance(got, Increase):
                given_out = merge(given_out, got.latency)
        if data.draw(st.booleans()):  # a restart: what was saved is all that is known
            saved = {key: state for key, state in _all(streams).items() if state is not None}
            sender.streams = streams = Streams()
            streams.restore(saved)
    assert given_out == total


def _all(streams: Streams) -> dict[bytes, bytes | None]:
    streams.changed.update(streams._streams)
    return streams.take_changes()


def test_a_restarted_process_begins_a_stream_of_its_own() -> None:
    streams = Streams()
    assert Sender(streams).send(10, counts(5, 0, 0)) == Increase(counts(5, 0, 0), START_S * NANO)
    restarted = Sender(streams, START_S + 50)
    assert restarted.send(10, counts(2, 0, 0)) == Increase(counts(2, 0, 0), (START_S + 50) * NANO)
    # The old process still says its last words: they are its own.
    late = Sender(streams).send(40, counts(6, 0, 0))
    assert late == Increase(counts(1, 0, 0), (START_S + 10) * NANO)


def test_counts_that_shrink_under_the_same_start_are_a_reset() -> None:
    sender = Sender(Streams())
    sender.send(10, counts(5, 5, 0))
    assert sender.send(20, counts(1, 0, 0)) == Increase(counts(1, 0, 0), (START_S + 10) * NANO)


def test_a_point_that_is_not_newer_adds_nothing() -> None:
    sender = Sender(Streams())
    sender.send(20, counts(5, 0, 0))
    assert sender.send(20, counts(5, 0, 0)) is Silence.OLD
    assert sender.send(10, counts(3, 0, 0)) is Silence.OLD


def test_what_was_counted_before_anyone_listened_is_a_baseline() -> None:
    sender = Sender(Streams())
    assert sender.send(3_600, counts(500, 0, 0)) is Silence.BASELINE
    assert sender.send(3_660, counts(503, 0, 0)) == Increase(
        counts(3, 0, 0), (START_S + 3_600) * NANO
    )


def test_the_first_error_of_an_old_process_counts() -> None:
    sender = Sender(Streams())
    sender.send(3_600, counts(500, 0, 0))
    sender.request -= 1  # another attribute set of the very same export
    assert sender.send(3_600, counts(9, 0, 0), {"status": 404}) is Silence.BASELINE
    sender.send(3_660, counts(510, 0, 0))
    assert sender.send(3_660, counts(1, 0, 0), FAILED) == Increase(
        counts(1, 0, 0), (START_S + 3_600) * NANO
    )


def test_the_first_error_after_a_restart_of_the_server_counts() -> None:
    streams = Streams()
    sender = Sender(streams)
    sender.send(3_600, counts(500, 0, 0))
    again = Streams()
    again.restore({k: v for k, v in streams.take_changes().items() if v is not None})
    sender.streams, sender.request = again, 0
    assert isinstance(sender.send(3_660, counts(1, 0, 0), FAILED), Increase)


def test_where_there_was_no_room_nobody_guesses_later() -> None:
    streams = Streams(most=2, most_per_place=1)
    sender = Sender(streams)
    sender.send(3_600, counts(500, 0, 0))
    assert sender.send(3_600, counts(7, 0, 0), FAILED) is Silence.FULL
    streams._most_per_place = 2
    assert sender.send(3_660, counts(8, 0, 0), FAILED) is Silence.BASELINE


def test_streams_are_bounded_and_idle_ones_make_room() -> None:
    streams = Streams(most=2)
    sender = Sender(streams)
    sender.send(10, counts(1, 0, 0), {"route": "/a"})
    sender.send(11, counts(1, 0, 0), {"route": "/b"})
    assert sender.send(12, counts(1, 0, 0), {"route": "/c"}) is Silence.FULL
    assert len(streams) == 2
    streams.take_changes()
    sender.send(IDLE_SECONDS + 11, counts(1, 0, 0), {"route": "/c"})
    assert len(streams) == 2
    assert sorted(state is None for state in streams.take_changes().values()) == [False, True]


def test_another_order_of_attributes_is_the_same_stream() -> None:
    sender = Sender(Streams())
    sender.send(10, counts(1, 0, 0), {"a": 1, "b": [1, "x"]})
    assert sender.send(20, counts(2, 0, 0), {"b": [1, "x"], "a": 1}) == Increase(
        counts(1, 0, 0), (START_S + 10) * NANO
    )


def test_bounds_that_change_are_compared_where_they_agree() -> None:
    sender = Sender(Streams())
    sender.send(10, counts(1, 1, 1))
    assert sender.send(20, Histogram((0.5, 1.0), (2, 2, 1), 5.0)) == Increase(
        Histogram((1.0,), (2, 0), 2.0), (START_S + 10) * NANO
    )


def test_a_saved_state_that_cannot_be_read_is_left_out() -> None:
    streams = Streams()
    streams.restore({b"one": b"garbage", b"two": b""})
    assert len(streams) == 0


@given(st.permutations(range(INTERVALS)), st.lists(st.integers(0, INTERVALS - 1)))
def test_a_delta_counts_once_in_whatever_order_it_comes(
    order: list[int], repeated: list[int]
) -> None:
    streams = Streams()
    taken = [
        number
        for number in (*order, *repeated)
        if streams.delta(
            FAMILY,
            OK,
            ((START_S + number * 10) * NANO, (START_S + number * 10 + 10) * NANO),
            now_s=START_S,
        )
        is True
    ]
    assert sorted(taken) == list(range(INTERVALS))


def test_a_delta_that_overlaps_one_that_counted_does_not_count() -> None:
    streams = Streams()

    def send(start: int, end: int) -> bool | Silence:
        times = ((START_S + start) * NANO, (START_S + end) * NANO)
        return streams.delta(FAMILY, OK, times, now_s=START_S)

    assert send(10, 20) is True
    assert send(15, 25) is Silence.OLD
    assert send(0, 10) is True
    assert send(20, 30) is True
    for number in range(3, 3 + INTERVALS):
        assert send(number * 10, number * 10 + 10) is True
    assert send(0, 10) is Silence.OLD  # older than what is remembered


def test_deltas_survive_a_restart() -> None:
    streams = Streams()
    times = (START_S * NANO, (START_S + 10) * NANO)
    assert streams.delta(FAMILY, OK, times, now_s=START_S) is True
    again = Streams()
    again.restore({k: v for k, v in streams.take_changes().items() if v is not None})
    assert again.delta(FAMILY, OK, times, now_s=START_S) is Silence.OLD
