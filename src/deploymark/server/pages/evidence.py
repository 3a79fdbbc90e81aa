"""The evidence of a deployment: the entries about it, how far it came, how well that is proven."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from deploymark.errors import DeploymarkError
from deploymark.model.vocabulary import Assurance, Phase
from deploymark.projections.broker.corrected import NONE, remark_of
from deploymark.server.pages.asked import Asked
from deploymark.server.pages.events import with_remark
from deploymark.server.pages.shapes_deployment import (
    Area,
    EntryLine,
    InstanceCounts,
    Proof,
    Trail,
    TrailStep,
)
from deploymark.server.views import MARKER, corrected_view

ENTRIES: Final = 64
"""Entries that are shown of one deployment, the newest; its first ones stand in the trail."""

AREAS: Final = 24

Item = Mapping[str, Any]

_INTENT: Final = {"ci", "human", "gateway", "platform"}
_MISSING: Final = {
    TrailStep.INTENT: "Nobody announced it: let the pipeline say `planned` before it deploys.",
    TrailStep.APPLIED: "No marker says that it was applied: look at the pipeline's last step, or at"
    " the emitter's spool (`deploymark flush`).",
    TrailStep.RUNNING: "Nothing that runs has confirmed it: let an observer see it (`deploymark"
    " observe`) or send OpenTelemetry with its id.",
    TrailStep.VERIFIED: "No verdict was made of it: write a rollout plan, so that it is judged.",
    TrailStep.PROMOTED: "Nobody promoted it.",
}


class Evidence(NamedTuple):
    """The entries about a deployment.

    Attributes:
        lines: The newest first.
        total: How many there are.
        changes: What came with it, as its markers list it.
    """

    lines: list[EntryLine]
    total: int
    changes: list[Item]


def evidence_of(asked: Asked, item: Item) -> Evidence:
    """Return the entries that speak of a deployment."""
    rules = {join["index"]: join["rule"] for join in item["joins"]}
    ruled = {each["index"] for each in (*item["verdicts"], *item["decisions"])}
    wanted = sorted({*rules, *ruled, item["last_index"]}, reverse=True)
    total = max(sum(item["rules"].values()) + len(ruled), len(wanted))
    lines, changes = [], dict[str, Item]()
    known = asked.parts.broker.corrections(wanted[:ENTRIES])
    for index in wanted[:ENTRIES]:
        corrections = known.get(index, NONE)
        try:
            view = corrected_view(asked.parts.view.reader.entry(index), corrections)
        except DeploymarkError:  # archived, or of a release that this one cannot read
            continue
        said: Item = view.get(MARKER) or view["entry"]
        lines.append(_entry_line(view, said, rules.get(index), remark_of(corrections)))
        for change in view.get("amended", said).get("changes") or ():
            changes[str(sorted(change.items()))] = change
    return Evidence(lines, total, list(changes.values()))


def _entry_line(view: Item, said: Item, rule: str | None, remark: str) -> EntryLine:
    emitter: Item = said.get("emitter") or {}
    event, sentence = words_of(view["type"], said)
    return EntryLine(
        index=view["index"],
        at=said.get("timestamp") or view["received_at"],
        type=view["type"],
        event=event,
        source=emitter.get("kind") if view["type"] == MARKER else "platform",
        principal=view["principal"] or "anonymous",
        assurance=view["assurance"],
        rule=rule,
        sentence=with_remark(sentence, remark),
    )


def words_of(kind: str, said: Item) -> tuple[str, str]:
    """Return in a word what an entry says, and in a few."""
    if kind == MARKER:
        target: Item = said.get("target") or {}
        place = target.get("instance") or target.get("cluster") or said.get("environment") or ""
        words = [str(said["phase"]), f"in {place}" if place else "", str(said.get("reason") or "")]
        return str(said["phase"]), " ".join(word for word in words if word)
    if kind == "verdict":
        return str(said["result"]), f"score {said['score']:g}, advice {said['advice']}"
    if kind == "decision":
        reason = said.get("reason") or ""
        words = [f"{said['action']} by {said['actor']}", said.get("outcome") or "", reason]
        return f"{said['action']} {said['stage']}", " ".join(word for word in words if word)
    return str(said.get("state") or said.get("action") or kind), str(said.get("message") or "")


def trail_of(item: Item, entries: Sequence[EntryLine], *, is_planned: bool) -> list[Trail]:
    """Return how far a deployment came, each step with who said so or what is missing.

    Args:
        item: The deployment.
        entries: About it.
        is_planned: There is a rollout plan for its service and environment.
    """
    phases: Item = item["phases"]
    oldest = list(reversed(entries))
    intent = _first(oldest, lambda e: e.type == MARKER and (e.source or "human") in _INTENT)
    applied = _phase(oldest, phases, Phase.APPLIED, Phase.CUTOVER)
    running = _phase(oldest, phases, Phase.RUNNING)
    passed = _first(oldest, lambda e: e.type == "verdict" and e.event == "pass")
    promoted = _phase(oldest, phases, Phase.PROMOTED) or _first(
        oldest, lambda e: e.event in {"promote executed", "promote outcome"}
    )
    found = {
        TrailStep.INTENT: None if item["unplanned"] else intent,
        TrailStep.APPLIED: applied,
        TrailStep.RUNNING: running or _confirmed(item),
        TrailStep.VERIFIED: passed,
        TrailStep.PROMOTED: promoted,
    }
    missing = {**_MISSING, TrailStep.VERIFIED: _unverified(item, is_planned=is_planned)}
    return [_trail(step, found[step], missing[step]) for step in TrailStep]


def _unverified(item: Item, *, is_planned: bool) -> str:
    if item["verdicts"]:
        newest = max(item["verdicts"], key=lambda each: each["index"])
        return f"It was judged and did not pass: the newest verdict is {newest['result']}."
    if is_planned:
        return "No verdict was made of it: only what its plan rolls out step by step is judged."
    return _MISSING[TrailStep.VERIFIED]


_Found = tuple[str, str | None, int | None]


def _first(entries: Sequence[EntryLine], fits: Any) -> _Found | None:  # noqa: ANN401 - a predicate
    for entry in entries:
        if fits(entry):
            return entry.at, entry.principal, entry.index
    return None


def _phase(entries: Sequence[EntryLine], phases: Item, *wanted: Phase) -> _Found | None:
    for phase in wanted:
        if phase in phases:
            said = _first(entries, lambda e, phase=phase: e.event == phase.value)
            return said or (phases[phase], None, None)
    return None


def _confirmed(item: Item) -> _Found | None:
    for kind in ("runtime", "orchestrator", "proxy"):
        if kind in item["sources"] and item["binding"] != "none":
            return item["sources"][kind]["first_at"], kind, None
    return None


def _trail(step: TrailStep, found: _Found | None, missing: str) -> Trail:
    if found is None:
        return Trail(step, None, None, None, missing)
    at, who, index = found
    return Trail(step, at, who, index, None)


def proof_of(asked: Asked, item: Item, evidence: Evidence) -> Proof:
    """Return how well what is said of a deployment is proven."""
    head = asked.parts.view.reader.head()
    newest = max((entry.index for entry in evidence.lines), default=None)
    return Proof(
        binding=item["binding"],
        entries=evidence.total,
        signed=sum(entry.assurance == Assurance.SIGNED for entry in evidence.lines),
        index=newest,
        published=newest is not None and newest < head.published_size,
        checkpoint_size=head.published_size,
    )


def counts_of(sums: Item) -> InstanceCounts:
    """Return instances by what is known of them, from a coverage of the broker."""
    running = sums["confirmed"] + sums["unproven"] + sums["mismatched"]
    whole = max(running, sums["expected"] or 0)
    return InstanceCounts(
        expected=sums["expected"],
        confirmed=sums["confirmed"],
        unproven=sums["unproven"],
        mismatched=sums["mismatched"],
        share=sums["confirmed"] / whole if whole else None,
    )


def areas_of(item: Item) -> tuple[list[Area], int]:
    """Return where a deployment runs, and how many such places there are."""
    by = item["coverage"]["by"]
    areas = [Area(a["cluster"], a["region"], a["zone"], counts_of(a)) for a in by]
    areas.sort(key=lambda area: -(area.instances.confirmed + area.instances.unproven))
    return areas[:AREAS], len(areas)
