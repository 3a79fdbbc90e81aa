"""What two halves of the same fleet teach about what evidence is worth."""

import numpy as np
import pytest
from rollouts import BOUNDS, ERRORS, LATENCY, MEMORY, look

from deploymark.errors import JudgeError
from deploymark.judge.assessment import Assessment
from deploymark.judge.counts import Events, Gauges, Latencies, Look, Tally
from deploymark.judge.dispersion import COLD
from deploymark.judge.placebo import COLD_START, Placebo, Spread, Watch, check_placebo, learn
from deploymark.judge.plan import Plan
from deploymark.judge.rows import NOTHING, clumps
from deploymark.judge.verdict import Result

LONG = Watch(86_400)
_REQUESTS = 160


def _clumped(chance: np.random.Generator, requests: int, rate: float, size: float) -> int:
    many = chance.poisson(requests * rate / size)
    return min(requests, sum(int(chance.geometric(1 / size)) for _ in range(many)))


def _halves(size: float, hours: float = 2) -> list[Look]:
    chance = np.random.default_rng(6)
    found = []
    for number in range(round(hours * 360)):
        x, y = (_clumped(chance, _REQUESTS, 0.005, size) for _ in range(2))
        cells = [Tally(_REQUESTS, each, ((_REQUESTS, each),)) for each in (x, y)]
        found.append(Look(number * 10_000, number * 10_000 + 10_000, {"errors": Events(*cells)}))
    return found


def test_independent_errors_have_hardly_any_dispersion() -> None:
    learned = learn(Plan((ERRORS,)), _halves(1), LONG, 4).spreads["errors"]
    assert learned.clump_cap is None
    assert 1.0 <= learned.of("all") < 2.0


def test_clumped_errors_are_noticed_and_get_a_row_of_clumps() -> None:
    learned = learn(Plan((ERRORS,)), _halves(5), LONG, 4).spreads["errors"]
    assert learned.keys == ("all", "clumps")
    assert learned.of("all") > 5 * learned.of("clumps")


def test_clumped_errors_of_equal_arms_do_not_fail_and_many_more_do() -> None:
    placebo = learn(Plan((ERRORS,)), _halves(5), LONG, 4)
    chance = np.random.default_rng(7)
    verdicts: dict[int, list[Result]] = {}
    for ratio in (1, 4):
        assessment = Assessment(Plan((ERRORS,)), placebo)
        verdicts[ratio] = []
        for number in range(30):
            arms = []
            for rate in (0.005 * ratio, 0.005):
                counts = [_clumped(chance, _REQUESTS, rate, 5) for _ in range(6)]
                cells = tuple((_REQUESTS, each) for each in counts)
                arms.append(Tally(6 * _REQUESTS, sum(counts), cells))
            verdicts[ratio].append(assessment.take(look(number, errors=Events(*arms))).result)
    assert Result.FAIL not in verdicts[1]
    assert verdicts[4][-1] is Result.FAIL


def test_a_cap_makes_the_smaller_arm_never_look_worse() -> None:
    small, large = Tally(100, 8, ((50, 8), (50, 0))), Tally(1_000, 80, ((500, 80), (500, 0)))
    canary_small = clumps(small, large, 1.0)
    assert canary_small.x / canary_small.a <= canary_small.y / canary_small.b
    canary_large = clumps(large, small, 1.0)
    assert canary_large.x / canary_large.a <= canary_large.y / canary_large.b


def test_without_cells_clumps_are_not_counted() -> None:
    assert clumps(Tally(100, 8), Tally(100, 8, ((100, 8),)), 1.0) == NOTHING


def test_a_slow_gauge_is_trusted_less_than_a_quick_one() -> None:
    chance = np.random.default_rng(8)
    plan = Plan((MEMORY,))

    def learned(keep: float) -> float:
        state, found = 0.0, []
        for number in range(720):
            state = keep * state + chance.normal()
            found.append(
                Look(number * 10_000, number * 10_000 + 10_000, {"memory": Gauges(((state, 0.0),))})
            )
        return learn(plan, found, LONG, 4).dispersion("memory", "all", 0)

    assert learned(0.0) < 2.5
    assert learned(0.98) > 5


