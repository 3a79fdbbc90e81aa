"""What the broker answers, as the tests ask for it, and the one place where it is connected.

The shapes are those of the read API: every method returns the items of all pages, as plain values.
"""

import json
import pathlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, Protocol

import msgspec
from msgspec import structs
from projected_log import compiled_once

from deploymark.ingest.callers import LOCAL
from deploymark.ingest.intake import Intake
from deploymark.ports import Clock, LogReader
from deploymark.projections.broker.query import BrokerQuery
from deploymark.projections.broker.questions import (
    CoverageQuery,
    DeploymentQuery,
    FindingQuery,
    InstanceQuery,
    Items,
)
from deploymark.projections.broker.view import BrokerView
from deploymark.projections.broker.watch import Watchers
from deploymark.projections.database import Views, open_views
from deploymark.projections.expectations import Expectations
from deploymark.projections.runner import Runner, View
from deploymark.projections.timeline import TimelineView
from deploymark.testing.meter import ListMeter

Settings = Mapping[str, Any]
Item = dict[str, Any]


class Broker(Protocol):
    """The read API of the broker, without HTTP. Filters are those of the API; None filters not."""

    def deployments(self, **filters: str | None) -> list[Item]:
        """Return deployments: service, environment, kind, state."""
        ...

    def deployment(self, name: str) -> Item:
        """Return one, named by an id, an alias or one occurrence of it; `NotFoundError`."""
        ...

    def instances(self, **filters: str | None) -> list[Item]:
        """Return instances: deployment_id, service, environment, cluster, status."""
        ...

    def findings(self, **filters: str | None) -> list[Item]:
        """Return findings: state (open unless said, closed, all), code, deployment_id."""
        ...

    def coverage(self, **filters: str | None) -> list[Item]:
        """Return coverage: service, environment, by."""
        ...

    def dump(self) -> dict[str, list[bytes]]:
        """Return every row of every table of the views, by table, sorted."""
        ...


# The seam: these three are all that the tests know of how the broker is built ------------------


def broker_views(settings: Settings) -> Sequence[View[Any]]:
    """Return the broker's view and the timeline, to be run by the ordinary `Runner`.

    Args:
        settings: The sections `services` and `policy`, as read from TOML.
    """
    return [BrokerView(expectations_of(settings)), TimelineView(expectations_of(settings))]


def broker_answers(views: Views, settings: Settings, clock: Clock) -> "Answers":  # noqa: ARG001
    """Return what asks these views."""
    return _Answers(BrokerQuery(views, expectations_of(settings)))


def expectations_of(settings: Settings) -> Expectations:
    """Return what the configuration says is expected."""
    return msgspec.convert(
        {
            "services": settings.get("services", {}),
            "deadlines": settings.get("policy", {}).get("deadlines", {}),
        },
        Expectations,
    )


class _Answers:
    """The queries, as the tests ask them: all pages, one value of each filter."""

    def __init__(self, query: BrokerQuery) -> None:
        self._query = query

    def deployments(self, **filters: str | None) -> list[Item]:
        return self._all(self._query.deployments, DeploymentQuery, filters)

    def deployment(self, name: str) -> Item:
        return self._query.deployment(name)

    def instances(self, **filters: str | None) -> list[Item]:
        return self._all(self._query.instances, InstanceQuery, filters)

    def findings(self, **filters: str | None) -> list[Item]:
        return self._all(self._query.findings, FindingQuery, filters)

    def coverage(self, **filters: str | None) -> list[Item]:
        return self._all(self._query.coverage, CoverageQuery, filters)

    def _all(
        self, answer: Callable[[Any], Items], kind: type[Any], filters: Mapping[str, str | None]
    ) -> list[Item]:
        items: list[Item] = []
        query = self._asked(kind, filters)
        while True:
            page = answer(query)
            assert len(page.items) <= query.limit
            items += page.items
            if page.next_cursor is None:
                return items
            query = structs.replace(query, cursor=page.next_cursor)

    def _asked(self, kind: type[Any], filters: Mapping[str, str | None]) -> Any:  # noqa: ANN401
        several = {name for name in kind.__struct_fields__ if getattr(kind(), name) == ()}
        stated = {name: value for name, value in filters.items() if value is not None}
        return kind(**{n: (v,) if n in several else v for n, v in stated.items()})


def keep_watch(
    log: LogReader,
    intake: Intake,
    views: pathlib.Path,
    settings: Settings,
    clock: Clock,
    idle: int = 2,
) -> None:
    """Run every watcher, feeding the views in between, until they append nothing more.

    Args:
        log: The log that they look at through the views.
        intake: Where they append what they find.
        views: A file that does not exist yet.
        settings: What is expected.
        clock: The time at which they look.
        idle: So many looks in a row.
    """
    expectations = expectations_of(settings)
    database = compiled_once(open_views(views))
    runner = Runner(log, database, broker_views(settings), ListMeter())

    def say(kind: str, payload: bytes) -> int:
        return intake.say_payload(kind, payload, LOCAL).index

    watchers = Watchers(database, expectations, lambda: log.head().size, say)
    runner.catch_up()
    idled = 0
    while idled < idle:
        idled = 0 if watchers.look(clock.now_ms()) else idled + 1
        runner.catch_up()
    database.close()


