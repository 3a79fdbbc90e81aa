"""Keeps a few log records of each deployment and minute, errors first, cut short.

A text that holds a secret or personal data by the rules for markers is not kept. Only records that
would win a place are looked at for that, so a flood of them costs little. Records without a
severity, and those below INFO, are not kept.
"""

from collections.abc import Callable, Sequence
from typing import Final

from deploymark.errors import RefusedError, RequestError
from deploymark.ports import EXCERPTS_KEPT, Excerpt
from deploymark.telemetry.contest import Contests
from deploymark.telemetry.limits import WINDOW_SECONDS
from deploymark.telemetry.signals import LogRecord, Raw
from deploymark.telemetry.tally import NANO, Sender, Tally

LEAST_SEVERITY: Final = 9
"""INFO, as OpenTelemetry numbers it."""

_MOST_SEVERITY: Final = 24
_MS: Final = 1_000_000


class LogCounter:
    """Keeps excerpts of logs.

    Args:
        privacy: Raises `RefusedError` for a text that may not be kept.
        retention_seconds: Older ones are not kept.
    """

    def __init__(self, privacy: Callable[[str], None], retention_seconds: int) -> None:
        self._privacy = privacy
        self._retention_seconds = retention_seconds
        self._contests = Contests(EXCERPTS_KEPT)

    def count(self, sender: Sender, scopes: Sequence[tuple[bytes, Sequence[Raw]]]) -> Tally:
        """Take the log records of one resource."""
        tally = Tally()
        for _, items in scopes:
            for raw in items:
                try:
                    record = sender.codec.log_record(raw, LEAST_SEVERITY)
                except RequestError as error:
                    tally.refuse(error.message)
                    continue
                tally.items += 1
                if record is not None and (record.text or record.event):
                    self._compete(sender, record, tally)
        return tally

    def _compete(self, sender: Sender, record: LogRecord, tally: Tally) -> None:
        second = sender.second_of(record.time_ns, self._retention_seconds)
        if second is None:
            tally.drop("old")
            return
        severity = min(record.severity, _MOST_SEVERITY)
        is_own_time = record.time_ns // NANO == second
        at_ms = record.time_ns // _MS if is_own_time else second * 1_000
        window_s = second - second % WINDOW_SECONDS
        contest, rank = (sender.place[:3], window_s), (severity, -at_ms)
        if not self._contests.may_win(contest, rank):
            return
        try:
            self._privacy(record.text)
            self._privacy(record.event)
        except RefusedError as error:
            tally.drop(error.code)
            return
        self._contests.enter(contest, rank)
        sender.pending.excerpts.append(
            Excerpt(
                sender.place,
                window_s,
                severity,
                at_ms,
                record.text,
                record.event,
                record.trace_id[:32],
            )
        )
