"""The live stream over real sockets: nothing missed, nothing twice, whatever happens between."""

import json
import random
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from door_samples import Door, connect, marker, serving

from deploymark.errors import StoreUnavailableError
from deploymark.log.reader import LogView
from deploymark.model.vocabulary import Role
from deploymark.ports import LogReader, StoredEntry
from deploymark.server.settings import Settings, StreamSettings
from deploymark.testing.whole_log import WholeLog

SMALL = StreamSettings(
    heartbeat_seconds=0.05, ring_entries=8, max_behind=100_000, chunk_bytes=4_096
)


def notifying(door: Door) -> None:
    """Tell the feed what the writer has committed, as composition does."""
    submit = door.log.store.append

    def append(batch: Any) -> None:  # noqa: ANN401 - as the store takes it
        submit(batch)
        door.app.feed.notify(batch.head.size)

    door.log.store.append = append  # type: ignore[method-assign]


class Listener:
    """One client: a raw socket, read event by event."""

    def __init__(self, port: int, door: Door, path: str = "/v1/stream", **headers: str) -> None:
        self._peer = connect(port)
        said = {"Host": "localhost", "Authorization": f"Bearer {door.tokens[Role.READER]}"}
        said |= {name.replace("_", "-"): text for name, text in headers.items()}
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {text}" for name, text in said.items())]
        self._peer.sendall("\r\n".join([*lines, "", ""]).encode())
        self._file = self._peer.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        self.headers = {}
        while line := self._file.readline().strip():
            name, _, text = line.decode().partition(": ")
            self.headers[name] = text
        self._text = b""
        self.last_id: str | None = None

    def close(self) -> None:
        self._file.close()
        self._peer.close()

    def event(self) -> dict[str, str] | None:
        """Return the next event block, None at the end of the stream."""
        while b"\n\n" not in self._text:
            size = int(self._file.readline().strip() or b"0", 16)
            if size == 0:
                return None
            self._text += self._file.read(size)
            self._file.readline()
        block, _, self._text = self._text.partition(b"\n\n")
        fields = dict(line.split(": ", 1) for line in block.decode().split("\n"))
        self.last_id = fields.get("id", self.last_id)
        return fields

    def entries(self, count: int) -> list[dict[str, Any]]:
        """Return the next entries; heartbeats are passed over."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            fields = self.event()
            assert fields is not None, "the stream has ended"
            assert "event" not in fields, fields
            if "data" in fields:
                found.append(json.loads(fields["data"]))
                assert fields["id"] == str(found[-1]["index"])
        return found

    def indexes(self, count: int) -> list[int]:
        return [entry["index"] for entry in self.entries(count)]


Connect = Callable[..., Listener]


@pytest.fixture
def door() -> Iterator[Door]:
    with Door(Settings(stream=SMALL)) as door:
        notifying(door)
        yield door


@pytest.fixture
def listen(door: Door) -> Iterator[Connect]:
    opened: list[Listener] = []
    with serving(door) as port:

        def connected(path: str = "/v1/stream", **headers: str) -> Listener:
            opened.append(Listener(port, door, path, **headers))
            return opened[-1]

        try:
            yield connected
        finally:
            for each in opened:
                each.close()


def test_a_stream_begins_now_and_tells_what_comes(door: Door, listen: Connect) -> None:
    door.post(marker(1))
    with closing(listen()) as listener:
        assert listener.status == 200
        assert listener.headers["content-type"] == "text/event-stream"
        hello = listener.event()
        assert hello == {"retry": "1000", "": "here", "id": "1"}
        door.post(marker(2))
        (told,) = listener.entries(1)
        read = door.ask("GET", "/v1/markers/2", Role.READER).json
        # What corrects it comes later, as entries of its own.
        assert read == {**told, "retracted": None, "amendments": []}
        assert told["marker"]["service"] == "service-2"


def test_a_stream_resumes_behind_what_was_seen(door: Door, listen: Connect) -> None:
    door.post([marker(n) for n in range(40)])
    for after in (-1, 0, 7, 39, 40):
        with closing(listen(f"/v1/stream?after={after}")) as listener:
            assert listener.indexes(40 - after) == list(range(after + 1, 41))
    with closing(listen("/v1/stream?after=3", Last_Event_ID="38")) as listener:
        assert listener.indexes(2) == [39, 40]


def test_who_comes_back_a_hundred_times_misses_and_repeats_nothing(
    door: Door, listen: Connect
) -> None:
    chance = random.Random(7)
    total = 1 + 3 * 120

    def append() -> None:
        for number in range(120):
            door.log.append_markers(3)
            threading.Event().wait(0.005 if number % 7 else 0.02)

    writer = threading.Thread(target=append)
    writer.start()
    seen: list[int] = []
    last_id, comings = "-1", 0
    while len(seen) < total or comings < 100:
        comings += 1
        with closing(listen(Last_Event_ID=last_id)) as listener:
            # Some leave before the first event, some in the middle of a batch.
            for _ in range(chance.choice([0, 1, 2, 5, 11])):
                if len(seen) < total:
                    seen += listener.indexes(1)
            last_id = listener.last_id or last_id
        assert comings < 2_000
    writer.join()
    assert seen == list(range(total))
    assert comings >= 100


def test_many_clients_get_the_same_in_order(door: Door, listen: Connect) -> None:
    listeners = [listen(f"/v1/stream?after={-(n % 2)}") for n in range(12)]
    with ThreadPoolExecutor(12) as pool:
        heard = [pool.submit(each.indexes, 200 + n % 2) for n, each in enumerate(listeners)]
        for _ in range(40):
            door.log.append_markers(5)
        for number, each in enumerate(heard):
            assert each.result() == list(range(1 - number % 2, 201))


_FILTERS = {
    "service=service-3": [3, 10, 17],
    "service=service-3&environment=prod&kind=deployment&phase=applied&type=marker": [3, 10, 17],
    "type=key": [0],
    "type=finding": [],
    "kind=config": [],
    "phase=planned": [],
    "environment=test": [],
}


@pytest.mark.parametrize(("query", "indexes"), _FILTERS.items())
def test_filters_choose_and_the_position_moves_on(
    door: Door, listen: Connect, query: str, indexes: list[int]
) -> None:
    door.log.append_markers(20)
    with closing(listen(f"/v1/stream?after=-1&{query}")) as listener:
        assert listener.indexes(len(indexes)) == indexes
        # A heartbeat names what was passed over, so that resuming does not read it again.
        while listener.last_id != "20":
            fields = listener.event()
            assert fields is not None
            assert "data" not in fields
        door.log.append_markers(1)
        while listener.last_id != "21":
            listener.event()


_RESETS = {"ahead of the log": (5, "ahead"), "too far behind": (-1, "behind")}


@pytest.mark.parametrize(("after", "reason"), _RESETS.values(), ids=_RESETS)
def test_a_client_out_of_reach_is_told_to_start_over(after: int, reason: str) -> None:
    settings = Settings(stream=StreamSettings(max_behind=2))
    with Door(settings) as door:
        notifying(door)
        door.log.append_markers(2)
        with (
            serving(door) as port,
            closing(Listener(port, door, f"/v1/stream?after={after}")) as listener,
        ):
            listener.event()
            reset = listener.event()
            assert reset is not None
            assert (reset["event"], reset["id"]) == ("reset", "2")
            assert json.loads(reset["data"]) == {"reason": reason, "next": 3}
            door.log.append_markers(1)
            assert listener.indexes(1) == [3]


def test_what_cannot_be_resumed_from_is_a_400(listen: Connect) -> None:
    for said in ("x", "-2", "1.5", "9" * 30):
        assert listen(Last_Event_ID=said).status == 400
    assert listen("/v1/stream?after=-2").status == 400
    assert listen("/v1/stream?phase=eaten").status == 400
    assert listen("/v1/stream?type=marke").status == 400


def test_streams_are_bounded_and_come_free_again() -> None:
    with Door(Settings(stream=StreamSettings(max_subscribers=1))) as door, serving(door) as port:
        with closing(Listener(port, door)) as first:
            first.event()
            second = Listener(port, door)
            assert (second.status, second.headers["retry-after"]) == (503, "1")
            second.close()
        for _ in range(200):
            with closing(Listener(port, door)) as third:
                if third.status == 200:
                    return
            threading.Event().wait(0.01)
        pytest.fail("no place came free")


def test_a_revoked_token_ends_its_stream(door: Door, listen: Connect) -> None:
    with closing(listen()) as listener:
        listener.event()
        path = f"/v1/tokens/{door.tokens[Role.READER].split('_')[1]}"
        assert door.ask("DELETE", path, Role.ADMIN).status == 204
        while listener.event() is not None:
            pass


def test_a_server_that_stops_ends_its_streams(door: Door) -> None:
    with serving(door) as port:
        listener = Listener(port, door)
        listener.event()
    while listener.event() is not None:
        pass
    listener.close()


def test_a_client_that_takes_nothing_is_cut_off() -> None:
    stream = StreamSettings(heartbeat_seconds=0.1, stall_seconds=0.2)
    with Door(Settings(stream=stream)) as door:
        notifying(door)
        with serving(door) as port, socket.socket() as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            peer.connect(("127.0.0.1", port))
            token = door.tokens[Role.READER]
            head = f"Host: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
            peer.sendall(f"GET /v1/stream?after=-1 HTTP/1.1\r\n{head}".encode())
            while door.app.feed.clients == 0:
                threading.Event().wait(0.01)
            for _ in range(600):
                door.log.append_markers(64)
                if door.app.feed.clients == 0:
                    return
            pytest.fail("nobody cut it off")


class Flaky:
    """A reader that fails now and then."""

    def __init__(self, log: WholeLog) -> None:
        self._store: LogReader = log.store
        self._calls = 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - every other method
        return getattr(self._store, name)

    def entries(self, start: int, end: int) -> Iterator[StoredEntry]:
        self._calls += 1
        if self._calls == 1:
            raise StoreUnavailableError("The disk is away.")
        yield from self._store.entries(start, end)


def test_a_disk_that_comes_back_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploymark.server.stream._AGAIN_SECONDS", 0.01)
    with Door() as plain:
        view = LogView(Flaky(plain.log))
        with (
            Door(view=view) as door,
            serving(door) as port,
            closing(Listener(port, door)) as listener,
        ):
            listener.event()
            plain.log.append_markers(2)
            door.app.feed.notify(3)
            assert listener.indexes(2) == [1, 2]
