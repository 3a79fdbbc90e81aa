"""What is rolled out, as whoever acts looks at it: a deployment, the one beside it, what was ruled.

For `act`, above the tables. Each answer sees one commit of the views and says which; whoever acts
on it makes sure that it contains all that they said themselves.
"""

import json
from collections import deque
from collections.abc import Sequence
from threading import Lock
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select

from deploymark.ingest.callers import LOCAL_PRINCIPAL
from deploymark.model.entries import Decision, Verdict
from deploymark.model.ids import parse_occurrence
from deploymark.model.vocabulary import FindingCode, Kind, Track
from deploymark.projections.broker.proving import name_of, states_of
from deploymark.projections.broker.rulings import DECISION, GATE, GLASS, VERDICT
from deploymark.projections.broker.running import JOINED, MAIN, RUNNING, STATUS
from deploymark.projections.broker.tables import ALIAS, FINDING, INSTANCE, RULING, RUN
from deploymark.projections.broker.view import NAME
from deploymark.projections.cursors import projected_size
from deploymark.projections.database import Views

MAX_STANDING: Final = 64
"""Standing deployments of one service and environment that are looked through, the newest."""

MAX_RULED: Final = 10_000
"""Verdicts and decisions of one deployment that are read, the newest."""

MAX_DECISIONS: Final = 2_000
"""Decisions of one action, of all services, that are looked back on, the newest."""

PLANNED: Final = "planned"
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
        other: Those with another digest, on any basis; at least one while a `digest_mismatch`
            about the deployment is open, because who is seen with it counts as another's.
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
        previous: Where nothing runs beside it: the one that it replaced, which may be over.
        past: What was decided about the stable, or else the previous one.
    """

    service: str
    environment: str
    canary: Side
    stable: Side | None
    baseline: frozenset[str]
    ruled: tuple[Ruled, ...]
    previous: Side | None = None
    past: tuple[Ruled, ...] = ()


class RollingQuery:
    """Answers what is rolled out; every method waits for the disk.

    Args:
        views: Their database.
    """

    def __init__(self, views: Views) -> None:
        self._views = views
        self._lock = Lock()
        self._known: dict[str, deque[Ruled]] = {}

    def size(self) -> int:
        """Return how many entries the broker has seen.

        Raises:
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        with self._views.reading() as connection:
            return projected_size(connection, NAME)

    def newest(self, service: str, environment: str) -> Rolling | None:
        """Return the newest deployment of a service that is more than an intent, if any stands.

        One that nobody announced is none: an instance that was seen with a strange digest would
        otherwise take the place of the release that is rolled out, and hide it.

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
            for place, row in enumerate(rows):
                if row.state != PLANNED and not json.loads(row.document)["unplanned"]:
                    others = [each for each in rows[place + 1 :] if each.state != PLANNED]
                    return self._rolling(connection, row, others)
        return None

    def standing(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Return by service and environment how many deployments stand, and their newest entry.

        Raises:
            StoreUnavailableError: As `size`.
        """
        statement = (
            select(RUN.c.service, RUN.c.environment, func.count(), func.max(RUN.c.last_index))
            .where(RUN.c.watch == 1, RUN.c.kind_key == "")
            .group_by(RUN.c.service, RUN.c.environment)
        )
        with self._views.reading() as connection:
            rows = connection.execute(statement).all()
        return {(row[0], row[1]): (row[2], row[3]) for row in rows}

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
        # Each action for itself: the many of one kind do not crowd out the few of another.
        found = [each for action in DEEDS for each in self._decided(action, MAX_DECISIONS)]
        return sorted(found, key=lambda each: each.idx)

    def orders(self) -> list[Ruled]:
        """Return what holds until it is taken back: freezes, quarantines and adoptions.

        Raises:
            StoreUnavailableError: As `size`.
        """
        found = [each for action in ORDERS for each in self._decided(action, MAX_RULED)]
        return sorted(found, key=lambda each: each.idx)

    def glasses(self) -> list[Ruled]:
        """Return the newest gates that a person opened, in the order of the log.

        Raises:
            StoreUnavailableError: As `size`.
        """
        return self._decided(GLASS, MAX_DECISIONS)

    def failed(self, environment: str) -> list[Ruled]:
        """Return the newest verdicts of an environment that said `fail`, in the order of the log.

        Raises:
            StoreUnavailableError: As `size`.
        """
        condition = and_(RULING.c.type == VERDICT, RULING.c.result == FAIL)
        return self._newest(
            f"fail {environment}", condition, RULING.c.environment == environment, MAX_DECISIONS
        )

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
                RUN.c.live_ms >= since_ms,
            )
            .order_by(RUN.c.live_ms.desc())
            .limit(MAX_STANDING)
        )
        with self._views.reading() as connection:
            return [json.loads(each.document) for each in connection.execute(statement)]

    def _decided(self, action: str, limit: int) -> list[Ruled]:
        return self._newest(action, RULING.c.type == DECISION, RULING.c.action == action, limit)

    def _newest(
        self, name: str, kind: ColumnElement[bool], about: ColumnElement[bool], limit: int
    ) -> list[Ruled]:
        """Return the newest rulings of a kind; what was read before is not read again."""
        with self._lock, self._views.reading() as connection:
            known = self._known.setdefault(name, deque(maxlen=limit))
            after = known[-1].idx if known else -1
            rows = connection.execute(
                select(RULING)
                .where(kind, about, RULING.c.principal == LOCAL_PRINCIPAL, RULING.c.idx > after)
                .order_by(RULING.c.idx.desc())
                .limit(limit)
            ).all()
            known.extend(_ruled(row) for row in reversed(rows))
            return list(known)

    def _rolling(self, connection: Connection, row: Any, others: Sequence[Any]) -> Rolling:  # noqa: ANN401 - rows of RUN
        stable = next((each for each in others if each.live_ms is not None), None)
        canary = _side(connection, row)
        beside = None if stable is None else _side(connection, stable)
        previous, target = None, stable
        if stable is None:
            target = _named(connection, row, canary.document["previous_deployment_id"])
            previous = None if target is None else _side(connection, target)
        side = beside or previous
        past = () if side is None else _about(connection, target, side, VERDICT)
        return Rolling(
            row.service,
            row.environment,
            canary,
            beside,
            frozenset() if stable is None else _baseline(connection, stable),
            _about(connection, row, canary),
            previous,
            past,
        )


