"""Compares how often requests failed after a deployment with before (M4): a report, never a gate.

The deployments come from the log, the requests from the telemetry store, which forgets. So this is
the one measure that a replay of the log does not give again; for each deployment that is not
counted it says why. A window that is over is counted once and remembered.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from deploymark.model.difference import Difference, Tally
from deploymark.model.instants import format_instant
from deploymark.ports import TelemetryQuery
from deploymark.projections.broker.questions import Item, Items
from deploymark.projections.database import Views
from deploymark.projections.measures import DeltaReading, delta
from deploymark.projections.outcome_deployments import live_deployments
from deploymark.projections.outcome_questions import (
    At,
    SliQuery,
    Window,
    continued,
    cursor_behind,
)
from deploymark.projections.outcomes_query import as_of
from deploymark.telemetry.limits import BUCKET_SECONDS
from deploymark.telemetry.query import TelemetryReader

MEASURE: Final = "M4"
WINDOW_SECONDS: Final = 1_800
LATE_SECONDS: Final = 120
"""How long telemetry of a window is waited for when it is over."""

MAX_COUNTED: Final = 64
"""Deployments of which requests are counted in one go; what is left waits for the next."""

SOON_SECONDS: Final = 60
"""After so little time nothing is said yet."""

MAX_KEPT: Final = 4_096
"""Deployments of which the requests are remembered."""

COUNTED, NO_TELEMETRY, NOT_OVER = "counted", "no_telemetry", "not_over"
NOT_KEPT, WAITING = "not_kept", "waiting"

_MS: Final = 1_000
_AT_ONCE: Final = 10_000

_Key = tuple[str, str, int] | tuple[str, str, int, int]


class Compared(NamedTuple):
    """One deployment: its requests before and after, or why they are not counted."""

    run: Any
    result: str
    difference: Difference = Difference()


class SoFar(NamedTuple):
    """One deployment as far as it has been live: what was counted, and how long after it is.

    Attributes:
        result: `counted`, or why not.
        seconds: Of the time after it; `WINDOW_SECONDS` when that is over.
    """

    result: str
    difference: Difference = Difference()
    seconds: int = 0


class ErrorDeltas:
    """Compares; safe on any thread, and waits for the disk.

    Args:
        views: The database of the broker.
        reader: Counts requests.
        kept_seconds: For how long they are kept.
    """

    def __init__(self, views: Views, reader: TelemetryReader, kept_seconds: int) -> None:
        self._views = views
        self._reader = reader
        self._kept_seconds = kept_seconds
        self._lock = threading.Lock()
        self._known: OrderedDict[_Key, Difference] = OrderedDict()

    def take(self, window: Window) -> DeltaReading:
        """Return the requests of all deployments in a window together.

        Raises:
            StoreUnavailableError: The views are being built, or a medium refuses.
        """
        runs: list[Any] = []
        with self._views.reading() as connection:
            for part in window.slices():
                behind: At | None = None
                while True:
                    page = live_deployments(connection, part, behind, _AT_ONCE)
                    runs += page
                    if len(page) < _AT_ONCE:
                        break
                    behind = _at(page[-1])
        total, left_out, deployments = Difference(), dict[str, int](), 0
        for each in self._compare(runs, window.now_ms):
            if each.result == COUNTED:
                total = total.plus(each.difference)
                deployments += 1
            else:
                left_out[each.result] = left_out.get(each.result, 0) + 1
        return DeltaReading(total, deployments, left_out, window.since_ms, window.until_ms)

    def items(self, query: SliQuery, now_ms: int) -> Items:
        """Return the deployments, the latest first, each with its requests.

        Raises:
            QueryError: A filter, the limit or the cursor is not what it may be.
            StoreUnavailableError: The views are being built, or a medium refuses.
        """
        window, behind = continued(query, now_ms)
        with self._views.reading() as connection:
            runs = live_deployments(connection, window, behind, query.limit + 1)
            seen = as_of(connection)
        more = len(runs) > query.limit
        runs = runs[: query.limit]
        items = [_shown(each) for each in self._compare(runs, window.now_ms)]
        cursor = cursor_behind(query, window, _at(runs[-1])) if more else None
        return Items(items, cursor, seen)

    def so_far(self, service: str, environment: str, live_ms: int, now_ms: int) -> SoFar:
        """Compare the time since a deployment went live with that before, over or not.

        Raises:
            StoreUnavailableError: A medium refuses.
        """
        scope, now_s = (service, environment), now_ms // _MS
        before_s, after_s = _edges(live_ms)
        if before_s - WINDOW_SECONDS < now_s - self._kept_seconds:
            return SoFar(NOT_KEPT)
        # The bucket that is being filled waits until it is full.
        full_s = (now_s - after_s) // BUCKET_SECONDS * BUCKET_SECONDS
        seconds = min(WINDOW_SECONDS, full_s)
        if seconds < SOON_SECONDS:
            return SoFar(NOT_OVER)
        is_over = after_s + WINDOW_SECONDS + LATE_SECONDS <= now_s
        key = (*scope, after_s) if is_over else (*scope, after_s, seconds)
        with self._lock:
            known = self._known.get(key)
        if known is None:
            known = self._count(scope, before_s, after_s, seconds)
            self._keep(key, known)
        return SoFar(COUNTED if known.value is not None else NO_TELEMETRY, known, seconds)

    def _compare(self, runs: Sequence[Any], now_ms: int) -> list[Compared]:
        found, left, now_s = [], MAX_COUNTED, now_ms // _MS
        for run in runs:
            before_s, after_s = _edges(run.settled_ms)
            with self._lock:
                known = self._known.get((run.service, run.environment, after_s))
            if known is None:
                why = None
                if after_s + WINDOW_SECONDS + LATE_SECONDS > now_s:
                    why = NOT_OVER
                elif before_s - WINDOW_SECONDS < now_s - self._kept_seconds:
                    why = NOT_KEPT
                elif not left:
                    why = WAITING
                if why is not None:
                    found.append(Compared(run, why))
                    continue
                left -= 1
                scope = (run.service, run.environment)
                known = self._count(scope, before_s, after_s, WINDOW_SECONDS)
                self._keep((*scope, after_s), known)
            whole = known.value is not None
            found.append(Compared(run, COUNTED if whole else NO_TELEMETRY, known))
        return found

    def _count(
        self, scope: tuple[str, str], before_s: int, after_s: int, seconds: int
    ) -> Difference:
        before = self._tallies(TelemetryQuery(before_s - WINDOW_SECONDS, before_s, *scope))
        after = self._tallies(TelemetryQuery(after_s, after_s + seconds, *scope))
        # One request may be counted under several protocols; they are never added up.
        nothing, whole = Tally(), Difference()
        for protocol in sorted({*before, *after}):
            one = Difference(before.get(protocol, nothing), after.get(protocol, nothing))
            if _requests(one) > _requests(whole):
                whole = one
        return whole

    def _keep(self, key: _Key, counted: Difference) -> None:
        with self._lock:
            self._known[key] = counted
            if len(self._known) > MAX_KEPT:
                self._known.popitem(last=False)

    def _tallies(self, query: TelemetryQuery) -> dict[str, Tally]:
        found: dict[str, Tally] = {}
        since_s: int | None = query.since_s
        while since_s is not None:
            rows, since_s = self._reader.requests(query._replace(since_s=since_s))
            for key, counted in rows:
                one = Tally(counted.errors, counted.requests, counted.seen)
                found[key.protocol] = found.get(key.protocol, Tally()).plus(one)
        return found


def _edges(live_ms: int) -> tuple[int, int]:
    """Return when the window before ends and the one after begins: whole buckets, apart."""
    before_s = live_ms // _MS // BUCKET_SECONDS * BUCKET_SECONDS
    after_s = -(-live_ms // (_MS * BUCKET_SECONDS)) * BUCKET_SECONDS
    return before_s, after_s


def _requests(difference: Difference) -> float:
    return difference.before.requests + difference.after.requests


def _at(run: Any) -> At:  # noqa: ANN401 - of `live_deployments`
    return At(run.at_ms, run.at_index)


def _shown(each: Compared) -> Item:
    run = each.run
    return {
        "index": run.at_index,
        "at": format_instant(run.at_ms),
        "service": run.service,
        "environment": run.environment,
        "deployment_id": f"{run.id}~{run.number}",
        "result": each.result,
        **delta(each.difference),
        "entries": [{"index": run.at_index, "says": "live"}],
    }
