"""Reads the timeline, each event with the deployment that the broker gives it to.

A word that names no deployment was joined to one by the broker, which may change its mind with
late news. So the timeline keeps under what an entry was filed, and the joins are looked up for the
events of one page, in the same commit of the views.

What cannot be known: the broker lists the first `MAX_JOINS` joins of an occurrence. An event beyond
them has `rule` null and is shown with the deployment under which it was filed, aliases resolved.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    Text,
    and_,
    bindparam,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
)

from deploymark.model.instants import format_instant
from deploymark.model.vocabulary import Kind, Phase
from deploymark.projections.broker.corrected import NONE, Corrections, corrections_about
from deploymark.projections.broker.fit import EARLY_MS
from deploymark.projections.broker.questions import (
    Item,
    Items,
    Values,
    check_words,
    instant_of,
    named,
)
from deploymark.projections.broker.tables import ALIAS, RUN
from deploymark.projections.broker.view import NAME as BROKER
from deploymark.projections.cursors import projected_size
from deploymark.projections.database import Views
from deploymark.projections.paging import DEFAULT_LIMIT, check_limit, read_cursor, write_cursor
from deploymark.projections.timeline import EVENT, EVENT_TYPES, NAME

MAX_RUNS: Final = 64
"""Occurrences of a service in an environment, beside one for each event, in which a join is sought:
those that opened last before the newest event of the page."""

MAX_NAMED: Final = 256
"""Occurrences of the deployments that a query names, the newest of them."""

_KEY = (EVENT.c.at_ms, EVENT.c.idx)
_RUN_KEY = (RUN.c.service, RUN.c.environment, RUN.c.id, RUN.c.kind_key, RUN.c.number)

_Event = Row[Any]
_Scope = tuple[str | None, str | None]


class TimelineQuery(Struct, frozen=True, kw_only=True):
    """Which events, the one that happened last first.

    Attributes:
        phase: Of markers.
        type: One of `EVENT_TYPES`.
        deployment_id: To which they belong, `id` or `id~2`; an alias finds the same.
        since: Happened then or later (RFC 3339).
        until: Happened before then.
    """

    service: Values = ()
    environment: Values = ()
    kind: Values = ()
    phase: Values = ()
    type: Values = ()
    cluster: Values = ()
    deployment_id: Values = ()
    since: str | None = None
    until: str | None = None
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None


class Owner(NamedTuple):
    """To which deployment an event belongs.

    Attributes:
        rule: By which the broker joined it, None when that is not listed.
    """

    deployment_id: str | None
    occurrence: int | None
    rule: str | None


class _Named(NamedTuple):
    """What a query means by one name of a deployment.

    Attributes:
        ids: The deployments.
        filed: These and their aliases: under what their entries may have been filed.
        number: Of the occurrence, None for all.
        joined: Indexes of the entries that the broker joined to them.
    """

    ids: frozenset[str]
    filed: frozenset[str]
    number: int | None
    joined: frozenset[int]

    def holds(self, owner: Owner) -> bool:
        """Tell whether an event of this owner is meant."""
        return owner.deployment_id in self.filed and self.number in (None, owner.occurrence)


class Timeline:
    """Answers what happened; safe on any thread.

    Args:
        views: The database of the timeline and the broker.
    """

    def __init__(self, views: Views) -> None:
        self._views = views

    def events(self, query: TimelineQuery) -> Items:
        """Return events, the one that happened last first.

        A page of one deployment may be short, even empty, and still have a cursor: entries that
        were filed under its id and joined to another are left out of it.

        Raises:
            QueryError: A filter, the limit or the cursor is not what it may be.
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        check_limit(query.limit)
        check_words("kind", query.kind, tuple(Kind))
        check_words("phase", query.phase, tuple(Phase))
        check_words("type", query.type, EVENT_TYPES)
        names = [named(text) for text in query.deployment_id]
        behind = read_cursor(query, query.cursor, len(_KEY))
        wanted = _wanted(query)
        if behind is not None:
            wanted.append(tuple_(*_KEY) < tuple_(*map(literal, behind)))
        with self._views.reading() as connection:
            meant = [_meant(connection, *each) for each in names]
            if meant:
                wanted.append(or_(*map(_of, meant)))
            order = [column.desc() for column in _KEY]
            statement = select(EVENT).where(*wanted).order_by(*order).limit(query.limit + 1)
            rows = connection.execute(statement).all()
            more = len(rows) > query.limit
            rows = rows[: query.limit]
            owners = owners_of(connection, rows)
            corrected = corrections_about(connection, [row.idx for row in rows])
            as_of = min(projected_size(connection, name) for name in (NAME, BROKER))
        items = [
            _shown(row, owners[row.idx], corrected.get(row.idx, NONE))
            for row in rows
            if not meant or any(each.holds(owners[row.idx]) for each in meant)
        ]
        cursor = write_cursor(query, [rows[-1].at_ms, rows[-1].idx]) if more else None
        return Items(items, cursor, as_of)


