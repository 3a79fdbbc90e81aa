"""From values of counters at each scrape to what came between them. Pure.

A *track* is one label set of one target; tracks of a target are scraped together. Every rule looks
back by a fixed time only, so the increase at an instant is the same in whatever window it is asked
for, and windows add up.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

MOST_GAP_SECONDS: Final = 300
"""Across a longer gap nothing is counted; Prometheus itself looks back as far for a sample."""

Value = TypeVar("Value")
Labels = frozenset[tuple[str, str]]
Scraped = Callable[[], dict[Labels, dict[int, float]]]
"""Returns when the samples at each instant were scraped, by track."""


class Target(NamedTuple):
    """What is scraped at once.

    Attributes:
        replica: Which replica it belongs to.
        address: What tells it from other targets of the replica.
    """

    replica: str
    address: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Track(Generic[Value]):
    """One growing series.

    Attributes:
        target: Whose.
        labels: Which of them.
        points: Its values by instant in milliseconds, in order.
    """

    target: Target
    labels: Labels
    points: dict[int, Value]


class Increase(NamedTuple, Generic[Value]):
    """What came until an instant, since the scrape before."""

    replica: str
    at_ms: int
    labels: Labels
    value: Value


@dataclass(frozen=True, slots=True)
class Rules(Generic[Value]):
    """How values are compared.

    Attributes:
        difference: Returns what came between a later value and an earlier one; None when the later
            one does not continue the earlier: a reset.
        look_back_ms: Values that are older are not known.
        scraped: When samples were scraped; asked only where it decides.
    """

    difference: Callable[[Value, Value], Value | None]
    look_back_ms: int
    scraped: Scraped

    @property
    def gap_ms(self) -> int:
        """Across a longer gap nothing is counted."""
        return min(MOST_GAP_SECONDS * 1_000, self.look_back_ms)


def increases(
    tracks: Sequence[Track[Value]], rules: Rules[Value], after_ms: int
) -> Iterator[Increase[Value]]:
    """Yield what came at each instant after a time.

    Args:
        tracks: With values from `look_back_ms` before that time on.
        rules: How values are compared.
        after_ms: Increases at this instant and before belong to another window.
    """
    by_target: dict[Target, list[Track[Value]]] = defaultdict(list)
    for track in tracks:
        by_target[track.target].append(track)
    for target, together in by_target.items():
        for track in together:
            before: tuple[int, Value] | None = None
            for at_ms, value in track.points.items():
                if at_ms > after_ms:
                    came = _came(track, (at_ms, value), before, together, rules)
                    if came is not None:
                        yield Increase(target.replica, at_ms, track.labels, came)
                before = (at_ms, value)


def _came(
    track: Track[Value],
    now: tuple[int, Value],
    before: tuple[int, Value] | None,
    together: Sequence[Track[Value]],
    rules: Rules[Value],
) -> Value | None:
    """Return what came until now; None where nobody knows."""
    at_ms, value = now
    if before is None or at_ms - before[0] > rules.look_back_ms:
        return value if _is_new(track, at_ms, together, rules) else None
    if at_ms - before[0] > rules.gap_ms:
        return None
    came = rules.difference(value, before[1])
    return value if came is None else came


def _is_new(
    track: Track[Value], at_ms: int, together: Sequence[Track[Value]], rules: Rules[Value]
) -> bool:
    """Tell whether a track that appears was not there at the scrape of the target before.

    That scrape must have brought another track, and so must this one. Series that are relabelled
    appear while Prometheus still shows their old selves, which were not scraped any more.
    """
    siblings = [
        other
        for other in together
        if other is not track and at_ms in other.points and _had_before(other, at_ms, rules.gap_ms)
    ]
    if not siblings:
        return False
    scraped = rules.scraped()
    mine = scraped.get(track.labels, {}).get(at_ms)
    return mine is not None and any(
        scraped.get(other.labels, {}).get(at_ms) == mine for other in siblings
    )


def _had_before(track: Track[Value], at_ms: int, gap_ms: int) -> bool:
    return any(at_ms - gap_ms <= each < at_ms for each in track.points)
