"""Lengths of time as people say them."""

import pytest

from deploymark.model.lengths import told_length

SECOND = 1_000
MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND


@pytest.mark.parametrize(
    ("length_ms", "said"),
    [
        (0, "0 s"),
        (999, "0 s"),
        (119 * SECOND, "119 s"),
        (2 * MINUTE, "2 min"),
        (59 * MINUTE + 59 * SECOND, "59 min"),
        (HOUR, "1 h"),
        (16_500 * SECOND, "4 h 35 min"),
        (47 * HOUR + 59 * MINUTE, "47 h 59 min"),
        (2 * DAY, "2 days"),
        (3 * DAY + 2 * HOUR + 59 * MINUTE, "3 days 2 h"),
        (-90 * MINUTE, "1 h 30 min"),
    ],
)
def test_a_length_is_said_in_units_that_people_count_in(length_ms: int, said: str) -> None:
    assert told_length(length_ms) == said
