"""From one OTLP request to counts: who says it, may they, and what does it add.

1. Cut the request into resources and items. 2. Is it one that was counted before? 3. Who reports,
and may the caller speak for that service and environment, as for markers? 4. The resource itself
confirms what runs. 5. Its items are counted. An item that cannot be read is refused alone.

Works on one thread and without waiting; `reception` brings the requests and saves what was added.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol

from msgspec import Struct

from deploymark.errors import (
    ForbiddenError,
    RequestError,
    UnauthenticatedError,
    UnsignedRefusedError,
)
from deploymark.ingest.admission import AdmissionRules, check_authority
from deploymark.ingest.callers import Caller
from deploymark.ports import Place, Telemetry, TelemetryQuery, TelemetryStore
from deploymark.telemetry.limits import RECEIPTS
from deploymark.telemetry.logs import LogCounter
from deploymark.telemetry.metrics import MetricCounter
from deploymark.telemetry.pending import Pending
from deploymark.telemetry.places import Places
from deploymark.telemetry.resource import Origin, origin_of
from deploymark.telemetry.signals import Codec, Raw, Reported, Signal, sizes
from deploymark.telemetry.spans import SpanCounter
from deploymark.telemetry.streams import Streams
from deploymark.telemetry.tally import Sender, Tally

EVER: Final = TelemetryQuery(0, 2**53)
"""Asks for everything."""

_ORIGINS_REMEMBERED: Final = 4_096
_REMEMBERED_BYTES: Final = 8_192
_RECEIPT_BYTES: Final = 16


class Handed(Struct, frozen=True):
    """One request, as the door hands it in.

    Attributes:
        signal: Which of the three.
        encoding: `protobuf` or `json`.
        body: Unpacked.
        caller: Whose word it is.
    """

    signal: Signal
    encoding: str
    body: bytes
    caller: Caller


class Taken(NamedTuple):
    """What became of a request.

    Attributes:
        items: Spans, points or log records that were taken.
        refused: Those that were not.
        why: Says why, of the first.
    """

    items: int
    refused: int = 0
    why: str = ""


class _Counter(Protocol):
    def count(self, sender: Sender, scopes: Sequence[tuple[bytes, Sequence[Raw]]]) -> Tally: ...


class Collector:
    """Folds requests into what is saved next.

    Args:
        store: What was saved before.
        codecs: By encoding.
        rules: What callers without a token may speak about.
        privacy: Raises `RefusedError` for a text that may not be kept.
        gauges: Names of metrics of which the values are kept.
        retention_seconds: What is older is not counted.
        bucket_seconds: What is counted together.
        confirm: Told of every resource that is admitted.

    Raises:
        StoreUnavailableError: What was saved before cannot be read.
    """

    def __init__(  # noqa: PLR0913 - one argument for each thing that it is set up with
        self,
        store: TelemetryStore,
        codecs: dict[str, Codec],
        *,
        rules: AdmissionRules,
        privacy: Callable[[str], None],
        gauges: Iterable[str],
        retention_seconds: int,
        bucket_seconds: int,
        confirm: Callable[[Origin, Caller], None],
    ) -> None:
        streams, receipts = store.load()
        self._codecs = codecs
        self._rules = rules
        self._bucket_seconds = bucket_seconds
        self._confirm = confirm
        self._places = Places()
        self._streams = Streams()
        self._streams.restore(streams)
        self._receipts: OrderedDict[bytes, None] = OrderedDict.fromkeys(receipts)
        self._origins: OrderedDict[tuple[str, bytes], Origin] = OrderedDict()
        self._requests = 0
        self.pending = Pending()
        self.dropped: Counter[str] = Counter()
        metrics = MetricCounter(self._streams, gauges, retention_seconds, store.measured(EVER))
        self._counters: dict[Signal, _Counter] = {
            Signal.TRACES: SpanCounter(metrics.is_measured, retention_seconds),
            Signal.METRICS: metrics,
            Signal.LOGS: LogCounter(privacy, retention_seconds),
        }

    def take(self, handed: Handed, now_s: int) -> Taken:
        """Count one request.

        Raises:
            RequestError: It cannot be read, none of it.
            TooLargeError: It has more parts than are looked at.
            ForbiddenError, UnauthenticatedError: The caller may say none of it.
        """
        codec = self._codecs[handed.encoding]
        found = codec.reported(handed.body, handed.signal)
        receipt = _receipt(handed)
        if receipt in self._receipts:
            self.dropped["repeated"] += 1
            return Taken(sum(sizes(found)))
        self._requests += 1
        tally, refusal = Tally(), None
        for reported in found:
            items = sum(len(each) for _, each in reported.scopes)
            try:
                sender = self._sender(codec, handed, reported, now_s)
            except (RequestError, ForbiddenError, UnauthenticatedError) as error:
                refusal = refusal or error.with_traceback(None)  # no cycle through this frame
                tally.refuse(error.message, items)
                continue
            tally.add(self._counters[handed.signal].count(sender, reported.scopes))
        if tally.refused and not tally.items:
            raise refusal or RequestError(tally.why)
        self.dropped.update(tally.dropped)
        self.pending.receipts.append(receipt)
        self._receipts[receipt] = None
        if len(self._receipts) > RECEIPTS:
            self._receipts.popitem(last=False)
        return Taken(tally.items, tally.refused, tally.why)

    def finish(self, now_s: int) -> Telemetry:
        """Return everything that was counted since the last time, to be saved."""
        pending, self.pending = self.pending, Pending()
        return pending.finish(now_s, self._streams.take_changes())

    def gauges(self) -> dict[str, float]:
        """Return how full the memory is, by name of the metric."""
        return {
            "telemetry_instances": len(self._places),
            "telemetry_streams": len(self._streams),
        }

    def _sender(self, codec: Codec, handed: Handed, reported: Reported, now_s: int) -> Sender:
        origin = self._origin(codec, handed.encoding, reported.resource)
        self._check_caller(handed.caller, origin)
        self._confirm(origin, handed.caller)
        own = Place(origin.service, origin.environment, origin.deployment, origin.instance)
        place = self._places.admit(own, now_s)
        if place is not own and place != own:
            self.dropped["places"] += 1
        return Sender(
            codec=codec,
            pending=self.pending,
            place=place,
            identity=own,
            is_marked=bool(origin.deployment),
            request=self._requests,
            now_s=now_s,
            bucket_seconds=self._bucket_seconds,
        )

    def _origin(self, codec: Codec, encoding: str, resource: bytes) -> Origin:
        """Return who reports; resources come again with every export, so they are remembered."""
        key = (encoding, resource)
        found = self._origins.get(key)
        if found is None:
            found = origin_of(codec.attributes(resource))
            if len(resource) <= _REMEMBERED_BYTES:
                self._origins[key] = found
                if len(self._origins) > _ORIGINS_REMEMBERED:
                    self._origins.popitem(last=False)
        return found

    def _check_caller(self, caller: Caller, origin: Origin) -> None:
        """Let telemetry pass that the caller might as well say in a marker."""
        fields = {
            "service": origin.service,
            "environment": origin.environment,
            "phase": "running",
        }
        try:
            check_authority(self._rules, caller, fields, signed=False)
        except UnsignedRefusedError:
            raise UnauthenticatedError(
                f"Telemetry about {origin.environment or 'no environment'} needs a token.",
                hint="Set OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20<token>.",
            ) from None


def _receipt(handed: Handed) -> bytes:
    """Return what a request is recognised by: the same words of the same caller."""
    found = blake2b(handed.body, digest_size=_RECEIPT_BYTES, person=handed.signal.value.encode())
    found.update(handed.caller.principal.encode())
    return found.digest()
