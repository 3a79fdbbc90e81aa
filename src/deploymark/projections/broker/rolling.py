"""What is rolled out, as whoever acts looks at it: a deployment, the one beside it, what was ruled.

For `act`, above the tables. Each answer sees one commit of the views and says which; whoever acts
on it makes sure that it contains all that they said themselves.
"""

import json
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Select

from deploymark.decoding import convert
from deploymark.model.entries import Decision, Verdict
from deploymark.model.ids import parse_occurrence
from deploymark.projections.broker import rolling_statements as statements
from deploymark.projections.broker.rulings import DECISION, GLASS, VERDICT
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
DEEDS: Final = ("shift", "promote", "pause", "resume", "roll_back", "approve")
ORDERS: Final = ("freeze", "unfreeze", "quarantine", "release", "adopt")

MAX_REPLICAS: Final = 1_000
"""Instances of a baseline that are named."""


MAX_ANSWERS: Final = 32
"""Deployments of which the answer is kept until the views have seen more, those asked for last."""


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


class _Known:
    """The newest rulings about one thing, as far as they were read."""

    def __init__(self, limit: int) -> None:
        self.size = -1  # of the log as the views had seen it
        self.ruled: deque[Ruled] = deque(maxlen=limit)

    def learn(self, connection: Connection, statement: Select[Any], about: str) -> None:
        """Read what came since."""
        after = self.ruled[-1].idx if self.ruled else -1
        asked = {"about": about, "after": after, "limit": self.ruled.maxlen}
        rows = connection.execute(statement, asked).all()
        self.ruled.extend(_ruled(row) for row in reversed(rows))


