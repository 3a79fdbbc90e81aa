"""Reads what a page of runs needs beside their marks: what is said of each, judged and found.

For pages, above the tables. A page costs as many questions as one run; nothing that one run has
without bound is read whole.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, case, func, or_, select

from deploymark.model.ids import format_occurrence
from deploymark.projections.broker.corrected import lay_over
from deploymark.projections.broker.findings import finding_of, shown
from deploymark.projections.broker.questions import Item, Values
from deploymark.projections.broker.rulings import VERDICT
from deploymark.projections.broker.tables import FINDING, RULING, RUN
from deploymark.projections.broker.view import NAME
from deploymark.projections.broker.whole_runs import now_of
from deploymark.projections.cursors import projected_size
from deploymark.projections.database import Views, rows_with

MAX_FINDINGS: Final = 20
"""Findings of one answer, the worst first."""

COUNTED_TO: Final = 10_000

_RUN: Final = ("service", "environment", "id", "kind_key", "number")

RunKey = tuple[str, str, str, str, int]
"""Service, environment, id, kind_key, number."""


class Told(NamedTuple):
    """What is said of a run, and its newest verdict.

    Attributes:
        document: `documents.run_document`, as it was corrected (`corrected.lay_over`).
        verdict: As its entry says it, with `index` and `received_at`; None without one.
    """

    document: Item
    verdict: Item | None


class Found(NamedTuple):
    """Open findings, the worst first, and how many there are."""

    items: list[Item]
    total: int
    as_of: int


class RunBook:
    """Answers what is said of runs; safe on any thread, and waits for the disk.

    Args:
        views: Their database.
    """

    def __init__(self, views: Views) -> None:
        self._views = views

    def told(self, keys: Iterable[RunKey]) -> dict[RunKey, Told]:
        """Return what is said of these runs; unknown ones are left out.

        Raises:
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        wanted = sorted(set(keys))
        with self._views.reading() as connection:
            runs = list(rows_with(connection, RUN, _RUN, wanted))
            items = [json.loads(row.document) for row in runs]
            lay_over(connection, runs, items)
            documents: dict[RunKey, Item] = {
                (row.service, row.environment, row.id, row.kind_key, row.number): item
                for row, item in zip(runs, items, strict=True)
            }
            names = {key[2] for key in documents}
            names |= {alias for each in documents.values() for alias in each["aliases"]}
            newest = (
                select(func.max(RULING.c.idx))
                .where(RULING.c.type == VERDICT, RULING.c.deployment.in_(sorted(names)))
                .group_by(RULING.c.deployment, RULING.c.occurrence, RULING.c.environment)
            )
            rows = connection.execute(select(RULING).where(RULING.c.idx.in_(newest))).all()
        return {key: Told(each, _newest(rows, key, each)) for key, each in documents.items()}

    def looks(self, document: Item, limit: int) -> tuple[list[Item], int]:
        """Return the verdicts about a run, the newest first, and how many there are.

        Raises:
            StoreUnavailableError: As `told`.
        """
        names = [document["deployment_id"], *document["aliases"]]
        wanted = (
            RULING.c.type == VERDICT,
            RULING.c.deployment.in_(names),
            RULING.c.environment == document["environment"],
            or_(RULING.c.occurrence.is_(None), RULING.c.occurrence == document["occurrence"]),
            or_(RULING.c.service.is_(None), RULING.c.service == document["service"]),
        )
        newest = select(RULING.c.document).where(*wanted).order_by(RULING.c.idx.desc())
        with self._views.reading() as connection:
            rows = connection.scalars(newest.limit(limit)).all()
            total = len(rows)
            if total == limit:
                counted = select(func.count()).select_from(RULING).where(*wanted)
                total = connection.scalar(counted) or 0
        return [json.loads(text) for text in rows], total

    def findings(
        self, services: Values = (), environments: Values = (), limit: int = MAX_FINDINGS
    ) -> Found:
        """Return open findings, the worst first, then the newest; of no service always.

        Raises:
            StoreUnavailableError: As `told`.
        """
        wanted: list[ColumnElement[bool]] = [
            or_(column.in_(values), column.is_(None))
            for column, values in (
                (FINDING.c.service, services),
                (FINDING.c.environment, environments),
            )
            if values
        ]
        severity = case(_SEVERITIES, value=FINDING.c.severity, else_=len(_SEVERITIES))
        with self._views.reading() as connection:
            now_ms = now_of(connection)
            is_open = or_(FINDING.c.closed_ms.is_(None), FINDING.c.closed_ms > now_ms)
            statement = select(FINDING).where(*wanted, is_open)
            rows = connection.execute(
                statement.order_by(severity, FINDING.c.opened_ms.desc(), FINDING.c.id).limit(limit)
            ).all()
            some = select(FINDING.c.id).where(*wanted, is_open).limit(COUNTED_TO).subquery()
            total = connection.scalar(select(func.count()).select_from(some)) or 0
            as_of = projected_size(connection, NAME)
        return Found([shown(finding_of(row), now_ms) for row in rows], total, as_of)


_SEVERITIES: Final = {"critical": 0, "warning": 1, "info": 2}


def _newest(rows: Sequence[Any], key: RunKey, document: Item) -> Item | None:
    names = {document["deployment_id"], *document["aliases"]}
    mine = [
        row
        for row in rows
        if row.deployment in names
        and row.environment == key[1]
        and row.occurrence in (None, key[4])
        and row.service in (None, key[0])
    ]
    if not mine:
        return None
    found: Item = json.loads(max(mine, key=lambda row: row.idx).document)
    return found


def key_of(document: Item, kind_key: str = "") -> RunKey:
    """Return the key of a run of code from its document."""
    return (
        document["service"],
        document["environment"],
        document["deployment_id"],
        kind_key,
        document["occurrence"],
    )


def name_of(document: Item) -> str:
    """Return `d-…~n`."""
    return format_occurrence(document["deployment_id"], document["occurrence"])
