"""What the gate asks of the views: which deployment is meant, what is applied, who spent a budget.

For `act`, above the tables. Each answer sees one commit of the views.
"""

import json
from typing import Any, Final, NamedTuple

from sqlalchemy import func, or_, select

from deploymark.errors import IdError
from deploymark.model.ids import parse_occurrence
from deploymark.model.instants import parse_instant
from deploymark.model.vocabulary import Kind, Phase
from deploymark.projections.broker.corrected import lay_over, said_of
from deploymark.projections.broker.tables import ALIAS, RUN
from deploymark.projections.database import Views

MAX_MIGRATIONS: Final = 2_000
"""Schema migrations of one service and environment that are looked through, the newest."""

MAX_LIVED: Final = 1_000
"""Deployments whose requests are counted together, the newest."""

_BEGUN: Final = (
    Phase.APPLYING.value,
    Phase.APPLIED.value,
    Phase.CUTOVER.value,
    Phase.RUNNING.value,
)
_TAKEN_BACK: Final = (Phase.FAILED.value, Phase.ROLLED_BACK.value)


class Lived(NamedTuple):
    """The deployments of a service that may have had requests since some time.

    Attributes:
        ids: Every id of theirs.
        first_ms: When the first one ever of the service went live here; None: none did.
        whole: These are all of them.
    """

    ids: tuple[str, ...]
    first_ms: int | None
    whole: bool


class Arrival(NamedTuple):
    """A deployment that took over traffic, or began to.

    Attributes:
        name: `d-…~1`.
        came_ms: When it was first more than an intent.
        live_ms: When it had all of the traffic; None: it had not, so far.
        ended_ms: When its place was taken, or it was taken back; None while it stands.
        replaces: Another one was live when it went live.
        returns: It brought an older release back.
    """

    name: str
    came_ms: int
    live_ms: int | None
    ended_ms: int | None
    replaces: bool
    returns: bool = False


