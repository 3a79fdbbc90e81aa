"""Tells when deployments went live, failed or were rolled back, to be drawn over metrics of others.

Part of what `census` counts; what came of a deployment is `settling`'s to say. One look at the
index of what has settled, however long the history is.
"""

from typing import Any, Final, NamedTuple

from sqlalchemy import JSON, ColumnElement, Connection, func, select, type_coerce

from deploymark.projections.broker.tables import CLOCK, RUN

WINDOW_MS: Final = 7 * 86_400_000
"""For how long a deployment is told, by the newest time of the log."""

MAX_DEPLOYMENTS: Final = 1_000
"""Deployments that are told, the latest; each has at most two moments."""

LIVE, FAILED, ROLLED_BACK = "live", "failed", "rolled_back"


class Moment(NamedTuple):
    """Something that happened to a deployment, once; "" for what is unknown.

    Attributes:
        deployment_id: Without its occurrence.
        occurrence: Its number, in digits.
        production: `true` or `false`.
        event: `live` when it first was somewhere; `failed` when it never was; `rolled_back`.
        at_ms: When, as the markers say it.
    """

    deployment_id: str
    occurrence: str
    service: str
    environment: str
    production: str
    event: str
    version: str
    owner: str
    at_ms: int


def moments_of(connection: Connection, most: int = MAX_DEPLOYMENTS) -> tuple[list[Moment], int]:
    """Return the moments of the latest deployments, and how many deployments are left out.

    Args:
        connection: To the views.
        most: Deployments that are told.
    """
    since_ms = select(CLOCK.c.now_ms - WINDOW_MS).scalar_subquery()
    # Where nothing was said yet there is no newest time, and nothing is later than it.
    lately = RUN.c.settled_ms > since_ms
    total = connection.scalar(select(func.count()).select_from(RUN).where(lately)) or 0
    columns = (RUN.c.id, RUN.c.number, RUN.c.service, RUN.c.environment, RUN.c.production)
    settled = (RUN.c.settled_ms, RUN.c.settled_index)
    ends = (RUN.c.failed_index, RUN.c.undone_ms, RUN.c.undone_index)
    rows = connection.execute(
        select(*columns, *settled, *ends, _said("version"), _said("owner"))
        .where(lately)
        .order_by(RUN.c.settled_ms.desc(), RUN.c.settled_index.desc())
        .limit(most)
    ).all()
    return [each for row in rows for each in _moments(row)], total - len(rows)


def _said(name: str) -> ColumnElement[Any]:
    return type_coerce(RUN.c.document, JSON)[name].as_string().label(name)


def _moments(row: Any) -> list[Moment]:  # noqa: ANN401 - a row of `moments_of`
    found = [_moment(row, _first(row), row.settled_ms)]
    if row.undone_index not in (None, row.settled_index):
        found.append(_moment(row, ROLLED_BACK, row.undone_ms))
    return found


def _first(row: Any) -> str:  # noqa: ANN401 - as above
    if row.settled_index == row.undone_index:
        return ROLLED_BACK
    return FAILED if row.settled_index == row.failed_index else LIVE


def _moment(row: Any, event: str, at_ms: int) -> Moment:  # noqa: ANN401 - as above
    return Moment(
        row.id,
        str(row.number),
        row.service,
        row.environment,
        "true" if row.production else "false",
        event,
        row.version or "",
        row.owner or "",
        at_ms,
    )
