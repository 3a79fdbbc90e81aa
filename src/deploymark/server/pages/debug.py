"""One deployment to its depths: timeline, traces, logs, instances, emitters, what proves it."""

from collections.abc import Mapping
from typing import Any, Final

from deploymark.errors import DeploymarkError, StoreUnavailableError
from deploymark.projections.broker.marks import MarkRow
from deploymark.projections.broker.marks_query import MarkQuery
from deploymark.projections.broker.questions import InstanceQuery
from deploymark.server.pages.asked import Asked
from deploymark.server.pages.chips import Bench, Rolling, mark_id, rolling_of
from deploymark.server.pages.events import event_of
from deploymark.server.pages.evidence import evidence_of, proof_of
from deploymark.server.pages.measuring import (
    SPANS,
    aligned_of,
    logs_of,
    slow_spans,
    traces_of,
)
from deploymark.server.pages.selection import name_before, run_of, selection
from deploymark.server.pages.shapes_deployment import (
    Aligned,
    Debug,
    EmitterLine,
    Instance,
    InstanceStatus,
    PhaseAt,
    TraceLine,
)
from deploymark.server.pages.suspects import suspects_of

EVENTS: Final = 100
INSTANCES: Final = 100
EMITTERS: Final = 20

Item = Mapping[str, Any]


def debug(asked: Asked) -> Debug:
    """Return the page.

    Raises:
        RequestError: Window or filter are none.
        NotFoundError: `dep` names no deployment.
        StoreUnavailableError: The views are being built, or a medium refuses.
    """
    window, chosen = asked.window(), asked.filter()
    query = chosen.query(window.since_ms, asked.until_ms(window))
    rolling = rolling_of(asked)
    bench = Bench(asked, rolling)
    name = asked.parameters.get("dep") or _worst(asked, query, bench, rolling)
    told: dict[str, Any] = {"window": window, "filter": chosen.shown()}
    if name is None:
        asked.miss("selected", "No deployment is known yet; mark one, or widen the window.")
        head = asked.head(asked.parts.runner.position())
        return Debug(**head, **told, **_NOTHING)
    item, mark = run_of(asked, name)
    names = [item["deployment_id"], *item["aliases"]]
    streamed = asked.sources.stream.of(names, EVENTS)
    evidence = evidence_of(asked, item)
    traces, logs = _traced(asked, item, mark)
    before, before_traces = _before(asked, item, mark)
    spans = slow_spans(traces, before_traces)
    instances, instances_total = _instances(asked, item, mark_id(mark))
    emitters = _emitters(asked, mark)
    asked.miss(
        "instances.pull",
        "Whether an instance could pull its artifact is not reported yet; its platform knows"
        " (`kubectl describe pod`).",
    )
    return Debug(
        **asked.head(min(item["as_of"], streamed.as_of)),
        **told,
        selected=selection(asked, bench, item, mark),
        proof=proof_of(asked, item, evidence),
        phases=[PhaseAt(phase, at) for phase, at in sorted(item["phases"].items(), key=_second)],
        events=[event_of(each, rolling) for each in streamed.items],
        events_total=streamed.total,
        traces=traces,
        traces_total=len(traces),
        logs=logs,
        logs_total=len(logs),
        spans=spans[:SPANS],
        spans_total=len(spans),
        aligned=_aligned(asked, item, mark, before),
        instances=instances,
        instances_total=instances_total,
        emitters=emitters[:EMITTERS],
        emitters_total=len(emitters),
        entries=evidence.lines,
        entries_total=evidence.total,
    )


_NOTHING: Final[dict[str, Any]] = {
    "selected": None,
    "proof": None,
    **{name: [] for name in ("phases", "aligned")},
    **{
        name: value
        for field in ("events", "traces", "logs", "spans", "instances", "emitters", "entries")
        for name, value in ((field, []), (f"{field}_total", 0))
    },
}


def _second(pair: tuple[str, str]) -> str:
    return pair[1]


