"""Reads what a page of runs needs beside their marks: what is said of each, judged and found.

For pages, above the tables. A page costs as many questions as one run; nothing that one run has
without bound is read whole.
"""

import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Integer,
    Select,
    Text,
    bindparam,
    case,
    func,
    or_,
    select,
)
from sqlalchemy.types import BigInteger

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
            rows = connection.execute(_NEWEST, {"names": sorted(names)}).all()
        return {key: Told(each, _newest(rows, key, each)) for key, each in documents.items()}

    def looks(self, document: Item, limit: int) -> tuple[list[Item], int]:
        """Return the verdicts about a run, the newest first, and how many there are.

        Raises:
            StoreUnavailableError: As `told`.
        """
        values = {
            "names": [document["deployment_id"], *document["aliases"]],
            "service": document["service"],
            "environment": document["environment"],
            "occurrence": document["occurrence"],
        }
        with self._views.reading() as connection:
            rows = connection.scalars(_LOOKS, {**values, "limit": limit}).all()
            total = len(rows)
            if total == limit:
                total = connection.scalar(_LOOKS_COUNTED, values) or 0
        return [json.loads(text) for text in rows], total

    def findings(
        self, services: Values = (), environments: Values = (), limit: int = MAX_FINDINGS
    ) -> Found:
        """Return open findings, the worst first, then the newest; of no service always.

        Raises:
            StoreUnavailableError: As `told`.
        """
        listed, counted = _findings(bool(services), bool(environments))
        values = {"services": services, "environments": environments, "limit": limit}
        with self._views.reading() as connection:
            now_ms = values["now_ms"] = now_of(connection)
            rows = connection.execute(listed, values).all()
            total = connection.scalar(counted, values) or 0
            as_of = projected_size(connection, NAME)
        return Found([shown(finding_of(row), now_ms) for row in rows], total, as_of)


# The statements, put together once: that would take longer each time than answering them.
_NAMES: Final[BindParameter[Any]] = bindparam("names", expanding=True)
_LIMIT: Final = bindparam("limit", type_=Integer)
_NEWEST: Final = select(RULING).where(
    RULING.c.idx.in_(
        select(func.max(RULING.c.idx))
        .where(RULING.c.type == VERDICT, RULING.c.deployment.in_(_NAMES))
        .group_by(RULING.c.deployment, RULING.c.occurrence, RULING.c.environment)
    )
)
_LOOKED: Final = (
    RULING.c.type == VERDICT,
    RULING.c.deployment.in_(_NAMES),
    RULING.c.environment == bindparam("environment", type_=Text),
    or_(
        RULING.c.occurrence.is_(None),
        RULING.c.occurrence == bindparam("occurrence", type_=Integer),
    ),
    or_(RULING.c.service.is_(None), RULING.c.service == bindparam("service", type_=Text)),
)
_LOOKS: Final = (
    select(RULING.c.document).where(*_LOOKED).order_by(RULING.c.idx.desc()).limit(_LIMIT)
)
_LOOKS_COUNTED: Final = select(func.count()).select_from(RULING).where(*_LOOKED)
_SEVERITIES: Final = {"critical": 0, "warning": 1, "info": 2}


@cache
def _findings(of_services: bool, of_environments: bool) -> tuple[Select[Any], Select[Any]]:  # noqa: FBT001 - what is chosen
    """Return what lists open findings, and what counts them."""
    now_ms = bindparam("now_ms", type_=BigInteger)
    wanted: list[ColumnElement[bool]] = [
        or_(column.in_(bindparam(name, expanding=True)), column.is_(None))
        for column, name, is_chosen in (
            (FINDING.c.service, "services", of_services),
            (FINDING.c.environment, "environments", of_environments),
        )
        if is_chosen
    ]
    wanted.append(or_(FINDING.c.closed_ms.is_(None), FINDING.c.closed_ms > now_ms))
    severity = case(_SEVERITIES, value=FINDING.c.severity, else_=len(_SEVERITIES))
    order = (severity, FINDING.c.opened_ms.desc(), FINDING.c.id)
    some = select(FINDING.c.id).where(*wanted).limit(COUNTED_TO).subquery()
    return (
        select(FINDING).where(*wanted).order_by(*order).limit(_LIMIT),
        select(func.count()).select_from(some),
    )


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
