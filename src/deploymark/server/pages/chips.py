"""Puts deployments into a line: what is said of them, how they stand, how errors changed.

A page of chips costs a few questions, whatever is on it. How a rollout by plan stands is known to
its controller; that is laid over what the markers say.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from deploymark.errors import StoreUnavailableError
from deploymark.model.ids import format_occurrence
from deploymark.model.instants import format_instant
from deploymark.projections.broker.corrected import said_of
from deploymark.projections.broker.marks import MarkRow
from deploymark.projections.broker.run_book import RunKey, Told
from deploymark.projections.broker.shown_state import SHOWN, ShownState, version_of
from deploymark.projections.error_delta import (
    COUNTED,
    NO_TELEMETRY,
    NOT_KEPT,
    NOT_OVER,
    WAITING,
    SoFar,
)
from deploymark.server.pages.asked import Asked
from deploymark.server.pages.shapes import Chip, DeltaResult, ErrorDelta

PLACES: Final = 4
MAX_DELTAS: Final = 16
"""Deployments of one page of which requests are counted; the others wait for the next look."""

_POINTS: Final = 100
_WHY: Final = {
    NO_TELEMETRY: DeltaResult.NO_TELEMETRY,
    NOT_OVER: DeltaResult.NOT_YET,
    NOT_KEPT: DeltaResult.NOT_KEPT,
    WAITING: DeltaResult.WAITING,
}


class Standing(NamedTuple):
    """What the controller knows of a rollout.

    Attributes:
        rollout: As `act.rollouts` shows it.
        state: How it is shown.
        reason: What it waits for.
    """

    rollout: dict[str, Any]
    state: ShownState
    reason: str | None


Rolling = Mapping[tuple[str, str, str], Standing]
"""By service, environment and `d-…~n`."""


def rolling_of(asked: Asked) -> Rolling:
    """Return the rollouts that are under way, as their controller knows them."""
    found: dict[tuple[str, str, str], Standing] = {}
    for each in asked.rollouts():
        # A promoted release that is being returned, or could not be, is under way again.
        if each["ended"] is None or _is_unsettled(each):
            state, reason = _state_of(each)
            name = (each["service"], each["environment"], each["deployment_id"])
            found[name] = Standing(each, state, reason)
    return found


def _is_unsettled(rollout: Mapping[str, Any]) -> bool:
    failed = (rollout["unknown"], rollout["failed"]) != (None, None)
    return failed or rollout["doing"] is not None


def _state_of(rollout: Mapping[str, Any]) -> tuple[ShownState, str | None]:
    wants, failed = rollout["wants"], rollout["failed"]
    reason = None if wants is None else wants["reason"]
    if rollout["doing"] == "roll_back":
        return ShownState.ROLLING_BACK, reason
    if rollout["unknown"] is not None:
        return ShownState.PAUSED, f"What came of entry {rollout['unknown']} is not known."
    if failed is not None:
        return ShownState.PAUSED, failed["reason"] or f"Entry {failed['index']} failed."
    if rollout["frozen"] and not rollout["paused_by"]:
        frozen = rollout["frozen"][0]
        reason = f"Frozen by {frozen['by']}: {frozen['reason'] or 'no reason given'}"
    if rollout["paused_by"]:
        return ShownState.PAUSED, reason or f"Paused by {rollout['paused_by']}."
    if rollout["strategy"] == "blue_green":
        return ShownState.ROLLING_OUT, reason
    return ShownState.CANARY, reason


def run_key(mark: MarkRow) -> RunKey:
    """Return the key of a mark's run."""
    return mark.service, mark.environment, mark.id, mark.kind_key, mark.number


def mark_id(mark: MarkRow) -> str:
    """Return `d-…~n`."""
    return format_occurrence(mark.id, mark.number)


def standing_of(mark: MarkRow, rolling: Rolling) -> tuple[ShownState, str | None]:
    """Return how a run is shown, and why, with what its controller knows.

    What ended, or was said to have failed, is not brought back by a controller that has not yet
    noticed.
    """
    state = SHOWN[mark.rank]
    known = rolling.get((mark.service, mark.environment, mark_id(mark)))
    if known is None or state not in _OPEN:
        return state, None if known is None else known.reason
    return known.state, known.reason


_OPEN: Final = (
    ShownState.CANARY,
    ShownState.ROLLING_OUT,
    ShownState.UNKNOWN,
    ShownState.PLANNED,
    ShownState.HEALTHY,
)