# ------------------------------------------------------------------------------------------------


class Answers(Protocol):
    """As `Broker`, without `dump`."""

    def deployments(self, **filters: str | None) -> list[Item]: ...
    def deployment(self, name: str) -> Item: ...
    def instances(self, **filters: str | None) -> list[Item]: ...
    def findings(self, **filters: str | None) -> list[Item]: ...
    def coverage(self, **filters: str | None) -> list[Item]: ...


class _Read:
    """Answers from views that have read all of a log, and hands out their rows."""

    def __init__(self, answers: Answers, path: pathlib.Path) -> None:
        self._answers = answers
        self._path = path
        self.deployments = answers.deployments
        self.deployment = answers.deployment
        self.instances = answers.instances
        self.findings = answers.findings
        self.coverage = answers.coverage

    def dump(self) -> dict[str, list[bytes]]:
        with closing(sqlite3.connect(self._path)) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            rows = {
                name: connection.execute(f'SELECT * FROM "{name}"').fetchall()  # noqa: S608
                for (name,) in names.fetchall()
            }
        return {name: sorted(repr(row).encode() for row in found) for name, found in rows.items()}


def read_views(
    log: LogReader,
    steps: Sequence[Callable[[], None]],
    path: pathlib.Path,
    settings: Settings,
    clock: Clock,
    *,
    restarting: bool = False,
) -> Broker:
    """Feed new views with a log, in as many batches as it grows, and return what they answer.

    Args:
        log: The log, perhaps still empty.
        steps: Each lets it grow; the views read it to its end after each.
        path: Where the views lie; nothing is there yet.
        settings: The configuration.
        clock: The time at which it is asked.
        restarting: Whoever feeds the views forgets everything between two batches.
    """
    meter = ListMeter()
    views, runner = _open(log, path, settings, meter)
    for number, step in enumerate(steps):
        if number and restarting:
            views.close()
            views, runner = _open(log, path, settings, meter)
        step()
        runner.catch_up()
    skipped = {name: n for name, n in meter.counts.items() if "skipped" in name}
    assert not skipped, skipped
    return _Read(broker_answers(views, settings, clock), path)


def _open(
    log: LogReader, path: pathlib.Path, settings: Settings, meter: ListMeter
) -> tuple[Views, Runner]:
    views = compiled_once(open_views(path))
    return views, Runner(log, views, broker_views(settings), meter)


# Comparing ---------------------------------------------------------------------------------------

_INDEXES = frozenset({"index", "indexes", "last_index"})
_ORDER_OF_ARRIVAL = frozenset({"last_index", "as_of", "id", "opened_index", "closed_index"})
"""What depends on where an entry stands, and is not compared between two orders."""


def portrait(broker: Broker, names: Mapping[int, str], *, received: bool = True) -> str:
    """Return everything that is known, comparable between logs that hold the same in another order.

    Entries are named by what they are instead of by their index. Findings that are closed are left
    out: whether one was open for a while depends on what was known when.

    Args:
        broker: What to ask.
        names: What to call the entry at an index.
        received: Compare also what follows from when something was received.
    """
    late = frozenset() if received else frozenset({"marker_stale", "clock_skew"})
    known = {
        "deployments": broker.deployments(),
        "instances": broker.instances(),
        "findings": [
            {name: value for name, value in each.items() if name not in _hidden(each)}
            for each in broker.findings(state="open")
            if each["code"] not in late
        ],
        "coverage": broker.coverage(by="cluster"),
    }
    for record in known["deployments"]:
        del record["findings"]
    return json.dumps({name: _named(items, names) for name, items in known.items()}, indent=1)


def _hidden(finding: Item) -> set[str]:
    """Return what is not compared of a finding; a conflict names an index inside of its entry."""
    hidden = {"opened_at", "closed_at"}
    return hidden | {"indexes"} if finding["code"] == "marker_conflict" else hidden


def _named(items: Sequence[Item], names: Mapping[int, str]) -> list[Any]:
    return sorted((_renamed(each, names) for each in items), key=json.dumps)


def _renamed(value: object, names: Mapping[int, str]) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, Mapping):
        return dict(sorted(_members(value, names)))
    if isinstance(value, list):
        inner = [_renamed(each, names) for each in value]
        return sorted(inner, key=json.dumps)
    return value


def _members(value: Mapping[str, Any], names: Mapping[int, str]) -> Iterator[tuple[str, Any]]:
    for name, part in value.items():
        if name in _ORDER_OF_ARRIVAL:
            continue
        if name not in _INDEXES:
            yield name, _renamed(part, names)
        elif isinstance(part, list):
            yield name, sorted(names[each] for each in part)
        else:
            yield name, None if part is None else names[part]
