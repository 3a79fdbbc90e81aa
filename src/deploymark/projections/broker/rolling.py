"""What is rolled out, as whoever acts looks at it: a deployment, the one beside it, what was ruled.

For `act`, above the tables. Each answer sees one commit of the views and says which; whoever acts
on it makes sure that it contains all that they said themselves.
"""

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, case, func, or_, select

from deploymark.ingest.callers import LOCAL_PRINCIPAL
from deploymark.model.entries import Decision, Verdict
from deploymark.model.ids import parse_occurrence
from deploymark.model.vocabulary import Kind, Track
from deploymark.projections.broker.rulings import DECISION, GATE, GLASS, VERDICT
from deploymark.projections.broker.running import JOINED, MAIN, RUNNING, STATUS
from deploymark.projections.broker.tables import ALIAS, INSTANCE, RULING, RUN
from deploymark.projections.broker.view import NAME
from deploymark.projections.cursors import projected_size
from deploymark.projections.database import Views

MAX_STANDING: Final = 64
"""Standing deployments of one service and environment that are looked through, the newest."""

MAX_RULED: Final = 10_000
"""Verdicts and decisions of one deployment that are read, the newest."""

MAX_DECISIONS: Final = 2_000
"""Decisions of all services that are looked back on, the newest."""

FAIL: Final = "fail"
DEEDS: Final = ("shift", "promote", "pause", "resume", "roll_back", "approve")
ORDERS: Final = ("freeze", "unfreeze", "quarantine", "release", "adopt")

MAX_REPLICAS: Final = 1_000
"""Instances of a baseline that are named."""


class Bound(NamedTuple):
    """The instances of a deployment that ever started, by what is known of them.

    Attributes:
        started: All of them, those that ended too.
        running: Those that run.
        observed: Those seen with its digest by somebody independent.
        other: Those with another digest, on any basis.
    """

    started: int = 0
    running: int = 0
    observed: int = 0
    other: int = 0


class Ruled(NamedTuple):
    """One verdict or decision that the platform itself wrote."""

    idx: int
    received_at: str
    said: Verdict | Decision


class Side(NamedTuple):
    """One of the deployments of a rollout.

    Attributes:
        name: `d-…~1`.
        ids: Every id that it is known under.
        document: As the interface shows it, without what belongs to other tables.
        is_over: It ended: superseded, rolled back, failed, removed.
        bound: Its instances.
    """

    name: str
    ids: tuple[str, ...]
    document: dict[str, Any]
    is_over: bool
    bound: Bound


class Rolling(NamedTuple):
    """A deployment that is rolled out, or was a moment ago.

    Attributes:
        service, environment: Where.
        canary: The deployment.
        stable: The one that was live when it came and still stands; None: nothing runs beside it.
        baseline: Instances of the stable one that run as a fresh group, by their uids.
        ruled: What was ruled about the canary, in the order of the log.
    """

    service: str
    environment: str
    canary: Side
    stable: Side | None
    baseline: frozenset[str]
    ruled: tuple[Ruled, ...]


