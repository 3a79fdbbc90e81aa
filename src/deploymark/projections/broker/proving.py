"""What verdicts and decisions make of the state of what runs: `verified`, `complete`.

The fold of a scope knows markers alone, and says `running` (`documents.state_of`). Rulings come
later, or earlier, or under an alias; what they prove is therefore added up when it is asked, from
the rows that there are. Nothing of it is stored, so no order of arrival can change it.

Only the platform's own rulings count, about the very occurrence, and not those that the platform
took back. Of its verdicts the newest speaks, of its promotions and rollbacks the last that
succeeded.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select

from deploymark.ingest.callers import LOCAL_PRINCIPAL
from deploymark.projections.broker.corrections import CORRECTION
from deploymark.projections.broker.documents import COMPLETE, IN_PLACE, RUNNING, VERIFIED
from deploymark.projections.broker.rulings import DECISION, VERDICT, Proof
from deploymark.projections.broker.tables import ALIAS, RULING, RUN

_TAKEN_BACK: Final = (
    select(CORRECTION.c.idx)
    .where(CORRECTION.c.about == RULING.c.idx, CORRECTION.c.retracts == 1)
    .exists()
)
_ALIASED: Final = and_(
    ALIAS.c.service == RUN.c.service,
    ALIAS.c.environment == RUN.c.environment,
    ALIAS.c.id == RUN.c.id,
    ALIAS.c.alias == RULING.c.deployment,
)


def _newest(kind: str) -> ColumnElement[Any]:
    """Return what the newest ruling of a kind proves of the run at hand; null for none."""
    newest = (
        select(RULING.c.idx)
        .where(
            RULING.c.occurrence == RUN.c.number,
            RULING.c.type == kind,
            RULING.c.proves.is_not(None),
            RULING.c.principal == LOCAL_PRINCIPAL,
            RULING.c.environment == RUN.c.environment,
            or_(RULING.c.service.is_(None), RULING.c.service == RUN.c.service),
            ~_TAKEN_BACK,
        )
        .order_by(RULING.c.idx.desc())
        .limit(1)
        .correlate(RUN)
    )
    # By its own id and by its aliases apart: so the index has the rulings of the one in their
    # order, and the first will do.
    own = newest.where(RULING.c.deployment == RUN.c.id).scalar_subquery()
    aliased = newest.where(_ALIASED).scalar_subquery()
    last = func.max(func.coalesce(own, -1), func.coalesce(aliased, -1))
    said = RULING.alias("said")
    return select(said.c.proves).where(said.c.idx == last).correlate(RUN).scalar_subquery()


def _proven() -> ColumnElement[str]:
    """Return the state of the run at hand, which runs and is code."""
    deed, verdict = func.coalesce(_newest(DECISION), ""), _newest(VERDICT)
    is_verified = and_(deed != Proof.RETURNED.value, verdict == Proof.VERIFIED.value)
    return case((deed == Proof.PROMOTED.value, COMPLETE), (is_verified, VERIFIED), else_=RUNNING)


STATE: Final = case(
    # Verdicts and decisions are about code.
    (and_(RUN.c.state == RUNNING, RUN.c.kind_key == ""), _proven()),
    else_=RUN.c.state,
)
"""The state of a run, rulings included; one of `documents.STATES`."""


class RunName(NamedTuple):
    """What tells a run from every other."""

    service: str
    environment: str
    id: str
    kind_key: str
    number: int


def name_of(row: Any) -> RunName:  # noqa: ANN401 - a row of RUN
    """Return what a row is about."""
    return RunName(row.service, row.environment, row.id, row.kind_key, row.number)


def states_of(connection: Connection, ids: Iterable[str]) -> dict[RunName, str]:
    """Return the state of every run of some deployments, rulings included."""
    columns = [RUN.c[name] for name in RunName._fields]
    wanted = RUN.c.id.in_(set(ids))
    rows = connection.execute(select(*columns, STATE.label("state")).where(wanted))
    return {name_of(row): row.state for row in rows}


def in_states(states: Iterable[str]) -> ColumnElement[bool]:
    """Return the condition that the state of a run is one of these, rulings included."""
    wanted = set(states)
    # What the fold says decides for most runs; only of those that run more must be asked.
    by_markers = wanted | ({RUNNING} if wanted & IN_PLACE else set())
    condition = RUN.c.state.in_(sorted(by_markers))
    if not wanted & IN_PLACE or wanted >= IN_PLACE:
        return condition
    return and_(condition, STATE.in_(sorted(wanted)))
