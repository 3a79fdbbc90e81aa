"""How SQLite goes about questions that are asked again and again: from what stands, never from all.

Of what is over there is ever more. Which index is used for a question is SQLite's to choose; here
it is held to the choice, in a file that it knows nothing about, as everywhere.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from deploymark.projections import cursors, outcomes
from deploymark.projections.broker import tables
from deploymark.projections.broker.query import BrokerQuery
from deploymark.projections.broker.questions import CoverageQuery, FindingQuery
from deploymark.projections.broker.standing import standing_runs
from deploymark.projections.database import Views, open_views
from deploymark.projections.outcome_deployments import deployments, live_deployments
from deploymark.projections.outcome_questions import SliQuery, window_of
from deploymark.projections.outcome_statements import settled
from deploymark.testing.clock import START_MS


@pytest.fixture
def views(tmp_path: Path) -> Iterator[Views]:
    opened = open_views(tmp_path / "views.db")
    with opened.writing() as connection:
        cursors.lay_down(connection)
        for metadata in (tables.METADATA, outcomes.METADATA):
            metadata.create_all(connection)
    opened.admit_readers()
    yield opened
    opened.close()


def plans(views: Views, ask: Callable[[Connection], object]) -> list[list[str]]:
    """Return the steps of each statement that a question asks."""
    asked: list[tuple[str, Any]] = []

    def note(_: object, __: object, statement: str, values: Any, *___: object) -> None:  # noqa: ANN401 - of a driver
        asked.append((statement, values))

    with views.reading() as connection:
        event.listen(views.engine, "before_cursor_execute", note)
        ask(connection)
        event.remove(views.engine, "before_cursor_execute", note)
        return [
            [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {each}", values)]
            for each, values in asked
        ]


def plans_of(views: Views, ask: Callable[[BrokerQuery], object], table: str) -> list[list[str]]:
    """Return the steps of each statement about a table that a question to the broker asks."""
    asked: list[tuple[str, Any]] = []

    def note(_: object, __: object, statement: str, values: Any, *___: object) -> None:  # noqa: ANN401 - of a driver
        if f"FROM {table}" in statement:
            asked.append((statement, values))

    event.listen(views.engine, "before_cursor_execute", note)
    ask(BrokerQuery(views))
    event.remove(views.engine, "before_cursor_execute", note)
    with views.reading() as connection:
        return [
            [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {each}", values)]
            for each, values in asked
        ]


def test_a_look_of_the_watchers_begins_with_what_stands_and_with_what_runs(views: Views) -> None:
    begun = [steps[0] for steps in plans(views, lambda asked: list(standing_runs(asked)))]
    used = [re.findall(r"INDEX (\w+)", step) for step in begun]
    assert used == [["broker_run_watched"], ["broker_run_watched"], ["broker_instance_running"]]


@pytest.mark.parametrize("read", [deployments(settled), live_deployments])
def test_the_deployments_of_a_week_are_counted_without_reading_their_documents(
    views: Views, read: Callable[..., object]
) -> None:
    week = window_of(SliQuery(), START_MS)
    found = plans(views, lambda asked: read(asked, week, None, 10))
    assert "USING COVERING INDEX broker_run_settled" in found[0][0]


def test_open_findings_are_found_without_reading_the_closed_ones(views: Views) -> None:
    (steps,) = plans_of(views, lambda query: query.findings(FindingQuery()), "broker_finding")
    assert {step for step in steps if "broker_finding" in step} == {
        "SEARCH broker_finding USING INDEX broker_finding_open (closed_ms=?)",
        "SEARCH broker_finding USING INDEX broker_finding_open (closed_ms>?)",
    }


def test_the_coverage_of_a_service_is_counted_from_what_runs(views: Views) -> None:
    asked = CoverageQuery(service=("checkout",))
    (steps,) = plans_of(views, lambda query: query.coverage(asked), "broker_instance")
    assert steps[0] == "SEARCH broker_instance USING INDEX broker_instance_running (service=?)"