class RollingQuery:
    """Answers what is rolled out; every method waits for the disk.

    Args:
        views: Their database.
    """

    def __init__(self, views: Views) -> None:
        self._views = views

    def size(self) -> int:
        """Return how many entries the broker has seen.

        Raises:
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        with self._views.reading() as connection:
            return projected_size(connection, NAME)

    def newest(self, service: str, environment: str) -> Rolling | None:
        """Return the newest deployment of a service that is more than an intent, if any stands.

        Raises:
            StoreUnavailableError: As `size`.
        """
        with self._views.reading() as connection:
            rows = connection.execute(
                select(RUN)
                .where(RUN.c.watch == 1, *_scope(service, environment))
                .order_by(RUN.c.opened_ms.desc(), RUN.c.id, RUN.c.number)
                .limit(MAX_STANDING)
            ).all()
            begun = [row for row in rows if row.state != "planned"]
            return self._rolling(connection, begun[0], begun[1:]) if begun else None

    def named(self, service: str, environment: str, name: str) -> Rolling | None:
        """Return a deployment by its name `d-…~1`, whether it stands or not; None: unknown.

        Raises:
            StoreUnavailableError: As `size`.
            IdError: The name is none.
        """
        identity, number = parse_occurrence(name)
        with self._views.reading() as connection:
            row = connection.execute(
                select(RUN).where(
                    RUN.c.id == identity,
                    RUN.c.number == (number or 1),
                    *_scope(service, environment),
                )
            ).first()
            if row is None:
                return None
            beside = connection.execute(
                select(RUN)
                .where(RUN.c.watch == 1, *_scope(service, environment))
                .where(RUN.c.opened_ms <= row.opened_ms)
                .order_by(RUN.c.opened_ms.desc(), RUN.c.id, RUN.c.number)
                .limit(MAX_STANDING)
            ).all()
            others = [each for each in beside if (each.id, each.number) != (row.id, row.number)]
            return self._rolling(connection, row, others)

    def scopes(self, identity: str) -> list[tuple[str, str, str, int]]:
        """Return where a deployment is known: service, environment, id, newest occurrence.

        Args:
            identity: Its id or an alias.

        Raises:
            StoreUnavailableError: As `size`.
        """
        aliased = select(ALIAS.c.id).where(ALIAS.c.alias == identity)
        statement = (
            select(RUN.c.service, RUN.c.environment, RUN.c.id, func.max(RUN.c.number))
            .where(RUN.c.kind_key == "", or_(RUN.c.id == identity, RUN.c.id.in_(aliased)))
            .group_by(RUN.c.service, RUN.c.environment, RUN.c.id)
            .order_by(RUN.c.service, RUN.c.environment, RUN.c.id)
        )
        with self._views.reading() as connection:
            return [tuple(row) for row in connection.execute(statement)]

    def deeds(self) -> list[Ruled]:
        """Return the newest decisions about what runs, of all services, in the order of the log.

        Raises:
            StoreUnavailableError: As `size`.
        """
        return self._decided(RULING.c.action.in_(DEEDS), MAX_DECISIONS)

    def orders(self) -> list[Ruled]:
        """Return what holds until it is taken back: freezes, quarantines and adoptions.

        Raises:
            StoreUnavailableError: As `size`.
        """
        return self._decided(RULING.c.action.in_(ORDERS), MAX_RULED)

    def glasses(self) -> list[Ruled]:
        """Return the newest gates that a person opened, in the order of the log.

        Raises:
            StoreUnavailableError: As `size`.
        """
        return self._decided(RULING.c.action == GLASS, MAX_DECISIONS)

    def failed(self, environment: str) -> list[Ruled]:
        """Return the newest verdicts of an environment that said `fail`, in the order of the log.

        Raises:
            StoreUnavailableError: As `size`.
        """
        statement = (
            select(RULING)
            .where(
                RULING.c.type == VERDICT,
                RULING.c.result == FAIL,
                RULING.c.principal == LOCAL_PRINCIPAL,
                RULING.c.environment == environment,
            )
            .order_by(RULING.c.idx.desc())
            .limit(MAX_DECISIONS)
        )
        with self._views.reading() as connection:
            rows = connection.execute(statement).all()
        return [_ruled(row) for row in reversed(rows)]

    def migrations(self, service: str, environment: str, since_ms: int) -> list[dict[str, Any]]:
        """Return the schema migrations of a service that went live since then, newest first.

        Raises:
            StoreUnavailableError: As `size`.
        """
        statement = (
            select(RUN.c.document)
            .where(
                RUN.c.service == service,
                RUN.c.environment == environment,
                RUN.c.kind == Kind.SCHEMA_MIGRATION.value,
                RUN.c.opened_ms >= since_ms,
                RUN.c.live_ms.is_not(None),
            )
            .order_by(RUN.c.opened_ms.desc())
            .limit(MAX_STANDING)
        )
        with self._views.reading() as connection:
            return [json.loads(each.document) for each in connection.execute(statement)]

    def _decided(self, wanted: ColumnElement[bool], limit: int) -> list[Ruled]:
        statement = (
            select(RULING)
            .where(RULING.c.type == DECISION, RULING.c.principal == LOCAL_PRINCIPAL, wanted)
            .order_by(RULING.c.idx.desc())
            .limit(limit)
        )
        with self._views.reading() as connection:
            rows = connection.execute(statement).all()
        return [_ruled(row) for row in reversed(rows)]

    def _rolling(self, connection: Connection, row: Any, others: Sequence[Any]) -> Rolling:  # noqa: ANN401 - rows of RUN
        stable = next((each for each in others if each.live_ms is not None), None)
        canary = _side(connection, row)
        return Rolling(
            row.service,
            row.environment,
            canary,
            None if stable is None else _side(connection, stable),
            frozenset() if stable is None else _baseline(connection, stable),
            _about(connection, row, canary),
        )


def _scope(service: str, environment: str) -> tuple[Any, ...]:
    return (
        RUN.c.kind_key == "",
        RUN.c.service == service,
        RUN.c.environment == environment,
    )


def _side(connection: Connection, row: Any) -> Side:  # noqa: ANN401 - a row of RUN
    document = json.loads(row.document)
    ids = (row.id, *document["aliases"])
    return Side(
        f"{row.id}~{row.number}", ids, document, row.ended_ms is not None, _bound(connection, row)
    )


def _of_run(row: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a row of RUN
    return (
        MAIN.c.service == row.service,
        MAIN.c.environment == row.environment,
        MAIN.c.id == row.id,
        MAIN.c.number == row.number,
    )


def _bound(connection: Connection, row: Any) -> Bound:  # noqa: ANN401 - a row of RUN
    def counted(condition: Any) -> Any:  # noqa: ANN401 - parts of a statement
        return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)

    found = connection.execute(
        select(
            func.count(),
            counted(RUNNING),
            counted(STATUS == "confirmed"),
            counted(STATUS == "mismatched"),
        )
        .select_from(JOINED)
        .where(*_of_run(row))
    ).one()
    return Bound(*found)


def _baseline(connection: Connection, row: Any) -> frozenset[str]:  # noqa: ANN401 - a row of RUN
    rows = connection.execute(
        select(INSTANCE.c.uid)
        .select_from(JOINED)
        .where(*_of_run(row), RUNNING, INSTANCE.c.track == Track.BASELINE.value)
        .order_by(INSTANCE.c.uid)
        .limit(MAX_REPLICAS)
    )
    return frozenset(each.uid for each in rows)


def _about(connection: Connection, row: Any, canary: Side) -> tuple[Ruled, ...]:  # noqa: ANN401 - a row of RUN
    rows = connection.execute(
        select(RULING)
        .where(
            RULING.c.deployment.in_(canary.ids),
            RULING.c.principal == LOCAL_PRINCIPAL,
            RULING.c.environment == row.environment,
            RULING.c.action.not_in((GATE, GLASS)),
            or_(RULING.c.service.is_(None), RULING.c.service == row.service),
            or_(RULING.c.occurrence.is_(None), RULING.c.occurrence == row.number),
        )
        .order_by(RULING.c.idx.desc())
        .limit(MAX_RULED)
    ).all()
    return tuple(_ruled(each) for each in reversed(rows))


def _ruled(row: Any) -> Ruled:  # noqa: ANN401 - a row of RULING
    document = json.loads(row.document)
    index, received_at = document.pop("index"), document.pop("received_at")
    kind: Any = Verdict if row.type == VERDICT else Decision
    return Ruled(index, received_at, msgspec.convert(document, kind))
