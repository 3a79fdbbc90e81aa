"""Plans and counts that make no sense are refused with the place."""

import importlib
import re

import pytest
from msgspec import structs

from deploymark.errors import JudgeError
from deploymark.judge.counts import Events, Latencies, Observation, Tally, check_observation
from deploymark.judge.plan import Bad, Kind, Metric, Plan, check_plan
from generated_pages import ROOT


@pytest.mark.parametrize(
    "plan",
    [
        Plan(()),
        Plan((Metric("a"), Metric("a"))),
        Plan((Metric("a", weight=0),)),
        Plan((Metric("a", weight=float("nan")), Metric("b"))),
        Plan((Metric("a", weight=-1), Metric("b"))),
        Plan((Metric("a", margin=1.0),)),
        Plan((Metric("a", margin=float("inf")),)),
        Plan((Metric("a", Kind.LATENCY, Bad.FALLS),)),
        Plan((Metric("a"),), look_seconds=0),
        Plan((Metric("a"),), history_seconds=-1),
        Plan((Metric("a"),), block_seconds=()),
        Plan((Metric("a"),), block_seconds=(65,)),
    ],
)
def test_a_plan_that_judges_nothing_is_refused(plan: Plan) -> None:
    with pytest.raises(JudgeError):
        check_plan(plan)


def test_the_plan_of_a_demo_is_taken() -> None:
    check_plan(
        Plan(
            (Metric("errors"), Metric("latency", Kind.LATENCY), Metric("memory", Kind.GAUGE)),
            look_seconds=1,
            warmup_seconds=2,
            bucket_seconds=1,
            block_seconds=(1, 2, 5),
            history_seconds=12,
        )
    )


@pytest.mark.parametrize(
    "seen",
    [
        Events(Tally(5, 2, ((5, 1),)), Tally()),
        Events(Tally(5, 2, ((2, 2), (2, 0))), Tally()),
        Events(Tally(5, 2, ((1, 2), (4, 0))), Tally()),
        Latencies((), (1,), (1,)),
        Latencies((1.0, 1.0), (1, 1, 1), (1, 1, 1)),
        Latencies((1.0, float("inf")), (1, 1, 1), (1, 1, 1)),
        Latencies((1.0,), (1, 1, 1), (1, 1)),
        Latencies((1.0,), (1, 1), (1, -1)),
    ],
)
def test_counts_that_cannot_be_are_refused(seen: Observation) -> None:
    with pytest.raises(JudgeError):
        check_observation(seen, "metric")


def test_the_page_of_the_judge_states_the_defaults_and_bounds_of_the_code() -> None:
    page = (ROOT / "docs" / "reference" / "judge.md").read_text(encoding="utf-8")
    defaults = structs.asdict(Plan(()))
    del defaults["metrics"]
    section = page.split("\n## Settings of a plan\n")[1].split("\n## ")[0]
    stated = dict(re.findall(r"\| `(\w+_\w+)` \| ([\d, ]+) \|", section))
    shown = {
        name: ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        for name, value in defaults.items()
    }
    assert stated == shown
    bounds = re.findall(r"\| ([\d.]+) \| `([\w.]+)\.(\w+)` \|", page)
    assert len(bounds) == page.count("| `deploymark.judge.")
    for number, module, name in bounds:
        assert float(number) == getattr(importlib.import_module(module), name)
