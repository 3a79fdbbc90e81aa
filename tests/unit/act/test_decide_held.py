"""What is said of a rollout that the guards keep back is true of it."""

from rollout_facts import PAUSE, facts, judgement, rollout

from deploymark.act.decide import decide
from deploymark.act.facts import Binding
from deploymark.act.intent import Move
from deploymark.judge.verdict import Advice, Reason, Result


def test_who_gets_no_first_traffic_is_not_told_that_it_does() -> None:
    unseen = Binding(3, 0, 0, control=True)
    held = decide(facts(None, rollout=rollout(step=0), binding=unseen))
    assert held.reason.startswith("It would get its first traffic, but")
    assert "Guard binding: " in held.reason


def test_a_failure_that_is_not_returned_for_want_of_comparisons_says_so() -> None:
    strange = decide(facts(judgement(Result.FAIL, Advice.PAUSE, Reason.NO_PLACEBO)))
    assert strange.move is Move.PAUSE
    assert strange.reason.endswith("how equal instances differ to return it by itself.")
    assert "equal instances" not in decide(facts(PAUSE)).reason
