"""What may be asked of the broker: filters, under the names of the interface. Pure.

Filters combine with AND, several values of one filter with OR; values are compared exactly.
"""

from difflib import get_close_matches
from typing import Any, Literal

from msgspec import Struct

from deploymark.errors import IdError, InstantError, QueryError
from deploymark.model.ids import parse_occurrence
from deploymark.model.instants import parse_instant
from deploymark.projections.paging import DEFAULT_LIMIT

Values = tuple[str, ...]

FINDING_STATES = ("open", "closed", "all")
STATUSES = ("confirmed", "unproven", "mismatched")
AREAS = ("cluster", "region", "zone", "environment")


class DeploymentQuery(Struct, frozen=True, kw_only=True):
    """Which deployments, the one that opened last first; of each its latest occurrence.

    Attributes:
        state: One of `documents.STATES`.
        since: Opened then or later (RFC 3339).
        until: Opened before then.
    """

    service: Values = ()
    environment: Values = ()
    kind: Values = ()
    state: Values = ()
    since: str | None = None
    until: str | None = None
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None


class InstanceQuery(Struct, frozen=True, kw_only=True):
    """Which running instances, by service, environment and uid.

    Attributes:
        deployment_id: Of which they are, `id` or `id~2`.
        status: One of `STATUSES`.
    """

    deployment_id: Values = ()
    service: Values = ()
    environment: Values = ()
    cluster: Values = ()
    region: Values = ()
    zone: Values = ()
    status: Values = ()
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None


class FindingQuery(Struct, frozen=True, kw_only=True):
    """Which findings, the one that opened last first.

    Attributes:
        state: `open` unless said otherwise, `closed` or `all`.
        deployment_id: About which they are, `id` or `id~2`.
    """

    state: Literal["open", "closed", "all"] = "open"
    code: Values = ()
    severity: Values = ()
    service: Values = ()
    environment: Values = ()
    deployment_id: Values = ()
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None


class CoverageQuery(Struct, frozen=True, kw_only=True):
    """Whose running instances are counted.

    Attributes:
        by: Together by `cluster`, `region`, `zone` or `environment`.
    """

    service: Values = ()
    environment: Values = ()
    by: Literal["cluster", "region", "zone", "environment"] = "cluster"
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None


def instant_of(name: str, text: str | None) -> int | None:
    """Return a time of a query in milliseconds.

    Raises:
        QueryError: It is no time.
    """
    try:
        return None if text is None else parse_instant(text)
    except InstantError as error:
        raise QueryError(f"/{name}: {error.message}", hint=error.hint, field=f"/{name}") from None


def named(text: str, field: str = "/deployment_id") -> tuple[str, int | None]:
    """Return the id and the occurrence that a query names.

    Raises:
        QueryError: It is no id.
    """
    try:
        return parse_occurrence(text)
    except IdError as error:
        raise QueryError(f"{field}: {error.message}", hint=error.hint, field=field) from None


def check_words(name: str, values: Values, words: tuple[str, ...]) -> None:
    """Refuse a value that can match nothing.

    Raises:
        QueryError: One is not among the words.
    """
    for value in values:
        if value not in words:
            near = get_close_matches(value[:64], words, n=1)
            raise QueryError(
                f"/{name} is {value[:64]!r}; it may be {', '.join(words)}.",
                hint=f"Did you mean `{near[0]}`?" if near else "",
                field=f"/{name}",
            )


Item = dict[str, Any]
"""Plain JSON values."""


class Items(Struct, frozen=True):
    """An answer.

    Attributes:
        items: In the order of the query.
        next_cursor: Continues behind them; None at the end.
        as_of: How many entries of the log the view had seen.
    """

    items: list[Item]
    next_cursor: str | None
    as_of: int
