"""Counts what came of deployments, canaries, rollbacks and promotions, and lists what was counted.

The number and the list are the same rows: a measure is the sum of its items, so whoever follows
the list to its end recounts it. Beside the entries themselves nothing is asked, and of the clock
only where a window ends that nobody named.

The post-deploy error delta (M4) takes its deployments from here and its counts from telemetry
(`error_delta`).
"""

from collections import Counter as Results
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from deploymark.model.proportion import Proportion
from deploymark.projections.broker.questions import Items
from deploymark.projections.broker.view import NAME as BROKER
from deploymark.projections.cursors import projected_size
from deploymark.projections.database import Views, rows_with
from deploymark.projections.measures import Reading, Spread, quantile
from deploymark.projections.outcome_deployments import Deployments, deployments, page_of
from deploymark.projections.outcome_facts import Fact, Facts, runs_named
from deploymark.projections.outcome_questions import (
    HOLDS_MS,
    ROLLED_BACK_WITHIN_SECONDS,
    At,
    Counted,
    SliQuery,
    Window,
    continued,
    cursor_behind,
)
from deploymark.projections.outcome_statements import (
    ONLY_UNDONE,
    ONLY_UNDONE_OR_BREACHED,
    PROMOTIONS,
    ROLLBACKS,
    UNDONE,
    UNDONE_OR_BREACHED,
    canaries,
    settled,
)
from deploymark.projections.outcomes import JUDGED, NAME, PASS, SUCCEEDED, Named

_AT_ONCE: Final = 10_000

Counter = Callable[[Connection, Window, At | None, int], list[Counted]]
"""Returns what a measure counts in a window behind a place, the latest first; full pages but for
the last."""


def every(counter: Counter, connection: Connection, window: Window) -> Iterator[Counted]:
    """Yield all that a measure counts, the latest first."""
    behind: At | None = None
    while True:
        page = counter(connection, window, behind, _AT_ONCE)
        yield from page
        if len(page) < _AT_ONCE:
            return
        behind = page[-1].at


_undone = deployments(UNDONE)
_undone_or_breached = deployments(UNDONE_OR_BREACHED)
_settled = deployments(settled)
_only_undone = deployments(ONLY_UNDONE)
_only_undone_or_breached = deployments(ONLY_UNDONE_OR_BREACHED)

# Deployments -------------------------------------------------------------------------------------


def _outcome(row: Any, fact: Fact) -> tuple[str, tuple[tuple[int, str], ...]]:  # noqa: ANN401
    """Return what came of a deployment, and what says so."""
    entries: dict[int, str] = {}
    if row.settled_index is not None:
        entries[row.settled_index] = "live"
    if row.undone_index is not None and row.undone_index == row.settled_index:
        entries[row.undone_index] = _by("marker")
    if fact.failed is not None:
        entries[fact.failed] = "failed"
    if fact.undone is not None:
        at, how = fact.undone
        entries[at.idx] = _by(how)
    return _result(fact), tuple(entries.items())


def _result(fact: Fact) -> str:
    if fact.undone is not None:
        return "rolled_back"
    return "succeeded" if fact.failed is None else "failed"


def _by(how: str) -> str:
    return f"rolled back: {how}"


def _counted_deployment(
    row: Any,  # noqa: ANN401 - of `_deployments`
    result: str,
    entries: tuple[tuple[int, str], ...],
    *,
    counts: bool,
) -> Counted:
    at = At(row.at_ms, row.at_index)
    name = f"{row.id}~{row.number}"
    return Counted(at, row.service, row.environment, name, result, counts, entries)


def _by_result(counting: str) -> Counter:
    def read(
        connection: Connection, window: Window, behind: At | None, limit: int
    ) -> list[Counted]:
        found = []
        for row, fact in _undone(connection, window, behind, limit):
            result, entries = _outcome(row, fact)
            found.append(_counted_deployment(row, result, entries, counts=result == counting))
        return found

    return read


