"""Sends a planned day to a server, at its pace, with the times that are true when it sends.

One thread keeps the time, a few carry messages. What belongs to one lane goes one way, so that it
arrives in the order in which it leaves. When the machine cannot keep up, the day takes longer: its
clock waits, so that a late machine is not mistaken for late markers.
"""

import json
import queue
import threading
import time
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from deploymark.model.instants import format_instant
from deploymark.ports import Clock
from deploymark.testing.gameday.door import Door, Json
from deploymark.testing.gameday.guests import Guests, caller_of
from deploymark.testing.gameday.message import Fields, Message, Seal
from deploymark.testing.gameday.plan import Day

_SENDERS: Final = 6
_BATCH: Final = 50
_BEHIND_SECONDS: Final = 0.2
_MOST_UNDERWAY: Final = 48
_MARKERS: Final = "/v1/markers"


class Sent(NamedTuple):
    """A message that was sent, and what came of it.

    Attributes:
        claimed_ms: The time that the marker claims.
        sent_ms: When it left, by the clock of this machine.
        status: Of this item.
        code: Of the problem, "" where it was taken.
        entry: Its index in the log, None where it was refused.
        filed: The deployment and occurrence under which it stands, None where it was refused.
    """

    message: Message
    claimed_ms: int
    sent_ms: int
    status: int
    code: str
    entry: int | None
    filed: tuple[str, int] | None

    @property
    def is_right(self) -> bool:
        """The server answered what the specification says."""
        return self.status in self.message.answers


class Pace:
    """What real time belongs to a simulated second; it slips when the machine cannot keep up.

    Args:
        clock: Tells real time.
        compression: Simulated seconds in a real one.
    """

    def __init__(self, clock: Clock, compression: float) -> None:
        self._clock = clock
        self._compression = compression
        self._since = [0.0]
        self._begun_ms = [float(clock.now_ms())]

    def real_ms(self, at: float) -> int:
        """Return the real time of a simulated second, in milliseconds since the epoch."""
        begun = self._begun_ms[bisect_right(self._since, at) - 1]
        return int(begun + at / self._compression * 1_000)

    def wait_for(self, at: float) -> None:
        """Wait until a simulated second has come; if it has long passed, it is now."""
        now_ms = self._clock.now_ms()
        early_ms = self.real_ms(at) - now_ms
        if early_ms > 0:
            time.sleep(early_ms / 1_000)
        elif -early_ms > _BEHIND_SECONDS * 1_000:
            self._since.append(max(at, self._since[-1]))
            self._begun_ms.append(self._begun_ms[-1] - early_ms)

    @property
    def slipped_seconds(self) -> float:
        """How much longer the day takes than planned."""
        return (self._begun_ms[-1] - self._begun_ms[0]) / 1_000


