"""Runs as the interface shows them, as plain JSON values. Pure.

What needs other tables (findings, coverage, the other occurrences) is added by `query`.
"""

from typing import Any, Final

from deploymark.ingest.occurrences import Spot, SpotState
from deploymark.ingest.sighting import ANYWHERE
from deploymark.model.instants import format_instant
from deploymark.model.vocabulary import Basis, Kind, Phase
from deploymark.projections.broker.run import Group, Run, missing_sources

RUNNING, VERIFIED, COMPLETE = "running", "verified", "complete"

STATES: Final = (
    "planned",
    "applying",
    RUNNING,
    VERIFIED,
    COMPLETE,
    "failed",
    "rolling_back",
    "rolled_back",
    "superseded",
    "removed",
)
IN_PLACE: Final = frozenset({RUNNING, VERIFIED, COMPLETE})
"""States of what stands and runs; which of them it is, judging and promoting decide."""

OBSERVED, UNPROVEN, MISMATCHED, NONE = "observed", "unproven", "mismatched", "none"


def instant(at_ms: int | None) -> str | None:
    """Return a time as RFC 3339, None for none."""
    return None if at_ms is None else format_instant(at_ms)


def equal(run: Run, group: Group) -> bool | None:
    """Tell whether confirmations are of the run's artifact; None when no digest is known."""
    if group.label:
        return False
    if group.digest is None:
        return None
    if run.digests:
        return group.digest in run.digests
    return True if group.digest == run.learned else None


def binding_of(run: Run) -> str:
    """Return how well it is known that the artifact of a run is what runs."""
    if not run.groups:
        return NONE
    verdicts = [(group.basis, equal(run, group)) for group in run.groups.values()]
    if any(same is False for _, same in verdicts):
        return MISMATCHED
    proven = any(same and basis == Basis.OBSERVED for basis, same in verdicts)
    return OBSERVED if proven else UNPROVEN


def state_of(run: Run) -> str:
    """Return the state of a run as its markers alone say it.

    What runs is `complete` when it was promoted, and no place that it opened still waits for it.
    Whether it is `verified`, verdicts say, and decisions may complete it too: see `proving`.
    """
    if run.over:
        return run.ended_by or "superseded"
    if run.rolling_back_ms is not None:
        return Phase.ROLLING_BACK.value
    if not (run.is_live or run.confirmed):
        begun = {Phase.APPLYING, Phase.APPLIED, Phase.CUTOVER}
        return "planned" if begun.isdisjoint(run.phases) else "applying"
    return COMPLETE if run.promoted and not _waits(run) else RUNNING


def _waits(run: Run) -> bool:
    """Tell whether it is open somewhere; a general place counts while none inside it is named."""
    return any(
        spot.state is SpotState.OPEN
        and not any(
            spot.place != each.place and spot.place.covers(each.place) for each in run.spots
        )
        for spot in run.spots
    )


def run_document(run: Run, number: int, state: str) -> dict[str, Any]:
    """Return everything about a run that follows from the run alone."""
    line = run.line
    return {
        "deployment_id": run.id,
        "occurrence": number,
        "aliases": run.aliases,
        "service": line.service,
        "environment": line.environment,
        "kind": line.kind,
        "key": line.key,
        "action": run.record.action or None,
        "digest": run.digest,
        "platforms": run.platforms,
        "artifact": run.fact("artifact"),
        "commit_hash": run.fact("commit_hash"),
        "version": run.fact("version"),
        "tag": run.fact("tag"),
        "revision": run.fact("revision"),
        "direction": run.fact("direction"),
        "repository": run.fact("repository"),
        "ref": run.fact("ref"),
        "build_url": run.fact("build_url"),
        "owner": run.fact("owner"),
        "author": run.fact("author"),
        "approvers": run.fact("approvers") or [],
        "reason": run.fact("reason"),
        "change_tickets": run.tickets,
        "changes": run.fact("changes"),
        "strategy": run.fact("strategy"),
        "track": run.fact("track"),
        "schema": {
            "requires": run.fact("requires"),
            "provides": run.fact("provides"),
            "step": run.fact("schema_step"),
        },
        "colours": run.colours,
        "state": state,
        "redeploy": number > 1,
        "unplanned": not run.intended,
        "rollback_of": run.rollback_of or run.fact("rollback_of"),
        "previous_deployment_id": run.replaced or run.fact("previous"),
        "opened_at": instant(run.opened_ms),
        "live_at": instant(run.went_live_ms),
        "ended_at": instant(run.ended_ms),
        "last_at": instant(run.last_ms),
        "last_index": run.last_index,
        "phases": {phase: instant(at_ms) for phase, at_ms in sorted(run.phases.items())},
        "sources": {
            kind: {
                "first_at": instant(source.first_ms),
                "last_at": instant(source.last_ms),
                "markers": source.markers,
            }
            for kind, source in sorted(run.sources.items())
        },
        "missing_sources": missing_sources(run) if line.kind == Kind.DEPLOYMENT else [],
        "places": [_place(spot) for spot in _places(run)],
        "binding": binding_of(run),
        "joins": [{"index": index, "rule": rule} for index, rule in run.joins],
        "rules": dict(sorted(run.rules.items())),
        "unsigned": len(run.unsigned),
        "ambiguous_with": [f"{name}~{each}" for name, each in run.ambiguous],
    }


def _places(run: Run) -> list[Spot]:
    named = [spot for spot in run.spots if spot.place != ANYWHERE]
    if run.over:
        # A general place waited for those inside it, which speak for themselves.
        named = [
            spot
            for spot in named
            if not any(spot.place != each.place and spot.place.covers(each.place) for each in named)
        ]
    return sorted(named or run.spots, key=lambda spot: [part or "" for part in spot.place])


def _place(spot: Spot) -> dict[str, Any]:
    return {**spot.place._asdict(), "state": spot.state.value, "at": instant(spot.at_ms)}
