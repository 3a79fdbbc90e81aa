"""One deployment with its evidence: what it is, how far it came, where it runs, what proves it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from deploymark.errors import DeploymarkError
from deploymark.projections.broker.marks import MarkRow
from deploymark.projections.broker.shown_state import RANK, ShownState
from deploymark.server.pages.asked import Asked, told_at
from deploymark.server.pages.audit import verify_command
from deploymark.server.pages.canaries import canary_of
from deploymark.server.pages.chips import Bench, mark_id, rolling_of
from deploymark.server.pages.comparing import differing
from deploymark.server.pages.events import finding_of
from deploymark.server.pages.evidence import (
    areas_of,
    counts_of,
    evidence_of,
    proof_of,
    trail_of,
)
from deploymark.server.pages.measuring import traces_of
from deploymark.server.pages.notices import notices_of
from deploymark.server.pages.selection import mark_of, run_of, selection
from deploymark.server.pages.shapes import Chip, LookResult, Notice, Selected
from deploymark.server.pages.shapes_deployment import (
    Change,
    DeploymentPage,
    InstanceCounts,
    Look,
    Occurrence,
    ShownDecision,
)
from deploymark.server.pages.suspicion import how_errors_rose

LOOKS: Final = 60
CHANGES: Final = 100

Item = Mapping[str, Any]


def deployment(asked: Asked) -> DeploymentPage:
    """Return the page.

    Raises:
        NotFoundError: There is no such deployment.
        QueryError: The address names none.
        StoreUnavailableError: The views are being built, or a medium refuses.
    """
    item, mark = run_of(asked, asked.parameters["id"])
    bench = Bench(asked, rolling_of(asked))
    selected = selection(asked, bench, item, mark)
    evidence = evidence_of(asked, item)
    proof = proof_of(asked, item, evidence)
    areas, areas_total = areas_of(item)
    instances = counts_of(item["coverage"])
    told = bench.told(mark)
    looks, looks_total = ([], 0) if told is None else asked.sources.book.looks(told.document, LOOKS)
    previous, before = _previous(asked, bench, selected.previous)
    traces = traces_of(asked, item, mark_id(mark)) if asked.parts.telemetry else []
    changes = _changes(item, evidence.changes)
    _tell_missing(asked, item, instances)
    return DeploymentPage(
        **asked.head(item["as_of"]),
        selected=selected,
        verdict=_verdict(selected, item),
        notices=_notices(asked, selected.chip),
        proof=proof,
        trail=trail_of(item, evidence.lines, is_planned=_is_planned(asked, mark)),
        instances=instances,
        areas=areas,
        areas_total=areas_total,
        delta=selected.chip.delta,
        canary=canary_of(asked, bench, mark) if looks_total or bench.standing(mark) else None,
        looks=[_look(look) for look in looks],
        looks_total=looks_total,
        decisions=[_decision(each) for each in item["decisions"]],
        decisions_total=len(item["decisions"]),
        changes=changes[:CHANGES],
        changes_total=len(changes),
        previous=previous,
        changed=[] if before is None else differing(before, item),
        traces=traces,
        traces_total=len(traces),
        findings=[finding_of(each) for each in item["findings"]],
        findings_total=len(item["findings"]),
        occurrences=[_occurrence(item, each) for each in item["occurrences"]],
        occurrences_total=len(item["occurrences"]),
        entries=evidence.lines,
        entries_total=evidence.total,
        receipt_index=proof.index if proof.published else None,
        verify_command=None if proof.index is None else verify_command(proof.index),
    )


def _notices(asked: Asked, chip: Chip) -> list[Notice]:
    if RANK[chip.state] > RANK[ShownState.COMPLETE]:  # it is over
        return []
    scope = chip.service, chip.environment
    return notices_of(asked, lambda service, environment: (service, environment) == scope)


def _verdict(selected: Selected, item: Item) -> str:
    """Say in a sentence how a deployment stands."""
    chip = selected.chip
    if chip.reason:
        return chip.reason
    if chip.state in _STANDING and (rose := how_errors_rose(chip)) is not None:
        return rose
    said = _SENTENCES[chip.state]
    if chip.state in _ENDED and item["ended_at"]:
        return f"{said} since {told_at(item['ended_at'])}."
    return f"{said}." if not chip.live else f"{said}; live since {told_at(chip.at)}."


_SENTENCES: Final = {
    ShownState.FAILED: "It failed",
    ShownState.ROLLING_BACK: "It is being rolled back",
    ShownState.PAUSED: "Its rollout is paused",
    ShownState.CANARY: "It is a canary",
    ShownState.ROLLING_OUT: "It is being rolled out",
    ShownState.UNKNOWN: "What runs is not the artifact that was meant",
    ShownState.PLANNED: "It is planned",
    ShownState.HEALTHY: "Nothing speaks against it",
    ShownState.COMPLETE: "It is complete",
    ShownState.SUPERSEDED: "Another deployment took its place",
    ShownState.ROLLED_BACK: "It was rolled back",
    ShownState.REMOVED: "It was removed",
    ShownState.CONFIG: "It is a change of configuration",
}
_STANDING: Final = (ShownState.HEALTHY, ShownState.COMPLETE)
_ENDED: Final = (
    ShownState.FAILED,
    ShownState.SUPERSEDED,
    ShownState.ROLLED_BACK,
    ShownState.REMOVED,
)


def _previous(asked: Asked, bench: Bench, name: str | None) -> tuple[Chip | None, Item | None]:
    if name is None:
        return None, None
    try:
        before = asked.parts.broker.deployment(name)
        mark = mark_of(asked, before)
    except DeploymarkError:  # it may be named by what is no id, or be of another log
        return None, None
    return bench.chips([mark])[0], before


def _is_planned(asked: Asked, mark: MarkRow) -> bool:
    return (mark.service, mark.environment) in asked.sources.look_seconds


def _changes(item: Item, said: Sequence[Item]) -> list[Change]:
    tickets = [Change("ticket", ticket, None, None) for ticket in item["change_tickets"]]
    named = [
        Change(
            "commit" if each.get("commit") else "ticket",
            " ".join(str(each[name]) for name in ("commit", "ticket", "title") if each.get(name)),
            None,
            None,
        )
        for each in said
    ]
    build = [Change("build", "Build", item["author"], _safe(item["build_url"]))]
    return [*named, *tickets, *(build if _safe(item["build_url"]) else [])]


def _safe(link: str | None) -> str | None:
    """Return a link that a page may show as one: nothing but https and http."""
    return link if link and urlsplit(link).scheme in {"https", "http"} else None


def _look(look: Item) -> Look:
    return Look(
        index=look["index"],
        at=look["received_at"],
        step=look.get("step"),
        look=look["look"],
        result=LookResult(look["result"]),
        advice=look["advice"],
        score=look["score"],
        reasons=list(look.get("reasons") or ()),
    )


def _decision(each: Item) -> ShownDecision:
    return ShownDecision(
        index=each["index"],
        at=each["received_at"],
        action=each["action"],
        stage=each["stage"],
        actor=each["actor"],
        outcome=each.get("outcome") or each.get("result"),
        reason=each.get("reason"),
        break_glass=bool(each.get("break_glass")),
    )


def _occurrence(item: Item, each: Item) -> Occurrence:
    return Occurrence(
        id=f"{item['deployment_id']}~{each['occurrence']}",
        state=each["state"],
        opened_at=each["opened_at"],
        live_at=each["live_at"],
        ended_at=each["ended_at"],
    )


def _tell_missing(asked: Asked, item: Item, instances: InstanceCounts) -> None:
    if asked.parts.telemetry is None:
        asked.miss("traces", "Telemetry is switched off ([telemetry] in the configuration).")
    if item["coverage"]["expected"] is None and not item["ended_at"]:
        asked.miss(
            "instances",
            f"How many instances of {item['service']} should run is not known:"
            f" write [services.{item['service']}] into the configuration.",
        )
    if instances.share is None:
        asked.miss("areas", _NONE_NOW if item["binding"] != "none" else _NONE_SEEN)


_NONE_NOW: Final = "No instance runs it now; some did."
_NONE_SEEN: Final = (
    "No instance was seen: let an observer look (`deploymark observe`), or let instances confirm"
    " themselves."
)
