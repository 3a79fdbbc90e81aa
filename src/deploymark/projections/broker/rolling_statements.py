"""The statements that `rolling` asks the views with, written once.

A controller asks the same dozen of questions at every turn. SQLAlchemy spends several times as
long on putting a statement together as SQLite does on answering it, so each is put together here,
once, and given its values when it is asked. What the answers mean is said in `rolling`.
"""

from typing import Any, Final

from sqlalchemy import Integer, Select, Text, bindparam, case, func, or_, select

from deploymark.ingest.callers import LOCAL_PRINCIPAL
from deploymark.model.vocabulary import FindingCode, Kind, Track
from deploymark.projections.broker.proving import STATE
from deploymark.projections.broker.rulings import DECISION, GATE, GLASS, VERDICT
from deploymark.projections.broker.running import JOINED, MAIN, RUNNING, STATUS
from deploymark.projections.broker.tables import ALIAS, FINDING, INSTANCE, RULING, RUN

_SERVICE: Final = bindparam("service", type_=Text)
_ENVIRONMENT: Final = bindparam("environment", type_=Text)
_ID: Final = bindparam("id", type_=Text)
_NUMBER: Final = bindparam("number", type_=Integer)
_LIMIT: Final = bindparam("limit", type_=Integer)
_SCOPE = (RUN.c.kind_key == "", RUN.c.service == _SERVICE, RUN.c.environment == _ENVIRONMENT)
_OF_RUN = (
    MAIN.c.service == _SERVICE,
    MAIN.c.environment == _ENVIRONMENT,
    MAIN.c.id == _ID,
    MAIN.c.number == _NUMBER,
)


def _counted(condition: Any) -> Any:  # noqa: ANN401 - parts of a statement
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


STANDING: Final = (
    select(RUN.c.service, RUN.c.environment, func.count(), func.max(RUN.c.last_index))
    .where(RUN.c.watch == 1, RUN.c.kind_key == "")
    .group_by(RUN.c.service, RUN.c.environment)
)
"""How many deployments stand in each scope, and the newest entry of them."""

NEWEST: Final = (
    select(RUN)
    .where(RUN.c.watch == 1, *_SCOPE)
    .order_by(RUN.c.opened_ms.desc(), RUN.c.id, RUN.c.number)
    .limit(_LIMIT)
)
"""What stands in a scope (`service`, `environment`), newest first."""

BESIDE: Final = NEWEST.where(RUN.c.opened_ms <= bindparam("opened_ms"))
"""The same, of what came no later."""

NAMED: Final = select(RUN).where(RUN.c.id == _ID, RUN.c.number == _NUMBER, *_SCOPE)
"""One occurrence (`id`, `number`) in a scope."""

SHOWN_STATE: Final = select(STATE).where(RUN.c.id == _ID, RUN.c.number == _NUMBER, *_SCOPE)
"""Its state, rulings included."""

SCOPES: Final = (
    select(RUN.c.service, RUN.c.environment, RUN.c.id, func.max(RUN.c.number))
    .where(
        RUN.c.kind_key == "",
        or_(
            RUN.c.id == bindparam("identity"),
            RUN.c.id.in_(select(ALIAS.c.id).where(ALIAS.c.alias == bindparam("identity"))),
        ),
    )
    .group_by(RUN.c.service, RUN.c.environment, RUN.c.id)
    .order_by(RUN.c.service, RUN.c.environment, RUN.c.id)
)
"""Where a deployment is known by an id or alias (`identity`)."""

MIGRATIONS: Final = (
    select(RUN.c.document)
    .where(
        RUN.c.service == _SERVICE,
        RUN.c.environment == _ENVIRONMENT,
        RUN.c.kind == Kind.SCHEMA_MIGRATION.value,
        RUN.c.live_ms >= bindparam("since_ms"),
    )
    .order_by(RUN.c.live_ms.desc())
    .limit(_LIMIT)
)
"""Schema migrations of a service since `since_ms`, newest first."""

COUNTS: Final = (
    select(
        func.count(),
        _counted(RUNNING),
        _counted(STATUS == "confirmed"),
        _counted(STATUS == "mismatched"),
    )
    .select_from(JOINED)
    .where(*_OF_RUN)
)
"""The instances of a run: all, those that run, those confirmed, those that are another's."""

MISMATCHES: Final = select(func.count()).where(
    FINDING.c.code == FindingCode.DIGEST_MISMATCH.value,
    FINDING.c.deployment_id == bindparam("name"),
    FINDING.c.service == _SERVICE,
    FINDING.c.environment == _ENVIRONMENT,
    FINDING.c.closed_ms.is_(None),
)
"""How many open findings say that a deployment (`name`) runs another digest."""

BASELINE: Final = (
    select(INSTANCE.c.uid)
    .select_from(JOINED)
    .where(*_OF_RUN, RUNNING, INSTANCE.c.track == Track.BASELINE.value)
    .order_by(INSTANCE.c.uid)
    .limit(_LIMIT)
)
"""Instances of a run that are a fresh group to compare with."""

ABOUT: Final = (
    select(RULING)
    .where(
        RULING.c.deployment.in_(bindparam("ids", expanding=True)),
        RULING.c.type == bindparam("kind"),
        RULING.c.principal == LOCAL_PRINCIPAL,
        RULING.c.environment == _ENVIRONMENT,
        RULING.c.action.not_in((GATE, GLASS)),
        or_(RULING.c.service.is_(None), RULING.c.service == _SERVICE),
        or_(RULING.c.occurrence.is_(None), RULING.c.occurrence == _NUMBER),
    )
    .order_by(RULING.c.idx.desc())
    .limit(_LIMIT)
)
"""What was ruled about a run under any of its `ids`, newest first."""


def _ruled(*conditions: Any) -> Select[Any]:  # noqa: ANN401 - parts of a statement
    mine = (RULING.c.principal == LOCAL_PRINCIPAL, RULING.c.idx > bindparam("after"))
    return select(RULING).where(*conditions, *mine).order_by(RULING.c.idx.desc()).limit(_LIMIT)


DECIDED: Final = _ruled(RULING.c.type == DECISION, RULING.c.action == bindparam("about"))
"""Decisions of one action (`about`) since the entry `after`, newest first."""

FAILED: Final = _ruled(
    RULING.c.type == VERDICT, RULING.c.result == "fail", RULING.c.environment == bindparam("about")
)
"""Verdicts of an environment (`about`) that said `fail`, since the entry `after`, newest first."""
