"""Counts spans: how many are marked (M8), requests where no metric says, and traces worth a look.

M8 counts every span by the time of its receipt; the other two look only at spans at which a
service takes something, by the time at which they ended.
"""

from collections.abc import Callable, Sequence
from typing import Final

from deploymark.errors import RequestError
from deploymark.ports import TRACES_KEPT, CountKey, MarkedKey, Place, TraceNote
from deploymark.telemetry.contest import Contests
from deploymark.telemetry.limits import NAME_CHARACTERS, WINDOW_SECONDS
from deploymark.telemetry.pending import SPAN
from deploymark.telemetry.requests import protocol_of, span_failed
from deploymark.telemetry.sampling import weight_of
from deploymark.telemetry.signals import Raw, Span
from deploymark.telemetry.tally import NANO, Sender, Tally
from deploymark.telemetry.text import clip, shown

IsMeasured = Callable[[Place, str, int], bool]
_US: Final = 1_000
_MS: Final = 1_000_000


class SpanCounter:
    """Counts spans.

    Args:
        is_measured: Tells whether metrics count the requests of a place, protocol and bucket.
        retention_seconds: Older ones are only counted as marked or not.
    """

    def __init__(self, is_measured: IsMeasured, retention_seconds: int) -> None:
        self._is_measured = is_measured
        self._retention_seconds = retention_seconds
        self._contests = Contests(TRACES_KEPT)

    def count(self, sender: Sender, scopes: Sequence[tuple[bytes, Sequence[Raw]]]) -> Tally:
        """Count the spans of one resource."""
        tally = Tally()
        read = sender.codec.span
        for _, items in scopes:
            for raw in items:
                try:
                    span = read(raw)
                except RequestError as error:
                    tally.refuse(error.message)
                    continue
                tally.items += 1
                if span is not None:
                    self._entry(sender, span, tally)
        if tally.items:
            place = sender.place
            key = MarkedKey(place.service, place.environment, sender.bucket_of(sender.now_s))
            sender.pending.add_marked(key, tally.items, marked=sender.is_marked)
        return tally

    def _entry(self, sender: Sender, span: Span, tally: Tally) -> None:
        second = sender.second_of(span.end_ns, self._retention_seconds)
        if second is None:
            tally.drop("old")
            return
        protocol = protocol_of(span.attributes)
        failed = span_failed(span, protocol)
        duration_ns = max(0, span.end_ns - span.start_ns)
        key = CountKey(sender.place, sender.bucket_of(second), protocol, SPAN)
        if not self._is_measured(key.place, protocol, key.bucket_s):
            weight = weight_of(span.trace_state)
            sender.pending.add_span(key, duration_ns / NANO, weight, failed=failed)
        if not span.trace_id:
            return
        window_s = second - second % WINDOW_SECONDS
        self._compete(sender, span, (window_s, second), (duration_ns,), failing=False)
        if failed:
            self._compete(sender, span, (window_s, second), (span.end_ns,), failing=True)

    def _compete(
        self,
        sender: Sender,
        span: Span,
        times_s: tuple[int, int],
        rank: tuple[int, ...],
        *,
        failing: bool,
    ) -> None:
        window_s, second = times_s
        contest = (sender.place[:3], window_s, failing)
        if not self._contests.may_win(contest, rank):
            return
        self._contests.enter(contest, rank)
        # A clock that was ahead has been replaced; within the second the span knows best.
        ended_ms = span.end_ns // _MS if span.end_ns // NANO == second else second * 1_000
        sender.pending.traces.append(
            TraceNote(
                place=sender.place,
                window_s=window_s,
                failing=failing,
                trace_id=span.trace_id[:32],
                span_id=span.span_id[:16],
                name=clip(span.name, NAME_CHARACTERS),
                route=clip(shown(span.attributes.get("http.route")), NAME_CHARACTERS),
                at_ms=ended_ms,
                duration_us=min(max(0, span.end_ns - span.start_ns) // _US, 2**53),
            )
        )