class RollingQuery:
    """Answers what is rolled out; every method waits for the disk.

    Args:
        views: Their database.
    """

    def __init__(self, views: Views) -> None:
        self._views = views
        self._lock = Lock()
        self._known: dict[tuple[Select[Any], str], _Known] = {}
        self._answers: OrderedDict[tuple[str, ...], tuple[int, Rolling | None]] = OrderedDict()

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

        def find(connection: Connection) -> Rolling | None:
            asked = {"service": service, "environment": environment, "limit": MAX_STANDING}
            rows = connection.execute(statements.NEWEST, asked).all()
            for place, row in enumerate(rows):
                if row.state != PLANNED and not json.loads(row.document)["unplanned"]:
                    others = [each for each in rows[place + 1 :] if each.state != PLANNED]
                    return self._rolling(connection, row, others)
            return None

        return self._answered((service, environment), find)

    def standing(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Return by service and environment how many deployments stand, and their newest entry.

        Raises:
            StoreUnavailableError: As `size`.
        """
        with self._views.reading() as connection:
            rows = connection.execute(statements.STANDING).all()
        return {(row[0], row[1]): (row[2], row[3]) for row in rows}

    def named(self, service: str, environment: str, name: str) -> Rolling | None:
        """Return a deployment by its name `d-…~1`, whether it stands or not; None: unknown.

        Raises:
            StoreUnavailableError: As `size`.
            IdError: The name is none.
        """

        def find(connection: Connection) -> Rolling | None:
            row = _named(connection, service, environment, name)
            if row is None:
                return None
            asked = {"service": service, "environment": environment, "limit": MAX_STANDING}
            asked["opened_ms"] = row.opened_ms
            beside = connection.execute(statements.BESIDE, asked).all()
            others = [each for each in beside if (each.id, each.number) != (row.id, row.number)]
            return self._rolling(connection, row, others)

        return self._answered((service, environment, name), find)

    def scopes(self, identity: str) -> list[tuple[str, str, str, int]]:
        """Return where a deployment is known: service, environment, id, newest occurrence.

        Args:
            identity: Its id or an alias.

        Raises:
            StoreUnavailableError: As `size`.
        """
        with self._views.reading() as connection:
            rows = connection.execute(statements.SCOPES, {"identity": identity})
            return [tuple(row) for row in rows]

    def deeds(self) -> list[Ruled]:
        """Return the newest decisions about what runs, of all services, in the order of the log.

        Raises:
            StoreUnavailableError: As `size`.
        """
        # Each action for itself: the many of one kind do not crowd out the few of another.
        return self._newest(statements.DECIDED, DEEDS, MAX_DECISIONS)

    def orders(self) -> list[Ruled]:
        """Return what holds until it is taken back: freezes, quarantines and adoptions.

        Raises:
            StoreUnavailableError: As `size`.
        """
        return self._newest(statements.DECIDED, ORDERS, MAX_RULED)

    def glasses(self) -> list[Ruled]:
        """Return the newest gates that a person opened, in the order of the log.

        Raises:
            StoreUnavailableError: As `size`.
        """
        return self._newest(statements.DECIDED, (GLASS,), MAX_DECISIONS)

    def failed(self, environment: str) -> list[Ruled]:
        """Return the newest verdicts of an environment that said `fail`, in the order of the log.

        Raises:
            StoreUnavailableError: As `size`.
        """
        return self._newest(statements.FAILED, (environment,), MAX_DECISIONS)

    def migrations(self, service: str, environment: str, since_ms: int) -> list[dict[str, Any]]:
        """Return the schema migrations of a service that went live since then, newest first.

        Raises:
            StoreUnavailableError: As `size`.
        """
        asked = {"service": service, "environment": environment, "limit": MAX_STANDING}
        asked["since_ms"] = since_ms
        with self._views.reading() as connection:
            rows = connection.execute(statements.MIGRATIONS, asked)
            return [json.loads(each.document) for each in rows]

    def _answered(
        self, asked: tuple[str, ...], find: Callable[[Connection], Rolling | None]
    ) -> Rolling | None:
        """Return an answer, found anew only when the views have seen more: it follows from entries.

        A controller looks at every turn at rollouts to which something happens each minute.
        """
        with self._views.reading() as connection:
            size = projected_size(connection, NAME)
            with self._lock:
                known = self._answers.get(asked)
            if known is None or known[0] != size:
                known = (size, find(connection))
        with self._lock:
            self._answers[asked] = known
            self._answers.move_to_end(asked)
            while len(self._answers) > MAX_ANSWERS:
                self._answers.popitem(last=False)
        return known[1]

    def _newest(self, statement: Select[Any], abouts: Sequence[str], limit: int) -> list[Ruled]:
        """Return the newest rulings about each of these; what was read before is not read again."""
        found: list[Ruled] = []
        with self._lock, self._views.reading() as connection:
            size = projected_size(connection, NAME)
            for about in abouts:
                known = self._known.setdefault((statement, about), _Known(limit))
                if known.size != size:  # rulings are entries: without a new one, there is no more
                    known.learn(connection, statement, about)
                    known.size = size
                found += known.ruled
        return sorted(found, key=lambda each: each.idx)

    def _rolling(self, connection: Connection, row: Any, others: Sequence[Any]) -> Rolling:  # noqa: ANN401 - rows of RUN
        stable = next((each for each in others if each.live_ms is not None), None)
        canary = _side(connection, row)
        beside = None if stable is None else _side(connection, stable)
        previous, target = None, stable
        if stable is None:
            before = canary.document["previous_deployment_id"]
            if before is not None:
                target = _named(connection, row.service, row.environment, before)
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


def _side(connection: Connection, row: Any) -> Side:  # noqa: ANN401 - a row of RUN
    document = json.loads(row.document)
    document["state"] = connection.scalar(statements.SHOWN_STATE, _asked(row))
    ids = (row.id, *document["aliases"])
    return Side(
        f"{row.id}~{row.number}", ids, document, row.ended_ms is not None, _bound(connection, row)
    )


def _asked(row: Any, **more: object) -> dict[str, object]:  # noqa: ANN401 - a row of RUN
    """Return what statements about a run are given."""
    scope = {"service": row.service, "environment": row.environment}
    return {**scope, "id": row.id, "number": row.number, **more}


def _bound(connection: Connection, row: Any) -> Bound:  # noqa: ANN401 - a row of RUN
    asked = _asked(row, name=f"{row.id}~{row.number}")
    started, running, observed, other = connection.execute(statements.COUNTS, asked).one()
    wrong = connection.scalar(statements.MISMATCHES, asked)
    return Bound(started, running, observed, max(other, wrong or 0))


def _baseline(connection: Connection, row: Any) -> frozenset[str]:  # noqa: ANN401 - a row of RUN
    rows = connection.execute(statements.BASELINE, _asked(row, limit=MAX_REPLICAS))
    return frozenset(each.uid for each in rows)


def _named(connection: Connection, service: str, environment: str, name: str) -> Any:  # noqa: ANN401 - a row of RUN
    """Return the run of a service and environment that has a name, None when it is not known."""
    identity, number = parse_occurrence(name)
    asked = {"service": service, "environment": environment, "id": identity, "number": number or 1}
    return connection.execute(statements.NAMED, asked).first()


def _about(
    connection: Connection,
    row: Any,  # noqa: ANN401 - a row of RUN
    side: Side,
    without: str = "",
) -> tuple[Ruled, ...]:
    """Return what was ruled about a run; decisions and verdicts do not crowd each other out."""
    rows: list[Any] = []
    for kind in (DECISION, VERDICT):
        if kind != without:
            asked = _asked(row, ids=side.ids, kind=kind, limit=MAX_RULED)
            rows += connection.execute(statements.ABOUT, asked).all()
    return tuple(_ruled(each) for each in sorted(rows, key=lambda each: each.idx))


def _ruled(row: Any) -> Ruled:  # noqa: ANN401 - a row of RULING
    document = json.loads(row.document)
    index, received_at = document.pop("index"), document.pop("received_at")
    kind: Any = Verdict if row.type == VERDICT else Decision
    return Ruled(index, received_at, convert(document, kind))
