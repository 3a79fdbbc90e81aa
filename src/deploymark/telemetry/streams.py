"""From points of metric streams to what came since the point before. Pure but for its memory.

A *stream* is one attribute set of one metric of one instance. Of a cumulative stream the last
state is remembered and subtracted (OpenTelemetry data model, "Resets and gaps"):

* Another start time is another incarnation, with a state of its own; so two processes that say
  they are one instance do not disturb each other.
* A point that is not newer than the last says nothing new: a repetition, or out of order.
* A count that has shrunk under the same start time is a reset: the new counts are all new.
* The first point of a stream counts in full when the stream began a moment ago, or when an
  earlier request brought the same metric without it, because a cumulative exporter sends every
  stream each time. Otherwise it was counting before anyone listened, and is a baseline.

Of a delta stream the last intervals are remembered: one that overlaps them is a repetition.
States go into the store with the counts that they gave, so a restart neither loses nor repeats.
"""

from collections import OrderedDict
from collections.abc import Mapping
from enum import Enum
from hashlib import blake2b
from struct import pack, unpack_from
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from deploymark.decoding import msgpack_decoder
from deploymark.model.histogram import Histogram, difference
from deploymark.telemetry.limits import (
    FRESH_SECONDS,
    IDLE_SECONDS,
    INTERVALS,
    STREAMS,
    STREAMS_PER_PLACE,
)

_SECOND_NS: Final = 1_000_000_000
_KEY_BYTES: Final = 16
_BOUNDS_REMEMBERED: Final = 256
_encode_key = msgspec.msgpack.Encoder().encode


class Silence(Enum):
    """Why a point adds nothing."""

    BASELINE = "baseline"  # it was counting before anyone listened
    OLD = "old"  # not newer than what is known
    FULL = "streams"  # no room for another stream


class Increase(NamedTuple):
    """What came, and since when."""

    latency: Histogram
    since_ns: int


class Family(NamedTuple):
    """One metric of one scope of one instance: its streams are exported together."""

    place: tuple[str, ...]
    scope: bytes
    metric: str


class _Stream(Struct):
    family: bytes
    place: bytes
    start_ns: int
    time_ns: int
    bounds: tuple[float, ...]
    counts: bytes
    seconds: float
    intervals: list[tuple[int, int]]
    heard_s: int


class _Exported(Struct):
    """When the streams of a family came last, and before that."""

    request: int
    first_request: int
    time_ns: int = 0
    before_ns: int = 0
    whole: bool = True


