"""What shall happen next to a rollout. Pure: the same facts, the same intent."""

from deploymark.act.facts import Facts
from deploymark.act.intent import Intent


def decide(facts: Facts) -> Intent:
    """Return what shall happen next; `wait` when nothing shall, with the reason."""
    raise NotImplementedError
