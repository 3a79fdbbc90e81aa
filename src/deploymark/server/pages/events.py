"""Rows of the stream and findings, as documents tell them. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from deploymark.model.vocabulary import FindingCode
from deploymark.projections.broker.corrected import remark_of
from deploymark.projections.timeline_stream import Seen
from deploymark.server.pages.chips import Rolling, mark_id, standing_of
from deploymark.server.pages.shapes import Event, ShownFinding


def event_of(seen: Seen, rolling: Rolling) -> Event:
    """Return one row of the stream."""
    row, mark = seen.row, seen.mark
    state = None if mark is None else standing_of(mark, rolling)[0]
    named = seen.owner.deployment_id
    if named is not None and seen.owner.occurrence is not None:
        named = f"{named}~{seen.owner.occurrence}"
    return Event(
        index=row.idx,
        at=seen.at,
        at_ms=row.at_ms,
        type=row.type,
        event=row.event,
        service=row.service,
        environment=row.environment,
        version=None if mark is None else mark.version,
        who=None if mark is None else mark.owner or mark.author,
        place=row.cluster or row.region or row.environment,
        state=state,
        id=named if mark is None else mark_id(mark),
        sentence=with_remark(row.text, remark_of(seen.corrected)),
    )


def with_remark(sentence: str, remark: str) -> str:
    """Return what an entry says, and what was corrected of it."""
    return " — ".join(part for part in (sentence, remark) if part)


def finding_of(item: Mapping[str, Any]) -> ShownFinding:
    """Return a finding from what the broker shows."""
    return ShownFinding(
        code=item["code"],
        severity=item["severity"],
        service=item["service"],
        environment=item["environment"],
        id=item["deployment_id"],
        about=item["about"],
        message=item["message"],
        hint=item["remedy"] or "",
        opened_at=item["opened_at"],
        closed_at=item["closed_at"],
    )


class Silence(NamedTuple):
    """Of which services too little is heard in a place, by name, and since when."""

    since_at: str | None = None
    services: tuple[str, ...] = ()


HEARD: Final = Silence()
"""What there is to say of a place where nothing is missing."""


def silent_places(findings: Iterable[Mapping[str, Any]]) -> dict[str, Silence]:
    """Return since when too little is heard of places, and of whom there, by their names."""
    silent: dict[str, Silence] = {}
    for finding in findings:
        about = finding["about"]
        if finding["code"] in _SILENT and about:
            since_at, services = silent.get(about, HEARD)
            opened_at = finding["opened_at"]
            named = {*services, finding["service"]} - {None, ""}
            silent[about] = Silence(min(since_at or opened_at, opened_at), tuple(sorted(named)))
    return silent


def told_services(names: Iterable[str]) -> str:
    """Return services as sentences name them: two, and how many more."""
    every = [*dict.fromkeys(names)]
    first, left = every[:_NAMED], len(every) - _NAMED
    return f"{', '.join(first)} and {left} more" if left > 0 else " and ".join(first)


_NAMED: Final = 2
_SILENT: Final = (FindingCode.INSTANCE_UNMARKED, FindingCode.MARKER_MISSING)