def _scope(service: str, environment: str) -> tuple[Any, ...]:
    return (
        RUN.c.kind_key == "",
        RUN.c.service == service,
        RUN.c.environment == environment,
    )


def _side(connection: Connection, row: Any) -> Side:  # noqa: ANN401 - a row of RUN
    document = json.loads(row.document)
    document["state"] = states_of(connection, [row.id])[name_of(row)]
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
    wrong = connection.scalar(
        select(func.count())
        .select_from(FINDING)
        .where(
            FINDING.c.code == FindingCode.DIGEST_MISMATCH.value,
            FINDING.c.deployment_id == f"{row.id}~{row.number}",
            FINDING.c.service == row.service,
            FINDING.c.environment == row.environment,
            FINDING.c.closed_ms.is_(None),
        )
    )
    started, running, observed, other = found
    return Bound(started, running, observed, max(other, wrong or 0))


def _baseline(connection: Connection, row: Any) -> frozenset[str]:  # noqa: ANN401 - a row of RUN
    rows = connection.execute(
        select(INSTANCE.c.uid)
        .select_from(JOINED)
        .where(*_of_run(row), RUNNING, INSTANCE.c.track == Track.BASELINE.value)
        .order_by(INSTANCE.c.uid)
        .limit(MAX_REPLICAS)
    )
    return frozenset(each.uid for each in rows)


def _named(connection: Connection, row: Any, name: str | None) -> Any:  # noqa: ANN401 - rows of RUN
    """Return another run of the same service and environment, None when it is not known."""
    if name is None:
        return None
    identity, number = parse_occurrence(name)
    return connection.execute(
        select(RUN).where(
            RUN.c.id == identity,
            RUN.c.number == (number or 1),
            *_scope(row.service, row.environment),
        )
    ).first()


def _about(
    connection: Connection,
    row: Any,  # noqa: ANN401 - a row of RUN
    side: Side,
    without: str = "",
) -> tuple[Ruled, ...]:
    """Return what was ruled about a run; decisions and verdicts do not crowd each other out."""
    rows: list[Any] = []
    for kind in (DECISION, VERDICT):
        if kind == without:
            continue
        statement = (
            select(RULING)
            .where(
                RULING.c.deployment.in_(side.ids),
                RULING.c.type == kind,
                RULING.c.principal == LOCAL_PRINCIPAL,
                RULING.c.environment == row.environment,
                RULING.c.action.not_in((GATE, GLASS)),
                or_(RULING.c.service.is_(None), RULING.c.service == row.service),
                or_(RULING.c.occurrence.is_(None), RULING.c.occurrence == row.number),
            )
            .order_by(RULING.c.idx.desc())
            .limit(MAX_RULED)
        )
        rows += connection.execute(statement).all()
    return tuple(_ruled(each) for each in sorted(rows, key=lambda each: each.idx))


def _ruled(row: Any) -> Ruled:  # noqa: ANN401 - a row of RULING
    document = json.loads(row.document)
    index, received_at = document.pop("index"), document.pop("received_at")
    kind: Any = Verdict if row.type == VERDICT else Decision
    return Ruled(index, received_at, msgspec.convert(document, kind))
