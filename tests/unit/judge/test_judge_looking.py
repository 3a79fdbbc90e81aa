"""What is counted by replica becomes two arms, whole, and nothing twice."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploymark.errors import JudgeError
from deploymark.judge.assessment import Assessment
from deploymark.judge.counts import Events, Gauges, Latencies, Look, check_observation
from deploymark.judge.looking import HALVES_SECONDS, halves_of, look_of, replicas_of
from deploymark.judge.placebo import COLD_START, Watch, learn
from deploymark.judge.plan import Kind, Metric, Plan
from deploymark.ports import Cell, CohortCounts

PLAN = Plan(
    (Metric("errors"), Metric("latency", Kind.LATENCY), Metric("memory", Kind.GAUGE)),
    warmup_seconds=30,
)
NOTHING = CohortCounts({})
BUCKET_MS = 10_000
SHAPES = ((0.1, 0.5, 1.0), (0.1, 1.0, 5.0), (0.25,))


def errors(*cells: tuple[str, int, int, int], **born_s: int) -> CohortCounts:
    """Counts of (replica, second, trials, events)."""
    made = tuple(Cell(who, at_s * 1_000, trials, events) for who, at_s, trials, events in cells)
    return CohortCounts({"errors": made}, {who: at * 1_000 for who, at in born_s.items()})


def events_of(look: Look) -> Events:
    found = look.seen["errors"]
    assert isinstance(found, Events)
    return found


def latencies(*cells: tuple[str, tuple[float, ...], tuple[int, ...]]) -> CohortCounts:
    made = [Cell(who, 0, bounds=bounds, counts=counts) for who, bounds, counts in cells]
    return CohortCounts({"latency": tuple(made)})


@st.composite
def cohorts(draw: st.DrawFn) -> CohortCounts:
    """Counts of a few replicas over a day and a bit, in any order, with some that are young."""
    keys = draw(
        st.lists(
            st.tuples(st.sampled_from("abcdefg"), st.integers(0, 2_000)), max_size=25, unique=True
        )
    )
    shape = draw(st.sampled_from(SHAPES))
    found: dict[str, list[Cell]] = {"errors": [], "latency": [], "memory": []}
    for replica, number in keys:
        trials = draw(st.integers(0, 1_000))
        at_ms = number * BUCKET_MS
        found["errors"].append(Cell(replica, at_ms, trials, draw(st.integers(0, trials))))
        counts = tuple(draw(st.integers(0, 9)) for _ in range(len(shape) + 1))
        found["latency"].append(Cell(replica, at_ms, bounds=shape, counts=counts))
        value = draw(st.none() | st.floats(-9, 9))
        found["memory"].append(Cell(replica, at_ms, value=value))
    born_ms = draw(st.dictionaries(st.sampled_from("abc"), st.integers(0, 20_000_000), max_size=2))
    return CohortCounts({name: tuple(cells) for name, cells in found.items()}, born_ms)


def grown(counts: CohortCounts, name: str) -> list[Cell]:
    """Return the cells that count, said in another way than the code does."""
    return [
        cell
        for cell in counts.cells[name]
        if cell.replica not in counts.born_ms
        or cell.at_ms - counts.born_ms[cell.replica] >= PLAN.warmup_seconds * 1_000
    ]


EVER = (0, 2_001 * BUCKET_MS)


@given(cohorts(), cohorts())
def test_totals_are_those_of_the_cells(canary: CohortCounts, control: CohortCounts) -> None:
    look = look_of(PLAN, canary, control, *EVER)
    for name, seen in look.seen.items():
        check_observation(seen, name)
    found = events_of(look)
    for tally, counts in ((found.canary, canary), (found.control, control)):
        cells = grown(counts, "errors")
        assert tally.trials == sum(cell.trials for cell in cells)
        assert tally.events == sum(cell.events for cell in cells)
        assert sorted(tally.cells) == sorted((cell.trials, cell.events) for cell in cells)
    slow = look.seen.get("latency")
    if isinstance(slow, Latencies):
        assert sum(slow.canary) == sum(sum(cell.counts) for cell in grown(canary, "latency"))
        assert sum(slow.control) == sum(sum(cell.counts) for cell in grown(control, "latency"))


@given(cohorts(), cohorts(), st.integers(1, 2_000))
def test_two_windows_hold_together_what_one_does(
    canary: CohortCounts, control: CohortCounts, cut: int
) -> None:
    middle_ms = cut * BUCKET_MS
    whole = events_of(look_of(PLAN, canary, control, *EVER))
    parts = [
        events_of(look_of(PLAN, canary, control, *each))
        for each in pairwise((EVER[0], middle_ms, EVER[1]))
    ]
    assert sum(part.canary.trials for part in parts) == whole.canary.trials
    assert sum(part.control.events for part in parts) == whole.control.events
    assert parts[0].canary.cells + parts[1].canary.cells == whole.canary.cells


@given(cohorts(), cohorts(), st.randoms())
def test_the_order_of_the_cells_changes_nothing(
    canary: CohortCounts, control: CohortCounts, chance: st.DataObject
) -> None:
    def mixed(counts: CohortCounts) -> CohortCounts:
        shuffled = {name: list(cells) for name, cells in counts.cells.items()}
        for cells in shuffled.values():
            chance.shuffle(cells)  # type: ignore[attr-defined]  # it is a random.Random
        return CohortCounts({name: tuple(each) for name, each in shuffled.items()}, counts.born_ms)

    assert look_of(PLAN, mixed(canary), mixed(control), *EVER) == look_of(
        PLAN, canary, control, *EVER
    )
    assert halves_of(PLAN, mixed(control), 0, 300_000, "s") == halves_of(
        PLAN, control, 0, 300_000, "s"
    )


@settings(max_examples=20)
@given(cohorts())
def test_halves_hold_everything_once_and_every_bucket(stable: CohortCounts) -> None:
    looks = halves_of(PLAN, stable, *EVER, "salt")
    assert [look.since_ms for look in looks] == list(range(*EVER, BUCKET_MS))
    assert {look.until_ms - look.since_ms for look in looks} == {BUCKET_MS}
    pairs = [events_of(look) for look in looks]
    both = [*(each.canary for each in pairs), *(each.control for each in pairs)]
    kept = grown(stable, "errors")
    assert sum(tally.trials for tally in both) == sum(cell.trials for cell in kept)
    assert sum(tally.events for tally in both) == sum(cell.events for cell in kept)
    assert Counter(each for tally in both for each in tally.cells) == Counter(
        (cell.trials, cell.events) for cell in kept
    )


def test_a_young_instance_is_left_out_of_either_arm() -> None:
    counts = errors(
        ("old", 0, 9, 1), ("new", 20, 7, 7), ("new", 30, 5, 5), ("new", 40, 3, 1), new=10
    )
    for arms in ((counts, NOTHING), (NOTHING, counts)):
        found = events_of(look_of(PLAN, *arms, 0, 60_000))
        cells = (*found.canary.cells, *found.control.cells)
        assert cells == ((9, 1), (3, 1))


def test_finer_buckets_of_a_replica_become_one_cell() -> None:
    counts = errors(("a", 1, 2, 1), ("a", 9, 3, 0), ("a", 10, 4, 0), ("b", 5, 1, 1))
    assert events_of(look_of(PLAN, counts, NOTHING, 0, 20_000)).canary.cells == (
        *((5, 1), (1, 1), (4, 0)),
    )


def test_a_metric_that_nobody_could_see_is_not_in_the_look() -> None:
    looked_for = CohortCounts({"errors": ()})
    assert look_of(PLAN, NOTHING, NOTHING, 0, 10_000).seen == {}
    for arms in ((looked_for, NOTHING), (NOTHING, looked_for)):
        assert look_of(PLAN, *arms, 0, 10_000).seen == {"errors": Events()}


def test_latencies_are_added_up_on_the_bounds_that_all_have() -> None:
    fine, coarse, other = SHAPES
    canary = latencies(("a", fine, (1, 2, 3, 4)), ("b", coarse, (10, 20, 30, 40)))
    control = latencies(("c", fine, (5, 6, 7, 8)), ("idle", other, (0, 0)))
    found = look_of(PLAN, canary, control, 0, 10_000).seen["latency"]
    assert found == Latencies((0.1, 1.0), (11, 25, 74), (5, 13, 8))
    apart = latencies(("d", other, (1, 1)))
    assert "latency" not in look_of(PLAN, canary, apart, 0, 10_000).seen
    assert "latency" not in look_of(PLAN, latencies(), latencies(), 0, 10_000).seen


def test_gauges_are_paired_by_the_time_of_the_scrape() -> None:
    def memory(*values: tuple[str, int, float | None]) -> CohortCounts:
        return CohortCounts(
            {"memory": tuple(Cell(who, at, value=each) for who, at, each in values)}
        )

    canary = memory(("a", 0, 1.0), ("b", 0, 2.0), ("a", 5_000, None), ("a", 7_000, 4.0))
    control = memory(("c", 0, 3.0), ("d", 0, float("nan")), ("c", 5_000, 5.0))
    assert look_of(PLAN, canary, control, 0, 10_000).seen["memory"] == Gauges(
        ((1.5, 3.0), (None, 5.0), (4.0, None))
    )


def test_a_window_consists_of_whole_buckets() -> None:
    for window in ((0, 15_000), (5_000, 10_000), (10_000, 10_000), (20_000, 10_000)):
        with pytest.raises(JudgeError, match="whole buckets"):
            look_of(PLAN, NOTHING, NOTHING, *window)
        with pytest.raises(JudgeError, match="whole buckets"):
            halves_of(PLAN, NOTHING, *window, "s")


def split(stable: CohortCounts, salt: str, until_s: int) -> dict[int, frozenset[int]]:
    """Return, by period, who formed the first half; replicas are told apart by their trials."""
    found: dict[int, frozenset[int]] = {}
    for look in halves_of(PLAN, stable, 0, until_s * 1_000, salt):
        period = look.since_ms // (HALVES_SECONDS * 1_000)
        first = frozenset(trials for trials, _ in events_of(look).canary.cells)
        if events_of(look) != Events():
            assert found.setdefault(period, first) == first
    return found


def test_halves_are_balanced_and_change_every_few_hours_and_with_the_salt() -> None:
    seconds = 6 * HALVES_SECONDS
    every = range(0, seconds, 600)
    for number in (2, 5, 8):
        replicas = [(f"r-{each}", each + 1) for each in range(number)]
        stable = errors(*((who, at_s, trials, 0) for at_s in every for who, trials in replicas))
        found = split(stable, "one", seconds)
        assert len(found) == 6
        assert {len(half) for half in found.values()} <= {number // 2, (number + 1) // 2}
        assert len(set(found.values())) > 1
        assert found != split(stable, "other", seconds)
        assert found == split(stable, "one", seconds)
        assert replicas_of(stable) == tuple(sorted(who for who, _ in replicas))


def test_halves_keep_one_set_of_bounds_and_teach_the_judge() -> None:
    cells, slow = [], []
    for number in range(600):
        for replica in "abcd":
            at_ms = number * BUCKET_MS
            cells.append(Cell(replica, at_ms, 100, (number + ord(replica)) % 3))
            slow.append(Cell(replica, at_ms, bounds=(0.1, 1.0), counts=(90, 9, number % 2)))
    slow[0] = Cell("a", 0, bounds=(0.05, 0.1, 1.0), counts=(9, 1, 1, 1))
    stable = CohortCounts({"errors": tuple(cells), "latency": tuple(slow)})
    # Nothing happened in the last buckets: they are there all the same.
    halves = halves_of(PLAN, stable, 0, 700 * BUCKET_MS, "s")
    assert halves[-1].seen == {
        "errors": Events(),
        "latency": Latencies((0.1, 1.0), (0,) * 3, (0,) * 3),
    }
    learned = learn(PLAN, halves, Watch(86_400), len(replicas_of(stable)))
    assert learned.spreads["latency"].keys == (0.1, 1.0)
    assert learned.is_watched(PLAN.history_seconds)


def test_a_look_can_be_handed_to_the_judge() -> None:
    canary = errors(*(("a", 10 * each, 300, 60) for each in range(12)))
    control = errors(*((who, 10 * each, 300, 6) for each in range(12) for who in "bc"))
    assessment = Assessment(Plan((Metric("errors"),)), COLD_START)
    for since_ms in (0, 60_000):
        assessment.take(look_of(PLAN, canary, control, since_ms, since_ms + 60_000))
