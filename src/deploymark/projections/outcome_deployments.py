"""Reads what is counted by the page: deployments with what came of them, and any other rows."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from deploymark.projections import outcome_statements as statements
from deploymark.projections.outcome_facts import Fact, Facts
from deploymark.projections.outcome_questions import At, Window
from deploymark.projections.outcome_statements import Told


def live_deployments(
    connection: Connection, window: Window, behind: At | None, limit: int
) -> list[Any]:
    """Return rows of deployments that went live, with `RUN_COLUMNS`, the latest first."""
    return page_of(connection, statements.live, window, behind, limit)


Deployments = Callable[[Connection, Window, At | None, int], list[tuple[Any, Fact]]]


def deployments(told: Told) -> Deployments:
    """Return what reads a page of deployments of which is known what came of them.

    Args:
        told: `UNDONE`, `UNDONE_OR_BREACHED`, or a part of them.
    """

    def read(
        connection: Connection, window: Window, behind: At | None, limit: int
    ) -> list[tuple[Any, Fact]]:
        rows = page_of(connection, told, window, behind, limit)
        facts = Facts(connection, rows)
        return [(row, facts.of(row)) for row in rows]

    return read


def page_of(
    connection: Connection, told: Told, window: Window, behind: At | None, limit: int
) -> list[Any]:
    """Return rows of a window with `at_ms` and `at_index`, the latest first, behind a place."""
    statement = statements.page(told, named=bool(window.environments), follows=behind is not None)
    asked: dict[str, object] = {
        "since_ms": window.since_ms,
        "before_ms": window.before_ms,
        "environments": window.environments,
        "limit": limit,
    }
    if behind is not None:
        asked |= {"behind_ms": behind.ms, "behind_index": behind.idx}
    return list(connection.execute(statement, asked).all())
