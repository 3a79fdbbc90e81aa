"""Reads runs with all that belongs to them: occurrences, findings, instances, rulings.

For `query`, inside its transaction. A page of runs costs as many questions as one run.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, case, func, or_, select

from deploymark.model.ids import format_occurrence
from deploymark.projections.broker.corrected import NONE, corrections_about, lay_over
from deploymark.projections.broker.documents import instant
from deploymark.projections.broker.findings import FindingRow, finding_of, shown
from deploymark.projections.broker.proving import RunName, name_of, states_of
from deploymark.projections.broker.questions import STATUSES, Item
from deploymark.projections.broker.rulings import (
    DECISION,
    GATE,
    MAX_ANSWERS,
    MAX_RULINGS,
    VERDICT,
    is_about,
)
from deploymark.projections.broker.running import JOINED, MAIN, RUNNING, STATUS
from deploymark.projections.broker.tables import CLOCK, FINDING, INSTANCE, RULING, RUN
from deploymark.projections.expectations import Expectations

MAX_OCCURRENCES: Final = 64
"""Occurrences that are listed with a deployment."""

MAX_AREAS: Final = 64
"""Areas in the coverage of a deployment, those with the most instances; its sums count all."""

MAX_FINDINGS: Final = 64
"""Findings that are listed with a deployment, open ones first."""


def whole_runs(
    connection: Connection, expectations: Expectations, rows: Sequence[Any]
) -> list[Item]:
    """Return runs with all that belongs to them: as many questions for a page as for one."""
    states = states_of(connection, [row.id for row in rows])
    occurrences = _occurrences_of(connection, rows, states)
    findings = _findings_of(connection, rows)
    counted = _counted_of(connection, rows)
    items: list[Item] = [json.loads(row.document) for row in rows]
    lay_over(connection, rows, items)
    rulings = _rulings_of(connection, rows, items)
    for row, item, ruled in zip(rows, items, rulings, strict=True):
        item["state"] = states[name_of(row)]
        item["occurrences"] = occurrences[_change_of(row)]
        item["findings"] = findings[row.id, row.number]
        of_code = counted[_run_of(row)] if row.kind_key == "" else []
        item["coverage"] = _coverage_of(expectations, row, of_code)
        item["verdicts"] = ruled[VERDICT]
        item["decisions"] = ruled[DECISION]
    return items


def _coverage_of(expectations: Expectations, row: Any, counted: Sequence[Any]) -> Item:  # noqa: ANN401 - a row
    expected = expectations.environment(row.service, row.environment)
    standing = expected is not None and row.ended_ms is None
    by: dict[tuple[str | None, str | None, str | None], dict[str, int]] = {}
    for each in counted:
        sums = by.setdefault((each.cluster, each.region, each.zone), no_instances())
        sums[each.status] += each.count
    if standing and expected is not None:
        for cluster in expected.clusters:
            if not any(area[0] == cluster for area in by):
                by[cluster, None, None] = no_instances()
    if len(by) > MAX_AREAS:
        largest = sorted(by, key=lambda area: (-sum(by[area].values()), str(area)))
    else:
        largest = list(by)
    total = no_instances()
    for sums in by.values():
        for status, count in sums.items():
            total[status] += count
    return {
        "expected": expected.total if standing and expected is not None else None,
        **total,
        "by": [
            {
                "cluster": area[0],
                "region": area[1],
                "zone": area[2],
                "expected": expected.of_cluster(area[0]) if standing and expected else None,
                **by[area],
            }
            for area in sorted(largest[:MAX_AREAS], key=lambda area: [part or "" for part in area])
        ],
    }


def _change_of(row: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a row of RUN
    return (row.service, row.environment, row.id, row.kind_key)


def _run_of(row: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a row that names a run
    return (row.service, row.environment, row.id, row.number)


def _occurrences_of(
    connection: Connection, rows: Sequence[Any], states: Mapping[RunName, str]
) -> dict[tuple[Any, ...], list[Item]]:
    """Return the newest occurrences of each change, the oldest of them first."""
    change = (RUN.c.service, RUN.c.environment, RUN.c.id, RUN.c.kind_key)
    place = func.row_number().over(partition_by=change, order_by=RUN.c.number.desc())
    columns = (*change, RUN.c.number, RUN.c.opened_ms, RUN.c.live_ms, RUN.c.ended_ms)
    wanted = RUN.c.id.in_({row.id for row in rows})
    every = select(*columns, place.label("place")).where(wanted).subquery()
    newest = select(every).where(every.c.place <= MAX_OCCURRENCES).order_by(every.c.number)
    found: dict[tuple[Any, ...], list[Item]] = {_change_of(row): [] for row in rows}
    for each in connection.execute(newest):
        if (change_of := _change_of(each)) in found:
            occurrence = {
                "occurrence": each.number,
                "state": states[name_of(each)],
                "opened_at": instant(each.opened_ms),
                "live_at": instant(each.live_ms),
                "ended_at": instant(each.ended_ms),
            }
            found[change_of].append(occurrence)
    return found


def _findings_of(connection: Connection, rows: Sequence[Any]) -> dict[tuple[str, int], list[Item]]:
    """Return the findings of each occurrence, by its id and number: open ones first, then new."""
    names = {(row.id, row.number): (row.id, format_occurrence(row.id, row.number)) for row in rows}
    order = (FINDING.c.closed_ms.is_not(None), FINDING.c.opened_ms.desc(), FINDING.c.id)
    place = func.row_number().over(partition_by=FINDING.c.deployment_id, order_by=order)
    wanted = FINDING.c.deployment_id.in_({name for pair in names.values() for name in pair})
    every = select(FINDING, place.label("place")).where(wanted).subquery()
    first = select(*[every.c[column.name] for column in FINDING.columns])
    by_name: dict[str | None, list[FindingRow]] = {}
    for row in map(finding_of, connection.execute(first.where(every.c.place <= MAX_FINDINGS))):
        by_name.setdefault(row.deployment_id, []).append(row)
    now_ms = now_of(connection)
    found = {}
    for key, pair in names.items():
        mine = [row for name in pair for row in by_name.get(name, ())]
        mine.sort(key=lambda row: (row.closed_ms is not None, -row.opened_ms, row.id))
        found[key] = [shown(row, now_ms) for row in mine[:MAX_FINDINGS]]
    return found


def _rulings_of(
    connection: Connection, rows: Sequence[Any], items: Sequence[Item]
) -> list[dict[str, list[Item]]]:
    """Return the newest verdicts and decisions about each run, the newest of them first."""
    names = [{item["deployment_id"], *item["aliases"]} for item in items]
    # Of each occurrence its own: those of a later one must not take the place of an earlier one's.
    about = ("deployment", "occurrence", "service", "environment", "type")
    one = [RULING.c[name] for name in about]
    answers = case((RULING.c.action == GATE, 1), else_=0)
    place = func.row_number().over(partition_by=[*one, answers], order_by=RULING.c.idx.desc())
    wanted = (
        RULING.c.deployment.in_(set().union(*names)),
        RULING.c.environment.in_({row.environment for row in rows}),
        or_(
            RULING.c.occurrence.is_(None),
            RULING.c.occurrence.in_({row.number for row in rows}),
        ),
    )
    every = select(RULING, place.label("place")).where(*wanted).subquery()
    most = case((every.c.action == GATE, MAX_ANSWERS), else_=MAX_RULINGS)
    newest = select(every).where(every.c.place <= most).order_by(every.c.idx.desc())
    found = connection.execute(newest).all()
    ruled = [
        {
            kind: _listed(
                [each for each in found if each.type == kind and is_about(each, row, known)]
            )
            for kind in (VERDICT, DECISION)
        }
        for row, known in zip(rows, names, strict=True)
    ]
    listed = [item for kinds in ruled for items in kinds.values() for item in items]
    corrected = corrections_about(connection, {item["index"] for item in listed})
    for item in listed:
        item["retracted"] = corrected.get(item["index"], NONE).retracted
    return ruled


def _listed(rows: Sequence[Any]) -> list[Item]:
    """Return the newest rulings as they are shown; answers of gates take the place of none."""
    answers = [each.idx for each in rows if each.action == GATE]
    others = [each.idx for each in rows if each.action != GATE]
    kept = {*answers[:MAX_ANSWERS], *others[:MAX_RULINGS]}
    return [json.loads(each.document) for each in rows if each.idx in kept]


def _counted_of(connection: Connection, rows: Sequence[Any]) -> dict[tuple[Any, ...], list[Any]]:
    """Count the instances of each run of code."""
    found: dict[tuple[Any, ...], list[Any]] = {_run_of(row): [] for row in rows}
    run = (MAIN.c.id, MAIN.c.number)
    for each in count_instances(connection, [MAIN.c.id.in_({row.id for row in rows})], run):
        if (run_of := _run_of(each)) in found:
            found[run_of].append(each)
    return found


def count_instances(
    connection: Connection,
    wanted: Sequence[ColumnElement[bool]],
    apart: Sequence[Column[Any]] = (),
) -> Sequence[Any]:
    """Count instances by where they are and what is known of them: groups first, joins after."""
    status = STATUS.label("status")
    areas = (INSTANCE.c.service, INSTANCE.c.environment, INSTANCE.c.cluster, INSTANCE.c.region)
    columns = (*areas, INSTANCE.c.zone, *apart, status)
    statement = (
        select(*columns, func.count().label("count"))
        .select_from(JOINED)
        .where(RUNNING, *wanted)
        .group_by(*columns)
    )
    return connection.execute(statement).all()


def no_instances() -> dict[str, int]:
    """Return a count of zero for every status."""
    return dict.fromkeys(STATUSES, 0)


def now_of(connection: Connection) -> int:
    """Return the newest received time of the log, in milliseconds; 0 while it is empty."""
    return connection.scalar(_NOW) or 0


_NOW: Final = select(CLOCK.c.now_ms)
