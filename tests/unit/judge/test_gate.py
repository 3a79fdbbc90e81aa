"""The gate passes on what was proven, and never in silence."""

from itertools import product
from math import log

import pytest

from deploymark.judge.gate import (
    BreakGlass,
    BudgetState,
    GateDecision,
    RolloutState,
    VerdictState,
    gate,
)
from deploymark.judge.policy import Answer
from deploymark.judge.ruling import RuleResult
from deploymark.judge.verdict import Result

PASS, FAIL, OPEN = GateDecision.PASS, GateDecision.FAIL, GateDecision.INCONCLUSIVE
GOING, NOT_BEGUN = RolloutState.GOING, RolloutState.NOT_BEGUN
GOOD = VerdictState(Result.PASS, replayed=True)
CALM = BudgetState(log(99), 0.4)
BURNS = BudgetState(log(100), 3.0)


def _rule(answer: Answer, effect: str = "deny", *, applies: bool = True) -> RuleResult:
    return RuleResult("owned", "owner", effect, applies, answer, "Because.", {})


OWNED, UNOWNED, UNSURE = (_rule(each) for each in (Answer.PASS, Answer.FAIL, Answer.UNKNOWN))

CASES = {
    "all is well": (([OWNED], GOOD, CALM, GOING), PASS),
    "a verdict alone": (([], GOOD, None, GOING), PASS),
    "rules alone, before anything is deployed": (([OWNED], None, None, NOT_BEGUN), PASS),
    "no rule before anything is deployed": (([], None, None, NOT_BEGUN), OPEN),
    "a calm budget proves nothing": (([], None, CALM, NOT_BEGUN), OPEN),
    "rules that do not apply": (([_rule(Answer.PASS, applies=False)], None, None, NOT_BEGUN), OPEN),
    "warnings that pass": (([_rule(Answer.PASS, "warn")], None, None, NOT_BEGUN), OPEN),
    "a rule that fails elsewhere": (
        ([OWNED, _rule(Answer.FAIL, applies=False)], GOOD, None, GOING),
        PASS,
    ),
    "a rule that fails": (([OWNED, UNOWNED], GOOD, CALM, GOING), FAIL),
    "a rule that does not know": (([OWNED, UNSURE], GOOD, CALM, GOING), OPEN),
    "one fails and one does not know": (([UNSURE, UNOWNED], GOOD, CALM, GOING), FAIL),
    "a warning that fails": (([OWNED, _rule(Answer.FAIL, "warn")], GOOD, CALM, GOING), PASS),
    "a warning that does not know": (
        ([OWNED, _rule(Answer.UNKNOWN, "warn")], GOOD, CALM, GOING),
        PASS,
    ),
    "no verdict yet": (([OWNED], None, CALM, GOING), OPEN),
    "an open verdict": (([OWNED], VerdictState(Result.INCONCLUSIVE), CALM, GOING), OPEN),
    "a failure": (([OWNED], VerdictState(Result.FAIL), CALM, GOING), FAIL),
    "a failure after promotion": (
        ([OWNED], VerdictState(Result.FAIL), CALM, RolloutState.PROMOTED),
        FAIL,
    ),
    "a pass that was not judged again": (([OWNED], VerdictState(Result.PASS), CALM, GOING), OPEN),
    "a pass that came out otherwise": (
        ([OWNED], VerdictState(Result.PASS, replayed=False), CALM, GOING),
        OPEN,
    ),
    "a budget that burns": (([OWNED], GOOD, BURNS, GOING), FAIL),
    "a budget of which nothing is counted": (([OWNED], GOOD, BudgetState(None), GOING), OPEN),
    "a pause": (([OWNED], GOOD, CALM, RolloutState.PAUSED), OPEN),
    "a promotion": (([], None, None, RolloutState.PROMOTED), PASS),
    "a return": (([OWNED], GOOD, CALM, RolloutState.ROLLING_BACK), FAIL),
    "a rollback": (([OWNED], GOOD, CALM, RolloutState.ROLLED_BACK), FAIL),
    "a failed rollout": (([OWNED], GOOD, CALM, RolloutState.FAILED), FAIL),
    "a rollout nobody knows": (([OWNED], GOOD, CALM, None), OPEN),
    "nothing at all": (([], None, None, None), OPEN),
}


@pytest.mark.parametrize("case", CASES)
def test_the_gate_says(case: str) -> None:
    given, expected = CASES[case]
    answer = gate(*given)
    assert answer.decision is expected, answer.reasons
    assert answer.reasons


def test_a_pass_always_has_something_that_was_proven() -> None:
    rules = [[], [OWNED], [UNSURE], [UNOWNED], [OWNED, UNSURE]]
    verdicts = [None, GOOD, *(VerdictState(each) for each in Result)]
    budgets = [None, CALM, BURNS, BudgetState(None)]
    for given in product(rules, verdicts, budgets, [None, *RolloutState]):
        answer = gate(*given)
        counted = [each.answer for each in answer.reasons if each.counts]
        if answer.decision is PASS:
            assert set(counted) == {Answer.PASS}
        else:
            assert set(counted) - {Answer.PASS}


def test_a_person_breaks_the_glass_and_everything_overridden_still_shows() -> None:
    glass = BreakGlass("ann", "The shop is down, this is the repair.", 70)
    answer = gate([UNOWNED], VerdictState(Result.FAIL), BURNS, GOING, glass)
    assert answer.decision is PASS
    assert answer.reasons[-1].reason.startswith("ann broke the glass in entry 70")
    over = {each.about for each in answer.reasons if not each.counts}
    assert over == {"policy:owned", "error_budget", "verdict"}


@pytest.mark.parametrize(("by", "reason"), [("", "because"), ("ann", " ")])
def test_the_glass_does_not_break_without_a_name_and_a_reason(by: str, reason: str) -> None:
    answer = gate([UNOWNED], GOOD, CALM, GOING, BreakGlass(by, reason, 70))
    assert answer.decision is FAIL
    assert answer.reasons[-1].about == "break_glass"


def test_the_glass_is_not_broken_where_the_gate_is_open() -> None:
    answer = gate([OWNED], GOOD, CALM, GOING, BreakGlass("ann", "because", 70))
    assert "break_glass" not in {each.about for each in answer.reasons}