class Bench:
    """Makes chips for one look at one page.

    Args:
        asked: The look.
        rolling: What controllers know.
    """

    def __init__(self, asked: Asked, rolling: Rolling) -> None:
        self._asked = asked
        self._rolling = rolling
        self._told: dict[RunKey, Told] = {}
        self._left = MAX_DELTAS
        self._deltas: dict[RunKey, ErrorDelta | None] = {}

    def read(self, marks: Iterable[MarkRow]) -> None:
        """Read what is said of these runs, in one go."""
        keys = {run_key(mark) for mark in marks} - self._told.keys()
        if keys:
            self._told |= self._asked.sources.book.told(keys)

    def told(self, mark: MarkRow) -> Told | None:
        """Return what is said of a run that was read."""
        return self._told.get(run_key(mark))

    def standing(self, mark: MarkRow) -> Standing | None:
        """Return what its controller knows of a run."""
        return self._rolling.get((mark.service, mark.environment, mark_id(mark)))

    def state(self, mark: MarkRow) -> ShownState:
        """Return how a run is shown."""
        return standing_of(mark, self._rolling)[0]

    def chips(self, marks: Sequence[MarkRow], *, deltas: bool = False) -> list[Chip]:
        """Return the chips of these runs, in their order."""
        self.read(marks)
        return [self.chip(mark, deltas=deltas) for mark in marks]

    def chip(self, mark: MarkRow, *, deltas: bool = False, reason: str | None = None) -> Chip:
        """Return the chip of one run, which was read before.

        Args:
            mark: Of its first lane.
            deltas: Count the requests after it against those before.
            reason: Why it stands there; what is known of it when left out.
        """
        told = self._told.get(run_key(mark))
        document: Mapping[str, Any] = {} if told is None else told.document
        verdict = None if told is None else told.verdict
        state, why = standing_of(mark, self._rolling)
        places = _places(document, mark)
        tickets = document.get("change_tickets") or []
        return Chip(
            id=mark_id(mark),
            service=mark.service,
            environment=mark.environment,
            version=version_of(document) if document.get("amended") else mark.version,
            kind=mark.kind,
            state=state,
            owner=document.get("owner", mark.owner),
            author=document.get("author", mark.author),
            at=format_instant(mark.at_ms),
            live=bool(mark.live),
            places=places[:PLACES],
            places_total=len(places),
            score=None if verdict is None else verdict["score"],
            delta=self.delta(mark) if deltas else None,
            ticket=tickets[0] if tickets else None,
            reason=_taken_back(document) or reason or why or _reason(state, document, verdict),
        )

    def delta(self, mark: MarkRow) -> ErrorDelta | None:
        """Return how errors changed after a deployment; None without telemetry."""
        key = run_key(mark)
        if key not in self._deltas:
            self._deltas[key] = self._count(mark)
        return self._deltas[key]

    def _count(self, mark: MarkRow) -> ErrorDelta | None:
        source = self._asked.sources.deltas
        if source is None or mark.kind_key:
            return None
        if not mark.live and self.state(mark) is ShownState.PLANNED:
            return _nothing(DeltaResult.NOT_LIVE)
        if not self._left:
            return _nothing(DeltaResult.WAITING)
        self._left -= 1
        try:
            found = source.so_far(mark.service, mark.environment, mark.at_ms, self._asked.now_ms)
        except StoreUnavailableError:  # the page is needed most when something does not work
            return _nothing(DeltaResult.WAITING)
        return delta_of(found)


def delta_of(found: SoFar) -> ErrorDelta:
    """Return what was counted as a document tells it."""
    difference = found.difference
    interval = difference.interval()
    if found.result != COUNTED or difference.value is None or interval is None:
        return _nothing(_WHY.get(found.result, DeltaResult.NO_TELEMETRY))
    low, high = interval
    result = DeltaResult.SAME
    if low > 0:
        result = DeltaResult.WORSE
    elif high < 0:
        result = DeltaResult.BETTER
    return ErrorDelta(
        before=difference.before.share,
        after=difference.after.share,
        points=difference.value * _POINTS,
        low=low * _POINTS,
        high=high * _POINTS,
        before_requests=difference.before.requests,
        after_requests=difference.after.requests,
        after_seconds=found.seconds,
        result=result,
    )


def _nothing(result: DeltaResult) -> ErrorDelta:
    return ErrorDelta(None, None, None, None, None, 0.0, 0.0, 0, result)


def _places(document: Mapping[str, Any], mark: MarkRow) -> list[str]:
    named = [each["cluster"] or each["region"] for each in document.get("places", ())]
    return list(dict.fromkeys(name for name in named if name)) or [mark.lane]


def _taken_back(document: Mapping[str, Any]) -> str | None:
    """Say who took back everything that was said of a run; None while some of it stands."""
    taken = document.get("retracted")
    return None if taken is None else f"Retracted {said_of(taken)}"


def _reason(
    state: ShownState, document: Mapping[str, Any], verdict: Mapping[str, Any] | None
) -> str | None:
    """Return why a run is suspect or undecided, as far as its entries say."""
    if verdict is not None and verdict["result"] == "fail":
        words = ", ".join(verdict.get("reasons") or ())
        return f"The newest look failed it ({words})." if words else "The newest look failed it."
    if state is ShownState.FAILED and document.get("reason"):
        return f"It was said to have failed: {document['reason']}"
    if state in _UNDECIDED:
        words = ", ".join((verdict or {}).get("reasons") or ())
        return f"Undecided ({words})." if words else None
    return _SAID.get(state)


_UNDECIDED: Final = (ShownState.PAUSED, ShownState.CANARY, ShownState.ROLLING_OUT)
_SAID: Final = {
    ShownState.FAILED: "It was said to have failed.",
    ShownState.ROLLING_BACK: "It is being rolled back.",
    ShownState.UNKNOWN: "What runs is not the artifact that was meant.",
}