def _wanted(query: TimelineQuery) -> list[ColumnElement[bool]]:
    wanted = [
        _among(column, values)
        for column in (EVENT.c.service, EVENT.c.environment, EVENT.c.kind, EVENT.c.cluster)
        if (values := getattr(query, column.name))
    ]
    types = query.type
    if query.phase:
        # The index is by type and event; a phase is the event of a marker.
        types = tuple(each for each in types or ("marker",) if each == "marker")
        wanted.append(_among(EVENT.c.event, query.phase))
    if query.type or query.phase:
        wanted.append(_among(EVENT.c.type, types))
    if (since_ms := instant_of("since", query.since)) is not None:
        wanted.append(EVENT.c.at_ms >= since_ms)
    if (until_ms := instant_of("until", query.until)) is not None:
        wanted.append(EVENT.c.at_ms < until_ms)
    return wanted


def _among(column: Column[Any], values: Sequence[str]) -> ColumnElement[bool]:
    return column == values[0] if len(values) == 1 else column.in_(values)


# Which deployments a query means -----------------------------------------------------------------


def _meant(connection: Connection, identity: str, number: int | None) -> _Named:
    ids = {identity, *connection.scalars(select(ALIAS.c.id).where(ALIAS.c.alias == identity))}
    runs = select(RUN.c.document).where(RUN.c.id.in_(ids))
    if number is not None:
        runs = runs.where(RUN.c.number == number)
    runs = runs.order_by(RUN.c.opened_ms.desc(), RUN.c.number.desc()).limit(MAX_NAMED)
    filed, joined = set(ids), set[int]()
    for text in connection.scalars(runs):
        document = json.loads(text)
        filed.update(document["aliases"])
        joined.update(join["index"] for join in document["joins"])
    return _Named(frozenset(ids), frozenset(filed), number, frozenset(joined))


def _of(meant: _Named) -> ColumnElement[bool]:
    filed: ColumnElement[bool] = EVENT.c.deployment.in_(sorted(meant.filed))
    if meant.number is not None:
        # Evidence is filed under a first occurrence of its own, whatever it is joined to.
        filed = and_(filed, or_(EVENT.c.occurrence == meant.number, EVENT.c.evidence == 1))
    return or_(filed, EVENT.c.idx.in_(sorted(meant.joined))) if meant.joined else filed


# To which deployments events belong --------------------------------------------------------------


def owners_of(connection: Connection, rows: Sequence[_Event]) -> dict[int, Owner]:
    """Return the owner of each event, by index."""
    owners: dict[int, Owner] = {}
    scopes: dict[_Scope, list[_Event]] = {}
    for row in rows:
        if row.type == "marker":
            scopes.setdefault((row.service, row.environment), []).append(row)
    for scope, events in scopes.items():
        owners |= _joined(connection, scope, events)
    unlisted = [row for row in rows if row.idx not in owners]
    return owners | as_filed(connection, unlisted)