def _breaches(
    connection: Connection, window: Window, behind: At | None, limit: int
) -> list[Counted]:
    found = []
    for row, fact in _undone_or_breached(connection, window, behind, limit):
        _, entries = _outcome(row, fact)
        breached = fact.breached is not None
        if fact.breached is not None:
            entries = (*entries, (fact.breached.idx, "breached"))
        result = "breached" if breached else "kept"
        found.append(_counted_deployment(row, result, entries, counts=breached))
    return found


# Canaries ----------------------------------------------------------------------------------------


def _canaries(
    connection: Connection, window: Window, behind: At | None, limit: int
) -> list[Counted]:
    return [
        Counted(
            At(row.at_ms, row.at_index),
            row.service or None,
            row.environment,
            _shown(row),
            row.result,
            row.result == PASS,
            ((row.at_index, row.result),),
        )
        for row in page_of(connection, canaries, window, behind, limit)
    ]


# Rollbacks and promotions ------------------------------------------------------------------------


def _rollbacks(
    connection: Connection, window: Window, behind: At | None, limit: int
) -> list[Counted]:
    found = []
    for row in page_of(connection, ROLLBACKS, window, behind, limit):
        seconds = None
        if row.outcome == SUCCEEDED:
            seconds = max(0, row.ended_ms - row.begun_ms) / 1_000
        said = [(row.root, "decided"), (row.ended_index, row.outcome)]
        if row.begun_index != row.root:
            said.insert(0, (row.begun_index, "fail"))
        found.append(
            Counted(
                At(row.at_ms, row.at_index),
                row.service or None,
                row.environment,
                _shown(row),
                row.outcome,
                seconds is not None and seconds <= ROLLED_BACK_WITHIN_SECONDS,
                tuple(said),
                seconds,
            )
        )
    return found


def _promotions(
    connection: Connection, window: Window, behind: At | None, limit: int
) -> list[Counted]:
    # Counted once it has been seen for a day whether it holds: otherwise what goes wrong would be
    # counted sooner than what goes right.
    ended = window._replace(
        since_ms=window.since_ms - HOLDS_MS, before_ms=window.over_ms - HOLDS_MS
    )
    rows = page_of(connection, PROMOTIONS, ended, behind, limit)
    undone = _undone_after(connection, rows)
    found = []
    for row, after in zip(rows, undone, strict=True):
        result, said = row.outcome, [(row.root, "decided"), (row.ended_index, row.outcome)]
        if result == SUCCEEDED and after is not None:
            result = "rolled_back"
            said.append((after[0].idx, _by(after[1])))
        found.append(
            Counted(
                At(row.at_ms, row.at_index),
                row.service or None,
                row.environment,
                _shown(row),
                result,
                result == SUCCEEDED,
                tuple(said),
            )
        )
    return found


def _undone_after(connection: Connection, rows: Sequence[Any]) -> list[tuple[At, str] | None]:
    """Return by what each promotion was rolled back within a day, if it was."""
    named = runs_named(connection, [row.deployment for row in rows])
    facts = Facts(connection, [run for runs in named.values() for run in runs])
    judged = {
        Named._make(row[:4]): row
        for row in rows_with(connection, JUDGED, Named._fields, sorted({_key(row) for row in rows}))
    }
    found: list[tuple[At, str] | None] = []
    for row in rows:
        undone = []
        known = judged.get(_key(row))
        if known is not None and known.undone_ms is not None:
            undone.append((At(known.undone_ms, known.undone_index), "decision"))
        for run in named[row.deployment]:
            fact = facts.of(run) if _is_of(row, run) else None
            if fact is not None and fact.undone is not None:
                undone.append(fact.undone)
        within = [each for each in undone if row.ended_ms <= each[0].ms < row.ended_ms + HOLDS_MS]
        found.append(min(within, default=None))
    return found


def _is_of(action: Any, run: Any) -> bool:  # noqa: ANN401 - rows of their tables
    return (
        action.environment == run.environment
        and action.service in ("", run.service)
        and action.occurrence in (0, run.number)
    )


def _key(row: Any) -> Named:  # noqa: ANN401 - of `outcomes_action`
    return Named(row.deployment, row.occurrence, row.service, row.environment)


