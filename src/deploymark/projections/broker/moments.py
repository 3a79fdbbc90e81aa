"""Tells when deployments began, went live, failed or were rolled back, to be drawn over metrics.

Part of what `census` counts; what came of a deployment is `settling`'s to say. Two looks at
indexes by time, however long the history is.
"""

from typing import Any, Final, NamedTuple

from sqlalchemy import JSON, ColumnElement, Connection, and_, func, select, type_coerce

from deploymark.model.instants import parse_instant
from deploymark.model.vocabulary import Kind, Phase
from deploymark.projections.broker.tables import CLOCK, RUN

WINDOW_MS: Final = 7 * 86_400_000
"""For how long a deployment is told, by the newest time of the log."""

MAX_DEPLOYMENTS: Final = 1_000
"""Deployments that are told, the latest: so many that have settled, and as many under way."""

BEGUN, LIVE, FAILED, ROLLED_BACK = "begun", "live", "failed", "rolled_back"
_BEGINNINGS: Final = (Phase.APPLYING, Phase.APPLIED, Phase.CUTOVER)
_COLUMNS: Final = (
    *(RUN.c.id, RUN.c.number, RUN.c.service, RUN.c.environment, RUN.c.production),
    *(RUN.c.settled_ms, RUN.c.settled_index, RUN.c.failed_index),
    *(RUN.c.undone_ms, RUN.c.undone_index),
)


class Moment(NamedTuple):
    """Something that happened to a deployment, once; "" for what is unknown.

    Attributes:
        deployment_id: Without its occurrence.
        occurrence: Its number, in digits.
        production: `true` or `false`.
        event: `begun` when it was first applied, where that is not told by another; `live` when it
            first was somewhere; `failed` when it never was; `rolled_back`.
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
        most: Deployments that are told, of those that have settled and of those under way.
    """
    since_ms = select(CLOCK.c.now_ms - WINDOW_MS).scalar_subquery()
    # Where nothing was said yet there is no newest time, and nothing is later than it.
    settled = RUN.c.settled_ms > since_ms
    # By the index of states: of a long week only what stands or comes is looked at. A canary that
    # was seen running is not live yet.
    under_way = and_(
        RUN.c.state.in_((Phase.APPLYING, Phase.RUNNING)),
        RUN.c.opened_ms > since_ms,
        RUN.c.settled_ms.is_(None),
        RUN.c.kind == Kind.DEPLOYMENT,
    )
    found: list[Moment] = []
    unlisted = 0
    for which, at_ms in ((settled, RUN.c.settled_ms), (under_way, RUN.c.opened_ms)):
        total = connection.scalar(select(func.count()).select_from(RUN).where(which)) or 0
        said = (_said("version"), _said("owner"), _document()["phases"].label("phases"))
        rows = connection.execute(
            select(*_COLUMNS, *said).where(which).order_by(at_ms.desc()).limit(most)
        ).all()
        found += [each for row in rows for each in _moments(row)]
        unlisted += total - len(rows)
    return found, unlisted


def _document() -> ColumnElement[Any]:
    return type_coerce(RUN.c.document, JSON)


def _said(name: str) -> ColumnElement[Any]:
    said: ColumnElement[Any] = _document()[name].as_string()
    return said.label(name)


def _moments(row: Any) -> list[Moment]:  # noqa: ANN401 - a row of `moments_of`
    at = {} if row.settled_ms is None else {_first(row): row.settled_ms}
    if row.undone_ms is not None:
        at[ROLLED_BACK] = row.undone_ms
    begun = [parse_instant(row.phases[phase]) for phase in _BEGINNINGS if phase in row.phases]
    if begun and min(begun) not in at.values():
        at[BEGUN] = min(begun)
    return [_moment(row, event, at_ms) for event, at_ms in at.items()]


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
