"""Increases are what was done between scrapes, in whatever windows they are asked for."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from deploymark.integrations.prometheus.rising import (
    MOST_GAP_SECONDS,
    Labels,
    Rules,
    Target,
    Track,
    increases,
)

POD = Target("pod-1", ("job", "pod-1:80"))
STEP_MS = 60_000
LOOK_BACK_MS = 900_000


def labelled(name: str) -> Labels:
    return frozenset({("code", name)})


def rise(later: int, earlier: int) -> int | None:
    return later - earlier if later >= earlier else None


def rules(tracks: Sequence[Track[int]] = (), late_ms: int = 0) -> Rules[int]:
    """Rules under which all tracks are scraped at once, or the last one later."""
    scraped = {track.labels: {at_ms: float(at_ms) for at_ms in track.points} for track in tracks}
    if tracks and late_ms:
        last = scraped[tracks[-1].labels]
        scraped[tracks[-1].labels] = {at_ms: at_ms + late_ms for at_ms in last}
    return Rules(rise, LOOK_BACK_MS, lambda: scraped)


def track(name: str, values: dict[int, int], target: Target = POD) -> Track[int]:
    return Track(target, labelled(name), {at * STEP_MS: value for at, value in values.items()})


def came(tracks: Sequence[Track[int]], after: int = 0, **more: int) -> list[tuple[int, int]]:
    found = increases(tracks, rules(tracks, **more), after * STEP_MS)
    return sorted((each.at_ms // STEP_MS, each.value) for each in found)


@st.composite
def lives(draw: st.DrawFn) -> tuple[Track[int], int]:
    """A counter with restarts and scrapes that are missed, and what it counted when seen."""
    value, points, truth, last = 0, {}, 0, None
    for at in range(draw(st.integers(2, 40))):
        if draw(st.integers(0, 9)) == 0:
            value = 0
        value += draw(st.integers(0, 5))
        if draw(st.integers(0, 3)):
            if last is not None and at - last[0] <= MOST_GAP_SECONDS * 1_000 // STEP_MS:
                truth += value - last[1] if value >= last[1] else value
            points[at] = value
            last = (at, value)
    return track("200", points), truth


@given(lives(), st.lists(st.integers(0, 40), max_size=4))
def test_windows_add_up_to_the_whole(life: tuple[Track[int], int], cuts: list[int]) -> None:
    whole, truth = life
    assert sum(value for _, value in came([whole], -1)) == truth
    edges = sorted({-1, *cuts, 41})
    pieces = []
    for after, until in pairwise(edges):
        # A question sees only so far back, and nothing of what comes later.
        begin_ms = after * STEP_MS - LOOK_BACK_MS
        points = {
            at_ms: value
            for at_ms, value in whole.points.items()
            if begin_ms <= at_ms <= until * STEP_MS
        }
        pieces += came([Track(POD, whole.labels, points)], after)
    assert pieces == came([whole], -1)


def test_the_first_value_of_a_pod_is_where_counting_begins() -> None:
    assert came([track("200", {3: 1_000, 4: 1_005})]) == [(4, 5)]
    both = [track("200", {3: 1_000, 4: 1_005}), track("500", {3: 50, 4: 51})]
    assert came(both) == [(4, 1), (4, 5)]


def test_a_label_set_that_appears_in_a_scrape_with_others_counts_in_full() -> None:
    old, new = track("200", {1: 10, 2: 20, 3: 30}), track("500", {3: 7})
    assert came([old, new]) == [(2, 10), (3, 7), (3, 10)]
    # Not when it came by another scrape, nor beside another target or none that was there before.
    assert came([old, new], late_ms=1) == [(2, 10), (3, 10)]
    elsewhere = Target("pod-1", ("job", "pod-1:81"))
    assert came([old, track("500", {3: 7}, elsewhere)]) == [(2, 10), (3, 10)]
    assert came([track("200", {3: 30}), new]) == []
    assert came([track("200", {1: 10, 2: 20}), new]) == [(2, 10)]


def test_a_label_set_that_nobody_knows_the_age_of_is_not_asked_about() -> None:
    def refuse() -> dict[Labels, dict[int, float]]:
        raise AssertionError

    alone = [track("200", {1: 10, 2: 20}), track("500", {1: 3, 2: 4})]
    assert len(list(increases(alone, Rules(rise, LOOK_BACK_MS, refuse), 0))) == 2


def test_a_value_from_before_a_long_gap_is_only_where_counting_begins_again() -> None:
    gap = MOST_GAP_SECONDS * 1_000 // STEP_MS
    assert came([track("200", {1: 10, 1 + gap: 20})]) == [(1 + gap, 10)]
    assert came([track("200", {1: 10, 2 + gap: 20, 3 + gap: 21})]) == [(3 + gap, 1)]
    # What is older than one looks back is not known, in whatever window one looks.
    steady = track("200", dict.fromkeys(range(60), 0))
    long_ago = track("500", {1: 10, 40: 20})
    assert [each for each in came([steady, long_ago], 1) if each[1]] == [(40, 20)]
    # Also where the rest of the target was there all the time.
    steady = track("200", dict.fromkeys(range(30), 0))
    assert came([steady, track("500", {1: 10, 2 + gap: 20})], 1) == [(at, 0) for at in range(2, 30)]
