"""From what a source counted to what the judge looks at: two arms, or halves of a fleet. Pure.

Stands between a `CountsSource`, which knows replicas and buckets and no verdict, and `Assessment`,
which knows arms and no replica. Young instances are left out of both arms. Nothing is averaged but
gauges, and nothing is made up: what only one arm can tell of a latency, because bounds differ, is
told of neither. It asks no source, and knows no time but that of the counts.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from math import fsum, isfinite
from operator import add
from typing import Final

from deploymark.errors import JudgeError
from deploymark.judge.counts import Events, Gauges, Latencies, Look, Observation, Tally
from deploymark.judge.plan import Kind, Plan
from deploymark.model.histogram import Histogram, coarsen
from deploymark.ports import Cell, CohortCounts

HALVES_SECONDS: Final = 14_400
"""How long the same replicas form the halves of a placebo."""

_MS: Final = 1_000

_Arms = tuple[Sequence[Cell], Sequence[Cell]]
_Bounds = tuple[float, ...]


def look_of(
    plan: Plan, canary: CohortCounts, control: CohortCounts, since_ms: int, until_ms: int
) -> Look:
    """Return what was seen of both arms in one window.

    A metric that neither arm could see is not in the look; one that only one arm could see is, with
    nothing on the other side. Latencies are added up on the bounds that all replicas have that
    answered anything; without such a bound the metric is not in the look.

    Args:
        plan: Names the metrics, the grain and the warm-up.
        canary: As it was counted, in any order; what lies outside the window is left out.
        control: The same.
        since_ms: The beginning of the window, in milliseconds since the epoch.
        until_ms: Its end; buckets that begin before it.

    Raises:
        JudgeError: The window does not consist of whole buckets.
    """
    _check_window(plan, since_ms, until_ms)
    seen = {}
    for metric in plan.metrics:
        found = [
            _grown(plan, counts, metric.name, (since_ms, until_ms)) for counts in (canary, control)
        ]
        if found == [None, None]:
            continue
        arms = (found[0] or [], found[1] or [])
        observed = _observed(plan, metric.kind, arms, _common(arms))
        if observed is not None:
            seen[metric.name] = observed
    return Look(since_ms, until_ms, seen)


def halves_of(
    plan: Plan, stable: CohortCounts, since_ms: int, until_ms: int, salt: str
) -> list[Look]:
    """Return placebos: one look for each counting bucket, half of the fleet against the other.

    Which replicas form the halves follows from the salt and the time, and changes every
    `HALVES_SECONDS`, so that lasting differences between replicas show. The halves have the same
    number of replicas, or differ by one. All looks have the same metrics and bounds, also those
    of buckets in which nothing happened, so that blocks of them stay blocks of time.

    Args:
        plan: Names the metrics, the grain and the warm-up.
        stable: As it was counted, in any order.
        since_ms: From when, in milliseconds since the epoch.
        until_ms: Until when.
        salt: Makes one fleet's choice another than that of the next.

    Raises:
        JudgeError: The window does not consist of whole buckets.
    """
    _check_window(plan, since_ms, until_ms)
    bucket_ms = plan.bucket_seconds * _MS
    window = (since_ms, until_ms)
    grown = {metric.name: _grown(plan, stable, metric.name, window) for metric in plan.metrics}
    first = _first_halves((cell for cells in grown.values() for cell in cells or ()), salt)
    seen: dict[int, dict[str, Observation]] = {
        at_ms: {} for at_ms in range(since_ms, until_ms, bucket_ms)
    }
    for metric in plan.metrics:
        cells = grown[metric.name]
        if cells is None:
            continue
        bounds = _common((cells, ()))
        parts: dict[int, tuple[list[Cell], list[Cell]]] = defaultdict(lambda: ([], []))
        for cell in cells:
            is_second = cell.replica not in first[_period(cell.at_ms)]
            parts[cell.at_ms - cell.at_ms % bucket_ms][is_second].append(cell)
        for at_ms, look in seen.items():
            observed = _observed(plan, metric.kind, parts[at_ms], bounds)
            if observed is not None:
                look[metric.name] = observed
    return [Look(at_ms, at_ms + bucket_ms, look) for at_ms, look in seen.items()]


def replicas_of(counts: CohortCounts) -> tuple[str, ...]:
    """Return the replicas of which anything was counted, in order."""
    return tuple(sorted({cell.replica for cells in counts.cells.values() for cell in cells}))


def _check_window(plan: Plan, since_ms: int, until_ms: int) -> None:
    bucket_ms = plan.bucket_seconds * _MS
    if since_ms % bucket_ms or until_ms % bucket_ms or until_ms <= since_ms:
        raise JudgeError(
            f"From {since_ms} to {until_ms} is not a number of whole buckets of {bucket_ms} ms.",
            hint="Begin and end a window at multiples of bucket_seconds.",
        )


def _grown(
    plan: Plan, counts: CohortCounts, name: str, window: tuple[int, int]
) -> list[Cell] | None:
    """Return the cells of a metric in a window without those of young instances, in order.

    None where the metric could not be seen at all.
    """
    if name not in counts.cells:
        return None
    warmup_ms = plan.warmup_seconds * _MS
    ready_ms = {replica: born_ms + warmup_ms for replica, born_ms in counts.born_ms.items()}
    since_ms, until_ms = window
    kept = [
        cell
        for cell in counts.cells[name]
        if since_ms <= cell.at_ms < until_ms and cell.at_ms >= ready_ms.get(cell.replica, 0)
    ]
    return sorted(kept, key=lambda cell: (cell.at_ms, cell.replica))


def _observed(plan: Plan, kind: Kind, arms: _Arms, bounds: _Bounds) -> Observation | None:
    """Return what both arms say of a metric; None where nothing can be compared."""
    match kind:
        case Kind.EVENTS:
            ours, theirs = (_tally(cells, plan.bucket_seconds * _MS) for cells in arms)
            return Events(ours, theirs)
        case Kind.LATENCY:
            if not bounds:
                return None
            return Latencies(bounds, *(_summed(cells, bounds) for cells in arms))
        case Kind.GAUGE:
            return _gauges(arms)


def _tally(cells: Iterable[Cell], bucket_ms: int) -> Tally:
    """Add up the events of one arm, and keep them apart by replica and bucket."""
    apart: dict[tuple[int, str], tuple[int, int]] = {}
    for cell in cells:
        key = (cell.at_ms - cell.at_ms % bucket_ms, cell.replica)
        trials, events = apart.get(key, (0, 0))
        apart[key] = (trials + cell.trials, events + cell.events)
    return Tally(
        sum(trials for trials, _ in apart.values()),
        sum(events for _, events in apart.values()),
        tuple(apart.values()),
    )


def _common(arms: _Arms) -> _Bounds:
    """Return the bounds that all cells have in which anything was counted."""
    shapes = {cell.bounds for cells in arms for cell in cells if any(cell.counts)}
    return tuple(sorted(set.intersection(*map(set, shapes)))) if shapes else ()


def _summed(cells: Iterable[Cell], bounds: _Bounds) -> tuple[int, ...]:
    by_shape: dict[_Bounds, tuple[int, ...]] = {}
    for cell in cells:
        if any(cell.counts):
            known = by_shape.get(cell.bounds)
            by_shape[cell.bounds] = (
                cell.counts if known is None else tuple(map(add, known, cell.counts))
            )
    found = (0,) * (len(bounds) + 1)
    for shape, counts in by_shape.items():
        coarse = coarsen(Histogram(shape, counts), bounds)
        found = tuple(map(add, found, map(int, coarse.counts)))
    return found


def _gauges(arms: _Arms) -> Gauges:
    """Pair the means of both arms by the time of the scrape."""
    means = [_means(cells) for cells in arms]
    times = sorted(means[0].keys() | means[1].keys())
    return Gauges(tuple((means[0].get(at_ms), means[1].get(at_ms)) for at_ms in times))


def _means(cells: Iterable[Cell]) -> dict[int, float]:
    values: dict[int, list[float]] = defaultdict(list)
    for cell in cells:
        if cell.value is not None and isfinite(cell.value):
            values[cell.at_ms].append(cell.value)
    return {at_ms: fsum(found) / len(found) for at_ms, found in values.items()}


def _first_halves(cells: Iterable[Cell], salt: str) -> dict[int, frozenset[str]]:
    """Return, for each period, the replicas of the first half."""
    replicas: dict[int, set[str]] = defaultdict(set)
    for cell in cells:
        replicas[_period(cell.at_ms)].add(cell.replica)
    return {
        period: frozenset(sorted(present, key=lambda each: _lot(salt, period, each))[::2])
        for period, present in replicas.items()
    }


def _period(at_ms: int) -> int:
    return at_ms // (HALVES_SECONDS * _MS)


def _lot(salt: str, period: int, replica: str) -> bytes:
    """Return a place in an order that nobody chose."""
    return blake2b(f"{salt}\0{period}\0{replica}".encode(), digest_size=16).digest()
