"""A window in parts is the window: nothing is counted twice, and nothing is left out."""

from itertools import pairwise

import pytest

from deploymark.projections.outcome_questions import Window

HOUR_MS = 3_600_000
FAR_MS = 1 << 53


@pytest.mark.parametrize("hours", [1, 6, 7, 168, 100_000])
def test_the_parts_of_a_window_follow_each_other_without_a_gap(hours: int) -> None:
    window = Window(5, 5 + hours * HOUR_MS, FAR_MS, 5 + hours * HOUR_MS)
    parts = list(window.slices())
    assert parts[0].before_ms == FAR_MS
    assert parts[-1].since_ms == 5
    for later, earlier in pairwise(parts):
        assert earlier.before_ms == later.since_ms
    assert len(parts) <= 65
    assert {(each.until_ms, each.now_ms) for each in parts} == {(window.until_ms, window.now_ms)}


def test_a_week_is_counted_in_short_parts() -> None:
    window = Window(0, 168 * HOUR_MS, FAR_MS, 168 * HOUR_MS)
    assert len(list(window.slices())) == 28