def test_each_bound_has_a_dispersion_and_a_new_one_the_largest() -> None:
    chance = np.random.default_rng(9)
    shares = (0.5, 0.3, 0.15, 0.04, 0.0095, 0.0005)
    halves = []
    for number in range(360):
        arms = [tuple(chance.multinomial(100, shares).tolist()) for _ in range(2)]
        seen = Latencies(BOUNDS, *arms)
        halves.append(Look(number * 10_000, number * 10_000 + 10_000, {"latency": seen}))
    spread = learn(Plan((LATENCY,)), halves, LONG, 2).spreads["latency"]
    assert spread.keys == BOUNDS
    assert min(spread.dispersions) >= 1
    assert spread.of(7.5) == max(spread.dispersions)


def test_too_little_history_teaches_nothing() -> None:
    assert learn(Plan((ERRORS,)), _halves(1)[:5], LONG, 4).spreads == {}
    assert learn(Plan((ERRORS,)), [], LONG, 4).spreads == {}


def test_a_cold_judge_takes_a_large_dispersion() -> None:
    assert COLD_START.dispersion("errors", "all", 0) == COLD
    assert not COLD_START.is_watched(0)


def test_a_placebo_that_would_have_rolled_back_raises_dispersions_and_restarts_the_count() -> None:
    watch = Watch().after(3_600, 1.0).after(3_600, 6.9)
    assert watch == Watch(7_200, 1.0)
    again = watch.after(3_600, 6.91)
    assert again == Watch(0, 1.5)
    assert again.after(60, 0.0) == Watch(60, 1.5)
    spreads = learn(Plan((ERRORS,)), _halves(1), LONG, 4).spreads
    calm, raised = (Placebo(spreads, Watch(86_400, factor), 4) for factor in (1.0, 1.5))
    ratio = raised.dispersion("errors", "all", 0) / calm.dispersion("errors", "all", 0)
    assert ratio == pytest.approx(1.5)


def test_a_lasting_difference_of_replicas_is_no_clump() -> None:
    chance = np.random.default_rng(10)
    halves = []
    for number in range(1_440):
        arms = [int(chance.binomial(_REQUESTS, rate)) for rate in (0.05, 0.06)]
        cells = [Tally(_REQUESTS, each, ((_REQUESTS, each),)) for each in arms]
        halves.append(Look(number * 10_000, number * 10_000 + 10_000, {"errors": Events(*cells)}))
    learned = learn(Plan((ERRORS,)), halves, LONG, 4).spreads["errors"]
    assert learned.of("all") > 3
    assert learned.clump_cap is None


def test_what_the_fleet_was_like_lets_the_first_look_count() -> None:
    placebo = learn(Plan((ERRORS,)), _halves(1), LONG, 4)
    assert placebo.rate("errors", "all") == pytest.approx(0.005, rel=0.2)
    worse = Events(Tally(1_000, 40), Tally(1_000, 5))
    assert Assessment(Plan((ERRORS,)), placebo).take(look(0, errors=worse)).log_e_fail > 2
    assert Assessment(Plan((ERRORS,)), COLD_START).take(look(0, errors=worse)).log_e_fail == 0


@pytest.mark.parametrize(
    "placebo",
    [
        Placebo({}, Watch(-1)),
        Placebo({}, Watch(0, 0.5)),
        Placebo({"errors": Spread()}),
        Placebo({"errors": Spread(("all",), (2.0, 1.0))}),
        Placebo({"errors": Spread(("all",), (0.5,))}),
        Placebo({"errors": Spread(("all",), (1.0,), (0.1, 0.1))}),
        Placebo({"errors": Spread(("all",), (1.0,), (1.5,))}),
        Placebo({"errors": Spread(("all",), (1.0,), clump_cap=0.0)}),
    ],
)
def test_what_no_placebo_can_have_taught_is_refused(placebo: Placebo) -> None:
    with pytest.raises(JudgeError, match="cannot be"):
        Assessment(Plan((ERRORS,)), placebo)


def test_all_that_is_learned_is_taken() -> None:
    check_placebo(learn(Plan((ERRORS,)), _halves(5), LONG, 4))
    check_placebo(COLD_START)
