"""The page for a person on call: is it a deployment, which, whose, where, how bad.

Everything here is looked up; the one thing that is worked out is the first sentence.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from deploymark.errors import NotFoundError
from deploymark.model.ids import format_occurrence
from deploymark.model.instants import format_instant
from deploymark.model.lengths import told_length
from deploymark.projections.broker.marks import MarkRow
from deploymark.projections.broker.marks_query import MarkQuery, Overview
from deploymark.projections.broker.shown_state import RANK, SHOWN, ShownState
from deploymark.server.pages.asked import Asked, told_at
from deploymark.server.pages.canaries import canaries_of, rollbacks_of
from deploymark.server.pages.chips import (
    MAX_DELTAS,
    Bench,
    Rolling,
    mark_id,
    rolling_of,
    standing_of,
)
from deploymark.server.pages.events import (
    HEARD,
    Silence,
    event_of,
    finding_of,
    silent_places,
    told_services,
)
from deploymark.server.pages.notices import notices_of
from deploymark.server.pages.selection import selected_of, selection
from deploymark.server.pages.shapes import (
    Event,
    Selected,
    StateCount,
    Window,
)
from deploymark.server.pages.shapes_oncall import (
    Events,
    Judgement,
    Lane,
    LaneKind,
    Level,
    Mark,
    Marks,
    OnCall,
    ServiceDelta,
)
from deploymark.server.pages.suspects import Suspects, suspects_of
from deploymark.server.pages.suspicion import Grounds, Suspect

STREAM: Final = 50
NEWS: Final = 200
DELTAS: Final = 12
LAG_MS: Final = 10_000
"""An entry that is not shown for so long is waited for; the views take a second."""

_LANES: Final = (LaneKind.CLUSTER, LaneKind.REGION, LaneKind.ENVIRONMENT)


def oncall(asked: Asked) -> OnCall:
    """Return the page, all of it as of one commit of the views.

    Raises:
        RequestError: Window or filter are none.
        StoreUnavailableError: The views are being built, or a medium refuses.
    """
    with asked.sources.one_commit():
        return _oncall(asked)


def _oncall(asked: Asked) -> OnCall:
    window, chosen = asked.window(), asked.filter()
    query = chosen.query(window.since_ms, asked.until_ms(window))
    rolling = rolling_of(asked)
    bench = Bench(asked, rolling)
    seen = asked.sources.marks.overview(query, window.width)
    suspects = suspects_of(asked, query, bench, rolling)
    found = asked.sources.book.findings(query.service, query.environment)
    findings = [finding_of(item) for item in found.items]
    open_then = [item for item in found.items if item["opened_at"] <= window.until_at]
    lanes = _lanes(seen, silent_places(open_then))
    overlaid = _overlaid(asked, query, rolling)
    canaries = canaries_of(asked, bench, rolling, suspects.uneasy)
    rollbacks = rollbacks_of(asked, bench, rolling, suspects.uneasy)
    streamed = asked.sources.stream.window(query, STREAM)
    selected = _selected(asked, bench, suspects)
    deltas = _deltas(bench, suspects.newest)
    as_of = min(seen.as_of, streamed.as_of, found.as_of)
    _tell_lag(asked, as_of)
    _tell_missing(asked, seen)
    counts = _counts(seen, overlaid)
    return OnCall(
        **asked.head(as_of),
        window=window,
        filter=chosen.shown(),
        notices=notices_of(
            asked,
            lambda service, environment: (
                (not query.service or service in query.service)
                and (not query.environment or environment in query.environment)
            ),
        ),
        verdict=_judge(suspects, lanes, window, asked.now_ms, _Seen(counts, bool(chosen.words))),
        counts=counts,
        in_view=sum(each.count for each in counts),
        total=seen.total,
        suspects=suspects.chips,
        suspects_total=suspects.total,
        lanes=lanes,
        lanes_total=seen.lanes_total,
        marks=_marks(seen, overlaid),
        canaries=canaries.items,
        canaries_total=canaries.total,
        rollbacks=rollbacks.items,
        rollbacks_total=rollbacks.total,
        deltas=deltas[:DELTAS],
        deltas_total=len(suspects.newest) if deltas else 0,
        stream=[event_of(each, rolling) for each in streamed.items],
        stream_total=streamed.total,
        findings=findings,
        findings_total=found.total,
        selected=selected,
    )


def events(asked: Asked) -> Events:
    """Return what was added to the stream behind an entry.

    Raises:
        RequestError: The filter is none.
        StoreUnavailableError: The views are being built, or a medium refuses.
    """
    query = asked.filter().query(0, asked.now_ms)
    found = asked.sources.stream.behind(asked.parameters["behind"], query, NEWS)
    rolling = rolling_of(asked)
    items: list[Event] = [event_of(each, rolling) for each in found.items]
    return Events(
        items=items,
        left_out=found.total > len(items),
        newest=found.as_of - 1,
        as_of=found.as_of,
        now_at=format_instant(asked.now_ms),
    )


# The first sentence ------------------------------------------------------------------------------


class _Seen(NamedTuple):
    """What a window holds, and whether a filter let only some of it through."""

    counts: Sequence[StateCount]
    is_filtered: bool


def _judge(
    suspects: Suspects, lanes: Sequence[Lane], window: Window, now_ms: int, seen: _Seen
) -> Judgement:
    if suspects.first:
        worst = suspects.first[0].chip
        level, said = _said(suspects.first[0], now_ms)
        name = f"{worst.service} {worst.version}"
        return Judgement(level, f"{name} {said}", worst.reason or "", worst.id)
    silent = [lane for lane in lanes if lane.missing_since_at is not None]
    if silent:
        names = ", ".join(lane.name for lane in silent)
        since = min(lane.missing_since_at or "" for lane in silent)
        services = told_services([name for lane in silent for name in lane.missing_services])
        return Judgement(
            Level.BLIND,
            f"Some markers{services and f' of {services}'} are missing from {names} since"
            f" {told_at(since)}",
            "What runs there is not known in full; look at the findings.",
            None,
        )
    if not suspects.newest:
        nothing = "Nothing that the filter lets through" if seen.is_filtered else "Nothing"
        return Judgement(
            Level.QUIET,
            f"No deployment {'of this filter' if seen.is_filtered else 'in view'} went live",
            f"{nothing} went live from {told_at(window.since_at)} to {told_at(window.until_at)}.",
            None,
        )
    return Judgement(Level.QUIET, "No deployment looks wrong", _calm(seen.counts), None)


def _calm(counts: Iterable[StateCount]) -> str:
    """Say why nothing looks wrong; what did once, and is no more, stands in the same view."""
    found = {each.state: each.count for each in counts}
    over = []
    if failed := found.get(ShownState.FAILED, 0):
        over.append(f"{failed:,} failed")
    if returned := found.get(ShownState.ROLLED_BACK, 0):
        over.append(f"{returned:,} {'was' if returned == 1 else 'were'} rolled back")
    if not over:
        return "None that went live has failed, and none is undecided."
    return f"{' and '.join(over)}; what came after stands, and none is undecided."


def _said(suspect: Suspect, now_ms: int) -> tuple[Level, str]:
    match suspect.chip.state, suspect.grounds:
        case ShownState.FAILED, Grounds.LONG_AGO:
            ago = told_length(now_ms - suspect.since_ms)
            found = Level.SUSPICIOUS, f"failed {ago} ago, and nothing has replaced it"
        case ShownState.FAILED, _:
            found = Level.FAILING, "is failing"
        case ShownState.ROLLING_BACK, _:
            found = Level.FAILING, "is being rolled back"
        case _, Grounds.HARM:
            found = Level.FAILING, "may be failing"
        case ShownState.PAUSED, _:
            found = Level.SUSPICIOUS, "is paused"
        case ShownState.UNKNOWN, _:
            found = Level.SUSPICIOUS, "is not what runs"
        case _, Grounds.SAID:
            found = Level.SUSPICIOUS, "was failed by its newest look"
        case _:
            found = Level.QUIET, "is under way, and nothing speaks against it"
    return found


# What is drawn -----------------------------------------------------------------------------------


def _lanes(seen: Overview, silent: Mapping[str, Silence]) -> list[Lane]:
    found = [(lane, silent.get(lane.name, HEARD)) for lane in seen.lanes]
    return [
        Lane(lane.name, _LANES[lane.kind], silence.since_at, list(silence.services))
        for lane, silence in found
    ]


def _overlaid(asked: Asked, query: MarkQuery, rolling: Rolling) -> list[tuple[MarkRow, ShownState]]:
    """Return the runs in the window that a controller shows otherwise than the markers do."""
    names = []
    for service, environment, name in rolling:
        identity, _, number = name.partition("~")
        names.append((service, environment, identity, int(number or 1)))
    found = asked.sources.marks.chosen(query, names) if names else []
    told = [(mark, standing_of(mark, rolling)[0]) for mark in found]
    return [(mark, state) for mark, state in told if RANK[state] != mark.rank]


def _counts(seen: Overview, overlaid: Iterable[tuple[MarkRow, ShownState]]) -> list[StateCount]:
    counts = dict(seen.counts)
    for mark, state in overlaid:
        if mark.first:
            counts[SHOWN[mark.rank]] = counts.get(SHOWN[mark.rank], 1) - 1
            counts[state] = counts.get(state, 0) + 1
    return [StateCount(state, counts[state]) for state in ShownState if counts.get(state, 0) > 0]


def _marks(seen: Overview, overlaid: Sequence[tuple[MarkRow, ShownState]]) -> Marks:
    place = {lane.name: number for number, lane in enumerate(seen.lanes)}
    items = [
        Mark(
            at_ms=cell.at_ms,
            lane=place[cell.lane],
            state=SHOWN[cell.rank],
            count=cell.runs,
            id=format_occurrence(cell.id, cell.number),
            service=cell.service,
            version=cell.version,
        )
        for cell in seen.cells
    ]
    own: Mapping[tuple[str, int], ShownState] = {
        (mark_id(mark), place[mark.lane]): state for mark, state in overlaid if mark.lane in place
    }
    if own:
        items = [replace(each, state=own.get((each.id, each.lane), each.state)) for each in items]
    drawn = sum(cell.runs for cell in seen.cells)
    return Marks(items, seen.marks_total, seen.marks_total - drawn)


def _deltas(bench: Bench, newest: Sequence[MarkRow]) -> list[ServiceDelta]:
    """Return how errors changed after the newest deployment of each service, the worst first."""
    found = []
    for mark in newest[:MAX_DELTAS]:
        chip = bench.chip(mark, deltas=True)
        if chip.delta is not None:
            found.append(ServiceDelta(mark.service, chip, chip.delta))
    return sorted(found, key=lambda each: -(each.delta.points or 0.0))


def _selected(asked: Asked, bench: Bench, suspects: Suspects) -> Selected | None:
    """Return what the address selects; the worst suspect where it selects nothing."""
    name: str | None = asked.parameters.get("dep")
    if name is None:
        name = suspects.chips[0].id if suspects.chips else ""
    mark = suspects.known.get(name)
    told = None if mark is None else bench.told(mark)
    if mark is not None and told is not None:  # it was read whole already
        return selection(asked, bench, told.document, mark)
    if not name:
        return None
    try:
        return selected_of(asked, bench, name)
    except NotFoundError:
        asked.miss("selected", f"No deployment {name[:80]} is known; it may be on another server.")
        return None


def _tell_lag(asked: Asked, as_of: int) -> None:
    """Note what is not shown yet: who sees nothing wrong here must know that it may be old."""
    reader = asked.parts.view.reader
    waiting = reader.head().size - as_of
    if waiting <= 0:
        return
    since_ms = reader.entry(as_of).received_at_ms
    if asked.now_ms - since_ms >= LAG_MS:
        asked.miss(
            "lag",
            f"What came since {told_at(format_instant(since_ms))} is not shown yet: the views have"
            f" not seen the newest {waiting:,} entries of the log. They catch up by themselves;"
            " if not, look at the server's log.",
        )


def _tell_missing(asked: Asked, seen: Overview) -> None:
    if asked.parts.telemetry is None:
        asked.miss(
            "deltas",
            "Nothing reports requests here: switch telemetry on ([telemetry] in the configuration)"
            " and send OpenTelemetry to this server.",
        )
    if asked.parts.rollouts is None or not asked.sources.look_seconds:
        asked.miss(
            "canaries",
            "No rollout is judged: write a plan ([rollouts.SERVICE.ENVIRONMENT] in the"
            " configuration).",
        )
    if not seen.total:
        asked.miss(
            "marks",
            "No deployment was ever marked: `deploymark mark` or a pipeline says the first one.",
        )
