"""How something that was deployed stands, in one vocabulary for everything that shows it. Pure.

The broker's states say what the markers add up to. A person wants one word, ordered by how much it
wants looking at; this says which, from a run alone. What a rollout's controller knows beside it
(paused, at which step) is laid over by whoever shows both.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from deploymark.model.vocabulary import Kind, Phase, Strategy, Track


class ShownState(StrEnum):
    """One word for colour and glyph, the worst first."""

    FAILED = "failed"
    ROLLING_BACK = "rolling_back"
    PAUSED = "paused"
    CANARY = "canary"
    ROLLING_OUT = "rolling_out"
    UNKNOWN = "unknown"
    PLANNED = "planned"
    HEALTHY = "healthy"
    COMPLETE = "complete"
    SUPERSEDED = "superseded"
    ROLLED_BACK = "rolled_back"
    REMOVED = "removed"
    CONFIG = "config"


SHOWN: Final = tuple(ShownState)
"""By rank."""

RANK: Final = {state: rank for rank, state in enumerate(SHOWN)}
"""0 is the worst; kept in tables, so that the worst of many is a minimum."""

CALM: Final = RANK[ShownState.HEALTHY]
"""From this rank on nobody needs to look."""

_OF_STATES: Final = {
    "planned": ShownState.PLANNED,
    "applying": ShownState.ROLLING_OUT,
    "running": ShownState.HEALTHY,
    "verified": ShownState.HEALTHY,
    "complete": ShownState.COMPLETE,
    "failed": ShownState.FAILED,
    "rolling_back": ShownState.ROLLING_BACK,
    "rolled_back": ShownState.ROLLED_BACK,
    "superseded": ShownState.SUPERSEDED,
    "removed": ShownState.REMOVED,
}


def shown_of(document: Mapping[str, Any]) -> ShownState:
    """Return how a run is shown.

    A mismatch is `unknown`: what runs is not what was meant, so nothing else said of it counts. A
    canary is one until somebody promotes it.

    Args:
        document: Of the run (`documents.run_document`).
    """
    state = _OF_STATES[document["state"]]
    if state in _ENDED or state is ShownState.ROLLING_BACK:
        return state
    if document["kind"] != Kind.DEPLOYMENT:
        return ShownState.CONFIG
    if document["binding"] == "mismatched":
        return ShownState.UNKNOWN
    is_canary = document["strategy"] == Strategy.CANARY or document["track"] == Track.CANARY
    if is_canary and state in _UNDER_WAY and Phase.PROMOTED not in document["phases"]:
        return ShownState.CANARY
    return state


_ENDED: Final = (
    ShownState.FAILED,
    ShownState.SUPERSEDED,
    ShownState.ROLLED_BACK,
    ShownState.REMOVED,
    ShownState.COMPLETE,
)
_UNDER_WAY: Final = (ShownState.ROLLING_OUT, ShownState.HEALTHY)


def version_of(document: Mapping[str, Any]) -> str:
    """Return what people call a run: version, tag, else the beginning of commit or digest."""
    if document["kind"] != Kind.DEPLOYMENT:
        named = [document["key"], document["version"] or document["revision"]]
        return " ".join(each for each in named if each) or document["kind"]
    said = document["version"] or document["tag"] or document["revision"]
    if said:
        return str(said)
    if document["commit_hash"]:
        return str(document["commit_hash"])[:_DIGITS]
    digest = str(document["digest"] or "")
    return digest.removeprefix("sha256:")[:_DIGITS] or "?"


_DIGITS: Final = 12
