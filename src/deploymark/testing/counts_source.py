"""The contract of `ports.CountsSource`, as a suite that any implementation can be put through.

The suite writes a history of a few replicas, the caller brings it about in whatever the source
asks, and the suite compares what is counted with what was done.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Final, NamedTuple

from deploymark.errors import QueryError
from deploymark.ports import Cell, Cohort, CohortCounts, CountsSource, MetricQuery

SLOW_SECONDS: Final = 0.7
"""How long a slow request takes."""

FAST_SECONDS: Final = 0.03
"""How long any other takes."""

BOUND: Final = 0.5
"""A bound in seconds that every histogram of the history has."""

OLD, NEW, NOBODY = "d-old", "d-new", "d-nobody"


class Done(NamedTuple):
    """What one replica did in one bucket.

    Attributes:
        requests: How many it answered; a new process answers them before its first report.
        errors: How many of them failed.
        slow: How many took `SLOW_SECONDS`, the others `FAST_SECONDS`.
        memory: The value of its gauge throughout.
    """

    requests: int
    errors: int = 0
    slow: int = 0
    memory: float = 1.0


class Story(NamedTuple):
    """The life of one replica.

    Attributes:
        replica: Its name.
        deployment: What it runs.
        begins: The number of its first bucket.
        restarts: Buckets at the beginning of which its process began anew, counters at zero.
        done: By bucket, from `begins` on.
    """

    replica: str
    deployment: str
    begins: int
    restarts: frozenset[int]
    done: tuple[Done, ...]


HISTORY: Final = (
    Story(
        "a",
        OLD,
        0,
        frozenset(),
        # Its first error comes late: what counts errors is not there before.
        (
            *(Done(100, 0, 3, 2.0), Done(100, 0, 2), Done(90, 0, 1, 2.5), Done(80)),
            *(Done(100, 1), Done(100, 2, 2), Done(90, 0, 1), Done(80, 80), Done(10, 1, 1)),
            *(Done(0), Done(1), Done(200, 2, 100)),
        ),
    ),
    Story(
        "b",
        OLD,
        0,
        frozenset({8}),
        (
            *(Done(500, 5, 50), Done(500, 5), Done(500, 6, 7, 3.0), Done(400, 4), Done(450, 5)),
            *(Done(0), Done(480, 2), Done(500, 5, 1), Done(30, 2, 3), Done(40, 0), Done(50, 1)),
            *(Done(60),),
        ),
    ),
    Story(
        "c",
        NEW,
        6,
        frozenset(),
        (Done(20, 2, 2), Done(30, 3), Done(40, 4, 4, 9.0), Done(50), Done(60, 1), Done(70, 0, 9)),
    ),
)
BUCKETS: Final = 12
SETTLED: Final = 2
"""The first bucket that is compared: before, a source may not have known where counters began."""


@dataclass(frozen=True, slots=True)
class CountsWorld:
    """A source behind which the history took place.

    Attributes:
        source: It.
        start_ms: When bucket 0 began.
        bucket_ms: How long buckets were.
        finest_ms: The finest grain of the source; half of it is too fine.
        cohort: Returns the cohort of a deployment.
        replica: Returns what the source calls a replica.
        errors, latency, memory: What counts them.
        unseen: A metric that the source could see nowhere.
        nonsense: A metric that makes no sense to it.
    """

    source: CountsSource
    start_ms: int
    bucket_ms: int
    finest_ms: int
    cohort: Callable[[str], Cohort]
    replica: Callable[[str], str]
    errors: MetricQuery
    latency: MetricQuery
    memory: MetricQuery
    unseen: MetricQuery
    nonsense: MetricQuery

    def count(
        self, deployment: str, first: int = SETTLED, behind: int = BUCKETS, *metrics: MetricQuery
    ) -> CohortCounts:
        """Count some buckets of a deployment."""
        return self.source.count(
            self.cohort(deployment),
            metrics or (self.errors, self.latency, self.memory),
            self.start_ms + first * self.bucket_ms,
            self.start_ms + behind * self.bucket_ms,
            self.bucket_ms,
        )


def exercise_counts_source(told: Callable[[Sequence[Story]], CountsWorld]) -> None:
    """Put a source of counts through everything that looks and verdicts rely on.

    Args:
        told: Brings a history about and returns the source, after its lag.

    Raises:
        AssertionError: The adapter breaks the contract.
    """
    world = told(HISTORY)
    assert world.source.name
    assert world.source.lag_ms >= 0
    _has_the_right_shape(world)
    _counts_what_was_done(world)
    _counts_the_new_one(world)
    _adds_windows_and_buckets_up(world)
    _answers_the_same_again(world)
    _tells_who_is_young(world)
    _tells_nothing_from_unseen(world)
    _refuses(world)


def _has_the_right_shape(world: CountsWorld) -> None:
    found = world.count(OLD)
    assert set(found.cells) == {"errors", "latency", "memory"}
    for name, cells in found.cells.items():
        assert list(cells) == sorted(cells, key=lambda cell: (cell.at_ms, cell.replica)), name
        assert len({(cell.at_ms, cell.replica) for cell in cells}) == len(cells), name
        for cell in cells:
            assert (cell.at_ms - world.start_ms) % world.bucket_ms == 0
            assert SETTLED <= (cell.at_ms - world.start_ms) // world.bucket_ms < BUCKETS
    for cell in found.cells["errors"]:
        assert type(cell.trials) is type(cell.events) is int
        assert 0 <= cell.events <= cell.trials
    for cell in found.cells["latency"]:
        assert len(cell.counts) == len(cell.bounds) + 1
        assert all(type(count) is int and count >= 0 for count in cell.counts)
        assert all(one < other for one, other in pairwise(cell.bounds))


def _counts_what_was_done(world: CountsWorld) -> None:
    found = world.count(OLD)
    old = [story for story in HISTORY if story.deployment == OLD]
    assert {cell.replica for cells in found.cells.values() for cell in cells} == {
        world.replica(story.replica) for story in old
    }
    for story in old:
        for number in range(SETTLED, BUCKETS):
            done = story.done[number - story.begins]
            assert _seen(world, found, story, number) == (done.requests, done.errors, done.slow)
            (cell,) = _of(world, found, "memory", story, number)
            assert cell.value == done.memory


def _counts_the_new_one(world: CountsWorld) -> None:
    found = world.count(NEW)
    (story,) = (each for each in HISTORY if each.deployment == NEW)
    for number in range(SETTLED, story.begins):
        assert _seen(world, found, story, number) == (0, 0, 0)
    # What it did before it was first heard may be lost; nothing may be made up.
    done = story.done[0]
    first = _seen(world, found, story, story.begins)
    assert all(
        seen <= truth
        for seen, truth in zip(first, (done.requests, done.errors, done.slow), strict=True)
    )
    for number, done in enumerate(story.done[1:], story.begins + 1):
        assert _seen(world, found, story, number) == (done.requests, done.errors, done.slow)


def _adds_windows_and_buckets_up(world: CountsWorld) -> None:
    for deployment in (OLD, NEW):
        whole = world.count(deployment).cells
        for cut in range(SETTLED + 1, BUCKETS):
            one = world.count(deployment, SETTLED, cut).cells
            other = world.count(deployment, cut, BUCKETS).cells
            assert {name: one[name] + other[name] for name in whole} == whole, cut
    start_ms = world.start_ms - world.start_ms % (2 * world.bucket_ms) + 2 * world.bucket_ms
    until_ms = start_ms + 4 * world.bucket_ms
    asked = (world.cohort(OLD), [world.errors], start_ms, until_ms)
    fine = world.source.count(*asked, world.bucket_ms).cells["errors"]
    coarse = world.source.count(*asked, 2 * world.bucket_ms).cells["errors"]
    assert {cell.at_ms % (2 * world.bucket_ms) for cell in coarse} == {0}
    assert sum(cell.trials for cell in coarse) == sum(cell.trials for cell in fine) > 0
    assert sum(cell.events for cell in coarse) == sum(cell.events for cell in fine)
    assert world.count(OLD, 4, 4).cells["errors"] == ()


def _answers_the_same_again(world: CountsWorld) -> None:
    for deployment in (OLD, NEW):
        assert world.count(deployment) == world.count(deployment)


def _tells_who_is_young(world: CountsWorld) -> None:
    for story in HISTORY:
        born_ms = world.count(story.deployment).born_ms
        name = world.replica(story.replica)
        began_ms = world.start_ms + story.begins * world.bucket_ms
        if story.deployment == NEW or name in born_ms:
            # A process that began anew is no new replica.
            assert began_ms <= born_ms[name] <= began_ms + 2 * world.bucket_ms


def _tells_nothing_from_unseen(world: CountsWorld) -> None:
    nothing = world.count(NOBODY, SETTLED, BUCKETS, world.errors)
    assert nothing == CohortCounts({"errors": ()})
    found = world.count(OLD, SETTLED, BUCKETS, world.errors, world.unseen)
    assert set(found.cells) == {"errors"}


def _refuses(world: CountsWorld) -> None:
    assert _is_refused(lambda: world.count(OLD, SETTLED, BUCKETS, world.nonsense))
    start_ms, bucket_ms = world.start_ms, world.bucket_ms
    for since_ms, until_ms, grain_ms in (
        (start_ms + 1, start_ms + 2 * bucket_ms, bucket_ms),
        (start_ms, start_ms + 2 * bucket_ms - 1, bucket_ms),
        (start_ms + 2 * bucket_ms, start_ms, bucket_ms),
        (start_ms, start_ms, 0),
        (0, 3 * (world.finest_ms // 2), world.finest_ms // 2),
    ):
        asked = (world.cohort(OLD), [world.errors], since_ms, until_ms, grain_ms)
        assert _is_refused(partial(world.source.count, *asked)), asked


def _is_refused(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except QueryError:
        return True
    return False


def _of(
    world: CountsWorld, found: CohortCounts, name: str, story: Story, number: int
) -> list[Cell]:
    at_ms = world.start_ms + number * world.bucket_ms
    return [
        cell
        for cell in found.cells[name]
        if (cell.replica, cell.at_ms) == (world.replica(story.replica), at_ms)
    ]


def _seen(
    world: CountsWorld, found: CohortCounts, story: Story, number: int
) -> tuple[int, int, int]:
    """Return requests, errors and slow requests of one replica in one bucket."""
    counted = _of(world, found, "errors", story, number)
    slow = answered = 0
    for cell in _of(world, found, "latency", story, number):
        slow += sum(cell.counts[cell.bounds.index(BOUND) + 1 :])
        answered += sum(cell.counts)
    trials = sum(cell.trials for cell in counted)
    assert answered == trials
    return trials, sum(cell.events for cell in counted), slow