class Player:
    """Plays one day.

    Args:
        day: What to send.
        guests: Who sends it.
        clock: Tells the time.

    Attributes:
        sent: What was sent so far, in no particular order.
        pace: Which real time belongs to which simulated second.
    """

    def __init__(self, day: Day, guests: Guests, clock: Clock) -> None:
        self._day = day
        self._guests = guests
        self._clock = clock
        self._queues: list[queue.SimpleQueue[Message | None]] = [
            queue.SimpleQueue() for _ in range(_SENDERS)
        ]
        # When messages of a lane left: planned and real. One carrier has all of a lane.
        self._lanes: dict[str, tuple[list[float], list[int]]] = {}
        self._underway = threading.Semaphore(_MOST_UNDERWAY)
        self._faults: list[BaseException] = []
        self.sent: list[Sent] = []
        self.pace = Pace(clock, day.timing.compression)

    def real_ms(self, at: float) -> int:
        """Return the real time of a simulated second, in milliseconds since the epoch."""
        return self.pace.real_ms(at)

    def play(self, progress: Callable[[int], None] = lambda _: None) -> None:
        """Send everything; returns when the server has answered all of it.

        Raises:
            ServerUnavailableError: It gives no answer for long.
        """
        carriers = [
            threading.Thread(target=self._carry, args=(each,), daemon=True) for each in self._queues
        ]
        for carrier in carriers:
            carrier.start()
        self.pace = Pace(self._clock, self._day.timing.compression)
        try:
            for count, message in enumerate(self._day.messages):
                self.pace.wait_for(message.leaves_at)
                if self._faults:
                    break
                if not message.lost:
                    self._dispatch(message)
                progress(count)
        finally:
            for each in self._queues:
                each.put(None)
            for carrier in carriers:
                carrier.join()
        if self._faults:
            raise self._faults[0]

    def _dispatch(self, message: Message) -> None:
        self._underway.acquire()
        self._queues[zlib.crc32(_lane(message).encode()) % _SENDERS].put(message)

    def _carry(self, waiting: "queue.SimpleQueue[Message | None]") -> None:
        ways: dict[str, Door] = {}
        try:
            while bundle := _next(waiting):
                for caller, group in groupby(bundle, key=caller_of):
                    if caller not in ways:
                        ways[caller] = self._guests.way_of(caller)
                    for parcel in _parcels(list(group)):
                        self._deliver(ways[caller], parcel)
        except BaseException as error:  # noqa: BLE001 - told by `play`, on its own thread
            self._faults.append(error)
            for _ in range(_MOST_UNDERWAY):  # nobody waits for a carrier that is gone
                self._underway.release()
        finally:
            for way in ways.values():
                way.close()

    def _deliver(self, way: Door, parcel: Sequence[Message]) -> None:
        first = parcel[0]
        sent_ms = self._clock.now_ms()
        at_ms = sent_ms + int(first.clock_off_seconds * 1_000)
        # Made now, as far as anybody can tell: that this machine is late is no fault of a witness.
        claimed = [at_ms - self._waited_ms(each, sent_ms) for each in parcel]
        fields = [stamped(each, at) for each, at in zip(parcel, claimed, strict=True)]
        if first.seal is Seal.NONE:
            body = json.dumps(fields).encode()
        else:
            body = self._guests.body(first, fields[0])
        for _ in range(first.copies):
            reply = way.post(_MARKERS, body, at_ms=at_ms)
            results = reply.content.get("results") or [
                {**reply.content, "status": reply.status}
            ] * len(parcel)
            for message, at, result in zip(parcel, claimed, results, strict=True):
                self.sent.append(_sent(message, at, sent_ms, result))
        for _ in parcel:
            self._underway.release()

    def _waited_ms(self, message: Message, sent_ms: int) -> int:
        """Return how long a message waited on purpose, as its lane's other messages tell.

        They too left a little later than planned, and what waited was made between them.
        """
        sent_at, sent_when = self._lanes.setdefault(_lane(message), ([], []))
        if message.sent_at is None:
            sent_at.append(message.at)
            sent_when.append(sent_ms)
            return 0
        compression = self._day.timing.compression
        place = bisect_right(sent_at, message.at)
        if place == 0:
            return int((message.leaves_at - message.at) / compression * 1_000)
        made_ms = sent_when[place - 1] + (message.at - sent_at[place - 1]) / compression * 1_000
        return sent_ms - int(min([made_ms, *sent_when[place : place + 1]]))


def _lane(message: Message) -> str:
    return f"{message.fields['service']}/{message.fields['environment']}"


def stamped(message: Message, claimed_ms: int) -> Fields:
    """Return the flat marker of a message with its emitter and the times that it claims."""
    emitter: Json = {"kind": message.emitter.kind.value, "id": message.emitter.id}
    if message.emitter.epoch is not None:
        emitter |= {"epoch": message.emitter.epoch, "sequence": message.sequence}
    claimed = format_instant(claimed_ms)
    fields = {**message.fields, "emitter": emitter, "timestamp": claimed}
    if "evidence" in fields:
        fields["evidence"] = {**fields["evidence"], "at": claimed}
    return fields


def _next(waiting: "queue.SimpleQueue[Message | None]") -> list[Message]:
    """Wait for messages and return those that are there; none at the end."""
    bundle: list[Message] = []
    while len(bundle) < _BATCH:
        if bundle and waiting.empty():
            break
        message = waiting.get()
        if message is None:
            waiting.put(None)  # for the next call, after what was collected in this one
            break
        bundle.append(message)
    return bundle


def _parcels(messages: list[Message]) -> Iterator[list[Message]]:
    """Yield what goes in one request: plain ones together, everything peculiar alone."""
    for _, group in groupby(enumerate(messages), key=lambda each: _kind(*each)):
        yield [message for _, message in group]


def _kind(place: int, message: Message) -> int:
    plain = message.copies == 1 and not message.clock_off_seconds and message.seal is Seal.NONE
    return -1 if plain else place


def _sent(message: Message, claimed_ms: int, sent_ms: int, result: Json) -> Sent:
    return Sent(
        message,
        claimed_ms,
        sent_ms,
        int(result.get("status") or 0),
        str(result.get("code") or ""),
        result.get("index"),
        (result["deployment_id"], result["occurrence"]) if "deployment_id" in result else None,
    )
