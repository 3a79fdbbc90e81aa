"""What the benchmark measures, many rollouts at once, is what the judge says of each."""

import numpy as np
import pytest
from judge import KINDS, Counts, Learned, course, learned, simulate

from deploymark.judge.assessment import Assessment
from deploymark.judge.counts import Events, Look, Tally
from deploymark.judge.evidence import Array
from deploymark.judge.placebo import CLUMP_CAP, Placebo, Spread, Watch
from deploymark.judge.plan import Metric, Plan

LOOKS = 12


def _spread(taught: Learned, episode: int) -> Spread:
    every, capped = float(taught.every[episode]), float(taught.capped[episode])
    rate, capped_rate = float(taught.rate[episode]), float(taught.capped_rate[episode])
    if not taught.clumped[episode]:
        return Spread(("all",), (every,), (rate,))
    return Spread(("all", "clumps"), (every, capped), (rate, capped_rate), CLUMP_CAP)


def _tally(trials: Array, events: Array) -> Tally:
    cells = tuple((int(a), int(x)) for a, x in zip(trials, events, strict=True))
    return Tally(int(trials.sum()), int(events.sum()), cells)


def _looks(counts: Counts, episode: int) -> list[Look]:
    a, x, b, y = (each[episode] for each in counts)
    return [
        Look(at, at + 1, {"errors": Events(_tally(a[at], x[at]), _tally(b[at], y[at]))})
        for at in range(LOOKS)
    ]


@pytest.mark.parametrize("kind", ["iid", "bursty", "varying split"])
@pytest.mark.parametrize("ratio", [1.0, 1.3])
def test_the_measured_judge_is_the_judge(kind: str, ratio: float) -> None:
    chance = np.random.default_rng(3)
    counts = simulate(chance, KINDS[kind], 2, LOOKS, ratio=ratio)
    taught = learned(chance, KINDS[kind], 2)
    assert taught.clumped.all() == (kind == "bursty")
    fail, ok = course(counts, taught)
    for episode in range(2):
        placebo = Placebo({"errors": _spread(taught, episode)}, Watch(86_400), 4)
        assessment = Assessment(Plan((Metric("errors"),)), placebo)
        verdicts = [assessment.take(each) for each in _looks(counts, episode)]
        assert [each.log_e_fail for each in verdicts] == pytest.approx(fail[episode], abs=1e-5)
        assert [each.log_e_pass for each in verdicts] == pytest.approx(ok[episode], abs=1e-5)