class Streams:
    """The last state of every stream.

    Args:
        most: How many are remembered.
        most_per_place: Of one instance.

    Attributes:
        changed: Streams whose state is not saved yet, as `Telemetry.streams`.
    """

    def __init__(self, most: int = STREAMS, most_per_place: int = STREAMS_PER_PLACE) -> None:
        self._most = most
        self._most_per_place = most_per_place
        self._streams: OrderedDict[bytes, _Stream] = OrderedDict()
        self._of_place: dict[bytes, int] = {}
        self._families: OrderedDict[bytes, _Exported] = OrderedDict()
        self._bounds: dict[tuple[float, ...], tuple[float, ...]] = {}
        self._decoder = msgpack_decoder(_Stream)
        self._encoder = msgspec.msgpack.Encoder()
        self.changed: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._streams)

    def restore(self, saved: Mapping[bytes, bytes]) -> None:
        """Begin with saved states; what cannot be read is left out."""
        for key, data in saved.items():
            try:
                stream = self._decoder.decode(data)
            except (msgspec.MsgspecError, ValueError):
                continue
            self._put(key, stream)
            exported = self._families.setdefault(stream.family, _Exported(-1, -1))
            exported.time_ns = max(exported.time_ns, stream.time_ns)
            # Where there was no room, a stream may have been there all along, and left out.
            exported.whole = self._of_place[stream.place] < self._most_per_place
        self.changed.clear()

    def take_changes(self) -> dict[bytes, bytes | None]:
        """Return what has changed since the last time, to be saved."""
        found: dict[bytes, bytes | None] = {}
        for key in self.changed:
            stream = self._streams.get(key)
            found[key] = None if stream is None else self._encoder.encode(stream)
        self.changed.clear()
        return found

    def cumulative(
        self,
        family: Family,
        attributes: Mapping[str, Any],
        times_ns: tuple[int, int],
        latency: Histogram,
        *,
        request: int,
        now_s: int,
    ) -> Increase | Silence:
        """Return what a point of a growing stream adds.

        Args:
            family: Whose stream it is.
            attributes: Which stream.
            times_ns: Its start and its time.
            latency: All that was counted since the start.
            request: The number of the request that brought it, from 0.
            now_s: The time of receipt.
        """
        start_ns, time_ns = times_ns
        family_key = _digest(family)
        key = _digest((family_key, sorted(attributes.items()), start_ns))
        stream = self._streams.get(key)
        if stream is None:
            return self._first(key, family, times_ns, latency, request=request, now_s=now_s)
        stream.heard_s = now_s
        self._streams.move_to_end(key)
        if time_ns <= stream.time_ns:
            return Silence.OLD
        since_ns = stream.time_ns
        before = Histogram(stream.bounds, _unpacked(stream.counts), stream.seconds)
        increase = difference(latency, before)
        self._export(family_key, time_ns, request)
        stream.time_ns, stream.seconds = time_ns, latency.seconds
        stream.bounds, stream.counts = self._shared(latency.bounds), _packed(latency)
        self.changed.add(key)
        return Increase(latency if increase is None else increase, since_ns)

    def delta(
        self,
        family: Family,
        attributes: Mapping[str, Any],
        times_ns: tuple[int, int],
        *,
        now_s: int,
    ) -> bool | Silence:
        """Tell whether a point of a delta stream is new; True when it counts."""
        start_ns, time_ns = times_ns
        family_key = _digest(family)
        key = _digest((family_key, sorted(attributes.items()), -1))
        stream = self._streams.get(key)
        if stream is None:
            made = _Stream(
                family_key, _digest(family.place), -1, time_ns, (), b"", 0.0, [times_ns], now_s
            )
            return self._add(key, made, now_s) or True
        stream.heard_s = now_s
        self._streams.move_to_end(key)
        known = stream.intervals
        is_older = len(known) == INTERVALS and time_ns <= min(known)[0]
        # An interval of no length, from senders that leave the start out, still has its time.
        if is_older or any(
            (start_ns < end and begin < time_ns) or time_ns == end for begin, end in known
        ):
            return Silence.OLD
        stream.intervals = sorted([*known, times_ns])[-INTERVALS:]
        stream.time_ns = max(stream.time_ns, time_ns)
        self.changed.add(key)
        return True

    def _first(
        self,
        key: bytes,
        family: Family,
        times_ns: tuple[int, int],
        latency: Histogram,
        *,
        request: int,
        now_s: int,
    ) -> Increase | Silence:
        start_ns, time_ns = times_ns
        family_key = _digest(family)
        exported = self._families.get(family_key)
        known_before_ns = 0
        if exported is not None and exported.whole and exported.first_request < request:
            known_before_ns = (
                exported.before_ns if exported.time_ns >= time_ns else exported.time_ns
            )
        stream = _Stream(
            family_key,
            _digest(family.place),
            start_ns,
            time_ns,
            self._shared(latency.bounds),
            _packed(latency),
            latency.seconds,
            [],
            now_s,
        )
        refusal = self._add(key, stream, now_s)
        self._export(family_key, time_ns, request)
        if refusal is not None:
            # From now on a new stream of this family may have been there all along.
            self._families[family_key].whole = False
            return refusal
        if known_before_ns and known_before_ns < time_ns:
            return Increase(latency, max(start_ns, known_before_ns))
        if start_ns and time_ns - start_ns <= FRESH_SECONDS * _SECOND_NS:
            return Increase(latency, start_ns)
        return Silence.BASELINE

    def _export(self, family_key: bytes, time_ns: int, request: int) -> None:
        exported = self._families.get(family_key)
        if exported is None:
            exported = self._families[family_key] = _Exported(request, request, time_ns)
            if len(self._families) > self._most:
                self._families.popitem(last=False)
        elif time_ns > exported.time_ns:
            exported.before_ns, exported.time_ns = exported.time_ns, time_ns
            self._families.move_to_end(family_key)
        exported.request = request

    def _add(self, key: bytes, stream: _Stream, now_s: int) -> Silence | None:
        if self._of_place.get(stream.place, 0) >= self._most_per_place:
            return Silence.FULL
        if len(self._streams) >= self._most and not self._make_room(now_s):
            return Silence.FULL
        self._put(key, stream)
        self.changed.add(key)
        return None

    def _put(self, key: bytes, stream: _Stream) -> None:
        self._streams[key] = stream
        self._of_place[stream.place] = self._of_place.get(stream.place, 0) + 1

    def _make_room(self, now_s: int) -> bool:
        """Forget the stream that was silent for longest, if it was for long."""
        oldest = next(iter(self._streams))
        stream = self._streams[oldest]
        if now_s - stream.heard_s < IDLE_SECONDS:
            return False
        del self._streams[oldest]
        self._of_place[stream.place] -= 1
        if not self._of_place[stream.place]:
            del self._of_place[stream.place]
        self.changed.add(oldest)
        return True

    def _shared(self, bounds: tuple[float, ...]) -> tuple[float, ...]:
        """Return one tuple for equal bounds: streams of one metric have the same."""
        if len(self._bounds) >= _BOUNDS_REMEMBERED:
            self._bounds.clear()
        return self._bounds.setdefault(bounds, bounds)


def _digest(parts: object) -> bytes:
    return blake2b(_encode_key(parts), digest_size=_KEY_BYTES).digest()


def _packed(latency: Histogram) -> bytes:
    return pack(f"<{len(latency.counts)}d", *latency.counts)


def _unpacked(counts: bytes) -> tuple[float, ...]:
    return unpack_from(f"<{len(counts) // 8}d", counts)
