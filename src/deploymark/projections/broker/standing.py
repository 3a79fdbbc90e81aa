"""The runs that stand, as watchers look at them: their rows and their instances by cluster."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, and_, case, func, literal, select, tuple_

from deploymark.model.ids import format_occurrence
from deploymark.model.vocabulary import FindingCode
from deploymark.projections.broker.outlived import Outlived, outlived
from deploymark.projections.broker.running import RUNNING
from deploymark.projections.broker.tables import GROUP, INSTANCE, RUN

MAX_RUNS: Final = 50_000
"""Standing runs that one look goes through; the next one goes on behind them."""


class Trouble(NamedTuple):
    """A finding that should be open.

    Attributes:
        code: Of the finding.
        deployment: `id~number`, None where it is about no deployment.
        about: The cluster, flag or emitter in question.
        detail: What its message names.
        indexes: The entries that it rests on.
        message: As it was said when it opened; "" when that is not yet.
    """

    code: FindingCode
    service: str | None
    environment: str | None
    deployment: str | None
    about: str | None = None
    detail: str = ""
    indexes: tuple[int, ...] = ()
    message: str = ""

    @property
    def key(self) -> tuple[str | None, ...]:
        """What it is about, whatever its detail."""
        return self.code.value, self.service, self.environment, self.deployment, self.about


class Standing(NamedTuple):
    """A run that is not over: its row, its document, its instances by cluster.

    Attributes:
        fewer_ms: When one of its instances went away last.
        outlived: Instances of others that are superseded, of the same service and environment.
    """

    row: Any
    document: dict[str, Any]
    instances: dict[str | None, int]
    fewer_ms: int
    outlived: Sequence[Outlived] = ()

    @property
    def name(self) -> str:
        """Its id and number."""
        return format_occurrence(self.row.id, self.row.number)

    @property
    def scope(self) -> tuple[str, str]:
        """Its service and environment."""
        return self.row.service, self.row.environment

    @property
    def key(self) -> tuple[str, ...]:
        """What tells it from every other: a given id may be one of several services."""
        return self.row.service, self.row.environment, self.row.kind_key, self.name

    def trouble(self, code: FindingCode, about: str | None = None, detail: str = "") -> Trouble:
        """Return a finding about it."""
        indexes = (self.row.last_index,)
        return Trouble(
            code, self.row.service, self.row.environment, self.name, about, detail, indexes
        )


def standing_runs(connection: Connection, after: tuple[str, str] = ("", "")) -> Iterator[Standing]:
    """Return the first runs that are not over, behind a scope, with their instances by cluster."""
    columns = [RUN.c[name] for name in _RUN_COLUMNS]
    scope = (RUN.c.service, RUN.c.environment)
    rows = connection.execute(
        select(*columns)
        .where(RUN.c.watch == 1, tuple_(*scope) > tuple_(*map(literal, after)))
        .order_by(*scope, RUN.c.last_ms.desc())
        .limit(MAX_RUNS)
    ).all()
    counts: dict[tuple[str, int], dict[str | None, int]] = {}
    fewer: dict[tuple[str, int], int] = {}
    gone = case((RUNNING, 0), else_=func.coalesce(INSTANCE.c.gone_ms, INSTANCE.c.last_ms))
    # From the runs that stand to their instances: of those that ended there are ever more.
    same = [GROUP.c[name] == RUN.c[name] for name in ("service", "environment", "id", "number")]
    counted = (
        select(
            GROUP.c.id,
            GROUP.c.number,
            INSTANCE.c.cluster,
            func.sum(case((RUNNING, 1), else_=0)).label("running"),
            func.max(gone).label("gone_ms"),
        )
        .select_from(RUN.join(GROUP, and_(*same)).join(INSTANCE, INSTANCE.c.main == GROUP.c.idx))
        .where(RUN.c.watch == 1, RUN.c.kind_key == "")
        .group_by(GROUP.c.id, GROUP.c.number, INSTANCE.c.cluster)
    )
    for each in connection.execute(counted):
        name = (each.id, each.number)
        if each.running:
            counts.setdefault(name, {})[each.cluster] = each.running
        fewer[name] = max(fewer.get(name, 0), each.gone_ms)
    left = outlived(connection)
    for row in rows:
        name = (row.id, row.number)
        code = row.kind_key == ""
        yield Standing(
            row,
            json.loads(row.document),
            counts.get(name, {}) if code else {},
            fewer.get(name, 0) if code else 0,
            left.get((row.service, row.environment), ()) if code else (),
        )


_RUN_COLUMNS: Final = (
    "service",
    "environment",
    "id",
    "kind_key",
    "number",
    "kind",
    "state",
    "opened_ms",
    "live_ms",
    "ended_ms",
    "last_ms",
    "last_index",
    "document",
)