class GateQuery:
    """Answers the gate; every method waits for the disk.

    Args:
        views: Their database.
    """

    def __init__(self, views: Views) -> None:
        self._views = views

    def is_known(self, service: str, environment: str) -> bool:
        """Tell whether anything was ever said of a service in an environment.

        Raises:
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        statement = select(RUN.c.id).where(*_scope(service, environment)).limit(1)
        with self._views.reading() as connection:
            return connection.execute(statement).first() is not None

    def latest(self, service: str, environment: str) -> str | None:
        """Return the name `d-…~1` of the deployment that opened last, whatever became of it.

        Raises:
            StoreUnavailableError: As `is_known`.
        """
        statement = (
            select(RUN.c.id, RUN.c.number)
            .where(*_scope(service, environment), RUN.c.kind_key == "")
            .order_by(RUN.c.opened_ms.desc(), RUN.c.last_index.desc())
            .limit(1)
        )
        with self._views.reading() as connection:
            row = connection.execute(statement).first()
        return None if row is None else f"{row.id}~{row.number}"

    def named(self, service: str, environment: str, name: str) -> str | None:
        """Return the name `d-…~1` of a deployment of this service here; None: it has none such.

        Args:
            service: Whose.
            environment: Where.
            name: An id or an alias, or one occurrence of it; the newest unless it says which.

        Raises:
            StoreUnavailableError: As `is_known`.
        """
        try:
            identity, number = parse_occurrence(name)
        except IdError:
            return None
        aliased = select(ALIAS.c.id).where(
            ALIAS.c.alias == identity,
            ALIAS.c.service == service,
            ALIAS.c.environment == environment,
        )
        statement = (
            select(RUN.c.id, func.max(RUN.c.number).label("number"))
            .where(*_scope(service, environment), RUN.c.kind_key == "")
            .where(or_(RUN.c.id == identity, RUN.c.id.in_(aliased)))
            .where(*(() if number is None else (RUN.c.number == number,)))
            .group_by(RUN.c.id)
            .order_by(RUN.c.id != identity)
            .limit(1)
        )
        with self._views.reading() as connection:
            row = connection.execute(statement).first()
        return None if row is None else f"{row.id}~{row.number}"

    def taken_back(self, service: str, environment: str, name: str) -> str:
        """Return who took back all that was said of a deployment, "" while some of it stands.

        Args:
            service: Whose.
            environment: Where.
            name: `d-…~1`, as `latest` or `named` returned it.

        Raises:
            StoreUnavailableError: As `is_known`.
        """
        identity, number = parse_occurrence(name)
        here = (*_scope(service, environment), RUN.c.kind_key == "", RUN.c.id == identity)
        with self._views.reading() as connection:
            rows = connection.execute(select(RUN).where(*here, RUN.c.number == number)).all()
            items = [json.loads(row.document) for row in rows]
            lay_over(connection, rows, items)
        return next((said_of(item["retracted"]) for item in items if item["retracted"]), "")

    def applied(self, service: str, environment: str) -> frozenset[str] | None:
        """Return the schema revisions that are applied; None when that cannot be told.

        Where no migration was ever marked nobody knows what is applied.

        Raises:
            StoreUnavailableError: As `is_known`.
        """
        statement = (
            select(RUN.c.document)
            .where(*_scope(service, environment), RUN.c.kind == Kind.SCHEMA_MIGRATION.value)
            .order_by(RUN.c.opened_ms.desc())
            .limit(MAX_MIGRATIONS)
        )
        with self._views.reading() as connection:
            rows = connection.execute(statement).all()
        if not rows or len(rows) == MAX_MIGRATIONS:
            return None
        found: set[str] = set()
        for row in rows:
            document = json.loads(row.document)
            if Phase.APPLIED.value in document["phases"] and document["state"] not in _TAKEN_BACK:
                found.update(filter(None, (document["revision"], document["schema"]["provides"])))
        return frozenset(found)

    def lived(self, service: str, environment: str, since_ms: int) -> Lived:
        """Return the deployments that had not ended at some time.

        Raises:
            StoreUnavailableError: As `is_known`.
        """
        here = (*_scope(service, environment), RUN.c.kind_key == "")
        first = select(func.min(RUN.c.live_ms)).where(*here)
        statement = (
            select(RUN.c.id, RUN.c.document)
            .where(*here, or_(RUN.c.ended_ms.is_(None), RUN.c.ended_ms >= since_ms))
            .order_by(RUN.c.opened_ms.desc())
            .limit(MAX_LIVED)
        )
        with self._views.reading() as connection:
            rows = connection.execute(statement).all()
            first_ms = connection.execute(first).scalar()
        ids: dict[str, None] = {}
        for row in rows:
            ids.update(dict.fromkeys((row.id, *json.loads(row.document)["aliases"])))
        return Lived(tuple(ids), first_ms, len(rows) < MAX_LIVED)

    def arrived(self, service: str, environment: str, since_ms: int) -> list[Arrival]:
        """Return the deployments that came at or after some time, whatever became of them.

        One that nobody announced is none: it would take the blame for what a release does.

        Returns:
            In the order in which they came.

        Raises:
            StoreUnavailableError: As `is_known`.
        """
        statement = (
            select(RUN.c.id, RUN.c.number, RUN.c.live_ms, RUN.c.ended_ms, RUN.c.document)
            .where(*_scope(service, environment), RUN.c.kind_key == "")
            .where(or_(RUN.c.ended_ms.is_(None), RUN.c.ended_ms >= since_ms))
            .order_by(RUN.c.opened_ms.desc())
            .limit(MAX_LIVED)
        )
        with self._views.reading() as connection:
            rows = connection.execute(statement).all()
        found = []
        for row in rows:
            document = json.loads(row.document)
            phases = document["phases"]
            begun = [parse_instant(phases[phase]) for phase in _BEGUN if phase in phases]
            if row.live_ms is not None:
                begun.append(row.live_ms)
            if begun and min(begun) >= since_ms and not document["unplanned"]:
                arrival = Arrival(
                    name=f"{row.id}~{row.number}",
                    came_ms=min(begun),
                    live_ms=row.live_ms,
                    ended_ms=row.ended_ms,
                    replaces=document["previous_deployment_id"] is not None,
                    returns=document["rollback_of"] is not None,
                )
                found.append(arrival)
        return sorted(found, key=lambda each: (each.came_ms, each.name))


def _scope(service: str, environment: str) -> tuple[Any, ...]:
    return (RUN.c.service == service, RUN.c.environment == environment)
