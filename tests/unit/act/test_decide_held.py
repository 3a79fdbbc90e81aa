"""What is said of a rollout that the guards keep back is true of it."""

from rollout_facts import facts, rollout

from deploymark.act.decide import decide
from deploymark.act.facts import Binding


def test_who_gets_no_first_traffic_is_not_told_that_it_does() -> None:
    unseen = Binding(3, 0, 0, control=True)
    held = decide(facts(None, rollout=rollout(step=0), binding=unseen))
    assert held.reason.startswith("It would get its first traffic, but")
    assert "Guard binding: " in held.reason
