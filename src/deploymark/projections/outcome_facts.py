"""What came of the deployments of one page: markers, verdicts and decisions put together.

A deployment may be known under several ids, and verdicts and decisions name one of them; who takes
it back by deploying again what ran before names it as well. All of that is looked up for a page at
once, in the commit of the views that the page is of.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from deploymark.projections import outcome_statements as statements
from deploymark.projections.broker.tables import ALIAS
from deploymark.projections.database import rows_with
from deploymark.projections.outcome_questions import At
from deploymark.projections.outcomes import JUDGED, Judged

_MOST: Final = 500  # ids in one statement

_Scope = tuple[str, str, str]


class Fact(NamedTuple):
    """What came of one deployment.

    Attributes:
        failed: The entry that says that it failed.
        undone: How it was rolled back first, with what says so: a `marker`, a `decision`, or the
            `return` of what ran before.
        breached: The entry that says that it burnt an error budget.
    """

    failed: int | None
    undone: tuple[At, str] | None
    breached: At | None


class Facts:
    """Finds out what came of deployments, many in a few statements.

    Args:
        connection: Sees one commit of the views.
        runs: Rows with `RUN_COLUMNS`, at most a page of them.
    """

    def __init__(self, connection: Connection, runs: Sequence[Any]) -> None:
        ids = {run.id for run in runs}
        scopes = [(run.service, run.environment, run.id) for run in runs]
        self._aliases: dict[_Scope, set[str]] = {}
        keys = ("service", "environment", "id")
        for row in rows_with(connection, ALIAS, keys, sorted(set(scopes))):
            self._aliases.setdefault((row.service, row.environment, row.id), set()).add(row.alias)
        names = ids.union(*self._aliases.values())
        self._judged: dict[str, list[Judged]] = {}
        for row in rows_with(connection, JUDGED, ("deployment",), _single(names)):
            self._judged.setdefault(row.deployment, []).append(Judged._make(row))
        self._returns = self._read_returns(connection, runs)
        self._openings: dict[_Scope, list[tuple[int, int]]] = {}
        if self._are_told_apart():
            self._openings = _openings(connection, ids)

    def of(self, run: Any) -> Fact:  # noqa: ANN401 - a row with `RUN_COLUMNS`
        """Return what came of one of the deployments."""
        undone: list[tuple[At, str]] = []
        breached: list[At] = []
        if run.undone_ms is not None:
            undone.append((At(run.undone_ms, run.undone_index), "marker"))
        for judged in self._about(run) if self._judged else ():
            if judged.undone_ms is not None and judged.undone_index is not None:
                undone.append((At(judged.undone_ms, judged.undone_index), "decision"))
            if judged.breached_ms is not None and judged.breached_index is not None:
                breached.append(At(judged.breached_ms, judged.breached_index))
        if self._returns:
            undone += [(at, "return") for at in self._taken_back(run)]
        return Fact(run.failed_index, min(undone, default=None), min(breached, default=None))

    def _are_told_apart(self) -> bool:
        """Tell whether somebody names a deployment without saying which occurrence is meant."""
        judged = (each for found in self._judged.values() for each in found)
        return any("~" not in name for name, *_ in self._returns) or any(
            not each.occurrence for each in judged
        )

    def _names(self, run: Any) -> set[str]:  # noqa: ANN401 - as above
        return {run.id, *self._aliases.get((run.service, run.environment, run.id), ())}

    def _about(self, run: Any) -> Iterator[Judged]:  # noqa: ANN401 - as above
        for name in sorted(self._names(run)):
            for each in self._judged.get(name, ()):
                said = min(
                    (ms for ms in (each.judged_ms, each.breached_ms, each.undone_ms) if ms),
                    default=0,
                )
                if (
                    each.service in ("", run.service)
                    and each.environment == run.environment
                    and self._means(run, each.occurrence, said)
                ):
                    yield each

    def _means(self, run: Any, occurrence: int, at_ms: int) -> bool:  # noqa: ANN401 - as above
        """Tell whether a name means this occurrence; without a number it means the latest."""
        if occurrence:
            return bool(occurrence == run.number)
        openings = self._openings.get((run.service, run.environment, run.id), [])
        opened = [number for number, opened_ms in openings if opened_ms <= at_ms]
        return bool(max(opened, default=1) == run.number)

    def _read_returns(
        self, connection: Connection, runs: Sequence[Any]
    ) -> dict[tuple[str, str, str], list[At]]:
        names = {
            text for run in runs for name in self._names(run) for text in _both(name, run.number)
        }
        found: dict[tuple[str, str, str], list[At]] = {}
        for some in _slices(sorted(names)):
            rows = connection.execute(statements.RETURNS, {"some": some})
            for *key, at_ms, at_index in rows:
                found.setdefault(tuple(key), []).append(At(at_ms, at_index))
        return found

    def _taken_back(self, run: Any) -> Iterator[At]:  # noqa: ANN401 - as above
        scope = (run.service, run.environment)
        for name in self._names(run):
            yield from self._returns.get((f"{name}~{run.number}", *scope), ())
            for at in self._returns.get((name, *scope), ()):
                if self._means(run, 0, at.ms):
                    yield at


def runs_named(connection: Connection, names: Iterable[str]) -> dict[str, list[Any]]:
    """Return the occurrences of deployments that are known under these ids, by the id asked for."""
    wanted = sorted(set(names))
    meant: dict[str, set[str]] = {name: {name} for name in wanted}
    for row in rows_with(connection, ALIAS, ("alias",), _single(wanted)):
        meant[row.alias].add(row.id)
    runs: dict[str, list[Any]] = {}
    for some in _slices(sorted(set().union(*meant.values()))):
        for row in connection.execute(statements.NAMED, {"some": some}):
            runs.setdefault(row.id, []).append(row)
    return {
        name: [run for i in sorted(ids) for run in runs.get(i, ())] for name, ids in meant.items()
    }


def _both(name: str, number: int) -> tuple[str, str]:
    return name, f"{name}~{number}"


def _openings(connection: Connection, ids: Iterable[str]) -> dict[_Scope, list[tuple[int, int]]]:
    found: dict[_Scope, list[tuple[int, int]]] = {}
    for some in _slices(sorted(ids)):
        rows = connection.execute(statements.OPENINGS, {"some": some})
        for service, environment, name, number, opened_ms in rows:
            found.setdefault((service, environment, name), []).append((number, opened_ms))
    return found


def _single(names: Iterable[str]) -> list[tuple[str]]:
    return [(name,) for name in sorted(names)]


def _slices(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), _MOST):
        yield names[start : start + _MOST]
