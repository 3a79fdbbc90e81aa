"""The room as the server sees it: one way in, one way to ask, and what is done by the clock."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from deploymark.errors import StoreUnavailableError
from deploymark.ingest.admission import AdmissionRules
from deploymark.ingest.privacy import check_personal, check_secrets
from deploymark.ports import Clock, Meter, TelemetryStore
from deploymark.telemetry.cohorts import EmbeddedCounts
from deploymark.telemetry.collector import Collector
from deploymark.telemetry.confirmations import Confirmations
from deploymark.telemetry.limits import BUCKET_SECONDS, GAUGES, LAG_SECONDS
from deploymark.telemetry.query import TelemetryReader
from deploymark.telemetry.reception import Reception
from deploymark.telemetry.signals import Codec

_TRIMS: Final = 20
_SHARE: Final = 20


class Settings(Struct, frozen=True):
    """How the room is set up.

    Attributes:
        retention_seconds: What is older is forgotten.
        max_bytes: Of the store; the oldest is forgotten first.
        max_body_bytes: Of one request.
        gauges: Names of metrics of which the values are kept.
        bucket_seconds: What is counted together.
        lag_seconds: How long after the end of a bucket it is taken for complete.
    """

    retention_seconds: int
    max_bytes: int
    max_body_bytes: int
    gauges: tuple[str, ...] = GAUGES
    bucket_seconds: int = BUCKET_SECONDS
    lag_seconds: int = LAG_SECONDS


@dataclass(frozen=True, slots=True)
class TelemetryRoom:
    """Everything about telemetry that the server reaches.

    Attributes:
        reception: Takes requests in.
        reader: Answers questions.
        counts: Counts requests of cohorts, for verdicts.
        settings: How it is set up.
        store: What is kept.
        clock: Tells the time.
    """

    reception: Reception
    reader: TelemetryReader
    counts: EmbeddedCounts
    settings: Settings
    store: TelemetryStore
    clock: Clock

    def trim(self) -> None:
        """Forget what is too old, and the oldest while there is too much; may wait.

        Raises:
            StoreUnavailableError: The store refuses; the next call goes on.
        """
        now_s = self.clock.now_ms() // 1_000
        self.store.trim(now_s - self.settings.retention_seconds)
        for _ in range(_TRIMS):
            if self.store.size_bytes() <= self.settings.max_bytes:
                return
            oldest_s = self.store.oldest_s()
            if oldest_s is None:
                return
            self.store.trim(oldest_s + max(10, (now_s - oldest_s) // _SHARE))

    def gauges(self) -> dict[str, float]:
        """Return what `/metrics` shows of the room; may wait."""
        found = self.reception.gauges()
        with suppress(StoreUnavailableError):  # the counters tell why
            found["telemetry_store_bytes"] = self.store.size_bytes()
        return found


def make_room(
    store: TelemetryStore,
    settings: Settings,
    *,
    rules: AdmissionRules,
    confirmations: Confirmations,
    clock: Clock,
    meter: Meter,
) -> TelemetryRoom:
    """Return the room over a store; its reception is to be started.

    Args:
        store: What is kept.
        settings: How it is set up.
        rules: What callers without a token may speak about, and which personal data is allowed.
        confirmations: Sends what resources confirm.
        clock: Tells the time.
        meter: Counts.
    """

    def privacy(text: str) -> None:
        check_secrets(text)
        check_personal(text, rules.privacy)

    codecs: dict[str, Codec] = {}

    def collect() -> Collector:
        if not codecs:
            codecs.update(_codecs())
        return Collector(
            store,
            codecs,
            rules=rules,
            privacy=privacy,
            gauges=settings.gauges,
            retention_seconds=settings.retention_seconds,
            bucket_seconds=settings.bucket_seconds,
            confirm=confirmations.sight,
        )

    reception = Reception(store, collect, clock, meter)
    reader = TelemetryReader(store, bucket_seconds=settings.bucket_seconds)
    counts = EmbeddedCounts(
        reader,
        bucket_seconds=settings.bucket_seconds,
        lag_seconds=settings.lag_seconds,
        gauges=settings.gauges,
    )
    return TelemetryRoom(reception, reader, counts, settings, store, clock)


def _codecs() -> dict[str, Codec]:
    """Make the codecs with the first request: servers without telemetry load no protobuf."""
    from deploymark.telemetry.json_codec import JsonCodec  # noqa: PLC0415 - as said
    from deploymark.telemetry.protobuf_codec import ProtobufCodec  # noqa: PLC0415 - as said

    return {"protobuf": ProtobufCodec(), "json": JsonCodec()}