def _shown(row: Any) -> str:  # noqa: ANN401 - of a table of `outcomes`
    return f"{row.deployment}~{row.occurrence}" if row.occurrence else str(row.deployment)


_RESULTS: Final = {"M1": "succeeded", "M7": "rolled_back"}
"""Measures of the same deployments, by the result that they count."""

COUNTERS: Final[dict[str, Counter]] = {
    "M1": _by_result(_RESULTS["M1"]),
    "M6": _canaries,
    "M7": _by_result(_RESULTS["M7"]),
    "M9": _breaches,
    "M11": _rollbacks,
    "M14": _promotions,
}
"""The measures that follow from the log alone, by id."""


class Outcomes:
    """Counts, and lists what is counted; safe on any thread.

    Args:
        views: The database of the outcomes and the broker.
    """

    def __init__(self, views: Views) -> None:
        self._views = views

    def take(self, window: Window) -> "Taken":
        """Return what is counted in a window, by measure.

        Raises:
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        with self._views.reading() as connection:
            readings = _of_deployments(connection, window) | {
                name: _reading(every(counter, connection, window), window, name)
                for name, counter in COUNTERS.items()
                if name not in _OF_DEPLOYMENTS
            }
            return Taken(as_of(connection), readings)

    def items(self, query: SliQuery, now_ms: int) -> Items:
        """Return what one of `COUNTERS` counts, the latest first.

        Raises:
            QueryError: A filter, the limit or the cursor is not what it may be.
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        window, behind = continued(query, now_ms)
        with self._views.reading() as connection:
            found = COUNTERS[query.measure](connection, window, behind, query.limit + 1)
            seen = as_of(connection)
        more = len(found) > query.limit
        found = found[: query.limit]
        cursor = cursor_behind(query, window, found[-1].at) if more else None
        return Items([each.shown() for each in found], cursor, seen)


class Taken(NamedTuple):
    """What was counted.

    Attributes:
        as_of: How many entries of the log the views had seen.
        readings: By measure.
    """

    as_of: int
    readings: dict[str, Reading]


def as_of(connection: Connection) -> int:
    """Return how many entries of the log both views had seen."""
    return min(projected_size(connection, name) for name in (NAME, BROKER))


_OF_DEPLOYMENTS: Final = (*_RESULTS, "M9")


def _of_deployments(connection: Connection, window: Window) -> dict[str, Reading]:
    """Return what the measures of deployments count, in one go over them.

    Most are counted by all of these measures. Each is counted at one time: a window is the sum of
    its parts, and a page sorts its window, so in short ones.
    """
    results, breaches = Results[str](), Results[bool]()
    for part in window.slices():
        for _, fact in _every(_settled, connection, part):
            results[_result(fact)] += 1
            breaches[fact.breached is not None] += 1
        results.update(_result(fact) for _, fact in _every(_only_undone, connection, part))
        others = _every(_only_undone_or_breached, connection, part)
        breaches.update(fact.breached is not None for _, fact in others)
    shares = {name: Proportion(results[what], results.total()) for name, what in _RESULTS.items()}
    shares["M9"] = Proportion(breaches[True], breaches.total())
    return {
        name: Reading(share, window.since_ms, window.until_ms) for name, share in shares.items()
    }


def _every(read: Deployments, connection: Connection, window: Window) -> Iterator[tuple[Any, Fact]]:
    behind: At | None = None
    while True:
        page = read(connection, window, behind, _AT_ONCE)
        yield from page
        if len(page) < _AT_ONCE:
            return
        behind = At(page[-1][0].at_ms, page[-1][0].at_index)


def _reading(items: Iterable[Counted], window: Window, measure: str) -> Reading:
    numerator = denominator = 0
    seconds: list[float] = []
    for each in items:
        denominator += 1
        numerator += each.counts
        if each.seconds is not None:
            seconds.append(each.seconds)
    share = Proportion(numerator, denominator)
    spread = None
    if measure == "M11":
        spread = Spread(quantile(seconds, 0.5), quantile(seconds, 0.95), ROLLED_BACK_WITHIN_SECONDS)
    return Reading(share, window.since_ms, window.until_ms, spread)
