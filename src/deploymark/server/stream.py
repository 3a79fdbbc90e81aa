"""The live stream (SSE): every entry of the log to everyone who follows, in order, none twice.

The writer's thread says how far the log goes. New entries are read and encoded once, off the event
loop, and kept in a ring that all clients share. A client behind the ring reads from the log, in
chunks; one that takes nothing is cut off and resumes where it stood.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable

from anyio import CapacityLimiter, to_thread
from starlette.types import Receive, Send

from deploymark.errors import DeploymarkError, TooManyStreamsError, UnexpectedError
from deploymark.ports import LogReader, Meter
from deploymark.server.events import EVERYTHING, Event, Filter, event_of, hello, reset, standing
from deploymark.server.request import Check
from deploymark.server.settings import StreamSettings

_CHUNK_ENTRIES = 256
_READERS = 2  # who catches up must not take every thread from who asks
_AGAIN_SECONDS = 1.0
_JOINED = 64  # places and filters that share their bytes; beyond that, who comes joins anew

_log = logging.getLogger(__name__)


class Feed:
    """Carries the log to its followers.

    `notify` may be called on any thread; everything else belongs to one event loop.

    Args:
        reader: The log.
        settings: Bounds.
        meter: Counts failures to read that are tried again.
    """

    def __init__(self, reader: LogReader, settings: StreamSettings, meter: Meter) -> None:
        self.settings = settings
        self._reader = reader
        self._meter = meter
        self._lock = threading.Lock()
        self._size = 0
        self._is_woken = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False
        self._ring: list[Event] = []
        self._start = 0
        self._joined: dict[tuple[int, Filter], tuple[bytes, int]] = {}
        self._followers: set[Subscription] = set()
        self._pump: asyncio.Task[None] | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._limiter: CapacityLimiter | None = None

    @property
    def clients(self) -> int:
        """How many follow now."""
        return len(self._followers)

    @property
    def size(self) -> int:
        """How far the log is known to go."""
        return self._size

    @property
    def start(self) -> int:
        """The oldest entry in the ring."""
        return self._start

    @property
    def end(self) -> int:
        """Where the ring ends: the next entry to be encoded."""
        return self._start + len(self._ring)

    @property
    def is_closed(self) -> bool:
        """Whether no more will come."""
        return self._is_closed

    def notify(self, size: int) -> None:
        """Say how many entries the log has; returns at once, on any thread."""
        with self._lock:
            if size <= self._size:
                return
            self._size = size
            if self._is_woken or self._loop is None or self._is_closed:
                return
            self._is_woken = True
            with contextlib.suppress(RuntimeError):  # the loop has ended without `close`
                self._loop.call_soon_threadsafe(self._awake)

    async def subscribe(
        self, after: int | None, wanted: Filter = EVERYTHING, check: Check | None = None
    ) -> "Subscription":
        """Return a subscription that begins behind the entry `after`, or now.

        Args:
            after: The last entry that the client has seen, -1 for none; None begins now.
            wanted: Which entries to send.
            check: Raises a DeploymarkError once the client may not follow any more.

        Raises:
            TooManyStreamsError: As many follow as may.
        """
        if len(self._followers) >= self.settings.max_subscribers or self._is_closed:
            raise TooManyStreamsError(f"{len(self._followers)} clients follow the stream already.")
        self._loop = asyncio.get_running_loop()
        if self._limiter is None:
            self._limiter = CapacityLimiter(_READERS)
        self.notify((await to_thread.run_sync(self._reader.head)).size)
        return Subscription(self, self._size if after is None else after + 1, wanted, check)

    def close(self) -> None:
        """End every stream; what was being written is finished."""
        with self._lock:
            self._is_closed = True
        if self._pump is not None:
            self._pump.cancel()
        if self._tick is not None:
            self._tick.cancel()
        self._wake_all()

    def add(self, follower: "Subscription") -> None:
        """Begin to wake a follower."""
        if not self._followers:
            # Nobody listened, so nothing was encoded: the ring begins anew, at the head.
            self._forget(self._size)
            self._tick = self._running.call_later(self.settings.heartbeat_seconds, self._beat)
        self._followers.add(follower)
        self._awake()

    def remove(self, follower: "Subscription") -> None:
        """Wake it no more."""
        self._followers.discard(follower)
        if not self._followers and self._tick is not None:
            self._tick.cancel()

    def joined(self, position: int, wanted: Filter) -> tuple[bytes, int]:
        """Return what the ring has from `position` on for a filter, and where that ends.

        Followers at one place with one filter get the same bytes.
        """
        found = self._joined.get((position, wanted))
        if found is None:
            if len(self._joined) >= _JOINED:
                self._joined.clear()
            found = chunk_of(self._ring[position - self._start :], position, wanted, self.settings)
            self._joined[position, wanted] = found
        return found

    async def read(self, start: int, end: int) -> list[Event]:
        """Read a chunk of the log, off the event loop."""
        return await to_thread.run_sync(
            lambda: [event_of(entry) for entry in self._reader.entries(start, end)],
            limiter=self._limiter,
        )

    @property
    def _running(self) -> asyncio.AbstractEventLoop:
        return self._loop or asyncio.get_running_loop()

    def _forget(self, start: int) -> None:
        self._ring, self._start = [], start
        self._joined.clear()

    def _awake(self) -> None:
        self._is_woken = False
        idle = self._pump is None or self._pump.done()
        if self._followers and idle and self.end < self._size and not self._is_closed:
            self._pump = self._running.create_task(self._fill())

    async def _fill(self) -> None:
        """Bring the ring up to the head."""
        while self._followers and self.end < self._size:
            if self._size - self.end > self.settings.ring_entries:
                self._forget(self._size - self.settings.ring_entries)
            events = await self._read_on()
            if not events:
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            self._extend(events)
            self._wake_all()

    async def _read_on(self) -> list[Event]:
        try:
            return await self.read(self.end, min(self._size, self.end + _CHUNK_ENTRIES))
        except DeploymarkError as error:
            self._meter.count("deploymark_stream_read_failures_total", code=error.code)
        except Exception:  # noqa: BLE001 - one entry must not silence the stream for good
            self._meter.count("deploymark_stream_read_failures_total", code=UnexpectedError.code)
            _log.exception("the stream cannot read the log")
        return []

    def _extend(self, events: list[Event]) -> None:
        if events[0].index != self.end:
            return  # the ring began anew meanwhile
        self._ring += events
        self._joined.clear()
        if len(self._ring) > 2 * self.settings.ring_entries:
            surplus = len(self._ring) - self.settings.ring_entries
            del self._ring[:surplus]
            self._start += surplus

    def _beat(self) -> None:
        now = self._running.time()
        for follower in list(self._followers):
            follower.beat(now)
        self._tick = self._running.call_later(self.settings.heartbeat_seconds, self._beat)

    def _wake_all(self) -> None:
        for follower in self._followers:
            follower.wake()


class Subscription:
    """One client's place in the stream.

    Args:
        feed: Where entries come from.
        position: The next entry to send.
        wanted: Which entries to send.
        check: As in `Feed.subscribe`.
    """

    def __init__(self, feed: Feed, position: int, wanted: Filter, check: Check | None) -> None:
        self._feed = feed
        self._position = position
        self._wanted = wanted
        self._check = check
        self._abort: Callable[[], None] | None = None
        self._is_over = False
        self._is_gone = False
        self._is_due = False
        self._has_spoken = True
        self._writing_since: float | None = None
        self._waiting: asyncio.Future[None] | None = None

    def cut_off_with(self, abort: Callable[[], None] | None) -> None:
        """Say how to end a connection whose client takes nothing."""
        self._abort = abort

    async def run(self, receive: Receive, send: Send) -> None:
        """Write the body of the answer until the client or the server leaves."""
        watching = asyncio.create_task(self._watch(receive))
        self._feed.add(self)
        try:
            await self._write(send, hello(max(self._position, 0)))
            while not self._is_over and not self._feed.is_closed:
                if text := await self._next():
                    await self._write(send, text)
        finally:
            self._feed.remove(self)
            watching.cancel()
        if not self._is_gone:
            await send({"type": "http.response.body", "body": b""})

    def wake(self) -> None:
        """Look again whether there is something to do."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def beat(self, now: float) -> None:
        """Say where the stream stands, or cut off who has not taken what was sent long ago."""
        since = self._writing_since
        if since is None:
            self._is_due = True
            self.wake()
        elif now - since > self._feed.settings.stall_seconds:
            self._end(is_gone=True)
            if self._abort is not None:
                self._abort()

    async def _next(self) -> bytes:
        """Return what to write next, b"" for nothing yet."""
        feed = self._feed
        if self._is_due:
            return await self._stand()
        behind = feed.size - self._position
        if behind < 0 or behind > feed.settings.max_behind:
            self._position = feed.size
            return reset("ahead" if behind < 0 else "behind", feed.size)
        if self._position < feed.start:
            return await self._catch_up()
        if self._position < feed.end:
            text, self._position = feed.joined(self._position, self._wanted)
            return text
        self._waiting = asyncio.get_running_loop().create_future()
        await self._waiting
        return b""

    async def _stand(self) -> bytes:
        self._is_due = False
        try:
            if self._check is not None:
                await self._check()
        except DeploymarkError:
            self._end()  # the token was revoked, or has expired
            return b""
        quiet, self._has_spoken = not self._has_spoken, False
        return standing(self._position) if quiet else b""

    async def _catch_up(self) -> bytes:
        end = min(self._feed.start, self._position + _CHUNK_ENTRIES)
        try:
            events = await self._feed.read(self._position, end)
        except DeploymarkError as error:
            _log.warning("a stream cannot read the log", extra={"code": error.code})
            self._end()  # the client comes back, and resumes
            return b""
        text, self._position = chunk_of(events, self._position, self._wanted, self._feed.settings)
        return text

    async def _write(self, send: Send, text: bytes) -> None:
        self._writing_since = asyncio.get_running_loop().time()
        # Waits while the connection's buffer is full: that bounds what one client can cost.
        await send({"type": "http.response.body", "body": text, "more_body": True})
        self._writing_since = None
        self._has_spoken = True

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._end(is_gone=True)

    def _end(self, *, is_gone: bool = False) -> None:
        self._is_over = True
        self._is_gone = is_gone
        self.wake()


def chunk_of(
    events: list[Event], position: int, wanted: Filter, settings: StreamSettings
) -> tuple[bytes, int]:
    """Join the wanted among these events, up to a chunk, and say which is the next.

    Args:
        events: In order, the first of them at `position`.
        position: Where the client stands.
        wanted: Its filter.
        settings: The size of a chunk.
    """
    parts: list[bytes] = []
    size = 0
    for event in events:
        if size >= settings.chunk_bytes:
            break
        position = event.index + 1
        if wanted is EVERYTHING or wanted.takes(event):
            parts.append(event.text)
            size += len(event.text)
    return b"".join(parts), position
