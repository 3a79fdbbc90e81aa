"""Orders suspects: whom a person who was just woken should look at first. Pure.

Harm that is measured now comes before what was only said, and both before what is undecided. What
failed hours ago and harmed nobody since explains no alert of this minute: it stands last, and is
told with its age. Who is a suspect at all is `oncall`.
"""

from enum import IntEnum
from typing import Final, NamedTuple

from deploymark.model.instants import parse_instant
from deploymark.model.lengths import told_length
from deploymark.model.vocabulary import Phase
from deploymark.projections.broker.marks import MarkRow
from deploymark.projections.broker.run_book import Told
from deploymark.projections.broker.shown_state import CALM, RANK, ShownState
from deploymark.server.pages.chips import Rolling, standing_of
from deploymark.server.pages.shapes import Chip, DeltaResult

RECENT_MS: Final = 7_200_000
"""A deployment may be why something is wrong for so long after it went live, or failed."""


_PERCENT: Final = 100
_SECOND_MS: Final = 1_000


class Grounds(IntEnum):
    """Why somebody is suspected, the strongest first."""

    HARM = 0
    """Requests fail more often since it went live, by its interval, and that was lately."""
    SAID = 1
    """It failed lately, a look failed it, it is being rolled back or was paused."""
    UNDECIDED = 2
    """It is under way, and nothing speaks against it."""
    LONG_AGO = 3
    """It failed, and so long ago that something else is the likelier cause."""


class Suspect(NamedTuple):
    """Somebody who is suspected.

    Attributes:
        since_ms: When it failed, else when it went live or opened.
    """

    chip: Chip
    grounds: Grounds
    since_ms: int


def suspect_of(chip: Chip, mark: MarkRow, told: Told | None, until_ms: int) -> Suspect | None:
    """Return why a deployment is suspected; None where nothing speaks against one that is live.

    Args:
        chip: With its errors compared.
        mark: Of its first lane.
        told: What is said of it.
        until_ms: When what is looked at ends: now, or the end of a window that is over.
    """
    failed_at = None if told is None else told.document.get("phases", {}).get(Phase.FAILED)
    has_failed = chip.state is ShownState.FAILED
    since_ms = parse_instant(failed_at) if has_failed and failed_at else mark.at_ms
    worse = chip.delta is not None and chip.delta.result is DeltaResult.WORSE
    if worse and RANK[chip.state] <= CALM and mark.at_ms >= until_ms - RECENT_MS:
        return Suspect(chip, Grounds.HARM, since_ms)
    if RANK[chip.state] >= RANK[ShownState.PLANNED]:
        return None
    if has_failed and since_ms < until_ms - RECENT_MS:
        return Suspect(chip, Grounds.LONG_AGO, since_ms)
    verdict = None if told is None else told.verdict
    failed_by_look = verdict is not None and verdict["result"] == "fail"
    said = failed_by_look or RANK[chip.state] <= RANK[ShownState.PAUSED]
    return Suspect(chip, Grounds.SAID if said else Grounds.UNDECIDED, since_ms)


def how_errors_rose(chip: Chip) -> str | None:
    """Return by how much requests fail more often since it went live; None where they do not."""
    delta = chip.delta
    if delta is None or delta.result is not DeltaResult.WORSE:
        return None
    return (
        f"Errors rose from {_percent(delta.before)} to {_percent(delta.after)} in the"
        f" {told_length(delta.after_seconds * _SECOND_MS)} after it went live."
    )


def _percent(share: float | None) -> str:
    return f"{(share or 0.0) * _PERCENT:.2f} %"


def worst_suspect_first(suspect: Suspect) -> tuple[int, float, int, int]:
    """Order suspects: by their grounds, by how much errors rose, by state, the newest first."""
    chip, grounds, since_ms = suspect
    points = 0.0 if chip.delta is None or chip.delta.points is None else chip.delta.points
    rose = points if grounds is Grounds.HARM else 0.0
    return grounds, -rose, RANK[chip.state], -since_ms


def likeliest_first(mark: MarkRow, rolling: Rolling, until_ms: int) -> tuple[bool, int, int]:
    """Order runs by what is known of them before they are read whole."""
    state, _ = standing_of(mark, rolling)
    long_ago = state is ShownState.FAILED and mark.at_ms < until_ms - RECENT_MS
    return long_ago, RANK[state], -mark.at_ms