def _worst(asked: Asked, query: MarkQuery, bench: Bench, rolling: Rolling) -> str | None:
    """Return the deployment that most needs looking at: the worst suspect, else the newest."""
    suspects = suspects_of(asked, query, bench, rolling).first
    if suspects:
        return suspects[0].chip.id
    marks = asked.sources.marks.listed(query).rows
    return mark_id(marks[0]) if marks else None


def _traced(asked: Asked, item: Item, mark: MarkRow) -> tuple[list[TraceLine], list[Any]]:
    if asked.parts.telemetry is None:
        asked.miss(
            "traces",
            "Nothing reports traces and logs here: switch telemetry on ([telemetry] in the"
            " configuration) and send OpenTelemetry to this server.",
        )
        return [], []
    try:
        return traces_of(asked, item, mark_id(mark)), logs_of(asked, item, mark_id(mark))
    except StoreUnavailableError as error:
        asked.miss("traces", f"The telemetry store refuses: {error.hint or 'try again'}")
        return [], []


def _before(asked: Asked, item: Item, mark: MarkRow) -> tuple[Item | None, list[TraceLine]]:
    name = name_before(asked, item, mark)
    if name is None or asked.parts.telemetry is None:
        return None, []
    try:
        before = asked.parts.broker.deployment(name)
        return before, traces_of(asked, before, name)
    except DeploymarkError:  # it may be named by what is no id, or be of another log
        return None, []


def _aligned(asked: Asked, item: Item, mark: MarkRow, before: Item | None) -> list[Aligned]:
    found = [aligned_of(asked, item, mark.version, mark_id(mark))]
    if before is not None:
        said = str(before["version"] or before["tag"] or before["deployment_id"])
        name = f"{before['deployment_id']}~{before['occurrence']}"
        found.append(aligned_of(asked, before, said, name))
    shown = [each for each in found if each is not None]
    if not shown:
        asked.miss(
            "aligned",
            "No requests of its own instances are kept: send OpenTelemetry whose resources carry"
            " `deployment.id` to this server.",
        )
    return shown


def _instances(asked: Asked, item: Item, name: str) -> tuple[list[Instance], int]:
    query = InstanceQuery(deployment_id=(name,), limit=INSTANCES)
    rows = asked.parts.broker.instances(query).items
    coverage = item["coverage"]
    total = coverage["confirmed"] + coverage["unproven"] + coverage["mismatched"]
    found = [
        Instance(
            instance_uid=row["instance_uid"],
            name=row["instance"],
            cluster=row["cluster"],
            zone=row["zone"],
            node=row["node"],
            status=InstanceStatus(row["status"]),
            wanted=item["digest"],
            running=row["digest"],
            basis=row["basis"],
            pull=None,
            first_at=row["first_at"],
            last_at=row["last_at"],
        )
        for row in rows
    ]
    return found, max(total, len(found))


def _emitters(asked: Asked, mark: MarkRow) -> list[EmitterLine]:
    """Return the emitters that spoke for a service in an environment."""
    try:
        told = asked.parts.emitters.punctuality()["items"]
    except StoreUnavailableError:
        return []
    missing: dict[str, int] = {}
    again: dict[str, int] = {}
    for each in asked.parts.emitters.list():
        missing[each["id"]] = missing.get(each["id"], 0) + each["missing"]["count"]
        again[each["id"]] = again.get(each["id"], 0) + each["duplicates"]
    return [
        EmitterLine(
            emitter=each["id"],
            kind=each["kind"],
            markers=each["markers"],
            last_at=each["last_seen"],
            ahead_ms=each["skew_ms"]["worst"],
            late_ms=each["lateness_ms"]["last"],
            late_most_ms=each["lateness_ms"]["worst"],
            missing_numbers=missing.get(each["id"], 0),
            duplicates=again.get(each["id"]),
        )
        for each in told
        if (each["service"], each["environment"]) == (mark.service, mark.environment)
    ]
