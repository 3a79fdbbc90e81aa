"""How clumped a single series is."""

import numpy as np
import pytest

from deploymark.judge.dispersion import FEWEST_BLOCKS, of_series


def test_a_series_that_counting_explains_has_a_dispersion_of_one_and_bursts_have_more() -> None:
    draw = np.random.default_rng(4)
    trials = np.full(400, 2_000)
    even = draw.binomial(trials, 0.001)
    bursts = draw.binomial(trials, np.where(draw.random(400) < 0.1, 0.01, 0.0))
    assert of_series(trials, even) == pytest.approx(1.0, abs=0.2)
    assert 10 < of_series(trials, bursts) < 30


def test_a_series_of_which_little_was_seen_says_nothing() -> None:
    many, some = np.full(10, 100), np.arange(10)
    assert np.isfinite(of_series(many, some))
    few = np.where(np.arange(10) < FEWEST_BLOCKS - 1, 100, 0)
    for trials, events in ((many, many), (many, many * 0), (few, np.minimum(few, 1))):
        assert np.isnan(of_series(trials, events))