def _joined(connection: Connection, scope: _Scope, events: Sequence[_Event]) -> dict[int, Owner]:
    """Return what the broker lists of the joins of events of one scope."""
    indexes = [event.idx for event in events]
    values = {
        "service": scope[0],
        "environment": scope[1],
        "before_ms": max(event.at_ms for event in events) + EARLY_MS,
        "limit": MAX_RUNS + len(events),
        "first": min(indexes),
        "indexes": indexes,
    }
    found = connection.execute(_JOINED, values).all()
    return {idx: Owner(*owner) for idx, *owner in found}


def as_filed(connection: Connection, events: Iterable[_Event]) -> dict[int, Owner]:
    """Return the owners of events as they were filed, or as they name them, aliases resolved."""
    events = list(events)
    names = {event.deployment for event in events if event.deployment is not None}
    if not names:
        return {event.idx: Owner(None, None, None) for event in events}
    known = set(connection.scalars(_KNOWN, {"names": sorted(names)}))
    aliased: dict[str, set[str]] = {}
    unknown = sorted(names - known)
    for alias, name in connection.execute(_ALIASED, {"names": unknown}) if unknown else ():
        aliased.setdefault(alias, set()).add(name)
    # An alias of several deployments is one of none in particular.
    one = {alias: ids.pop() for alias, ids in aliased.items() if len(ids) == 1}
    return {
        event.idx: Owner(one.get(event.deployment, event.deployment), event.occurrence, None)
        for event in events
    }


# The statements, put together once: that would take longer each time than answering them.


def _joins() -> Select[Any]:
    """Return what lists joins of entries (`indexes`) in the runs of a scope."""
    # Documents are long: most runs are ruled out before theirs is read, because a run has heard
    # nothing newer than its newest entry.
    near = (
        select(*_RUN_KEY, RUN.c.last_index)
        .where(
            RUN.c.service == bindparam("service", type_=Text),
            RUN.c.environment == bindparam("environment", type_=Text),
            RUN.c.opened_ms <= bindparam("before_ms", type_=BigInteger),
        )
        .order_by(RUN.c.opened_ms.desc())
        .limit(bindparam("limit", type_=Integer))
        .subquery()
    )
    same = [RUN.c[column.name] == near.c[column.name] for column in _RUN_KEY]
    join = func.json_each(RUN.c.document, "$.joins").table_valued("value")
    index = func.json_extract(join.c.value, "$.index")
    rule = func.json_extract(join.c.value, "$.rule")
    return (
        select(index, RUN.c.id, RUN.c.number, rule)
        .select_from(near.join(RUN, and_(*same)).join(join, true()))
        .where(
            near.c.last_index >= bindparam("first", type_=BigInteger),
            index.in_(bindparam("indexes", expanding=True)),
        )
    )


_JOINED: Final = _joins()
_NAMES: Final[BindParameter[Any]] = bindparam("names", expanding=True)
_KNOWN: Final = select(RUN.c.id).where(RUN.c.id.in_(_NAMES))
_ALIASED: Final = (
    select(ALIAS.c.alias, ALIAS.c.id)
    .join(RUN, and_(*[ALIAS.c[name] == RUN.c[name] for name in ("service", "environment", "id")]))
    .where(ALIAS.c.alias.in_(_NAMES))
    .distinct()
)


def _shown(row: _Event, owner: Owner, corrected: Corrections) -> Item:
    filed = row.deployment
    if filed is not None and row.occurrence is not None:
        filed = f"{filed}~{row.occurrence}"
    return {
        "index": row.idx,
        "at": format_instant(row.at_ms),
        "received_at": format_instant(row.received_ms),
        "type": row.type,
        "event": row.event,
        "service": row.service,
        "environment": row.environment,
        "kind": row.kind,
        "phase": row.phase,
        "deployment_id": owner.deployment_id,
        "occurrence": owner.occurrence,
        "rule": owner.rule,
        "filed_as": filed,
        "cluster": row.cluster,
        "region": row.region,
        "source": row.source,
        "severity": row.severity,
        "text": row.text,
        "retracted": corrected.retracted,
        "amendments": corrected.listed,
    }
